//! Three small networks, trained for 200 steps each and then quantized: the checksums of their weights, of the quantized ones, and of what
//! the quantized networks answer are the same on every processor.
//!
//! Between them they have the layers that multiply, normalize and pool, both ways of drawing starting weights, the optimizers and a
//! learning rate that is a cosine. The largest takes 13 KB.

use core::fmt;
use core::marker::PhantomData;

use crc32fast::Hasher;
use lightlayers::dataset::{Dataset, Holdout, Target};
use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::optim::{Adam, ClipNorm, Momentum, Optimizer, Sgd};
use lightlayers::quant::Int8Inference;
use lightlayers::schedule::{Cosine, Schedule};
use lightlayers::{Error, Initializer, Memory, Model, Network, Padding, Permutation, Trainer};

use crate::digits::{DIGITS, TEST_EVERY};
use crate::int8::{Buffers, Sizes, buffer, calibrated};

/// Optimizer steps.
pub const STEPS: u32 = 200;

/// Samples per step, all of them at once.
const BATCH: usize = 4;

/// Samples that a network is calibrated with, and as many others that the quantized one answers.
const SAMPLES: usize = 24;

#[derive(Clone, Copy)]
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

#[derive(Clone, Copy)]
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

#[derive(Clone, Copy)]
struct Blocks;

impl Model for Blocks {
    const NET: Network = {
        let net = Network::input(8, 8, 1)
            .separable_conv2d(4, 3)
            .stride(2)
            .batch_norm()
            .relu6();
        let body = net.depthwise_conv2d(3, 1).relu().conv2d(4, 1);
        net.residual(body, net)
            .average_pool2d(2)
            .zero_padding2d(1)
            .conv2d(6, 3)
            .padding(Padding::Valid)
            .tanh()
            .global_average_pool()
            .dense(10)
    };
}

/// What is quantized of a network: without batch normalization and layers of two factors. With `SOFTMAX`, it answers shares.
#[derive(Clone, Copy)]
struct Integers<M, const SOFTMAX: bool>(PhantomData<M>);

impl<M: Model, const SOFTMAX: bool> Model for Integers<M, SOFTMAX> {
    const NET: Network = {
        let net = M::NET.fold_batch_norm().split_factors();
        if SOFTMAX { net.softmax() } else { net }
    };
}

/// The elements of `f32` that [`dense`] wants.
pub const DENSE: usize = elements::<ClipNorm<Adam>>(&Dense::NET);

/// The elements of `f32` that [`images`] wants.
pub const IMAGES: usize = elements::<Momentum>(&Images::NET);

/// The elements of `f32` that [`blocks`] wants.
pub const BLOCKS: usize = elements::<Momentum>(&Blocks::NET);

/// Training takes them all; quantizing takes fewer, and fails if it does not.
const fn elements<O: Optimizer>(net: &Network) -> usize {
    net.weights()
        + net.trainable_weights()
        + net.optimizer_state::<O>()
        + net.training_workspace(BATCH)
}

/// The CRC-32 of what a network becomes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Checksums {
    /// Of the weights after their steps.
    pub learned: u32,
    /// Of the words of the quantized weights.
    pub quantized: u32,
    /// Of all outputs of the quantized network.
    pub answers: u32,
}

impl fmt::Display for Checksums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            learned,
            quantized,
            answers,
        } = self;
        write!(f, "{learned:08x} {quantized:08x} {answers:08x}")
    }
}

/// Trains `light_dense` and `dense` layers in `memory`, and quantizes them there.
///
/// # Errors
///
/// [`Error::Length`] if `memory` has fewer than [`DENSE`] elements.
pub fn dense(memory: &mut [f32]) -> Result<Checksums, Error<Error>> {
    let optimizer = ClipNorm::new(0.5, Adam::new()).map_err(Error::widen)?;
    let learned = train(Dense, optimizer, 0.02, memory)?;
    checksums::<Dense, false>(learned, memory)
}

/// The same with `conv2d`, `light_conv2d`, `batch_norm` and `max_pool2d` layers.
///
/// # Errors
///
/// [`Error::Length`] if `memory` has fewer than [`IMAGES`] elements.
pub fn images(memory: &mut [f32]) -> Result<Checksums, Error<Error>> {
    let optimizer = Sgd::momentum(0.9).map_err(Error::widen)?;
    let learned = train(Images, optimizer, 0.05, memory)?;
    checksums::<Images, false>(learned, memory)
}

