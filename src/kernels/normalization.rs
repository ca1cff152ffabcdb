//! Batch normalization of groups of images (see [`super::lanes`]).

use super::rows::{rows, rows_mut};
use core::array::from_fn;

use super::lanes::{Kernel, Lanes, add_lanes, load_nth};

/// `sum += Σ x` over the pixels. Order: as the gradients of a convolution's weights.
pub(crate) struct AddPixels<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) channels: usize,
    pub(crate) first_channel: usize,
    pub(crate) sum: &'a mut [f32],
}

impl Kernel for AddPixels<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, token: V::Token) {
        let place = (self.channels, self.first_channel);
        sum_pixels(
            token,
            place,
            self.sum,
            [self.x],
            |_| (),
            |(), [x]: [V; 1]| x,
        );
    }
}

/// `sum += Σ (x - mean)²` over the pixels. Order: as the gradients of a convolution's weights.
pub(crate) struct AddSquares<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) channels: usize,
    pub(crate) first_channel: usize,
    pub(crate) mean: &'a [f32],
    pub(crate) sum: &'a mut [f32],
}

impl Kernel for AddSquares<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, token: V::Token) {
        let place = (self.channels, self.first_channel);
        let mean = |channel| V::splat(token, value(self.mean, channel));
        sum_pixels(
            token,
            place,
            self.sum,
            [self.x],
            mean,
            |mean, [x]: [V; 1]| {
                let distance = x.subtract(mean);
                distance.multiply(distance)
            },
        );
    }
}

/// `sum += Σ dy · (x - mean) · inverse` over the pixels. Order: as the gradients of a convolution's weights.
pub(crate) struct AddNormalized<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) dy: &'a [f32],
    pub(crate) channels: usize,
    pub(crate) first_channel: usize,
    pub(crate) mean: &'a [f32],
    pub(crate) inverse: &'a [f32],
    pub(crate) sum: &'a mut [f32],
}

impl Kernel for AddNormalized<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, token: V::Token) {
        let place = (self.channels, self.first_channel);
        let statistics = |channel| {
            let splat = |values| V::splat(token, value(values, channel));
            (splat(self.mean), splat(self.inverse))
        };
        let tensors = [self.x, self.dy];
        sum_pixels(
            token,
            place,
            self.sum,
            tensors,
            statistics,
            |(mean, inverse), [x, dy]: [V; 2]| dy.multiply(x.subtract(mean).multiply(inverse)),
        );
    }
}

#[inline(always)]
fn value(values: &[f32], channel: usize) -> f32 {
    values.get(channel).copied().unwrap_or_default()
}

/// Channels whose sums do not wait for each other.
const CHANNELS: usize = 8;

/// For each of the channels from `first` on, as many as `sum` has: adds `term` of the tensors' values, over the pixels.
#[inline(always)]
fn sum_pixels<V: Lanes, K: Copy, const T: usize>(
    token: V::Token,
    (channels, first): (usize, usize),
    sum: &mut [f32],
    tensors: [&[f32]; T],
    constants: impl Fn(usize) -> K + Copy,
    term: impl Fn(K, [V; T]) -> V + Copy,
) {
    debug_assert!(first + sum.len() <= channels);
    for tensor in tensors {
        debug_assert!(tensor.len() == tensors[0].len());
        debug_assert!(tensor.len().is_multiple_of(channels * V::COUNT));
    }
    let mut start = 0;
    while start < sum.len() {
        let (_, rest) = sum.split_at_mut(start);
        let place = (channels, first + start);
        start += if let Some(sum) = rest.first_chunk_mut::<CHANNELS>() {
            sum_block(token, place, sum, tensors, constants, term)
        } else if let Some(sum) = rest.first_chunk_mut::<4>() {
            sum_block(token, place, sum, tensors, constants, term)
        } else if let Some(sum) = rest.first_chunk_mut::<1>() {
            sum_block(token, place, sum, tensors, constants, term)
        } else {
            return;
        };
    }
}

