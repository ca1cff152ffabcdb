//! Activations: one element in, one element out, but for softmax, which works on rows.
//!
//! Each takes any number of axes. The backward functions take the layer's input `x`.

/// `y = max(x, 0)`.
pub mod relu {
    use ndarray::{Array, Dimension, Zip};

    /// `y = max(x, 0)`.
    pub fn forward<D: Dimension>(x: &Array<f64, D>) -> Array<f64, D> {
        x.mapv(|x| if x > 0.0 { x } else { 0.0 })
    }

    /// `dx = dy` where `x > 0`, else 0: the derivative at 0 is 0.
    pub fn backward<D: Dimension>(x: &Array<f64, D>, dy: &Array<f64, D>) -> Array<f64, D> {
        Zip::from(x)
            .and(dy)
            .map_collect(|&x, &dy| if x > 0.0 { dy } else { 0.0 })
    }
}

/// `y = min(max(x, 0), 6)`.
pub mod relu6 {
    use ndarray::{Array, Dimension, Zip};

    /// `y = min(max(x, 0), 6)`.
    pub fn forward<D: Dimension>(x: &Array<f64, D>) -> Array<f64, D> {
        x.mapv(|x| x.clamp(0.0, 6.0))
    }

    /// `dx = dy` where `0 < x < 6`, else 0: the derivative at 0 and at 6 is 0.
    pub fn backward<D: Dimension>(x: &Array<f64, D>, dy: &Array<f64, D>) -> Array<f64, D> {
        Zip::from(x)
            .and(dy)
            .map_collect(|&x, &dy| if x > 0.0 && x < 6.0 { dy } else { 0.0 })
    }
}

/// `y = x` where `x > 0`, else `slope · x`.
pub mod leaky_relu {
    use ndarray::{Array, Dimension, Zip};

    /// `y = x` where `x > 0`, else `slope · x`.
    pub fn forward<D: Dimension>(x: &Array<f64, D>, slope: f64) -> Array<f64, D> {
        x.mapv(|x| if x > 0.0 { x } else { slope * x })
    }

    /// `dx = dy` where `x > 0`, else `slope · dy`: the derivative at 0 is `slope`.
    pub fn backward<D: Dimension>(
        x: &Array<f64, D>,
        slope: f64,
        dy: &Array<f64, D>,
    ) -> Array<f64, D> {
        Zip::from(x)
            .and(dy)
            .map_collect(|&x, &dy| if x > 0.0 { dy } else { slope * dy })
    }
}

/// `y = 1 / (1 + exp(-x))`.
pub mod sigmoid {
    use ndarray::{Array, Dimension, Zip};

    /// `y = 1 / (1 + exp(-x))`.
    pub fn forward<D: Dimension>(x: &Array<f64, D>) -> Array<f64, D> {
        x.mapv(|x| 1.0 / (1.0 + (-x).exp()))
    }

    /// `dx = y (1 - y) dy`.
    pub fn backward<D: Dimension>(x: &Array<f64, D>, dy: &Array<f64, D>) -> Array<f64, D> {
        let y = forward(x);
        Zip::from(&y)
            .and(dy)
            .map_collect(|&y, &dy| y * (1.0 - y) * dy)
    }
}

/// `y = tanh(x)`.
pub mod tanh {
    use ndarray::{Array, Dimension, Zip};

    /// `y = tanh(x)`.
    pub fn forward<D: Dimension>(x: &Array<f64, D>) -> Array<f64, D> {
        x.mapv(f64::tanh)
    }

    /// `dx = (1 - y²) dy`.
    pub fn backward<D: Dimension>(x: &Array<f64, D>, dy: &Array<f64, D>) -> Array<f64, D> {
        let y = forward(x);
        Zip::from(&y)
            .and(dy)
            .map_collect(|&y, &dy| (1.0 - y * y) * dy)
    }
}

/// `y[i] = exp(x[i]) / Σ_j exp(x[j])` along the last axis.
pub mod softmax {
    use ndarray::{Array, Dimension};

