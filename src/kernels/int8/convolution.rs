//! Convolution without a copy of every window: the input's rows under the window, widened to `i16` with their padding.
//!
//! The channels of neighbouring pixels lie one after another, so a row of the window is one run of values, and neighbouring windows
//! overlap in memory. Padding is the zero point, which stands for 0. From one row of outputs to the next, rows that stay under the window move
//! up: that is less than 2 % of the work, and the rows of every window lie the same distance apart.

use core::array::from_fn;

use super::{Requantize, processor};
use crate::kernels::window::Window;

/// The words of a narrow kernel: 3 rows of 4 weights of `i16`.
pub(crate) const NARROW_WORDS: usize = 6;

/// What a convolution's weights and scratch depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    window: Window,
    channels: usize,
    filters: usize,
}

impl Geometry {
    pub(crate) const fn new(window: Window, channels: usize, filters: usize) -> Self {
        Self {
            window,
            channels,
            filters,
        }
    }

    /// The values that lie one after another under a row of the window, and how many such runs there are.
    const fn run(&self) -> (usize, usize) {
        let columns = self.window.columns;
        match columns.dilation {
            1 => (columns.kernel * self.channels, 1),
            _ => (self.channels, columns.kernel),
        }
    }

    /// The weights of a filter fit six words: their kernel lies as `i16`, and a pixel's values are held in registers for all filters.
    pub(crate) const fn is_narrow(&self) -> bool {
        self.window.rows.kernel <= 3 && self.run().0 <= 4 && self.run().1 == 1
    }

    /// The weights of a filter.
    const fn terms(&self) -> usize {
        self.window.taps() * self.channels
    }

    /// The values of a widened row: all that windows reach over.
    const fn row_len(&self) -> usize {
        self.row_values() as usize
    }

    /// The same for a geometry that is not checked yet, whose rows may have any length.
    const fn row_values(&self) -> u64 {
        let columns = self.window.columns;
        let reach =
            (columns.output - 1) * columns.stride + (columns.kernel - 1) * columns.dilation + 1;
        // The last pair of a narrow window may reach over the end.
        let slack = if self.is_narrow() { 3 } else { 0 };
        // Rows start at pairs of words.
        (reach as u64 * self.channels as u64 + slack).next_multiple_of(4)
    }

    /// The rows that windows reach over.
    const fn rows(&self) -> usize {
        (self.window.rows.kernel - 1) * self.window.rows.dilation + 1
    }

    /// Bytes; in 64 bits, because they are asked for before the layer is checked.
    pub(crate) const fn scratch(&self) -> u64 {
        self.rows() as u64 * self.row_values() * size_of::<i16>() as u64
    }
}

/// Where a weight lies in a packed kernel: `term` is its index in `[rows, columns, channels]`.
///
/// Filters are packed in pairs, a last one alone. Within, row by row (or tap by tap, if the window has gaps), four weights of the first
/// filter, then four of the second; of the four the middle ones are exchanged, since an instruction widens every other byte. Weights that
/// are left at a row's end alternate between the filters.
pub(crate) fn packed_place(geometry: &Geometry, term: usize, filter: usize) -> usize {
    let (run, _) = geometry.run();
    let terms = geometry.terms();
    let block = filter / 2 * 2;
    let filters = (geometry.filters - block).min(2);
    let (start, at) = (term / run.max(1) * run, term % run.max(1));
    let in_run = if at < run / 4 * 4 {
        at / 4 * 4 * filters + (filter - block) * 4 + [0, 2, 1, 3][at % 4]
    } else {
        run / 4 * 4 * filters + (at % 4) * filters + (filter - block)
    };
    block * terms + start * filters + in_run
}

/// The index of a weight among the 12 of a narrow filter.
pub(crate) fn narrow_place(geometry: &Geometry, term: usize) -> usize {
    let (run, _) = geometry.run();
    term / run.max(1) * 4 + term % run.max(1)
}

