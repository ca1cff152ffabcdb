use lightlayers::Network;

const NET: Network = Network::features(64).dense(70_000);

fn main() {
    println!("{}", NET.weights());
}
