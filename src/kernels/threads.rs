//! Work shared among threads, if there are any: pieces that write to parts of their own.

use super::lanes::{Group, groups};

/// Multiply-accumulates that are worth a thread's start.
#[cfg(feature = "parallel")]
const WORTH: usize = 1 << 16;

/// Calls `piece` with parts of `output`, each of a whole number of rows of `row` elements and with the index of its first row, on as
/// many threads as the multiply-accumulates are worth.
#[inline(always)]
pub(crate) fn share_rows(
    output: &mut [f32],
    row: usize,
    multiply_accumulates: usize,
    piece: impl Fn(usize, &mut [f32]) + Sync,
) {
    #[cfg(feature = "parallel")]
    {
        use rayon::prelude::*;

        let rows = output.len() / row.max(1);
        let worth = rows.min(multiply_accumulates / WORTH);
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
                .for_each(|(i, part)| piece(i * rows_each, part));
            return;
        }
    }
    let _ = (row, multiply_accumulates);
    piece(0, output);
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
    #[cfg(feature = "parallel")]
    if batch * multiply_accumulates > WORTH && rayon::current_num_threads() > 1 {
        rayon::scope(|scope| {
            let mut rest = output;
            let piece = &piece;
            for group in groups(batch) {
                let (part, after) = rest.split_at_mut((group.lanes * len).min(rest.len()));
                rest = after;
                scope.spawn(move |_| piece(group, part));
            }
        });
        return;
    }
    let _ = multiply_accumulates;
    for group in groups(batch) {
        piece(group, group.of_mut(output, len));
    }
}
