//! Convolution of groups of images (see [`super::lanes`]) and its gradients.
//!
//! Kernels are `[height, width, channels, filters]`. All of these work on one group; the layers' files go over the batch.

use super::rows::{rows, rows_mut};
use core::array::from_fn;

use super::elementwise;
use super::lanes::{Kernel, Lanes, MOST, add_lanes, load_nth, run};
use super::window::{Axis, Window};

/// `y = bias + x * w`.
///
/// Order: the bias, then for each row and column of the kernel that does not lie on padding, the channels 0, 1, 2, ….
pub(crate) struct Forward<'a> {
    pub(crate) window: Window,
    pub(crate) channels: usize,
    pub(crate) filters: usize,
    pub(crate) x: &'a [f32],
    pub(crate) w: &'a [f32],
    /// Empty for 0.
    pub(crate) bias: &'a [f32],
    pub(crate) finish: Finish,
    pub(crate) y: &'a mut [f32],
}

/// What happens to a sum before it is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Finish {
    Nothing,
    /// `max(sum, 0)`; a NaN stays one.
    Relu,
    /// 0 unless the value in its place, an output of a ReLU, is positive: the gradient through that ReLU.
    WherePositive,
}

impl Finish {
    #[inline(always)]
    pub(super) fn store<V: Lanes>(self, token: V::Token, sum: V, target: &mut [f32]) {
        let zero = V::splat(token, 0.0);
        let value = match self {
            Self::Nothing => sum,
            Self::Relu => zero.where_greater(sum, zero, sum),
            Self::WherePositive => V::load(token, target).where_greater(zero, sum, zero),
        };
        value.store(target);
    }
}

impl Forward<'_> {
    /// In debug builds, refuses tensors that do not have exactly their length.
    fn check(&self, lanes: usize) {
        debug_assert_eq!(
            [self.x.len(), self.y.len(), self.w.len()],
            [
                self.window.input_pixels() * self.channels * lanes,
                self.window.output_pixels() * self.filters * lanes,
                self.window.taps() * self.channels * self.filters,
            ]
        );
        debug_assert!(self.bias.is_empty() || self.bias.len() == self.filters);
    }

    /// Works on a group of `lanes` samples.
    #[inline(always)]
    pub(crate) fn run_on(self, lanes: usize) {
        self.check(lanes);
        #[cfg(feature = "std")]
        if lanes == 1
            && let Some(level) = super::vectors::level()
            && let Some(strip) = super::single_image::Strip::new(&self)
        {
            return super::single_image::forward(level, strip, self);
        }
        run(lanes, self);
    }
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, token: V::Token) {
        let Self {
            window,
            channels,
            filters,
            x,
            w,
            bias,
            finish,
            y,
        } = self;
        let sweep = Sweep {
            source_columns: window.columns.input,
            source_channels: channels,
            target_columns: window.columns.output,
            target_channels: filters,
            taps: (window.rows.kernel, window.columns.kernel),
            step: Some(window.columns.stride),
            joined: window.columns.dilation == 1,
            weights: Weights::Forward,
            source: x,
            w,
            bias,
            finish,
        };
        sweep.rows::<V>(
            token,
            y,
            window.rows.output,
            |row, tap| window.rows.input_at(row, tap),
            |column, tap| window.columns.input_at(column, tap),
        );
    }
}

/// `dx = dy * w`, every weight the other way round.
///
/// Order: 0, then for each row and column of the kernel through which a window reaches the pixel, the filters 0, 1, 2, ….
pub(crate) struct InputGradient<'a> {
    pub(crate) window: Window,
    pub(crate) channels: usize,
    pub(crate) filters: usize,
    pub(crate) dy: &'a [f32],
    pub(crate) w: &'a [f32],
    pub(crate) finish: Finish,
    pub(crate) dx: &'a mut [f32],
}

