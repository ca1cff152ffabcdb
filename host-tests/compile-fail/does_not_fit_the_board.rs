use lightlayers::Network;

const NET: Network = Network::input(8, 8, 1).flatten().light_dense(32, 4).relu().dense(10);

const _: () = assert!(4 * NET.training_workspace(8) <= 1024, "training does not fit 1 KB");

fn main() {}
