//! The largest values.

use super::processor;
use crate::kernels::rows::{rows, rows_mut};
use crate::kernels::window::Window;

/// The largest value under each window; padding is never one.
pub(crate) fn max_pool(window: Window, channels: usize, x: &[i8], y: &mut [i8]) {
    let Window { rows, columns } = window;
    let row_len = columns.input * channels;
    let squares = (rows.kernel, columns.kernel, columns.stride) == (2, 2, 2)
        && channels.is_multiple_of(4)
        && 2 * columns.output <= columns.input;
    for (row, y) in rows_mut(y, columns.output * channels).enumerate() {
        let source = |tap| {
            let row = rows.input_at(row, tap)?;
            x.get(row * row_len..(row + 1) * row_len)
        };
        if squares
            && let (Some(first), Some(second)) = (source(0), source(1))
            && processor::maxima_of_squares([first, second], channels, y)
        {
            continue;
        }
        y.fill(i8::MIN);
        for row in (0..rows.kernel).filter_map(source) {
            for (column, y) in rows_mut(y, channels).enumerate() {
                for tap in 0..columns.kernel {
                    let Some(column) = columns.input_at(column, tap) else {
                        continue;
                    };
                    let x = row.get(column * channels..).unwrap_or_default();
                    for (y, x) in y.iter_mut().zip(x) {
                        *y = (*y).max(*x);
                    }
                }
            }
        }
    }
}

/// The largest value of each channel.
pub(crate) fn global_maximum(x: &[i8], y: &mut [i8]) {
    y.fill(i8::MIN);
    for x in rows(x, y.len()) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = (*y).max(*x);
        }
    }
}