    /// `y[i] = exp(x[i] - m) / Σ_j exp(x[j] - m)` with `m = max_j x[j]`, along the last axis.
    pub fn forward<D: Dimension>(x: &Array<f64, D>) -> Array<f64, D> {
        let mut y = x.clone();
        for mut row in y.rows_mut() {
            let largest = row.fold(f64::NEG_INFINITY, |largest, &x| largest.max(x));
            row.mapv_inplace(|x| (x - largest).exp());
            let sum = row.sum();
            row.mapv_inplace(|exponential| exponential / sum);
        }
        y
    }

    /// `dx[i] = y[i] (dy[i] - Σ_j dy[j] y[j])` along the last axis.
    pub fn backward<D: Dimension>(x: &Array<f64, D>, dy: &Array<f64, D>) -> Array<f64, D> {
        let y = forward(x);
        let mut dx = dy.clone();
        for (mut dx, y) in dx.rows_mut().into_iter().zip(y.rows()) {
            let mut inner_product = 0.0;
            for i in 0..y.len() {
                inner_product += dx[i] * y[i];
            }
            for i in 0..y.len() {
                dx[i] = y[i] * (dx[i] - inner_product);
            }
        }
        dx
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finite_difference::{assert_agree, gradient};
    use crate::sample;
    use ndarray::{Array2, array};

    /// Checks `backward` against central differences of `Σ dy · forward(x)`.
    fn check(
        name: &str,
        low: f64,
        high: f64,
        forward: impl Fn(&Array2<f64>) -> Array2<f64>,
        backward: impl Fn(&Array2<f64>, &Array2<f64>) -> Array2<f64>,
    ) {
        let x = sample::uniform((3, 7), low, high, 1);
        let dy = sample::uniform((3, 7), -1.0, 1.0, 2);
        let numeric = gradient(&x, |x| (&forward(x) * &dy).sum());
        assert_agree(name, &backward(&x, &dy), &numeric);
    }

    #[test]
    fn gradients_are_the_derivatives() {
        check("relu", -2.0, 2.0, relu::forward, relu::backward);
        check("relu6", -9.0, 9.0, relu6::forward, relu6::backward);
        check(
            "leaky_relu",
            -2.0,
            2.0,
            |x| leaky_relu::forward(x, 0.3),
            |x, dy| leaky_relu::backward(x, 0.3, dy),
        );
        check("sigmoid", -4.0, 4.0, sigmoid::forward, sigmoid::backward);
        check("tanh", -3.0, 3.0, tanh::forward, tanh::backward);
        check("softmax", -3.0, 3.0, softmax::forward, softmax::backward);
    }

    #[test]
    fn values_at_known_points() {
        let x = array![[-1.0, 0.0, 1.0, 6.0, 7.0]];
        let ones = array![[1.0, 1.0, 1.0, 1.0, 1.0]];
        assert_eq!(relu::forward(&x), array![[0.0, 0.0, 1.0, 6.0, 7.0]]);
        assert_eq!(relu::backward(&x, &ones), array![[0.0, 0.0, 1.0, 1.0, 1.0]]);
        assert_eq!(relu6::forward(&x), array![[0.0, 0.0, 1.0, 6.0, 6.0]]);
        assert_eq!(
            relu6::backward(&x, &ones),
            array![[0.0, 0.0, 1.0, 0.0, 0.0]]
        );
        assert_eq!(
            leaky_relu::forward(&x, 0.25),
            array![[-0.25, 0.0, 1.0, 6.0, 7.0]]
        );
        assert_eq!(
            leaky_relu::backward(&x, 0.25, &ones),
            array![[0.25, 0.25, 1.0, 1.0, 1.0]]
        );

        // sigmoid(ln 3) = 1 / (1 + 1/3) = 0.75; tanh(ln 3) = (3 - 1/3) / (3 + 1/3) = 0.8.
        let x = array![[3.0_f64.ln()]];
        assert!((sigmoid::forward(&x)[[0, 0]] - 0.75).abs() < 1e-15);
        assert!((tanh::forward(&x)[[0, 0]] - 0.8).abs() < 1e-15);

        // exp(ln 1), exp(ln 2), exp(ln 5) over their sum 8; a shift of all logits changes nothing.
        let x = array![[0.0, 2.0_f64.ln(), 5.0_f64.ln()]] + 1000.0;
        let expected = array![[0.125, 0.25, 0.625]];
        assert!(
            softmax::forward(&x)
                .iter()
                .zip(&expected)
                .all(|(y, e)| (y - e).abs() < 1e-12)
        );
    }
}
