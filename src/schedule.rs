//! Learning rates that change while training, and when to stop.

use core::f32::consts::PI;

use crate::error::{Buffer, Error};
use crate::kernels::elementwise;
use crate::math;

/// A learning rate for every optimizer step.
pub trait Schedule {
    /// The rate of step `step`, counted from 0: not negative, and finite.
    fn rate(&self, step: u32) -> f32;
}

/// The same rate for all steps.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Constant(pub f32);

impl Schedule for Constant {
    fn rate(&self, _: u32) -> f32 {
        self.0
    }
}

/// `initial · factor^(step / every)`, the quotient rounded down; Keras's `ExponentialDecay(staircase=True)`.
///
/// A rate that grows beyond all numbers is infinite, which [`Trainer::step`](crate::Trainer::step) does not take.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct StepDecay {
    /// The rate of the first steps.
    pub initial: f32,
    /// What the rate is multiplied by.
    pub factor: f32,
    /// After how many steps; 0 stands for never.
    pub every: u32,
}

impl Schedule for StepDecay {
    fn rate(&self, step: u32) -> f32 {
        // 0 stays 0, also where the power overflows.
        if self.initial == 0.0 {
            return 0.0;
        }
        self.initial * math::powi(self.factor, step.checked_div(self.every).unwrap_or(0))
    }
}

/// A straight line from 0 to `peak` over `warmup` steps, then a half cosine down to `floor` over `decay` steps; after Keras's
/// `CosineDecay`.
///
/// ```
/// use lightlayers::schedule::{Cosine, Schedule};
///
/// let schedule = Cosine { peak: 0.1, warmup: 10, decay: 100, floor: 0.0 };
/// assert_eq!(schedule.rate(0), 0.0);
/// assert_eq!(schedule.rate(10), 0.1);
/// assert!((schedule.rate(60) - 0.05).abs() < 1e-6);
/// assert_eq!(schedule.rate(1000), 0.0);
/// ```
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Cosine {
    /// The highest rate.
    pub peak: f32,
    /// Steps of the rise.
    pub warmup: u32,
    /// Steps of the fall.
    pub decay: u32,
    /// The lowest rate, which stays.
    pub floor: f32,
}

impl Schedule for Cosine {
    fn rate(&self, step: u32) -> f32 {
        if step < self.warmup {
            return self.peak * (step as f32 / self.warmup as f32);
        }
        let step = step - self.warmup;
        if step >= self.decay {
            return self.floor;
        }
        let height = 0.5 * (1.0 + math::cos(PI * (step as f32 / self.decay as f32)));
        self.floor + (self.peak - self.floor) * height
    }
}

/// What to do after another validation loss.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Verdict {
    /// The best loss so far.
    Improved,
    /// No better than before, for less than the patience.
    Waiting,
    /// No better for as many epochs as the patience.
    Exhausted,
}

/// Counts the epochs without a better loss.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Patience {
    epochs: u32,
    min_delta: f32,
    best: f32,
    waited: u32,
}

impl Patience {
    const fn new(epochs: u32, min_delta: f32) -> Self {
        Self {
            epochs,
            min_delta,
            best: f32::INFINITY,
            waited: 0,
        }
    }

    fn observe(&mut self, loss: f32) -> Verdict {
        if loss < self.best - self.min_delta {
            self.best = loss;
            self.waited = 0;
            return Verdict::Improved;
        }
        self.waited = self.waited.saturating_add(1);
        if self.waited >= self.epochs {
            Verdict::Exhausted
        } else {
            Verdict::Waiting
        }
    }
}

/// Multiplies the rate by `factor` when the loss has not become better by `min_delta` for `patience` epochs; Keras's
/// `ReduceLROnPlateau`.
///
/// ```
/// use lightlayers::schedule::{ReduceOnPlateau, Schedule};
///
/// let mut schedule = ReduceOnPlateau::new(0.1, 0.5, 2, 1e-4);
/// for loss in [1.0, 1.0, 1.0] {
///     schedule.observe(loss);
/// }
/// assert_eq!(schedule.rate(0), 0.05);
/// ```
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ReduceOnPlateau {
    rate: f32,
    factor: f32,
    min_rate: f32,
    cooldown: u32,
    cooling: u32,
    patience: Patience,
}

