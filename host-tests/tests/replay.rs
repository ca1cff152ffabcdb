//! Replay buffers: what they keep, against a naive buffer of vectors and maps that draws the same random numbers, and against the
//! probabilities that the papers promise.

use std::collections::{HashMap, HashSet};

use crc32fast::Hasher;
use host_tests::session::{Answer, Samples, message};
use lightlayers::dataset::{Dataset, Mixed, ReplayBuffer, ReplayMemory, Sample, Selection, Target};
use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::optim::Sgd;
use lightlayers::quant::Quantization;
use lightlayers::{Buffer, Error, Memory, Model, Network, Rng, Trainer};
use rand_xoshiro::Xoshiro128PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng};

/// Numbers below `end` from another implementation of the generator: of the 2³² products with `end`, each result has as many as
/// ⌊2³² / end⌋.
fn below(rng: &mut Xoshiro128PlusPlus, end: u64) -> u64 {
    loop {
        let product = u64::from(rng.next_u32()) * end;
        if product % (1 << 32) >= (1 << 32) % end {
            return product >> 32;
        }
    }
}

#[test]
fn integers_below_an_end() {
    let mut found = Rng::new(7);
    let mut expected = Xoshiro128PlusPlus::seed_from_u64(7);
    for end in [1, 2, 3, 10, 1000, 1 << 31, (1 << 31) + 1, u32::MAX].repeat(100) {
        let expected = below(&mut expected, end.into());
        assert_eq!(u64::from(found.below(end)), expected, "below {end}");
    }
    let mut counts = [0.0; 7];
    (0..70_000).for_each(|_| counts[found.below(7) as usize] += 1.0);
    let statistic: f64 = counts
        .map(|count: f64| (count - 1e4).powi(2) / 1e4)
        .iter()
        .sum();
    // The quantiles 0.001 and 0.999 of chi-square with 6 degrees of freedom.
    assert!((0.381..22.458).contains(&statistic), "{statistic}");
    assert_eq!((found.below(0), found.below(1)), (0, 0));
}

/// The law of the papers in vectors, maps and sets; a sample is its number and its label.
struct Naive {
    capacity: usize,
    selection: Selection,
    kept: Vec<(usize, usize)>,
    offered: HashMap<usize, usize>,
    full: HashSet<usize>,
    rng: Xoshiro128PlusPlus,
}

impl Naive {
    fn new(capacity: usize, selection: Selection, seed: u64) -> Self {
        Self {
            capacity,
            selection,
            kept: Vec::new(),
            offered: HashMap::new(),
            full: HashSet::new(),
            rng: Xoshiro128PlusPlus::seed_from_u64(seed),
        }
    }

    fn sizes(&self) -> HashMap<usize, usize> {
        self.kept
            .iter()
            .fold(HashMap::new(), |mut sizes, (_, label)| {
                *sizes.entry(*label).or_default() += 1;
                sizes
            })
    }

    fn offer(&mut self, number: usize, label: usize) {
        *self.offered.entry(label).or_default() += 1;
        if self.kept.len() < self.capacity {
            return self.kept.push((number, label));
        }
        let mut draw = |end: usize| below(&mut self.rng, end as u64) as usize;
        if self.selection == Selection::Reservoir {
            let place = draw(self.offered.values().sum());
            if place < self.capacity {
                self.kept[place] = (number, label);
            }
            return;
        }
        let sizes = self.sizes();
        let most = sizes.values().max().expect("full");
        let largest: HashSet<usize> = sizes
            .iter()
            .filter(|(_, size)| *size == most)
            .map(|(label, _)| *label)
            .collect();
        self.full.extend(&largest);
        let mut draw = |end: usize| below(&mut self.rng, end as u64) as usize;
        let places_of = |labels: &HashSet<usize>| -> Vec<usize> {
            let kept = self.kept.iter().enumerate();
            kept.filter(|(_, (_, label))| labels.contains(label))
                .map(|(place, _)| place)
                .collect()
        };
        let place = if self.full.contains(&label) {
            let own = places_of(&HashSet::from([label]));
            own.get(draw(self.offered[&label])).copied()
        } else {
            let candidates = places_of(&largest);
            Some(candidates[draw(candidates.len())])
        };
        if let Some(place) = place {
            self.kept[place] = (number, label);
        }
    }
}

