//! Random networks, each run in many ways that must have the same bits.
//!
//! What is compared, with everything that a network can do ([`compare`]): the library without features, as microcontrollers run it,
//! one sample at a time; and the library with `std`, with every kind of vectors, and with the feature `parallel` on 1, 2, 3, 5 and
//! 8 threads, which start for the smallest piece of work. The workspace holds one sample or more of them; a training step is taken at
//! once or in parts; training goes on in the same session or in a new one, from a model file.
//!
//! Inference, three steps with a random loss and optimizer, evaluation, a model file with the state of training, batch normalization
//! folded away, calibration, quantized weights, inference in integers and two steps of quantization-aware training are all part of a
//! run. NaNs are equal to each other: their signs and payloads are the processor's choice.

#![expect(
    clippy::duplicate_mod,
    reason = "the run is compiled against two builds of the library"
)]

mod features;
mod plain;
mod random_network;

use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};

use lightlayers::file::Writer;
use lightlayers::{Network, Op, Plan, Rng, Vectors};

pub use random_network::{Choices, network};

/// Bytes at a multiple of 16, as a model file is read.
#[derive(Clone, Debug)]
struct Aligned {
    blocks: Vec<u128>,
    len: usize,
}

impl Aligned {
    fn new(bytes: impl Iterator<Item = u8>) -> Self {
        let bytes: Vec<u8> = bytes.collect();
        let blocks = bytes.chunks(16).map(|block| {
            let mut whole = [0; 16];
            whole[..block.len()].copy_from_slice(block);
            u128::from_ne_bytes(whole)
        });
        Aligned {
            blocks: blocks.collect(),
            len: bytes.len(),
        }
    }

    fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.blocks)[..self.len]
    }
}

/// A network and what it is run on.
#[derive(Debug)]
struct Case {
    /// The network and its weights, as a model file.
    file: Aligned,
    /// Inputs and classes.
    samples: Vec<(Vec<f32>, usize)>,
    optimizer: usize,
    loss: usize,
    /// How ranges are chosen.
    method: usize,
    seed: u64,
}

/// What may change no bit.
#[derive(Clone, Copy, Debug)]
struct How {
    /// The samples that are worked on at once.
    capacity: usize,
    /// Training steps are taken in parts.
    in_parts: bool,
    /// Every step is one of a new session.
    interrupted: bool,
}