impl Kernel for InputGradient<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, token: V::Token) {
        debug_assert_eq!(
            [self.dy.len(), self.dx.len(), self.w.len()],
            [
                self.window.output_pixels() * self.filters * V::COUNT,
                self.window.input_pixels() * self.channels * V::COUNT,
                self.window.taps() * self.channels * self.filters,
            ]
        );
        let Self {
            window,
            channels,
            filters,
            dy,
            w,
            finish,
            dx,
        } = self;
        let sweep = Sweep {
            source_columns: window.columns.output,
            source_channels: filters,
            target_columns: window.columns.input,
            target_channels: channels,
            taps: (window.rows.kernel, window.columns.kernel),
            // With a stride, neighbouring pixels are reached through different elements of the kernel.
            step: (window.columns.stride == 1).then_some(1),
            joined: false,
            weights: Weights::Backward,
            source: dy,
            w,
            bias: &[],
            finish,
        };
        sweep.rows::<V>(
            token,
            dx,
            window.rows.input,
            |row, tap| window.rows.output_at(row, tap),
            |column, tap| window.columns.output_at(column, tap),
        );
    }
}

/// What both directions have in common: every pixel of a target gathers from pixels of a source through the taps of a kernel.
struct Sweep<'a> {
    source_columns: usize,
    source_channels: usize,
    target_columns: usize,
    target_channels: usize,
    taps: (usize, usize),
    /// A tap of neighbouring pixels lies on the source for all of them, but at its ends, this many columns apart. None if it lies between
    /// columns for some of them.
    step: Option<usize>,
    /// The taps of a row of the kernel lie on neighbouring pixels, in this order.
    joined: bool,
    weights: Weights,
    source: &'a [f32],
    w: &'a [f32],
    bias: &'a [f32],
    finish: Finish,
}

/// Which way the weights of a tap are read, `[channels, filters]`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weights {
    /// The source has the channels.
    Forward,
    /// The source has the filters.
    Backward,
}

/// Neighbouring pixels, and target channels, that are summed up together: each value of the source serves all channels, each
/// weight all pixels, and the sums fit the registers.
const PIXELS: usize = 4;
const CHANNELS: usize = 4;

/// Blocks of 2 channels, and of 3 weights, have code of their own. On a chip, where flash is short, smaller ones take their place.
const MANY_BLOCKS: bool = cfg!(feature = "std");

/// How many of the channels that are left are worked on next.
const fn block_len(rest: usize) -> usize {
    match rest {
        CHANNELS.. => CHANNELS,
        2 if !MANY_BLOCKS => 1,
        _ => rest,
    }
}

/// What stands for the channels of a pixel of padding.
static PADDING: [f32; PADDING_LEN] = [0.0; PADDING_LEN];
const PADDING_LEN: usize = if cfg!(feature = "std") { 1 << 12 } else { 64 };

