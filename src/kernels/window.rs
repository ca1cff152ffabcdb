//! Where the windows of convolutions and pooling lie.

use crate::shape::Shape;

/// A window that slides over one axis.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    pub(crate) input: usize,
    pub(crate) output: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) dilation: usize,
    /// Elements of padding before the input.
    pub(crate) before: usize,
}

impl Axis {
    /// The input element under element `tap` of the window at `output`; none in the padding.
    #[inline(always)]
    pub(crate) fn input_at(&self, output: usize, tap: usize) -> Option<usize> {
        let at = (output * self.stride + tap * self.dilation).wrapping_sub(self.before);
        (at < self.input).then_some(at)
    }

    /// The window whose element `tap` lies on the input element.
    #[inline(always)]
    pub(crate) fn output_at(&self, input: usize, tap: usize) -> Option<usize> {
        let distance = (input + self.before).checked_sub(tap * self.dilation)?;
        let at = distance.checked_div(self.stride)?;
        (at * self.stride == distance && at < self.output).then_some(at)
    }

    /// The windows whose element `tap` lies on the input, not on padding.
    #[inline(always)]
    pub(crate) fn outputs_of(&self, tap: usize) -> core::ops::Range<usize> {
        let offset = tap * self.dilation;
        let stride = self.stride.max(1);
        let start = self.before.saturating_sub(offset).div_ceil(stride);
        let end = (self.input + self.before)
            .saturating_sub(offset)
            .div_ceil(stride);
        start..end.min(self.output).max(start)
    }
}

/// A window that slides over both axes of an image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) rows: Axis,
    pub(crate) columns: Axis,
}

impl Window {
    pub(crate) const fn input_pixels(&self) -> usize {
        self.rows.input * self.columns.input
    }

    pub(crate) const fn output_pixels(&self) -> usize {
        self.rows.output * self.columns.output
    }

    pub(crate) const fn taps(&self) -> usize {
        self.rows.kernel * self.columns.kernel
    }

    /// The window from images of one shape to images of another.
    pub(crate) const fn between(
        input: Shape,
        output: Shape,
        kernel: (u8, u8),
        stride: (u8, u8),
        dilation: u8,
        same: bool,
    ) -> Self {
        Self {
            rows: axis(
                input.height,
                output.height,
                kernel.0,
                stride.0,
                dilation,
                same,
            ),
            columns: axis(
                input.width,
                output.width,
                kernel.1,
                stride.1,
                dilation,
                same,
            ),
        }
    }
}

/// TensorFlow's padding `same`: as much as the last window reaches over the end, the smaller half before.
const fn axis(input: u16, output: u16, kernel: u8, stride: u8, dilation: u8, same: bool) -> Axis {
    let (input, output) = (input as usize, output as usize);
    let (kernel, stride, dilation) = (kernel as usize, stride as usize, dilation as usize);
    let reach = (output - 1) * stride + (kernel - 1) * dilation + 1;
    Axis {
        input,
        output,
        kernel,
        stride,
        dilation,
        before: if same {
            reach.saturating_sub(input) / 2
        } else {
            0
        },
    }
}
