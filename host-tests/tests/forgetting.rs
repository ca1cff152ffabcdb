//! What the demo of a network that goes on learning forgets: its accuracy on MNIST's test images, before and after it learns 300 digits
//! of other writers. Without a replay buffer it is printed, with one it has a limit.

use std::convert::Infallible;

use anyhow::{Result, anyhow, ensure};
use boards_common::digits::{DIGITS, TEST_EVERY};
use boards_common::enlarge::Enlarged;
use boards_common::personal::{
    ALL, Buffers, HEAD, IMAGE, LAST_BLOCK, Learner, Measured, SAMPLES, Session,
};
use boards_common::{Counter, Failure};
use embedded_hal::digital::{ErrorType, OutputPin};
use host_tests::real::read_real;
use lightlayers::Error;
use lightlayers::dataset::{
    Dataset, Element, Holdout, PackedImages, ReplayBuffer, ReplayMemory, Selection, Target,
};
use lightlayers::quant::Quantization;
use lightlayers_datasets::{Images, Set};

/// Samples that the buffer keeps: 10 of each class.
const KEPT: usize = 100;

/// Old samples in every step, beside the new one.
const OLD: usize = 3;

/// Of MNIST's training images, so many are offered before the new ones are learned.
const OFFERED: usize = 1000;

/// The most that may be lost with a replay buffer: 2 points.
const MOST_LOST: f32 = 0.02;

/// No LED is there.
struct NoLed;

impl ErrorType for NoLed {
    type Error = Infallible;
}

impl OutputPin for NoLed {
    fn set_low(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Some of the samples of a data set.
struct Chosen<D> {
    data: D,
    indices: Vec<usize>,
}

impl<D: Dataset> Dataset for Chosen<D> {
    type Error = D::Error;

    fn len(&self) -> usize {
        self.indices.len()
    }

    fn read(
        &mut self,
        index: usize,
        input: &mut [f32],
        target: &mut Target<'_>,
    ) -> Result<(), D::Error> {
        self.data.read(self.indices[index], input, target)
    }
}

type NewDigits = Chosen<Enlarged<Holdout<PackedImages<'static>>>>;

/// The digits of other writers for training, of the first so many classes.
fn new_digits(classes: usize) -> Result<NewDigits> {
    let training = Holdout::training(DIGITS, TEST_EVERY)?;
    let below = |index: &usize| {
        let label = DIGITS.label(training.index_in_whole(*index));
        label.is_some_and(|label| label < classes)
    };
    let indices: Vec<usize> = (0..training.len()).filter(below).collect();
    ensure!(indices.len() >= SAMPLES as usize, "{}", indices.len());
    Ok(Chosen {
        data: Enlarged(training),
        indices,
    })
}

fn accuracy<const BLOCKS: usize>(
    session: &mut Session<'_, BLOCKS>,
    images: &Images,
) -> Result<f32> {
    let Measured { accuracy, .. } = session.measure(&mut &*images, &mut Counter::new(|| 0))?;
    Ok(accuracy)
}

fn failed<D: std::fmt::Display>(failure: Failure<D, Infallible>) -> anyhow::Error {
    match failure {
        Failure::Network(error) => anyhow!("{error}"),
        Failure::Led(never) => match never {},
    }
}

fn forgets<const BLOCKS: usize, E: Element>(
    layers: &str,
    learner: &Learner<BLOCKS>,
    bytes: usize,
    mut replay: ReplayBuffer<'_, E>,
) -> Result<()> {
    let Some(mnist) = read_real(Set::Mnist)? else {
        return Ok(());
    };
    let mut buffers = [
        Learner::<BLOCKS>::WEIGHTS,
        IMAGE,
        Learner::<BLOCKS>::WORKSPACE,
    ]
    .map(|len| vec![0.0; len]);
    let [weights, image, workspace] = &mut buffers;
    let mut buffers = Buffers {
        weights,
        image,
        workspace,
    };
    let before = accuracy(&mut learner.start(&mut buffers)?, &mnist.testing)?;

    for classes in [10, 5] {
        let mut new = new_digits(classes)?;
        let mut clock = Counter::new(|| 0);

        let mut session = learner.start(&mut buffers)?;
        session
            .learn(&mut new, &mut NoLed, &mut clock)
            .map_err(failed)?;
        let without = accuracy(&mut session, &mnist.testing)?;

        let mut session = learner.start(&mut buffers)?;
        replay.clear();
        for sample in 0..OFFERED {
            session.offer(&mut &mnist.training, sample, &mut replay)?;
        }
        ensure!((0..10).all(|class| replay.kept(class) == KEPT / 10));
        session
            .learn_with_replay(&mut new, &mut replay, OLD, &mut NoLed, &mut clock)
            .map_err(failed)?;
        let with = accuracy(&mut session, &mnist.testing)?;

        let [old, kept, forgotten] = [before, with, without].map(|share| 100.0 * share);
        println!(
            "{layers}: learned {SAMPLES} new samples of {classes} classes: old {old:.2} % -> {kept:.2} % with replay from {bytes} B, {forgotten:.2} % without"
        );
        ensure!(with >= before - MOST_LOST && with > without);
        ensure!(replay.offered() == OFFERED as u32 + SAMPLES);
    }
    Ok(())
}

#[test]
fn of_a_head() -> Result<()> {
    let mut memory = Box::new(ReplayMemory::<i8, { Learner::<3>::FEATURES }, KEPT, 10>::new());
    let bytes = size_of_val(&*memory);
    // The means of 7x7 values after a ReLU: those that are kept reach 5.1.
    let replay = ReplayBuffer::quantized(&mut memory, up_to(6.0)?, Selection::ClassBalanced, 1);
    forgets("the head learns", &HEAD, bytes, replay)
}

#[test]
fn of_the_last_block() -> Result<()> {
    let mut memory = Box::new(ReplayMemory::<i8, { Learner::<2>::FEATURES }, KEPT, 10>::new());
    let bytes = size_of_val(&*memory);
    // Maxima after a ReLU: those that are kept reach 8.1.
    let replay = ReplayBuffer::quantized(&mut memory, up_to(9.0)?, Selection::ClassBalanced, 1);
    forgets(
        "the last block and the head learn",
        &LAST_BLOCK,
        bytes,
        replay,
    )
}

#[test]
fn of_all_layers() -> Result<()> {
    let mut memory = Box::new(ReplayMemory::<u8, IMAGE, KEPT, 10>::new());
    let bytes = size_of_val(&*memory);
    let replay = ReplayBuffer::new(&mut memory, Selection::ClassBalanced, 1);
    forgets("all layers learn", &ALL, bytes, replay)
}

fn up_to(most: f32) -> Result<Quantization, Error> {
    Quantization::of_range(0.0, most)
}
