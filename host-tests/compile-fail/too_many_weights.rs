use lightlayers::Network;

const NET: Network = Network::features(60_000).dense(60_000);

fn main() {
    println!("{}", NET.weights());
}
