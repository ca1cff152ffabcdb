//! The same seed, data and network give the same bits: committed here as checksums, so that any
//! change of the order of an addition, of the random numbers or of a function of `math` is seen.
//!
//! The numbers are those of default features on any processor; `micromath` has others. A change
//! that is meant to change them replaces them, and says so in the changelog.

use std::sync::{Mutex, PoisonError};

use host_tests::session::{Buffers, infer};
use lightlayers::dataset::{Dataset, Holdout, PackedImages};
use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::optim::{Adam, ClipNorm};
use lightlayers::schedule::Cosine;
use lightlayers::{Epoch, Graph, Initializer, Model, Network, Permutation, Plan, Trainer, Vectors};

/// The limit of the vectors' width is the whole process's: one test at a time sets it.
static LIMIT: Mutex<()> = Mutex::new(());

/// CRC-32 of zip and Ethernet.
fn crc_32(bytes: impl IntoIterator<Item = u8>) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 * (crc & 1));
        }
    }
    !crc
}

fn checksum(values: &[f32]) -> u32 {
    crc_32(values.iter().flat_map(|value| value.to_le_bytes()))
}

/// Something of every layer, in sizes around the widths of vectors.
struct Digits;

impl Model for Digits {
    const NET: Network = Network::input(8, 8, 1)
        .flatten()
        .light_dense(33, 3)
        .kernel_initializer(Initializer::HeNormal)
        .l2(1e-4)
        .relu()
        .dropout(0.1)
        .dense(17)
        .leaky_relu(0.1)
        .light_dense(16, 5)
        .bias(false)
        .tanh()
        .dense(12)
        .sigmoid()
        .dense(10);
}

const NET: Network = Digits::NET;

/// Of the weights at the start, and after each of 5 epochs of 40 steps.
const WEIGHTS: [u32; 6] = [
    0x509a_a545,
    0x6024_0e82,
    0x9944_033e,
    0x82b2_1507,
    0x298f_b65f,
    0x388c_4147,
];

/// Of the outputs of the trained network for the first 100 digits.
const OUTPUTS: u32 = 0xc232_e587;

fn digits() -> PackedImages<'static> {
    let bytes = include_bytes!("../../examples/data/digits.bin");
    PackedImages::new(bytes).expect("what the repository ships")
}

/// Trains with room for `capacity` samples; returns the checksums and the weights.
fn train(graph: impl Graph, capacity: usize) -> (Vec<u32>, Vec<f32>) {
    let mut weights = vec![0.0; NET.weights()];
    NET.initialize(&mut weights, 1).expect("as long");
    let mut checksums = vec![checksum(&weights)];
    let mut buffers = Buffers::new::<Adam>(&NET, &weights, capacity);
    let loss = SoftmaxCrossEntropy::with_label_smoothing(0.05).expect("in range");
    let optimizer = ClipNorm::new(0.5, Adam::new()).expect("positive");
    let trainer = Trainer::new(graph, loss, optimizer, buffers.memory());
    let mut trainer = trainer.expect("buffers fit").with_dropout_seed(2);
    let mut training = Holdout::training(digits(), 5).expect("in range");
    let schedule = Cosine {
        peak: 0.01,
        warmup: 20,
        decay: 180,
        floor: 0.0,
    };
    for seed in 0..5 {
        // 39 minibatches of 36 and one of 34.
        let order = Epoch::shuffled(36, seed);
        let metrics = trainer.epoch(&mut training, order, &schedule, |_| {});
        metrics.expect("finite");
        checksums.push(checksum(trainer.weights()));
    }
    assert_eq!(trainer.steps(), 200);
    (checksums, buffers.weights)
}

#[test]
fn checksum_is_crc_32() {
    // The check value of the catalogue of CRCs.
    assert_eq!(crc_32(*b"123456789"), 0xcbf4_3926);
}

/// As another program, in Python, gives them.
#[test]
fn orders_are_the_committed_ones() {
    let order = |len: usize, seed| {
        let order = Permutation::new(len as u32, seed);
        (0..len).map(move |position| order.index(position))
    };
    assert_eq!(
        order(10, 1).collect::<Vec<_>>(),
        [2, 5, 8, 9, 4, 0, 3, 6, 7, 1]
    );
    let bytes = order(1438, 7).flat_map(|index| (index as u32).to_le_bytes());
    assert_eq!(crc_32(bytes), 0xc5f6_11fc);
}

/// For every width of vectors that this processor has, one sample or many at once, and a network
/// that is a constant or is planned at run time.
#[test]
fn weights_and_outputs_are_the_committed_ones() {
    let _alone = LIMIT.lock().unwrap_or_else(PoisonError::into_inner);
    let plan = Plan::new(&NET);
    let x: Vec<f32> = (0..100)
        .flat_map(|index| digits().levels(index).expect("there are 1797"))
        .map(|level| f32::from(level) / 15.0)
        .collect();
    let available: Vec<Vectors> = Vectors::available().collect();
    assert_eq!(available[0], Vectors::Plain);
    for vectors in available {
        vectors.limit();
        for capacity in [1, 32] {
            let (checksums, weights) = match capacity {
                1 => train(Digits, capacity),
                _ => train(&plan, capacity),
            };
            assert_eq!(
                checksums, WEIGHTS,
                "{vectors:?}, {capacity} samples at once"
            );
            let outputs = infer(&NET, &weights, &x, capacity);
            assert_eq!(checksum(&outputs), OUTPUTS, "{vectors:?}, {capacity}");
        }
    }
}

