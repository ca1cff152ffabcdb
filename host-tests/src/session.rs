//! Runs networks of the library in buffers that are made to measure.

use std::cell::RefCell;
use std::convert::Infallible;

use lightlayers::dataset::{Dataset, Target};
use lightlayers::loss::Loss;
use lightlayers::optim::{Optimizer, Sgd};
use lightlayers::{Error, Inference, Memory, Network, Op, Plan, Trainer, WindowSize};
use ndarray::Array2;

use crate::{custom, sample};

/// Adds layers to a network.
pub type Add = fn(Network) -> Network;

/// What a network should answer to a sample.
#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    /// A class.
    Class(usize),
    /// One value for each output.
    Values(Vec<f32>),
}

/// Samples in memory.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Samples(pub Vec<(Vec<f32>, Answer)>);

impl Samples {
    /// The rows of two tables: `x` `[samples, inputs]` and `target` `[samples, outputs]`.
    pub fn from_rows(x: &[f32], target: &[f32], samples: usize) -> Self {
        let (inputs, outputs) = (x.len() / samples, target.len() / samples);
        let rows = x.chunks(inputs).zip(target.chunks(outputs));
        let rows = rows.map(|(x, target)| (x.to_vec(), Answer::Values(target.to_vec())));
        Samples(rows.collect())
    }

    /// Samples for a classifier: inputs drawn uniformly from -1 to 1, classes in turn.
    pub fn classes(net: &Network, samples: usize, seed: u64) -> Self {
        let (inputs, classes) = (net.input_shape().len(), net.output_shape().len());
        let x = values(samples * inputs, 1.0, seed);
        let rows = x.chunks(inputs).enumerate();
        let rows = rows.map(|(n, x)| (x.to_vec(), Answer::Class(n % classes)));
        Samples(rows.collect())
    }

    /// The inputs in `f64`, `[samples, inputs]`.
    pub fn inputs(&self) -> Array2<f64> {
        let rows: Vec<&[f32]> = self.0.iter().map(|(x, _)| x.as_slice()).collect();
        to_array(&rows.concat(), self.0.len())
    }

    /// The targets in `f64`, `[samples, outputs]`, a class as ones and zeros.
    pub fn targets(&self, outputs: usize) -> Array2<f64> {
        Array2::from_shape_fn((self.0.len(), outputs), |(n, o)| match &self.0[n].1 {
            Answer::Class(class) => f64::from(*class == o),
            Answer::Values(values) => f64::from(values[o]),
        })
    }
}

impl Dataset for Samples {
    type Error = Infallible;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn read(
        &mut self,
        index: usize,
        input: &mut [f32],
        target: &mut Target<'_>,
    ) -> Result<(), Infallible> {
        let (x, answer) = &self.0[index];
        input.copy_from_slice(x);
        match answer {
            Answer::Class(class) => target.set_class(*class),
            Answer::Values(values) => target.values_mut().copy_from_slice(values),
        }
        Ok(())
    }
}

/// The buffers of a training session.
#[derive(Clone, PartialEq, Debug)]
pub struct Buffers {
    /// The weights.
    pub weights: Vec<f32>,
    /// The gradients.
    pub gradients: Vec<f32>,
    /// The optimizer's state.
    pub optimizer_state: Vec<f32>,
    /// The workspace.
    pub workspace: Vec<f32>,
}

impl Buffers {
    /// Starts from `weights`, for `capacity` samples at once. What the library does not ask to be 0
    /// is NaN.
    pub fn new<O: Optimizer>(net: &Network, weights: &[f32], capacity: usize) -> Self {
        Buffers {
            weights: weights.to_vec(),
            gradients: vec![f32::NAN; net.trainable_weights()],
            optimizer_state: vec![0.0; net.optimizer_state::<O>()],
            workspace: vec![f32::NAN; net.training_workspace(capacity)],
        }
    }

    /// Lends the buffers to a trainer.
    pub fn memory(&mut self) -> Memory<'_> {
        Memory {
            weights: &mut self.weights,
            gradients: &mut self.gradients,
            optimizer_state: &mut self.optimizer_state,
            workspace: &mut self.workspace,
        }
    }
}

/// The loss `Σ y · target` over the batch, so that the target is the gradient of the outputs. It
/// keeps the outputs of training, which the library shows to nobody else.
#[derive(Debug, Default)]
pub struct Upstream {
    outputs: RefCell<Vec<f32>>,
}

impl Upstream {
    /// The outputs since the last call.
    pub fn take_outputs(&self) -> Vec<f32> {
        self.outputs.take()
    }
}

impl Loss for &Upstream {
    fn gradient(&self, outputs: &mut [f32], target: &[f32], _: f32) -> f32 {
        self.outputs.borrow_mut().extend_from_slice(outputs);
        let loss = outputs.iter().zip(target).map(|(y, dy)| y * dy).sum();
        outputs.copy_from_slice(target);
        loss
    }
}