impl Sweep<'_> {
    #[inline(always)]
    fn rows<V: Lanes>(
        &self,
        token: V::Token,
        target: &mut [f32],
        rows: usize,
        source_row: impl Fn(usize, usize) -> Option<usize>,
        source_column: impl Fn(usize, usize) -> Option<usize> + Copy,
    ) {
        let row_len = self.target_columns * self.target_channels * V::COUNT;
        let together = self.step.is_some()
            && self.target_columns >= PIXELS
            && self.source_channels * V::COUNT <= PADDING.len();
        for (row, target) in rows_mut(target, row_len).take(rows).enumerate() {
            let source_row = |tap| source_row(row, tap);
            let mut column = 0;
            // The last pixels are worked on together with some before them, which are stored already.
            while together && column < self.target_columns {
                let start = column.min(self.target_columns - PIXELS);
                let place = (start, column - start);
                self.channels::<V, PIXELS>(token, target, place, source_row, source_column);
                column += PIXELS;
            }
            while column < self.target_columns {
                self.channels::<V, 1>(token, target, (column, 0), source_row, source_column);
                column += 1;
            }
        }
    }

    /// `P` pixels of one row, all channels.
    #[inline(always)]
    fn channels<V: Lanes, const P: usize>(
        &self,
        token: V::Token,
        target: &mut [f32],
        (column, stored): (usize, usize),
        source_row: impl Fn(usize) -> Option<usize> + Copy,
        source_column: impl Fn(usize, usize) -> Option<usize> + Copy,
    ) {
        let mut first = 0;
        while first < self.target_channels {
            let rest = self.target_channels - first;
            let at = (column, stored, first);
            let done = match rest {
                4.. => self.block::<V, P, CHANNELS>(token, target, at, source_row, source_column),
                3 => self.block::<V, P, 3>(token, target, at, source_row, source_column),
                2 if MANY_BLOCKS => {
                    self.block::<V, P, 2>(token, target, at, source_row, source_column)
                }
                _ => self.block::<V, P, 1>(token, target, at, source_row, source_column),
            };
            if done.is_none() {
                return;
            }
            first += block_len(rest);
        }
    }

    /// `P` pixels of one row, `C` channels. None if they do not lie in the tensors, which they do.
    #[inline(always)]
    fn block<V: Lanes, const P: usize, const C: usize>(
        &self,
        token: V::Token,
        target: &mut [f32],
        (column, stored, first): (usize, usize, usize),
        source_row: impl Fn(usize) -> Option<usize>,
        source_column: impl Fn(usize, usize) -> Option<usize>,
    ) -> Option<()> {
        let mut sums: [[V; C]; P] = [from_fn(|c| {
            V::splat(
                token,
                0.0 + self.bias.get(first + c).copied().unwrap_or_default(),
            )
        }); P];
        let pixel = self.source_channels * V::COUNT;
        let row_len = self.source_columns * pixel;
        let tap_len = self.source_channels * self.target_channels;
        // Between these no tap of any of the pixels lies on padding.
        let corner = |p, tap| source_column(column + p, tap).is_some();
        let last = self.taps.1.saturating_sub(1);
        let corners = corner(0, 0) && corner(0, last) && corner(P - 1, 0) && corner(P - 1, last);
        let inner = self.step.filter(|_| corners);
        let (runs, taps) = if inner.is_some() && self.joined {
            (1, self.taps.1)
        } else {
            (self.taps.1, 1)
        };
        let len = taps * pixel;
        for tap_row in 0..self.taps.0 {
            let Some(source_row) = source_row(tap_row) else {
                continue;
            };
            let source = self.source.get(source_row * row_len..)?;
            let source = source.get(..row_len)?;
            for run in 0..runs {
                // A single pixel may have more channels than there are zeros for padding.
                if P == 1 && source_column(column, run).is_none() {
                    continue;
                }
                let tap = tap_row * self.taps.1 + run;
                let w = self.w.get(tap * tap_len..)?.get(..taps * tap_len)?;
                let mut sources: [&[f32]; P] = [&[]; P];
                if let Some(step) = inner {
                    let mut source = source.get(source_column(column, run)? * pixel..)?;
                    for (p, values) in sources.iter_mut().enumerate() {
                        if p > 0 {
                            source = source.get(step * pixel..)?;
                        }
                        *values = source.get(..len)?;
                    }
                } else {
                    for (p, values) in sources.iter_mut().enumerate() {
                        // Pixels of padding add zeros, which changes no bit of a sum: none of them is -0.
                        *values = match source_column(column + p, run) {
                            Some(column) => source.get(column * pixel..)?.get(..len)?,
                            None => PADDING.get(..len)?,
                        };
                    }
                }
                match self.weights {
                    Weights::Forward => {
                        let weights = rows(w, self.target_channels);
                        let weights = weights.map(|row| row.get(first..)?.first_chunk().copied());
                        accumulate(token, &mut sums, sources, len, weights);
                    }
                    Weights::Backward => {
                        let mut rows: [&[f32]; C] = [&[]; C];
                        for (c, row) in rows.iter_mut().enumerate() {
                            let start = (first + c) * self.source_channels;
                            *row = w.get(start..)?.get(..self.source_channels)?;
                        }
                        let weights = (0..self.source_channels).map(|at| {
                            let mut weights = [0.0; C];
                            for (weight, row) in weights.iter_mut().zip(rows) {
                                *weight = *row.get(at)?;
                            }
                            Some(weights)
                        });
                        accumulate(token, &mut sums, sources, len, weights);
                    }
                }
            }
        }
        // A copy, for the loops above to keep theirs in registers: these take them from memory.
        let sums: [[V; C]; P] = from_fn(|p| from_fn(|c| sums[p][c]));
        for (p, sums) in sums.iter().enumerate().skip(stored) {
            let start = ((column + p) * self.target_channels + first) * V::COUNT;
            let target = target.get_mut(start..)?.get_mut(..C * V::COUNT)?;
            for (target, sum) in rows_mut(target, V::COUNT).zip(sums) {
                self.finish.store(token, *sum, target);
            }
        }
        Some(())
    }
}

