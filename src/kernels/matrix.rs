//! Products of a batch of vectors with a matrix, row-major.

use core::iter::once;

use super::rows::{Rows, rows, rows_mut};

/// `y = x · w + bias`: `x [batch, inputs]`, `w [inputs, outputs]`, `bias [outputs]` or empty for 0, `y [batch, outputs]`.
///
/// Order: the bias, then the terms of input 0, 1, 2, ….
pub(crate) fn multiply(
    x: &[f32],
    w: &[f32],
    bias: &[f32],
    (inputs, outputs): (usize, usize),
    y: &mut [f32],
) {
    debug_assert!(bias.is_empty() || bias.len() == outputs);
    check((x, y), w.len(), (inputs, outputs));
    #[cfg(feature = "std")]
    if let Some(level) = super::vectors::level() {
        return super::vector::multiply(level, x, w, bias, (inputs, outputs), y);
    }
    for (x, y) in rows(x, inputs).zip(rows_mut(y, outputs)) {
        let mut biases = bias.iter();
        for y in y.iter_mut() {
            *y = biases.next().copied().unwrap_or_default();
        }
        let w = rows(w, outputs);
        let (blocks, rest) = y.as_chunks_mut();
        for (block, y) in blocks.iter_mut().enumerate() {
            add_four_columns(x, w.clone(), 4 * block, y);
        }
        let first = 4 * blocks.len();
        for (i, y) in rest.iter_mut().enumerate() {
            for (x, row) in x.iter().zip(w.clone()) {
                *y += x * row.get(first + i).copied().unwrap_or_default();
            }
        }
    }
}

/// In debug builds, refuses tensors that do not have exactly their length: whole rows, as many of `x` as of `y`, and all weights.
#[inline(always)]
fn check((x, y): (&[f32], &[f32]), weights: usize, (inputs, outputs): (usize, usize)) {
    debug_assert_eq!(weights, inputs * outputs, "[inputs, outputs]");
    debug_assert_eq!(x.len() * outputs, y.len() * inputs, "rows of x and y");
    debug_assert!(x.len().is_multiple_of(inputs), "whole rows");
}

#[inline(always)]
fn after(values: &[f32], start: usize) -> &[f32] {
    values.get(start..).unwrap_or_default()
}

/// Four outputs of one sample, `first` and the next ones. Written out, because a loop over them is not unrolled when optimizing
/// for size.
#[inline(always)]
fn add_four_columns(x: &[f32], w: Rows<'_, f32>, first: usize, y: &mut [f32; 4]) {
    let [mut a, mut b, mut c, mut d] = *y;
    for (x, row) in x.iter().zip(w) {
        if let Some([w0, w1, w2, w3, ..]) = row.get(first..) {
            a += x * w0;
            b += x * w1;
            c += x * w2;
            d += x * w3;
        }
    }
    *y = [a, b, c, d];
}

/// `dx = dy · wᵀ`: `dy [batch, outputs]`, `w [inputs, outputs]`, `dx [batch, inputs]`.
///
/// Order: 0, then the terms of output 0, 1, 2, ….
pub(crate) fn multiply_transposed(
    mut dy: &[f32],
    w: &[f32],
    (inputs, outputs): (usize, usize),
    dx: &mut [f32],
) {
    check((dx, dy), w.len(), (inputs, outputs));
    #[cfg(feature = "std")]
    if let Some(level) = super::vectors::level() {
        return super::vector::multiply_transposed(level, dy, w, (inputs, outputs), dx);
    }
    for dx in rows_mut(dx, inputs) {
        let mut weights = w.iter();
        for dx in dx {
            let mut sum = 0.0;
            for (dy, w) in dy.iter().take(outputs).zip(weights.by_ref()) {
                sum += dy * w;
            }
            *dx = sum;
        }
        dy = after(dy, outputs);
    }
}