/// A stream whose classes have very different shares, and which come and go.
fn stream(len: usize, classes: usize, seed: u64) -> Vec<usize> {
    let mut rng = Rng::new(1000 + seed);
    (0..len)
        .map(|number| {
            let geometric = rng.next_u32().trailing_zeros() as usize;
            (geometric + number * 3 / len) % classes
        })
        .collect()
}

/// What is kept of a stream of labels: the number and the label of each sample.
fn kept_of<const CAPACITY: usize, const CLASSES: usize>(
    labels: &[usize],
    selection: Selection,
    seed: u64,
) -> Vec<(usize, usize)> {
    let mut memory = ReplayMemory::<f32, 1, CAPACITY, CLASSES>::new();
    let mut replay = ReplayBuffer::new(&mut memory, selection, seed);
    for (number, label) in labels.iter().enumerate() {
        let index = replay.offer(&[number as f32], *label).expect("usable");
        if let Some(index) = index {
            assert_eq!(replay.elements(index), Some(&[number as f32][..]));
            assert_eq!(replay.label(index), Some(*label));
        }
    }
    let kept: Vec<_> = (0..replay.len())
        .map(|index| {
            let number = replay.elements(index).expect("below the length")[0];
            (
                number as usize,
                replay.label(index).expect("below the length"),
            )
        })
        .collect();
    for class in 0..CLASSES {
        let count = kept.iter().filter(|(_, label)| *label == class).count();
        assert_eq!(replay.kept(class), count);
    }
    assert_eq!(replay.offered() as usize, labels.len());
    kept
}

const BOTH: [Selection; 2] = [Selection::Reservoir, Selection::ClassBalanced];

#[test]
fn the_naive_buffer_keeps_the_same() {
    for seed in 0..20 {
        for len in [0, 1, 11, 12, 13, 40, 500] {
            let labels = stream(len, 5, seed);
            for selection in BOTH {
                let mut naive = Naive::new(12, selection, seed);
                for (number, label) in labels.iter().enumerate() {
                    naive.offer(number, *label);
                }
                let found = kept_of::<12, 5>(&labels, selection, seed);
                assert_eq!(found, naive.kept, "{selection:?}, seed {seed}, {len}");
            }
        }
    }
}

/// By hand: with four places, class 0 has all of them until class 1 comes, which takes one after the other until both have two. Class 2
/// takes one of either; then that class has one, stays full, and a sample of it may take the place of its own alone.
#[test]
fn classes_share_four_places() {
    for seed in 0..100 {
        let mut memory = ReplayMemory::<u8, 1, 4, 3>::new();
        let mut replay = ReplayBuffer::new(&mut memory, Selection::ClassBalanced, seed);
        let mut shares = |labels: &[usize]| {
            for label in labels {
                replay.offer_raw(&[0], *label).expect("usable");
            }
            [0, 1, 2].map(|class| replay.kept(class))
        };
        assert_eq!(shares(&[0; 9]), [4, 0, 0]);
        assert_eq!(shares(&[1]), [3, 1, 0]);
        assert_eq!(shares(&[1]), [2, 2, 0]);
        assert_eq!(shares(&[0, 1, 0, 1]), [2, 2, 0]);
        let three = shares(&[2]);
        assert!([[1, 2, 1], [2, 1, 1]].contains(&three), "{three:?}");
        assert_eq!(shares(&[0, 1, 0, 1]), three);
        // The only class with two gives one of them to the other that never was the largest.
        assert_eq!(shares(&[2]), [1, 1, 2]);
        assert_eq!(shares(&[0, 1, 2, 0, 1, 2]), [1, 1, 2]);
    }
}

