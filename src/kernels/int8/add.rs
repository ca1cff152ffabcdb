//! The sum of two tensors of different scales.

use super::saturate;

/// `y = (x1 · multiplier1 + x2 · multiplier2 + offset) / 2^exponent`, rounded down: the offset has the half that makes it round to nearest,
/// and all zero points.
///
/// Every part fits: `|x · multiplier| <= 2^7 · 2^21`, `|offset| < 2^30`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addition {
    pub(crate) multipliers: [i32; 2],
    pub(crate) offset: i32,
    pub(crate) exponent: u32,
}

/// Adds `second` to `y`.
pub(crate) fn add(addition: Addition, second: &[i8], y: &mut [i8]) {
    let [first_multiplier, second_multiplier] = addition.multipliers;
    for (y, second) in y.iter_mut().zip(second) {
        let sum = addition
            .offset
            .wrapping_add(i32::from(*y).wrapping_mul(first_multiplier))
            .wrapping_add(i32::from(*second).wrapping_mul(second_multiplier));
        *y = saturate(sum.wrapping_shr(addition.exponent));
    }
}
