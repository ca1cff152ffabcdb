//! DepthwiseConv2D: every channel is convolved with kernels of its own, `y[.., i · multiplier + m] = bias + x[.., i] * kernel[.., i, m]`.
//!
//! Shapes: `x [batch, height, width, channels]`, `kernel [rows, columns, channels, multiplier]`, `bias [channels · multiplier]`,
//! `y [batch, height', width', channels · multiplier]`.
//!
//! Backward: that of a convolution, channel by channel.
//!
//! Source: Keras, `DepthwiseConv2D`.

use super::conv2d::add_pixels;
use super::{Call, Tensors, WindowSize};
use crate::kernels::convolution::{
    DepthwiseForward, DepthwiseInputGradient, DepthwiseWeightGradient,
};
use crate::kernels::lanes::{groups, run};
use crate::kernels::threads::each_group;
use crate::kernels::window::Window;

pub(super) const fn tensors(
    window: WindowSize,
    channels: usize,
    multiplier: usize,
    bias: bool,
) -> Tensors {
    Tensors::new()
        .convolution(window.area(), channels, multiplier)
        .bias(bias, channels * multiplier)
}

/// A depthwise convolution between two tensors of a batch.
#[derive(Clone, Copy)]
pub(super) struct Depthwise<'a> {
    pub(super) window: Window,
    pub(super) channels: usize,
    pub(super) multiplier: usize,
    pub(super) batch: usize,
    /// Kernel, then bias if there is one.
    pub(super) weights: &'a [f32],
}

impl<'a> Depthwise<'a> {
    fn of(call: Call<'a>, window: WindowSize, multiplier: u16) -> Self {
        Self {
            window: window.between(call.layer.input, call.layer.output),
            channels: call.layer.input.channels as usize,
            multiplier: multiplier as usize,
            batch: call.batch,
            weights: call.weights,
        }
    }

    pub(super) fn kernel_len(&self) -> usize {
        self.window.taps() * self.channels * self.multiplier
    }

    fn input_len(&self) -> usize {
        self.window.input_pixels() * self.channels
    }

    fn output_len(&self) -> usize {
        self.window.output_pixels() * self.channels * self.multiplier
    }

    fn multiply_accumulates(&self) -> usize {
        let pixels = self.window.output_pixels();
        pixels.saturating_mul(self.kernel_len())
    }

    pub(super) fn forward(&self, x: &[f32], y: &mut [f32]) {
        let (w, bias) = self
            .weights
            .split_at_checked(self.kernel_len())
            .unwrap_or_default();
        each_group(
            self.batch,
            self.output_len(),
            self.multiply_accumulates(),
            y,
            |group, y| {
                run(
                    group.lanes,
                    DepthwiseForward {
                        window: self.window,
                        channels: self.channels,
                        multiplier: self.multiplier,
                        x: group.of(x, self.input_len()),
                        w,
                        bias,
                        y,
                    },
                );
            },
        );
    }

    pub(super) fn weight_gradients(&self, x: &[f32], dy: &[f32], gradients: &mut [f32]) {
        let Some((dw, dbias)) = gradients.split_at_mut_checked(self.kernel_len()) else {
            return;
        };
        for group in groups(self.batch) {
            run(
                group.lanes,
                DepthwiseWeightGradient {
                    window: self.window,
                    channels: self.channels,
                    multiplier: self.multiplier,
                    x: group.of(x, self.input_len()),
                    dy: group.of(dy, self.output_len()),
                    dw: &mut *dw,
                },
            );
        }
        let filters = self.channels * self.multiplier;
        add_pixels(groups(self.batch), self.output_len(), dy, filters, dbias);
    }

    pub(super) fn input_gradient(&self, dy: &[f32], dx: &mut [f32]) {
        let w = self.weights.get(..self.kernel_len()).unwrap_or_default();
        each_group(
            self.batch,
            self.input_len(),
            self.multiply_accumulates(),
            dx,
            |group, dx| {
                run(
                    group.lanes,
                    DepthwiseInputGradient {
                        window: self.window,
                        channels: self.channels,
                        multiplier: self.multiplier,
                        dy: group.of(dy, self.output_len()),
                        w,
                        dx,
                    },
                );
            },
        );
    }
}

type Settings = (WindowSize, u16);

pub(super) fn forward(call: Call<'_>, (window, multiplier): Settings, x: &[f32], y: &mut [f32]) {
    Depthwise::of(call, window, multiplier).forward(x, y);
}

pub(super) fn backward_weights(
    call: Call<'_>,
    (window, multiplier): Settings,
    x: &[f32],
    dy: &[f32],
    gradients: &mut [f32],
) {
    Depthwise::of(call, window, multiplier).weight_gradients(x, dy, gradients);
}

pub(super) fn backward_input(
    call: Call<'_>,
    (window, multiplier): Settings,
    dy: &[f32],
    dx: &mut [f32],
) {
    Depthwise::of(call, window, multiplier).input_gradient(dy, dx);
}
