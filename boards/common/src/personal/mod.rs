//! A network that was trained on MNIST learns the hands of other writers, on the chip.
//!
//! The layers that do not learn, the base, are a network of their own whose weights stay in flash. The layers above it learn, one
//! sample at a time. Both work in the same memory, one after the other.

mod integers;
mod networks;
mod session;

pub use networks::{Base, CLASSES, TRAINED, Top, WEIGHTS};
pub use session::{
    ALL, Buffers, HEAD, IMAGE, LAST_BLOCK, Learner, Measured, PASSES, SAMPLES, Session,
};

use core::convert::Infallible;

use embedded_hal::digital::OutputPin;
use lightlayers::Error;
use lightlayers::dataset::Holdout;

use crate::digits::{DIGITS, TEST_EVERY};
use crate::enlarge::Enlarged;
use crate::{Clock, Failure, int8};

/// What came out of learning.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Outcome {
    /// Bytes of the buffers that were used.
    pub buffers: usize,
    /// Of the images for testing, afterwards.
    pub after: Measured,
    /// Instructions of a step, reading its sample included: the mean of all.
    pub step: u64,
    /// The CRC-32 of the weights.
    pub checksum: u32,
    /// True if it is that of every other processor.
    pub same_bits: bool,
}

#[cfg(feature = "defmt")]
impl defmt::Format for Outcome {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "accuracy {}; instructions per inference {}, per training step {}; buffers {} B; CRC-32 of the weights {:08x}",
            self.after.accuracy,
            self.after.inference,
            self.step,
            self.buffers,
            self.checksum
        );
    }
}

/// The whole of it, with what it uses of a board.
#[derive(Debug)]
pub struct Demo<'m, L, C> {
    /// As long as the largest learner needs them.
    pub buffers: Buffers<'m>,
    /// Changes after every step of training.
    pub led: L,
    /// Counts what training and inference take.
    pub clock: C,
}

impl<L: OutputPin, C: Clock> Demo<'_, L, C> {
    /// Measures the network that was trained on MNIST with the other writers' digits.
    ///
    /// # Errors
    ///
    /// As [`Session::measure`].
    pub fn before(&mut self) -> Result<Measured, Error> {
        let mut session = HEAD.start(&mut self.buffers)?;
        let mut testing = Enlarged(Holdout::testing(DIGITS, TEST_EVERY)?);
        session.measure(&mut testing, &mut self.clock)
    }

    /// Measures the same network in 8-bit integers, beside what [`before`](Self::before) showed.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if a buffer is too short.
    pub fn integers(&mut self, before: &Measured) -> Result<int8::Outcome, Error> {
        let mut testing = Enlarged(Holdout::testing(DIGITS, TEST_EVERY)?);
        let Self { buffers, clock, .. } = self;
        integers::measured(&mut testing, buffers, before.inference, clock)
    }

    /// Learns from some of the digits, starting with the weights from MNIST, and measures the result with others.
    ///
    /// # Errors
    ///
    /// As [`Session::learn`] and [`Session::measure`].
    pub fn learn<const BLOCKS: usize>(
        &mut self,
        learner: &Learner<BLOCKS>,
    ) -> Result<Outcome, Failure<Infallible, L::Error>> {
        let mut session = learner.start(&mut self.buffers)?;
        let mut training = Enlarged(Holdout::training(DIGITS, TEST_EVERY)?);
        let mut testing = Enlarged(Holdout::testing(DIGITS, TEST_EVERY)?);
        let step = session.learn(&mut training, &mut self.led, &mut self.clock)?;
        let checksum = session.checksum();
        Ok(Outcome {
            buffers: Learner::<BLOCKS>::BYTES,
            after: session.measure(&mut testing, &mut self.clock)?,
            step,
            checksum,
            same_bits: checksum == learner.checksum,
        })
    }
}
