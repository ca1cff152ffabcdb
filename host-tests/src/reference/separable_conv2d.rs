//! The separable convolution: a depthwise convolution, then one of 1x1 that mixes the channels.

use ndarray::{Array1, Array4};

use super::window::{Padding, Window};
use super::{conv2d, depthwise_conv2d};

/// What [`backward`] returns.
pub struct Gradients {
    /// `[batch, height, width, channels]`
    pub dx: Array4<f64>,
    /// `[kernel height, kernel width, channels, depth multiplier]`
    pub depthwise_kernel: Array4<f64>,
    /// `[1, 1, channels · depth multiplier, filters]`
    pub pointwise_kernel: Array4<f64>,
    /// `[filters]`
    pub bias: Array1<f64>,
}

/// The window of the 1x1 convolution.
const POINTWISE: Window = Window {
    stride: [1, 1],
    dilation: [1, 1],
    padding: Padding::Valid,
};

/// `y = conv_1x1(depthwise(x)) + b`: no bias and no activation between the two. Without a bias,
/// `b = 0`.
///
/// `x` `[batch, height, width, channels]`, `depthwise_kernel`
/// `[kernel height, kernel width, channels, M]`, `pointwise_kernel`
/// `[1, 1, channels · M, filters]`, `bias` `[filters]`; returns
/// `[batch, output height, output width, filters]`.
pub fn forward(
    x: &Array4<f64>,
    depthwise_kernel: &Array4<f64>,
    pointwise_kernel: &Array4<f64>,
    bias: Option<&Array1<f64>>,
    window: &Window,
) -> Array4<f64> {
    let hidden = depthwise_conv2d::forward(x, depthwise_kernel, None, window);
    conv2d::forward(&hidden, pointwise_kernel, bias, &POINTWISE)
}

/// The chain rule through the 1x1 convolution, then through the depthwise convolution.
pub fn backward(
    x: &Array4<f64>,
    depthwise_kernel: &Array4<f64>,
    pointwise_kernel: &Array4<f64>,
    window: &Window,
    dy: &Array4<f64>,
) -> Gradients {
    let hidden = depthwise_conv2d::forward(x, depthwise_kernel, None, window);
    let pointwise = conv2d::backward(&hidden, pointwise_kernel, &POINTWISE, dy);
    let depthwise = depthwise_conv2d::backward(x, depthwise_kernel, window, &pointwise.dx);
    Gradients {
        dx: depthwise.dx,
        depthwise_kernel: depthwise.kernel,
        pointwise_kernel: pointwise.kernel,
        bias: pointwise.bias,
    }
}
