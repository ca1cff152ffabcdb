use lightlayers::Network;

const NET: Network = Network::input(300, 300, 1).flatten().dense(10);

fn main() {
    println!("{}", NET.weights());
}
