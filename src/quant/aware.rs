//! Training that knows that its network will be quantized.

use super::layout;
use super::quantize::{quantized_weight, weight_scale};
use super::{Quantization, infer::check_kinds, resolved};
use crate::error::{Buffer, Error};
use crate::kernels::relu;
use crate::layers::Op;
use crate::network::Layer;
use crate::plan::Graph;
use crate::workspace::Output;

/// What training rounds while it computes: nothing, or what [`FakeQuantization`] does.
pub trait Rounding: sealed::Rounding {}

impl<T: sealed::Rounding> Rounding for T {}

pub(crate) mod sealed {
    use crate::network::Layer;
    use crate::workspace::Output;

    pub trait Rounding {
        /// Rounds the weights, before they are used.
        fn round_weights(&mut self, layers: &[Layer], weights: &[f32]);
        /// The weights that are used in place of the others.
        fn weights<'a>(&'a self, weights: &'a [f32]) -> &'a [f32];
        /// Rounds the network's inputs.
        fn round_input(&self, layers: &[Layer], values: &mut [f32]);
        /// Rounds the output of a layer, when it has run.
        fn round_output(&self, layers: &[Layer], output: Output<'_>);
    }
}

/// Rounds nothing.
#[derive(Clone, Copy, Debug)]
pub struct Exact;

impl sealed::Rounding for Exact {
    #[inline(always)]
    fn round_weights(&mut self, _: &[Layer], _: &[f32]) {}

    #[inline(always)]
    fn weights<'a>(&'a self, weights: &'a [f32]) -> &'a [f32] {
        weights
    }

    #[inline(always)]
    fn round_input(&self, _: &[Layer], _: &mut [f32]) {}

    #[inline(always)]
    fn round_output(&self, _: &[Layer], _: Output<'_>) {}
}

/// Computes with the numbers that a quantized network has: weights rounded to 255 steps for each output channel, as
/// [`quantize`](super::quantize) rounds them, and activations to their 256, as [`Quantization::quantize`] does.
///
/// Gradients pass straight through the rounding (Bengio et al., arXiv 1308.3432; Jacob et al., arXiv 1712.05877), and change weights that
/// are not rounded. Above the end of a ReLU's range they are 0, as above that of ReLU6: the integers do not see what changes there.
/// [`Trainer::quantization_aware`](crate::Trainer::quantization_aware) makes it for its own network, and trains so.
#[derive(Debug)]
pub struct FakeQuantization<'m> {
    quantizations: &'m [Quantization],
    weights: &'m mut [f32],
}

impl<'m> FakeQuantization<'m> {
    /// Of a network that can be quantized, with the quantizations of its tensors and memory for its weights as they are used.
    pub(crate) fn new(
        graph: &impl Graph,
        quantizations: &'m [Quantization],
        weights: &'m mut [f32],
    ) -> Result<Self, Error> {
        check_kinds(graph)?;
        let tensors = graph.layers().len() + 1;
        Error::check_length(Buffer::Quantizations, tensors, quantizations.len())?;
        Error::check_length(Buffer::Weights, graph.sizes().weights, weights.len())?;
        Ok(Self {
            quantizations,
            weights,
        })
    }
}

impl sealed::Rounding for FakeQuantization<'_> {
    fn round_weights(&mut self, layers: &[Layer], weights: &[f32]) {
        for (rounded, weight) in self.weights.iter_mut().zip(weights) {
            *rounded = *weight;
        }
        for layer in layers {
            let own = self.weights.get_mut(layer.weights_range());
            let own = own.and_then(|own| own.split_at_mut_checked(layout::kernel_len(layer)));
            let (kernel, biases) = own.unwrap_or_default();
            let filters = usize::from(layer.output.channels).max(1);
            let source = resolved(layers, self.quantizations, layer.source.into());
            for filter in 0..filters.min(kernel.len()) {
                let bias = biases.get(filter).copied().unwrap_or_default();
                let scale = weight_scale(kernel.iter().skip(filter).step_by(filters), bias, source);
                for weight in kernel.iter_mut().skip(filter).step_by(filters) {
                    // What is not finite stays so, for training to see it.
                    if weight.is_finite() && scale.is_finite() {
                        *weight = (scale * f64::from(quantized_weight(*weight, scale))) as f32;
                    }
                }
            }
        }
    }

    fn weights<'a>(&'a self, _: &'a [f32]) -> &'a [f32] {
        self.weights
    }

    fn round_input(&self, layers: &[Layer], values: &mut [f32]) {
        round_all(resolved(layers, self.quantizations, 0), values);
    }

    fn round_output(&self, layers: &[Layer], output: Output<'_>) {
        let Some(layer) = layers.get(output.index) else {
            return;
        };
        // They give some of their inputs, which are rounded, or zeros.
        let selects = matches!(
            layer.op,
            Op::Flatten
                | Op::Dropout { .. }
                | Op::MaxPool2d { .. }
                | Op::GlobalMaxPool
                | Op::ZeroPadding2d { .. }
        );
        if selects || layout::fused_relu(layers, output.index).is_some() {
            return;
        }
        let quantization = resolved(layers, self.quantizations, output.index + 1);
        if matches!(layer.op, Op::Relu | Op::Relu6) {
            let (_, high) = quantization.range();
            relu::stop(output.saved, output.values, |y| y > high);
        }
        round_all(quantization, output.values);
    }
}

fn round_all(quantization: Quantization, values: &mut [f32]) {
    for value in values {
        // What is not a number stays none, for training to see it.
        if !value.is_nan() {
            *value = quantization.dequantize(quantization.quantize(*value));
        }
    }
}
