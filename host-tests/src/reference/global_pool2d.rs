//! Pooling over the whole image: `[batch, height, width, channels]` to `[batch, channels]`.

/// The mean of every channel.
pub mod average {
    use ndarray::{Array2, Array4};

    /// `y[n, c] = Σ_ij x[n, i, j, c] / (height · width)`.
    pub fn forward(x: &Array4<f64>) -> Array2<f64> {
        let (batch, height, width, channels) = x.dim();
        let mut y = Array2::zeros((batch, channels));
        for ((n, _, _, c), x) in x.indexed_iter() {
            y[[n, c]] += x / (height * width) as f64;
        }
        y
    }

    /// `dx[n, i, j, c] = dy[n, c] / (height · width)`.
    ///
    /// `input` is the shape of the layer's input.
    pub fn backward(input: (usize, usize, usize, usize), dy: &Array2<f64>) -> Array4<f64> {
        let (_, height, width, _) = input;
        Array4::from_shape_fn(input, |(n, _, _, c)| dy[[n, c]] / (height * width) as f64)
    }
}

/// The largest element of every channel.
pub mod max {
    use ndarray::{Array2, Array4};

    /// `y[n, c] = max_ij x[n, i, j, c]`.
    pub fn forward(x: &Array4<f64>) -> Array2<f64> {
        let (batch, _, _, channels) = x.dim();
        let mut y = Array2::from_elem((batch, channels), f64::NEG_INFINITY);
        for ((n, _, _, c), &x) in x.indexed_iter() {
            y[[n, c]] = y[[n, c]].max(x);
        }
        y
    }

    /// The `m` elements that equal the maximum of their channel get `dy[n, c] / m` each, the others
    /// 0.
    ///
    /// Here Keras differs from its max pooling, which gives all to the first: this layer is a
    /// reduction, and a reduction's gradient is shared among ties. Without ties both give all to
    /// the only maximum.
    pub fn backward(x: &Array4<f64>, dy: &Array2<f64>) -> Array4<f64> {
        let y = forward(x);
        let mut ties = Array2::<f64>::zeros(y.dim());
        for ((n, _, _, c), &x) in x.indexed_iter() {
            if x == y[[n, c]] {
                ties[[n, c]] += 1.0;
            }
        }
        Array4::from_shape_fn(x.dim(), |(n, i, j, c)| {
            if x[[n, i, j, c]] == y[[n, c]] {
                dy[[n, c]] / ties[[n, c]]
            } else {
                0.0
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finite_difference::{assert_agree, gradient};
    use crate::sample;
    use ndarray::{Array4, array};

    #[test]
    fn gradients_are_the_derivatives() {
        let x: Array4<f64> = sample::uniform((2, 3, 4, 2), -1.0, 1.0, 1);
        let dy = sample::uniform((2, 2), -1.0, 1.0, 2);
        let numeric = gradient(&x, |x| (average::forward(x) * &dy).sum());
        assert_agree("average", &average::backward(x.dim(), &dy), &numeric);
        let numeric = gradient(&x, |x| (max::forward(x) * &dy).sum());
        assert_agree("max", &max::backward(&x, &dy), &numeric);
    }

    #[test]
    fn ties_share_the_gradient_of_the_maximum() {
        let x = array![[[[3.0], [-1.0]], [[3.0], [2.0]]]];
        assert_eq!(max::forward(&x), array![[3.0]]);
        assert_eq!(
            max::backward(&x, &array![[5.0]]),
            array![[[[2.5], [0.0]], [[2.5], [0.0]]]]
        );
    }
}
