//! Batch normalization of groups of images (see [`super::lanes`]).

use super::convolution::add_lanes;
use super::lanes::{Kernel, Lanes};

/// `sum += Σ (x - mean)²` over the pixels. Order: as the gradients of a convolution's weights.
pub(crate) struct AddSquares<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) mean: &'a [f32],
    pub(crate) sum: &'a mut [f32],
}

impl Kernel for AddSquares<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, token: V::Token) {
        let pixel = (self.mean.len() * V::COUNT).max(1);
        for (channel, (mean, total)) in self.mean.iter().zip(self.sum).enumerate() {
            let mean = V::splat(token, *mean);
            let mut sum = V::splat(token, 0.0);
            for x in self.x.chunks_exact(pixel) {
                if let Some(x) = x.get(channel * V::COUNT..(channel + 1) * V::COUNT) {
                    let distance = V::load(token, x).subtract(mean);
                    sum = sum.add(distance.multiply(distance));
                }
            }
            add_lanes(sum, total);
        }
    }
}

/// `sum += Σ dy · (x - mean) · inverse` over the pixels. Order: as the gradients of a convolution's weights.
pub(crate) struct AddNormalized<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) dy: &'a [f32],
    pub(crate) mean: &'a [f32],
    pub(crate) inverse: &'a [f32],
    pub(crate) sum: &'a mut [f32],
}

impl Kernel for AddNormalized<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, token: V::Token) {
        let pixel = (self.mean.len() * V::COUNT).max(1);
        let statistics = self.mean.iter().zip(self.inverse);
        for (channel, ((mean, inverse), total)) in statistics.zip(self.sum).enumerate() {
            let (mean, inverse) = (V::splat(token, *mean), V::splat(token, *inverse));
            let mut sum = V::splat(token, 0.0);
            let range = channel * V::COUNT..(channel + 1) * V::COUNT;
            for (x, dy) in self.x.chunks_exact(pixel).zip(self.dy.chunks_exact(pixel)) {
                if let (Some(x), Some(dy)) = (x.get(range.clone()), dy.get(range.clone())) {
                    let normalized = V::load(token, x).subtract(mean).multiply(inverse);
                    sum = sum.add(V::load(token, dy).multiply(normalized));
                }
            }
            add_lanes(sum, total);
        }
    }
}

/// `y = (y - mean) · scale + shift` for each channel, in place.
pub(crate) struct Normalize<'a> {
    pub(crate) mean: &'a [f32],
    pub(crate) scale: &'a [f32],
    pub(crate) shift: &'a [f32],
    pub(crate) y: &'a mut [f32],
}

impl Kernel for Normalize<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self, token: V::Token) {
        let pixel = (self.mean.len() * V::COUNT).max(1);
        for y in self.y.chunks_exact_mut(pixel) {
            let constants = self.mean.iter().zip(self.scale).zip(self.shift);
            for (y, ((mean, scale), shift)) in y.chunks_exact_mut(V::COUNT).zip(constants) {
                V::load(token, y)
                    .subtract(V::splat(token, *mean))
                    .multiply(V::splat(token, *scale))
                    .add(V::splat(token, *shift))
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
        let pixel = (self.mean.len() * V::COUNT).max(1);
        let pixels = self.x.chunks_exact(pixel);
        for (x, gradient) in pixels.zip(self.gradient.chunks_exact_mut(pixel)) {
            let values = x
                .chunks_exact(V::COUNT)
                .zip(gradient.chunks_exact_mut(V::COUNT));
            let constants = self.mean.iter().zip(self.mean_gradient);
            let constants = constants.zip(self.slope.iter().zip(self.scale));
            for ((x, gradient), ((mean, mean_gradient), (slope, scale))) in values.zip(constants) {
                let along = V::load(token, x)
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
        let pixel = (self.scale.len() * V::COUNT).max(1);
        for gradient in self.gradient.chunks_exact_mut(pixel) {
            for (gradient, scale) in gradient.chunks_exact_mut(V::COUNT).zip(self.scale) {
                V::load(token, gradient)
                    .multiply(V::splat(token, *scale))
                    .store(gradient);
            }
        }
    }
}
