use lightlayers::Network;

const NET: Network = block(block(Network::input(28, 28, 3)));

const fn block(net: Network) -> Network {
    net.relu().light_dense(16, 4)
}

fn main() {
    println!("{}", NET.weights());
}
