//! One thread and two give the same bits, with all vector instructions.
//!
//! Built with the package's feature `parallel`: `cargo test -p host-tests --features parallel`.

use host_tests::session::{Answer, Buffers, Samples};
use lightlayers::dataset::PackedImages;
use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::optim::Adam;
use lightlayers::paper::{Kind, mnist};
use lightlayers::schedule::Constant;
use lightlayers::{Epoch, Network, Plan, Rng, Trainer, Vectors};

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

/// Random images of 10 classes, brighter from class to class.
fn noise(images: usize) -> Samples {
    let mut rng = Rng::new(1);
    let image = |class: usize| {
        let brightness = (1 + class) as f32 / 10.0;
        let pixels = (0..28 * 28).map(|_| rng.uniform() * brightness);
        (pixels.collect(), Answer::Class(class))
    };
    Samples((0..images).map(|i| i % 10).map(image).collect())
}

const STEPS: usize = 50;
const BATCH: usize = 32;

fn train_the_papers_network(threads: usize) -> Vec<u32> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.expect("threads start").install(|| {
        let net = mnist(Kind::Light { rank: 3 });
        let plan = Plan::new(&net);
        let mut weights = vec![0.0; net.weights()];
        net.initialize(&mut weights, 1).expect("as long");
        let mut buffers = Buffers::new::<Adam>(&net, &weights, BATCH);
        let loss = SoftmaxCrossEntropy::new();
        let trainer = Trainer::new(&plan, loss, Adam::new(), buffers.memory());
        let mut trainer = trainer.expect("buffers fit");
        let mut data = noise(4 * BATCH);
        let mut losses = Vec::new();
        for step in 0..STEPS {
            let first = step % 4 * BATCH;
            let metrics = trainer.step(&mut data, first..first + BATCH, 0.001);
            losses.push(metrics.expect("finite").loss());
        }
        assert!(losses[STEPS - 1] < losses[0], "{losses:?}");
        trainer.weights().iter().map(|w| w.to_bits()).collect()
    })
}

#[test]
fn the_papers_network_has_the_same_bits_with_all_vectors() {
    let mut results = Vec::new();
    for vectors in Vectors::available().filter(|vectors| *vectors != Vectors::Plain) {
        vectors.limit();
        for threads in [1, 2] {
            results.push((vectors, threads, train_the_papers_network(threads)));
        }
    }
    let (_, _, expected) = &results[0];
    for (vectors, threads, weights) in &results {
        assert!(weights == expected, "{vectors:?}, {threads} threads");
    }
}