/// A class has all of its samples, or as many as the largest, or one less.
#[test]
fn classes_are_balanced() {
    for seed in 0..50 {
        let labels = stream(2000, 8, seed);
        let kept = kept_of::<40, 8>(&labels, Selection::ClassBalanced, seed);
        assert_eq!(kept.len(), 40);
        let count = |labels: &mut dyn Iterator<Item = usize>| {
            labels.fold([0; 8], |mut counts, label| {
                counts[label] += 1;
                counts
            })
        };
        let offered = count(&mut labels.iter().copied());
        let kept = count(&mut kept.iter().map(|(_, label)| *label));
        let largest = *kept.iter().max().expect("8 classes");
        for (offered, found) in offered.into_iter().zip(kept) {
            let all = offered <= found;
            assert!(
                all || found + 1 >= largest,
                "{found} of {offered}: {kept:?}"
            );
        }
    }
}

/// Sum of squared deviations over their variance, chi-square with `counts.len() - 1` degrees of freedom, where `draws` times `of`
/// of the counted were drawn without replacement.
fn chi_square(counts: &[u32], draws: usize, of: usize) -> f64 {
    let (n, draws) = (counts.len() as f64, draws as f64);
    let share = of as f64 / n;
    let squares = counts
        .iter()
        .map(|count| (f64::from(*count) - draws * share).powi(2));
    squares.sum::<f64>() / (draws * share * (1.0 - share)) * (n - 1.0) / n
}

#[test]
fn a_reservoir_is_uniform() {
    const SEEDS: usize = 4000;
    let mut counts = [0; 50];
    for seed in 0..SEEDS {
        for (number, _) in kept_of::<10, 1>(&[0; 50], Selection::Reservoir, seed as u64) {
            counts[number] += 1;
        }
    }
    let statistic = chi_square(&counts, SEEDS, 10);
    // The quantiles 0.001 and 0.999 of chi-square with 49 degrees of freedom.
    assert!((23.98..85.35).contains(&statistic), "{statistic}");
}

/// Not only single samples: each of the 15 pairs out of 6 is as likely.
#[test]
fn pairs_in_a_reservoir_are_uniform() {
    const SEEDS: usize = 6000;
    let mut pairs: HashMap<[usize; 2], u32> = HashMap::new();
    for seed in 0..SEEDS {
        let kept = kept_of::<2, 1>(&[0; 6], Selection::Reservoir, seed as u64);
        let mut pair = [kept[0].0, kept[1].0];
        pair.sort();
        *pairs.entry(pair).or_default() += 1;
    }
    let counts: Vec<u32> = pairs.into_values().collect();
    assert_eq!(counts.len(), 15);
    let statistic = chi_square(&counts, SEEDS, 1);
    // The quantiles 0.001 and 0.999 of chi-square with 14 degrees of freedom.
    assert!((3.04..36.12).contains(&statistic), "{statistic}");
}

/// Half of ten places goes to ten samples of class 1 among sixty of class 0: of these, each is as likely.
#[test]
fn samples_of_a_full_class_are_uniform() {
    const SEEDS: usize = 4000;
    let labels: Vec<usize> = (0..70).map(|number| usize::from(number % 7 == 3)).collect();
    let mut counts = [0; 70];
    for seed in 0..SEEDS {
        let kept = kept_of::<10, 2>(&labels, Selection::ClassBalanced, seed as u64);
        assert_eq!(kept.iter().filter(|(_, label)| *label == 0).count(), 5);
        for (number, _) in kept {
            counts[number] += 1;
        }
    }
    let of = |class: usize| -> Vec<u32> {
        let counted = counts.iter().zip(&labels);
        counted
            .filter(|(_, label)| **label == class)
            .map(|(count, _)| *count)
            .collect()
    };
    let majority = chi_square(&of(0), SEEDS, 5);
    // The quantiles 0.001 and 0.999 of chi-square with 59 degrees of freedom, and with 9.
    assert!((31.02..98.32).contains(&majority), "{majority}");
    let minority = chi_square(&of(1), SEEDS, 5);
    assert!((1.15..27.88).contains(&minority), "{minority}");
}