/// `len` values drawn uniformly from `-limit..limit`.
pub fn values(len: usize, limit: f64, seed: u64) -> Vec<f32> {
    let drawn = sample::uniform(len, -limit, limit, seed);
    drawn.iter().map(|value| *value as f32).collect()
}

/// Weights of the size that keeps the values of a network near 1, biases too: uniform in
/// ±sqrt(3 / inputs) of the layer's sums, LightDense's factors larger by its scale. Moving variances
/// are from 0.5 to 1.5.
pub fn random_weights(net: &Network, seed: u64) -> Vec<f32> {
    let mut weights = Vec::new();
    for (index, layer) in net.layers().iter().enumerate() {
        let inputs = layer.input_shape().len() as f64;
        let channels = f64::from(layer.input_shape().channels);
        let area = |window: WindowSize| f64::from(window.kernel.0) * f64::from(window.kernel.1);
        let limit = match *layer.op() {
            Op::Dense { .. } => (3.0 / inputs).sqrt(),
            Op::LightDense { units, rank } => {
                let scale = 2.0 / f64::from(units);
                (3.0 / (scale * (inputs * f64::from(rank)).sqrt())).sqrt()
            }
            Op::Conv2d { window, .. } => (3.0 / (area(window) * channels)).sqrt(),
            Op::LightConv2d { rank, window, .. } => {
                (3.0 / (area(window) * (channels * f64::from(rank)).sqrt())).sqrt()
            }
            Op::DepthwiseConv2d { window, .. } => (3.0 / area(window)).sqrt(),
            Op::SeparableConv2d {
                window, multiplier, ..
            } => (3.0 / (area(window) * channels * f64::from(multiplier)).sqrt()).sqrt(),
            _ => 1.5,
        };
        let seed = seed.wrapping_mul(1_000_003).wrapping_add(index as u64);
        weights.extend(values(layer.weights(), limit, seed));
    }
    for layer in net.layers() {
        if matches!(layer.op(), Op::BatchNorm { .. }) {
            let channels = usize::from(layer.output_shape().channels);
            let seed = seed.wrapping_add(weights.len() as u64);
            weights.extend(values(channels, 0.5, seed));
            let variances = values(channels, 0.5, seed + 1);
            weights.extend(variances.iter().map(|value| 1.0 + value));
        }
    }
    weights
}

/// The rows of `values` in `f64`.
pub fn to_array(values: &[f32], rows: usize) -> Array2<f64> {
    let shape = (rows, values.len() / rows);
    let values = values.iter().copied().map(f64::from).collect();
    Array2::from_shape_vec(shape, values).expect("whole rows")
}

/// The outputs of the samples `x`: vectors `capacity` at once, images one after another.
pub fn infer(net: &Network, weights: &[f32], x: &[f32], capacity: usize) -> Vec<f32> {
    try_infer(net, weights, x, capacity).expect("finite outputs of whole samples")
}

/// The same, or why there are no outputs.
pub fn try_infer(
    net: &Network,
    weights: &[f32],
    x: &[f32],
    capacity: usize,
) -> Result<Vec<f32>, Error> {
    let plan = Plan::new(net);
    let mut workspace = vec![f32::NAN; net.inference_workspace() * capacity];
    let mut inference = Inference::new(&plan, weights, &mut workspace).expect("buffers fit");
    let at_once = if net.has_flat_input() { capacity } else { 1 };
    let mut outputs = Vec::new();
    for x in x.chunks(net.input_shape().len() * at_once) {
        outputs.extend_from_slice(inference.run(x)?);
    }
    Ok(outputs)
}

/// What layers do with a batch in training.
pub struct Pass {
    /// The outputs.
    pub y: Vec<f32>,
    /// The gradient of the inputs.
    pub dx: Vec<f32>,
    /// The gradients of the weights.
    pub gradients: Vec<f32>,
    /// The moving statistics of batch normalization after the pass.
    pub moving: Vec<f32>,
}

/// The number of moving statistics of batch normalization: they lie behind all other weights.
pub fn moving_statistics(net: &Network) -> usize {
    let normalizing = net.layers().iter();
    let normalizing = normalizing.filter(|layer| matches!(layer.op(), Op::BatchNorm { .. }));
    normalizing
        .map(|layer| 2 * usize::from(layer.output_shape().channels))
        .sum()
}

/// One forward and backward pass of the layers that `add` adds to `input`, a network without layers,
/// for the samples `x` and the gradient `dy` of the outputs.
pub fn pass(
    input: Network,
    add: impl Fn(Network) -> Network,
    weights: &[f32],
    x: &[f32],
    dy: &[f32],
) -> Pass {
    let batch = x.len() / input.input_shape().len();
    let net = add(custom::probe(input, batch));
    let mut all_weights = vec![0.0; x.len()];
    all_weights.extend_from_slice(weights);

    let upstream = Upstream::default();
    let mut buffers = Buffers::new::<Sgd>(&net, &all_weights, batch);
    let plan = Plan::new(&net);
    let mut trainer = Trainer::new(&plan, &upstream, Sgd, buffers.memory()).expect("buffers fit");
    let mut samples = Samples::from_rows(x, dy, batch);
    trainer
        .step(&mut samples, 0..batch, 0.0)
        .expect("finite samples");
    let (dx, gradients) = buffers.gradients.split_at(x.len());
    let trained = net.weights() - moving_statistics(&net);
    Pass {
        y: upstream.take_outputs(),
        dx: dx.to_vec(),
        gradients: gradients.to_vec(),
        moving: buffers.weights[trained..].to_vec(),
    }
}