impl ReduceOnPlateau {
    /// Starts at `rate`.
    pub const fn new(rate: f32, factor: f32, patience: u32, min_delta: f32) -> Self {
        Self {
            rate,
            factor,
            min_rate: 0.0,
            cooldown: 0,
            cooling: 0,
            patience: Patience::new(patience, min_delta),
        }
    }

    /// The rate does not fall below `min_rate`.
    pub const fn with_min_rate(mut self, min_rate: f32) -> Self {
        self.min_rate = min_rate;
        self
    }

    /// After a reduction, `cooldown` epochs pass before waiting is counted again.
    pub const fn with_cooldown(mut self, cooldown: u32) -> Self {
        self.cooldown = cooldown;
        self
    }

    /// Takes the loss of another epoch.
    pub fn observe(&mut self, loss: f32) {
        if self.cooling > 0 {
            self.cooling -= 1;
            self.patience.waited = 0;
        }
        let waited = self.patience.waited;
        let progress = self.patience.observe(loss);
        if self.cooling > 0 && progress != Verdict::Improved {
            self.patience.waited = waited;
        } else if progress == Verdict::Exhausted {
            self.patience.waited = 0;
            if self.rate > self.min_rate {
                self.rate = (self.rate * self.factor).max(self.min_rate);
                self.cooling = self.cooldown;
            }
        }
    }
}

impl Schedule for ReduceOnPlateau {
    fn rate(&self, _: u32) -> f32 {
        self.rate
    }
}

/// Says when to stop, and keeps the best weights in memory that the user owns; Keras's `EarlyStopping(restore_best_weights=True)`.
///
/// ```
/// use lightlayers::schedule::{EarlyStopping, Verdict};
///
/// let mut best = [0.0; 1];
/// let mut stopping = EarlyStopping::new(2, 0.0, &mut best);
/// let mut weights = [1.0];
/// assert_eq!(stopping.observe(0.5, &weights)?, Verdict::Improved);
/// weights[0] = 2.0;
/// assert_eq!(stopping.observe(0.6, &weights)?, Verdict::Waiting);
/// assert_eq!(stopping.observe(0.7, &weights)?, Verdict::Exhausted);
/// stopping.restore(&mut weights)?;
/// assert_eq!(weights, [1.0]);
/// # Ok::<(), lightlayers::Error>(())
/// ```
#[derive(PartialEq, Debug)]
pub struct EarlyStopping<'m> {
    patience: Patience,
    best: &'m mut [f32],
}

impl<'m> EarlyStopping<'m> {
    /// Stops after `patience` epochs whose loss is not better than the best by more than `min_delta`. `best` is as long as the
    /// weights.
    pub fn new(patience: u32, min_delta: f32, best: &'m mut [f32]) -> Self {
        Self {
            patience: Patience::new(patience, min_delta),
            best,
        }
    }

    /// Takes the loss of another epoch, and a copy of the weights if it is the best so far.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if `weights` is not as long as the buffer for the best ones.
    pub fn observe(&mut self, loss: f32, weights: &[f32]) -> Result<Verdict, Error> {
        Error::check_length(Buffer::Best, weights.len(), self.best.len())?;
        let progress = self.patience.observe(loss);
        if progress == Verdict::Improved {
            elementwise::copy(weights, self.best);
        }
        Ok(progress)
    }

    /// The lowest loss so far; infinity before the first.
    pub fn best_loss(&self) -> f32 {
        self.patience.best
    }

    /// Copies the best weights back; nothing if no loss was observed yet.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if `weights` is not as long as the buffer for the best ones.
    pub fn restore(&self, weights: &mut [f32]) -> Result<(), Error> {
        Error::check_length(Buffer::Best, weights.len(), self.best.len())?;
        if self.patience.best < f32::INFINITY {
            elementwise::copy(self.best, weights);
        }
        Ok(())
    }
}