/// Every layer of images, in sizes around those of blocks of a kernel, with shortcuts.
const fn images(frozen_statistics: bool) -> Network {
    const fn norm(net: Network, frozen: bool) -> Network {
        let net = net.batch_norm_with(0.9, 1e-3);
        if frozen { net.frozen() } else { net }
    }
    let frozen = frozen_statistics;
    let net = norm(Network::input(8, 8, 1).conv2d(9, 3), frozen).relu();
    let body = norm(net.light_conv2d(9, 3, 3).l2(1e-3), frozen).relu();
    let body = norm(body.depthwise_conv2d(3, 1), frozen);
    let net = net.residual(body, net).leaky_relu(0.1).max_pool2d(2);
    let body = norm(net.separable_conv2d(14, 3), frozen);
    let shortcut = net.conv2d(14, 1).dropout(0.1);
    let net = net
        .residual(body, shortcut)
        .zero_padding2d(1)
        .average_pool2d(3)
        .stride(2);
    let net = net.conv2d(6, 2).stride(2).tanh();
    let maximum = net.sigmoid().conv2d(6, 1);
    net.residual(maximum, net).flatten().light_dense(10, 4)
}

struct Images;

impl Model for Images {
    const NET: Network = images(false);
}

struct ImagesWithFrozenStatistics;

impl Model for ImagesWithFrozenStatistics {
    const NET: Network = images(true);
}

/// Of the weights after each of 4 steps on 45 digits, of the outputs of training, and of those at
/// inference: with batch normalization of the batch, and with frozen statistics.
const OF_IMAGES: [u32; 6] = [
    0x5902_8756,
    0xd2d5_95e0,
    0x6f9d_b554,
    0xff85_b044,
    0x1339_e078,
    0x567e_3564,
];
const OF_IMAGES_WITH_FROZEN_STATISTICS: [u32; 6] = [
    0x788f_37f6,
    0xc92e_b477,
    0xe1f9_dce8,
    0x4b17_4400,
    0xa2fa_188d,
    0xeafa_e901,
];

/// Steps on 45 samples: groups of 16, 16, 8 and 4 side by side and one apart, if `capacity` is 45.
const IMAGE_BATCH: usize = 45;

fn train_images<M: Model>(model: M, capacity: usize) -> Vec<u32> {
    let mut weights = vec![0.0; M::NET.weights()];
    M::NET.initialize(&mut weights, 1).expect("as long");
    let mut buffers = Buffers::new::<Adam>(&M::NET, &weights, capacity);
    let loss = SoftmaxCrossEntropy::new();
    let trainer = Trainer::new(model, loss, Adam::new(), buffers.memory());
    let mut trainer = trainer.expect("buffers fit").with_dropout_seed(2);
    let mut checksums = Vec::new();
    for step in 0..4 {
        let samples = step * IMAGE_BATCH..(step + 1) * IMAGE_BATCH;
        let metrics = trainer.step(&mut digits(), samples, 0.01);
        metrics.expect("finite");
        checksums.push(checksum(trainer.weights()));
    }
    let mut outputs = Vec::new();
    let mut testing = Holdout::testing(digits(), 20).expect("in range");
    let samples = testing.len();
    let evaluated = trainer.evaluate(&mut testing, |result| outputs.extend(result.outputs));
    evaluated.expect("finite");
    assert_eq!(outputs.len(), 10 * samples);
    checksums.push(checksum(&outputs));

    let x: Vec<f32> = (0..10)
        .flat_map(|index| digits().levels(index).expect("there are 1797"))
        .map(|level| f32::from(level) / 15.0)
        .collect();
    let weights = trainer.weights().to_vec();
    checksums.push(checksum(&infer(&M::NET, &weights, &x, 1)));
    checksums
}

/// For every width of vectors, one and two threads (with the feature `parallel`), and samples side
/// by side or one after another. Single samples take the code that microcontrollers run.
#[test]
fn networks_of_images_have_the_committed_bits() {
    let _alone = LIMIT.lock().unwrap_or_else(PoisonError::into_inner);
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let pool = pool.build().expect("threads");
        for vectors in Vectors::available() {
            vectors.limit();
            let name = format!("{vectors:?}, {threads} threads");
            let found = pool.install(|| train_images(Images, IMAGE_BATCH));
            assert_eq!(found, OF_IMAGES, "{name}");
            for capacity in [1, 7, IMAGE_BATCH] {
                let frozen = || train_images(ImagesWithFrozenStatistics, capacity);
                let found = pool.install(frozen);
                let expected = OF_IMAGES_WITH_FROZEN_STATISTICS;
                assert_eq!(found, expected, "{name}, {capacity} samples at once");
            }
        }
    }
}
