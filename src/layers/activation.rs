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
//! Of the ReLUs backward keeps one bit per value, 32 to a word; of the others the output.
//!
//! Source: Keras, layer activations.

use crate::error::BuildError;
use crate::kernels::relu;
pub(super) use crate::kernels::relu::backward as relu_backward;
use crate::math;
use crate::shape::Shape;

/// Words that hold one sample's bits; the bits of a batch lie without gaps and need no more.
pub(super) const fn mask_len(values: usize) -> usize {
    values.div_ceil(relu::BITS)
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

// A NaN stays one in all of them, so that a broken network is noticed at its loss.

pub(super) fn relu_forward(y: &mut [f32], mask: &mut [f32]) {
    let value = |x| if x <= 0.0 { 0.0 } else { x };
    relu::forward(y, mask, |x| x > 0.0, value);
}

pub(super) fn relu6_forward(y: &mut [f32], mask: &mut [f32]) {
    let value = |x: f32| x.clamp(0.0, 6.0);
    relu::forward(y, mask, |x| x > 0.0 && x < 6.0, value);
}

pub(super) fn leaky_relu_forward(slope: f32, y: &mut [f32], mask: &mut [f32]) {
    let value = |x| if x > 0.0 { x } else { slope * x };
    relu::forward(y, mask, |x| x > 0.0, value);
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
