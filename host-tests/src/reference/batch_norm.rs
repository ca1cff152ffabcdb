//! Batch normalization over the last axis, after Keras.
//!
//! Per channel, with `N` the number of elements that share it: `mean = Σ x / N`,
//! `variance = Σ (x - mean)² / N`, `y = gamma · (x - mean) / sqrt(variance + epsilon) + beta`.

use ndarray::{Array, Array1, Axis, Dimension, RemoveAxis, Zip};

/// The statistics that inference normalizes with, one of each per channel.
#[derive(Clone, Debug)]
pub struct MovingStatistics {
    /// `[channels]`
    pub mean: Array1<f64>,
    /// `[channels]`
    pub variance: Array1<f64>,
}

/// What [`forward_training`] returns.
pub struct Trained<D: Dimension> {
    /// As the input.
    pub y: Array<f64, D>,
    /// The moving statistics after the step.
    pub moving: MovingStatistics,
}

/// What [`backward_training`] and [`backward_inference`] return.
pub struct Gradients<D: Dimension> {
    /// As the input.
    pub dx: Array<f64, D>,
    /// `[channels]`
    pub gamma: Array1<f64>,
    /// `[channels]`
    pub beta: Array1<f64>,
}

/// Normalizes with the batch's own statistics, and moves the moving ones:
/// `moving ← momentum · moving + (1 - momentum) · batch`.
///
/// The variance that normalizes is `Σ (x - mean)² / N`. The one that enters the moving variance has
/// the divisor `max(N - 1, 1)` if `x` has four axes, and `N` if it has fewer, as TensorFlow's
/// kernels have it.
pub fn forward_training<D: RemoveAxis>(
    x: &Array<f64, D>,
    gamma: &Array1<f64>,
    beta: &Array1<f64>,
    moving: &MovingStatistics,
    momentum: f64,
    epsilon: f64,
) -> Trained<D> {
    let batch = batch_statistics(x);
    let elements = (x.len() / gamma.len()) as f64;
    let divisor = if x.ndim() == 4 {
        (elements - 1.0).max(1.0)
    } else {
        elements
    };
    let entering_variance = &batch.variance * elements / divisor;
    let moved = |old: &Array1<f64>, new: &Array1<f64>| old * momentum + new * (1.0 - momentum);
    Trained {
        y: forward_inference(x, gamma, beta, &batch, epsilon),
        moving: MovingStatistics {
            mean: moved(&moving.mean, &batch.mean),
            variance: moved(&moving.variance, &entering_variance),
        },
    }
}

/// With `z = (x - mean) / sqrt(variance + epsilon)` of the batch:
/// `dx = gamma / sqrt(variance + epsilon) · (dy - Σ dy / N - z · Σ (dy z) / N)`, `dgamma = Σ dy z`,
/// `dbeta = Σ dy`.
pub fn backward_training<D: RemoveAxis>(
    x: &Array<f64, D>,
    gamma: &Array1<f64>,
    epsilon: f64,
    dy: &Array<f64, D>,
) -> Gradients<D> {
    let batch = batch_statistics(x);
    let elements = (x.len() / gamma.len()) as f64;
    let mut gradients = backward_inference(x, gamma, &batch, epsilon, dy);
    for channel in 0..gamma.len() {
        let (mean, variance) = (batch.mean[channel], batch.variance[channel]);
        let deviation = (variance + epsilon).sqrt();
        let mean_dy = gradients.beta[channel] / elements;
        let mean_dy_z = gradients.gamma[channel] / elements;
        let channel_axis = Axis(x.ndim() - 1);
        Zip::from(gradients.dx.index_axis_mut(channel_axis, channel))
            .and(x.index_axis(channel_axis, channel))
            .and(dy.index_axis(channel_axis, channel))
            .for_each(|dx, &x, &dy| {
                let z = (x - mean) / deviation;
                *dx = gamma[channel] / deviation * (dy - mean_dy - z * mean_dy_z);
            });
    }
    gradients
}

/// Normalizes with given statistics: `y = gamma · (x - mean) / sqrt(variance + epsilon) + beta`.
pub fn forward_inference<D: RemoveAxis>(
    x: &Array<f64, D>,
    gamma: &Array1<f64>,
    beta: &Array1<f64>,
    moving: &MovingStatistics,
    epsilon: f64,
) -> Array<f64, D> {
    let mut y = x.clone();
    for channel in 0..gamma.len() {
        let deviation = (moving.variance[channel] + epsilon).sqrt();
        y.index_axis_mut(Axis(x.ndim() - 1), channel)
            .mapv_inplace(|x| {
                gamma[channel] * (x - moving.mean[channel]) / deviation + beta[channel]
            });
    }
    y
}

