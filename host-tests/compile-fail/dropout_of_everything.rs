use lightlayers::Network;

const NET: Network = Network::features(64).dense(16).dropout(1.0);

fn main() {
    println!("{}", NET.weights());
}
