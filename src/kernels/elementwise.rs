//! One value at a time.

/// `x = factor · x`.
pub(crate) fn scale(x: &mut [f32], factor: f32) {
    for x in x {
        *x *= factor;
    }
}

/// `y = x`, as far as the shorter one reaches.
pub(crate) fn copy(x: &[f32], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = *x;
    }
}

/// `y += x`, as far as the shorter one reaches.
pub(crate) fn add(x: &[f32], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += x;
    }
}

/// Its top bit is set if `x` is NaN or infinite: if all bits of the exponent are. Without a comparison, of which a processor has to move
/// the result.
#[inline(always)]
fn overflow_of(x: f32) -> u32 {
    const ONE_OF_EXPONENT: u32 = 1 << 23;
    x.abs().to_bits() + ONE_OF_EXPONENT
}

/// Whether `x` is neither NaN nor infinite.
#[inline(always)]
pub(crate) fn is_finite(x: f32) -> bool {
    overflow_of(x) as i32 >= 0
}

/// Whether none of the values is NaN or infinite. Without an early exit, which would keep it from being vectorized.
#[inline(never)]
pub(crate) fn all_finite(values: &[f32]) -> bool {
    let any = values.iter().fold(0, |any, x| any | overflow_of(*x));
    any as i32 >= 0
}
