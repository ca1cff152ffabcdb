//! A layer of your own, with weights and a backward pass, trained inside a network.
//!
//! ```text
//! cargo run --release --example 02_custom_layer
//! ```
//!
//! The layer is Swish with a learned slope (Ramachandran, Zoph and Le, arXiv 1710.05941), one slope `b` for every unit:
//!
//! ```text
//! y = x · s,   s = sigmoid(b · x) = 1 / (1 + exp(-b · x))
//! ```
//!
//! It is a straight line at `b = 0` and close to a ReLU for a large `b`; training finds out what each unit needs.

mod common;

use anyhow::{Result, ensure};
use lightlayers::dataset::{Dataset, Holdout};
use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::optim::{Adam, Sgd};
use lightlayers::schedule::Cosine;
use lightlayers::{
    CustomBackward, CustomForward, CustomLayer, CustomSizes, Epoch, Memory, Model, Network, Rng,
    Trainer, math,
};
use static_cell::ConstStaticCell;

use common::bar::TrainingBar;
use common::digits::{DIGITS, TEST_EVERY};

/// Step 1: the layer. What it learns and what it keeps lie in the network's buffers, so the type itself is empty.
#[derive(Debug)]
struct Swish;

impl CustomLayer for Swish {
    fn name(&self) -> &'static str {
        "swish"
    }

    /// Every slope starts at 1.
    fn initialize(&self, slopes: &mut [f32], _: &mut Rng) {
        slopes.fill(1.0);
    }

    /// `y = x · s`. The sigmoid `s` is kept, so that backward need not compute it again.
    fn forward(&self, pass: CustomForward<'_>) {
        let units = pass.weights.len();
        let outputs = pass.output.iter_mut().zip(pass.saved);
        for (i, ((y, s), x)) in outputs.zip(pass.input).enumerate() {
            *s = 1.0 / (1.0 + math::exp(-pass.weights[i % units] * x));
            *y = x * *s;
        }
    }

    /// `dy/db = x² · s · (1 - s)`, added up over the samples of the batch.
    fn backward_weights(&self, pass: CustomBackward<'_>, gradients: &mut [f32]) {
        let units = pass.weights.len();
        let kept = pass.input.iter().zip(pass.saved);
        for (i, ((x, s), dy)) in kept.zip(pass.output_gradient).enumerate() {
            gradients[i % units] += dy * x * x * s * (1.0 - s);
        }
    }

    /// `dy/dx = s + b · x · s · (1 - s)`.
    fn backward_input(&self, pass: CustomBackward<'_>, gradient: &mut [f32]) {
        let units = pass.weights.len();
        let kept = pass.input.iter().zip(pass.saved);
        let gradients = gradient.iter_mut().zip(pass.output_gradient);
        for (i, ((dx, dy), (x, s))) in gradients.zip(kept).enumerate() {
            *dx = dy * (s + pass.weights[i % units] * x * s * (1.0 - s));
        }
    }
}

/// Step 2: a builder call of its own, a function like any other block of layers. The sizes are all that the planner must know.
const fn swish(net: Network) -> Network {
    let output = net.output_shape();
    let units = output.len() as u16;
    let sizes = CustomSizes {
        output,
        weights: units,
        saved: units,
    };
    net.custom(&Swish, sizes)
}

/// Step 3: a network with it.
struct Digits;

impl Model for Digits {
    const NET: Network = swish(Network::features(64).light_dense(16, 6)).dense(10);
}

const NET: Network = Digits::NET;
const NAMES: [&str; 3] = ["light_dense", "swish", "dense"];

// Memory as firmware has it: statics of exactly the needed length, all 0 and therefore in `.bss`.
static WEIGHTS: ConstStaticCell<[f32; NET.weights()]> = ConstStaticCell::new([0.0; _]);
static GRADIENTS: ConstStaticCell<[f32; NET.trainable_weights()]> = ConstStaticCell::new([0.0; _]);
static OPTIMIZER_STATE: ConstStaticCell<[f32; NET.optimizer_state::<Adam>()]> =
    ConstStaticCell::new([0.0; _]);
static WORKSPACE: ConstStaticCell<[f32; NET.training_workspace(1)]> =
    ConstStaticCell::new([0.0; _]);

fn main() -> Result<()> {
    println!("{}", NET.summary().training::<Adam>(1));

    let mut memory = Memory {
        weights: WEIGHTS.take(),
        gradients: GRADIENTS.take(),
        optimizer_state: OPTIMIZER_STATE.take(),
        workspace: WORKSPACE.take(),
    };
    check_gradients(&mut memory)?;
    NET.initialize(memory.weights, 1)?;
    train(memory)
}

