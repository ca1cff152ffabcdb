use lightlayers::{Initializer, Network};

const NET: Network = Network::features(64)
    .kernel_initializer(Initializer::HeNormal)
    .dense(16);

fn main() {
    println!("{}", NET.weights());
}
