//! Softmax over the channels, in place: `y = exp(x - m) / Σ exp(x - m)`, `m` the largest of the channels.
//!
//! Backward: `dx = y · (dy - Σ dy · y)`.
//!
//! Source: Keras, `Softmax(axis=-1)`.

use crate::kernels::rows::{rows, rows_mut};
use crate::math;

/// The largest of the values that are not NaN.
pub(crate) fn largest(values: &[f32]) -> f32 {
    values.iter().fold(
        f32::NEG_INFINITY,
        |largest, x| if *x > largest { *x } else { largest },
    )
}

/// Replaces `values` by `exp(x - largest)`; returns the sum.
///
/// The largest term is `exp(0) = 1`, so the sum is in `1..=channels` and neither overflows nor vanishes.
#[inline]
pub(crate) fn shifted_exponentials(values: &mut [f32], largest: f32) -> f32 {
    let mut sum = 0.0;
    for x in values {
        *x = math::exp_of_negative(*x - largest);
        sum += *x;
    }
    sum
}

pub(super) fn forward(channels: usize, y: &mut [f32]) {
    for pixel in y.chunks_mut(channels.max(1)) {
        let sum = shifted_exponentials(pixel, largest(pixel));
        for x in pixel {
            *x /= sum;
        }
    }
}

pub(super) fn backward(channels: usize, y: &[f32], gradient: &mut [f32]) {
    for (dy, y) in rows_mut(gradient, channels).zip(rows(y, channels)) {
        let mut mean = 0.0;
        for (dy, y) in dy.iter().zip(y) {
            mean += dy * y;
        }
        for (dy, y) in dy.iter_mut().zip(y) {
            *dy = y * (*dy - mean);
        }
    }
}
