//! The dense layer of LightLayers (arXiv 2101.02268): its kernel is the product of two thin
//! matrices.

use ndarray::{Array1, Array2};

use super::dense;

/// What [`backward`] returns.
pub struct Gradients {
    /// `[batch, in]`
    pub dx: Array2<f64>,
    /// `[in, rank]`
    pub w1: Array2<f64>,
    /// `[rank, units]`
    pub w2: Array2<f64>,
    /// `[units]`
    pub bias: Array1<f64>,
}

/// `y = x · (s w1) · (s w2) + b` with `s = sqrt(2 / units)`; without a bias, `b = 0`.
///
/// `x` `[batch, in]`, `w1` `[in, rank]`, `w2` `[rank, units]`, `bias` `[units]`; returns
/// `[batch, units]`.
pub fn forward(
    x: &Array2<f64>,
    w1: &Array2<f64>,
    w2: &Array2<f64>,
    bias: Option<&Array1<f64>>,
) -> Array2<f64> {
    let scale = scale(w2);
    let hidden = dense::forward(x, &(w1 * scale), None);
    dense::forward(&hidden, &(w2 * scale), bias)
}

/// With `h = x · (s w1)` and `dh = dy · (s w2)ᵀ`:
/// `dx = dh · (s w1)ᵀ`, `dw1 = s xᵀ · dh`, `dw2 = s hᵀ · dy`, `db[o] = Σ_n dy[n, o]`.
pub fn backward(
    x: &Array2<f64>,
    w1: &Array2<f64>,
    w2: &Array2<f64>,
    dy: &Array2<f64>,
) -> Gradients {
    let scale = scale(w2);
    let hidden = dense::forward(x, &(w1 * scale), None);
    let second = dense::backward(&hidden, &(w2 * scale), dy);
    let first = dense::backward(x, &(w1 * scale), &second.dx);
    Gradients {
        dx: first.dx,
        w1: first.kernel * scale,
        w2: second.kernel * scale,
        bias: second.bias,
    }
}

fn scale(w2: &Array2<f64>) -> f64 {
    let units = w2.ncols();
    (2.0 / units as f64).sqrt()
}