/// What a convolution works on.
pub(crate) struct Convolution<'a> {
    pub(crate) geometry: Geometry,
    pub(crate) x: &'a [i8],
    /// What stands for 0 in `x`.
    pub(crate) zero: i8,
    /// Bias and multiplier of each filter, and after all of them the packed kernel; for narrow ones, the six words of its kernel after
    /// each filter's.
    pub(crate) record: &'a [u32],
    pub(crate) requantize: Requantize,
    /// [`Geometry::scratch`] bytes: pairs of values of `i16`, so that the type says that they start at a whole word.
    pub(crate) rows: &'a mut [u32],
    pub(crate) y: &'a mut [i8],
}

/// Where the values of a window lie, in elements from its first one.
#[derive(Clone, Copy)]
pub(super) struct Places {
    /// From a pixel to the next.
    pub(super) pixel: usize,
    /// The rows of the window, and how far apart they are.
    pub(super) rows: usize,
    pub(super) row_step: usize,
    /// The runs of a row, and how far apart they are.
    pub(super) runs: usize,
    pub(super) run_step: usize,
    /// The values of a run.
    pub(super) run: usize,
    /// `pixel`, `row_step` and `run` are multiples of 4 values: where rows start at a whole word, so do all runs.
    #[cfg_attr(not(lightlayers_dsp), expect(dead_code))]
    pub(super) aligned: bool,
}

impl Places {
    /// The elements from the first to the last value of the windows of two neighbours.
    pub(super) const fn reach(&self) -> usize {
        self.pixel + (self.rows - 1) * self.row_step + (self.runs - 1) * self.run_step + self.run
    }

    /// Where the rows of a narrow window start. Those that it does not have are read in the place of its last one, with weights of 0.
    pub(super) fn narrow_rows(&self) -> [usize; 3] {
        [0, 1, 2].map(|row| row.min(self.rows - 1) * self.row_step)
    }

    /// As [`reach`](Self::reach), of narrow windows, of whose rows four values are read.
    #[cfg_attr(not(lightlayers_dsp), expect(dead_code))]
    pub(super) const fn narrow_reach(&self, pixels: usize) -> usize {
        (pixels - 1) * self.pixel + (self.rows - 1) * self.row_step + 4
    }

    /// The weights of a filter.
    pub(super) const fn terms(&self) -> usize {
        self.rows * self.runs * self.run
    }
}

pub(super) use packed::Weights;

mod packed {
    use crate::kernels::rows::rows;

    /// The packed weights of two filters or of a last one. The type proves that they start at a whole word if each has a multiple of 4.
    #[derive(Clone, Copy)]
    pub(in crate::kernels::int8) struct Weights<'a>(&'a [i8]);

    impl<'a> Weights<'a> {
        /// Those of so many pairs of filters of so many terms each, and those of the filter after them.
        #[inline(always)]
        pub(super) fn split(
            kernel: &'a [u32],
            terms: usize,
            pairs: usize,
        ) -> (impl Iterator<Item = Self> + Clone, Self) {
            let kernel = bytemuck::must_cast_slice::<u32, i8>(kernel);
            let last = kernel.get(2 * terms * pairs..).unwrap_or_default();
            (rows(kernel, 2 * terms).map(Self), Self(last))
        }

        #[inline(always)]
        pub(in crate::kernels::int8) fn get(self) -> &'a [i8] {
            self.0
        }
    }
}

