//! The L2 penalty on weights, after Keras: without the factor one half.

use ndarray::{Array, Dimension};

/// `strength · Σ w²`.
pub fn l2<D: Dimension>(weights: &Array<f64, D>, strength: f64) -> f64 {
    weights
        .iter()
        .map(|weight| strength * weight * weight)
        .sum()
}

/// `2 · strength · w`.
pub fn l2_gradient<D: Dimension>(weights: &Array<f64, D>, strength: f64) -> Array<f64, D> {
    weights.mapv(|weight| 2.0 * strength * weight)
}