/// Adds the terms of `len` values of each of the sources, one after another, with the weights that each of them has.
#[inline(always)]
fn accumulate<V: Lanes, const P: usize, const C: usize>(
    token: V::Token,
    sums: &mut [[V; C]; P],
    sources: [&[f32]; P],
    len: usize,
    weights: impl Iterator<Item = Option<[f32; C]>>,
) {
    for (at, weights) in (0..len / V::COUNT).zip(weights) {
        let Some(weights) = weights else {
            return;
        };
        let weights = weights.map(|weight| V::splat(token, weight));
        for (sums, source) in sums.iter_mut().zip(&sources) {
            let Some(values) = source.get(at * V::COUNT..(at + 1) * V::COUNT) else {
                return;
            };
            let value = V::load(token, values);
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum = sum.add(value.multiply(weight));
            }
        }
    }
}

/// `dw += x * dy` over the windows.
///
/// Order: for each sample a sum from 0 over the windows, row by row; these sums are added, sample after sample, to what `dw` holds. A
/// batch in parts gives the same bits as in one.
pub(crate) struct WeightGradient<'a> {
    pub(crate) window: Window,
    pub(crate) channels: usize,
    pub(crate) filters: usize,
    pub(crate) x: &'a [f32],
    pub(crate) dy: &'a [f32],
    /// The rows of weights, `[height, width, channels]` in one index, whose gradients are computed: from this one on, as many as
    /// `dw` has.
    pub(crate) first_row: usize,
    /// `[rows, filters]`.
    pub(crate) dw: &'a mut [f32],
}

impl Kernel for WeightGradient<'_> {
    #[inline(always)]
    fn run<V: Lanes>(mut self, token: V::Token) {
        debug_assert_eq!(
            [self.x.len(), self.dy.len()],
            [
                self.window.input_pixels() * self.channels * V::COUNT,
                self.window.output_pixels() * self.filters * V::COUNT,
            ]
        );
        debug_assert!(self.dw.len().is_multiple_of(self.filters));
        let dw = core::mem::take(&mut self.dw);
        let filters = self.filters.max(1);
        // The weights of one row of the kernel are worked on together: the same gradients belong to all of them.
        let kernel_row = (self.window.columns.kernel * self.channels).max(1);
        let rows = dw.len() / filters;
        let mut row = 0;
        while row < rows {
            let at = self.first_row + row;
            let place = (at / kernel_row, at % kernel_row);
            let rest = (kernel_row - place.1).min(rows - row);
            // Rather 3 + 3 + 3 than 4 + 4 + 1.
            let count = match rest {
                ..3 => 1,
                3 if MANY_BLOCKS => 3,
                3 => 1,
                _ if MANY_BLOCKS && matches!(rest % CHANNELS, 1 | 2) => 3,
                _ => CHANNELS,
            };
            let Some(dw) = dw.get_mut(row * filters..(row + count) * filters) else {
                return;
            };
            match count {
                CHANNELS => self.filters::<V, CHANNELS>(token, place, dw),
                3 if MANY_BLOCKS => self.filters::<V, 3>(token, place, dw),
                _ => self.filters::<V, 1>(token, place, dw),
            }
            row += count;
        }
    }
}

