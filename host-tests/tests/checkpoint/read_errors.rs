//! What cannot be read once is not what is not there.

use host_tests::flash::{SimulatedFlash, Torn};
use lightlayers::checkpoint::{self, CheckpointStore, Snapshot};
use lightlayers::optim::Adam;
use lightlayers::{Model, Network};

use crate::run::{NET, Small, State, history};

type Flash = SimulatedFlash<8, 1024>;

fn slot() -> u32 {
    checkpoint::slot_size::<Flash, Adam>(&NET)
}

fn flash(slots: u32) -> Flash {
    Flash::new((slots * slot()) as usize / 1024, 1)
}

fn store(flash: &mut Flash, slots: u32) -> CheckpointStore<&mut Flash> {
    CheckpointStore::new(flash, 0..slots * slot(), slots).unwrap()
}

/// The steps of the newest checkpoint of a store that has just started.
fn newest(flash: &mut Flash, slots: u32) -> u32 {
    let mut state = State::unset();
    let found = store(flash, slots).load(Small, state.snapshot_mut());
    found.unwrap().expect("a checkpoint").steps
}

/// A read error at every read of a start, then a power cut at every operation of the next save: of three saves that came to their end,
/// the last one is there, or the fourth one.
#[test]
fn one_read_error_and_then_a_power_cut_lose_nothing() {
    let history = history();
    for slots in [2, 3, 5] {
        let mut saved = flash(slots);
        for steps in 1..=3 {
            let snapshot = history[steps as usize].snapshot(steps);
            store(&mut saved, slots).save(Small, &snapshot).unwrap();
        }
        let mut clean = saved.clone();
        assert_eq!(newest(&mut clean, slots), 3);
        let reads = clean.reads() - saved.reads();
        let mut cuts = 0;
        for at in 0..reads {
            for times in [1, 3] {
                let mut disturbed = saved.clone();
                disturbed.fail_reads(at, times);
                assert_eq!(newest(&mut disturbed, slots), 3, "error at read {at}");
            }
            for operation in (0..).take(40) {
                let mut disturbed = saved.clone();
                disturbed.fail_reads(at, 1);
                disturbed.cut_after(operation, Torn::Before);
                let snapshot = history[4].snapshot(4);
                let result = store(&mut disturbed, slots).save(Small, &snapshot);
                disturbed.power_on();
                let found = newest(&mut disturbed, slots);
                assert!(
                    found == 4 || found == 3 && result.is_err(),
                    "{slots} slots, error at read {at}, cut at {operation}: {found}"
                );
                cuts += 1;
            }
        }
        println!("{slots} slots: {reads} reads, {cuts} cuts, 0 lost");
    }
}

struct Other;

impl Model for Other {
    const NET: Network = Network::features(2).dense(1).bias(false);
}

/// The record of another network, with a high number, cannot be read while this one saves, and can be read later.
#[test]
fn a_record_that_comes_back_does_not_win() {
    let history = history();
    let slots = 3;
    let mut foreign = flash(slots);
    let mut foreign_store = store(&mut foreign, slots);
    let mut last = None;
    for _ in 0..12 {
        let snapshot = Snapshot {
            weights: &[1.0, -1.0],
            ..Snapshot::default()
        };
        last = Some(foreign_store.save(Other, &snapshot).unwrap());
    }
    let last = last.expect("saved");
    // Number 11, in the last slot.
    assert_eq!((last.sequence, last.file.start), (11, 2 * slot()));

    let mut own = flash(slots);
    let mut own_store = store(&mut own, slots);
    own_store.clear().unwrap();
    own_store.save(Small, &history[1].snapshot(1)).unwrap();
    let bytes = 2 * slot() as usize..3 * slot() as usize;
    own.bytes_mut()[bytes.clone()].copy_from_slice(&foreign.bytes()[bytes]);
    own.refuse_reads_of(2 * slot()..3 * slot());
    assert_eq!(newest(&mut own, slots), 1);
    let result = store(&mut own, slots).save(Small, &history[2].snapshot(2));
    result.unwrap();
    own.refuse_reads_of(0..0);
    assert_eq!(newest(&mut own, slots), 2);
}
