//! Pooling of groups of images (see [`super::lanes`]).

use super::lanes::{Kernel, Lanes, MOST, load_nth, parts};
use super::rows::{rows, rows_mut};
use super::window::Window;

/// The largest value under each window, the first of equal ones; `taps` takes its place in the window, unless it is empty.
pub(crate) struct MaxForward<'a> {
    pub(crate) window: Window,
    pub(crate) channels: usize,
    pub(crate) x: &'a [f32],
    pub(crate) y: &'a mut [f32],
    pub(crate) taps: &'a mut [u8],
}

/// Channels that are worked on together: they lie under the same window.
const TOGETHER: usize = 4;

impl Kernel for MaxForward<'_> {
    #[inline(always)]
    fn run<V: Lanes>(mut self, token: V::Token) {
        debug_assert_eq!(
            [self.x.len(), self.y.len()],
            [
                self.window.input_pixels() * self.channels * V::COUNT,
                self.window.output_pixels() * self.channels * V::COUNT,
            ]
        );
        let columns = self.window.columns.output.max(1);
        let pixel = (self.channels * V::COUNT).max(1);
        let mut rest = core::mem::take(&mut self.y);
        let mut at = 0;
        while let Some((y, after)) = rest.split_at_mut_checked(pixel) {
            rest = after;
            let taps = core::mem::take(&mut self.taps);
            let (taps, after) = taps.split_at_mut(taps.len().min(pixel));
            self.taps = after;
            let mut first = 0;
            while first < self.channels {
                let place = (at / columns, at % columns, first);
                first += if self.channels - first >= TOGETHER {
                    self.block::<V, TOGETHER>(token, place, y, taps)
                } else {
                    self.block::<V, 1>(token, place, y, taps)
                };
            }
            at += 1;
        }
    }
}

impl MaxForward<'_> {
    /// `C` channels of one pixel; returns how many.
    #[inline(always)]
    fn block<V: Lanes, const C: usize>(
        &self,
        token: V::Token,
        (row, column, first): (usize, usize, usize),
        y: &mut [f32],
        taps: &mut [u8],
    ) -> usize {
        let mut best = [V::splat(token, f32::NEG_INFINITY); C];
        let mut place = [V::splat(token, 0.0); C];
        under(self.window, (row, column), |input, tap| {
            let start = (input * self.channels + first) * V::COUNT;
            let Some(x) = self.x.get(start..start + C * V::COUNT) else {
                return;
            };
            let tap = V::splat(token, tap as f32);
            for (c, (best, place)) in best.iter_mut().zip(&mut place).enumerate() {
                let x: V = load_nth(token, x, c);
                *place = x.where_greater(*best, tap, *place);
                *best = best.maximum(x);
            }
        });
        let start = first * V::COUNT;
        if let Some(y) = y.get_mut(start..start + C * V::COUNT) {
            for (y, best) in rows_mut(y, V::COUNT).zip(best) {
                best.store(y);
            }
        }
        if let Some(taps) = taps.get_mut(start..start + C * V::COUNT) {
            for (taps, place) in rows_mut(taps, V::COUNT).zip(place) {
                let mut lanes = [0.0; MOST];
                place.store(&mut lanes);
                for (tap, lane) in taps.iter_mut().zip(lanes) {
                    *tap = lane as u8;
                }
            }
        }
        C
    }
}

/// Gives each gradient to the input that was the largest under its window. Order: 0, then the windows row by row.
pub(crate) struct MaxBackward<'a> {
    pub(crate) window: Window,
    pub(crate) channels: usize,
    pub(crate) dy: &'a [f32],
    pub(crate) taps: &'a [u8],
    pub(crate) dx: &'a mut [f32],
}

impl Kernel for MaxBackward<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, token: V::Token) {
        debug_assert_eq!(
            [self.dx.len(), self.dy.len()],
            [
                self.window.input_pixels() * self.channels * V::COUNT,
                self.window.output_pixels() * self.channels * V::COUNT,
            ]
        );
        let columns = self.window.columns.output.max(1);
        let pixel = (self.channels * V::COUNT).max(1);
        self.dx.fill(0.0);
        if V::COUNT == 1 {
            return self.scatter();
        }
        let zero = V::splat(token, 0.0);
        for (at, (dy, taps)) in parts(self.dy, self.taps, pixel).enumerate() {
            under(self.window, (at / columns, at % columns), |input, tap| {
                let dx = self.dx.get_mut(input * pixel..(input + 1) * pixel);
                let (Some(dx), tap) = (dx, tap as f32) else {
                    return;
                };
                let (before, after) = (V::splat(token, tap - 0.5), V::splat(token, tap + 0.5));
                let values = rows_mut(dx, V::COUNT);
                let gradients = rows(dy, V::COUNT).zip(rows(taps, V::COUNT));
                for (dx, (dy, places)) in values.zip(gradients) {
                    let mut lanes = [0.0; MOST];
                    for (lane, place) in lanes.iter_mut().zip(places) {
                        *lane = f32::from(*place);
                    }
                    let place = V::load(token, &lanes);
                    let dy = place.where_greater(before, V::load(token, dy), zero);
                    let dy = after.where_greater(place, dy, zero);
                    V::load(token, dx).add(dy).store(dx);
                }
            });
        }
    }
}

