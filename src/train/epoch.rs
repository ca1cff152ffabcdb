//! How training goes through a data set.

use crate::metrics::Metrics;
use crate::optim::Step;

/// How the samples of an epoch are cut into minibatches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Epoch {
    pub(super) batch: usize,
    pub(super) shuffle: Option<u64>,
}

impl Epoch {
    /// Minibatches of `batch` samples in the order of the data set; the last one may be smaller.
    pub const fn in_order(batch: usize) -> Self {
        Self {
            batch,
            shuffle: None,
        }
    }

    /// The same in a random order, which is a function of the seed and takes no memory. Give every epoch another seed.
    pub const fn shuffled(batch: usize, seed: u64) -> Self {
        Self {
            batch,
            shuffle: Some(seed),
        }
    }

    /// The minibatches, and so the optimizer steps, of an epoch over `samples`: what a learning-rate schedule counts. At most `u32::MAX`,
    /// which is also where the count of steps ends.
    ///
    /// ```
    /// use lightlayers::Epoch;
    ///
    /// assert_eq!(Epoch::in_order(32).steps(100), 4);
    /// ```
    pub const fn steps(self, samples: usize) -> u32 {
        match self.batch {
            0 => 0,
            batch => {
                let steps = samples.div_ceil(batch) as u64;
                if steps > u32::MAX as u64 {
                    u32::MAX
                } else {
                    steps as u32
                }
            }
        }
    }
}

/// Where an epoch stands after a minibatch.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Progress {
    /// The samples of this epoch so far.
    pub samples: usize,
    /// The samples of the whole epoch.
    pub of: usize,
    /// Loss and accuracy over the samples of this epoch so far.
    pub metrics: Metrics,
    /// The optimizer step that was just taken.
    pub step: Step,
}

/// One sample's result of [`Trainer::evaluate`](crate::Trainer::evaluate).
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Evaluated<'a> {
    /// The sample's index in the data set.
    pub sample: usize,
    /// What the network answers.
    pub outputs: &'a [f32],
    /// What it should answer.
    pub target: &'a [f32],
}
