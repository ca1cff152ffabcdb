use lightlayers::Network;

const NET: Network = deep(65);

const fn deep(layers: usize) -> Network {
    let mut net = Network::features(8);
    let mut i = 0;
    while i < layers {
        net = net.relu();
        i += 1;
    }
    net
}

fn main() {
    println!("{}", NET.len());
}