impl MaxBackward<'_> {
    /// Of a single sample: no gradient goes anywhere but to its place.
    #[inline(always)]
    fn scatter(self) {
        let Window { rows, columns } = self.window;
        let channels = self.channels.max(1);
        for (at, (dy, taps)) in parts(self.dy, self.taps, channels).enumerate() {
            let (row, column) = (at / columns.output.max(1), at % columns.output.max(1));
            for (channel, (dy, tap)) in dy.iter().zip(taps).enumerate() {
                let tap = usize::from(*tap);
                let (tap_row, tap_column) =
                    (tap / columns.kernel.max(1), tap % columns.kernel.max(1));
                if let Some(row) = rows.input_at(row, tap_row)
                    && let Some(column) = columns.input_at(column, tap_column)
                    && let Some(dx) = self
                        .dx
                        .get_mut((row * columns.input + column) * channels + channel)
                {
                    *dx += dy;
                }
            }
        }
    }
}

/// The mean of the values under each window that are not padding. Order: 0, then row by row; the sum times the reciprocal of the
/// count.
pub(crate) struct AverageForward<'a> {
    pub(crate) window: Window,
    pub(crate) channels: usize,
    pub(crate) x: &'a [f32],
    pub(crate) y: &'a mut [f32],
}

/// Calls `visit` with every pixel of the input under the window at `(row, column)` and its place in the window; returns how many
/// there are.
#[inline(always)]
fn under(
    window: Window,
    (row, column): (usize, usize),
    mut visit: impl FnMut(usize, usize),
) -> usize {
    let Window { rows, columns } = window;
    let mut count = 0;
    for tap_row in 0..rows.kernel {
        for tap_column in 0..columns.kernel {
            if let (Some(row), Some(column)) = (
                rows.input_at(row, tap_row),
                columns.input_at(column, tap_column),
            ) {
                let tap = tap_row * columns.kernel + tap_column;
                visit(row * columns.input + column, tap);
                count += 1;
            }
        }
    }
    count
}

impl Kernel for AverageForward<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, token: V::Token) {
        debug_assert_eq!(
            [self.x.len(), self.y.len()],
            [
                self.window.input_pixels() * self.channels * V::COUNT,
                self.window.output_pixels() * self.channels * V::COUNT,
            ]
        );
        let columns = self.window.columns.output.max(1);
        let pixel = (self.channels * V::COUNT).max(1);
        for (at, y) in rows_mut(self.y, pixel).enumerate() {
            for (channel, y) in rows_mut(y, V::COUNT).enumerate() {
                let mut sum = V::splat(token, 0.0);
                let count = under(self.window, (at / columns, at % columns), |input, _| {
                    let start = input * pixel + channel * V::COUNT;
                    if let Some(x) = self.x.get(start..start + V::COUNT) {
                        sum = sum.add(V::load(token, x));
                    }
                });
                let share = V::splat(token, 1.0 / count.max(1) as f32);
                sum.multiply(share).store(y);
            }
        }
    }
}

/// Shares each gradient among the inputs under its window. Order: 0, then the windows row by row.
pub(crate) struct AverageBackward<'a> {
    pub(crate) window: Window,
    pub(crate) channels: usize,
    pub(crate) dy: &'a [f32],
    pub(crate) dx: &'a mut [f32],
}

impl Kernel for AverageBackward<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, token: V::Token) {
        debug_assert_eq!(
            [self.dx.len(), self.dy.len()],
            [
                self.window.input_pixels() * self.channels * V::COUNT,
                self.window.output_pixels() * self.channels * V::COUNT,
            ]
        );
        let columns = self.window.columns.output.max(1);
        let pixel = (self.channels * V::COUNT).max(1);
        self.dx.fill(0.0);
        for (at, dy) in rows(self.dy, pixel).enumerate() {
            let place = (at / columns, at % columns);
            let count = under(self.window, place, |_, _| {});
            let share = V::splat(token, 1.0 / count.max(1) as f32);
            for (channel, dy) in rows(dy, V::COUNT).enumerate() {
                let dy = V::load(token, dy).multiply(share);
                under(self.window, place, |input, _| {
                    let start = input * pixel + channel * V::COUNT;
                    if let Some(dx) = self.dx.get_mut(start..start + V::COUNT) {
                        V::load(token, dx).add(dy).store(dx);
                    }
                });
            }
        }
    }
}

/// The mean over all pixels, for each sample a vector of channels. Order: 0, then row by row; the sum times the reciprocal of the count.
pub(crate) struct GlobalAverageForward<'a> {
    pub(crate) pixels: usize,
    pub(crate) channels: usize,
    pub(crate) x: &'a [f32],
    /// `[lanes, channels]`.
    pub(crate) y: &'a mut [f32],
}

