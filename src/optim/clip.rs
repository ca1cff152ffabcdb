//! Clipping of gradients.

use super::{Optimizer, Step};
use crate::error::Error;
use crate::math;

/// An optimizer whose gradients are first scaled down to a norm, if theirs over all weights is larger; Keras's `global_clipnorm`.
///
/// ```
/// use lightlayers::optim::{ClipNorm, Optimizer, Sgd};
///
/// let mut gradients = [3.0, 4.0];
/// ClipNorm::new(1.0, Sgd)?.prepare(&mut gradients);
/// assert_eq!(gradients, [0.6, 0.8]);
/// # Ok::<(), lightlayers::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ClipNorm<O> {
    norm: f32,
    optimizer: O,
}

impl<O: Optimizer> ClipNorm<O> {
    /// Clips to `norm`.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] if `norm` is not positive and finite.
    pub fn new(norm: f32, optimizer: O) -> Result<Self, Error> {
        if norm > 0.0 && norm.is_finite() {
            Ok(Self { norm, optimizer })
        } else {
            Err(Error::OutOfRange {
                what: "the clipping norm",
                range: "above 0",
            })
        }
    }
}

impl<O: Optimizer> Optimizer for ClipNorm<O> {
    const STATE: usize = O::STATE;
    const KEEPS_GRADIENTS: bool = O::KEEPS_GRADIENTS;

    fn begin(&self, gradients: &mut [f32]) {
        self.optimizer.begin(gradients);
    }

    fn prepare(&self, gradients: &mut [f32]) {
        clip(gradients, self.norm);
        self.optimizer.prepare(gradients);
    }

    fn update(
        &self,
        step: Step,
        weights: &mut [f32],
        gradients: &[f32],
        state: &mut [f32],
    ) -> bool {
        self.optimizer.update(step, weights, gradients, state)
    }
}

/// Scales the gradients to the norm `limit` if theirs is larger.
fn clip(gradients: &mut [f32], limit: f32) {
    let mut largest = 0.0_f32;
    for gradient in gradients.iter() {
        largest = largest.max(gradient.abs());
    }
    if largest == 0.0 {
        return;
    }
    // Divided by the largest, so that squares neither overflow nor vanish.
    let mut sum = 0.0;
    for gradient in gradients.iter() {
        let part = gradient / largest;
        sum += part * part;
    }
    let relative = math::sqrt(sum);
    if relative > limit / largest {
        for gradient in gradients {
            *gradient = *gradient / largest / relative * limit;
        }
    }
}
