//! Convolution of one image with vectors, for groups of a single sample: the terms and the order of
//! [`Forward`](super::convolution::Forward).
//!
//! Rows of the image are copied to a strip with zeros around them, where every output is as far from its inputs as any other: then
//! neighbouring outputs are worked on together without asking where an image ends. Outputs that fall between two rows are not stored.
//! With many filters, lanes go across filters; with few, across pixels. Zeros change no bit of a sum of finite terms: none is -0.

use core::array::from_fn;

use fearless_simd::{Level, Simd, SimdBase, dispatch, f32x4, f32x8, f32x16};

use super::convolution::Forward;
use super::lanes::Lanes;
use super::window::{Axis, Window};

/// Elements of a strip.
const STRIP: usize = 1 << 13;

/// Filters from which on lanes go across them.
const MANY: usize = 8;

/// Pixels whose sums do not wait for each other.
const PIXELS: usize = 8;

/// The most pixels that are worked on together.
const MOST_PIXELS: usize = 4 * 16;

/// Where the rows of an image lie in a strip.
pub(super) struct Strip {
    window: Window,
    channels: usize,
    filters: usize,
    /// From a row to the next one, in pixels.
    pitch: usize,
    /// Rows of the output that a strip is for.
    rows: usize,
    /// From a channel to the next one, in elements.
    plane: usize,
}

/// Elements of padding behind the last row or column.
fn after(axis: Axis) -> usize {
    (axis.output + reach(axis)).saturating_sub(axis.input + axis.before)
}

/// From the first element under a window to the last one.
fn reach(axis: Axis) -> usize {
    (axis.kernel - 1) * axis.dilation
}

impl Strip {
    /// None if windows do not slide by 1, or not even one row fits.
    pub(super) fn new(work: &Forward<'_>) -> Option<Self> {
        let Window { rows, columns } = work.window;
        if (rows.stride, columns.stride) != (1, 1) || work.channels * work.filters == 0 {
            return None;
        }
        let pitch = columns.input + columns.before.max(after(columns));
        let room = (STRIP / work.channels).checked_sub(reach(columns) + MOST_PIXELS)?;
        let fit = (room / pitch)
            .checked_sub(reach(rows))
            .filter(|fit| *fit > 0)?;
        let fit = fit.min(rows.output);
        Some(Self {
            window: work.window,
            channels: work.channels,
            filters: work.filters,
            pitch,
            rows: fit,
            plane: (fit + reach(rows)) * pitch + reach(columns) + MOST_PIXELS,
        })
    }

    /// Calls `copy` for the rows under the outputs from row `first` on: with the row's place in the strip, and its values, which are none
    /// for a row of padding.
    #[inline(always)]
    fn fill<'x>(&self, x: &'x [f32], first: usize, mut copy: impl FnMut(usize, Option<&'x [f32]>)) {
        let Window { rows, columns } = self.window;
        let row_len = columns.input * self.channels;
        for row in 0..self.rows + reach(rows) {
            let source = (first + row).wrapping_sub(rows.before);
            let at = row * self.pitch + columns.before;
            copy(
                at,
                x.get(source.wrapping_mul(row_len)..)
                    .and_then(|x| x.get(..row_len)),
            );
        }
    }

    /// Calls `store` with each of `count` pixels of the strip, from `start` on, that is an output: its place among them, and its index in the
    /// image.
    #[inline(always)]
    fn outputs(
        &self,
        first: usize,
        start: usize,
        count: usize,
        mut store: impl FnMut(usize, usize),
    ) {
        let output = self.window.columns.output;
        let (mut row, mut column) = (start / self.pitch, start % self.pitch);
        for i in 0..count {
            if column < output && row < self.rows {
                store(i, (first + row) * output + column);
            }
            column += 1;
            if column == self.pitch {
                (row, column) = (row + 1, 0);
            }
        }
    }

    /// Pixels of the strip from the first output to the last one.
    fn pixels(&self) -> usize {
        (self.rows - 1) * self.pitch + self.window.columns.output
    }
}

pub(super) fn forward(level: Level, strip: Strip, work: Forward<'_>) {
    dispatch!(level, simd => on(simd, strip, work));
}

#[inline(always)]
fn on<S: Simd>(simd: S, strip: Strip, work: Forward<'_>) {
    match (S::f32s::LEN, work.filters) {
        (16, 16..) => across_filters::<f32x16<S>>(simd, strip, work),
        (8.., MANY..) => across_filters::<f32x8<S>>(simd, strip, work),
        (_, MANY..) => across_filters::<f32x4<S>>(simd, strip, work),
        (16, _) => across_pixels::<f32x16<S>>(simd, strip, work),
        (8, _) => across_pixels::<f32x8<S>>(simd, strip, work),
        _ => across_pixels::<f32x4<S>>(simd, strip, work),
    }
}

/// Calls `work` with the first row of each strip; the last one overlaps the one before it.
#[inline(always)]
fn each_strip(strip: &Strip, mut work: impl FnMut(usize)) {
    let output = strip.window.rows.output;
    for first in (0..output).step_by(strip.rows) {
        work(first.min(output - strip.rows));
    }
}

