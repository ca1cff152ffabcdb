//! Any number of threads gives the same bits, with all vector instructions.
//!
//! Built with the package's feature `parallel`: `cargo test -p host-tests --features parallel`.

use host_tests::session::{Answer, Buffers, Samples};
use lightlayers::dataset::PackedImages;
use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::optim::Adam;
use lightlayers::paper::{Kind, mnist};
use lightlayers::schedule::Constant;
use lightlayers::{Epoch, Inference, Network, Plan, Rng, Trainer, Vectors};

/// Prime numbers and a power of two: parts of a minibatch are rarely multiples of the 8 rows that
/// the kernels take at a time.
const THREADS: [usize; 5] = [1, 2, 3, 5, 8];

/// Runs `work` on every number of threads and compares the bits of the results.
fn compare_threads(what: &str, work: impl Fn() -> Vec<f32> + Sync) {
    let results = THREADS.map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let values = pool.expect("threads start").install(&work);
        (
            threads,
            values.into_iter().map(f32::to_bits).collect::<Vec<_>>(),
        )
    });
    let [(_, expected), ..] = &results;
    for (threads, bits) in &results {
        assert!(bits == expected, "{what}: {threads} threads");
    }
}

/// Wide enough that every product of a minibatch of 32 is worth more than one thread: 32 · 64 · 256
/// and 32 · 256 · 128 multiply-accumulates.
const NET: Network = Network::input(8, 8, 1)
    .flatten()
    .dense(256)
    .relu()
    .dense(128)
    .relu()
    .dense(10);

#[test]
fn training_on_the_digits_has_the_same_bits_on_any_number_of_threads() {
    compare_threads("digits", || {
        let plan = Plan::new(&NET);
        let mut weights = vec![0.0; NET.weights()];
        NET.initialize(&mut weights, 1).expect("as long");
        let mut buffers = Buffers::new::<Adam>(&NET, &weights, 32);
        let loss = SoftmaxCrossEntropy::new();
        let trainer = Trainer::new(&plan, loss, Adam::new(), buffers.memory());
        let mut trainer = trainer.expect("buffers fit");
        let bytes = include_bytes!("../../examples/data/digits.bin");
        let mut digits = PackedImages::new(bytes).expect("what the repository ships");
        for seed in 0..5 {
            let epoch = Epoch::shuffled(32, seed);
            let metrics = trainer.epoch(&mut digits, epoch, &Constant(0.001), |_| {});
            assert_eq!(metrics.expect("finite").samples(), 1797);
        }
        trainer.weights().to_vec()
    });
}

/// Outputs, then the weights after a step, for a batch whose parts are no multiples of 8 rows.
fn run_and_step(net: &Network, batch: usize) -> Vec<f32> {
    let plan = Plan::new(net);
    let mut weights = vec![0.0; net.weights()];
    net.initialize(&mut weights, 1).expect("as long");
    let mut rng = Rng::new(2);
    let mut sample = |at: usize| {
        let input = (0..net.input_shape().len()).map(|_| rng.uniform() - 0.5);
        (input.collect(), Answer::Class(at % 10))
    };
    let mut samples = Samples((0..batch).map(&mut sample).collect());
    let inputs: Vec<f32> = samples.0.iter().flat_map(|(x, _)| x.clone()).collect();
    let mut workspace = vec![0.0; batch * net.inference_workspace()];
    let inference = Inference::new(&plan, &weights, &mut workspace);
    let mut values = inference
        .expect("fits")
        .run(&inputs)
        .expect("finite")
        .to_vec();

    let mut buffers = Buffers::new::<Adam>(net, &weights, batch);
    let loss = SoftmaxCrossEntropy::new();
    let trainer = Trainer::new(&plan, loss, Adam::new(), buffers.memory());
    let mut trainer = trainer.expect("buffers fit");
    trainer
        .step(&mut samples, 0..batch, 0.01)
        .expect("a healthy step");
    values.extend_from_slice(trainer.weights());
    values
}

#[test]
fn batches_that_no_number_of_threads_divides_have_the_same_bits() {
    for batch in [17, 33, 65] {
        for units in [10, 32] {
            let dense = Network::features(784).dense(units);
            let light = Network::features(784).light_dense(units, 7).relu();
            for net in [dense, light, dense.relu().dense(101).relu().dense(10)] {
                let what = format!("batch {batch}, {units} units, {} layers", net.len());
                compare_threads(&what, || run_and_step(&net, batch));
            }
        }
    }
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

fn train_the_papers_network() -> Vec<f32> {
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
    trainer.weights().to_vec()
}

#[test]
fn the_papers_network_has_the_same_bits_with_all_vectors() {
    let mut results = Vec::new();
    for vectors in Vectors::available().filter(|vectors| *vectors != Vectors::Plain) {
        vectors.limit();
        compare_threads(&format!("{vectors:?}"), train_the_papers_network);
        results.push((vectors, train_the_papers_network()));
    }
    let (_, expected) = &results[0];
    for (vectors, weights) in &results {
        assert!(weights == expected, "{vectors:?}");
    }
}
