//! Layers of the user's own.

use core::fmt::Debug;

use crate::rng::Rng;
use crate::shape::Shape;

/// What the planner must know of a custom layer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CustomSizes {
    /// The shape of the output.
    pub output: Shape,
    /// The number of weights.
    pub weights: u16,
    /// The values per sample that forward keeps for backward.
    pub saved: u16,
}

/// What a custom layer's forward pass works on.
#[derive(Debug)]
pub struct CustomForward<'a> {
    /// The layer's weights.
    pub weights: &'a [f32],
    /// The number of samples.
    pub batch: usize,
    /// `[batch, input]`.
    pub input: &'a [f32],
    /// `[batch, output]`, to be filled; what it holds before is arbitrary.
    pub output: &'a mut [f32],
    /// `[batch, saved]`, to be filled with what backward needs; what it holds before is arbitrary.
    pub saved: &'a mut [f32],
}

/// What a custom layer's backward pass works on.
#[derive(Debug)]
pub struct CustomBackward<'a> {
    /// The layer's weights.
    pub weights: &'a [f32],
    /// The number of samples.
    pub batch: usize,
    /// `[batch, input]`, as in the forward pass.
    pub input: &'a [f32],
    /// `[batch, output]`: the gradient of the loss with respect to the output.
    pub output_gradient: &'a [f32],
    /// `[batch, saved]`, as the forward pass left it.
    pub saved: &'a [f32],
}

/// A layer that is defined outside this crate.
///
/// It is added by [`Network::custom`](crate::Network::custom) with its sizes; its parameters are fields of the implementing type.
/// To keep "the same bits everywhere", add the terms of a sum one after another, and take transcendental functions from
/// [`math`](crate::math).
///
/// ```
/// use lightlayers::{CustomBackward, CustomForward, CustomLayer, CustomSizes, Inference, Network, Plan};
///
/// /// `y = factor · x`.
/// #[derive(Debug)]
/// struct Scale {
///     factor: f32,
/// }
///
/// impl CustomLayer for Scale {
///     fn name(&self) -> &'static str {
///         "scale"
///     }
///     fn forward(&self, pass: CustomForward<'_>) {
///         for (y, x) in pass.output.iter_mut().zip(pass.input) {
///             *y = self.factor * x;
///         }
///     }
///     fn backward_input(&self, pass: CustomBackward<'_>, gradient: &mut [f32]) {
///         for (dx, dy) in gradient.iter_mut().zip(pass.output_gradient) {
///             *dx = self.factor * dy;
///         }
///     }
/// }
///
/// const fn scale(net: Network) -> Network {
///     let sizes = CustomSizes { output: net.output_shape(), weights: 0, saved: 0 };
///     net.custom(&Scale { factor: 3.0 }, sizes)
/// }
///
/// let plan = Plan::new(&scale(Network::features(2)));
/// let mut workspace = [0.0; 2];
/// let mut inference = Inference::new(&plan, &[], &mut workspace)?;
/// assert_eq!(inference.run(&[1.0, -2.0])?, [3.0, -6.0]);
/// # Ok::<(), lightlayers::Error>(())
/// ```
pub trait CustomLayer: Sync + Debug {
    /// The layer's name in summaries.
    fn name(&self) -> &'static str;

    /// Fills the weights with their starting values; all 0 unless this is overridden.
    fn initialize(&self, weights: &mut [f32], rng: &mut Rng) {
        let _ = rng;
        weights.fill(0.0);
    }

    /// Computes the output.
    fn forward(&self, pass: CustomForward<'_>);

    /// Adds the gradients of the weights to `gradients`; called only if the layer has weights and is not frozen.
    fn backward_weights(&self, pass: CustomBackward<'_>, gradients: &mut [f32]) {
        let _ = (pass, gradients);
    }

    /// Sets `gradient`, `[batch, input]`, to the gradient of the loss with respect to the input.
    fn backward_input(&self, pass: CustomBackward<'_>, gradient: &mut [f32]);
}
