//! What does not fit together: ranges, slots, networks, buffers. The exact error, and its text.

use host_tests::flash::{FlashError, SimulatedFlash};
use host_tests::session::random_weights;
use lightlayers::checkpoint::{CheckpointError, CheckpointStore, Snapshot, SnapshotMut};
use lightlayers::file::{FileError, Setting};
use lightlayers::{Buffer, Error, Network, Plan};

use crate::run::{NET, Small, State, history, load_and_compare};

type Flash = SimulatedFlash<4, 256>;
type Failure = CheckpointError<FlashError>;

/// One line in lower case without a full stop.
fn message(error: Failure) -> String {
    let text = error.to_string();
    assert!(!text.contains('\n') && !text.ends_with('.'), "{text}");
    assert!(!text.starts_with(char::is_uppercase), "{text}");
    text
}

#[test]
fn ranges_that_are_no_slots() {
    let cases = [
        (0..1024, 1, "checkpoint: expected at least 2 slots, found 1"),
        (0..1024, 0, "checkpoint: expected at least 2 slots, found 0"),
        (
            128..1152,
            2,
            "checkpoint: expected a range with a start that is a multiple of 256 bytes, found 128",
        ),
        (
            0..1024,
            3,
            "checkpoint: expected a range with a length that is a multiple of 768 bytes, found 1024",
        ),
        (
            0..700,
            2,
            "checkpoint: expected a range with a length that is a multiple of 512 bytes, found 700",
        ),
        (
            0..1024,
            u32::MAX,
            "checkpoint: expected slots of at least 256 bytes, found 0",
        ),
        (
            512..512,
            2,
            "checkpoint: expected slots of at least 256 bytes, found 0",
        ),
        #[expect(clippy::reversed_empty_ranges, reason = "that is the mistake")]
        (
            1024..512,
            2,
            "checkpoint: expected slots of at least 256 bytes, found 0",
        ),
        (
            1024..3072,
            2,
            "checkpoint: expected a range in the 2048 bytes of the flash memory, found one that ends at 3072",
        ),
        (
            256..0xffff_ff00,
            2,
            "checkpoint: expected a range in the 2048 bytes of the flash memory, found one that ends at 4294967040",
        ),
    ];
    // A slot has room for a record and a mark, however small the pages.
    let tiny = CheckpointStore::new(SimulatedFlash::<4, 16>::new(10, 1), 0..128, 2);
    assert_eq!(
        message(tiny.map(|_| ()).unwrap_err()),
        "checkpoint: expected slots of at least 80 bytes, found 64"
    );
    let tiny = CheckpointStore::new(SimulatedFlash::<4, 16>::new(10, 1), 0..160, 2);
    let mut tiny = tiny.unwrap();
    assert_eq!(tiny.newest(), Ok(None));
    assert_eq!(tiny.clear(), Ok(()));
    for (range, slots, expected) in cases {
        let error = CheckpointStore::new(Flash::new(8, 1), range.clone(), slots);
        let error = error.map(|_| ()).unwrap_err();
        assert_eq!(message(error), expected, "{range:?}, {slots}");
    }
}

#[test]
fn slots_that_are_too_small() {
    let mut flash = Flash::new(8, 1);
    let before = flash.bytes().to_vec();
    let mut store = CheckpointStore::new(&mut flash, 0..1024, 2).unwrap();
    let state = &history()[1];
    let error = store.save(Small, &state.snapshot(1)).unwrap_err();
    let CheckpointError::TooSmall {
        expected,
        found: 512,
    } = error
    else {
        panic!("{error:?}");
    };
    assert_eq!(
        message(error),
        format!("checkpoint: expected slots of at least {expected} bytes, found 512")
    );
    assert_eq!(load_and_compare(&mut store, &[]), None);
    assert_eq!(flash.bytes(), before);
}

#[test]
fn buffers_of_a_wrong_length() {
    let mut flash = Flash::new(8, 1);
    let mut store = CheckpointStore::new(&mut flash, 0..2048, 2).unwrap();
    let state = State::unset();
    let length = |buffer, expected, found| {
        CheckpointError::Buffer(Error::Length {
            buffer,
            expected,
            found,
        })
    };
    let (weights, state_len) = (NET.weights(), NET.trainable_weights());
    let short = Snapshot {
        weights: &state.weights[1..],
        ..state.snapshot(1)
    };
    let expected = length(Buffer::Weights, weights, weights - 1);
    assert_eq!(store.save(Small, &short), Err(expected));
    let short = Snapshot {
        optimizer_state: &state.optimizer_state[1..],
        ..state.snapshot(1)
    };
    let expected = length(Buffer::OptimizerState, state_len, 2 * state_len - 1);
    assert_eq!(store.save(Small, &short), Err(expected));
    let short = Snapshot {
        gradients: Some(&[0.0]),
        ..state.snapshot(1)
    };
    let expected = length(Buffer::Gradients, state_len, 1);
    assert_eq!(store.save(Small, &short), Err(expected));

    let mut state = State::unset();
    let short = SnapshotMut {
        weights: &mut state.weights[1..],
        ..SnapshotMut::default()
    };
    let expected = length(Buffer::Weights, weights, weights - 1);
    assert_eq!(store.load(Small, short), Err(expected));
    let short = SnapshotMut {
        gradients: Some(&mut [0.0]),
        ..state.snapshot_mut()
    };
    let expected = length(Buffer::Gradients, state_len, 1);
    assert_eq!(store.load(Small, short), Err(expected));
    assert_eq!(
        message(expected),
        format!("checkpoint: gradients: expected {state_len} elements, found 1")
    );
    let error = store.load_weights(Small, &mut []).unwrap_err();
    assert_eq!(error, length(Buffer::Weights, weights, 0));
}

