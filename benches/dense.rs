//! Dense against LightDense at 784x128: forward, and training steps with and without the gradient of the input.
//!
//! `cargo bench --bench dense --features std` prints times and multiply-accumulates per second ("elem/s"): where these are
//! equal, factoring saves as much time as it saves work.

mod common;

use common::BATCH;
use criterion::{Criterion, criterion_group, criterion_main};
use lightlayers::Network;
use lightlayers::loss::MeanSquaredError;
use lightlayers::optim::Sgd;

const INPUTS: usize = 784;
const UNITS: usize = 128;

/// One layer behind `input`.
fn networks(input: Network) -> Vec<(String, Network)> {
    let mut networks = vec![("dense".to_owned(), input.dense(UNITS))];
    for rank in [4, 8, 16, 32] {
        networks.push((
            format!("light_dense rank {rank}"),
            input.light_dense(UNITS, rank),
        ));
    }
    networks
}

fn forward(criterion: &mut Criterion) {
    for batch in [1, BATCH] {
        let mut group = criterion.benchmark_group(format!("forward 784x128, batch {batch}"));
        for (name, net) in networks(Network::features(INPUTS)) {
            common::inference(&mut group, name, &net, batch);
        }
    }
}

/// A step of a layer is its forward pass, the gradients of its weights, the loss and the optimizer.
fn step(criterion: &mut Criterion) {
    let name = format!("training step 784x128, batch {BATCH}");
    let mut group = criterion.benchmark_group(name);
    for (name, net) in networks(Network::features(INPUTS)) {
        common::step(&mut group, name, &net, 2, MeanSquaredError, Sgd);
    }
}

/// The same above a layer that learns and costs little, so that the gradient of the input is computed too.
fn step_to_the_input(criterion: &mut Criterion) {
    let name = format!("training step 784x128 with the gradient of the input, batch {BATCH}");
    let mut group = criterion.benchmark_group(name);
    for (name, net) in networks(Network::features(INPUTS).batch_norm()) {
        common::step(&mut group, name, &net, 3, MeanSquaredError, Sgd);
    }
}

criterion_group!(benches, forward, step, step_to_the_input);
criterion_main!(benches);
