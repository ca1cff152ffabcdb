//! The depthwise convolution: every channel has kernels of its own.

use ndarray::{Array1, Array4};

use super::window::Window;

/// What [`backward`] returns.
pub struct Gradients {
    /// `[batch, height, width, channels]`
    pub dx: Array4<f64>,
    /// `[kernel height, kernel width, channels, depth multiplier]`
    pub kernel: Array4<f64>,
    /// `[channels · depth multiplier]`
    pub bias: Array1<f64>,
}

/// `y[n, r, q, c · M + m] = b[c · M + m] + Σ_(cells) x[n, i, j, c] w[k, l, c, m]`, with `M` the
/// depth multiplier, and cells as in [`conv2d`](super::conv2d::forward). Without a bias, `b = 0`.
///
/// `x` `[batch, height, width, channels]`, `kernel` `[kernel height, kernel width, channels, M]`,
/// `bias` `[channels · M]`; returns `[batch, output height, output width, channels · M]`.
pub fn forward(
    x: &Array4<f64>,
    kernel: &Array4<f64>,
    bias: Option<&Array1<f64>>,
    window: &Window,
) -> Array4<f64> {
    let (batch, height, width, channels) = x.dim();
    let (kernel_height, kernel_width, kernel_channels, multiplier) = kernel.dim();
    assert_eq!(channels, kernel_channels, "channels of x and of the kernel");
    let (input_size, kernel_size) = ([height, width], [kernel_height, kernel_width]);
    let [rows, columns] = window.output_size(input_size, kernel_size);
    let mut y = Array4::zeros((batch, rows, columns, channels * multiplier));
    for ((n, row, column, output_channel), y) in y.indexed_iter_mut() {
        let (c, m) = (output_channel / multiplier, output_channel % multiplier);
        for cell in window.cells(input_size, kernel_size, [row, column]) {
            let ([i, j], [k, l]) = (cell.input, cell.kernel);
            *y += x[[n, i, j, c]] * kernel[[k, l, c, m]];
        }
        if let Some(bias) = bias {
            *y += bias[output_channel];
        }
    }
    y
}

/// Every product `x[n, i, j, c] w[k, l, c, m]` of [`forward`] hands `dy[n, r, q, c · M + m]` back
/// to its two factors; the bias gets the sum of `dy` over its channel.
pub fn backward(
    x: &Array4<f64>,
    kernel: &Array4<f64>,
    window: &Window,
    dy: &Array4<f64>,
) -> Gradients {
    let (_, height, width, channels) = x.dim();
    let (kernel_height, kernel_width, _, multiplier) = kernel.dim();
    let (input_size, kernel_size) = ([height, width], [kernel_height, kernel_width]);
    let mut gradients = Gradients {
        dx: Array4::zeros(x.dim()),
        kernel: Array4::zeros(kernel.dim()),
        bias: Array1::zeros(channels * multiplier),
    };
    for ((n, row, column, output_channel), dy) in dy.indexed_iter() {
        let (c, m) = (output_channel / multiplier, output_channel % multiplier);
        for cell in window.cells(input_size, kernel_size, [row, column]) {
            let ([i, j], [k, l]) = (cell.input, cell.kernel);
            gradients.dx[[n, i, j, c]] += dy * kernel[[k, l, c, m]];
            gradients.kernel[[k, l, c, m]] += dy * x[[n, i, j, c]];
        }
        gradients.bias[output_channel] += dy;
    }
    gradients
}
