use lightlayers::Network;

const NET: Network = Network::features(64).dense(10);

static WEIGHTS: [f32; NET.weights()] = [0.0; 640];

fn main() {
    println!("{}", WEIGHTS.len());
}
