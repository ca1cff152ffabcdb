//! LightDense: a fully connected layer whose kernel is a product of two thin ones,
//! `y = (s · (x · kernel1)) · kernel2 + bias` with `s = 2 / units`.
//!
//! Shapes: `x [batch, inputs]`, `kernel1 [inputs, rank]`, `kernel2 [rank, units]`, `bias [units]`, `y [batch, units]`; between the
//! factors lies `h = s · (x · kernel1)`, `[batch, rank]`, the only thing that backward needs beside the input.
//!
//! Backward: `dkernel2 = hᵀ · dy`, `dbias = Σ dy` over the batch, `dh = s · (dy · kernel2ᵀ)`, `dkernel1 = xᵀ · dh`,
//! `dx = dh · kernel1ᵀ`.
//!
//! Source: Jha et al., LightLayers (arXiv 2101.02268), whose code scales each factor by `sqrt(2 / units)`.

use super::{Call, Needs, Tensors, Until};
use crate::kernels::{elementwise, matrix};

pub(super) const fn tensors(inputs: usize, rank: usize, units: usize, bias: bool) -> Tensors {
    Tensors::new()
        .matrix(inputs, rank)
        .matrix(rank, units)
        .bias(bias, units)
}

pub(super) const fn needs(rank: u16, input: Until) -> Needs {
    Needs {
        input,
        saved: rank as u64,
        forward_scratch: rank as u64,
    }
}

/// The product of the scales of both factors.
fn scale(units: usize) -> f32 {
    2.0 / units as f32
}

pub(super) fn forward(
    call: Call<'_>,
    units: usize,
    rank: usize,
    x: &[f32],
    y: &mut [f32],
    h: &mut [f32],
) {
    let (inputs, _) = call.flat_lengths();
    let Some((kernel1, rest)) = call.weights.split_at_checked(inputs * rank) else {
        return;
    };
    let Some((kernel2, bias)) = rest.split_at_checked(rank * units) else {
        return;
    };
    matrix::multiply(x, kernel1, &[], (inputs, rank), h);
    elementwise::scale(h, scale(units));
    matrix::multiply(h, kernel2, bias, (rank, units), y);
}

/// Leaves `dh` where `h` was.
pub(super) fn backward_weights(
    call: Call<'_>,
    (units, rank): (usize, usize),
    x: &[f32],
    dy: &[f32],
    h: &mut [f32],
    gradients: &mut [f32],
) {
    let (inputs, _) = call.flat_lengths();
    let (dkernel1, rest) = gradients
        .split_at_mut_checked(inputs * rank)
        .unwrap_or_default();
    matrix::accumulate_outer(h, dy, (rank, units), rest);
    let kernel2 = call
        .weights
        .get(inputs * rank..(inputs + units) * rank)
        .unwrap_or_default();
    matrix::multiply_transposed(dy, kernel2, (rank, units), h);
    elementwise::scale(h, scale(units));
    matrix::accumulate_outer(x, h, (inputs, rank), dkernel1);
}

pub(super) fn backward_input(call: Call<'_>, rank: usize, dh: &[f32], dx: &mut [f32]) {
    let (inputs, _) = call.flat_lengths();
    if let Some((kernel1, _)) = call.weights.split_at_checked(inputs * rank) {
        matrix::multiply_transposed(dh, kernel1, (inputs, rank), dx);
    }
}
