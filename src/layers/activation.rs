//! Activations of one value at a time, in place.
//!
//! | layer | `y` | `dx` |
//! |---|---|---|
//! | relu | `max(x, 0)` | `dy` where `x > 0`, else 0 |
//! | relu6 | `min(max(x, 0), 6)` | `dy` where `0 < x < 6`, else 0 |
//! | leaky_relu | `x` where `x > 0`, else `slope · x` | `dy` where `x > 0`, else `slope · dy` |
//! | sigmoid | `1 / (1 + exp(-x))` | `dy · y · (1 - y)` |
//! | tanh | `tanh(x)` | `dy · (1 - y²)` |
//!
//! Of the ReLUs backward keeps one bit per value, 32 to a word, each sample starting a new word; of the others the output.
//!
//! Source: Keras, layer activations.

use super::Mode;
use crate::error::BuildError;
use crate::math;
use crate::shape::Shape;

/// Values whose bits share one word.
const BITS: usize = 32;

/// Words that hold one sample's bits.
pub(super) const fn mask_len(values: usize) -> usize {
    values.div_ceil(BITS)
}

pub(super) const fn check_slope(
    layer: &'static str,
    slope: f32,
    input: Shape,
) -> Result<Shape, BuildError> {
    if slope >= 0.0 && slope <= 1.0 {
        Ok(input)
    } else {
        Err(BuildError::OutOfRange {
            layer,
            what: "the slope",
            range: "0..=1",
        })
    }
}

/// Keeps, for backward, where `passes` holds, and replaces each value by `value`.
#[inline(always)]
fn forward(
    batch: usize,
    y: &mut [f32],
    mask: &mut [f32],
    mode: Mode,
    passes: impl Fn(f32) -> bool,
    value: impl Fn(f32) -> f32,
) {
    if let Mode::Training(_) = mode {
        let len = y.len().checked_div(batch).unwrap_or(0).max(1);
        let words = mask_len(len).max(1);
        for (sample, mask) in y.chunks(len).zip(mask.chunks_mut(words)) {
            for (values, word) in sample.chunks(BITS).zip(mask) {
                let mut bits = 0;
                for (i, x) in values.iter().enumerate() {
                    bits |= u32::from(passes(*x)) << i;
                }
                *word = f32::from_bits(bits);
            }
        }
    }
    for x in y {
        *x = value(*x);
    }
}

pub(super) fn relu_forward(batch: usize, y: &mut [f32], mask: &mut [f32], mode: Mode) {
    forward(
        batch,
        y,
        mask,
        mode,
        |x| x > 0.0,
        |x| if x > 0.0 { x } else { nan_or(x, 0.0) },
    );
}

pub(super) fn relu6_forward(batch: usize, y: &mut [f32], mask: &mut [f32], mode: Mode) {
    let value = |x: f32| {
        if x >= 6.0 {
            6.0
        } else if x > 0.0 {
            x
        } else {
            nan_or(x, 0.0)
        }
    };
    forward(batch, y, mask, mode, |x| x > 0.0 && x < 6.0, value);
}

pub(super) fn leaky_relu_forward(
    slope: f32,
    batch: usize,
    y: &mut [f32],
    mask: &mut [f32],
    mode: Mode,
) {
    forward(
        batch,
        y,
        mask,
        mode,
        |x| x > 0.0,
        |x| if x > 0.0 { x } else { slope * x },
    );
}

/// A NaN stays one, so that a broken network is noticed at its loss.
#[inline(always)]
fn nan_or(x: f32, value: f32) -> f32 {
    if x.is_nan() { x } else { value }
}

pub(super) fn relu_backward(batch: usize, mask: &[f32], gradient: &mut [f32], slope: f32) {
    let len = gradient.len().checked_div(batch).unwrap_or(0).max(1);
    let words = mask_len(len).max(1);
    for (sample, mask) in gradient.chunks_mut(len).zip(mask.chunks(words)) {
        for (values, word) in sample.chunks_mut(BITS).zip(mask) {
            let bits = word.to_bits();
            for (i, dy) in values.iter_mut().enumerate() {
                let passes = bits >> (i as u32 & 31) & 1 == 1;
                *dy = if passes {
                    *dy
                } else if slope == 0.0 {
                    0.0
                } else {
                    slope * *dy
                };
            }
        }
    }
}

pub(super) fn sigmoid_forward(y: &mut [f32]) {
    for x in y {
        *x = 1.0 / (1.0 + math::exp(-*x));
    }
}

pub(super) fn sigmoid_backward(y: &[f32], gradient: &mut [f32]) {
    for (dy, y) in gradient.iter_mut().zip(y) {
        *dy *= y * (1.0 - y);
    }
}

pub(super) fn tanh_forward(y: &mut [f32]) {
    for x in y {
        *x = math::tanh(*x);
    }
}

pub(super) fn tanh_backward(y: &[f32], gradient: &mut [f32]) {
    for (dy, y) in gradient.iter_mut().zip(y) {
        *dy *= 1.0 - y * y;
    }
}
