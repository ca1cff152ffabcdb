//! The convolution of LightLayers (arXiv 2101.02268): through `rank` channels, with a ReLU between
//! the two.

use ndarray::{Array1, Array4};

use super::activation::relu;
use super::conv2d;
use super::window::Window;

/// What [`backward`] returns.
pub struct Gradients {
    /// `[batch, height, width, channels]`
    pub dx: Array4<f64>,
    /// `[kernel height, kernel width, channels, rank]`
    pub w1: Array4<f64>,
    /// `[rank]`
    pub b1: Array1<f64>,
    /// `[kernel height, kernel width, rank, filters]`
    pub w2: Array4<f64>,
    /// `[filters]`
    pub b2: Array1<f64>,
}

/// `y = conv(relu(conv(x, w1) + b1), w2) + b2`, both convolutions with the whole window, so that
/// strides and valid padding act twice. Without biases, they are 0.
///
/// `x` `[batch, height, width, channels]`, `w1` `[kernel height, kernel width, channels, rank]`,
/// `w2` `[kernel height, kernel width, rank, filters]`; returns
/// `[batch, output height, output width, filters]`.
pub fn forward(
    x: &Array4<f64>,
    w1: &Array4<f64>,
    b1: Option<&Array1<f64>>,
    w2: &Array4<f64>,
    b2: Option<&Array1<f64>>,
    window: &Window,
) -> Array4<f64> {
    let before_relu = conv2d::forward(x, w1, b1, window);
    conv2d::forward(&relu::forward(&before_relu), w2, b2, window)
}

/// The chain rule through the second convolution, the ReLU (0 where its input is 0), the first
/// convolution.
pub fn backward(
    x: &Array4<f64>,
    w1: &Array4<f64>,
    b1: Option<&Array1<f64>>,
    w2: &Array4<f64>,
    window: &Window,
    dy: &Array4<f64>,
) -> Gradients {
    let before_relu = conv2d::forward(x, w1, b1, window);
    let second = conv2d::backward(&relu::forward(&before_relu), w2, window, dy);
    let first = conv2d::backward(x, w1, window, &relu::backward(&before_relu, &second.dx));
    Gradients {
        dx: first.dx,
        w1: first.kernel,
        b1: first.bias,
        w2: second.kernel,
        b2: second.bias,
    }
}
