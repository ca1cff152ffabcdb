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
        for ((w, g), v) in weights.iter_mut().zip(gradients).zip(state) {
            let change = step.rate * g;
            *v = self.momentum * *v - change;
            let change = if self.nesterov {
                change - self.momentum * *v
            } else {
                -*v
            };
            finite &= subtract(w, change);
        }
        finite
    }
}
