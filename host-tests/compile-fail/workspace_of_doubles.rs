use lightlayers::{Inference, Model, Network};

struct Digits;

impl Model for Digits {
    const NET: Network = Network::features(64).dense(10);
}

fn main() {
    let weights = [0.0; Digits::NET.weights()];
    let mut workspace = [0.0_f64; Digits::NET.inference_workspace()];
    let inference = Inference::new(Digits, &weights, &mut workspace);
    println!("{}", inference.is_ok());
}
