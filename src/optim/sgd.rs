//! Stochastic gradient descent.

use super::{Optimizer, Step, subtract};
use crate::error::Error;

/// `w -= rate · g`: no state.
///
/// With momentum, after Keras: `v = momentum · v - rate · g`, `w += v`; with Nesterov's, `w += momentum · v - rate · g`, with the new
/// `v`. See [`Momentum`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sgd;

impl Sgd {
    /// With momentum: one element of state per weight.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] if `momentum` is not in `0..1`.
    pub const fn momentum(momentum: f32) -> Result<Momentum, Error> {
        Momentum::new(momentum, false)
    }

    /// With Nesterov's momentum: one element of state per weight.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] if `momentum` is not in `0..1`.
    pub const fn nesterov(momentum: f32) -> Result<Momentum, Error> {
        Momentum::new(momentum, true)
    }

    /// With momentum that is kept where the gradients are: no state, the least memory that momentum can have.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] if `momentum` is not in `0..1`.
    pub const fn heavy_ball(momentum: f32) -> Result<HeavyBall, Error> {
        match Momentum::new(momentum, false) {
            Ok(_) => Ok(HeavyBall { momentum }),
            Err(error) => Err(error),
        }
    }
}

impl Optimizer for Sgd {
    const STATE: usize = 0;

    fn update(&self, step: Step, weights: &mut [f32], gradients: &[f32], _: &mut [f32]) -> bool {
        let mut finite = true;
        for (w, g) in weights.iter_mut().zip(gradients) {
            finite &= subtract(w, step.rate * g);
        }
        finite
    }
}

/// [`Sgd`] with momentum.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Momentum {
    momentum: f32,
    nesterov: bool,
}

impl Momentum {
    const fn new(momentum: f32, nesterov: bool) -> Result<Self, Error> {
        if momentum >= 0.0 && momentum < 1.0 {
            Ok(Self { momentum, nesterov })
        } else {
            Err(Error::OutOfRange {
                what: "the momentum",
                range: "0..1",
            })
        }
    }
}

impl Optimizer for Momentum {
    const STATE: usize = 1;

    fn update(
        &self,
        step: Step,
        weights: &mut [f32],
        gradients: &[f32],
        state: &mut [f32],
    ) -> bool {
        let mut finite = true;
        for ((w, g), v) in weights.iter_mut().zip(gradients).zip(state.iter_mut()) {
            let change = step.rate * g;
            *v = self.momentum * *v - change;
            let change = if self.nesterov {
                change - self.momentum * *v
            } else {
                -*v
            };
            finite &= subtract(w, change);
        }
        if !finite {
            // A velocity that leads to no finite weight would lead to none in the next steps either.
            state.fill(0.0);
        }
        finite
    }
}

/// [`Sgd`] with Polyak's momentum, as in PyTorch: `u = momentum · u + g`, `w -= rate · u`.
///
/// With a constant rate it is [`Momentum`], whose `v` is `-rate · u`. There is no state: `u` lies in the buffer for the gradients, and the
/// next ones are added to it. [`Trainer::gradients`](crate::Trainer::gradients) are then `u`, and so is what
/// [`ClipNorm`](super::ClipNorm) clips.
///
/// `u` starts at 0: [`Trainer::new`](crate::Trainer::new) and [`Trainer::initialize`](crate::Trainer::initialize) clear it, whatever was
/// in the buffer, and so does a step that meets a NaN or an infinity. A step that ends because a sample cannot be read leaves the gradients
/// of the samples before it in `u`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct HeavyBall {
    momentum: f32,
}

impl Optimizer for HeavyBall {
    const STATE: usize = 0;
    const KEEPS_GRADIENTS: bool = true;

    fn begin(&self, gradients: &mut [f32]) {
        for u in gradients {
            *u *= self.momentum;
        }
    }

    fn update(
        &self,
        step: Step,
        weights: &mut [f32],
        gradients: &[f32],
        state: &mut [f32],
    ) -> bool {
        Sgd.update(step, weights, gradients, state)
    }
}
