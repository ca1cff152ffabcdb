//! Means.

use super::{Requantize, saturate};
use crate::kernels::rows::rows_mut;
use crate::kernels::window::Window;

/// The mean of the values under each window that are not padding, halves away from zero, as TensorFlow Lite has it.
pub(crate) fn average_pool(window: Window, channels: usize, x: &[i8], y: &mut [i8]) {
    let Window { rows, columns } = window;
    for (at, y) in rows_mut(y, channels).enumerate() {
        let place = (at / columns.output.max(1), at % columns.output.max(1));
        for (channel, y) in y.iter_mut().enumerate() {
            let (mut sum, mut count) = (0, 0);
            for row in (0..rows.kernel).filter_map(|tap| rows.input_at(place.0, tap)) {
                for column in (0..columns.kernel).filter_map(|tap| columns.input_at(place.1, tap)) {
                    let at = (row * columns.input + column) * channels + channel;
                    sum += i32::from(x.get(at).copied().unwrap_or_default());
                    count += 1;
                }
            }
            let half = if sum > 0 { count / 2 } else { -(count / 2) };
            *y = saturate((sum + half).checked_div(count).unwrap_or_default());
        }
    }
}

/// The mean of each channel: the sum times the multiplier, which has the number of pixels in it.
pub(crate) fn global_average(
    x: &[i8],
    [bias, multiplier]: [i32; 2],
    requantize: Requantize,
    y: &mut [i8],
) {
    let channels = y.len().max(1);
    for (channel, y) in y.iter_mut().enumerate() {
        let mut sum = bias;
        for x in x.iter().skip(channel).step_by(channels) {
            sum = sum.wrapping_add(i32::from(*x));
        }
        *y = requantize.apply(sum, multiplier);
    }
}
