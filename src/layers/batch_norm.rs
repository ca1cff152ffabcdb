//! BatchNormalization over the channels, in place: `y = (x - mean) · gamma / sqrt(variance + epsilon) + beta`.
//!
//! In training, mean and variance (of the population) are those of the batch over samples, rows and columns, N values in all, and the
//! moving statistics follow them: `moving = momentum · moving + (1 - momentum) · batch`, where an image's variance is the unbiased
//! one, N / (N - 1). At inference, and where the layer is frozen, they are the moving ones.
//!
//! Weights: `gamma [channels]`, `beta [channels]`; statistics: `mean [channels]`, `variance [channels]`.
//!
//! Backward, with `n = (x - mean) / sqrt(variance + epsilon)`: `dgamma = Σ dy · n`, `dbeta = Σ dy`,
//! `dx = gamma / sqrt(variance + epsilon) · (dy - dbeta / N - n · dgamma / N)`; frozen `dx = gamma / sqrt(variance + epsilon) · dy`.
//!
//! Source: Keras, `BatchNormalization`.

use super::conv2d::add_pixels;
use super::{Call, Mode, Needs, Tensors, Until};
use crate::error::BuildError;
use crate::kernels::elementwise;
use crate::kernels::lanes::{Group, across_channels, groups, run, run_across_channels};
use crate::kernels::normalization::{
    AddNormalized, AddSquares, Normalize, NormalizeBackward, ScaleChannels,
};
use crate::kernels::threads::{each_group, share_rows};
use crate::math;
use crate::network::Layer;
use crate::shape::Shape;

/// Vectors of channels that training keeps: mean, inverse deviation, and two that are used in turn.
pub(super) const KEPT: usize = 4;

pub(super) const fn check(
    layer: &'static str,
    momentum: f32,
    epsilon: f32,
    input: Shape,
) -> Result<Shape, BuildError> {
    if !(momentum >= 0.0 && momentum < 1.0) {
        Err(BuildError::OutOfRange {
            layer,
            what: "the momentum",
            range: "0..1",
        })
    } else if !(epsilon > 0.0 && epsilon.is_finite()) {
        Err(BuildError::OutOfRange {
            layer,
            what: "epsilon",
            range: "above 0",
        })
    } else {
        Ok(input)
    }
}

pub(super) const fn tensors(channels: usize) -> Tensors {
    Tensors::new().gamma(channels).beta(channels)
}

pub(super) const fn needs(layer: &Layer) -> Needs {
    let channels = layer.output.channels as u64;
    Needs {
        input: if layer.is_frozen() {
            Until::Forward
        } else {
            Until::InputGradient
        },
        saved: if layer.is_frozen() {
            channels
        } else {
            KEPT as u64 * channels
        },
        forward_scratch: channels,
    }
}

/// Vectors lie sample after sample, so each of them is a group of its own.
fn image_groups(call: Call<'_>) -> impl Iterator<Item = Group> + Clone + Sync {
    let flat = call.layer.has_flat_output();
    let batch = call.batch;
    let singles = (0..if flat { batch } else { 0 }).map(|first| Group { first, lanes: 1 });
    groups(if flat { 0 } else { batch }).chain(singles)
}

/// Calls `piece` with each group's part of a tensor like the output.
fn each(call: Call<'_>, tensor: &mut [f32], piece: impl Fn(Group, &mut [f32]) + Sync) {
    let len = call.layer.output.len();
    if call.layer.has_flat_output() {
        for group in image_groups(call) {
            piece(group, group.of_mut(tensor, len));
        }
    } else {
        each_group(call.batch, len, len, tensor, piece);
    }
}

type Vectors<'a> = [&'a mut [f32]; KEPT];

/// The kept vectors of a batch, at the start of their place.
fn vectors(saved: &mut [f32], channels: usize) -> Option<Vectors<'_>> {
    let (a, rest) = saved.split_at_mut_checked(channels)?;
    let (b, rest) = rest.split_at_mut_checked(channels)?;
    let (c, rest) = rest.split_at_mut_checked(channels)?;
    let (d, _) = rest.split_at_mut_checked(channels)?;
    Some([a, b, c, d])
}

/// Replaces the sums in `total` by means over `count` values.
fn divide(total: &mut [f32], count: usize) {
    for total in total {
        *total /= count as f32;
    }
}

