//! Random numbers: the generator against another implementation, the order of samples, starting
//! weights.

use std::collections::BTreeMap;

use host_tests::session::Add;
use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::optim::Adam;
use lightlayers::{Graph, Initializer, Memory, Model, Network, Permutation, Plan, Rng, Trainer};
use rand_xoshiro::Xoshiro128PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng};

#[test]
fn generator_is_xoshiro128_plus_plus() {
    for seed in [0, 1, 2, 42, 0x9e37_79b9_7f4a_7c15, u64::MAX] {
        let mut found = Rng::new(seed);
        let mut expected = Xoshiro128PlusPlus::seed_from_u64(seed);
        for _ in 0..1000 {
            assert_eq!(found.next_u32(), expected.next_u32(), "seed {seed}");
        }
        // As `rand` makes an f32: the upper 24 bits.
        for _ in 0..1000 {
            let expected = f64::from(expected.next_u32() >> 8) / f64::from(1 << 24);
            assert_eq!(f64::from(found.uniform()), expected, "seed {seed}");
        }
    }
}

/// Mean, variance, and kurtosis, which tells shapes apart: 1.8 of a uniform distribution, 3 of a
/// normal one, 2.3655 of a normal one that is cut off at two standard deviations.
fn moments(values: &[f32]) -> [f64; 3] {
    let len = values.len() as f64;
    let mean = values.iter().copied().map(f64::from).sum::<f64>() / len;
    let central = |power: i32| {
        let terms = values
            .iter()
            .map(|value| (f64::from(*value) - mean).powi(power));
        terms.sum::<f64>() / len
    };
    [mean, central(2), central(4) / central(2).powi(2)]
}

/// Panics unless the moments are those expected, within five standard errors of `values`
/// independent draws, roughly: `sqrt(variance / n)`, `sqrt(2 / n)` and `sqrt(24 / n)`.
fn assert_moments(name: &str, values: &[f32], variance: f64, kurtosis: f64) {
    let [mean, found_variance, found_kurtosis] = moments(values);
    let n = values.len() as f64;
    let near = |what: &str, found: f64, expected: f64, error: f64| {
        assert!(
            (found - expected).abs() <= 5.0 * error,
            "{name}: {what} {found}, expected {expected}"
        );
    };
    near("mean", mean, 0.0, (variance / n).sqrt());
    near("variance", found_variance / variance, 1.0, (2.0 / n).sqrt());
    near("kurtosis", found_kurtosis, kurtosis, (24.0 / n).sqrt());
}

#[test]
fn normal_numbers() {
    let mut rng = Rng::new(3);
    let values: Vec<f32> = (0..100_000).map(|_| rng.normal()).collect();
    assert_moments("normal", &values, 1.0, 3.0);
    assert!(values.iter().all(|value| value.is_finite()));
}

fn initialized(net: &Network, seed: u64) -> Vec<f32> {
    let mut weights = vec![f32::NAN; net.weights()];
    net.initialize(&mut weights, seed).expect("as long");
    weights
}

/// The kernels of layers, and their fans.
const KERNELS: [(Add, &[(usize, usize)]); 2] = [
    (|net| net.dense(150), &[(200, 150)]),
    (|net| net.light_dense(150, 40), &[(200, 40), (40, 150)]),
];

#[test]
fn glorot_uniform_fills_its_range() {
    for (add, kernels) in KERNELS {
        let net = add(Network::features(200));
        let mut rest = &initialized(&net, 1)[..];
        for &(fan_in, fan_out) in kernels {
            let (kernel, after) = rest.split_at(fan_in * fan_out);
            rest = after;
            let limit = (6.0 / (fan_in + fan_out) as f64).sqrt();
            let largest = kernel.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
            let share = f64::from(largest) / limit;
            assert!((0.99..=1.0 + 1e-6).contains(&share), "{share}");
            // The variance of a uniform distribution over 2 · limit.
            assert_moments("glorot", kernel, limit * limit / 3.0, 1.8);
        }
        assert_eq!(rest, [0.0; 150], "the bias");
    }
}

#[test]
fn he_normal_is_cut_off_at_two_standard_deviations() {
    for (add, kernels) in KERNELS {
        let net = add(Network::features(200)).kernel_initializer(Initializer::HeNormal);
        let mut rest = &initialized(&net, 1)[..];
        for &(fan_in, fan_out) in kernels {
            let (kernel, after) = rest.split_at(fan_in * fan_out);
            rest = after;
            let variance = 2.0 / fan_in as f64;
            assert_moments("he", kernel, variance, 2.3655);
            // Two standard deviations before the cut, of which the cut leaves 0.8796.
            let limit = 2.0 * variance.sqrt() / 0.879_625_66;
            let largest = kernel.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
            let share = f64::from(largest) / limit;
            assert!((0.98..=1.0 + 1e-6).contains(&share), "{share}");
        }
        assert_eq!(rest, [0.0; 150], "the bias");
    }
}

#[test]
fn zeros_ones_and_seeds() {
    let build = |initializer| {
        let net = Network::features(3)
            .dense(2)
            .kernel_initializer(initializer);
        net.relu().light_dense(2, 1).kernel_initializer(initializer)
    };
    let ones = [
        1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0,
    ];
    assert_eq!(initialized(&build(Initializer::Ones), 1), ones);
    assert_eq!(initialized(&build(Initializer::Zeros), 1), [0.0; 14]);
    let net = build(Initializer::GlorotUniform);
    assert_eq!(initialized(&net, 1), initialized(&net, 1));
    assert_ne!(initialized(&net, 1), initialized(&net, 2));
}

