//! What the demos learn.

use lightlayers::dataset::Dataset;
use lightlayers::{Model, Network};

use super::{Pace, Task};
use crate::digits::Digits;
use crate::enlarge::Enlarged;
use crate::personal::{ALL, Base, CLASSES, Top};

/// The paper's network for MNIST, of rank 3: all layers go on learning from other writers' digits.
#[derive(Clone, Copy, Debug)]
pub struct OtherHands;

/// The same network with layers of one factor each: the same weights and bits in 34 KB instead of 60.
#[derive(Clone, Copy, Debug)]
pub struct Factored;

impl Model for Factored {
    const NET: Network = Base::<3>::NET.light_dense(CLASSES, 8);
}

impl Task for OtherHands {
    type Learning = Top<0>;
    type Guessing = Factored;

    const LEARNING: Top<0> = Top;
    const GUESSING: Factored = Factored;
    const SEED: Option<u64> = None;
    /// With the learning rate of [`ALL`].
    const PACE: Pace = Pace {
        rate: ALL.rate,
        old: 3,
    };

    fn inputs<D: Dataset>(samples: D) -> impl Dataset<Error = D::Error> {
        Enlarged(samples)
    }
}

/// A small network that starts from nothing.
#[derive(Clone, Copy, Debug)]
pub struct FromScratch;

impl Task for FromScratch {
    type Learning = Digits;
    type Guessing = Digits;

    const LEARNING: Digits = Digits;
    const GUESSING: Digits = Digits;
    const SEED: Option<u64> = Some(1);
    /// Chosen by the accuracy on the 438 images for training that come after the first thousand, when those were learned.
    const PACE: Pace = Pace { rate: 0.5, old: 3 };

    fn inputs<D: Dataset>(samples: D) -> impl Dataset<Error = D::Error> {
        samples
    }
}
