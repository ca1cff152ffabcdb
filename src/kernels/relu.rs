//! The ReLUs, with one bit per value for their gradients.

use super::threads::share_pairs;
use super::vectorized;

/// Values whose bits share one word.
pub(crate) const BITS: usize = 32;

/// Whether a whole word's values have code of their own, for vectors.
const UNROLLED: bool = cfg!(feature = "std");

/// Replaces each value by `value`, and keeps a bit where `passes` holds, unless `mask` is empty.
#[inline(always)]
pub(crate) fn forward(
    y: &mut [f32],
    mask: &mut [f32],
    passes: impl Fn(f32) -> bool + Copy + Sync,
    value: impl Fn(f32) -> f32 + Copy + Sync,
) {
    share_pairs((y, BITS), (mask, 1), |y, mask| {
        vectorized(
            #[inline(always)]
            || {
                if mask.is_empty() {
                    return y.iter_mut().for_each(|x| *x = value(*x));
                }
                let mut words = mask.iter_mut();
                for values in y.chunks_mut(BITS) {
                    let bits = match <&mut [f32; BITS]>::try_from(&mut *values) {
                        Ok(values) if UNROLLED => replace(values, passes, value),
                        _ => replace(values, passes, value),
                    };
                    if let Some(word) = words.next() {
                        *word = f32::from_bits(bits);
                    }
                }
            },
        );
    });
}

/// At most [`BITS`] values; returns their bits.
#[inline(always)]
fn replace(values: &mut [f32], passes: impl Fn(f32) -> bool, value: impl Fn(f32) -> f32) -> u32 {
    let mut bits = 0;
    for (i, x) in values.iter_mut().enumerate() {
        bits |= u32::from(passes(*x)) << i;
        *x = value(*x);
    }
    bits
}

/// Takes back the bits of values for which `stops` holds; they are those of a batch, or none.
pub(crate) fn stop(mask: &mut [f32], y: &[f32], stops: impl Fn(f32) -> bool) {
    let mut words = mask.iter_mut();
    for values in y.chunks(BITS) {
        let Some(word) = words.next() else {
            return;
        };
        let mut bits = word.to_bits();
        for (i, y) in values.iter().enumerate() {
            bits &= !(u32::from(stops(*y)) << i);
        }
        *word = f32::from_bits(bits);
    }
}

/// Multiplies the gradients by `slope` where the bit is not set; a slope of 0 gives 0, whatever the gradient.
pub(crate) fn backward(mask: &mut [f32], gradient: &mut [f32], slope: f32) {
    share_pairs((gradient, BITS), (mask, 1), |gradient, mask| {
        vectorized(
            #[inline(always)]
            || {
                let mut words = mask.iter();
                for values in gradient.chunks_mut(BITS) {
                    let Some(word) = words.next() else {
                        return;
                    };
                    let bits = word.to_bits();
                    match <&mut [f32; BITS]>::try_from(&mut *values) {
                        Ok(values) if UNROLLED => choose(values, bits, slope),
                        _ => choose(values, bits, slope),
                    }
                }
            },
        );
    });
}

/// At most [`BITS`] gradients.
#[inline(always)]
fn choose(values: &mut [f32], bits: u32, slope: f32) {
    for (i, dy) in values.iter_mut().enumerate() {
        let stopped = if slope == 0.0 { 0.0 } else { slope * *dy };
        *dy = if bits & (1 << i) == 0 { stopped } else { *dy };
    }
}
