use lightlayers::Network;

const NET: Network = Network::input(28, 28, 0).flatten();

fn main() {
    println!("{}", NET.weights());
}
