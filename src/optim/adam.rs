//! Adam and AdamW.

use super::{Optimizer, Step, subtract};
use crate::error::Error;
use crate::kernels::vectorized;
use crate::math;

/// Adam (Kingma and Ba, arXiv 1412.6980), as in Keras 3: `m += (1 - β₁) · (g - m)`, `v += (1 - β₂) · (g² - v)`,
/// `w -= rate · sqrt(1 - β₂ᵗ) / (1 - β₁ᵗ) · m / (sqrt(v) + ε)`.
///
/// Two elements of state per weight: all `m`, then all `v`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Adam {
    beta_1: f32,
    beta_2: f32,
    epsilon: f32,
}

impl Default for Adam {
    fn default() -> Self {
        Self::new()
    }
}

impl Adam {
    /// β₁ = 0.9, β₂ = 0.999, ε = 1e-7: Keras's defaults.
    pub const fn new() -> Self {
        Self {
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-7,
        }
    }

    /// Other decays of the two moments, and another ε.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] if a β is not in `0..1` or ε is not positive.
    pub const fn with(beta_1: f32, beta_2: f32, epsilon: f32) -> Result<Self, Error> {
        if !is_decay(beta_1) || !is_decay(beta_2) {
            return Err(Error::OutOfRange {
                what: "beta",
                range: "0..1",
            });
        }
        if !(epsilon > 0.0 && epsilon.is_finite()) {
            return Err(Error::OutOfRange {
                what: "epsilon",
                range: "above 0",
            });
        }
        Ok(Self {
            beta_1,
            beta_2,
            epsilon,
        })
    }

    #[inline(always)]
    fn update_decayed(
        &self,
        step: Step,
        decay: f32,
        weights: &mut [f32],
        gradients: &[f32],
        state: &mut [f32],
    ) -> bool {
        let rate = step.rate * math::sqrt(1.0 - math::powi(self.beta_2, step.number))
            / (1.0 - math::powi(self.beta_1, step.number));
        let Some((m, v)) = state.split_at_mut_checked(weights.len()) else {
            return true;
        };
        vectorized(
            #[inline(always)]
            || self.move_all(weights, gradients, (m, v), (rate, decay)),
        )
    }

    #[inline(always)]
    fn move_all(
        self,
        weights: &mut [f32],
        gradients: &[f32],
        (m, v): (&mut [f32], &mut [f32]),
        (rate, decay): (f32, f32),
    ) -> bool {
        let mut finite = true;
        let moments = m.iter_mut().zip(v);
        for ((w, g), (m, v)) in weights.iter_mut().zip(gradients).zip(moments) {
            // An infinite moment would never become finite again.
            *m = (*m + (1.0 - self.beta_1) * (g - *m)).clamp(f32::MIN, f32::MAX);
            *v = (*v + (1.0 - self.beta_2) * (g * g - *v)).min(f32::MAX);
            let change = rate * *m / (math::sqrt(*v) + self.epsilon);
            finite &= subtract(w, decay * *w + change);
        }
        finite
    }
}

const fn is_decay(beta: f32) -> bool {
    beta >= 0.0 && beta < 1.0
}

impl Optimizer for Adam {
    const STATE: usize = 2;

    fn update(
        &self,
        step: Step,
        weights: &mut [f32],
        gradients: &[f32],
        state: &mut [f32],
    ) -> bool {
        self.update_decayed(step, 0.0, weights, gradients, state)
    }
}

/// [`Adam`] with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101), as in Keras 3: `w -= rate · decay · w` before
/// Adam's step, for every trainable weight.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct AdamW {
    adam: Adam,
    decay: f32,
}

impl AdamW {
    /// Decay `decay` (Keras's default is 0.004) around an [`Adam`].
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] if `decay` is negative or not finite.
    pub const fn new(decay: f32, adam: Adam) -> Result<Self, Error> {
        if decay >= 0.0 && decay.is_finite() {
            Ok(Self { adam, decay })
        } else {
            Err(Error::OutOfRange {
                what: "the weight decay",
                range: "0..",
            })
        }
    }
}

impl Optimizer for AdamW {
    const STATE: usize = 2;

    fn update(
        &self,
        step: Step,
        weights: &mut [f32],
        gradients: &[f32],
        state: &mut [f32],
    ) -> bool {
        let decay = step.rate * self.decay;
        self.adam
            .update_decayed(step, decay, weights, gradients, state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_goes_on_after_a_gradient_whose_square_is_infinite() {
        let (mut weights, mut state) = ([0.5], [0.0; 2]);
        let step = |number| Step { number, rate: 0.1 };
        for (number, gradient) in [(1, 1e30), (2, -3e38), (3, 3e38), (4, 1.0)] {
            assert!(Adam::new().update(step(number), &mut weights, &[gradient], &mut state));
            assert!(state.iter().all(|s| s.is_finite()), "{state:?}");
        }
        assert!(weights[0].is_finite());
    }
}
