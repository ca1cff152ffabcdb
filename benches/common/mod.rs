//! What the benches share: noise to learn, and one measurement of each kind.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Throughput};
use lightlayers::dataset::{Dataset, Target};
use lightlayers::loss::Loss;
use lightlayers::optim::Optimizer;
use lightlayers::{Inference, Memory, Network, Plan, Rng, Trainer};

/// The samples of a minibatch.
pub const BATCH: usize = 64;

/// A minibatch of random samples, of 10 classes in turn.
struct Noise {
    inputs: usize,
    values: Vec<f32>,
}

impl Dataset for Noise {
    type Error = core::convert::Infallible;

    fn len(&self) -> usize {
        BATCH
    }

    fn read(
        &mut self,
        index: usize,
        input: &mut [f32],
        target: &mut Target<'_>,
    ) -> Result<(), Self::Error> {
        input.copy_from_slice(&self.values[index * self.inputs..(index + 1) * self.inputs]);
        target.set_class(index % 10);
        Ok(())
    }
}

fn noise(len: usize) -> Vec<f32> {
    let mut rng = Rng::new(1);
    (0..len).map(|_| rng.uniform()).collect()
}

/// A training step on a minibatch; its work is `passes` times the multiply-accumulates of the forward pass.
pub fn step<L: Loss, O: Optimizer>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: String,
    net: &Network,
    passes: usize,
    loss: L,
    optimizer: O,
) {
    let inputs = net.input_shape().len();
    let mut data = Noise {
        inputs,
        values: noise(BATCH * inputs),
    };
    let plan = Plan::new(net);
    let mut weights = vec![0.0; net.weights()];
    net.initialize(&mut weights, 1).unwrap();
    let memory = Memory {
        weights: &mut weights,
        gradients: &mut vec![0.0; net.trainable_weights()],
        optimizer_state: &mut vec![0.0; net.optimizer_state::<O>()],
        workspace: &mut vec![0.0; net.training_workspace(BATCH)],
    };
    let mut trainer = Trainer::new(&plan, loss, optimizer, memory).unwrap();
    group.throughput(Throughput::Elements(
        (passes * BATCH) as u64 * net.multiply_accumulates(),
    ));
    group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
        bencher.iter(|| trainer.step(&mut data, 0..BATCH, 1e-3).unwrap().loss());
    });
}

/// Inference of `batch` samples at once.
pub fn inference(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: String,
    net: &Network,
    batch: usize,
) {
    let input = noise(batch * net.input_shape().len());
    let plan = Plan::new(net);
    let mut weights = vec![0.0; net.weights()];
    net.initialize(&mut weights, 1).unwrap();
    let mut workspace = vec![0.0; batch * net.inference_workspace()];
    let mut inference = Inference::new(&plan, &weights, &mut workspace).unwrap();
    group.throughput(Throughput::Elements(
        batch as u64 * net.multiply_accumulates(),
    ));
    group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
        bencher.iter(|| inference.run(&input).unwrap()[0]);
    });
}
