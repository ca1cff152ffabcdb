//! Flatten.

use ndarray::{Array2, Array4};

/// `y[n, (i · width + j) · channels + c] = x[n, i, j, c]`.
///
/// `x` `[batch, height, width, channels]`; returns `[batch, height · width · channels]`.
pub fn forward(x: &Array4<f64>) -> Array2<f64> {
    let (batch, height, width, channels) = x.dim();
    let mut y = Array2::zeros((batch, height * width * channels));
    for ((n, i, j, c), x) in x.indexed_iter() {
        y[[n, (i * width + j) * channels + c]] = *x;
    }
    y
}

/// `dx[n, i, j, c] = dy[n, (i · width + j) · channels + c]`.
///
/// `input` is the shape of the layer's input.
pub fn backward(input: (usize, usize, usize, usize), dy: &Array2<f64>) -> Array4<f64> {
    let (_, _, width, channels) = input;
    Array4::from_shape_fn(input, |(n, i, j, c)| {
        dy[[n, (i * width + j) * channels + c]]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn channels_run_fastest_and_backward_undoes_forward() {
        let x = array![[[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]]];
        let y = forward(&x);
        assert_eq!(y, array![[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]]);
        assert_eq!(backward(x.dim(), &y), x);
    }
}