/// Another network is neither no checkpoint nor a damaged one, and the memory that it would be loaded into is untouched.
#[test]
fn checkpoints_of_another_network() {
    let mut flash = Flash::new(16, 1);
    let mut store = CheckpointStore::new(&mut flash, 0..4096, 2).unwrap();
    let small = NET;
    let others = [
        (
            Network::input(1, 2, 1).conv2d(2, 1),
            "number of layers",
            Setting::Number(6),
            Setting::Number(1),
        ),
        (
            Network::input(1, 2, 1).conv2d(3, 1),
            "output",
            small.layers()[0].output_shape().into(),
            lightlayers::Shape::image(1, 2, 3).into(),
        ),
        (
            small.relu(),
            "number of layers",
            Setting::Number(6),
            Setting::Number(7),
        ),
    ];
    let history = history();
    for (net, what, expected, found) in others {
        let plan = Plan::new(&net);
        let weights = random_weights(&net, 1);
        let snapshot = Snapshot {
            weights: &weights,
            steps: 9,
            ..Snapshot::default()
        };
        store.save(&plan, &snapshot).unwrap();
        let mut state = State::unset();
        let error = store.load(Small, state.snapshot_mut()).unwrap_err();
        assert!(
            matches!(error, CheckpointError::Other(FileError::Differs { what: w, expected: e, found: f, .. })
                if (w, e, f) == (what, expected, found)),
            "{error:?}"
        );
        assert_eq!(state, State::unset());
        let mut loaded = vec![0.0; NET.weights()];
        assert_eq!(store.load_weights(Small, &mut loaded), Err(error));
        // It is there for whoever knows it.
        let found = store.newest().unwrap().expect("a checkpoint");
        assert_eq!(found.steps, 9);
        // The next save of this network is the newest.
        store.save(Small, &history[3].snapshot(3)).unwrap();
        assert_eq!(load_and_compare(&mut store, &history).unwrap().steps, 3);
    }
    // What only training reads: weights fit, training does not.
    let frozen = Network::input(1, 2, 1).conv2d(2, 1).frozen().batch_norm();
    let frozen = frozen.relu().flatten().dropout(0.5).dense(2);
    let plan = Plan::new(&frozen);
    let weights = random_weights(&frozen, 2);
    let snapshot = Snapshot {
        weights: &weights,
        ..Snapshot::default()
    };
    store.save(&plan, &snapshot).unwrap();
    let mut loaded = vec![0.0; NET.weights()];
    store
        .load_weights(Small, &mut loaded)
        .unwrap()
        .expect("weights");
    assert_eq!(loaded, weights);
    let error = store
        .load(Small, State::unset().snapshot_mut())
        .unwrap_err();
    assert_eq!(
        message(error),
        "checkpoint: model file: layer 0 (conv2d): expected frozen no, found yes"
    );
}

#[test]
fn clearing_leaves_nothing() {
    let history = history();
    let mut flash = Flash::new(12, 1);
    let mut store = CheckpointStore::new(&mut flash, 0..3072, 3).unwrap();
    store.clear().unwrap();
    assert_eq!(store.newest(), Ok(None));
    for steps in 1..=5 {
        store
            .save(Small, &history[steps as usize].snapshot(steps))
            .unwrap();
    }
    // Cut off anywhere, the newest is still there, or nothing is: pages 0 to 3 are the oldest's, 8 to 11 those before the newest's.
    for operations in 0..12 {
        let mut flash = store_flash(&history);
        flash.cut_after(operations, host_tests::flash::Torn::Before);
        let mut store = CheckpointStore::new(&mut flash, 0..3072, 3).unwrap();
        assert!(store.clear().is_err());
        flash.power_on();
        let mut store = CheckpointStore::new(&mut flash, 0..3072, 3).unwrap();
        let found = load_and_compare(&mut store, &history).map(|found| found.steps);
        assert_eq!(found, (operations <= 8).then_some(5));
    }
    store.clear().unwrap();
    assert_eq!(load_and_compare(&mut store, &history), None);
    let saved = store.save(Small, &history[1].snapshot(1)).unwrap();
    assert_eq!(saved.sequence, 0);
}

/// Five saves in three slots: 3, 4, 5 are there.
fn store_flash(history: &[State]) -> Flash {
    let mut flash = Flash::new(12, 1);
    let mut store = CheckpointStore::new(&mut flash, 0..3072, 3).unwrap();
    for steps in 1..=5 {
        store
            .save(Small, &history[steps as usize].snapshot(steps))
            .unwrap();
    }
    flash
}
