//! The power fails in every single flash operation of 200 saves.

use host_tests::flash::{FlashError, SimulatedFlash, Torn};
use lightlayers::Rng;
use lightlayers::checkpoint::{self, CheckpointError, CheckpointStore};
use lightlayers::optim::Adam;

use crate::run::{
    DROPOUT_SEED, NET, SAVES, Small, State, buffers, history, load_and_compare, samples, session,
    step, user_data,
};

/// What the cuts came to.
#[derive(Default)]
struct Tally {
    operations: u64,
    cuts: u64,
    /// The save that was cut off was complete all the same.
    last: u64,
    /// The one before was found.
    last_but_one: u64,
    /// There was none before.
    first: u64,
    resumed_to_the_end: u64,
}

/// Between two operations always; within one for a third of them. For all of the first and the last ones in every way.
fn tears(steps: u32, operation: u64, operations: u64) -> Vec<Torn> {
    const TORN: [Torn; 3] = [Torn::Prefix, Torn::Bits, Torn::Undefined];
    let turn = (u64::from(steps) + operation) % 9;
    let mut tears = vec![Torn::Before];
    // Erasures come first, the record and the mark last: where a cut matters most.
    if operation < 4 || operation + 8 >= operations {
        tears.extend(TORN);
        tears.push(Torn::After);
    } else {
        tears.extend(TORN.get(turn as usize));
    }
    tears
}

fn cut_everywhere<const WRITE: usize, const ERASE: usize>(slots: u32, reports_torn_words: bool) {
    let history = history();
    let slot = checkpoint::slot_size::<SimulatedFlash<WRITE, ERASE>, Adam>(&NET);
    let range = ERASE as u32..ERASE as u32 + slots * slot;
    let pages = range.end as usize / ERASE + 1;
    let mut flash = SimulatedFlash::<WRITE, ERASE>::new(pages, 1);
    if reports_torn_words {
        flash.report_torn_words();
    }
    let mut tally = Tally::default();
    for steps in 1..=SAVES {
        let snapshot = history[steps as usize].snapshot(steps);
        let before = flash.clone();
        let mut store = CheckpointStore::new(&mut flash, range.clone(), slots).unwrap();
        let saved = store.save(Small, &snapshot).expect("a save");
        assert_eq!(load_and_compare(&mut store, &history), Some(saved));
        let operations = flash.operations() - before.operations();
        tally.operations += operations;

        for operation in 0..operations {
            for torn in tears(steps, operation, operations) {
                let mut flash = before.clone();
                flash.cut_after(operation, torn);
                let mut store = CheckpointStore::new(&mut flash, range.clone(), slots).unwrap();
                let cut = store.save(Small, &snapshot);
                assert_eq!(cut, Err(CheckpointError::Flash(FlashError::Power)));
                flash.power_on();

                tally.cuts += 1;
                let mut store = CheckpointStore::new(&mut flash, range.clone(), slots).unwrap();
                if steps == 1 && reports_torn_words {
                    // A record that cannot be read, and nothing else: nobody knows what it was.
                    if let Err(error) = store.newest() {
                        assert_eq!(error, CheckpointError::Flash(FlashError::Unreadable));
                        store.clear().unwrap();
                    }
                }
                let found = load_and_compare(&mut store, &history).map(|found| found.steps);
                match found {
                    Some(found) if found == steps => tally.last += 1,
                    Some(found) if found + 1 == steps => tally.last_but_one += 1,
                    None if steps == 1 => tally.first += 1,
                    _ => panic!("save {steps}, {torn:?} in operation {operation}: {found:?}"),
                }
                // Sometimes to the end, always a little.
                let until = if tally.cuts.is_multiple_of(1499) || tally.cuts == 1 {
                    tally.resumed_to_the_end += 1;
                    SAVES
                } else {
                    SAVES.min(found.unwrap_or(0) + 1)
                };
                resume(&mut store, &history, until);
            }
        }
    }
    let wear = &flash.erasures()[1..pages - 1];
    let (least, most) = (wear.iter().min().unwrap(), wear.iter().max().unwrap());
    assert!(
        most - least <= 1 && *most == SAVES.div_ceil(slots),
        "{wear:?}"
    );
    assert_eq!(flash.erasures()[0] + flash.erasures()[pages - 1], 0);
    println!(
        "{SAVES} saves, {} flash operations, {} power cuts: 0 lost (words of {WRITE} bytes, pages of {ERASE}, {slots} slots of {slot}): {} \
         times the checkpoint of that save was found, {} times the one before, {} times none before the first; training went on to the same bits, \
         {} times to step {SAVES}, always for a step",
        tally.operations,
        tally.cuts,
        tally.last,
        tally.last_but_one,
        tally.first,
        tally.resumed_to_the_end
    );
}

