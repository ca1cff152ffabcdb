//! Mean squared error, after Keras.

use ndarray::{Array1, Array2};

/// What [`forward`] returns.
pub struct Loss {
    /// `[batch]`
    pub per_example: Array1<f64>,
    /// The mean over the batch.
    pub mean: f64,
}

/// `loss[n] = Σ_o (y[n, o] - t[n, o])² / outputs`, then the mean over the batch.
///
/// `y` and `target` `[batch, outputs]`.
pub fn forward(y: &Array2<f64>, target: &Array2<f64>) -> Loss {
    let (batch, outputs) = y.dim();
    assert_eq!(target.dim(), (batch, outputs), "shape of the target");
    let mut per_example = Array1::zeros(batch);
    for n in 0..batch {
        for o in 0..outputs {
            let difference = y[[n, o]] - target[[n, o]];
            per_example[n] += difference * difference / outputs as f64;
        }
    }
    Loss {
        mean: per_example.sum() / batch as f64,
        per_example,
    }
}

/// The gradient of the mean loss: `dy[n, o] = 2 (y[n, o] - t[n, o]) / (outputs · batch)`.
pub fn backward(y: &Array2<f64>, target: &Array2<f64>) -> Array2<f64> {
    let (batch, outputs) = y.dim();
    Array2::from_shape_fn((batch, outputs), |(n, o)| {
        2.0 * (y[[n, o]] - target[[n, o]]) / (outputs * batch) as f64
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finite_difference::{assert_agree, gradient};
    use crate::sample;
    use ndarray::array;

    /// Differences 1, 2 and 0, -4: squares 1, 4 and 0, 16; means 2.5 and 8; their mean 5.25.
    #[test]
    fn loss_by_hand() {
        let loss = forward(
            &array![[1.0, 5.0], [2.0, -1.0]],
            &array![[0.0, 3.0], [2.0, 3.0]],
        );
        assert_eq!(loss.per_example, array![2.5, 8.0]);
        assert_eq!(loss.mean, 5.25);
    }

    #[test]
    fn gradient_is_the_derivative() {
        let y = sample::uniform((3, 4), -2.0, 2.0, 1);
        let target = sample::uniform((3, 4), -2.0, 2.0, 2);
        let numeric = gradient(&y, |y| forward(y, &target).mean);
        assert_agree("dy", &backward(&y, &target), &numeric);
    }
}
