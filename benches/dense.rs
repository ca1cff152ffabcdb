//! Dense against LightDense at 784x128: forward, and a whole training step.
//!
//! `cargo bench --bench dense --features std` prints times and multiply-accumulates per second ("elem/s"): where these are
//! equal, factoring saves as much time as it saves work.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lightlayers::dataset::{Dataset, Target};
use lightlayers::loss::MeanSquaredError;
use lightlayers::optim::Sgd;
use lightlayers::{Inference, Memory, Network, Plan, Rng, Trainer};

const INPUTS: usize = 784;
const UNITS: usize = 128;
const BATCH: usize = 64;

/// Nets with one layer, so that a step is its forward pass, its weights' gradients, the loss and the optimizer; and with a layer
/// below it, so that the input's gradient is computed too.
fn networks() -> Vec<(String, Network)> {
    let input = Network::features(INPUTS);
    let mut networks = vec![("dense".to_owned(), input.dense(UNITS))];
    for rank in [4, 8, 16, 32] {
        networks.push((
            format!("light_dense rank {rank}"),
            input.light_dense(UNITS, rank),
        ));
    }
    networks
}

struct Noise(Vec<f32>);

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
        input.copy_from_slice(&self.0[index * INPUTS..(index + 1) * INPUTS]);
        target.values_mut().fill(0.5);
        Ok(())
    }
}

fn noise(len: usize) -> Vec<f32> {
    let mut rng = Rng::new(1);
    (0..len).map(|_| rng.uniform()).collect()
}

fn forward(criterion: &mut Criterion) {
    for batch in [1, BATCH] {
        let mut group = criterion.benchmark_group(format!("forward 784x128, batch {batch}"));
        let input = noise(batch * INPUTS);
        for (name, net) in networks() {
            let plan = Plan::new(&net);
            let mut weights = vec![0.0; net.weights()];
            net.initialize(&mut weights, 1).unwrap();
            let mut workspace = vec![0.0; batch * net.inference_workspace()];
            let mut inference = Inference::new(&plan, &weights, &mut workspace).unwrap();
            group.throughput(Throughput::Elements(
                (batch * net.multiply_accumulates()) as u64,
            ));
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                bencher.iter(|| inference.run(&input).unwrap()[0]);
            });
        }
    }
}

fn step(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group(format!("training step 784x128, batch {BATCH}"));
    let mut data = Noise(noise(BATCH * INPUTS));
    for (name, net) in networks() {
        let plan = Plan::new(&net);
        let mut weights = vec![0.0; net.weights()];
        net.initialize(&mut weights, 1).unwrap();
        let mut gradients = vec![0.0; net.trainable_weights()];
        let mut workspace = vec![0.0; net.training_workspace(BATCH)];
        let memory = Memory {
            weights: &mut weights,
            gradients: &mut gradients,
            optimizer_state: &mut [],
            workspace: &mut workspace,
        };
        let mut trainer = Trainer::new(&plan, MeanSquaredError, Sgd, memory).unwrap();
        // Forward and the gradients of the weights.
        group.throughput(Throughput::Elements(
            (2 * BATCH * net.multiply_accumulates()) as u64,
        ));
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| trainer.step(&mut data, 0..BATCH, 1e-3).unwrap().loss());
        });
    }
}

criterion_group!(benches, forward, step);
criterion_main!(benches);
