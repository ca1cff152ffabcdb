//! Depthwise convolution.

use super::Requantize;
use crate::kernels::rows::rows_mut;
use crate::kernels::window::Window;

/// Channels that are summed up together.
const TOGETHER: usize = 4;

/// What a depthwise convolution works on.
pub(crate) struct Depthwise<'a> {
    pub(crate) window: Window,
    pub(crate) channels: usize,
    pub(crate) multiplier: usize,
    pub(crate) x: &'a [i8],
    /// What stands for 0 in `x`.
    pub(crate) zero: i8,
    /// Bias and multiplier of each output channel, and after all of them the kernel, `[rows, columns, channels, multiplier]`.
    pub(crate) record: &'a [u32],
    pub(crate) requantize: Requantize,
    pub(crate) y: &'a mut [i8],
}

impl Depthwise<'_> {
    pub(crate) fn run(mut self) {
        let filters = self.channels * self.multiplier;
        let columns = self.window.columns.output.max(1);
        let (channels, kernel) = self
            .record
            .split_at_checked(2 * filters)
            .unwrap_or_default();
        let channels = bytemuck::must_cast_slice::<u32, i32>(channels)
            .as_chunks::<2>()
            .0;
        let kernel = bytemuck::must_cast_slice::<u32, i8>(kernel);
        let y = core::mem::take(&mut self.y);
        for (at, y) in rows_mut(y, filters).enumerate() {
            let place = (at / columns, at % columns);
            let (blocks, rest) = y.as_chunks_mut::<TOGETHER>();
            let (own, own_rest) = channels.as_chunks::<TOGETHER>();
            let mut first = 0;
            for (y, channels) in blocks.iter_mut().zip(own) {
                self.block(place, first, channels, kernel, y);
                first += TOGETHER;
            }
            for (y, channel) in rest.as_chunks_mut::<1>().0.iter_mut().zip(own_rest) {
                self.block(place, first, &[*channel], kernel, y);
                first += 1;
            }
        }
    }

    /// `F` channels of one pixel.
    #[inline(always)]
    fn block<const F: usize>(
        &self,
        (row, column): (usize, usize),
        first: usize,
        channels: &[[i32; 2]; F],
        kernel: &[i8],
        y: &mut [i8; F],
    ) {
        let Window { rows, columns } = self.window;
        let filters = self.channels * self.multiplier;
        let mut sums = channels.map(|[bias, _]| bias);
        let mut weights = kernel.get(first..).unwrap_or_default();
        for tap_row in 0..rows.kernel {
            let source_row = rows.input_at(row, tap_row);
            for tap in 0..columns.kernel {
                let own = weights.first_chunk::<F>().copied().unwrap_or([0; F]);
                weights = weights.get(filters..).unwrap_or_default();
                let pixel = source_row.zip(columns.input_at(column, tap));
                let values = pixel.map(|(row, column)| {
                    let start = (row * columns.input + column) * self.channels;
                    self.x.get(start..).unwrap_or_default()
                });
                for (f, (sum, weight)) in sums.iter_mut().zip(own).enumerate() {
                    let channel = match self.multiplier {
                        1 => first + f,
                        multiplier => (first + f) / multiplier.max(1),
                    };
                    let x = match values {
                        Some(values) => values.get(channel).copied().unwrap_or_default(),
                        None => self.zero,
                    };
                    *sum = sum.wrapping_add(i32::from(x) * i32::from(weight));
                }
            }
        }
        for (y, (sum, [_, multiplier])) in y.iter_mut().zip(sums.into_iter().zip(channels)) {
            *y = self.requantize.apply(sum, *multiplier);
        }
    }
}