/// The same on every target: what these seeds keep is part of the contract.
#[test]
fn the_bits_of_a_seed() {
    let labels = stream(1000, 10, 1);
    let checksums = BOTH.map(|selection| {
        let mut hasher = Hasher::new();
        for (number, label) in kept_of::<100, 10>(&labels, selection, 42) {
            hasher.update(&(number as u32).to_le_bytes());
            hasher.update(&[label as u8]);
        }
        hasher.finalize()
    });
    assert_eq!(checksums, [0x355f_b849, 0xe7aa_6ab3], "{checksums:#010x?}");
}

#[test]
fn bytes_come_back_as_they_were() {
    let mut memory = ReplayMemory::<u8, 256, 2, 1>::new();
    let mut replay = ReplayBuffer::new(&mut memory, Selection::Reservoir, 1);
    let bytes: [u8; 256] = std::array::from_fn(|byte| byte as u8);
    let input = bytes.map(|byte| f32::from(byte) / 255.0);
    assert_eq!(replay.offer(&input, 0), Ok(Some(0)));
    assert_eq!(replay.offer_raw(&bytes, 0), Ok(Some(1)));
    for index in 0..2 {
        assert_eq!(replay.elements(index), Some(&bytes[..]));
        let mut read = [0.0; 256];
        replay
            .read(index, &mut read, &mut Target::new(&mut [0.0]))
            .unwrap();
        assert_eq!(read, input);
    }
    replay.clear();
    // Outside 0 to 1, the ends; between two bytes, the nearest.
    let mut input = [0.0; 256];
    input[..6].copy_from_slice(&[-3.0, 1.1, f32::MAX, 0.49 / 255.0, 0.51 / 255.0, -1e-9]);
    replay.offer(&input, 0).unwrap();
    let kept = replay.elements(0).expect("one sample");
    assert_eq!(kept[..6], [0, 255, 255, 0, 1, 0]);
}

#[test]
fn integers_are_a_quantization() {
    let quantization = Quantization::of_range(-1.0, 3.0).unwrap();
    let mut memory = ReplayMemory::<i8, 3, 2, 1>::new();
    let mut replay = ReplayBuffer::quantized(&mut memory, quantization, Selection::Reservoir, 1);
    replay.offer(&[-9.0, 0.0, 1.5], 0).unwrap();
    replay.offer_raw(&[-128, 127, 0], 0).unwrap();
    let real = |index| replay.values(index).expect("kept").collect::<Vec<f32>>();
    let (low, high) = quantization.range();
    let first = real(0);
    assert_eq!(first[..2], [low, 0.0]);
    assert!((first[2] - 1.5).abs() <= quantization.scale() / 2.0);
    assert_eq!(real(1), [low, high, quantization.dequantize(0)]);
}

