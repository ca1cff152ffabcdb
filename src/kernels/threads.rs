//! Work shared among threads, if there are any: pieces that write to parts of their own.

use core::ops::Range;
#[cfg(feature = "parallel")]
use core::sync::atomic::{AtomicUsize, Ordering};

use super::lanes::{Group, groups};

/// Multiply-accumulates, or values that take little work each, that are worth a thread's start.
#[cfg(feature = "parallel")]
static WORTH: AtomicUsize = AtomicUsize::new(1 << 16);

#[cfg(feature = "parallel")]
fn worth() -> usize {
    WORTH.load(Ordering::Relaxed)
}

/// From now on the whole process starts a thread for `multiply_accumulates` of work, at least 1: for tests, whose networks are small.
#[cfg(feature = "parallel")]
#[doc(hidden)]
pub fn share_work_of(multiply_accumulates: usize) {
    WORTH.store(multiply_accumulates.max(1), Ordering::Relaxed);
}

/// Splits `output` into parts of whole rows of `row` elements, on as many threads as the multiply-accumulates are worth, and calls
/// `piece` with each part and the range of its rows. The range has an end as well as a start, so that a piece takes exactly the rows
/// of other tensors that belong to its own.
#[inline(always)]
pub(crate) fn share_rows(
    output: &mut [f32],
    row: usize,
    multiply_accumulates: usize,
    piece: impl Fn(Range<usize>, &mut [f32]) + Sync,
) {
    let rows = output.len() / row.max(1);
    debug_assert_eq!(output.len(), rows * row, "whole rows");
    #[cfg(feature = "parallel")]
    {
        use rayon::prelude::*;

        let worth = rows.min(multiply_accumulates / worth());
        // Asked for only then: rayon starts its threads, and allocates, with the first question.
        let pieces = if worth > 1 {
            rayon::current_num_threads().min(worth)
        } else {
            1
        };
        if pieces > 1 {
            let rows_each = rows.div_ceil(pieces);
            output
                .par_chunks_mut(rows_each * row)
                .enumerate()
                .for_each(|(i, part)| {
                    let first = i * rows_each;
                    piece(first..first + part.len() / row, part);
                });
            return;
        }
    }
    let _ = multiply_accumulates;
    piece(0..rows, output);
}

/// Calls `piece` with each group of a batch and its part of `output`, which has `len` values per sample, on as many threads as the
/// multiply-accumulates of each sample are worth.
#[inline(always)]
pub(crate) fn each_group(
    batch: usize,
    len: usize,
    multiply_accumulates: usize,
    output: &mut [f32],
    piece: impl Fn(Group, &mut [f32]) + Sync,
) {
    let outputs = [(output, len), (&mut [], 0)];
    each_group_of_two(batch, multiply_accumulates, outputs, |group, output, _| {
        piece(group, output);
    });
}

/// The same for two tensors, each with its values per sample. The second one may be empty.
#[inline(always)]
pub(crate) fn each_group_of_two(
    batch: usize,
    multiply_accumulates: usize,
    [(first, first_len), (second, second_len)]: [(&mut [f32], usize); 2],
    piece: impl Fn(Group, &mut [f32], &mut [f32]) + Sync,
) {
    #[cfg(feature = "parallel")]
    if batch.saturating_mul(multiply_accumulates) > worth()
        && groups(batch).nth(1).is_some()
        && rayon::current_num_threads() > 1
    {
        let parts =
            groups(batch).map(|group| (group, group.lanes * first_len, group.lanes * second_len));
        return spawn_pairs(first, second, parts, piece);
    }
    let _ = multiply_accumulates;
    for group in groups(batch) {
        let second = group.of_mut(second, second_len);
        piece(group, group.of_mut(first, first_len), second);
    }
}

/// Calls `piece` with parts of two tensors that belong together, `row` elements of the one and `other_row` of the other, on as many
/// threads as they are worth. The other one may be shorter, or empty.
#[inline(always)]
pub(crate) fn share_pairs(
    (values, row): (&mut [f32], usize),
    (other, other_row): (&mut [f32], usize),
    piece: impl Fn(&mut [f32], &mut [f32]) + Sync,
) {
    #[cfg(feature = "parallel")]
    if values.len() > 2 * worth() && rayon::current_num_threads() > 1 {
        let threads = rayon::current_num_threads().min(values.len() / worth());
        let rows_each = values.len().div_ceil(row.max(1)).div_ceil(threads);
        let parts = (0..threads).map(|_| ((), rows_each * row, rows_each * other_row));
        return spawn_pairs(values, other, parts, |(), values, other| {
            piece(values, other)
        });
    }
    let _ = (row, other_row);
    piece(values, other);
}

/// Calls `piece` with parts of two tensors, each on a thread that is free: `parts` are their names, and their lengths, of which the
/// last ones may be too long.
#[cfg(feature = "parallel")]
fn spawn_pairs<N: Send>(
    first: &mut [f32],
    second: &mut [f32],
    parts: impl Iterator<Item = (N, usize, usize)> + Send,
    piece: impl Fn(N, &mut [f32], &mut [f32]) + Sync,
) {
    rayon::scope(|scope| {
        let (mut first, mut second) = (first, second);
        let piece = &piece;
        for (name, first_len, second_len) in parts {
            let (part, rest) = first.split_at_mut(first_len.min(first.len()));
            let (other, other_rest) = second.split_at_mut(second_len.min(second.len()));
            (first, second) = (rest, other_rest);
            scope.spawn(move |_| piece(name, part, other));
        }
    });
}
