use lightlayers::Network;

const NET: Network = Network::features(64).dense(16).leaky_relu(-0.1);

fn main() {
    println!("{}", NET.weights());
}
