//! Plain code that is right on every processor.

/// `accumulator + round(a · b / 2^32)`, halves up.
#[inline(always)]
pub(super) fn multiply_high_add(a: i32, b: i32, accumulator: i32) -> i32 {
    let product = i64::from(a) * i64::from(b);
    (((product + (1 << 31)) >> 32) as i32).wrapping_add(accumulator)
}

/// Adds the products of `len` values of `P` pixels with the weights of `F` filters, packed as [`super::packed_place`] says.
#[inline(always)]
pub(super) fn dot<const P: usize, const F: usize, const ALIGNED: bool>(
    sums: &mut [[i32; F]; P],
    pixels: [&[i16]; P],
    weights: &[i8],
    len: usize,
) {
    let (groups, tails) = weights
        .split_at_checked(len / 4 * 4 * F)
        .unwrap_or_default();
    for (group, weights) in groups.chunks_exact(4 * F).enumerate() {
        for (f, weights) in weights.as_chunks::<4>().0.iter().enumerate() {
            let [w0, w2, w1, w3] = weights.map(i32::from);
            for (sums, pixel) in sums.iter_mut().zip(pixels) {
                if let Some(&[a, b, c, d]) = pixel.get(4 * group..).and_then(|x| x.first_chunk()) {
                    let sum = i32::from(a) * w0 + i32::from(b) * w1;
                    let sum = sum + i32::from(c) * w2 + i32::from(d) * w3;
                    sums[f] = sums[f].wrapping_add(sum);
                }
            }
        }
    }
    let first = len / 4 * 4;
    for (tail, weights) in tails.chunks_exact(F).take(len % 4).enumerate() {
        for (sums, pixel) in sums.iter_mut().zip(pixels) {
            let x = i32::from(pixel.get(first + tail).copied().unwrap_or_default());
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum = sum.wrapping_add(x * i32::from(*weight));
            }
        }
    }
}

/// Adds the products of a vector with the weights of `F` outputs, packed as [`super::dense_place`] says.
#[inline(always)]
pub(super) fn dot_bytes<const F: usize>(sums: &mut [i32; F], x: &[i8], weights: &[i8]) {
    let (groups, tails) = weights
        .split_at_checked(x.len() / 4 * 4 * F)
        .unwrap_or_default();
    let (values, rest) = x.as_chunks::<4>();
    for (values, weights) in values.iter().zip(groups.chunks_exact(4 * F)) {
        let values = values.map(i32::from);
        for (sum, weights) in sums.iter_mut().zip(weights.as_chunks::<4>().0) {
            for (x, weight) in values.iter().zip(weights) {
                *sum = sum.wrapping_add(x * i32::from(*weight));
            }
        }
    }
    for (x, weights) in rest.iter().zip(tails.chunks_exact(F)) {
        for (sum, weight) in sums.iter_mut().zip(weights) {
            *sum = sum.wrapping_add(i32::from(*x) * i32::from(*weight));
        }
    }
}

/// One pixel of a narrow convolution: the same 12 values for each filter, pairs of `i16` in words, lower half first.
#[inline(always)]
pub(super) fn narrow(values: [u32; 6], weights: &[u32; 6], bias: i32) -> i32 {
    let halves = |word: u32| (i32::from(word as i16), i32::from((word >> 16) as i16));
    let mut sum = bias;
    for (x, w) in values.into_iter().zip(weights) {
        let ((x0, x1), (w0, w1)) = (halves(x), halves(*w));
        sum = sum.wrapping_add(x0 * w0 + x1 * w1);
    }
    sum
}

/// Two values that lie one after another.
#[inline(always)]
pub(super) fn pair(x: &[i16], at: usize) -> u32 {
    match x.get(at..).and_then(|x| x.first_chunk::<2>()) {
        Some(&[low, high]) => u32::from(low as u16) | u32::from(high as u16) << 16,
        None => 0,
    }
}

pub(super) fn widen(x: &[i8], y: &mut [i16]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = i16::from(*x);
    }
}

/// The largest of 2x2 neighbours, for two rows of pixels of a multiple of 4 channels. False if it was not done.
#[inline(always)]
pub(super) fn maxima_of_squares(_: [&[i8]; 2], _: usize, _: &mut [i8]) -> bool {
    false
}