impl WeightGradient<'_> {
    #[inline(always)]
    fn filters<V: Lanes, const R: usize>(
        &self,
        token: V::Token,
        place: (usize, usize),
        dw: &mut [f32],
    ) {
        let mut first = 0;
        while first < self.filters {
            let rest = self.filters - first;
            let done = match rest {
                4.. => self.block::<V, R, CHANNELS>(token, place, first, dw),
                3 => self.block::<V, R, 3>(token, place, first, dw),
                2 if MANY_BLOCKS => self.block::<V, R, 2>(token, place, first, dw),
                _ => self.block::<V, R, 1>(token, place, first, dw),
            };
            if done.is_none() {
                return;
            }
            first += block_len(rest);
        }
    }

    /// `R` weights of a row of the kernel, from `start` on, in the order of columns and channels; `F` filters. None if they do not lie in
    /// the tensors, which they do.
    #[inline(always)]
    fn block<V: Lanes, const R: usize, const F: usize>(
        &self,
        token: V::Token,
        (tap_row, start): (usize, usize),
        first: usize,
        dw: &mut [f32],
    ) -> Option<()> {
        let Window { rows, columns } = self.window;
        let channels = self.channels.max(1);
        let (x_pixel, dy_pixel) = (channels * V::COUNT, self.filters * V::COUNT);
        let taps: [usize; R] = from_fn(|r| (start + r) / channels);
        let channel: [usize; R] = from_fn(|r| (start + r) % channels * V::COUNT);
        // The columns of the output under which at least one of the taps lies on the input.
        let last = columns.outputs_of(taps[0]).end.min(columns.output);
        let outputs = columns.outputs_of(taps[R - 1]).start..last;
        // Those under which all of them do: there their values lie one after another, unless the kernel is dilated.
        let inner = columns.outputs_of(taps[0]).start..columns.outputs_of(taps[R - 1]).end;
        let inner = if inner.is_empty() || columns.dilation > 1 {
            outputs.end..outputs.end
        } else {
            inner
        };
        let (x_row, dy_row) = (columns.input * x_pixel, columns.output * dy_pixel);
        let step = columns.stride * x_pixel;
        let mut sums = [[V::splat(token, 0.0); F]; R];
        for row in rows.outputs_of(tap_row) {
            let Some(input_row) = rows.input_at(row, tap_row) else {
                continue;
            };
            let x = self.x.get(input_row * x_row..)?.get(..x_row)?;
            let dy = self.dy.get(row * dy_row..)?.get(..dy_row)?;
            // One after the other, as the columns lie.
            let sides = [outputs.start..inner.start, inner.end..outputs.end];
            for (side, edge) in sides.into_iter().enumerate() {
                for output in edge {
                    let dy = dy.get(output * dy_pixel + first * V::COUNT..)?;
                    // Padding adds zeros, which changes no bit of a sum: none of them is -0.
                    let mut values = [[0.0; MOST]; R];
                    for (r, values) in values.iter_mut().enumerate() {
                        if let Some(column) = columns.input_at(output, taps[r]) {
                            let x = x.get(column * x_pixel + channel[r]..)?;
                            elementwise::copy(x, values.get_mut(..V::COUNT)?);
                        }
                    }
                    let x = from_fn(|r| V::load(token, &values[r]));
                    add_products(token, &mut sums, x, dy.get(..F * V::COUNT)?);
                }
                if side > 0 || inner.is_empty() {
                    continue;
                }
                let column = inner.start * columns.stride + taps[0] - columns.before;
                let mut x_at = column * x_pixel + channel[0];
                let mut dy_at = inner.start * dy_pixel + first * V::COUNT;
                for _ in inner.clone() {
                    let dy = dy.get(dy_at..dy_at + F * V::COUNT)?;
                    let x = x.get(x_at..x_at + R * V::COUNT)?;
                    let x = from_fn(|r| load_nth(token, x, r));
                    add_products(token, &mut sums, x, dy);
                    x_at += step;
                    dy_at += dy_pixel;
                }
            }
        }
        // A copy, for the loops above to keep theirs in registers: these take them from memory.
        let sums: [[V; F]; R] = from_fn(|r| from_fn(|f| sums[r][f]));
        for (r, sums) in sums.iter().enumerate() {
            for (f, sum) in sums.iter().enumerate() {
                add_lanes(*sum, dw.get_mut(r * self.filters + first + f)?);
            }
        }
        Some(())
    }
}

