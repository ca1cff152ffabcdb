//! Pooling of windows.
//!
//! | layer | `y` | `dx` |
//! |---|---|---|
//! | max_pool2d | the largest value under the window | all of `dy` to the first of the largest |
//! | average_pool2d | the mean of the values under the window, padding not counted | `dy / count` to each of them |
//!
//! Of max_pool2d backward keeps the place of the largest, one byte per output.
//!
//! Source: Keras, `MaxPooling2D` and `AveragePooling2D`.

use super::{Call, WindowSize};
use crate::error::BuildError;
use crate::kernels::lanes::{across_channels, run_across_channels};
use crate::kernels::pooling::{AverageBackward, AverageForward, MaxBackward, MaxForward};
use crate::kernels::threads::{each_group, each_group_of_two};
use crate::shape::Shape;

/// Values whose places share one word.
const BYTES: usize = 4;

/// Words that hold the places of one sample.
pub(super) const fn places_len(output: Shape) -> usize {
    output.len().div_ceil(BYTES)
}

pub(super) const fn output_shape(
    layer: &'static str,
    window: WindowSize,
    input: Shape,
) -> Result<Shape, BuildError> {
    if window.area() > 256 {
        return Err(BuildError::TooLarge {
            layer,
            what: "the window's area",
            most: 256,
            found: window.area(),
        });
    }
    // With gaps, a window could lie on padding alone.
    if window.dilation > 1 {
        return Err(BuildError::OutOfRange {
            layer,
            what: "the dilation of pooling",
            range: "1..=1",
        });
    }
    window.output_shape(layer, input, input.channels as usize)
}

pub(super) fn max_forward(
    call: Call<'_>,
    window: WindowSize,
    x: &[f32],
    y: &mut [f32],
    saved: &mut [f32],
) {
    let (input, output) = (call.layer.input, call.layer.output);
    let saved_len = if saved.is_empty() {
        0
    } else {
        places_len(output)
    };
    let outputs = [(y, output.len()), (saved, saved_len)];
    each_group_of_two(call.batch, input.len(), outputs, |group, y, saved| {
        let (lanes, channels) = across_channels(group.lanes, input.channels as usize);
        run_across_channels(
            lanes,
            MaxForward {
                window: window.between(input, output),
                channels,
                x: group.of(x, input.len()),
                y,
                taps: bytemuck::cast_slice_mut(saved),
            },
        );
    });
}

pub(super) fn max_backward(
    call: Call<'_>,
    window: WindowSize,
    dy: &[f32],
    saved: &[f32],
    dx: &mut [f32],
) {
    let (input, output) = (call.layer.input, call.layer.output);
    each_group(call.batch, input.len(), input.len(), dx, |group, dx| {
        let (lanes, channels) = across_channels(group.lanes, input.channels as usize);
        run_across_channels(
            lanes,
            MaxBackward {
                window: window.between(input, output),
                channels,
                dy: group.of(dy, output.len()),
                taps: bytemuck::cast_slice(group.of(saved, places_len(output))),
                dx,
            },
        );
    });
}

pub(super) fn average_forward(call: Call<'_>, window: WindowSize, x: &[f32], y: &mut [f32]) {
    let (input, output) = (call.layer.input, call.layer.output);
    each_group(call.batch, output.len(), input.len(), y, |group, y| {
        let (lanes, channels) = across_channels(group.lanes, input.channels as usize);
        run_across_channels(
            lanes,
            AverageForward {
                window: window.between(input, output),
                channels,
                x: group.of(x, input.len()),
                y,
            },
        );
    });
}

pub(super) fn average_backward(call: Call<'_>, window: WindowSize, dy: &[f32], dx: &mut [f32]) {
    let (input, output) = (call.layer.input, call.layer.output);
    each_group(call.batch, input.len(), input.len(), dx, |group, dx| {
        let (lanes, channels) = across_channels(group.lanes, input.channels as usize);
        run_across_channels(
            lanes,
            AverageBackward {
                window: window.between(input, output),
                channels,
                dy: group.of(dy, output.len()),
                dx,
            },
        );
    });
}
