//! Training steps and single-image inference of the paper's networks.
//!
//! `cargo bench --bench paper --features std` (or `parallel`) prints times, and multiply-accumulates per second ("elem/s"), three for each
//! of the network's in a training step.

mod common;

use common::BATCH;
use criterion::{Criterion, criterion_group, criterion_main};
use lightlayers::Network;
use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::optim::Adam;
use lightlayers::paper::{Kind, mnist};

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

fn step(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group(format!("training step, batch {BATCH}"));
    for (name, net) in networks() {
        let loss = SoftmaxCrossEntropy::new();
        common::step(&mut group, name, &net, 3, loss, Adam::new());
    }
}

fn inference(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("inference, one image");
    for (name, net) in networks() {
        common::inference(&mut group, name, &net, 1);
    }
}

criterion_group!(benches, step, inference);
criterion_main!(benches);
