//! Plain code that is right on every processor.

use super::Requantize;
use super::convolution::{NARROW_WORDS, Places, Weights};
use crate::kernels::rows::{rows, rows_mut};

/// `accumulator + round(a · b / 2^32)`, halves up.
#[inline(always)]
pub(super) fn multiply_high_add(a: i32, b: i32, accumulator: i32) -> i32 {
    let product = i64::from(a) * i64::from(b);
    (((product + (1 << 31)) >> 32) as i32).wrapping_add(accumulator)
}

/// Adds the products of the windows of two neighbours with the weights of `F` filters, packed as [`super::packed_place`] says.
#[inline(always)]
pub(super) fn dot<const F: usize>(
    sums: &mut [[i32; F]; 2],
    places: Places,
    values: &[u32],
    weights: Weights,
) {
    let values = bytemuck::must_cast_slice::<u32, i16>(values);
    let weights = weights.get();
    if values.len() < places.reach() || weights.len() < F * places.terms() {
        return;
    }
    let mut weights = weights;
    for row in 0..places.rows {
        for run in 0..places.runs {
            let start = row * places.row_step + run * places.run_step;
            let values = values.get(start..).unwrap_or_default();
            let pixels = [0, places.pixel].map(|at| values.get(at..).unwrap_or_default());
            let (own, rest) = weights.split_at_checked(F * places.run).unwrap_or_default();
            weights = rest;
            dot_run(sums, pixels, own, places.run);
        }
    }
}

#[inline(always)]
fn dot_run<const F: usize>(
    sums: &mut [[i32; F]; 2],
    pixels: [&[i16]; 2],
    weights: &[i8],
    len: usize,
) {
    let (groups, tails) = weights
        .split_at_checked(len / 4 * 4 * F)
        .unwrap_or_default();
    for (group, weights) in rows(groups, 4 * F).enumerate() {
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
    for (tail, weights) in rows(tails, F).take(len % 4).enumerate() {
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
    for (values, weights) in values.iter().zip(rows(groups, 4 * F)) {
        let values = values.map(i32::from);
        for (sum, weights) in sums.iter_mut().zip(weights.as_chunks::<4>().0) {
            for (x, weight) in values.iter().zip(weights) {
                *sum = sum.wrapping_add(x * i32::from(*weight));
            }
        }
    }
    for (x, weights) in rest.iter().zip(rows(tails, F)) {
        for (sum, weight) in sums.iter_mut().zip(weights) {
            *sum = sum.wrapping_add(i32::from(*x) * i32::from(*weight));
        }
    }
}

/// A row of a narrow convolution: of each pixel three rows of four values, the same for each filter. `filters` have the bias, the
/// multiplier and three rows of four weights each.
pub(super) fn narrow_row(
    places: Places,
    values: &[i16],
    filters: &[[u32; 2 + NARROW_WORDS]],
    requantize: Requantize,
    y: &mut [i8],
) {
    let steps = places.narrow_rows();
    let mut values = values;
    for y in rows_mut(y, filters.len()) {
        let mut pixel = [0; 2 * NARROW_WORDS];
        for (pixel, step) in pixel.as_chunks_mut::<4>().0.iter_mut().zip(steps) {
            if let Some(values) = values.get(step..).and_then(|values| values.first_chunk()) {
                *pixel = *values;
            }
        }
        for (y, [bias, multiplier, weights @ ..]) in y.iter_mut().zip(filters) {
            let mut sum = *bias as i32;
            for (values, weights) in pixel.as_chunks::<2>().0.iter().zip(weights) {
                let [first, second] = halves(*weights);
                sum = sum
                    .wrapping_add(i32::from(values[0]).wrapping_mul(first))
                    .wrapping_add(i32::from(values[1]).wrapping_mul(second));
            }
            *y = requantize.apply(sum, *multiplier as i32);
        }
        values = values.get(places.pixel..).unwrap_or_default();
    }
}

/// Two weights of `i16` as they lie in a word.
fn halves(word: u32) -> [i32; 2] {
    bytemuck::must_cast::<u32, [i16; 2]>(word).map(i32::from)
}

/// Moves the words from `start` on to the start; `start` and the length are even.
pub(super) fn move_to_start(words: &mut [u32], start: usize) {
    words.copy_within(start.min(words.len()).., 0);
}

/// `y = x`, of the same length.
pub(crate) fn copy(x: &[i8], y: &mut [i8]) {
    if x.len() == y.len() {
        y.copy_from_slice(x);
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