/// How a training run goes about its samples.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Samples of a minibatch.
    pub batch: usize,
    /// Samples that the workspace holds.
    pub capacity: usize,
    /// Optimizer steps.
    pub steps: usize,
    /// The learning rate.
    pub rate: f32,
    /// The seed of dropout.
    pub dropout_seed: u64,
}

impl Default for Run {
    fn default() -> Self {
        Run {
            batch: 8,
            capacity: 1,
            steps: 1,
            rate: 0.1,
            dropout_seed: 0,
        }
    }
}

impl Run {
    /// The minibatches: the samples in order, again and again, the last of each epoch smaller.
    pub fn minibatches(&self, samples: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
        let (batch, steps) = (self.batch, self.steps);
        let starts = (0..samples).step_by(batch).cycle().take(steps);
        starts.map(move |start| start..samples.min(start + batch))
    }

    /// Trains; returns the loss of each step and the weights after it.
    pub fn train<L: Loss, O: Optimizer>(
        &self,
        net: &Network,
        loss: L,
        optimizer: O,
        weights: &[f32],
        samples: &Samples,
    ) -> Vec<Taken> {
        let mut samples = samples.clone();
        let mut buffers = Buffers::new::<O>(net, weights, self.capacity);
        let plan = Plan::new(net);
        let mut trainer = self.trainer(&plan, loss, optimizer, &mut buffers);
        let mut taken = Vec::new();
        for minibatch in self.minibatches(samples.len()) {
            let metrics = trainer
                .step(&mut samples, minibatch, self.rate)
                .expect("a step");
            taken.push(Taken {
                loss: metrics.loss(),
                gradients: trainer.gradients().to_vec(),
                weights: trainer.weights().to_vec(),
            });
        }
        taken
    }

    /// A trainer with these settings.
    pub fn trainer<'m, L: Loss, O: Optimizer>(
        &self,
        plan: &'m Plan,
        loss: L,
        optimizer: O,
        buffers: &'m mut Buffers,
    ) -> Trainer<'m, &'m Plan, L, O> {
        let trainer = Trainer::new(plan, loss, optimizer, buffers.memory());
        trainer
            .expect("buffers fit")
            .with_dropout_seed(self.dropout_seed)
    }
}

/// A step of a training run.
#[derive(Clone, PartialEq, Debug)]
pub struct Taken {
    /// The loss before the step, penalties included.
    pub loss: f32,
    /// The gradients, clipped.
    pub gradients: Vec<f32>,
    /// The weights after the step.
    pub weights: Vec<f32>,
}

/// What a dropout layer multiplies the values of a minibatch with in training, `[batch, values]`:
/// 0 or `1 / (1 - rate)`.
///
/// It is seen from outside: a network with the layer at the same place is given ones.
pub fn dropout_factors(
    net: &Network,
    layer: usize,
    seed: u64,
    step: usize,
    batch: usize,
) -> Array2<f64> {
    let Op::Dropout { rate } = *net.layers()[layer].op() else {
        panic!("layer {layer} is no dropout");
    };
    let values = net.layers()[layer].output_shape().len();
    let below = (0..layer).fold(Network::features(values), |net, _| net.flatten());
    let alone = below.dropout(rate);
    let upstream = Upstream::default();
    let run = Run {
        batch,
        capacity: batch,
        dropout_seed: seed,
        ..Run::default()
    };
    let mut buffers = Buffers::new::<Sgd>(&alone, &[], batch);
    let plan = Plan::new(&alone);
    let mut trainer = run.trainer(&plan, &upstream, Sgd, &mut buffers);
    let ones = vec![1.0; batch * values];
    let mut samples = Samples::from_rows(&ones, &ones, batch);
    for _ in 0..step {
        upstream.take_outputs();
        trainer.step(&mut samples, 0..batch, 0.0).expect("a step");
    }
    to_array(&upstream.take_outputs(), batch)
}

/// The text of an error. Panics unless it is one line in lower case without a full stop; a range
/// may end in two.
pub fn message<D: std::fmt::Display>(error: &Error<D>) -> String {
    let text = error.to_string();
    let full_stop = text.ends_with('.') && !text.ends_with("..");
    assert!(!text.contains('\n') && !full_stop, "{text}");
    assert!(!text.starts_with(char::is_uppercase), "{text}");
    text
}
