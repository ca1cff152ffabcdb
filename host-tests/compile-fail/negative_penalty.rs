use lightlayers::Network;

const NET: Network = Network::features(64).dense(16).l2(-1e-4);

fn main() {
    println!("{}", NET.weights());
}
