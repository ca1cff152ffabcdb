//! Shapes of tensors: `[height, width, channels]` of one sample.

use core::fmt;

use crate::fmt::Text;

/// The shape of one sample of a tensor: `[height, width, channels]`, or a flat vector, which is `[1, 1, features]`.
///
/// A batch is samples one after another (NHWC).
///
/// ```
/// use lightlayers::Shape;
///
/// assert_eq!(Shape::image(28, 28, 8).len(), 6272);
/// assert_eq!(Shape::image(28, 28, 8).to_string(), "28x28x8");
/// assert_eq!(Shape::flat(784).to_string(), "784");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Shape {
    /// Rows.
    pub height: u16,
    /// Columns.
    pub width: u16,
    /// Channels, or the features of a flat vector.
    pub channels: u16,
}

impl Shape {
    /// An image: `[height, width, channels]`.
    pub const fn image(height: u16, width: u16, channels: u16) -> Self {
        Self {
            height,
            width,
            channels,
        }
    }

    /// A flat vector of `features` values.
    pub const fn flat(features: u16) -> Self {
        Self::image(1, 1, features)
    }

    /// The number of values in one sample, which is at most [`MAX_ELEMENTS`](crate::MAX_ELEMENTS) for every shape of a network.
    #[expect(
        clippy::len_without_is_empty,
        reason = "the shapes of a network are never empty"
    )]
    pub const fn len(self) -> usize {
        self.height as usize * self.width as usize * self.channels as usize
    }

    /// The same number for a shape that is not known to be one of a network, and may have more values than `usize` counts.
    pub(crate) const fn values(self) -> u64 {
        self.height as u64 * self.width as u64 * self.channels as u64
    }

    /// True for a vector: height and width are 1.
    pub const fn is_flat(self) -> bool {
        self.height == 1 && self.width == 1
    }

    pub(crate) const fn same(self, other: Self) -> bool {
        self.height == other.height && self.width == other.width && self.channels == other.channels
    }
}
/// A number that is above every limit if it does not fit.
pub(crate) const fn saturated(number: u64) -> usize {
    if number > usize::MAX as u64 {
        usize::MAX
    } else {
        number as usize
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(Text::new().shape(*self).as_str())
    }
}