/// Step 4: is the backward pass the derivative of the forward pass? Moves each weight up and down a little, and compares the slope of the
/// loss with the gradient that backward computes.
fn check_gradients(memory: &mut Memory<'_>) -> Result<()> {
    const MOVE: f32 = 1.0 / 64.0;
    const BATCH: std::ops::Range<usize> = 0..8;
    // The functions of the feature `micromath` are not smooth, so the slope between two of their values is less exact.
    const TOLERANCE: f32 = if cfg!(feature = "micromath") {
        0.05
    } else {
        1e-3
    };

    // The starting weights of training are small, and so are their gradients; larger ones are compared with more digits.
    let mut rng = Rng::new(1);
    memory.weights.fill_with(|| 0.5 * rng.normal());
    let mut digits = Holdout::training(DIGITS, TEST_EVERY)?;
    let memory = Memory {
        weights: memory.weights,
        gradients: memory.gradients,
        optimizer_state: &mut [],
        workspace: memory.workspace,
    };
    let mut trainer = Trainer::new(Digits, SoftmaxCrossEntropy::new(), Sgd, memory)?;

    // A step at rate 0 measures loss and gradients and leaves the weights alone.
    trainer.step(&mut digits, BATCH, 0.0)?;
    let gradients = trainer.gradients().to_vec();
    let mut differences = Vec::new();
    for i in 0..NET.weights() {
        let weight = trainer.weights()[i];
        trainer.weights_mut()[i] = weight + MOVE;
        let above = trainer.step(&mut digits, BATCH, 0.0)?.loss();
        trainer.weights_mut()[i] = weight - MOVE;
        let below = trainer.step(&mut digits, BATCH, 0.0)?.loss();
        trainer.weights_mut()[i] = weight;
        differences.push((above - below) / (2.0 * MOVE));
    }

    let first_slope = NET.layers()[0].weights();
    println!("gradient of       backward   finite difference");
    for (slope, i) in (first_slope..).take(5).enumerate() {
        println!(
            "  slope {slope} {:>17.6} {:>19.6}",
            gradients[i], differences[i]
        );
    }
    println!("largest difference, as a part of the layer's largest gradient");
    let mut start = 0;
    for (name, layer) in NAMES.into_iter().zip(NET.layers()) {
        let (mut difference, mut gradient) = (0.0_f32, 0.0_f32);
        for i in start..start + layer.weights() {
            difference = difference.max((gradients[i] - differences[i]).abs());
            gradient = gradient.max(gradients[i].abs());
        }
        start += layer.weights();
        println!("  {name:<12} {:>12.6}", difference / gradient);
        ensure!(
            difference < TOLERANCE * gradient,
            "{name}: backward is not the derivative of forward"
        );
    }
    println!();
    Ok(())
}

/// Step 5: the layer learns like any other.
fn train(memory: Memory<'_>) -> Result<()> {
    const EPOCHS: u32 = 40;
    const BATCH: usize = 32;

    let mut training = Holdout::training(DIGITS, TEST_EVERY)?;
    let mut testing = Holdout::testing(DIGITS, TEST_EVERY)?;
    let schedule = Cosine {
        peak: 0.02,
        warmup: 0,
        decay: EPOCHS * Epoch::in_order(BATCH).steps(training.len()),
        floor: 0.0,
    };
    let mut trainer = Trainer::new(Digits, SoftmaxCrossEntropy::new(), Adam::new(), memory)?;
    let bar = TrainingBar::new(EPOCHS);
    for epoch in 1..=EPOCHS {
        let order = Epoch::shuffled(BATCH, epoch.into());
        let metrics = trainer.epoch(&mut training, order, &schedule, |progress| {
            bar.show(epoch, progress);
        })?;
        let (loss, accuracy) = (metrics.loss(), metrics.accuracy());
        bar.end_of_epoch(epoch, &format!("loss {loss:.4}, accuracy {accuracy:.4}"));
    }
    drop(bar);
    println!(
        "test accuracy {:.4}",
        trainer.evaluate(&mut testing, |_| {})?.accuracy()
    );

    let before = NET.layers()[0].weights();
    let slopes = &trainer.weights()[before..before + NET.layers()[1].weights()];
    println!("slopes, which started at 1: {slopes:.2?}");
    Ok(())
}