/// `sums += x · dy`, with a vector of `dy` for each column.
#[inline(always)]
fn add_products<V: Lanes, const R: usize, const F: usize>(
    token: V::Token,
    sums: &mut [[V; F]; R],
    x: [V; R],
    dy: &[f32],
) {
    let dy: [V; F] = from_fn(|f| load_nth(token, dy, f));
    for (sums, x) in sums.iter_mut().zip(x) {
        for (sum, dy) in sums.iter_mut().zip(dy) {
            *sum = sum.add(x.multiply(dy));
        }
    }
}

/// A depthwise convolution, `y[.., c · multiplier + m] = bias + Σ x[.., c] * w[.., c, m]`.
///
/// Order: the bias, then the rows and columns of the kernel that do not lie on padding.
pub(crate) struct DepthwiseForward<'a> {
    pub(crate) window: Window,
    pub(crate) channels: usize,
    pub(crate) multiplier: usize,
    pub(crate) x: &'a [f32],
    pub(crate) w: &'a [f32],
    pub(crate) bias: &'a [f32],
    pub(crate) y: &'a mut [f32],
}

/// Adds `x[pixel, channel] · w[tap, channel, m]` over the taps for which `source` finds a pixel.
#[inline(always)]
fn depthwise_sum<V: Lanes>(
    token: V::Token,
    (tap_rows, tap_columns): (usize, usize),
    source: impl Fn(usize, usize) -> Option<usize>,
    values: &[f32],
    w: &[f32],
    tap_stride: usize,
    start: V,
) -> V {
    let mut sum = start;
    for tap_row in 0..tap_rows {
        for tap_column in 0..tap_columns {
            let tap = (tap_row * tap_columns + tap_column) * tap_stride;
            if let Some(at) = source(tap_row, tap_column)
                && let (Some(value), Some(weight)) = (values.get(at..at + V::COUNT), w.get(tap))
            {
                sum = sum.add(V::load(token, value).multiply(V::splat(token, *weight)));
            }
        }
    }
    sum
}

impl Kernel for DepthwiseForward<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, token: V::Token) {
        let Window { rows, columns } = self.window;
        let filters = self.channels * self.multiplier;
        debug_assert_eq!(
            [self.x.len(), self.y.len(), self.w.len()],
            [
                self.window.input_pixels() * self.channels * V::COUNT,
                self.window.output_pixels() * filters * V::COUNT,
                self.window.taps() * filters,
            ]
        );
        for (pixel, y) in rows_mut(self.y, filters * V::COUNT).enumerate() {
            let (row, column) = (pixel / columns.output.max(1), pixel % columns.output.max(1));
            for (filter, y) in rows_mut(y, V::COUNT).enumerate() {
                let channel = filter / self.multiplier.max(1);
                let bias = self.bias.get(filter).copied().unwrap_or_default();
                let source = |tap_row, tap_column| {
                    let row = rows.input_at(row, tap_row)?;
                    let column = columns.input_at(column, tap_column)?;
                    Some(((row * columns.input + column) * self.channels + channel) * V::COUNT)
                };
                depthwise_sum::<V>(
                    token,
                    (rows.kernel, columns.kernel),
                    source,
                    self.x,
                    self.w.get(filter..).unwrap_or_default(),
                    filters,
                    V::splat(token, bias),
                )
                .store(y);
            }
        }
    }
}

