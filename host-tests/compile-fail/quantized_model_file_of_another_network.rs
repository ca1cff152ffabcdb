use lightlayers::{Network, file};

const NET: Network = Network::features(2).dense(2).relu().dense(2);

static WEIGHTS: [u32; NET.quantized_weights()] = file::quantized_weights(&NET, include_bytes!("../../src/file/xor-int8.model"));

fn main() {
    println!("{}", WEIGHTS.len());
}
