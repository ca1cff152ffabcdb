//! Bytes that nobody wrote: never a panic, never a checkpoint that was not saved.

use host_tests::flash::SimulatedFlash;
use host_tests::model_file::seal;
use lightlayers::Rng;
use lightlayers::checkpoint::{CheckpointError, CheckpointStore};
use lightlayers::file::FileError;

use crate::run::{Small, State, history, load_and_compare};

type Flash = SimulatedFlash<8, 1024>;

const SLOTS: u32 = 3;

/// Where the record and its parts lie in a slot.
const RECORD: usize = 1024 - 80;
const MARK: usize = 1024 - 16;
const SEQUENCE: usize = RECORD + 4;
const LENGTH: usize = RECORD + 20;
const CHECKSUM: usize = RECORD + 24;

fn store(flash: &mut Flash) -> CheckpointStore<&mut Flash> {
    CheckpointStore::new(flash, 0..SLOTS * 1024, SLOTS).unwrap()
}

/// Steps 1, 2, 3 in slots 0, 1, 2.
fn saved(history: &[State]) -> Flash {
    let mut flash = Flash::new(SLOTS as usize, 1);
    for steps in 1..=SLOTS {
        let snapshot = history[steps as usize].snapshot(steps);
        store(&mut flash).save(Small, &snapshot).unwrap();
    }
    flash
}

/// Gives a record the checksum of what is in it.
fn seal_record(slot: &mut [u8]) {
    let record = &mut slot[RECORD..MARK];
    let checksum = crc32fast::hash(&record[..60]);
    record[60..].copy_from_slice(&checksum.to_le_bytes());
}

#[test]
fn memories_full_of_anything() {
    let history = history();
    for seed in 0..500 {
        let mut flash = Flash::new(SLOTS as usize, seed);
        assert_eq!(load_and_compare(&mut store(&mut flash), &history), None);
    }
    for byte in [0x00, 0xff, 0x55] {
        let mut flash = Flash::new(SLOTS as usize, 1);
        flash.bytes_mut().fill(byte);
        assert_eq!(load_and_compare(&mut store(&mut flash), &history), None);
    }
}

/// Every bit of the newest checkpoint and of its record, one at a time: the one before is found.
#[test]
fn every_bit_flip_is_noticed() {
    let history = history();
    let mut flash = saved(&history);
    let newest = store(&mut flash).newest().unwrap().unwrap();
    let file = newest.file.start as usize..newest.file.end as usize;
    let record = 2048 + RECORD..2048 + MARK;
    for byte in file.chain(record) {
        for bit in 0..8 {
            flash.bytes_mut()[byte] ^= 1 << bit;
            let found = load_and_compare(&mut store(&mut flash), &history);
            assert_eq!(found.unwrap().steps, 2, "bit {bit} of byte {byte}");
            flash.bytes_mut()[byte] ^= 1 << bit;
        }
    }
    // Without its mark it is found, but the next save leaves the one before alone.
    for byte in 2048 + MARK..3072 {
        let mut flash = flash.clone();
        flash.bytes_mut()[byte] ^= 1;
        flash.bytes_mut()[1024 + MARK] ^= 1;
        let mut store = store(&mut flash);
        let found = load_and_compare(&mut store, &history).unwrap();
        assert_eq!((found.steps, found.file.start), (3, 2048));
        let mut starts = Vec::new();
        for steps in 4..8 {
            let snapshot = history[steps as usize].snapshot(steps);
            starts.push(store.save(Small, &snapshot).unwrap().file.start);
            store = CheckpointStore::new(store.release(), 0..SLOTS * 1024, SLOTS).unwrap();
        }
        assert_eq!(starts, [2048, 0, 1024, 2048]);
    }
    let found = load_and_compare(&mut store(&mut flash), &history);
    assert_eq!(found.unwrap().steps, 3);
}

/// Random damage to all slots: what is found was saved, byte for byte.
#[test]
fn random_damage() {
    let history = history();
    let (mut found, mut damaged, mut none) = (0, 0, 0);
    let whole = saved(&history);
    for seed in 0..3000 {
        let mut rng = Rng::new(seed);
        let mut flash = whole.clone();
        let len = flash.bytes().len();
        for _ in 0..1 + rng.next_u32() % 6 {
            let start = rng.next_u32() as usize % len;
            let end = len.min(start + 1 + rng.next_u32() as usize % 300);
            flash.bytes_mut()[start..end].fill_with(|| rng.next_u32() as u8);
        }
        let mut state = State::unset();
        match store(&mut flash).load(Small, state.snapshot_mut()) {
            Ok(Some(checkpoint)) => {
                assert_eq!(state.bits(), history[checkpoint.steps as usize].bits());
                found += 1;
            }
            Ok(None) => none += 1,
            Err(error) => {
                assert!(
                    matches!(error, CheckpointError::Damaged { .. }),
                    "{error:?}"
                );
                damaged += 1;
            }
        }
        let snapshot = history[9].snapshot(9);
        let next = store(&mut flash).save(Small, &snapshot).unwrap();
        assert_eq!(
            load_and_compare(&mut store(&mut flash), &history),
            Some(next)
        );
    }
    println!("random damage: {found} found, {damaged} damaged, {none} none");
    assert!(found > 1000 && damaged > 10);
}

