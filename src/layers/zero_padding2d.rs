//! ZeroPadding2D: rows and columns of zeros around an image. Backward takes them away again.
//!
//! Source: Keras, `ZeroPadding2D`.

use super::Call;
use crate::error::BuildError;
use crate::kernels::elementwise;
use crate::kernels::lanes::groups;
use crate::shape::Shape;

/// How many rows and columns of zeros an image gets on each side.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Border {
    /// Rows before the first.
    pub top: u8,
    /// Rows after the last.
    pub bottom: u8,
    /// Columns before the first.
    pub left: u8,
    /// Columns after the last.
    pub right: u8,
}

impl Border {
    /// The same on all sides.
    pub const fn all(width: u8) -> Self {
        Self {
            top: width,
            bottom: width,
            left: width,
            right: width,
        }
    }

    pub(super) const fn same(self, other: Self) -> bool {
        let Self {
            top,
            bottom,
            left,
            right,
        } = self;
        top == other.top && bottom == other.bottom && left == other.left && right == other.right
    }
}

pub(super) const fn output_shape(
    layer: &'static str,
    input: Shape,
    border: Border,
) -> Result<Shape, BuildError> {
    let height = input.height as usize + border.top as usize + border.bottom as usize;
    let width = input.width as usize + border.left as usize + border.right as usize;
    let most = u16::MAX as usize;
    if height > most || width > most {
        return Err(BuildError::TooLarge {
            layer,
            what: "the size of its output",
            most,
            found: if height > width { height } else { width },
        });
    }
    Ok(Shape::image(height as u16, width as u16, input.channels))
}

/// Calls `copy` with each row of the image and the place of the same row in the padded image, as ranges of elements of one group.
fn for_rows(
    call: Call<'_>,
    border: Border,
    lanes: usize,
    mut copy: impl FnMut(core::ops::Range<usize>, core::ops::Range<usize>),
) {
    let (input, output) = (call.layer.input, call.layer.output);
    let pixel = input.channels as usize * lanes;
    let row = input.width as usize * pixel;
    for at in 0..input.height as usize {
        let padded = (at + border.top as usize) * output.width as usize + border.left as usize;
        copy(
            at * row..(at + 1) * row,
            padded * pixel..padded * pixel + row,
        );
    }
}

pub(super) fn forward(call: Call<'_>, border: Border, x: &[f32], y: &mut [f32]) {
    y.fill(0.0);
    for group in groups(call.batch) {
        let x = group.of(x, call.layer.input.len());
        let y = group.of_mut(y, call.layer.output.len());
        for_rows(call, border, group.lanes, |from, to| {
            if let (Some(x), Some(y)) = (x.get(from), y.get_mut(to)) {
                elementwise::copy(x, y);
            }
        });
    }
}

pub(super) fn backward_input(call: Call<'_>, border: Border, dy: &[f32], dx: &mut [f32]) {
    for group in groups(call.batch) {
        let dx = group.of_mut(dx, call.layer.input.len());
        let dy = group.of(dy, call.layer.output.len());
        for_rows(call, border, group.lanes, |to, from| {
            if let (Some(dx), Some(dy)) = (dx.get_mut(to), dy.get(from)) {
                elementwise::copy(dy, dx);
            }
        });
    }
}