/// Stores a value of each sample at `channel` of its vector.
#[inline(always)]
fn store_apart<V: Lanes>(value: V, y: &mut [f32], channels: usize, channel: usize) {
    let mut lanes = [0.0; MOST];
    value.store(&mut lanes);
    for (y, lane) in rows_mut(y, channels).zip(lanes) {
        if let Some(y) = y.get_mut(channel) {
            *y = lane;
        }
    }
}

/// The values of the samples at `channel` of their vectors.
#[inline(always)]
fn load_apart<V: Lanes>(token: V::Token, y: &[f32], channels: usize, channel: usize) -> V {
    let mut lanes = [0.0; MOST];
    for (lane, y) in lanes.iter_mut().zip(rows(y, channels)) {
        *lane = y.get(channel).copied().unwrap_or_default();
    }
    V::load(token, &lanes)
}

impl Kernel for GlobalAverageForward<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, token: V::Token) {
        debug_assert_eq!(
            [self.x.len(), self.y.len()],
            [self.pixels * self.channels, self.channels].map(|len| len * V::COUNT)
        );
        let share = V::splat(token, 1.0 / self.pixels.max(1) as f32);
        for channel in 0..self.channels {
            let mut sum = V::splat(token, 0.0);
            for pixel in rows(self.x, self.channels * V::COUNT) {
                if let Some(x) = pixel.get(channel * V::COUNT..(channel + 1) * V::COUNT) {
                    sum = sum.add(V::load(token, x));
                }
            }
            store_apart(sum.multiply(share), self.y, self.channels, channel);
        }
    }
}

/// Shares each channel's gradient among its pixels.
pub(crate) struct GlobalAverageBackward<'a> {
    pub(crate) pixels: usize,
    pub(crate) channels: usize,
    /// `[lanes, channels]`.
    pub(crate) dy: &'a [f32],
    pub(crate) dx: &'a mut [f32],
}

impl Kernel for GlobalAverageBackward<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, token: V::Token) {
        debug_assert_eq!(
            [self.dx.len(), self.dy.len()],
            [self.pixels * self.channels, self.channels].map(|len| len * V::COUNT)
        );
        let share = V::splat(token, 1.0 / self.pixels.max(1) as f32);
        for channel in 0..self.channels {
            let dy = load_apart::<V>(token, self.dy, self.channels, channel).multiply(share);
            for pixel in rows_mut(self.dx, self.channels * V::COUNT) {
                if let Some(dx) = pixel.get_mut(channel * V::COUNT..(channel + 1) * V::COUNT) {
                    dy.store(dx);
                }
            }
        }
    }
}

/// The largest value over all pixels, the first of equal ones; `places` takes the bits of its pixel's index, unless it is empty.
pub(crate) struct GlobalMaxForward<'a> {
    pub(crate) channels: usize,
    pub(crate) x: &'a [f32],
    /// `[lanes, channels]`.
    pub(crate) y: &'a mut [f32],
    /// `[lanes, channels]`.
    pub(crate) places: &'a mut [f32],
}

impl Kernel for GlobalMaxForward<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, token: V::Token) {
        debug_assert_eq!(self.y.len(), self.channels * V::COUNT);
        debug_assert!(self.x.len().is_multiple_of(self.channels * V::COUNT));
        for channel in 0..self.channels {
            let mut best = V::splat(token, f32::NEG_INFINITY);
            let mut place = V::splat(token, 0.0);
            let pixels = rows(self.x, self.channels * V::COUNT);
            for (at, pixel) in pixels.enumerate() {
                if let Some(x) = pixel.get(channel * V::COUNT..(channel + 1) * V::COUNT) {
                    let x = V::load(token, x);
                    // Its bits, which are only moved: the number is not exact from 2^24 pixels on.
                    let at = V::splat(token, f32::from_bits(at as u32));
                    place = x.where_greater(best, at, place);
                    best = best.maximum(x);
                }
            }
            store_apart(best, self.y, self.channels, channel);
            store_apart(place, self.places, self.channels, channel);
        }
    }
}

/// Gives each channel's gradient to the pixel that was the largest.
pub(crate) struct GlobalMaxBackward<'a> {
    pub(crate) channels: usize,
    /// `[lanes, channels]`.
    pub(crate) dy: &'a [f32],
    pub(crate) places: &'a [f32],
    pub(crate) dx: &'a mut [f32],
}

impl Kernel for GlobalMaxBackward<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, _: V::Token) {
        debug_assert_eq!(self.dy.len(), self.channels * V::COUNT);
        debug_assert!(self.dx.len().is_multiple_of(self.channels * V::COUNT));
        self.dx.fill(0.0);
        let channels = self.channels.max(1);
        for (lane, (dy, places)) in parts(self.dy, self.places, channels).enumerate() {
            for (channel, (dy, place)) in dy.iter().zip(places).enumerate() {
                let at = (place.to_bits() as usize * channels + channel) * V::COUNT + lane;
                if let Some(dx) = self.dx.get_mut(at) {
                    *dx = *dy;
                }
            }
        }
    }
}
