use lightlayers::{Model, Network};

struct Digits;

impl Model for Digits {
    const NET: Network = Network::features(64).light_dense(16, 4).dense(0);
}

static WEIGHTS: [f32; Digits::NET.weights()] = [0.0; Digits::NET.weights()];

fn main() {
    println!("{}", WEIGHTS.len());
}
