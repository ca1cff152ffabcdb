//! Two small networks, trained for 200 steps each: the checksums of their weights are the same on every processor.
//!
//! Between them they have the layers that multiply, normalize and pool, both ways of drawing starting weights, the optimizers and a
//! learning rate that is a cosine. The larger one takes 13 KB.

use crc32fast::Hasher;
use lightlayers::dataset::Holdout;
use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::optim::{Adam, ClipNorm, Momentum, Optimizer, Sgd};
use lightlayers::schedule::{Cosine, Schedule};
use lightlayers::{Error, Initializer, Memory, Model, Network, Permutation, Trainer};

use crate::digits::{DIGITS, TEST_EVERY};

/// Optimizer steps.
pub const STEPS: u32 = 200;

/// Samples per step, all of them at once.
const BATCH: usize = 4;

struct Dense;

impl Model for Dense {
    const NET: Network = Network::input(8, 8, 1)
        .flatten()
        .light_dense(16, 3)
        .kernel_initializer(Initializer::HeNormal)
        .l2(1e-4)
        .relu()
        .dropout(0.1)
        .dense(10);
}

struct Images;

impl Model for Images {
    const NET: Network = Network::input(8, 8, 1)
        .conv2d(4, 3)
        .stride(2)
        .batch_norm()
        .relu()
        .light_conv2d(6, 3, 2)
        .batch_norm()
        .leaky_relu(0.1)
        .max_pool2d(2)
        .flatten()
        .light_dense(10, 4);
}

/// The elements of `f32` that [`dense`] wants.
pub const DENSE: usize = elements::<ClipNorm<Adam>>(&Dense::NET);

/// The elements of `f32` that [`images`] wants.
pub const IMAGES: usize = elements::<Momentum>(&Images::NET);

const fn elements<O: Optimizer>(net: &Network) -> usize {
    net.weights()
        + net.trainable_weights()
        + net.optimizer_state::<O>()
        + net.training_workspace(BATCH)
}

/// Trains `light_dense` and `dense` layers in `memory`, and returns the CRC-32 of the weights.
///
/// # Errors
///
/// [`Error::Length`] if `memory` has fewer than [`DENSE`] elements.
pub fn dense(memory: &mut [f32]) -> Result<u32, Error<Error>> {
    let optimizer = ClipNorm::new(0.5, Adam::new()).map_err(Error::widen)?;
    train(Dense, optimizer, 0.02, memory)
}

/// The same with `conv2d`, `light_conv2d`, `batch_norm` and `max_pool2d` layers.
///
/// # Errors
///
/// [`Error::Length`] if `memory` has fewer than [`IMAGES`] elements.
pub fn images(memory: &mut [f32]) -> Result<u32, Error<Error>> {
    let optimizer = Sgd::momentum(0.9).map_err(Error::widen)?;
    train(Images, optimizer, 0.05, memory)
}

fn train<M: Model, O: Optimizer>(
    model: M,
    optimizer: O,
    peak: f32,
    memory: &mut [f32],
) -> Result<u32, Error<Error>> {
    // What is left of a memory that is too short is an empty buffer, which the trainer refuses.
    let mut rest = memory;
    let mut buffer = |len| rest.split_off_mut(..len).unwrap_or_default();
    let memory = Memory {
        weights: buffer(M::NET.weights()),
        gradients: buffer(M::NET.trainable_weights()),
        optimizer_state: buffer(M::NET.optimizer_state::<O>()),
        workspace: buffer(M::NET.training_workspace(BATCH)),
    };
    let trainer = Trainer::new(model, SoftmaxCrossEntropy::new(), optimizer, memory);
    let mut trainer = trainer.map_err(Error::widen)?.with_dropout_seed(2);
    trainer.initialize(1).map_err(Error::widen)?;

    let mut training = Holdout::training(DIGITS, TEST_EVERY).map_err(Error::widen)?;
    let order = Permutation::new(STEPS * BATCH as u32, 3);
    let schedule = Cosine {
        peak,
        warmup: STEPS / 10,
        decay: STEPS - STEPS / 10,
        floor: 0.0,
    };
    for step in 0..STEPS {
        let start = step as usize * BATCH;
        let samples = (start..start + BATCH).map(|position| order.index(position));
        trainer.step(&mut training, samples, schedule.rate(step))?;
    }
    let mut hasher = Hasher::new();
    for weight in trainer.weights() {
        hasher.update(&weight.to_le_bytes());
    }
    Ok(hasher.finalize())
}
