use lightlayers::{Network, file};

const NET: Network = Network::features(2).dense(2).relu().dense(1);

static WEIGHTS: [f32; NET.weights()] = file::weights(&NET, include_bytes!("../../src/file/xor-int8.model"));

fn main() {
    println!("{}", WEIGHTS.len());
}