/// The same with `separable_conv2d` and `depthwise_conv2d` layers, an addition and means, and with a softmax once it is quantized.
///
/// # Errors
///
/// [`Error::Length`] if `memory` has fewer than [`BLOCKS`] elements.
pub fn blocks(memory: &mut [f32]) -> Result<Checksums, Error<Error>> {
    let optimizer = Sgd::momentum(0.9).map_err(Error::widen)?;
    let learned = train(Blocks, optimizer, 0.05, memory)?;
    checksums::<Blocks, true>(learned, memory)
}

// Not inlined, so that the stacks of training and of quantizing do not add up.
#[inline(never)]
fn train<M: Model, O: Optimizer>(
    model: M,
    optimizer: O,
    peak: f32,
    memory: &mut [f32],
) -> Result<u32, Error<Error>> {
    // What is left of a memory that is too short is an empty buffer, which the trainer refuses.
    let mut rest = memory;
    let memory = Memory {
        weights: buffer(&mut rest, M::NET.weights()),
        gradients: buffer(&mut rest, M::NET.trainable_weights()),
        optimizer_state: buffer(&mut rest, M::NET.optimizer_state::<O>()),
        workspace: buffer(&mut rest, M::NET.training_workspace(BATCH)),
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
    let words = trainer.weights().iter().map(|weight| weight.to_bits());
    Ok(checksum(words))
}

/// Quantizes the trained weights at the start of `memory`, in the rest of it.
#[inline(never)]
fn checksums<M: Model + Copy, const SOFTMAX: bool>(
    learned: u32,
    memory: &mut [f32],
) -> Result<Checksums, Error<Error>> {
    let mut rest = memory;
    let trained = buffer(&mut rest, const { M::NET.weights() });
    let weights = buffer(&mut rest, const { Integers::<M, SOFTMAX>::NET.weights() });
    let sizes = const { &Sizes::of(&Integers::<M, SOFTMAX>::NET) };
    let mut buffers = Buffers::of(sizes, &mut rest);

    without_factors::<M>(trained, weights).map_err(Error::widen)?;
    let model = Integers::<M, SOFTMAX>(PhantomData);
    let mut training = Holdout::training(DIGITS, TEST_EVERY).map_err(Error::widen)?;
    calibrated(model, weights, &mut training, SAMPLES, &mut buffers)?;
    Ok(Checksums {
        learned,
        quantized: checksum(buffers.words.iter().copied()),
        answers: answers(model, buffers)?,
    })
}

/// The weights of the network without batch normalization and layers of two factors.
#[inline(never)]
fn without_factors<M: Model>(trained: &[f32], weights: &mut [f32]) -> Result<(), Error> {
    let net = const { &M::NET };
    net.fold_batch_norm_weights(trained, weights)?;
    const { &M::NET.fold_batch_norm() }.split_factors_weights(weights)
}

/// The CRC-32 of what the quantized network makes of the first images for testing.
#[inline(never)]
fn answers<M: Model, const SOFTMAX: bool>(
    model: Integers<M, SOFTMAX>,
    buffers: Buffers<'_>,
) -> Result<u32, Error<Error>> {
    let mut testing = Holdout::testing(DIGITS, TEST_EVERY).map_err(Error::widen)?;
    let workspace = bytemuck::must_cast_slice_mut(buffers.workspace);
    let inference = Int8Inference::new(model, buffers.words, workspace);
    let mut inference = inference.map_err(Error::widen)?;
    let mut hasher = Hasher::new();
    for index in 0..SAMPLES {
        let read = testing.read(index, buffers.input, &mut Target::new(buffers.target));
        read.map_err(Error::Dataset)?;
        let answer = inference.run_real(buffers.input, buffers.integers);
        hasher.update(bytemuck::must_cast_slice(answer.map_err(Error::widen)?));
    }
    Ok(hasher.finalize())
}

fn checksum(words: impl Iterator<Item = u32>) -> u32 {
    let mut hasher = Hasher::new();
    for word in words {
        hasher.update(&word.to_le_bytes());
    }
    hasher.finalize()
}