/// `C` channels; returns how many.
#[inline(always)]
fn sum_block<V: Lanes, K: Copy, const T: usize, const C: usize>(
    token: V::Token,
    (channels, first): (usize, usize),
    total: &mut [f32; C],
    tensors: [&[f32]; T],
    constants: impl Fn(usize) -> K,
    term: impl Fn(K, [V; T]) -> V,
) -> usize {
    let constants: [K; C] = from_fn(|c| constants(first + c));
    let mut sums = [V::splat(token, 0.0); C];
    let pixel = (channels * V::COUNT).max(1);
    let pixels = tensors[0].len() / pixel;
    for at in 0..pixels {
        let start = at * pixel + first * V::COUNT;
        let values =
            tensors.map(|tensor| tensor.get(start..start + C * V::COUNT).unwrap_or_default());
        if values.iter().any(|values| values.len() != C * V::COUNT) {
            break;
        }
        for (c, (sum, constants)) in sums.iter_mut().zip(constants).enumerate() {
            let values = values.map(|values| load_nth(token, values, c));
            *sum = sum.add(term(constants, values));
        }
    }
    for (sum, total) in sums.into_iter().zip(total) {
        add_lanes(sum, total);
    }
    C
}

/// `y = (y - mean) · scale + shift` for each channel, in place.
pub(crate) struct Normalize<'a> {
    /// Of a single sample channels may take the place of lanes.
    pub(crate) single: bool,
    pub(crate) mean: &'a [f32],
    pub(crate) scale: &'a [f32],
    pub(crate) shift: &'a [f32],
    pub(crate) y: &'a mut [f32],
}

impl Kernel for Normalize<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, token: V::Token) {
        debug_assert_eq!([self.scale.len(), self.shift.len()], [self.mean.len(); 2]);
        let lanes = if self.single { 1 } else { V::COUNT };
        let constant = |values: &[f32], at: usize| {
            if self.single {
                load_nth(token, values, at)
            } else {
                V::splat(token, value(values, at))
            }
        };
        let pixel = (self.mean.len() * lanes).max(1);
        for y in rows_mut(self.y, pixel) {
            for (at, y) in rows_mut(y, V::COUNT).enumerate() {
                V::load(token, y)
                    .subtract(constant(self.mean, at))
                    .multiply(constant(self.scale, at))
                    .add(constant(self.shift, at))
                    .store(y);
            }
        }
    }
}

/// `gradient = (gradient - mean_gradient - (x - mean) · slope) · scale` for each channel, in place.
pub(crate) struct NormalizeBackward<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) mean: &'a [f32],
    pub(crate) mean_gradient: &'a [f32],
    pub(crate) slope: &'a [f32],
    pub(crate) scale: &'a [f32],
    pub(crate) gradient: &'a mut [f32],
}

impl Kernel for NormalizeBackward<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, token: V::Token) {
        debug_assert_eq!(self.x.len(), self.gradient.len());
        debug_assert_eq!(
            [self.mean_gradient.len(), self.slope.len(), self.scale.len()],
            [self.mean.len(); 3]
        );
        let pixel = (self.mean.len() * V::COUNT).max(1);
        let mut pixels = rows(self.x, pixel);
        for gradient in rows_mut(self.gradient, pixel) {
            let x = pixels.next().unwrap_or_default();
            let constants = self.mean.iter().zip(self.mean_gradient);
            let constants = constants.zip(self.slope.iter().zip(self.scale));
            let values = rows_mut(gradient, V::COUNT).enumerate();
            for ((at, gradient), ((mean, mean_gradient), (slope, scale))) in values.zip(constants) {
                let x: V = load_nth(token, x, at);
                let along = x
                    .subtract(V::splat(token, *mean))
                    .multiply(V::splat(token, *slope));
                V::load(token, gradient)
                    .subtract(V::splat(token, *mean_gradient))
                    .subtract(along)
                    .multiply(V::splat(token, *scale))
                    .store(gradient);
            }
        }
    }
}

/// `gradient = gradient · scale` for each channel, in place.
pub(crate) struct ScaleChannels<'a> {
    pub(crate) scale: &'a [f32],
    pub(crate) gradient: &'a mut [f32],
}

impl Kernel for ScaleChannels<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, token: V::Token) {
        debug_assert!(
            self.gradient
                .len()
                .is_multiple_of(self.scale.len() * V::COUNT)
        );
        let pixel = (self.scale.len() * V::COUNT).max(1);
        for gradient in rows_mut(self.gradient, pixel) {
            for (gradient, scale) in rows_mut(gradient, V::COUNT).zip(self.scale) {
                V::load(token, gradient)
                    .multiply(V::splat(token, *scale))
                    .store(gradient);
            }
        }
    }
}
