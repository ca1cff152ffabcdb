//! Softmax in fixed-point numbers, to the bit that of TensorFlow Lite's reference kernel.
//!
//! A number of `Qm` has `m` bits before the point, a sign, and `31 - m` after it. The polynomial, the factors and the starting value
//! are those of gemmlowp (`fixedpoint.h`), which TensorFlow Lite defines its softmax by.

use crate::kernels::rows::rows_mut;

/// What the scale of the input makes of a difference of two inputs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SoftmaxScale {
    /// From a difference to `Q5`: `difference · 2^exponent · multiplier / 2^31`.
    pub(crate) multiplier: i32,
    pub(crate) exponent: u32,
    /// Of a smaller difference the exponential is 0.
    pub(crate) smallest: i32,
}

/// In place, for every `channels` values. The output's scale is 1/256, its zero point -128.
pub(crate) fn softmax(scale: SoftmaxScale, channels: usize, y: &mut [i8]) {
    for y in rows_mut(y, channels) {
        let largest = y.iter().copied().max().unwrap_or_default();
        let exponential = |value: i8| {
            let difference = i32::from(value) - i32::from(largest);
            (difference >= scale.smallest).then(|| {
                let shifted = difference.wrapping_shl(scale.exponent);
                exponential_of_negative(multiply(shifted, scale.multiplier))
            })
        };
        // Q12: of up to 4,095 channels the sum fits.
        let mut sum = 0_i32;
        for value in y.iter().filter_map(|y| exponential(*y)) {
            sum = sum.saturating_add(round_shift(value, 12));
        }
        let (reciprocal, bits) = reciprocal(sum);
        for y in y {
            *y = match exponential(*y) {
                Some(value) => {
                    let share = round_shift(multiply(reciprocal, value), bits + 31 - 8);
                    super::saturate(share.saturating_add(i8::MIN.into()))
                }
                None => i8::MIN,
            };
        }
    }
}

/// `a · b / 2^31`, rounded to nearest, halves away from zero: the product of two numbers of `Q0`, or one of `Qm` and one of `Q0`.
fn multiply(a: i32, b: i32) -> i32 {
    if a == i32::MIN && b == i32::MIN {
        return i32::MAX;
    }
    let product = i64::from(a) * i64::from(b);
    let nudge = if product >= 0 { 1 << 30 } else { 1 - (1 << 30) };
    ((product + nudge) / (1 << 31)) as i32
}

/// `x / 2^bits`, rounded to nearest, halves away from zero.
fn round_shift(x: i32, bits: u32) -> i32 {
    if bits > 31 {
        return 0;
    }
    let mask = ((1_i64 << bits) - 1) as i32;
    let rest = x & mask;
    let threshold = (mask >> 1) + i32::from(x < 0);
    (x >> bits) + i32::from(rest > threshold)
}

/// `x · 2^bits`.
fn saturating_shift(x: i32, bits: u32) -> i32 {
    (i64::from(x) << bits).clamp(i32::MIN.into(), i32::MAX.into()) as i32
}

/// `e^a` of `a` in `Q5` that is not above 0, in `Q0`.
fn exponential_of_negative(a: i32) -> i32 {
    /// `e` to the power of -1/4, -1/2, -1, …, -16, in `Q0`.
    const POWERS: [i32; 7] = [
        1_672_461_947,
        1_302_514_674,
        790_015_084,
        290_630_308,
        39_332_535,
        720_401,
        242,
    ];
    const QUARTER: i32 = 1 << 24;
    if a == 0 {
        return i32::MAX;
    }
    let fraction = (a & (QUARTER - 1)) - QUARTER;
    let mut result = exponential_of_fraction(saturating_shift(fraction, 5));
    let rest = fraction.wrapping_sub(a);
    for (bit, power) in POWERS.iter().enumerate() {
        if rest & (QUARTER << bit) != 0 {
            result = multiply(result, *power);
        }
    }
    result
}

/// `e^a` of `a` in `[-1/4, 0)`, both in `Q0`: a polynomial of degree 4 around -1/8.
fn exponential_of_fraction(a: i32) -> i32 {
    const AT_CENTRE: i32 = 1_895_147_668;
    const THIRD: i32 = 715_827_883;
    let x = a + (1 << 28);
    let x2 = multiply(x, x);
    let x3 = multiply(x2, x);
    let x4 = multiply(x2, x2);
    let terms = multiply(round_shift(x4, 2).saturating_add(x3), THIRD).saturating_add(x2);
    AT_CENTRE.saturating_add(multiply(AT_CENTRE, x.saturating_add(round_shift(terms, 1))))
}

/// `1 / sum` of a sum in `Q12`, as a number of `Q0` and how many bits it is to be shifted to the right.
fn reciprocal(sum: i32) -> (i32, u32) {
    let zeros = sum.leading_zeros();
    let bits = 12_u32.saturating_sub(zeros);
    // sum = 1 + x in [1, 2), without the 1.
    let x = (sum as u32).wrapping_shl(zeros).wrapping_sub(1 << 31) as i32;
    (one_over_one_plus(x), bits)
}

/// `1 / (1 + x)` of `x` in `[0, 1)`, in `Q0`: Newton and Raphson's method.
fn one_over_one_plus(x: i32) -> i32 {
    /// 48/17 and -32/17 in `Q2`.
    const START: i32 = 1_515_870_810;
    const SLOPE: i32 = -1_010_580_540;
    const ONE: i32 = 1 << 29;
    let half = ((i64::from(x) + i64::from(i32::MAX) + 1) / 2) as i32;
    let mut result = START.saturating_add(multiply(half, SLOPE));
    for _ in 0..3 {
        let rest = ONE.saturating_sub(multiply(half, result));
        result = result.saturating_add(saturating_shift(multiply(result, rest), 2));
    }
    saturating_shift(result, 1)
}
