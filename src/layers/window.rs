//! Layers that slide a window over an image: its sizes.

use crate::error::BuildError;
use crate::kernels::window::Window;
use crate::shape::Shape;

/// What a window does at the borders of an image.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Padding {
    /// The image is padded with zeros so that there are `⌈input / stride⌉` windows; an odd element of padding goes after the image, as
    /// in TensorFlow.
    Same,
    /// No padding: the window stays inside, and there are `⌊(input - reach) / stride⌋ + 1`, where
    /// `reach = (kernel - 1) · dilation + 1`.
    Valid,
}

/// The window of a convolution or of pooling: rows, then columns.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct WindowSize {
    /// Its size.
    pub kernel: (u8, u8),
    /// How far apart windows are.
    pub stride: (u8, u8),
    /// How far apart the elements of one window are.
    pub dilation: u8,
    /// What happens at the borders.
    pub padding: Padding,
}

impl WindowSize {
    /// The window's places between images of these shapes.
    pub(crate) const fn between(self, input: Shape, output: Shape) -> Window {
        let same = matches!(self.padding, Padding::Same);
        Window::between(input, output, self.kernel, self.stride, self.dilation, same)
    }

    pub(crate) const fn same(self, other: Self) -> bool {
        let Self {
            kernel,
            stride,
            dilation,
            padding,
        } = self;
        kernel.0 == other.kernel.0
            && kernel.1 == other.kernel.1
            && stride.0 == other.stride.0
            && stride.1 == other.stride.1
            && dilation == other.dilation
            && padding as u8 == other.padding as u8
    }

    pub(crate) const fn area(self) -> usize {
        self.kernel.0 as usize * self.kernel.1 as usize
    }

    /// The shape of the output, with as many channels.
    pub(crate) const fn output_shape(
        self,
        layer: &'static str,
        input: Shape,
        channels: usize,
    ) -> Result<Shape, BuildError> {
        if self.area() == 0 {
            return Err(BuildError::Zero {
                layer,
                what: "the kernel's size",
            });
        }
        if self.stride.0 == 0 || self.stride.1 == 0 {
            return Err(BuildError::Zero {
                layer,
                what: "the stride",
            });
        }
        if self.dilation == 0 {
            return Err(BuildError::Zero {
                layer,
                what: "the dilation",
            });
        }
        if self.dilation > 1 && (self.stride.0 > 1 || self.stride.1 > 1) {
            return Err(BuildError::OutOfRange {
                layer,
                what: "a stride of 1 with a dilation, or a dilation",
                range: "1..=1 with a stride",
            });
        }
        if channels > u16::MAX as usize {
            return Err(BuildError::TooLarge {
                layer,
                what: "the number of channels",
                most: u16::MAX as usize,
                found: channels,
            });
        }
        let height = self.outputs(input.height, self.kernel.0, self.stride.0);
        let width = self.outputs(input.width, self.kernel.1, self.stride.1);
        match (height, width) {
            (Some(height), Some(width)) => Ok(Shape::image(height, width, channels as u16)),
            _ => Err(BuildError::WindowTooLarge {
                layer,
                window: (self.kernel.0, self.kernel.1),
                dilation: self.dilation,
                input,
            }),
        }
    }

    const fn outputs(self, input: u16, kernel: u8, stride: u8) -> Option<u16> {
        let reach = (kernel as usize - 1) * self.dilation as usize + 1;
        match self.padding {
            Padding::Same => Some(input.div_ceil(stride as u16)),
            Padding::Valid if reach > input as usize => None,
            Padding::Valid => Some(((input as usize - reach) / stride as usize + 1) as u16),
        }
    }
}
