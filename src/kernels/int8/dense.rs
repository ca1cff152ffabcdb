//! A vector times a matrix.

use super::{Requantize, processor};

/// Where a weight lies in a packed kernel of `[inputs, outputs]`.
///
/// Outputs are packed in blocks of 4, then of 2, then one alone. Within a block four weights of the first output, then four of the second, …;
/// weights that are left alternate between the outputs.
pub(crate) fn dense_place(inputs: usize, outputs: usize, input: usize, output: usize) -> usize {
    let mut block = output / 4 * 4;
    let mut len = (outputs - block).min(4);
    if len == 3 {
        len = 2;
    }
    if output - block >= len {
        block += len;
        len = outputs - block;
    }
    let groups = inputs / 4 * 4;
    let own = output - block;
    let in_block = if input < groups {
        input / 4 * 4 * len + own * 4 + input % 4
    } else {
        groups * len + (input - groups) * len + own
    };
    block * inputs + in_block
}

/// `record` has the bias and the multiplier of each output, and after all of them the packed kernel.
pub(crate) fn dense(x: &[i8], record: &[u32], requantize: Requantize, y: &mut [i8]) {
    let (channels, kernel) = record.split_at_checked(2 * y.len()).unwrap_or_default();
    let channels = bytemuck::must_cast_slice::<u32, i32>(channels)
        .as_chunks::<2>()
        .0;
    let kernel = bytemuck::must_cast_slice::<u32, i8>(kernel);
    let mut rest = Rest {
        x,
        channels,
        kernel,
        requantize,
        y,
    };
    while rest.block::<4>() {}
    while rest.block::<2>() {}
    rest.block::<1>();
}

/// The outputs that are still to be computed.
struct Rest<'a> {
    x: &'a [i8],
    channels: &'a [[i32; 2]],
    kernel: &'a [i8],
    requantize: Requantize,
    y: &'a mut [i8],
}

impl Rest<'_> {
    /// Computes `F` outputs, if there are as many.
    #[inline(always)]
    fn block<const F: usize>(&mut self) -> bool {
        let Some((channels, channels_left)) = self.channels.split_first_chunk::<F>() else {
            return false;
        };
        let Some((kernel, kernel_left)) = self.kernel.split_at_checked(F * self.x.len()) else {
            return false;
        };
        let Some((y, y_left)) = core::mem::take(&mut self.y).split_first_chunk_mut::<F>() else {
            return false;
        };
        let mut sums = channels.map(|[bias, _]| bias);
        processor::dot_bytes(&mut sums, self.x, kernel);
        for (y, (sum, [_, multiplier])) in y.iter_mut().zip(sums.iter().zip(channels)) {
            *y = self.requantize.apply(*sum, *multiplier);
        }
        self.channels = channels_left;
        self.kernel = kernel_left;
        self.y = y_left;
        true
    }
}
