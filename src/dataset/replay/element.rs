//! How a replay buffer keeps a value.

use core::fmt::Debug;

use crate::quant::Quantization;

/// A value of a kept sample: what fits it depends on where it comes from.
///
/// | type | keeps | bytes | for |
/// |---|---|---|---|
/// | `f32` | every value as it is | 4 | anything, where memory is there |
/// | `u8` | the nearest of `v / 255`, from 0 to 1 | 1 | pixels: what was a byte comes back as the same bits |
/// | `i8` | the nearest of 256 values of a [`Quantization`] | 1 | sensors with a range of their own; what the layers that do not learn make of a sample |
///
/// These are all: the trait is sealed.
pub trait Element: Copy + Debug + sealed::Sealed {
    /// What else is known of the values: a [`Quantization`] of `i8`.
    type Scale: Copy + Debug;

    /// All its bits are 0, so that memory of it lies in `.bss`.
    #[doc(hidden)]
    const ZERO: Self;

    /// The nearest that can be kept.
    #[doc(hidden)]
    fn keep(value: f32, scale: &Self::Scale) -> Self;

    /// The value that is kept.
    #[doc(hidden)]
    fn value(self, scale: &Self::Scale) -> f32;
}

impl Element for f32 {
    type Scale = ();

    const ZERO: Self = 0.0;

    fn keep(value: f32, (): &()) -> Self {
        value
    }

    fn value(self, (): &()) -> f32 {
        self
    }
}

impl Element for u8 {
    type Scale = ();

    const ZERO: Self = 0;

    fn keep(value: f32, (): &()) -> Self {
        // A conversion to an integer cuts off, and stays within the integer's range.
        (255.0 * value + 0.5) as Self
    }

    fn value(self, (): &()) -> f32 {
        f32::from(self) / 255.0
    }
}

impl Element for i8 {
    type Scale = Quantization;

    const ZERO: Self = 0;

    fn keep(value: f32, scale: &Quantization) -> Self {
        scale.quantize(value)
    }

    fn value(self, scale: &Quantization) -> f32 {
        scale.dequantize(self)
    }
}

mod sealed {
    pub trait Sealed {}

    impl Sealed for f32 {}
    impl Sealed for u8 {}
    impl Sealed for i8 {}
}
