//! Where a sliding window reads its input.

/// What lies around the input, after TensorFlow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Enough of it that the output has `ceil(in / stride)` positions. If the total is odd, the end
    /// gets one more than the start.
    Same,
    /// None of it: the window stays inside the input.
    Valid,
}

/// The steps of a sliding window, each `[along the height, along the width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Distance between neighbouring windows in the input.
    pub stride: [usize; 2],
    /// Distance between neighbouring cells of one window in the input; 1 is a window without gaps.
    pub dilation: [usize; 2],
    /// What lies around the input.
    pub padding: Padding,
}

/// A cell of a window that lies on the input, not on padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// `[row, column]` in the window.
    pub kernel: [usize; 2],
    /// `[row, column]` in the input.
    pub input: [usize; 2],
}

impl Window {
    /// A window without dilation.
    pub fn new(stride: [usize; 2], padding: Padding) -> Self {
        Window {
            stride,
            dilation: [1, 1],
            padding,
        }
    }

    /// `[height, width]` of the output. With `extent = (kernel - 1) · dilation + 1`: same
    /// `ceil(in / stride)`, valid `floor((in - extent) / stride) + 1`.
    pub fn output_size(&self, input: [usize; 2], kernel: [usize; 2]) -> [usize; 2] {
        [0, 1].map(|axis| match self.padding {
            Padding::Same => input[axis].div_ceil(self.stride[axis]),
            Padding::Valid => {
                let extent = self.extent(kernel, axis);
                assert!(
                    extent <= input[axis],
                    "a window of {extent} on an input of {}",
                    input[axis]
                );
                (input[axis] - extent) / self.stride[axis] + 1
            }
        })
    }

    /// The cells of the window at one position of the output, in row-major order, those on padding
    /// left out: cell `k` reads the input at `output · stride + k · dilation - before`, where
    /// `before = floor(max((out - 1) · stride + extent - in, 0) / 2)` for same padding, 0 for
    /// valid.
    pub fn cells(&self, input: [usize; 2], kernel: [usize; 2], output: [usize; 2]) -> Vec<Cell> {
        let output_size = self.output_size(input, kernel);
        let before = [0, 1].map(|axis| match self.padding {
            Padding::Same => {
                let reach = (output_size[axis] - 1) * self.stride[axis] + self.extent(kernel, axis);
                reach.saturating_sub(input[axis]) / 2
            }
            Padding::Valid => 0,
        });
        let on_input = |axis: usize, k: usize| {
            let padded = output[axis] * self.stride[axis] + k * self.dilation[axis];
            let index = padded.checked_sub(before[axis])?;
            (index < input[axis]).then_some(index)
        };
        let mut cells = Vec::new();
        for row in 0..kernel[0] {
            for column in 0..kernel[1] {
                if let (Some(y), Some(x)) = (on_input(0, row), on_input(1, column)) {
                    cells.push(Cell {
                        kernel: [row, column],
                        input: [y, x],
                    });
                }
            }
        }
        cells
    }

    fn extent(&self, kernel: [usize; 2], axis: usize) -> usize {
        (kernel[axis] - 1) * self.dilation[axis] + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The input rows that the window at `output` covers, for windows that are 1 wide on inputs
    /// that are 1 wide.
    fn rows(window: &Window, input: usize, kernel: usize, output: usize) -> Vec<usize> {
        let cells = window.cells([input, 1], [kernel, 1], [output, 0]);
        cells.iter().map(|cell| cell.input[0]).collect()
    }

    #[test]
    fn odd_padding_goes_to_the_end() {
        // in 8, kernel 3, stride 2: out = 4, total = 3 · 2 + 3 - 8 = 1, before = 0, after = 1.
        let window = Window::new([2, 1], Padding::Same);
        assert_eq!(window.output_size([8, 1], [3, 1]), [4, 1]);
        assert_eq!(rows(&window, 8, 3, 0), [0, 1, 2]);
        assert_eq!(rows(&window, 8, 3, 3), [6, 7]);
        // in 7: total = 3 · 2 + 3 - 7 = 2, one on either side.
        assert_eq!(rows(&window, 7, 3, 0), [0, 1]);
        assert_eq!(rows(&window, 7, 3, 3), [5, 6]);
    }

    #[test]
    fn dilation_widens_the_window() {
        // kernel 3 at dilation 2 spans 5; in 7, valid: out = 3.
        let window = Window {
            dilation: [2, 1],
            ..Window::new([1, 1], Padding::Valid)
        };
        assert_eq!(window.output_size([7, 1], [3, 1]), [3, 1]);
        assert_eq!(rows(&window, 7, 3, 1), [1, 3, 5]);
        // same: total = 6 + 5 - 7 = 4, before = 2.
        let window = Window {
            padding: Padding::Same,
            ..window
        };
        assert_eq!(window.output_size([7, 1], [3, 1]), [7, 1]);
        assert_eq!(rows(&window, 7, 3, 0), [0, 2]);
        assert_eq!(rows(&window, 7, 3, 6), [4, 6]);
    }

    #[test]
    fn stride_above_the_kernel_skips_input() {
        // in 8, kernel 1, stride 3, same: out = 3, (out - 1) · 3 + 1 = 7 < 8, no padding.
        let window = Window::new([3, 1], Padding::Same);
        assert_eq!(window.output_size([8, 1], [1, 1]), [3, 1]);
        assert_eq!(rows(&window, 8, 1, 2), [6]);
    }
}