/// There are at least as many filters as lanes.
#[inline(always)]
fn across_filters<V: Lanes>(token: V::Token, strip: Strip, work: Forward<'_>) {
    let (channels, filters) = (strip.channels, strip.filters);
    let mut values = [0.0; STRIP];
    each_strip(&strip, |first_row| {
        strip.fill(work.x, first_row, |at, row| {
            let values = &mut values[at * channels..][..strip.window.columns.input * channels];
            match row {
                Some(row) => values.copy_from_slice(row),
                None => values.fill(0.0),
            }
        });
        for start in (0..strip.pixels()).step_by(PIXELS) {
            for first in (0..filters).step_by(V::COUNT) {
                // The last filters are worked on together with some before them.
                let first = first.min(filters - V::COUNT);
                let sums = filter_sums::<V>(token, &strip, &values, &work, start, first);
                strip.outputs(first_row, start, PIXELS, |i, pixel| {
                    let y = &mut work.y[pixel * filters + first..];
                    work.finish.store(token, sums[i], y);
                });
            }
        }
    });
}

#[inline(always)]
fn filter_sums<V: Lanes>(
    token: V::Token,
    strip: &Strip,
    values: &[f32],
    work: &Forward<'_>,
    start: usize,
    first: usize,
) -> [V; PIXELS] {
    let (channels, filters) = (strip.channels, strip.filters);
    let Window { rows, columns } = strip.window;
    let zero = V::splat(token, 0.0);
    let bias = match work.bias {
        [] => zero,
        bias => zero.add(V::load(token, &bias[first..])),
    };
    let mut sums = [bias; PIXELS];
    // The values under a row of the kernel lie one after another, as its weights do, unless it is dilated.
    let (runs, len) = match columns.dilation {
        1 => (1, columns.kernel * channels),
        _ => (columns.kernel, channels),
    };
    let mut weights = work.w.chunks_exact(len * filters);
    for row in 0..rows.kernel {
        for run in 0..runs {
            let Some(weights) = weights.next() else {
                return sums;
            };
            let under = start + row * rows.dilation * strip.pitch + run * columns.dilation;
            let under = &values[under * channels..];
            let under: [&[f32]; PIXELS] = from_fn(|i| &under[i * channels..][..len]);
            for (at, weights) in weights.chunks_exact(filters).enumerate() {
                let weights = V::load(token, &weights[first..]);
                for (sum, under) in sums.iter_mut().zip(&under) {
                    *sum = sum.add(V::splat(token, under[at]).multiply(weights));
                }
            }
        }
    }
    sums
}

#[inline(always)]
fn across_pixels<V: Lanes>(token: V::Token, strip: Strip, mut work: Forward<'_>) {
    let channels = strip.channels;
    let mut values = [0.0; STRIP];
    each_strip(&strip, |first_row| {
        strip.fill(work.x, first_row, |at, row| {
            for channel in 0..channels {
                let values = &mut values[channel * strip.plane + at..];
                let values = values.iter_mut().take(strip.window.columns.input);
                match row {
                    Some(row) => {
                        let row = row[channel..].iter().step_by(channels);
                        values.zip(row).for_each(|(value, x)| *value = *x);
                    }
                    None => values.for_each(|value| *value = 0.0),
                }
            }
        });
        let mut first = 0;
        while first < strip.filters {
            let place = (first_row, first);
            first += match strip.filters - first {
                1 => filter_block::<V, 1, 4>(token, &strip, &values, &mut work, place),
                2 => filter_block::<V, 2, 4>(token, &strip, &values, &mut work, place),
                3 => filter_block::<V, 3, 3>(token, &strip, &values, &mut work, place),
                _ => filter_block::<V, 4, 2>(token, &strip, &values, &mut work, place),
            };
        }
    });
}

/// `F` filters of all pixels, `N` vectors of them at a time; returns `F`.
#[inline(always)]
fn filter_block<V: Lanes, const F: usize, const N: usize>(
    token: V::Token,
    strip: &Strip,
    values: &[f32],
    work: &mut Forward<'_>,
    (first_row, first): (usize, usize),
) -> usize {
    let (w, bias, finish) = (work.w, work.bias, work.finish);
    let Window { rows, columns } = strip.window;
    let count = N * V::COUNT;
    for start in (0..strip.pixels()).step_by(count) {
        let mut sums: [[V; N]; F] = from_fn(|f| {
            let bias = bias.get(first + f).copied().unwrap_or_default();
            [V::splat(token, 0.0 + bias); N]
        });
        let mut weights = w.chunks_exact(strip.filters);
        for row in 0..rows.kernel {
            for column in 0..columns.kernel {
                let under = row * rows.dilation * strip.pitch + column * columns.dilation;
                let planes = values[start + under..].chunks(strip.plane);
                for (plane, weights) in planes.zip((&mut weights).take(strip.channels)) {
                    let plane = &plane[..count];
                    let weights = &weights[first..first + F];
                    let x: [V; N] = from_fn(|n| V::load(token, &plane[n * V::COUNT..]));
                    for (sums, weight) in sums.iter_mut().zip(weights) {
                        let weight = V::splat(token, *weight);
                        for (sum, x) in sums.iter_mut().zip(x) {
                            *sum = sum.add(x.multiply(weight));
                        }
                    }
                }
            }
        }
        let mut buffer = [[0.0; MOST_PIXELS]; F];
        for (buffer, sums) in buffer.iter_mut().zip(&sums) {
            for (buffer, sum) in buffer.chunks_exact_mut(V::COUNT).zip(sums) {
                finish.store(token, *sum, buffer);
            }
        }
        strip.outputs(first_row, start, count, |i, pixel| {
            let y = &mut work.y[pixel * strip.filters + first..][..F];
            for (y, buffer) in y.iter_mut().zip(&buffer) {
                *y = buffer[i];
            }
        });
    }
    F
}