/// The bits of everything that was computed, in order.
#[derive(Default)]
struct Trace(Vec<(&'static str, u32)>);

impl Trace {
    fn words(&mut self, what: &'static str, words: impl IntoIterator<Item = u32>) {
        self.0.extend(words.into_iter().map(|word| (what, word)));
    }

    fn values(&mut self, what: &'static str, values: &[f32]) {
        let bits = |value: &f32| if value.is_nan() { f32::NAN } else { *value }.to_bits();
        self.words(what, values.iter().map(bits));
    }

    fn bytes(&mut self, what: &'static str, bytes: &[u8]) {
        self.words(what, bytes.iter().map(|byte| u32::from(*byte)));
    }

    fn text(&mut self, what: &'static str, error: &impl Debug) {
        self.bytes(what, format!("{error:?}").as_bytes());
    }

    /// The first place where another trace differs.
    fn difference(&self, other: &Self) -> Option<String> {
        let place = self.0.iter().zip(&other.0).position(|(a, b)| a != b);
        if let Some(at) = place {
            let ((what, expected), (other, found)) = (self.0[at], other.0[at]);
            let values = [expected, found].map(f32::from_bits);
            return Some(format!(
                "{what}: expected {expected:#010x}, found {other}: {found:#010x}, as floats {values:?}"
            ));
        }
        let lens = [self.0.len(), other.0.len()];
        (lens[0] != lens[1]).then(|| format!("lengths {lens:?}"))
    }
}

/// Vectors and threads are those of the whole process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Makes a network and runs it in all ways.
///
/// # Errors
///
/// Two runs whose bits differ: the network, how it was run, and the first difference.
pub fn compare(choices: &mut Choices<'_>) -> Result<(), String> {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let net = network(choices);
    let case = case(&net, choices);
    let most = case.samples.len();
    // The statistics of a part of the minibatch depend on the part.
    let normalizes = |layer: &lightlayers::Layer| {
        matches!(layer.op(), Op::BatchNorm { .. }) && !layer.is_frozen()
    };
    let fixed = net.layers().iter().any(normalizes);
    let capacity = 1 + choices.below(most);
    let mut how = |plain: bool| How {
        capacity: match (fixed, plain) {
            (true, _) => capacity,
            (false, true) => 1,
            (false, false) => 1 + choices.below(most),
        },
        in_parts: !plain && choices.once_in(2),
        interrupted: !plain && choices.once_in(2),
    };
    let expected = plain::run::run(&case, how(true));
    let check = |what: &str, how: How, found: &Trace| match expected.difference(found) {
        None => Ok(()),
        Some(difference) => Err(format!("{what}, {how:?}: {difference}\n{net:#?}")),
    };
    for vectors in Vectors::available() {
        vectors.limit();
        let own = how(false);
        check(
            &format!("{vectors:?}"),
            own,
            &features::run::run(&case, own),
        )?;
        #[cfg(feature = "parallel")]
        for (threads, pool) in threads::pools() {
            let own = how(false);
            let found = pool.install(|| features::run::run(&case, own));
            check(&format!("{vectors:?}, {threads} threads"), own, &found)?;
        }
    }
    Ok(())
}

#[cfg(feature = "parallel")]
mod threads {
    use std::sync::OnceLock;

    use rayon::{ThreadPool, ThreadPoolBuilder};

    static POOLS: OnceLock<[(usize, ThreadPool); 5]> = OnceLock::new();

    /// Pools of several numbers of threads, which start for the smallest piece of work.
    pub(crate) fn pools() -> &'static [(usize, ThreadPool)] {
        POOLS.get_or_init(|| {
            lightlayers::share_work_of(1);
            [1, 2, 3, 5, 8].map(|threads| {
                let pool = ThreadPoolBuilder::new().num_threads(threads).build();
                (threads, pool.expect("threads start"))
            })
        })
    }
}

fn case(net: &Network, choices: &mut Choices<'_>) -> Case {
    let seed = choices.below(256) as u64;
    let mut rng = Rng::new(seed);
    let mut weights = vec![0.0; net.weights()];
    net.initialize(&mut weights, seed).expect("as long");
    // Nothing is 0 that trained networks do not have at 0.
    let variances = net.layers().iter().rev();
    let variances = variances.filter(|layer| matches!(layer.op(), Op::BatchNorm { .. }));
    let moving: usize = variances
        .map(|layer| 2 * usize::from(layer.output_shape().channels))
        .sum();
    let (trained, moving) = weights.split_at_mut(net.weights() - moving);
    for weight in trained {
        *weight += 0.2 * (rng.uniform() - 0.5);
    }
    for statistic in moving {
        *statistic += 0.5 * rng.uniform();
    }
    let plan = Plan::new(net);
    let writer = Writer::new(&plan, &weights).expect("as many weights as the network has");

    // Now and then an extreme input.
    let scale = choices.of(&[1.0, 1.0, 1.0, 1.0, 30.0, 1e-3, 1e20]);
    let outputs = net.output_shape().len();
    let samples = choices.of(&[1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 19, 21, 33]);
    let most = (200_000 / (1 + net.multiply_accumulates() as usize)).max(2);
    let samples = (0..samples.min(most)).map(|n| {
        let input = (0..net.input_shape().len()).map(|_| scale * (rng.uniform() - 0.4));
        (input.collect(), n % outputs)
    });
    Case {
        file: Aligned::new(writer.blocks().flatten()),
        samples: samples.collect(),
        optimizer: choices.below(7),
        loss: choices.below(3),
        method: choices.below(3),
        seed,
    }
}
