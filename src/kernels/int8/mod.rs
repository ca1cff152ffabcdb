//! Kernels of 8-bit integers: sums of products in `i32`, and then one rounding to the scale of the output.
//!
//! **The same integers everywhere**: sums of integers do not depend on their order, and everything else is defined to the bit.
//! [`Requantize`] is the law. The functions that a processor may have instructions for are in `portable`, and for the DSP extension
//! of Arm's Cortex-M4 and M7 in `dsp`, with the same results; which of them is built says `build.rs`. A Cortex-M33 gets the latter if the
//! compiler is told that it is one, `-C target-cpu=cortex-m33`.
//!
//! **No sum overflows** with weights of `quant::quantize`. The bound, line by line, of a channel with the weights `w` and the bias `b`
//! at the zero point `z` of its input:
//!
//! - The kernels start from `b' = b - z · Σw` and add products in any order. Inputs are at most 128 in absolute value, so every partial
//!   sum is at most `most = |b'| + 128 · Σ|w|`.
//! - `b'` fits 32 bits: with `n` weights of at most 127, `quantize` keeps `|b|` to `2^31 - 1 - 256 · 127 · n`, and `|z · Σw|` is at most
//!   `128 · 127 · n`. It refuses layers whose `n` leaves nothing.
//! - `quantize` counts `most` in 64 bits and makes the channel's scale coarser until `most · 2^exponent` is at most `2^31 - 1`. So
//!   partial sums fit, and so does what [`Requantize`] makes of the last one.
//! - A global average starts from `-z · pixels` and adds inputs: at most `255 · pixels`, to which the same limits apply, or `quantize`
//!   refuses it. A window of an average has at most `255 · 255` inputs.
//! - Of an addition, [`Addition`] has the bound.
//!
//! Weights that were not made so wrap around, as wrong numbers, never as a panic.

mod add;
mod average;
mod convolution;
mod dense;
mod depthwise;
#[cfg(lightlayers_dsp)]
#[allow(unsafe_code)]
mod dsp;
mod maximum;
#[cfg(any(not(lightlayers_dsp), test))]
mod portable;
mod softmax;

#[cfg(lightlayers_dsp)]
use dsp as processor;
#[cfg(not(lightlayers_dsp))]
use portable as processor;

pub(crate) use add::{Addition, add};
pub(crate) use average::{average_pool, global_average};
pub(crate) use convolution::{Convolution, Geometry, NARROW_WORDS, narrow_place, packed_place};
pub(crate) use dense::{dense, dense_place};
pub(crate) use depthwise::Depthwise;
pub(crate) use maximum::{global_maximum, max_pool};
pub(crate) use softmax::{SoftmaxScale, softmax};

pub(crate) use processor::copy;

/// From a sum to the output: `zero_point + round(sum · 2^exponent · multiplier / 2^32)`, halves up, and then the nearest `i8`.
///
/// The scale of the sum over that of the output is `multiplier · 2^(exponent - 32)`. It errs by at most `2^(exponent - 33)`, and
/// `sum · 2^exponent` fits 32 bits, so before the rounding the result is off by a quarter at most; by less than 1/1000 where sums are
/// below `2^22`, as they are in networks of a chip's size.
///
/// The exponent is at most 9. A scale of 256 or more would take every sum but 0 past the ends of the output, and so does `2^31 - 1`
/// as multiplier. Only where sums of more than `2^22` leave less room does the largest multiplier stand for a smaller scale, at least
/// `2^30` over the largest sum: then sums of a few units, less than the rounding of the weights, are nearer to the zero point.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requantize {
    pub(crate) exponent: u32,
    pub(crate) zero_point: i32,
}

impl Requantize {
    #[inline(always)]
    pub(crate) fn apply(self, sum: i32, multiplier: i32) -> i8 {
        let sum = sum.wrapping_shl(self.exponent);
        saturate(processor::multiply_high_add(
            sum,
            multiplier,
            self.zero_point,
        ))
    }
}

#[inline(always)]
pub(crate) fn saturate(value: i32) -> i8 {
    value.clamp(i8::MIN.into(), i8::MAX.into()) as i8
}

/// Each value through a table.
pub(crate) fn look_up(y: &mut [i8], table: &[u8; 256]) {
    for y in y {
        *y = table[usize::from(*y as u8)] as i8;
    }
}
