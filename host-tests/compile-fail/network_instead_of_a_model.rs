use lightlayers::{Inference, Network};

const NET: Network = Network::features(64).dense(10);

fn main() {
    let weights = [0.0; NET.weights()];
    let mut workspace = [0.0; NET.inference_workspace()];
    let inference = Inference::new(NET, &weights, &mut workspace);
    println!("{}", inference.is_ok());
}
