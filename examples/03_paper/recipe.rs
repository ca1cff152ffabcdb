//! The two ways of training: the paper's, and ours.

use clap::ValueEnum;
use lightlayers::paper::Kind;
use lightlayers::schedule::{Cosine, EarlyStopping, ReduceOnPlateau, Schedule, Verdict};
use lightlayers::{Error, Network};
use lightlayers_datasets::Set;

use crate::networks;
use crate::training::EpochRecord;

/// A recipe on the command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Recipe {
    /// The setup of the paper's code, in which the test set steers the learning rate
    Paper,
    /// Ours: chosen by validation images, which are held back from training
    Tuned,
}

/// Everything that a recipe fixes. Its `Debug` output is part of what a checkpoint belongs to.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Settings {
    pub epochs: u32,
    /// Images per step.
    pub batch: usize,
    pub shuffle: bool,
    /// Images move by up to as many pixels.
    pub shift: u16,
    /// Half of the images are mirrored.
    pub flip: bool,
    pub label_smoothing: f32,
    pub rate: Rate,
    /// The share that the averaged weights keep of themselves in a step; none without averaging.
    pub averaging: Option<f32>,
    /// The penalty of the authors' code.
    pub penalty: bool,
    /// The starting biases of the authors' code.
    pub drawn_biases: bool,
    /// The training images that are held back for validation, the last ones; none where the test images are the validation images.
    pub held_back: Option<usize>,
}

/// How the learning rate goes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Rate {
    /// Down when the validation loss stays.
    Plateau { start: f32, patience: u32 },
    /// Up in the first `warmup` of the steps, then down to 0.
    Cosine { peak: f32, warmup: f32 },
}

/// Epochs without a better validation loss after which the paper's code stops.
const STOP_AFTER: u32 = 10;
/// What counts as a better loss.
const MIN_DELTA: f32 = 1e-4;

impl Settings {
    pub fn paper(set: Set, epochs: Option<u32>, drawn_biases: bool) -> Self {
        let cifar = matches!(set, Set::Cifar10 | Set::Cifar100);
        Self {
            epochs: epochs.unwrap_or(if cifar { 20 } else { 10 }),
            batch: 64,
            shuffle: false,
            shift: 0,
            flip: false,
            label_smoothing: 0.0,
            rate: Rate::Plateau {
                start: if cifar { 1e-4 } else { 1e-3 },
                patience: if set == Set::FashionMnist { 3 } else { 4 },
            },
            averaging: None,
            penalty: true,
            drawn_biases,
            held_back: None,
        }
    }

    pub fn tuned(set: Set, epochs: Option<u32>) -> Self {
        let cifar = matches!(set, Set::Cifar10 | Set::Cifar100);
        Self {
            epochs: epochs.unwrap_or(20),
            batch: 64,
            shuffle: true,
            shift: if cifar { 4 } else { 1 },
            flip: cifar,
            label_smoothing: 0.05,
            rate: Rate::Cosine {
                peak: 0.01,
                warmup: 0.05,
            },
            averaging: Some(0.998),
            penalty: false,
            drawn_biases: false,
            held_back: Some(5000),
        }
    }

    pub fn network(&self, set: Set, kind: Kind) -> Network {
        if self.penalty {
            networks::penalized_network(set, kind)
        } else {
            networks::network(set, kind)
        }
    }

    /// The schedule of the next epoch, a function of the epochs before it.
    pub fn schedule(&self, steps_per_epoch: u32, before: &[EpochRecord]) -> RateOfStep {
        match self.rate {
            Rate::Plateau { start, patience } => {
                let mut plateau = ReduceOnPlateau::new(start, 0.1, patience, MIN_DELTA);
                for epoch in before {
                    plateau.observe(epoch.result.test.loss);
                }
                RateOfStep::Plateau(plateau)
            }
            Rate::Cosine { peak, warmup } => {
                let steps = self.epochs.saturating_mul(steps_per_epoch);
                let warmup = (warmup * steps as f32) as u32;
                RateOfStep::Cosine(Cosine {
                    peak,
                    warmup,
                    decay: steps - warmup,
                    floor: 0.0,
                })
            }
        }
    }

    /// Whether the paper's code would stop before the last epoch.
    pub fn stops_after(&self, epochs: &[EpochRecord]) -> Result<bool, Error> {
        let Rate::Plateau { .. } = self.rate else {
            return Ok(false);
        };
        // It does not go back to the best weights, so none are kept.
        let mut stopping = EarlyStopping::new(STOP_AFTER, 0.0, &mut []);
        let mut verdict = Verdict::Waiting;
        for epoch in epochs {
            verdict = stopping.observe(epoch.result.test.loss, &[])?;
        }
        Ok(verdict == Verdict::Exhausted)
    }
}

/// One of the schedules of [`Rate`].
pub enum RateOfStep {
    Plateau(ReduceOnPlateau),
    Cosine(Cosine),
}

impl Schedule for RateOfStep {
    fn rate(&self, step: u32) -> f32 {
        match self {
            Self::Plateau(plateau) => plateau.rate(step),
            Self::Cosine(cosine) => cosine.rate(step),
        }
    }
}
