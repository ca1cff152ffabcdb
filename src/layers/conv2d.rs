//! Conv2D: `y = bias + x * kernel`, a correlation, as everywhere in the field.
//!
//! Shapes: `x [batch, height, width, channels]`, `kernel [rows, columns, channels, filters]`, `bias [filters]`,
//! `y [batch, height', width', filters]`.
//!
//! Backward: `dkernel[r, c, i, f] = Σ x[.., i] · dy[.., f]` over the windows whose element `(r, c)` lies on `x`, `dbias = Σ dy`,
//! `dx[p, i] = Σ kernel[r, c, i, f] · dy[window, f]` over the windows that reach the pixel.
//!
//! Source: Keras, `Conv2D`.

use super::{Call, Tensors, WindowSize};
use crate::kernels::convolution::{Finish, Forward, InputGradient, WeightGradient};
use crate::kernels::lanes::{Group, groups, run};
use crate::kernels::normalization::AddPixels;
use crate::kernels::threads::{each_group, share_rows};
use crate::kernels::window::Window;

pub(super) const fn tensors(
    window: WindowSize,
    channels: usize,
    filters: usize,
    bias: bool,
) -> Tensors {
    Tensors::new()
        .convolution(window.area(), channels, filters)
        .bias(bias, filters)
}

/// A convolution between two tensors of a batch.
#[derive(Clone, Copy)]
pub(super) struct Convolution<'a> {
    pub(super) window: Window,
    pub(super) channels: usize,
    pub(super) filters: usize,
    pub(super) batch: usize,
    /// Kernel, then bias if there is one.
    pub(super) weights: &'a [f32],
}

impl<'a> Convolution<'a> {
    fn of(call: Call<'a>, window: WindowSize) -> Self {
        let (input, output) = (call.layer.input, call.layer.output);
        Self {
            window: window.between(input, output),
            channels: input.channels as usize,
            filters: output.channels as usize,
            batch: call.batch,
            weights: call.weights,
        }
    }

    pub(super) fn kernel_len(&self) -> usize {
        self.window.taps() * self.channels * self.filters
    }

    fn input_len(&self) -> usize {
        self.window.input_pixels() * self.channels
    }

    fn output_len(&self) -> usize {
        self.window.output_pixels() * self.filters
    }

    /// Of one sample.
    fn multiply_accumulates(&self) -> usize {
        let pixels = self.window.output_pixels();
        pixels.saturating_mul(self.kernel_len())
    }

    pub(super) fn forward(&self, x: &[f32], finish: Finish, y: &mut [f32]) {
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
                let forward = Forward {
                    window: self.window,
                    channels: self.channels,
                    filters: self.filters,
                    x: group.of(x, self.input_len()),
                    w,
                    bias,
                    finish,
                    y,
                };
                forward.run_on(group.lanes);
            },
        );
    }

    /// Adds to `gradients`, as long as the weights; nothing if it is empty.
    pub(super) fn weight_gradients(&self, x: &[f32], dy: &[f32], gradients: &mut [f32]) {
        let Some((dw, dbias)) = gradients.split_at_mut_checked(self.kernel_len()) else {
            return;
        };
        let work = self.batch.saturating_mul(self.multiply_accumulates());
        share_rows(dw, self.filters, work, |rows, dw| {
            for group in groups(self.batch) {
                run(
                    group.lanes,
                    WeightGradient {
                        window: self.window,
                        channels: self.channels,
                        filters: self.filters,
                        x: group.of(x, self.input_len()),
                        dy: group.of(dy, self.output_len()),
                        first_row: rows.start,
                        dw: &mut *dw,
                    },
                );
            }
        });
        let groups = groups(self.batch);
        add_pixels(groups, self.output_len(), dy, self.filters, dbias);
    }

    pub(super) fn input_gradient(&self, dy: &[f32], finish: Finish, dx: &mut [f32]) {
        let w = self.weights.get(..self.kernel_len()).unwrap_or_default();
        each_group(
            self.batch,
            self.input_len(),
            self.multiply_accumulates(),
            dx,
            |group, dx| {
                run(
                    group.lanes,
                    InputGradient {
                        window: self.window,
                        channels: self.channels,
                        filters: self.filters,
                        dy: group.of(dy, self.output_len()),
                        w,
                        finish,
                        dx,
                    },
                );
            },
        );
    }
}

/// Adds to each channel's `sum` the values of all pixels, group after group: for `dy` the gradients of the biases.
pub(super) fn add_pixels(
    groups: impl Iterator<Item = Group> + Clone + Sync,
    len: usize,
    values: &[f32],
    channels: usize,
    sum: &mut [f32],
) {
    share_rows(sum, 1, values.len(), |own, sum| {
        for group in groups.clone() {
            run(
                group.lanes,
                AddPixels {
                    x: group.of(values, len),
                    channels,
                    first_channel: own.start,
                    sum: &mut *sum,
                },
            );
        }
    });
}

pub(super) fn forward(call: Call<'_>, window: WindowSize, x: &[f32], y: &mut [f32]) {
    Convolution::of(call, window).forward(x, Finish::Nothing, y);
}

pub(super) fn backward_weights(
    call: Call<'_>,
    window: WindowSize,
    x: &[f32],
    dy: &[f32],
    gradients: &mut [f32],
) {
    Convolution::of(call, window).weight_gradients(x, dy, gradients);
}

pub(super) fn backward_input(call: Call<'_>, window: WindowSize, dy: &[f32], dx: &mut [f32]) {
    Convolution::of(call, window).input_gradient(dy, Finish::Nothing, dx);
}
