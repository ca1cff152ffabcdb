//! Dense: `y = x · kernel + bias`.
//!
//! Shapes: `x [batch, inputs]`, `kernel [inputs, units]`, `bias [units]`, `y [batch, units]`.
//!
//! Backward, for the gradient `dy` of the output: `dkernel = xᵀ · dy`, `dbias = Σ dy` over the batch, `dx = dy · kernelᵀ`.
//!
//! Source: Keras, `Dense`.

use super::{Call, Tensors};
use crate::error::BuildError;
use crate::kernels::matrix;
use crate::shape::Shape;

pub(super) const fn output_shape(layer: &'static str, units: u16) -> Result<Shape, BuildError> {
    if units == 0 {
        return Err(BuildError::Zero {
            layer,
            what: "units",
        });
    }
    Ok(Shape::flat(units))
}

pub(super) const fn tensors(inputs: usize, units: usize, bias: bool) -> Tensors {
    Tensors::new().matrix(inputs, units).bias(bias, units)
}

pub(super) fn forward(call: Call<'_>, x: &[f32], y: &mut [f32]) {
    let (inputs, units) = call.flat_lengths();
    if let Some((kernel, bias)) = call.weights.split_at_checked(inputs * units) {
        matrix::multiply(x, kernel, bias, (inputs, units), y);
    }
}

pub(super) fn backward_weights(call: Call<'_>, x: &[f32], dy: &[f32], gradients: &mut [f32]) {
    matrix::accumulate_outer(x, dy, call.flat_lengths(), gradients);
}

pub(super) fn backward_input(call: Call<'_>, dy: &[f32], dx: &mut [f32]) {
    let (inputs, units) = call.flat_lengths();
    if let Some((kernel, _)) = call.weights.split_at_checked(inputs * units) {
        matrix::multiply_transposed(dy, kernel, (inputs, units), dx);
    }
}
