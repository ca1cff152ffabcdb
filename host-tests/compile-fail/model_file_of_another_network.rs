use lightlayers::{Network, file};

const NET: Network = Network::features(2).dense(2).tanh().dense(1);

static WEIGHTS: [f32; NET.weights()] = file::weights(&NET, include_bytes!("../../src/file/xor.model"));

fn main() {
    println!("{}", WEIGHTS.len());
}
