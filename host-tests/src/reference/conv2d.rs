//! The two-dimensional convolution (a cross-correlation, as in every deep learning framework).

use ndarray::{Array1, Array4};

use super::window::Window;

/// What [`backward`] returns.
pub struct Gradients {
    /// `[batch, height, width, channels]`
    pub dx: Array4<f64>,
    /// `[kernel height, kernel width, channels, filters]`
    pub kernel: Array4<f64>,
    /// `[filters]`
    pub bias: Array1<f64>,
}

/// `y[n, r, q, f] = b[f] + Σ_(cells) Σ_c x[n, i, j, c] w[k, l, c, f]`, where the cell `(k, l)` of
/// the window at `(r, q)` lies on the input at `(i, j)`; cells on padding add nothing. Without a
/// bias, `b = 0`.
///
/// `x` `[batch, height, width, channels]`, `kernel`
/// `[kernel height, kernel width, channels, filters]`, `bias` `[filters]`; returns
/// `[batch, output height, output width, filters]`.
pub fn forward(
    x: &Array4<f64>,
    kernel: &Array4<f64>,
    bias: Option<&Array1<f64>>,
    window: &Window,
) -> Array4<f64> {
    let (batch, height, width, channels) = x.dim();
    let (kernel_height, kernel_width, kernel_channels, filters) = kernel.dim();
    assert_eq!(channels, kernel_channels, "channels of x and of the kernel");
    let (input_size, kernel_size) = ([height, width], [kernel_height, kernel_width]);
    let [rows, columns] = window.output_size(input_size, kernel_size);
    let mut y = Array4::zeros((batch, rows, columns, filters));
    for ((n, row, column, f), y) in y.indexed_iter_mut() {
        for cell in window.cells(input_size, kernel_size, [row, column]) {
            let ([i, j], [k, l]) = (cell.input, cell.kernel);
            for c in 0..channels {
                *y += x[[n, i, j, c]] * kernel[[k, l, c, f]];
            }
        }
        if let Some(bias) = bias {
            *y += bias[f];
        }
    }
    y
}

/// Every product `x[n, i, j, c] w[k, l, c, f]` of [`forward`] hands `dy[n, r, q, f]` back to its
/// two factors; `db[f] = Σ dy[.., f]`.
pub fn backward(
    x: &Array4<f64>,
    kernel: &Array4<f64>,
    window: &Window,
    dy: &Array4<f64>,
) -> Gradients {
    let (_, height, width, channels) = x.dim();
    let (kernel_height, kernel_width, _, filters) = kernel.dim();
    let (input_size, kernel_size) = ([height, width], [kernel_height, kernel_width]);
    let mut gradients = Gradients {
        dx: Array4::zeros(x.dim()),
        kernel: Array4::zeros(kernel.dim()),
        bias: Array1::zeros(filters),
    };
    for ((n, row, column, f), dy) in dy.indexed_iter() {
        for cell in window.cells(input_size, kernel_size, [row, column]) {
            let ([i, j], [k, l]) = (cell.input, cell.kernel);
            for c in 0..channels {
                gradients.dx[[n, i, j, c]] += dy * kernel[[k, l, c, f]];
                gradients.kernel[[k, l, c, f]] += dy * x[[n, i, j, c]];
            }
        }
        gradients.bias[f] += dy;
    }
    gradients
}

#[cfg(test)]
mod tests {
    use super::super::window::Padding;
    use super::*;
    use crate::finite_difference::{assert_agree, gradient};
    use crate::sample;
    use ndarray::s;

    #[test]
    fn dilation_is_a_kernel_with_zeros_between() {
        for (padding, stride) in [
            (Padding::Same, [1, 1]),
            (Padding::Valid, [1, 1]),
            (Padding::Same, [2, 3]),
        ] {
            let x = sample::uniform((2, 9, 10, 2), -1.0, 1.0, 1);
            let kernel = sample::uniform((3, 2, 2, 3), -1.0, 1.0, 2);
            let mut spread = Array4::zeros((5, 4, 2, 3));
            spread.slice_mut(s![..;2, ..;3, .., ..]).assign(&kernel);
            let undilated = Window::new(stride, padding);
            let dilated = Window {
                dilation: [2, 3],
                ..undilated
            };
            let y = forward(&x, &kernel, None, &dilated);
            assert_agree("y", &y, &forward(&x, &spread, None, &undilated));

            let dy = sample::uniform(y.dim(), -1.0, 1.0, 3);
            let found = backward(&x, &kernel, &dilated, &dy);
            let expected = backward(&x, &spread, &undilated, &dy);
            assert_agree("dx", &found.dx, &expected.dx);
            let expected = expected.kernel.slice(s![..;2, ..;3, .., ..]).to_owned();
            assert_agree("kernel", &found.kernel, &expected);
        }
    }

    #[test]
    fn gradients_are_the_derivatives() {
        let window = Window {
            stride: [2, 1],
            dilation: [1, 2],
            padding: Padding::Same,
        };
        let x = sample::uniform((2, 5, 6, 2), -1.0, 1.0, 1);
        let kernel = sample::uniform((3, 2, 2, 3), -1.0, 1.0, 2);
        let bias = sample::uniform(3, -1.0, 1.0, 3);
        let dy = sample::uniform((2, 3, 6, 3), -1.0, 1.0, 4);
        let loss = |x: &Array4<f64>, kernel: &Array4<f64>, bias: &Array1<f64>| {
            (forward(x, kernel, Some(bias), &window) * &dy).sum()
        };
        let found = backward(&x, &kernel, &window, &dy);
        assert_agree("dx", &found.dx, &gradient(&x, |x| loss(x, &kernel, &bias)));
        assert_agree(
            "kernel",
            &found.kernel,
            &gradient(&kernel, |kernel| loss(&x, kernel, &bias)),
        );
        assert_agree(
            "bias",
            &found.bias,
            &gradient(&bias, |bias| loss(&x, &kernel, bias)),
        );
    }
}