#[test]
fn samples_that_cannot_be_kept() {
    let mut memory = ReplayMemory::<f32, 2, 3, 3>::new();
    let mut replay = ReplayBuffer::new(&mut memory, Selection::ClassBalanced, 1);
    replay.offer(&[1.0, 2.0], 2).unwrap();
    let label = |found| Error::Label {
        sample: 1,
        classes: 3,
        found,
    };
    let cases = [
        (replay.offer(&[1.0], 0), length(2, 1)),
        (replay.offer(&[1.0; 3], 0), length(2, 3)),
        (replay.offer_raw(&[], 0), length(2, 0)),
        (replay.offer(&[1.0; 2], 3), label(3)),
        // A byte would be 0.
        (replay.offer(&[1.0; 2], 256), label(256)),
        (replay.offer_raw(&[1.0; 2], usize::MAX), label(usize::MAX)),
        (
            replay.offer(&[1.0, f32::NAN], 0),
            Error::NonFiniteSample { sample: 1 },
        ),
        (
            replay.offer_raw(&[f32::INFINITY, 0.0], 0),
            Error::NonFiniteSample { sample: 1 },
        ),
    ];
    for (found, expected) in cases {
        assert_eq!(found, Err(expected));
    }
    assert_eq!(
        message(&label(256)),
        "sample 1: expected a label below 3, found 256"
    );
    // Nothing has changed.
    assert_eq!((replay.offered(), replay.len(), replay.kept(0)), (1, 1, 0));
    assert_eq!(replay.kept(3), 0);
    assert_eq!((replay.label(1), replay.elements(1)), (None, None));
    let mut values = [0.0; 3];
    let mut target = Target::new(&mut values);
    let past_the_end = replay.read(1, &mut [0.0; 2], &mut target);
    assert_eq!(past_the_end, Err(Error::Index { len: 1, found: 1 }));
    assert_eq!(
        replay.read(0, &mut [0.0; 3], &mut target),
        Err(length(2, 3))
    );
}

fn length(expected: usize, found: usize) -> Error {
    Error::Length {
        buffer: Buffer::Input,
        expected,
        found,
    }
}

#[test]
fn there_may_be_256_classes() {
    let mut memory = ReplayMemory::<u8, 1, 256, 256>::new();
    let mut replay = ReplayBuffer::new(&mut memory, Selection::ClassBalanced, 1);
    for label in (0..256).rev().chain(0..256) {
        replay.offer_raw(&[label as u8], label).unwrap();
    }
    assert!((0..256).all(|label| replay.kept(label) == 1));
    assert_eq!(replay.capacity(), 256);
}

/// A handle is gone with a reset of the program's state; the memory has the samples and the counts.
#[test]
fn a_new_handle_goes_on() {
    let mut memory = ReplayMemory::<f32, 1, 4, 1>::new();
    for start in [0, 3, 6] {
        let mut replay = ReplayBuffer::new(&mut memory, Selection::Reservoir, start);
        assert_eq!(u64::from(replay.offered()), start);
        for number in start..start + 3 {
            replay.offer(&[number as f32], 0).unwrap();
        }
    }
    let mut replay = ReplayBuffer::new(&mut memory, Selection::Reservoir, 0);
    assert_eq!((replay.offered(), replay.len()), (9, 4));
    replay.clear();
    assert_eq!((replay.offered(), replay.len(), replay.kept(0)), (0, 0, 0));
    assert_eq!(replay.offer(&[1.0], 0), Ok(Some(0)));
}

/// Twelve samples of class 0 in a buffer of twenty, their numbers as values.
fn twelve(memory: &mut ReplayMemory<f32, 2, 20, 3>) -> ReplayBuffer<'_, f32> {
    let mut replay = ReplayBuffer::new(memory, Selection::Reservoir, 5);
    for number in 0..12 {
        replay.offer(&[number as f32, 1.0], number % 3).unwrap();
    }
    replay
}

#[test]
fn a_minibatch_draws_different_samples() {
    let mut memory = ReplayMemory::new();
    let mut replay = twelve(&mut memory);
    let input = [0.5, 0.25];
    let sample = Sample {
        input: &input,
        label: 1,
    };
    let mut mixed = Mixed::new(sample, &mut replay);
    assert_eq!(mixed.len(), 13);
    let mut counts = [0; 12];
    for _ in 0..3000 {
        let minibatch = mixed.minibatch([0], 3);
        assert_eq!(minibatch.len(), 4);
        let indices: Vec<usize> = minibatch.collect();
        assert_eq!(indices[0], 0);
        let old: HashSet<usize> = indices[1..].iter().copied().collect();
        assert_eq!(old.len(), 3);
        old.iter().for_each(|index| counts[index - 1] += 1);
    }
    let statistic = chi_square(&counts, 3000, 3);
    // The quantiles 0.001 and 0.999 of chi-square with 11 degrees of freedom.
    assert!((1.83..31.26).contains(&statistic), "{statistic}");

    assert_eq!(mixed.minibatch([0, 0], 0).collect::<Vec<_>>(), [0, 0]);
    let mut all: Vec<usize> = mixed.minibatch([], 100).collect();
    all.sort();
    assert_eq!(all, (1..13).collect::<Vec<_>>());
}