/// Records whose checksum fits, with every length: nothing behind the slot is read.
#[test]
fn lengths_that_lie() {
    let history = history();
    let whole = saved(&history);
    let lengths = (0..1100).chain([u32::MAX, u32::MAX - 15, 1 << 31, 3 * 1024, 2048]);
    for len in lengths {
        let mut flash = whole.clone();
        let slot = &mut flash.bytes_mut()[2048..3072];
        let real = u32::from_le_bytes(*slot[LENGTH..].first_chunk().unwrap());
        slot[LENGTH..LENGTH + 4].copy_from_slice(&len.to_le_bytes());
        seal_record(slot);
        let found = load_and_compare(&mut store(&mut flash), &history).unwrap();
        assert_eq!(found.steps, if len == real { 3 } else { 2 }, "{len}");
    }
}

/// The number that nobody can follow, and numbers that are there twice.
#[test]
fn numbers_that_nobody_gave() {
    let history = history();
    let whole = saved(&history);
    let numbered = |numbers: [u32; 3]| {
        let mut flash = whole.clone();
        for (slot, number) in flash.bytes_mut().chunks_mut(1024).zip(numbers) {
            slot[SEQUENCE..SEQUENCE + 4].copy_from_slice(&number.to_le_bytes());
            seal_record(slot);
        }
        flash
    };
    let mut flash = numbered([5, u32::MAX, 7]);
    let mut last = store(&mut flash);
    assert_eq!(load_and_compare(&mut last, &history).unwrap().steps, 2);
    let error = last.save(Small, &history[9].snapshot(9)).unwrap_err();
    assert_eq!(error, CheckpointError::Exhausted);
    assert_eq!(
        error.to_string(),
        "checkpoint: expected a number that is free, found 4294967295 to be the newest checkpoint's: clear the slots"
    );
    assert_eq!(load_and_compare(&mut last, &history).unwrap().steps, 2);
    last.clear().unwrap();
    last.save(Small, &history[9].snapshot(9)).unwrap();
    assert_eq!(load_and_compare(&mut last, &history).unwrap().steps, 9);

    let mut flash = numbered([4, 4, 4]);
    flash.bytes_mut()[2048] ^= 1;
    let mut same = store(&mut flash);
    assert_eq!(load_and_compare(&mut same, &history).unwrap().steps, 2);
    let next = same.save(Small, &history[9].snapshot(9)).unwrap();
    assert_eq!((next.sequence, next.file.start), (5, 2048));
}

/// Files whose checksum and record fit, and whose sections do not: an error, and nothing is written.
#[test]
fn files_that_somebody_made() {
    let history = history();
    let whole = saved(&history);
    let newest = store(&mut whole.clone()).newest().unwrap().unwrap();
    let len = (newest.file.end - newest.file.start) as usize;
    let changed = |change: &dyn Fn(&mut [u8])| {
        let mut flash = whole.clone();
        let slot = &mut flash.bytes_mut()[2048..3072];
        change(&mut slot[..len]);
        seal(&mut slot[..len]);
        let checksum: [u8; 4] = *slot[12..].first_chunk().unwrap();
        slot[CHECKSUM..CHECKSUM + 4].copy_from_slice(&checksum);
        seal_record(slot);
        let mut state = State::unset();
        let result = store(&mut flash).load(Small, state.snapshot_mut());
        if result.is_err() {
            assert_eq!(state, State::unset());
        }
        result
    };
    assert!(changed(&|_| ()).is_ok());
    // Any 16 bytes of the file that may be a section's header, with another kind, length or mark.
    let mut rng = Rng::new(1);
    let (mut refused, mut accepted) = (0, 0);
    for start in (16..len).step_by(16) {
        for case in 0..24 {
            let random = rng.next_u32();
            let result = changed(&|file: &mut [u8]| match case {
                0..16 => file[start + case] ^= 1 << (random % 8),
                16 => file[start..start + 4].copy_from_slice(b"GRAD"),
                17 => file[start..start + 4].copy_from_slice(b"WF32"),
                18 => file[start..start + 4].copy_from_slice(b"LAYR"),
                19 => file[start..start + 4].copy_from_slice(b"OPTS"),
                20 => file[start + 4..start + 8].fill(0xff),
                21 => file[start..start + 16].fill(0xff),
                _ => file[start..start + 16].fill(0),
            });
            match result {
                Ok(Some(_)) => accepted += 1,
                Ok(None) => panic!("a record is there"),
                Err(CheckpointError::Other(_)) => refused += 1,
                Err(error) => panic!("{error:?}"),
            }
        }
    }
    println!("files that somebody made: {accepted} of other numbers, {refused} refused");
    assert!(refused > 100);

    // A second layer table, and none.
    let kind = |from: &'static [u8; 4], to: &'static [u8; 4], required: u8| {
        changed(&move |file: &mut [u8]| {
            let at = file.windows(4).position(|four| four == from).unwrap();
            file[at..at + 4].copy_from_slice(to);
            file[at + 8] = required;
        })
    };
    let error = |result: Result<_, _>| match result {
        Err(CheckpointError::Other(error)) => error,
        other => panic!("{other:?}"),
    };
    let section = |kind| lightlayers::file::SectionKind(kind);
    assert_eq!(
        error(kind(b"OPTS", b"LAYR", 1)),
        FileError::Twice {
            section: section(*b"LAYR")
        }
    );
    assert_eq!(
        error(kind(b"OPTS", b"MINE", 0)),
        FileError::Missing {
            section: section(*b"OPTS")
        }
    );
    assert_eq!(
        error(kind(b"OPTS", b"MINE", 1)),
        FileError::Unknown {
            section: section(*b"MINE")
        }
    );
    assert_eq!(
        error(kind(b"WF32", b"MINE", 0)),
        FileError::Missing {
            section: section(*b"WF32")
        }
    );
    assert_eq!(
        error(kind(b"LAYR", b"MINE", 0)),
        FileError::Missing {
            section: section(*b"LAYR")
        }
    );
}
