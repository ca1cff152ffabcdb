//! Dropout, in place: in training, `y = x / (1 - rate)` with probability `1 - rate`, else 0; nothing at inference.
//!
//! Backward does the same to the gradient. The random numbers are a function of seed, step, layer and sample, so backward draws
//! them again and nothing is kept.
//!
//! Source: Keras, `Dropout`.

use super::{Call, Mode};
use crate::error::BuildError;
use crate::shape::Shape;

pub(super) const fn check_rate(
    layer: &'static str,
    rate: f32,
    input: Shape,
) -> Result<Shape, BuildError> {
    if rate >= 0.0 && rate < 1.0 {
        Ok(input)
    } else {
        Err(BuildError::OutOfRange {
            layer,
            what: "the rate",
            range: "0..1",
        })
    }
}

pub(super) fn apply(call: Call<'_>, rate: f32, values: &mut [f32], mode: Mode) {
    let Mode::Training(stream) = mode else {
        return;
    };
    let scale = 1.0 / (1.0 - rate);
    let len = call.layer.output.len().max(1);
    for (sample, values) in values.chunks_mut(len).enumerate() {
        let mut rng = stream.rng(call.index, sample);
        for value in values {
            *value = if rng.uniform() >= rate {
                *value * scale
            } else {
                0.0
            };
        }
    }
}
