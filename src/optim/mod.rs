//! Optimizers: how the gradients change the weights.

mod adam;
mod clip;
mod sgd;

pub use adam::{Adam, AdamW};
pub use clip::ClipNorm;
pub use sgd::{HeavyBall, Momentum, Sgd};

use crate::kernels::elementwise::is_finite;

/// The rule of one optimizer step, after Keras 3.
pub trait Optimizer {
    /// Elements of state for every trainable weight.
    const STATE: usize;

    /// True if [`begin`](Self::begin) goes on from the gradients of the last step: then they are saved and restored with the state.
    const KEEPS_GRADIENTS: bool = false;

    /// Called before the gradients of a minibatch are added to `gradients`, which hold those of the last one: sets them to 0 unless this
    /// is overridden.
    fn begin(&self, gradients: &mut [f32]) {
        gradients.fill(0.0);
    }

    /// Changes all gradients of a minibatch before the step; does nothing unless this is overridden.
    fn prepare(&self, gradients: &mut [f32]) {
        let _ = gradients;
    }

    /// Changes `weights` by one step; `step` counts from 1.
    ///
    /// `state` holds [`STATE`](Self::STATE) elements per weight, all 0 before the first step. It is called for every layer that learns,
    /// each with its own part of the state; with at most one element per weight perhaps for several layers at once.
    ///
    /// Returns false if a new weight is not finite. That weight keeps its value, and its state must be finite afterwards and must not
    /// stop the next step: one bad step does not block training. Gradients and rate are finite.
    fn update(&self, step: Step, weights: &mut [f32], gradients: &[f32], state: &mut [f32])
    -> bool;
}

/// Where training stands.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Step {
    /// The optimizer step, counted from 1.
    pub number: u32,
    /// The learning rate.
    pub rate: f32,
}

/// Moves a weight, unless the result is not finite.
#[inline(always)]
fn subtract(weight: &mut f32, change: f32) -> bool {
    let moved = *weight - change;
    let finite = is_finite(moved);
    *weight = if finite { moved } else { *weight };
    finite
}