/// The gradient of a depthwise convolution's input.
///
/// Order: 0, then for each filter of the channel the rows and columns of the kernel through which a window reaches the pixel.
pub(crate) struct DepthwiseInputGradient<'a> {
    pub(crate) window: Window,
    pub(crate) channels: usize,
    pub(crate) multiplier: usize,
    pub(crate) dy: &'a [f32],
    pub(crate) w: &'a [f32],
    pub(crate) dx: &'a mut [f32],
}

impl Kernel for DepthwiseInputGradient<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, token: V::Token) {
        let Window { rows, columns } = self.window;
        let filters = self.channels * self.multiplier;
        debug_assert_eq!(
            [self.dx.len(), self.dy.len(), self.w.len()],
            [
                self.window.input_pixels() * self.channels * V::COUNT,
                self.window.output_pixels() * filters * V::COUNT,
                self.window.taps() * filters,
            ]
        );
        for (pixel, dx) in rows_mut(self.dx, self.channels * V::COUNT).enumerate() {
            let (row, column) = (pixel / columns.input.max(1), pixel % columns.input.max(1));
            for (channel, dx) in rows_mut(dx, V::COUNT).enumerate() {
                let mut sum = V::splat(token, 0.0);
                for filter in channel * self.multiplier..(channel + 1) * self.multiplier {
                    let source = |tap_row, tap_column| {
                        let row = rows.output_at(row, tap_row)?;
                        let column = columns.output_at(column, tap_column)?;
                        Some(((row * columns.output + column) * filters + filter) * V::COUNT)
                    };
                    sum = depthwise_sum::<V>(
                        token,
                        (rows.kernel, columns.kernel),
                        source,
                        self.dy,
                        self.w.get(filter..).unwrap_or_default(),
                        filters,
                        sum,
                    );
                }
                sum.store(dx);
            }
        }
    }
}

/// The gradient of a depthwise convolution's kernel.
///
/// Order: as [`WeightGradient`].
pub(crate) struct DepthwiseWeightGradient<'a> {
    pub(crate) window: Window,
    pub(crate) channels: usize,
    pub(crate) multiplier: usize,
    pub(crate) x: &'a [f32],
    pub(crate) dy: &'a [f32],
    pub(crate) dw: &'a mut [f32],
}

impl Kernel for DepthwiseWeightGradient<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, token: V::Token) {
        let Window { rows, columns } = self.window;
        let filters = self.channels * self.multiplier;
        debug_assert_eq!(
            [self.x.len(), self.dy.len(), self.dw.len()],
            [
                self.window.input_pixels() * self.channels * V::COUNT,
                self.window.output_pixels() * filters * V::COUNT,
                self.window.taps() * filters,
            ]
        );
        let axis_pairs = |axis: Axis, tap: usize| {
            axis.outputs_of(tap)
                .filter_map(move |output| Some((output, axis.input_at(output, tap)?)))
        };
        for (at, dw) in self.dw.iter_mut().enumerate() {
            let (tap, filter) = (at / filters.max(1), at % filters.max(1));
            let channel = filter / self.multiplier.max(1);
            let tap_columns = columns.kernel.max(1);
            let mut sum = V::splat(token, 0.0);
            for (row, input_row) in axis_pairs(rows, tap / tap_columns) {
                for (column, input_column) in axis_pairs(columns, tap % tap_columns) {
                    let dy = ((row * columns.output + column) * filters + filter) * V::COUNT;
                    let x = ((input_row * columns.input + input_column) * self.channels + channel)
                        * V::COUNT;
                    if let (Some(x), Some(dy)) =
                        (self.x.get(x..x + V::COUNT), self.dy.get(dy..dy + V::COUNT))
                    {
                        sum = sum.add(V::load(token, x).multiply(V::load(token, dy)));
                    }
                }
            }
            add_lanes(sum, dw);
        }
    }
}
