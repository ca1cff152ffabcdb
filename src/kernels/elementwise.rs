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