const fn with_initializer(initializer: Initializer) -> Network {
    let net = Network::input(4, 4, 1)
        .conv2d(3, 3)
        .kernel_initializer(initializer);
    net.batch_norm().relu().flatten().light_dense(5, 2)
}

struct Uniform;

impl Model for Uniform {
    const NET: Network = with_initializer(Initializer::GlorotUniform);
}

struct Normal;

impl Model for Normal {
    const NET: Network = with_initializer(Initializer::HeNormal);
}

/// A trainer starts afresh from the weights of `Network::initialize`, whatever it did before.
fn starts_afresh(graph: impl Graph, net: &Network) {
    let mut weights = vec![f32::NAN; net.weights()];
    let mut gradients = vec![0.0; net.trainable_weights()];
    let mut optimizer_state = vec![1.0; net.optimizer_state::<Adam>()];
    let mut workspace = vec![0.0; net.training_workspace(1)];
    let memory = Memory {
        weights: &mut weights,
        gradients: &mut gradients,
        optimizer_state: &mut optimizer_state,
        workspace: &mut workspace,
    };
    let trainer = Trainer::new(graph, SoftmaxCrossEntropy::new(), Adam::new(), memory);
    let mut trainer = trainer.expect("buffers fit").with_steps(7);
    trainer.initialize(3).expect("as long");
    assert_eq!(trainer.weights(), initialized(net, 3));
    assert_eq!(trainer.steps(), 0);
    assert!(optimizer_state.iter().all(|value| *value == 0.0));
}

#[test]
fn trainers_start_from_the_weights_of_the_network() {
    starts_afresh(Uniform, &Uniform::NET);
    starts_afresh(Normal, &Normal::NET);
    starts_afresh(&Plan::new(&Normal::NET), &Normal::NET);
}

fn order(len: usize, seed: u64) -> Vec<usize> {
    let order = Permutation::new(len as u32, seed);
    (0..len).map(|position| order.index(position)).collect()
}

#[test]
fn a_permutation_has_every_index_once() {
    for len in [
        1, 2, 3, 4, 5, 7, 8, 16, 17, 255, 256, 257, 1000, 1438, 65_536, 65_537,
    ] {
        let indices: Vec<usize> = (0..len).collect();
        for seed in [0, 1, u64::MAX] {
            let found = order(len, seed);
            let mut sorted = found.clone();
            sorted.sort();
            assert_eq!(sorted, indices, "{len} with seed {seed}");
            assert_eq!(found, order(len, seed), "once more");
            let past_the_end = Permutation::new(len as u32, seed).index(len + 3);
            assert_eq!(past_the_end, len + 3);
        }
        if len >= 16 {
            assert_ne!(order(len, 0), order(len, 1), "{len}");
            assert_ne!(order(len, 0), indices, "{len}");
        }
    }
    let identity = Permutation::identity(5);
    assert_eq!([0, 1, 2, 3, 4].map(|i| identity.index(i)), [0, 1, 2, 3, 4]);
}

/// Panics if the counts of equally likely outcomes are too far from each other: Pearson's `χ²`,
/// whose mean is `freedom` and whose variance twice that, within five standard deviations.
fn assert_uniform(name: &str, counts: &[usize], freedom: usize) {
    let expected = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
    let terms = counts
        .iter()
        .map(|count| (*count as f64 - expected).powi(2) / expected);
    let (statistic, freedom) = (terms.sum::<f64>(), freedom as f64);
    let limit = freedom + 5.0 * (2.0 * freedom).sqrt();
    assert!(
        statistic <= limit,
        "{name}: chi-square {statistic:.1}, expected at most {limit:.1}"
    );
}

/// Over many seeds each sample stands equally often at each position; of long orders a tenth of the
/// samples at a tenth of the positions.
#[test]
fn samples_stand_anywhere() {
    for (len, seeds) in [
        (2, 4000),
        (3, 6000),
        (5, 6000),
        (16, 8000),
        (17, 8000),
        (1000, 100),
    ] {
        let bins = if len > 100 { 10 } else { len };
        let bin = |index: usize| index * bins / len;
        let mut counts = vec![0; bins * bins];
        for seed in 0..seeds {
            for (position, index) in order(len, seed).into_iter().enumerate() {
                counts[bin(position) * bins + bin(index)] += 1;
            }
        }
        let freedom = (bins - 1) * (bins - 1);
        assert_uniform(&format!("{len} samples"), &counts, freedom);
    }
}

/// Neighbours do not stay neighbours: in an order of 1000 the next index is the next sample once,
/// in the mean, and the sum over 200 orders is 200 ± 5 · sqrt(200).
#[test]
fn neighbours_part() {
    let pairs = |seed| {
        let order = order(1000, seed);
        order
            .windows(2)
            .filter(|pair| pair[1] == pair[0] + 1)
            .count()
    };
    let sum: usize = (0..200).map(pairs).sum();
    assert!((129..=271).contains(&sum), "{sum}");
}

/// Every order of two to four samples comes up, about equally often: with random functions in the
/// six rounds, enumeration gives those of four 0.94 to 1.03 times their share. Five standard
/// deviations of 2000 more are 0.11.
#[test]
fn every_order_of_few_samples_comes_up() {
    for (len, orders) in [(2, 2), (3, 6), (4, 24)] {
        let mut counts = BTreeMap::<Vec<usize>, usize>::new();
        for seed in 0..2000 * orders {
            *counts.entry(order(len, seed)).or_default() += 1;
        }
        assert_eq!(counts.len() as u64, orders, "{len}");
        for (order, count) in counts {
            assert!((1660..=2280).contains(&count), "{order:?}: {count}");
        }
    }
}
