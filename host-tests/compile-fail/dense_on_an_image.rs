use lightlayers::Network;

const NET: Network = Network::input(8, 8, 1)
    .dense(10);

fn main() {
    println!("{}", NET.weights());
}