/// With `z = (x - mean) / sqrt(variance + epsilon)` of the given statistics, which are constants
/// here: `dx = gamma / sqrt(variance + epsilon) · dy`, `dgamma = Σ dy z`, `dbeta = Σ dy`.
pub fn backward_inference<D: RemoveAxis>(
    x: &Array<f64, D>,
    gamma: &Array1<f64>,
    moving: &MovingStatistics,
    epsilon: f64,
    dy: &Array<f64, D>,
) -> Gradients<D> {
    let channels = gamma.len();
    let mut gradients = Gradients {
        dx: Array::zeros(x.raw_dim()),
        gamma: Array1::zeros(channels),
        beta: Array1::zeros(channels),
    };
    for channel in 0..channels {
        let deviation = (moving.variance[channel] + epsilon).sqrt();
        let channel_axis = Axis(x.ndim() - 1);
        Zip::from(gradients.dx.index_axis_mut(channel_axis, channel))
            .and(x.index_axis(channel_axis, channel))
            .and(dy.index_axis(channel_axis, channel))
            .for_each(|dx, &x, &dy| {
                let z = (x - moving.mean[channel]) / deviation;
                *dx = gamma[channel] / deviation * dy;
                gradients.gamma[channel] += dy * z;
                gradients.beta[channel] += dy;
            });
    }
    gradients
}

/// Mean and population variance of each channel.
fn batch_statistics<D: RemoveAxis>(x: &Array<f64, D>) -> MovingStatistics {
    let of_channels = x.axis_iter(Axis(x.ndim() - 1));
    let (mean, variance): (Vec<f64>, Vec<f64>) = of_channels
        .map(|values| {
            let elements = values.len() as f64;
            let mean = values.sum() / elements;
            let variance = values.mapv(|x| (x - mean) * (x - mean)).sum() / elements;
            (mean, variance)
        })
        .unzip();
    MovingStatistics {
        mean: mean.into(),
        variance: variance.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finite_difference::{assert_agree, gradient};
    use crate::sample;
    use ndarray::{Array4, array};

    #[test]
    fn gradients_are_the_derivatives() {
        let x: Array4<f64> = sample::uniform((2, 3, 2, 3), -1.0, 2.0, 1);
        let gamma = sample::uniform(3, 0.5, 1.5, 2);
        let beta = sample::uniform(3, -1.0, 1.0, 3);
        let dy = sample::uniform((2, 3, 2, 3), -1.0, 1.0, 4);
        let moving = MovingStatistics {
            mean: Array1::zeros(3),
            variance: Array1::ones(3),
        };
        let loss = |x: &Array4<f64>, gamma: &Array1<f64>, beta: &Array1<f64>| {
            (forward_training(x, gamma, beta, &moving, 0.99, 1e-3).y * &dy).sum()
        };
        let found = backward_training(&x, &gamma, 1e-3, &dy);
        assert_agree("dx", &found.dx, &gradient(&x, |x| loss(x, &gamma, &beta)));
        assert_agree(
            "gamma",
            &found.gamma,
            &gradient(&gamma, |gamma| loss(&x, gamma, &beta)),
        );
        assert_agree(
            "beta",
            &found.beta,
            &gradient(&beta, |beta| loss(&x, &gamma, beta)),
        );
    }

    /// The values 1, 2, 3, 6 have mean 3 and squared deviations 4, 1, 0, 9: population variance
    /// 14/4 = 3.5, unbiased 14/3. From mean 0 and variance 1 with momentum 0.9: mean 0.3; variance
    /// 0.9 + 0.35, or 0.9 + 1.4/3.
    #[test]
    fn moving_variance_is_unbiased_for_images_alone() {
        let moving = MovingStatistics {
            mean: array![0.0],
            variance: array![1.0],
        };
        let rows = array![[1.0], [2.0], [3.0], [6.0]];
        let images = rows.clone().into_shape_with_order((1, 2, 2, 1)).unwrap();
        let (gamma, beta) = (array![1.0], array![0.0]);
        let of_rows = forward_training(&rows, &gamma, &beta, &moving, 0.9, 0.5).moving;
        let of_images = forward_training(&images, &gamma, &beta, &moving, 0.9, 0.5);
        assert!((of_rows.mean[0] - 0.3).abs() < 1e-15);
        assert!((of_rows.variance[0] - 1.25).abs() < 1e-15);
        assert!((of_images.moving.variance[0] - (0.9 + 1.4 / 3.0)).abs() < 1e-15);
        // Normalized by the population variance: (6 - 3) / sqrt(3.5 + 0.5) = 1.5.
        assert!((of_images.y[[0, 1, 1, 0]] - 1.5).abs() < 1e-15);
    }
}
