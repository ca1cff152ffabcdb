use lightlayers::Network;

const NET: Network = Network::features(64).light_dense(16, 0);

fn main() {
    println!("{}", NET.weights());
}