/// Goes on from what is found with a trainer, saving every step.
fn resume<const WRITE: usize, const ERASE: usize>(
    store: &mut CheckpointStore<&mut SimulatedFlash<WRITE, ERASE>>,
    history: &[State],
    until: u32,
) {
    let mut buffers = buffers::<Adam>();
    let mut samples = samples();
    let mut trainer = session(Adam::new(), &mut buffers);
    if trainer.restore(store).expect("a load").is_none() {
        trainer = trainer.with_dropout_seed(DROPOUT_SEED);
    }
    while trainer.steps() < until {
        step(&mut trainer, &mut samples);
        let steps = trainer.steps();
        trainer.save(store, user_data(steps)).expect("a save");
    }
    let steps = trainer.steps();
    let found = load_and_compare(store, history).map(|found| found.steps);
    assert!(found == Some(steps));
    let expected = &history[steps as usize];
    let state = State {
        weights: buffers.weights,
        optimizer_state: buffers.optimizer_state,
    };
    assert_eq!(state.bits(), expected.bits());
}

/// Cut after cut, most of them in the record or in the mark, in words that read differently every time afterwards: what the last complete
/// save wrote is there, or one that came later.
fn weak_words<const WRITE: usize, const ERASE: usize>(slots: u32) {
    let history = history();
    let slot = checkpoint::slot_size::<SimulatedFlash<WRITE, ERASE>, Adam>(&NET);
    let range = 0..slots * slot;
    let mut flash = SimulatedFlash::<WRITE, ERASE>::new(range.end as usize / ERASE, 1);
    let mut rng = Rng::new(7);
    let mut below = |limit: u64| u64::from(rng.next_u32()) % limit;
    let (mut operations, mut candidates) = (u64::MAX, vec![None]);
    let (mut cuts, mut later) = (0, 0);
    for start in 0..20_000 {
        let mut store = CheckpointStore::new(&mut flash, range.clone(), slots).unwrap();
        let found = load_and_compare(&mut store, &history).map(|found| found.steps);
        assert!(candidates.contains(&found), "{found:?}, {candidates:?}");
        later += u32::from(found != candidates[0]);
        let steps = 1 + start % SAVES;
        let is_cut = start > 0 && below(10) > 0;
        if is_cut {
            let left = if below(5) == 0 { operations } else { 8 };
            flash.cut_after(operations - 1 - below(left), Torn::Weak);
        }
        let before = flash.operations();
        let mut store = CheckpointStore::new(&mut flash, range.clone(), slots).unwrap();
        let saved = store.save(Small, &history[steps as usize].snapshot(steps));
        assert_eq!(saved.is_err(), is_cut);
        if is_cut {
            cuts += 1;
            candidates.push(Some(steps));
            flash.power_on();
        } else {
            // Some saves erase a page more.
            operations = operations.min(flash.operations() - before);
            candidates = vec![Some(steps)];
        }
    }
    println!(
        "{cuts} power cuts that leave weak bits, {slots} slots: 0 lost; {later} times a later checkpoint than that of the last complete save"
    );
    assert!(cuts > 15_000 && later > 2000);
}

#[test]
fn weak_words_in_the_least_slots() {
    weak_words::<4, 256>(2);
}

#[test]
fn weak_words_in_more_slots() {
    weak_words::<16, 1024>(3);
    weak_words::<8, 256>(5);
}

#[test]
fn words_of_4_bytes_in_slots_of_several_pages() {
    cut_everywhere::<4, 256>(2, false);
}

#[test]
fn words_of_8_bytes_that_are_checked_when_they_are_read() {
    cut_everywhere::<8, 2048>(2, true);
}

#[test]
fn words_of_32_bytes() {
    cut_everywhere::<32, 512>(3, false);
}

#[test]
fn words_of_256_bytes() {
    cut_everywhere::<256, 4096>(5, false);
}
