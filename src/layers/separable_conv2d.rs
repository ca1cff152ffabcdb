//! SeparableConv2D: a depthwise convolution without bias, then a convolution of single pixels,
//! `h = depthwise(x, kernel1)`, `y = bias + h · kernel2`.
//!
//! Shapes: `x [batch, height, width, channels]`, `kernel1 [rows, columns, channels, multiplier]`,
//! `kernel2 [1, 1, channels · multiplier, filters]`, `bias [filters]`, `y [batch, height', width', filters]`.
//!
//! Backward is that of the second and of the first. `h` is kept beside the input, and `dh` takes its place.
//!
//! Source: Keras, `SeparableConv2D`.

use super::conv2d::Convolution;
use super::depthwise_conv2d::Depthwise;
use super::{Call, Needs, Tensors, Until, WindowSize};
use crate::kernels::convolution::Finish;
use crate::layers::Padding;
use crate::shape::Shape;

const PIXEL: WindowSize = WindowSize {
    kernel: (1, 1),
    stride: (1, 1),
    dilation: 1,
    padding: Padding::Valid,
};

pub(super) const fn tensors(
    window: WindowSize,
    channels: usize,
    multiplier: usize,
    filters: usize,
    bias: bool,
) -> Tensors {
    Tensors::new()
        .convolution(window.area(), channels, multiplier)
        .convolution(1, channels * multiplier, filters)
        .bias(bias, filters)
}

/// The length of one sample between the factors.
const fn middle_len(input: Shape, multiplier: u16, output: Shape) -> u64 {
    let pixels = output.height as u64 * output.width as u64;
    pixels * input.channels as u64 * multiplier as u64
}

pub(super) const fn multiply_accumulates(
    window: WindowSize,
    input: Shape,
    multiplier: u16,
    output: Shape,
) -> u64 {
    let outputs = window.area() + output.channels as usize;
    middle_len(input, multiplier, output) * outputs as u64
}

pub(super) const fn needs(input: Shape, multiplier: u16, output: Shape, until: Until) -> Needs {
    let middle = middle_len(input, multiplier, output);
    Needs {
        input: until,
        saved: middle,
        forward_scratch: middle,
    }
}

fn factors<'a>(
    call: Call<'a>,
    window: WindowSize,
    multiplier: u16,
) -> (Depthwise<'a>, Convolution<'a>) {
    let (input, output) = (call.layer.input, call.layer.output);
    let mut first = Depthwise {
        window: window.between(input, output),
        channels: input.channels as usize,
        multiplier: multiplier as usize,
        batch: call.batch,
        weights: &[],
    };
    let (weights, rest) = call
        .weights
        .split_at_checked(first.kernel_len())
        .unwrap_or_default();
    first.weights = weights;
    let second = Convolution {
        window: PIXEL.between(output, output),
        channels: first.channels * first.multiplier,
        filters: output.channels as usize,
        batch: call.batch,
        weights: rest,
    };
    (first, second)
}

pub(super) fn forward(
    call: Call<'_>,
    (window, multiplier): (WindowSize, u16),
    x: &[f32],
    y: &mut [f32],
    h: &mut [f32],
) {
    let (first, second) = factors(call, window, multiplier);
    first.forward(x, h);
    second.forward(h, Finish::Nothing, y);
}

/// Leaves `dh` where `h` was.
pub(super) fn backward_weights(
    call: Call<'_>,
    (window, multiplier): (WindowSize, u16),
    x: &[f32],
    dy: &[f32],
    h: &mut [f32],
    gradients: &mut [f32],
) {
    let (first, second) = factors(call, window, multiplier);
    let (gradients1, gradients2) = gradients
        .split_at_mut_checked(first.kernel_len())
        .unwrap_or_default();
    second.weight_gradients(h, dy, gradients2);
    second.input_gradient(dy, Finish::Nothing, h);
    first.weight_gradients(x, h, gradients1);
}

pub(super) fn backward_input(
    call: Call<'_>,
    (window, multiplier): (WindowSize, u16),
    dh: &[f32],
    dx: &mut [f32],
) {
    factors(call, window, multiplier).0.input_gradient(dh, dx);
}
