//! Training steps and single-image inference of the paper's networks.
//!
//! `cargo bench --bench paper --features std` (or `parallel`) prints times, and multiply-accumulates per second ("elem/s"), three for each
//! of the network's in a training step.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lightlayers::dataset::{Dataset, Target};
use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::optim::Adam;
use lightlayers::paper::{Kind, mnist};
use lightlayers::{Inference, Memory, Network, Plan, Rng, Trainer};

const BATCH: usize = 64;

fn networks() -> Vec<(String, Network)> {
    let mut networks = vec![
        ("conv".to_owned(), mnist(Kind::Conv2d)),
        ("separable".to_owned(), mnist(Kind::SeparableConv2d)),
    ];
    for rank in 1..=6 {
        networks.push((format!("light K={rank}"), mnist(Kind::Light { rank })));
    }
    networks.push((
        "mlp 784-128-10".to_owned(),
        Network::features(784).dense(128).relu().dense(10),
    ));
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
        input.copy_from_slice(&self.0[index * 784..(index + 1) * 784]);
        target.set_class(index % 10);
        Ok(())
    }
}

fn noise(len: usize) -> Vec<f32> {
    let mut rng = Rng::new(1);
    (0..len).map(|_| rng.uniform()).collect()
}

fn step(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group(format!("training step, batch {BATCH}"));
    let mut data = Noise(noise(BATCH * 784));
    for (name, net) in networks() {
        let plan = Plan::new(&net);
        let mut weights = vec![0.0; net.weights()];
        net.initialize(&mut weights, 1).unwrap();
        let memory = Memory {
            weights: &mut weights,
            gradients: &mut vec![0.0; net.trainable_weights()],
            optimizer_state: &mut vec![0.0; net.optimizer_state::<Adam>()],
            workspace: &mut vec![0.0; net.training_workspace(BATCH)],
        };
        let loss = SoftmaxCrossEntropy::new();
        let mut trainer = Trainer::new(&plan, loss, Adam::new(), memory).unwrap();
        group.throughput(Throughput::Elements(
            (3 * BATCH * net.multiply_accumulates()) as u64,
        ));
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| trainer.step(&mut data, 0..BATCH, 1e-3).unwrap().loss());
        });
    }
}

fn inference(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("inference, one image");
    let input = noise(784);
    for (name, net) in networks() {
        let plan = Plan::new(&net);
        let mut weights = vec![0.0; net.weights()];
        net.initialize(&mut weights, 1).unwrap();
        let mut workspace = vec![0.0; net.inference_workspace()];
        let mut inference = Inference::new(&plan, &weights, &mut workspace).unwrap();
        group.throughput(Throughput::Elements(net.multiply_accumulates() as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| inference.run(&input).unwrap()[0]);
        });
    }
}

criterion_group!(benches, step, inference);
criterion_main!(benches);