impl Convolution<'_> {
    pub(crate) fn run(mut self) {
        let Window { rows, columns } = self.geometry.window;
        let (row_len, count) = (self.geometry.row_len(), self.geometry.rows());
        let row_words = row_len / 2;
        if self.rows.len() < count * row_words {
            return;
        }
        let mut y = core::mem::take(&mut self.y);
        let target_len = columns.output * self.geometry.filters;
        // The rows from `next` on are still to be widened; counted with the padding above the image.
        let mut next = 0;
        for row in 0..rows.output {
            let first = row * rows.stride;
            // Those that stay under the window.
            let stay = next - first.min(next);
            if stay > 0 {
                let used = self.rows.get_mut(..count * row_words).unwrap_or_default();
                processor::move_to_start(used, (count - stay) * row_words);
            }
            next = next.max(first);
            while next < first + count {
                self.widen_row(next, next - first);
                next += 1;
            }
            let Some((target, rest)) = y.split_at_mut_checked(target_len) else {
                return;
            };
            y = rest;
            if self.geometry.is_narrow() {
                self.narrow_row(target);
            } else {
                self.row(target);
            }
        }
    }

    fn places(&self) -> Places {
        let Window { rows, columns } = self.geometry.window;
        let (run, runs) = self.geometry.run();
        Places {
            pixel: columns.stride * self.geometry.channels,
            rows: rows.kernel,
            row_step: rows.dilation * self.geometry.row_len(),
            runs,
            run_step: columns.dilation * self.geometry.channels,
            run,
            aligned: self.geometry.channels.is_multiple_of(4),
        }
    }

    /// Puts a row with its padding into a place.
    fn widen_row(&mut self, row: usize, slot: usize) {
        let Window { rows, columns } = self.geometry.window;
        let (row_len, channels) = (self.geometry.row_len(), self.geometry.channels);
        let values = bytemuck::must_cast_slice_mut::<u32, i16>(self.rows);
        let Some(target) = values.get_mut(slot * row_len..(slot + 1) * row_len) else {
            return;
        };
        let zero = i16::from(self.zero);
        let row = row.wrapping_sub(rows.before);
        if row >= rows.input {
            return target.fill(zero);
        }
        let (before, target) = target
            .split_at_mut_checked(columns.before * channels)
            .unwrap_or_default();
        let len = (columns.input * channels).min(target.len());
        let (values, after) = target.split_at_mut(len);
        let source = self.x.get(row * columns.input * channels..);
        let source = source.and_then(|source| source.get(..len));
        before.fill(zero);
        processor::widen(source.unwrap_or_default(), values);
        after.fill(zero);
    }

    fn row(&self, target: &mut [i8]) {
        let filters = self.geometry.filters;
        let (channels, kernel) = self
            .record
            .split_at_checked(2 * filters)
            .unwrap_or_default();
        let (pairs, single) = bytemuck::must_cast_slice::<u32, i32>(channels)
            .as_chunks::<2>()
            .0
            .as_chunks::<2>();
        let mut places = self.places();
        let (kernels, last_kernel) = Weights::split(kernel, places.terms().max(1), pairs.len());
        let mut start = 0;
        for target in target.chunks_mut((2 * filters).max(1)) {
            let values = self.rows.get(start..).unwrap_or_default();
            // Two pixels, in words of two values.
            start += places.pixel;
            let (first, second) = target.split_at_mut(filters.min(target.len()));
            if second.is_empty() {
                // The last one of an odd number is its own neighbour.
                places.pixel = 0;
            }
            let (first, first_rest) = first.as_chunks_mut::<2>();
            let (second, second_rest) = second.as_chunks_mut::<2>();
            let mut second = second.iter_mut();
            for ((channels, weights), first) in pairs.iter().zip(kernels.clone()).zip(first) {
                let sums = sums::<2>(places, values, weights, channels);
                *first = self.outputs(sums[0], channels);
                if let Some(second) = second.next() {
                    *second = self.outputs(sums[1], channels);
                }
            }
            if let [channel] = single {
                let channels = &[*channel];
                let sums = sums::<1>(places, values, last_kernel, channels);
                for (y, sums) in first_rest.iter_mut().zip([sums[0]]) {
                    [*y] = self.outputs(sums, channels);
                }
                for (y, sums) in second_rest.iter_mut().zip([sums[1]]) {
                    [*y] = self.outputs(sums, channels);
                }
            }
        }
    }

    #[inline(always)]
    fn outputs<const F: usize>(&self, sums: [i32; F], channels: &[[i32; 2]; F]) -> [i8; F] {
        from_fn(|f| self.requantize.apply(sums[f], channels[f][1]))
    }

    fn narrow_row(&self, target: &mut [i8]) {
        let (filters, _) = self.record.as_chunks::<{ 2 + NARROW_WORDS }>();
        let values = bytemuck::must_cast_slice::<u32, i16>(self.rows);
        processor::narrow_row(self.places(), values, filters, self.requantize, target);
    }
}

/// The sums of two neighbouring pixels and `F` filters.
#[inline(always)]
fn sums<const F: usize>(
    places: Places,
    values: &[u32],
    weights: Weights,
    channels: &[[i32; 2]; F],
) -> [[i32; F]; 2] {
    let mut sums = [channels.map(|[bias, _]| bias); 2];
    processor::dot(&mut sums, places, values, weights);
    sums
}
