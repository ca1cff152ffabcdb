use lightlayers::Network;

const NET: Network = Network::features(64).frozen().dense(16);

fn main() {
    println!("{}", NET.weights());
}
