use lightlayers::Network;

const NET: Network = Network::features(64).dense(16).relu().bias(false);

fn main() {
    println!("{}", NET.weights());
}