pub(super) fn forward(
    call: Call<'_>,
    epsilon: f32,
    y: &mut [f32],
    saved: &mut [f32],
    moving: &[f32],
    mode: Mode,
) -> Option<()> {
    let channels = call.layer.output.channels as usize;
    let (gamma, beta) = call.weights.split_at_checked(channels)?;
    match mode {
        Mode::Training(_) if !call.layer.is_frozen() => {
            let [mean, inverse, variance, scale] = vectors(saved, channels)?;
            let len = call.layer.output.len();
            let count = call.batch * len / channels.max(1);
            mean.fill(0.0);
            variance.fill(0.0);
            add_pixels(image_groups(call), len, y, channels, mean);
            divide(mean, count);
            share_rows(variance, 1, y.len(), |own, sum| {
                for group in image_groups(call) {
                    run(
                        group.lanes,
                        AddSquares {
                            x: group.of(y, len),
                            channels,
                            first_channel: own.start,
                            mean,
                            sum: &mut *sum,
                        },
                    );
                }
            });
            divide(variance, count);
            invert(variance, epsilon, inverse);
            multiply(inverse, gamma, scale);
            normalize(call, y, (mean, scale, beta));
        }
        _ => {
            let (mean, variance) = moving.split_at_checked(channels)?;
            let scale = saved.get_mut(..channels)?;
            invert(variance, epsilon, scale);
            for (scale, gamma) in scale.iter_mut().zip(gamma) {
                *scale *= gamma;
            }
            normalize(call, y, (mean, scale, beta));
        }
    }
    Some(())
}

fn invert(variance: &[f32], epsilon: f32, inverse: &mut [f32]) {
    for (inverse, variance) in inverse.iter_mut().zip(variance) {
        *inverse = 1.0 / math::sqrt(variance + epsilon);
    }
}

fn multiply(a: &[f32], b: &[f32], product: &mut [f32]) {
    for (product, (a, b)) in product.iter_mut().zip(a.iter().zip(b)) {
        *product = a * b;
    }
}

fn normalize(call: Call<'_>, y: &mut [f32], (mean, scale, shift): (&[f32], &[f32], &[f32])) {
    each(call, y, |group, y| {
        let (lanes, _) = across_channels(group.lanes, mean.len());
        run_across_channels(
            lanes,
            Normalize {
                single: group.lanes == 1,
                mean,
                scale,
                shift,
                y,
            },
        );
    });
}

/// The gradients of gamma and beta, and the step of the moving statistics.
pub(super) fn backward_weights(
    call: Call<'_>,
    momentum: f32,
    (x, dy): (&[f32], &[f32]),
    saved: &mut [f32],
    gradients: &mut [f32],
    moving: &mut [f32],
) -> Option<()> {
    let channels = call.layer.output.channels as usize;
    if call.layer.is_frozen() {
        return Some(());
    }
    let [mean, inverse, variance, other] = vectors(saved, channels)?;
    let len = call.layer.output.len();
    let count = call.batch * len / channels.max(1);
    let unbiased = if call.layer.has_flat_output() {
        1.0
    } else {
        count as f32 / count.saturating_sub(1).max(1) as f32
    };
    let (moving_mean, moving_variance) = moving.split_at_mut_checked(channels)?;
    follow(moving_mean, mean, momentum, 1.0);
    follow(moving_variance, variance, momentum, unbiased);

    let (sum, normalized) = (variance, other);
    sum.fill(0.0);
    normalized.fill(0.0);
    add_pixels(image_groups(call), len, dy, channels, sum);
    share_rows(normalized, 1, dy.len(), |own, sum| {
        for group in image_groups(call) {
            run(
                group.lanes,
                AddNormalized {
                    x: group.of(x, len),
                    dy: group.of(dy, len),
                    channels,
                    first_channel: own.start,
                    mean,
                    inverse,
                    sum: &mut *sum,
                },
            );
        }
    });
    let (dgamma, dbeta) = gradients.split_at_mut_checked(channels)?;
    elementwise::add(normalized, dgamma);
    elementwise::add(sum, dbeta);
    Some(())
}

/// A statistic that is not finite is not followed: the loss will tell.
fn follow(moving: &mut [f32], batch: &[f32], momentum: f32, factor: f32) {
    for (moving, batch) in moving.iter_mut().zip(batch) {
        let next = *moving * momentum + batch * factor * (1.0 - momentum);
        if next.is_finite() {
            *moving = next;
        }
    }
}

pub(super) fn backward_input(
    call: Call<'_>,
    x: &[f32],
    saved: &mut [f32],
    gradient: &mut [f32],
) -> Option<()> {
    let channels = call.layer.output.channels as usize;
    let len = call.layer.output.len();
    if call.layer.is_frozen() {
        let scale = saved.get(..channels)?;
        each(call, gradient, |group, gradient| {
            run(group.lanes, ScaleChannels { scale, gradient });
        });
        return Some(());
    }
    let [mean, scale, mean_gradient, slope] = vectors(saved, channels)?;
    let count = call.batch * len / channels.max(1);
    divide(mean_gradient, count);
    divide(slope, count);
    let (gamma, _) = call.weights.split_at_checked(channels)?;
    for ((slope, scale), gamma) in slope.iter_mut().zip(scale.iter_mut()).zip(gamma) {
        *slope *= *scale;
        *scale *= gamma;
    }
    each(call, gradient, |group, gradient| {
        run(
            group.lanes,
            NormalizeBackward {
                x: group.of(x, len),
                mean,
                mean_gradient,
                slope,
                scale,
                gradient,
            },
        );
    });
    Some(())
}
