use lightlayers::{Inference, Model, Network};

struct Digits;

impl Model for Digits {
    const NET: Network = Network::features(2).dense(1);
}

fn main() {
    let mut workspace = [0.0; Digits::NET.inference_workspace()];
    let mut inference = Inference::new(Digits, &[0.0; 3], &mut workspace).unwrap();
    let first = inference.run(&[0.0, 1.0]).unwrap();
    let second = inference.run(&[1.0, 0.0]).unwrap();
    println!("{first:?} {second:?}");
}
