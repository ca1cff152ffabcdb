//! Pages that wear out, in every way.

use std::ops::Range;

use host_tests::flash::{Endurance, FlashError, SimulatedFlash, Torn, Wear};
use lightlayers::Rng;
use lightlayers::checkpoint::{CheckpointError, CheckpointStore};

use crate::run::{Small, State, history, load_and_compare};

type Flash = SimulatedFlash<8, 256>;

/// A slot for a file of 560 bytes and the record: three pages.
const SLOT: u32 = 768;

fn range(slots: u32) -> Range<u32> {
    0..slots * SLOT
}

fn store(flash: &mut Flash, slots: u32) -> CheckpointStore<&mut Flash> {
    CheckpointStore::new(flash, range(slots), slots).unwrap()
}

/// Every page fails at some time, each in some way, and sometimes the power.
fn wear_out(history: &[State], slots: u32, seed: u64) -> (u32, u32) {
    let mut rng = Rng::new(seed);
    let mut below = |limit: u32| rng.next_u32() % limit;
    let pages = slots * SLOT / 256;
    let mut flash = Flash::new(pages as usize, seed);
    const WEAR: [Wear; 4] = [
        Wear::StaysErased,
        Wear::StaysWritten,
        Wear::RefusesWrites,
        Wear::RefusesErasures,
    ];
    for page in 0..pages as usize {
        let erasures = 3 + below(40);
        let wear = WEAR[below(4) as usize];
        flash.wears(page, Endurance { erasures, wear });
    }
    // What the last complete save wrote, and those after it that were cut off or failed.
    let mut candidates = vec![None];
    let (mut saved, mut failed) = (0, 0);
    for save in 1..=200 {
        let steps = save % 200;
        let snapshot = history[steps as usize].snapshot(steps);
        let cut = below(10) == 0;
        if cut {
            flash.cut_after(below(150).into(), Torn::Undefined);
        }
        let result = store(&mut flash, slots).save(Small, &snapshot);
        flash.power_on();
        let found = load_and_compare(&mut store(&mut flash, slots), history);
        let found = found.map(|found| found.steps);
        match result {
            Ok(checkpoint) => {
                assert_eq!(found, Some(checkpoint.steps));
                candidates = vec![found];
                saved += 1;
            }
            // What the save left behind may be whole: then the power failed after the record, or a word is worn that is only padding.
            Err(error) => {
                candidates.push(Some(steps));
                assert!(candidates.contains(&found), "{found:?}, {candidates:?}");
                failed += u32::from(!cut);
                let worn = [FlashError::Worn, FlashError::Power].map(CheckpointError::Flash);
                let verified = matches!(error, CheckpointError::Verify { .. });
                assert!(verified || worn.contains(&error), "{error:?}");
            }
        }
    }
    (saved, failed)
}

#[test]
fn no_checkpoint_is_lost_when_pages_wear_out() {
    let history = history();
    let mut worst = [u32::MAX; 2];
    let (mut saved, mut failed) = (0, 0);
    for (place, slots) in [2, 6].into_iter().enumerate() {
        for seed in 0..150 {
            let run = wear_out(&history, slots, seed);
            worst[place] = worst[place].min(run.0);
            (saved, failed) = (saved + run.0, failed + run.1);
        }
    }
    println!(
        "300 memories worn out: {saved} saves, then {failed} errors; 0 lost; the first memory to fail took {} saves with 2 slots, {} with 6",
        worst[0], worst[1]
    );
    // The weakest page endures 3 erasures: 2 slots are then at their end, 6 go on with the others.
    assert!(worst[0] < 20 && worst[1] > 20, "{worst:?}");
    assert!(failed > 1000);
}

/// With one page that is worn from the start, all other slots are used in turn.
#[test]
fn a_save_goes_on_to_the_next_slot() {
    let history = history();
    for wear in [
        Wear::StaysErased,
        Wear::StaysWritten,
        Wear::RefusesWrites,
        Wear::RefusesErasures,
    ] {
        for page in 3..6 {
            let mut flash = Flash::new(9, 1);
            flash.wears(page, Endurance { erasures: 0, wear });
            let mut store = store(&mut flash, 3);
            let mut slots = Vec::new();
            for steps in 0..6 {
                let snapshot = history[steps as usize].snapshot(steps);
                let saved = store.save(Small, &snapshot).expect("two slots are left");
                assert_eq!(load_and_compare(&mut store, &history), Some(saved.clone()));
                slots.push(saved.file.start / SLOT);
            }
            // Bits that are 0 do no harm where zeros are written.
            if wear != Wear::StaysWritten {
                assert_eq!(slots, [0, 2, 0, 2, 0, 2], "{wear:?} of page {page}");
            }
        }
    }
}

/// Two slots, one of them worn: nothing can be saved any more, and what was saved stays.
#[test]
fn the_last_slot_is_never_given_up() {
    let history = history();
    let mut flash = Flash::new(6, 1);
    for page in 3..6 {
        flash.wears(
            page,
            Endurance {
                erasures: 0,
                wear: Wear::StaysErased,
            },
        );
    }
    let mut store = store(&mut flash, 2);
    store.save(Small, &history[7].snapshot(7)).unwrap();
    for steps in 8..20 {
        let error = store.save(Small, &history[steps as usize].snapshot(steps));
        let error = error.unwrap_err();
        assert!(
            matches!(error, CheckpointError::Verify { offset } if (768..1536).contains(&offset)),
            "{error:?}"
        );
        assert_eq!(load_and_compare(&mut store, &history).unwrap().steps, 7);
    }
    let erasures = store.release().erasures().to_vec();
    assert_eq!(erasures, [1, 1, 1, 12, 12, 12]);
}

/// Bits that change after they were verified: the checksum tells, and the one before is found. Or both are gone: an error says so.
#[test]
fn pages_that_forget() {
    let history = history();
    let (mut newest, mut older, mut damaged) = (0, 0, 0);
    for seed in 0..300 {
        let mut flash = Flash::new(9, seed);
        for page in 0..9 {
            if seed >> page & 1 == 1 {
                let wear = Wear::Forgets;
                flash.wears(page, Endurance { erasures: 0, wear });
            }
        }
        for steps in 1..=4 {
            let snapshot = history[steps as usize].snapshot(steps);
            store(&mut flash, 3).save(Small, &snapshot).unwrap();
        }
        flash.power_on();
        let mut state = State::unset();
        let loaded = store(&mut flash, 3).load(Small, state.snapshot_mut());
        match loaded {
            Ok(Some(found)) => {
                assert_eq!(state.bits(), history[found.steps as usize].bits());
                newest += u32::from(found.steps == 4);
                older += u32::from(found.steps < 4);
            }
            Ok(None) => panic!("there are records: a page has 32 words, and one bit was changed"),
            Err(error) => {
                assert!(
                    matches!(error, CheckpointError::Damaged { .. }),
                    "{error:?}"
                );
                assert_eq!(state, State::unset());
                damaged += 1;
            }
        }
        // It goes on in any case, and what was newer and damaged stays behind.
        let saved = store(&mut flash, 3).save(Small, &history[9].snapshot(9));
        let saved = saved.unwrap();
        let found = store(&mut flash, 3).newest().unwrap();
        assert_eq!(found, Some(saved));
    }
    println!("300 memories forget: {newest} newest found, {older} older, {damaged} damaged");
    assert!(newest > 20 && older > 20 && damaged > 20);
}
