//! Work shared among threads: pieces that write to parts of their own.

/// Multiply-accumulates that are worth a thread's start.
#[cfg(feature = "parallel")]
const WORTH: usize = 1 << 16;

/// Calls `piece` with parts of `output`, each of a whole number of rows of `row` elements and with the index of its first row, on as
/// many threads as the multiply-accumulates are worth.
pub(super) fn share_rows(
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