/// `dw += xᵀ · dy` and `dbias += Σ dy` over the batch: `x [batch, inputs]`, `dy [batch, outputs]`, `dw [inputs, outputs]`, followed by
/// `dbias [outputs]` if there is a bias; nothing if `dw` is empty.
///
/// Order: what `dw` holds, then the terms of sample 0, 1, 2, …; so a batch in parts gives the same bits as in one.
pub(crate) fn accumulate_outer(
    x: &[f32],
    mut dy: &[f32],
    (inputs, outputs): (usize, usize),
    dw: &mut [f32],
) {
    if dw.len() < inputs * outputs {
        debug_assert!(dw.is_empty());
        return;
    }
    let dbias = dw.len() - inputs * outputs;
    debug_assert!(dbias == 0 || dbias == outputs);
    check((x, dy), dw.len() - dbias, (inputs, outputs));
    #[cfg(feature = "std")]
    if let Some(level) = super::vectors::level() {
        return super::vector::accumulate_outer(level, x, dy, (inputs, outputs), dw);
    }
    for x in rows(x, inputs) {
        let mut gradients = rows_mut(dw, outputs);
        let dy_of_sample = dy.get(..outputs).unwrap_or_default();
        // The bias is the weight of an input that is always 1.
        for x in x.iter().copied().chain(once(1.0)) {
            if let Some(dw) = gradients.next() {
                for (dy, dw) in dy_of_sample.iter().zip(dw) {
                    *dw += x * dy;
                }
            }
        }
        dy = after(dy, outputs);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;
    use crate::rng::Rng;

    fn values(rng: &mut Rng, len: usize) -> Vec<f32> {
        (0..len).map(|_| rng.uniform() - 0.5).collect()
    }

    /// Calls `check` for sizes around the widths of vectors and groups, and for every kind of vectors.
    fn for_sizes(check: impl Fn(usize, usize, usize)) {
        #[cfg(feature = "std")]
        let kinds: Vec<_> = crate::Vectors::available().collect();
        #[cfg(not(feature = "std"))]
        let kinds = [()];
        for _kind in kinds {
            #[cfg(feature = "std")]
            _kind.limit();
            for batch in [1, 3, 8, 19] {
                for inputs in [1, 5, 16, 33] {
                    for outputs in [1, 3, 4, 10, 16, 41, 70] {
                        check(batch, inputs, outputs);
                    }
                }
            }
        }
    }

    #[test]
    fn products_have_the_bits_of_their_documented_order() {
        for_sizes(|batch, inputs, outputs| {
            let rng = &mut Rng::new(1);
            let (x, w) = (values(rng, batch * inputs), values(rng, inputs * outputs));
            let bias = values(rng, outputs);
            let mut y = std::vec![f32::NAN; batch * outputs];
            multiply(&x, &w, &bias, (inputs, outputs), &mut y);
            for (at, y) in y.iter().enumerate() {
                let (n, j) = (at / outputs, at % outputs);
                let terms = (0..inputs).map(|i| x[n * inputs + i] * w[i * outputs + j]);
                assert_eq!(*y, terms.fold(bias[j], |sum, term| sum + term));
            }

            let dy = y;
            let mut dx = std::vec![f32::NAN; batch * inputs];
            multiply_transposed(&dy, &w, (inputs, outputs), &mut dx);
            for (at, dx) in dx.iter().enumerate() {
                let (n, i) = (at / inputs, at % inputs);
                let terms = (0..outputs).map(|j| dy[n * outputs + j] * w[i * outputs + j]);
                assert_eq!(*dx, terms.fold(0.0, |sum, term| sum + term));
            }

            let before = values(rng, (inputs + 1) * outputs);
            let mut dw = before.clone();
            accumulate_outer(&x, &dy, (inputs, outputs), &mut dw);
            for (at, dw) in dw.iter().enumerate() {
                let (i, j) = (at / outputs, at % outputs);
                let x = |n: usize| if i < inputs { x[n * inputs + i] } else { 1.0 };
                let terms = (0..batch).map(|n| x(n) * dy[n * outputs + j]);
                assert_eq!(*dw, terms.fold(before[at], |sum, term| sum + term));
            }
        });
    }
}
