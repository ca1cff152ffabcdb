//! The dense layer.

use ndarray::{Array1, Array2};

/// What [`backward`] returns.
pub struct Gradients {
    /// `[batch, in]`
    pub dx: Array2<f64>,
    /// `[in, units]`
    pub kernel: Array2<f64>,
    /// `[units]`
    pub bias: Array1<f64>,
}

/// `y[n, o] = b[o] + Σ_i x[n, i] w[i, o]`; without a bias, `b = 0`.
///
/// `x` `[batch, in]`, `kernel` `[in, units]`, `bias` `[units]`; returns `[batch, units]`.
pub fn forward(x: &Array2<f64>, kernel: &Array2<f64>, bias: Option<&Array1<f64>>) -> Array2<f64> {
    let (batch, inputs) = x.dim();
    let units = kernel.ncols();
    assert_eq!(inputs, kernel.nrows(), "inputs of x and of the kernel");
    let mut y = Array2::zeros((batch, units));
    for n in 0..batch {
        for o in 0..units {
            for i in 0..inputs {
                y[[n, o]] += x[[n, i]] * kernel[[i, o]];
            }
            if let Some(bias) = bias {
                y[[n, o]] += bias[o];
            }
        }
    }
    y
}

/// `dx[n, i] = Σ_o dy[n, o] w[i, o]`, `dw[i, o] = Σ_n x[n, i] dy[n, o]`, `db[o] = Σ_n dy[n, o]`.
pub fn backward(x: &Array2<f64>, kernel: &Array2<f64>, dy: &Array2<f64>) -> Gradients {
    let (batch, inputs) = x.dim();
    let units = kernel.ncols();
    assert_eq!(dy.dim(), (batch, units), "shape of dy");
    let mut gradients = Gradients {
        dx: Array2::zeros((batch, inputs)),
        kernel: Array2::zeros((inputs, units)),
        bias: Array1::zeros(units),
    };
    for n in 0..batch {
        for o in 0..units {
            for i in 0..inputs {
                gradients.dx[[n, i]] += dy[[n, o]] * kernel[[i, o]];
                gradients.kernel[[i, o]] += x[[n, i]] * dy[[n, o]];
            }
            gradients.bias[o] += dy[[n, o]];
        }
    }
    gradients
}
