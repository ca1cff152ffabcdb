//! The same seed, data and network give the same bits: committed here as checksums, so that any
//! change of the order of an addition, of the random numbers or of a function of `math` is seen.
//!
//! The numbers are those of default features on any processor; `micromath` has others. A change
//! that is meant to change them replaces them, and says so in the changelog.

use host_tests::session::{Buffers, infer};
use lightlayers::dataset::{Holdout, PackedImages};
use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::optim::{Adam, ClipNorm};
use lightlayers::schedule::Cosine;
use lightlayers::{Epoch, Graph, Initializer, Model, Network, Permutation, Plan, Trainer, Vectors};

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
