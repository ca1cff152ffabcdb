//! A training run, and what is known of every step of it.

use host_tests::session::{Buffers, Samples};
use lightlayers::checkpoint::{Checkpoint, CheckpointStore, Snapshot, SnapshotMut, USER_DATA};
use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::optim::{Adam, Optimizer};
use lightlayers::{Model, Network, Trainer};

/// Everything that has a state of its own: moving statistics, dropout, the optimizer.
#[derive(Clone, Copy)]
pub(crate) struct Small;

impl Model for Small {
    const NET: Network = Network::input(1, 2, 1)
        .conv2d(2, 1)
        .batch_norm()
        .relu()
        .flatten()
        .dropout(0.25)
        .dense(2);
}

pub(crate) const NET: Network = Small::NET;
pub(crate) const SAVES: u32 = 200;
pub(crate) const DROPOUT_SEED: u64 = 0x0123_4567_89ab_cdef;
const SAMPLES: usize = 12;

/// What a checkpoint holds.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct State {
    pub(crate) weights: Vec<f32>,
    pub(crate) optimizer_state: Vec<f32>,
}

impl State {
    /// Filled with what no run has.
    pub(crate) fn unset() -> Self {
        State {
            weights: vec![-7.0; NET.weights()],
            optimizer_state: vec![-7.0; NET.optimizer_state::<Adam>()],
        }
    }

    /// As bits: -0 is not 0.
    pub(crate) fn bits(&self) -> Vec<u32> {
        let values = self.weights.iter().chain(&self.optimizer_state);
        values.map(|value| value.to_bits()).collect()
    }

    pub(crate) fn snapshot(&self, steps: u32) -> Snapshot<'_> {
        Snapshot {
            weights: &self.weights,
            optimizer_state: &self.optimizer_state,
            steps,
            dropout_seed: DROPOUT_SEED,
            user_data: user_data(steps),
            ..Snapshot::default()
        }
    }

    pub(crate) fn snapshot_mut(&mut self) -> SnapshotMut<'_> {
        SnapshotMut {
            weights: &mut self.weights,
            optimizer_state: &mut self.optimizer_state,
            gradients: None,
        }
    }
}

pub(crate) fn user_data(steps: u32) -> [u8; USER_DATA] {
    let mut data = [steps as u8; USER_DATA];
    data[..4].copy_from_slice(&(!steps).to_le_bytes());
    data
}

pub(crate) fn buffers<O: Optimizer>() -> Buffers {
    let mut weights = vec![0.0; NET.weights()];
    NET.initialize(&mut weights, 5).expect("weights that fit");
    Buffers::new::<O>(&NET, &weights, 4)
}

pub(crate) type Session<'m, O> = Trainer<'m, Small, SoftmaxCrossEntropy, O>;

pub(crate) fn session<O: Optimizer>(optimizer: O, buffers: &mut Buffers) -> Session<'_, O> {
    let loss = SoftmaxCrossEntropy::new();
    Trainer::new(Small, loss, optimizer, buffers.memory()).expect("buffers fit")
}

/// The next step; which samples it is on is a function of the steps so far.
pub(crate) fn step<O: Optimizer>(trainer: &mut Session<'_, O>, samples: &mut Samples) {
    let first = trainer.steps() as usize * 5;
    let indices = (first..first + 4).map(|index| index % SAMPLES);
    // A range has a length that a map over it keeps.
    trainer.step(samples, indices, 0.02).expect("a step");
}

pub(crate) fn samples() -> Samples {
    Samples::classes(&NET, SAMPLES, 9)
}

/// The state after each step of a run without a break, from none to [`SAVES`].
pub(crate) fn history() -> Vec<State> {
    let mut samples = samples();
    let mut whole = buffers::<Adam>();
    let mut trainer = session(Adam::new(), &mut whole).with_dropout_seed(DROPOUT_SEED);
    // A trainer does not show the state of its optimizer. Another one is given back its memory after each step.
    let mut stepwise = buffers::<Adam>();
    let state = |buffers: &Buffers| State {
        weights: buffers.weights.clone(),
        optimizer_state: buffers.optimizer_state.clone(),
    };
    let mut history = vec![state(&stepwise)];
    for steps in 0..SAVES {
        let stopped = session(Adam::new(), &mut stepwise).with_steps(steps);
        step(&mut stopped.with_dropout_seed(DROPOUT_SEED), &mut samples);
        step(&mut trainer, &mut samples);
        assert_eq!(trainer.weights(), stepwise.weights, "step {steps}");
        history.push(state(&stepwise));
    }
    history
}

/// Loads into fresh memory, and checks that it is byte for byte what the run had at that step.
pub(crate) fn load_and_compare<F: embedded_storage::nor_flash::NorFlash>(
    store: &mut CheckpointStore<F>,
    history: &[State],
) -> Option<Checkpoint>
where
    F::Error: PartialEq,
{
    let mut state = State::unset();
    let found = store.load(Small, state.snapshot_mut()).expect("a load");
    let Some(checkpoint) = found else {
        assert_eq!(
            state,
            State::unset(),
            "nothing is written without a checkpoint"
        );
        return None;
    };
    assert_eq!(state.bits(), history[checkpoint.steps as usize].bits());
    assert_eq!(checkpoint.user_data, user_data(checkpoint.steps));
    assert_eq!(checkpoint.dropout_seed, DROPOUT_SEED);
    Some(checkpoint)
}
