//! Pooling of whole images: a vector of channels.
//!
//! | layer | `y` | `dx` |
//! |---|---|---|
//! | global_average_pool | the mean over all pixels | `dy / pixels` to each |
//! | global_max_pool | the largest value over all pixels | all of `dy` to the first of the largest |
//!
//! Of global_max_pool backward keeps the pixel, one element per channel. Keras shares the gradient among equal largest values; here the
//! first takes it, as in max_pool2d.
//!
//! Source: Keras, `GlobalAveragePooling2D` and `GlobalMaxPooling2D`.

use super::Call;
use crate::kernels::lanes::{groups, run};
use crate::kernels::pooling::{
    GlobalAverageBackward, GlobalAverageForward, GlobalMaxBackward, GlobalMaxForward,
};
use crate::shape::Shape;

const fn pixels(shape: Shape) -> usize {
    shape.height as usize * shape.width as usize
}

pub(super) fn average_forward(call: Call<'_>, x: &[f32], y: &mut [f32]) {
    let input = call.layer.input;
    for group in groups(call.batch) {
        run(
            group.lanes,
            GlobalAverageForward {
                pixels: pixels(input),
                channels: input.channels as usize,
                x: group.of(x, input.len()),
                y: group.of_mut(y, call.layer.output.len()),
            },
        );
    }
}

pub(super) fn average_backward(call: Call<'_>, dy: &[f32], dx: &mut [f32]) {
    let input = call.layer.input;
    for group in groups(call.batch) {
        run(
            group.lanes,
            GlobalAverageBackward {
                pixels: pixels(input),
                channels: input.channels as usize,
                dy: group.of(dy, call.layer.output.len()),
                dx: group.of_mut(dx, input.len()),
            },
        );
    }
}

pub(super) fn max_forward(call: Call<'_>, x: &[f32], y: &mut [f32], saved: &mut [f32]) {
    let input = call.layer.input;
    let channels = input.channels as usize;
    for group in groups(call.batch) {
        run(
            group.lanes,
            GlobalMaxForward {
                channels,
                x: group.of(x, input.len()),
                y: group.of_mut(y, channels),
                places: group.of_mut(saved, channels),
            },
        );
    }
}

pub(super) fn max_backward(call: Call<'_>, dy: &[f32], saved: &[f32], dx: &mut [f32]) {
    let input = call.layer.input;
    let channels = input.channels as usize;
    for group in groups(call.batch) {
        run(
            group.lanes,
            GlobalMaxBackward {
                channels,
                dy: group.of(dy, channels),
                places: group.of(saved, channels),
                dx: group.of_mut(dx, input.len()),
            },
        );
    }
}
