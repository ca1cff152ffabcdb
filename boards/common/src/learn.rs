//! A network learns on the chip, from nothing.

use embedded_hal::delay::DelayNs;
use embedded_hal::digital::{OutputPin, PinState};
use lightlayers::dataset::{Dataset, Target};
use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::metrics::Metrics;
use lightlayers::optim::Optimizer;
use lightlayers::schedule::Cosine;
use lightlayers::{Buffer, Epoch, Error, Inference, Memory, Model, Trainer};

use crate::Clock;

/// What a demo uses of a board.
#[derive(Debug)]
pub struct Board<L, D, C> {
    /// Changes after every step of training, and blinks three times at the end.
    pub led: L,
    /// Waits between the blinks.
    pub delay: D,
    /// Counts what training and inference take.
    pub clock: C,
}

/// How a network is trained: the learning rate rises for a twentieth of the steps, and then falls to 0 along a cosine.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    /// Seed of the starting weights and of the order of the samples.
    pub seed: u32,
    /// Times that every sample is seen.
    pub epochs: u32,
    /// Samples per step.
    pub batch: usize,
    /// The highest learning rate.
    pub peak_rate: f32,
}

/// What a demo tells while it runs.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Event {
    /// The untrained network, measured on the samples for testing.
    Before(Metrics),
    /// An epoch is over.
    Epoch {
        /// Counted from 1.
        number: u32,
        /// Epochs in all.
        of: u32,
        /// Of the samples for training, each measured before the network learned from it.
        metrics: Metrics,
    },
}

impl Event {
    /// What was measured.
    pub fn metrics(&self) -> &Metrics {
        match self {
            Self::Before(metrics) | Self::Epoch { metrics, .. } => metrics,
        }
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Event {
    fn format(&self, f: defmt::Formatter<'_>) {
        let (accuracy, loss) = (self.metrics().accuracy(), self.metrics().loss());
        match self {
            Self::Before(_) => {
                defmt::write!(f, "before training: accuracy {}, loss {}", accuracy, loss);
            }
            Self::Epoch { number, of, .. } => {
                defmt::write!(
                    f,
                    "epoch {} of {}: accuracy {}, loss {}",
                    number,
                    of,
                    accuracy,
                    loss
                );
            }
        }
    }
}

/// What came out.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Outcome {
    /// Of the untrained network on the samples for testing.
    pub before: Metrics,
    /// Of the trained network on the same.
    pub after: Metrics,
    /// Instructions of an optimizer step, reading its samples included: the mean of all.
    pub step: u64,
    /// Instructions of inference on one sample: the mean of the samples for testing.
    pub inference: u64,
}

#[cfg(feature = "defmt")]
impl defmt::Format for Outcome {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "after training: accuracy {}, loss {}; instructions per inference {}, per training step {}",
            self.after.accuracy(),
            self.after.loss(),
            self.inference,
            self.step
        );
    }
}

/// Why a demo stopped.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Failure<D, L> {
    /// The network or the data set.
    Network(Error<D>),
    /// The LED.
    Led(L),
}

impl<D, L> From<Error<D>> for Failure<D, L> {
    fn from(error: Error<D>) -> Self {
        Self::Network(error)
    }
}

/// The time between two changes of the LED at the end.
const BLINK_MS: u32 = 50;

/// Trains `model` from its starting weights, and measures it before and after; `memory.weights` are then the trained ones.
///
/// # Errors
///
/// As [`Trainer::epoch`], [`Trainer::evaluate`] and [`Inference::run`], and the LED's own.
pub fn learn<M, O, T, L, D, C>(
    model: M,
    optimizer: O,
    course: &Course,
    [training, testing]: [&mut T; 2],
    memory: &mut Memory<'_>,
    board: &mut Board<L, D, C>,
    mut log: impl FnMut(Event),
) -> Result<Outcome, Failure<T::Error, L::Error>>
where
    M: Model + Copy,
    O: Optimizer,
    T: Dataset,
    L: OutputPin,
    D: DelayNs,
    C: Clock,
{
    let Board { led, delay, clock } = board;
    let steps = course.epochs * Epoch::in_order(course.batch).steps(training.len());
    let warmup = steps / 20;
    let schedule = Cosine {
        peak: course.peak_rate,
        warmup,
        decay: steps - warmup,
        floor: 0.0,
    };
    let buffers = Memory {
        weights: memory.weights,
        gradients: memory.gradients,
        optimizer_state: memory.optimizer_state,
        workspace: memory.workspace,
    };
    let trainer = Trainer::new(model, SoftmaxCrossEntropy::new(), optimizer, buffers);
    let mut trainer = trainer.map_err(Error::widen)?;
    trainer
        .initialize(course.seed.into())
        .map_err(Error::widen)?;

    let before = trainer.evaluate(testing, |_| {})?;
    log(Event::Before(before));

    let (mut in_training, mut lit) = (0, false);
    for number in 1..=course.epochs {
        let order = Epoch::shuffled(course.batch, epoch_seed(course.seed, number));
        let mut blinked = Ok(());
        let (metrics, count) = clock.count(|| {
            trainer.epoch(training, order, &schedule, |_| {
                lit = !lit;
                if blinked.is_ok() {
                    blinked = led.set_state(PinState::from(lit));
                }
            })
        });
        in_training += count;
        log(Event::Epoch {
            number,
            of: course.epochs,
            metrics: metrics?,
        });
        blinked.map_err(Failure::Led)?;
    }
    let after = trainer.evaluate(testing, |_| {})?;

    let inference = infer(model, testing, memory, clock)?;
    for _ in 0..3 {
        led.set_high().map_err(Failure::Led)?;
        delay.delay_ms(BLINK_MS);
        led.set_low().map_err(Failure::Led)?;
        delay.delay_ms(BLINK_MS);
    }
    Ok(Outcome {
        before,
        after,
        step: in_training / u64::from(steps.max(1)),
        inference,
    })
}

/// Every epoch of every seed has another order.
const fn epoch_seed(seed: u32, epoch: u32) -> u64 {
    (seed as u64) << 16 | epoch as u64
}

/// The mean instructions of inference; reading a sample is not counted.
fn infer<M: Model, T: Dataset>(
    model: M,
    samples: &mut T,
    memory: &mut Memory<'_>,
    clock: &mut impl Clock,
) -> Result<u64, Error<T::Error>> {
    let inputs = M::NET.input_shape().len();
    let outputs = M::NET.output_shape().len();
    // After training, the gradients' memory is free for a sample and its target.
    let (input, rest) = split(memory.gradients, inputs)?;
    let (target, _) = split(rest, outputs)?;
    let inference = Inference::new(model, memory.weights, memory.workspace);
    let mut inference = inference.map_err(Error::widen)?;
    let mut sum = 0;
    for sample in 0..samples.len() {
        let read = samples.read(sample, input, &mut Target::new(target));
        read.map_err(Error::Dataset)?;
        let (result, count) = clock.count(|| inference.run(input).map(|_| ()));
        result.map_err(Error::widen)?;
        sum += count;
    }
    Ok(sum / samples.len().max(1) as u64)
}

/// The first elements of a buffer, and the others.
fn split<E>(buffer: &mut [f32], len: usize) -> Result<(&mut [f32], &mut [f32]), Error<E>> {
    let found = buffer.len();
    buffer.split_at_mut_checked(len).ok_or(Error::Length {
        buffer: Buffer::Gradients,
        expected: len,
        found,
    })
}