#[test]
fn a_minibatch_without_old_samples() {
    let mut memory = ReplayMemory::<f32, 2, 20, 3>::new();
    let mut replay = ReplayBuffer::new(&mut memory, Selection::Reservoir, 5);
    let sample = Sample {
        input: &[0.0; 2],
        label: 1,
    };
    let indices: Vec<usize> = Mixed::new(sample, &mut replay).minibatch([0], 3).collect();
    assert_eq!(indices, [0]);
}

#[test]
fn mixed_samples_are_read_from_their_side() {
    let mut memory = ReplayMemory::new();
    let mut replay = twelve(&mut memory);
    let input = [0.5, 0.25];
    let sample = Sample {
        input: &input,
        label: 2,
    };
    let mut mixed = Mixed::new(sample, &mut replay);
    let mut read = |index, len| {
        let (mut input, mut values) = (vec![0.0; len], [0.0; 3]);
        let mut target = Target::new(&mut values);
        let result = mixed.read(index, &mut input, &mut target);
        result.map(|()| (input, target.class()))
    };
    assert_eq!(read(0, 2), Ok((vec![0.5, 0.25], Some(2))));
    assert_eq!(read(5, 2), Ok((vec![4.0, 1.0], Some(1))));
    assert_eq!(read(13, 2), Err(Error::Index { len: 13, found: 13 }));
    assert_eq!(read(0, 3), Err(Error::Dataset(length(3, 2))));
    assert_eq!(read(1, 3), Err(length(2, 3).widen()));
    let past_the_end = Sample {
        input: &input,
        label: 2,
    }
    .read(1, &mut [0.0; 2], &mut Target::new(&mut [0.0; 3]));
    assert_eq!(past_the_end, Err(Error::Index { len: 1, found: 1 }));
}

#[derive(Clone, Copy)]
struct Linear;

impl Model for Linear {
    const NET: Network = Network::features(2).dense(3);
}

/// A step on a mixed minibatch is a step on the same samples from one data set, to the bit.
#[test]
fn a_step_on_a_mixed_minibatch() {
    const NET: Network = Linear::NET;
    let step = |mixed: bool| {
        let mut weights = [0.0; NET.weights()];
        let memory = Memory {
            weights: &mut weights,
            gradients: &mut [0.0; NET.trainable_weights()],
            optimizer_state: &mut [],
            workspace: &mut [0.0; NET.training_workspace(1)],
        };
        let trainer = Trainer::new(Linear, SoftmaxCrossEntropy::new(), Sgd, memory);
        let mut trainer = trainer.expect("lengths");
        trainer.initialize(1).expect("lengths");
        let mut memory = ReplayMemory::new();
        let mut replay = twelve(&mut memory);
        let input = [0.5, 0.25];
        for label in [2, 0] {
            let sample = Sample {
                input: &input,
                label,
            };
            let mut both = Mixed::new(sample, &mut replay);
            let minibatch = both.minibatch([0], 5);
            if mixed {
                let result = trainer.step(&mut both, minibatch, 0.1);
                result.expect("usable samples");
            } else {
                let old = (0..12).map(|number| (vec![number as f32, 1.0], number % 3));
                let all = [(input.to_vec(), label)].into_iter().chain(old);
                let classes = all.map(|(input, label)| (input, Answer::Class(label)));
                let mut listed = Samples(classes.collect());
                let result = trainer.step(&mut listed, minibatch, 0.1);
                result.expect("usable samples");
            }
        }
        weights.map(f32::to_bits)
    };
    assert_eq!(step(true), step(false));
}
