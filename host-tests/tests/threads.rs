//! One thread and two give the same bits.
//!
//! Built with the package's feature `parallel`: `cargo test -p host-tests --features parallel`.

use host_tests::session::Buffers;
use lightlayers::dataset::PackedImages;
use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::optim::Adam;
use lightlayers::schedule::Constant;
use lightlayers::{Epoch, Network, Plan, Trainer};

/// Wide enough that every product of a minibatch of 64 is worth more than one thread: 64 · 64 · 256 and 64 · 256 · 128
/// multiply-accumulates.
const NET: Network = Network::input(8, 8, 1)
    .flatten()
    .dense(256)
    .relu()
    .light_dense(128, 64)
    .relu()
    .dense(10);

fn train(threads: usize) -> Vec<u32> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.expect("threads start").install(|| {
        let plan = Plan::new(&NET);
        let mut weights = vec![0.0; NET.weights()];
        NET.initialize(&mut weights, 1).expect("as long");
        let mut buffers = Buffers::new::<Adam>(&NET, &weights, 64);
        let loss = SoftmaxCrossEntropy::new();
        let trainer = Trainer::new(&plan, loss, Adam::new(), buffers.memory());
        let mut trainer = trainer.expect("buffers fit");
        let bytes = include_bytes!("../../examples/data/digits.bin");
        let mut digits = PackedImages::new(bytes).expect("what the repository ships");
        let metrics = trainer.epoch(
            &mut digits,
            Epoch::shuffled(64, 1),
            &Constant(0.001),
            |_| {},
        );
        assert_eq!(metrics.expect("finite").samples(), 1797);
        trainer.weights().iter().map(|w| w.to_bits()).collect()
    })
}

#[test]
fn one_thread_and_two_give_the_same_bits() {
    assert_eq!(train(1), train(2));
}
