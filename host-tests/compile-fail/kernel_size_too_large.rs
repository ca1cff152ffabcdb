use lightlayers::Network;

const NET: Network = Network::input(2, 2, 1024).conv2d(1024, 1).kernel_size(64, 64);

fn main() {
    println!("{}", NET.weights());
}
