//! Convolution without a copy of every window: the input's rows under the window, widened to `i16` with their padding, in a ring.
//!
//! The channels of neighbouring pixels lie one after another, so a row of the window is one run of values, and neighbouring windows
//! overlap in memory. Padding is the zero point, which stands for 0.

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

    /// The columns of a widened row: all that windows reach over.
    const fn row_len(&self) -> usize {
        let columns = self.window.columns;
        let reach =
            (columns.output - 1) * columns.stride + (columns.kernel - 1) * columns.dilation + 1;
        // The last pair of a narrow window may reach over the end.
        let slack = if self.is_narrow() { 3 } else { 0 };
        (reach * self.channels + slack).next_multiple_of(2)
    }

    /// The rows in the ring.
    const fn ring(&self) -> usize {
        (self.window.rows.kernel - 1) * self.window.rows.dilation + 1
    }

    /// Bytes.
    pub(crate) const fn scratch(&self) -> usize {
        self.ring() * self.row_len() * size_of::<i16>()
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
    /// [`Geometry::scratch`] bytes.
    pub(crate) rows: &'a mut [i16],
    pub(crate) y: &'a mut [i8],
}

impl Convolution<'_> {
    pub(crate) fn run(mut self) {
        let Window { rows, columns } = self.geometry.window;
        let (row_len, ring) = (self.geometry.row_len(), self.geometry.ring());
        if row_len == 0 || self.rows.len() < ring * row_len {
            return;
        }
        let mut y = core::mem::take(&mut self.y);
        let target_len = columns.output * self.geometry.filters;
        // Counted with the padding above the image.
        let mut next = 0;
        let mut slot = 0;
        let mut first_slot = 0;
        for row in 0..rows.output {
            let first = row * rows.stride;
            if first > next {
                (next, slot) = (first, 0);
                first_slot = 0;
            }
            while next < first + ring {
                self.widen_row(next, slot);
                next += 1;
                slot = if slot + 1 == ring { 0 } else { slot + 1 };
            }
            let Some((target, rest)) = y.split_at_mut_checked(target_len) else {
                return;
            };
            y = rest;
            if self.geometry.is_narrow() {
                self.narrow_row(first_slot, target);
            } else {
                self.row(first_slot, target);
            }
            first_slot += rows.stride;
            while first_slot >= ring {
                first_slot -= ring;
            }
        }
    }

    /// Puts a row with its padding into the ring.
    fn widen_row(&mut self, row: usize, slot: usize) {
        let Window { rows, columns } = self.geometry.window;
        let (row_len, channels) = (self.geometry.row_len(), self.geometry.channels);
        let Some(target) = self.rows.get_mut(slot * row_len..(slot + 1) * row_len) else {
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

    fn row(&self, first_slot: usize, target: &mut [i8]) {
        let filters = self.geometry.filters;
        let (channels, kernel) = self
            .record
            .split_at_checked(2 * filters)
            .unwrap_or_default();
        let channels = bytemuck::must_cast_slice::<u32, i32>(channels)
            .as_chunks::<2>()
            .0;
        let kernel = bytemuck::must_cast_slice::<u32, i8>(kernel);
        // Every run and every pixel starts at a whole word.
        if self.geometry.channels.is_multiple_of(4) {
            self.pixels::<true>(first_slot, channels, kernel, target);
        } else {
            self.pixels::<false>(first_slot, channels, kernel, target);
        }
    }

    #[inline(always)]
    fn pixels<const ALIGNED: bool>(
        &self,
        first_slot: usize,
        channels: &[[i32; 2]],
        kernel: &[i8],
        target: &mut [i8],
    ) {
        let (filters, terms) = (self.geometry.filters, self.geometry.terms());
        let (pairs, single) = channels.as_chunks::<2>();
        let mut column = 0;
        for target in target.chunks_mut((2 * filters).max(1)) {
            let mut kernel = kernel;
            let two = target.len() == 2 * filters;
            let (target, other) = target.split_at_mut(filters);
            let mut first = 0;
            for channels in pairs {
                let (weights, rest) = kernel.split_at_checked(2 * terms).unwrap_or_default();
                kernel = rest;
                if two {
                    let sums = self.block::<2, 2, ALIGNED>(first_slot, column, weights, channels);
                    self.store(&sums[0], channels, target.get_mut(first..first + 2));
                    self.store(&sums[1], channels, other.get_mut(first..first + 2));
                } else {
                    let sums = self.block::<1, 2, ALIGNED>(first_slot, column, weights, channels);
                    self.store(&sums[0], channels, target.get_mut(first..first + 2));
                }
                first += 2;
            }
            if let [channel] = single {
                let channels = &[*channel];
                if two {
                    let sums = self.block::<2, 1, ALIGNED>(first_slot, column, kernel, channels);
                    self.store(&sums[0], channels, target.get_mut(first..));
                    self.store(&sums[1], channels, other.get_mut(first..));
                } else {
                    let sums = self.block::<1, 1, ALIGNED>(first_slot, column, kernel, channels);
                    self.store(&sums[0], channels, target.get_mut(first..));
                }
            }
            column += 2;
        }
    }

    /// The sums of `P` neighbouring pixels and `F` filters.
    #[inline(always)]
    fn block<const P: usize, const F: usize, const ALIGNED: bool>(
        &self,
        first_slot: usize,
        column: usize,
        weights: &[i8],
        channels: &[[i32; 2]; F],
    ) -> [[i32; F]; P] {
        let mut sums = [channels.map(|[bias, _]| bias); P];
        let Window { rows, columns } = self.geometry.window;
        let (run, runs) = self.geometry.run();
        let (row_len, ring) = (self.geometry.row_len(), self.geometry.ring());
        let pixel = columns.stride * self.geometry.channels;
        let step = columns.dilation * self.geometry.channels;
        let mut slot = first_slot;
        let mut weights = weights;
        for _ in 0..rows.kernel {
            let row = self.rows.get(slot * row_len..).unwrap_or_default();
            for at in 0..runs {
                let mut pixels: [&[i16]; P] = [&[]; P];
                for (p, values) in pixels.iter_mut().enumerate() {
                    let start = (column + p) * pixel + at * step;
                    *values = row.get(start..).unwrap_or_default();
                }
                let (own, rest) = weights.split_at_checked(F * run).unwrap_or_default();
                weights = rest;
                processor::dot::<P, F, ALIGNED>(&mut sums, pixels, own, run);
            }
            slot += rows.dilation;
            if slot >= ring {
                slot -= ring;
            }
        }
        sums
    }

    #[inline(always)]
    fn store<const F: usize>(
        &self,
        sums: &[i32; F],
        channels: &[[i32; 2]; F],
        target: Option<&mut [i8]>,
    ) {
        let target = target.unwrap_or_default();
        for (y, (sum, [_, multiplier])) in target.iter_mut().zip(sums.iter().zip(channels)) {
            *y = self.requantize.apply(*sum, *multiplier);
        }
    }

    fn narrow_row(&self, first_slot: usize, target: &mut [i8]) {
        let Window { rows, columns } = self.geometry.window;
        let (row_len, ring) = (self.geometry.row_len(), self.geometry.ring());
        let (filters, _) = self.record.as_chunks::<{ 2 + NARROW_WORDS }>();
        let mut slots = [&self.rows[..0]; 3];
        let mut slot = first_slot;
        for row in slots.iter_mut().take(rows.kernel) {
            *row = self.rows.get(slot * row_len..).unwrap_or_default();
            slot += rows.dilation;
            if slot >= ring {
                slot -= ring;
            }
        }
        let pixel = columns.stride * self.geometry.channels;
        let mut at = 0;
        for target in target.chunks_exact_mut(self.geometry.filters.max(1)) {
            let mut values = [0; NARROW_WORDS];
            for (values, row) in values.as_chunks_mut::<2>().0.iter_mut().zip(slots) {
                *values = [processor::pair(row, at), processor::pair(row, at + 2)];
            }
            for (y, [bias, multiplier, weights @ ..]) in target.iter_mut().zip(filters) {
                let sum = processor::narrow(values, weights, *bias as i32);
                *y = self.requantize.apply(sum, *multiplier as i32);
            }
            at += pixel;
        }
    }
}
