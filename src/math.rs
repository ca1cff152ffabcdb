//! Functions that `core` does not have, from `libm`: the same bits on every target.
//!
//! With the feature `micromath` they are smaller and less accurate, and their bits are those of `micromath`.
//! No other file knows either crate.

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident($($x:ident),+) = $libm:ident, $micromath:ident;)*) => {$(
        $(#[$doc])*
        #[inline]
        pub fn $name($($x: f32),+) -> f32 {
            #[cfg(not(feature = "micromath"))]
            return libm::$libm($($x),+);
            #[cfg(feature = "micromath")]
            return micromath::F32Ext::$micromath($($x),+);
        }
    )*};
}

functions! {
    /// `e` to the power `x`.
    exp(x) = expf, exp;
    /// The natural logarithm.
    ln(x) = logf, ln;
    /// The cosine of an angle in radians.
    cos(x) = cosf, cos;
}

/// `e` to the power `x`, for `x` that is not above 0, or NaN: the bits of [`exp`].
///
/// The sign is set, which changes nothing but tells the compiler to leave out the half of `exp` that is for positive numbers.
#[inline]
pub(crate) fn exp_of_negative(x: f32) -> f32 {
    const SIGN: u32 = 1 << 31;
    exp(f32::from_bits(x.to_bits() | SIGN))
}

/// The hyperbolic tangent.
#[inline]
pub fn tanh(x: f32) -> f32 {
    #[cfg(not(feature = "micromath"))]
    return libm::tanhf(x);
    #[cfg(feature = "micromath")]
    {
        let power = exp(-2.0 * x.abs());
        ((1.0 - power) / (1.0 + power)).copysign(x)
    }
}

/// The square root, correctly rounded.
#[inline]
pub fn sqrt(x: f32) -> f32 {
    // The same bits as an instruction of the processor, and of its vectors.
    #[cfg(feature = "std")]
    return x.sqrt();
    #[cfg(not(feature = "std"))]
    libm::sqrtf(x)
}

/// `base` to a whole power, by repeated squaring.
#[inline]
pub fn powi(base: f32, mut exponent: u32) -> f32 {
    let (mut result, mut power) = (1.0, base);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result *= power;
        }
        power *= power;
        exponent >>= 1;
    }
    result
}
