//! LightConv2D: two thin convolutions with a ReLU between them, `h = relu(bias1 + x * kernel1)`, `y = bias2 + h * kernel2`.
//!
//! Shapes: `x [batch, height, width, channels]`, `kernel1 [rows, columns, channels, rank]`, `bias1 [rank]`,
//! `kernel2 [rows, columns, rank, filters]`, `bias2 [filters]`. Both convolutions take the full kernel, the padding and the stride: a
//! stride of 2 makes 4 in all.
//!
//! Backward is that of the second convolution, `dh` where `h > 0`, and that of the first. `h` is all that is kept beside the input, and
//! `dh` takes its place.
//!
//! Source: Jha et al., LightLayers (arXiv 2101.02268), and its code.

use super::conv2d::Convolution;
use super::{Call, Needs, Tensors, Until, WindowSize};
use crate::error::BuildError;
use crate::kernels::convolution::Finish;
use crate::shape::Shape;

pub(super) const fn tensors(
    window: WindowSize,
    channels: usize,
    rank: usize,
    filters: usize,
    bias: bool,
) -> Tensors {
    Tensors::new()
        .convolution(window.area(), channels, rank)
        .bias(bias, rank)
        .convolution(window.area(), rank, filters)
        .bias(bias, filters)
}

/// The shape between the factors.
pub(super) const fn middle_shape(
    layer: &'static str,
    window: WindowSize,
    input: Shape,
    rank: u16,
) -> Result<Shape, BuildError> {
    if rank == 0 {
        return Err(BuildError::Zero {
            layer,
            what: "rank",
        });
    }
    window.output_shape(layer, input, rank as usize)
}

pub(super) const fn output_shape(
    layer: &'static str,
    window: WindowSize,
    input: Shape,
    rank: u16,
    filters: u16,
) -> Result<Shape, BuildError> {
    match middle_shape(layer, window, input, rank) {
        Ok(middle) => window.output_shape(layer, middle, filters as usize),
        Err(error) => Err(error),
    }
}

/// The shape between the factors of a layer that was built.
pub(super) const fn middle(window: WindowSize, input: Shape, rank: u16) -> Shape {
    match middle_shape("light_conv2d", window, input, rank) {
        Ok(middle) => middle,
        Err(_) => Shape::flat(rank),
    }
}

pub(super) const fn multiply_accumulates(
    window: WindowSize,
    input: Shape,
    rank: u16,
    output: Shape,
) -> u64 {
    let middle = middle(window, input, rank).values();
    window.area() as u64 * (middle * input.channels as u64 + output.values() * rank as u64)
}

pub(super) const fn needs(window: WindowSize, input: Shape, rank: u16, until: Until) -> Needs {
    let middle = middle(window, input, rank).values();
    Needs {
        input: until,
        saved: middle,
        forward_scratch: middle,
    }
}

/// The two convolutions.
fn factors<'a>(call: Call<'a>, window: WindowSize, rank: u16) -> [Convolution<'a>; 2] {
    let (input, output) = (call.layer.input, call.layer.output);
    let middle = middle(window, input, rank);
    let mut first = Convolution {
        window: window.between(input, middle),
        channels: input.channels as usize,
        filters: rank as usize,
        batch: call.batch,
        weights: &[],
    };
    let bias = if call.layer.bias() { rank as usize } else { 0 };
    let (weights, rest) = call
        .weights
        .split_at_checked(first.kernel_len() + bias)
        .unwrap_or_default();
    first.weights = weights;
    let second = Convolution {
        window: window.between(middle, output),
        channels: rank as usize,
        filters: output.channels as usize,
        batch: call.batch,
        weights: rest,
    };
    [first, second]
}

pub(super) fn forward(
    call: Call<'_>,
    (window, rank): (WindowSize, u16),
    x: &[f32],
    y: &mut [f32],
    h: &mut [f32],
) {
    let [first, second] = factors(call, window, rank);
    first.forward(x, Finish::Relu, h);
    second.forward(h, Finish::Nothing, y);
}

/// Leaves `dh` where `h` was.
pub(super) fn backward_weights(
    call: Call<'_>,
    (window, rank): (WindowSize, u16),
    x: &[f32],
    dy: &[f32],
    h: &mut [f32],
    gradients: &mut [f32],
) {
    let [first, second] = factors(call, window, rank);
    let (gradients1, gradients2) = gradients
        .split_at_mut_checked(first.weights.len())
        .unwrap_or_default();
    second.weight_gradients(h, dy, gradients2);
    second.input_gradient(dy, Finish::WherePositive, h);
    first.weight_gradients(x, h, gradients1);
}

pub(super) fn backward_input(
    call: Call<'_>,
    (window, rank): (WindowSize, u16),
    dh: &[f32],
    dx: &mut [f32],
) {
    let [first, _] = factors(call, window, rank);
    first.input_gradient(dh, Finish::Nothing, dx);
}
