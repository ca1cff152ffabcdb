//! Cross-entropy between target probabilities and the softmax of logits.

use ndarray::{Array1, Array2};

use super::activation::softmax;

/// What [`forward`] returns.
pub struct Loss {
    /// `[batch]`
    pub per_example: Array1<f64>,
    /// The mean over the batch.
    pub mean: f64,
}

/// `loss[n] = -Σ_c t[n, c] log p[n, c]` with `p = softmax(logits)`, then the mean over the batch.
///
/// `logits` and `target` `[batch, classes]`; a row of `target` is a distribution: one-hot, smoothed
/// or soft labels. `log p[n, c] = z[c] - m - log Σ_j exp(z[j] - m)` with `m = max_j z[j]`, so that
/// large logits do no harm.
pub fn forward(logits: &Array2<f64>, target: &Array2<f64>) -> Loss {
    let (batch, classes) = logits.dim();
    assert_eq!(target.dim(), (batch, classes), "shape of the target");
    let mut per_example = Array1::zeros(batch);
    for n in 0..batch {
        let logits = logits.row(n);
        let largest = logits.fold(f64::NEG_INFINITY, |largest, &z| largest.max(z));
        let sum: f64 = logits.iter().map(|z| (z - largest).exp()).sum();
        for c in 0..classes {
            let log_probability = logits[c] - largest - sum.ln();
            per_example[n] -= target[[n, c]] * log_probability;
        }
    }
    Loss {
        mean: per_example.sum() / batch as f64,
        per_example,
    }
}

/// The gradient of the mean loss: `dlogits[n, c] = (p[n, c] · Σ_j t[n, j] - t[n, c]) / batch`; the
/// sum is 1 for a distribution.
pub fn backward(logits: &Array2<f64>, target: &Array2<f64>) -> Array2<f64> {
    let (batch, _) = logits.dim();
    let probabilities = softmax::forward(logits);
    Array2::from_shape_fn(logits.dim(), |(n, c)| {
        let target_sum = target.row(n).sum();
        (probabilities[[n, c]] * target_sum - target[[n, c]]) / batch as f64
    })
}

/// `t[n, c] = 1` where `c` is the label of example `n`, else 0. Returns `[batch, classes]`.
pub fn one_hot(labels: &[usize], classes: usize) -> Array2<f64> {
    assert!(
        labels.iter().all(|&label| label < classes),
        "labels below {classes}"
    );
    Array2::from_shape_fn((labels.len(), classes), |(n, c)| f64::from(labels[n] == c))
}

/// Label smoothing: `t ← t · (1 - smoothing) + smoothing / classes`.
pub fn smooth_labels(target: &Array2<f64>, smoothing: f64) -> Array2<f64> {
    let classes = target.ncols() as f64;
    target.mapv(|target| target * (1.0 - smoothing) + smoothing / classes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finite_difference::{assert_agree, gradient};
    use crate::sample;
    use ndarray::array;

    #[test]
    fn gradient_is_the_derivative() {
        let logits = sample::uniform((3, 5), -3.0, 3.0, 1);
        let soft_labels = softmax::forward(&sample::uniform((3, 5), -1.0, 1.0, 2));
        let unnormalized = sample::uniform((3, 5), 0.0, 1.0, 3);
        for target in [one_hot(&[4, 0, 2], 5), soft_labels, unnormalized] {
            let numeric = gradient(&logits, |logits| forward(logits, &target).mean);
            assert_agree("dlogits", &backward(&logits, &target), &numeric);
        }
    }

    /// Logits ln 1, ln 2, ln 5 give probabilities 1/8, 2/8, 5/8. The label 2 smoothed by 0.3 over
    /// three classes is 0.1, 0.1, 0.8, so the loss is 0.1 ln 8 + 0.1 ln 4 + 0.8 ln 1.6 and the
    /// gradient 0.025, 0.15, -0.175.
    #[test]
    fn smoothed_label_by_hand() {
        let logits = array![[0.0, 2.0_f64.ln(), 5.0_f64.ln()]];
        let target = smooth_labels(&one_hot(&[2], 3), 0.3);
        let loss = forward(&logits, &target);
        let by_hand = 0.1 * 8.0_f64.ln() + 0.1 * 4.0_f64.ln() + 0.8 * 1.6_f64.ln();
        assert!((loss.mean - by_hand).abs() < 1e-14);
        assert_agree(
            "dlogits",
            &backward(&logits, &target),
            &array![[0.025, 0.15, -0.175]],
        );
    }
}
