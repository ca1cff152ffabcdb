//! Derivatives from their definition.

use ndarray::{Array, Dimension};

/// The gradient of a scalar function by central differences:
/// `∂f/∂x[i] ≈ (f(x + h e[i]) - f(x - h e[i])) / 2h`, with `h = 1e-5 · max(1, |x[i]|)`.
///
/// Costs two evaluations of `function` per element. For smooth functions of moderate size the
/// error is about `1e-9`; within `h` of a kink (ReLU, max pooling) the result is meaningless.
pub fn gradient<D: Dimension>(
    at: &Array<f64, D>,
    function: impl Fn(&Array<f64, D>) -> f64,
) -> Array<f64, D> {
    let mut slopes = Vec::with_capacity(at.len());
    for moved in 0..at.len() {
        let step = 1e-5 * at.iter().nth(moved).expect("in range").abs().max(1.0);
        let shifted = |distance: f64| {
            let mut point = at.clone();
            *point.iter_mut().nth(moved).expect("in range") += distance;
            function(&point)
        };
        slopes.push((shifted(step) - shifted(-step)) / (2.0 * step));
    }
    Array::from_shape_vec(at.raw_dim(), slopes).expect("one slope per element")
}

/// Panics unless both gradients have the same shape and agree within `1e-7` of the largest
/// element of `numeric` (of 1, if that is smaller).
pub fn assert_agree<D: Dimension>(name: &str, analytic: &Array<f64, D>, numeric: &Array<f64, D>) {
    assert_eq!(analytic.shape(), numeric.shape(), "shape of {name}");
    let largest = numeric
        .iter()
        .fold(1.0_f64, |largest, value| largest.max(value.abs()));
    for (index, (found, expected)) in analytic.iter().zip(numeric).enumerate() {
        let difference = (found - expected).abs();
        assert!(
            difference <= 1e-7 * largest,
            "{name}[{index}]: expected {expected}, found {found}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn gradient_of_a_cubic() {
        let at = array![[1.0, -2.0], [0.5, 3.0]];
        let numeric = gradient(&at, |x| x.iter().map(|value| value * value * value).sum());
        assert_agree("3x²", &at.mapv(|value| 3.0 * value * value), &numeric);
    }
}
