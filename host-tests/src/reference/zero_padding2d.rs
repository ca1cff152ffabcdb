//! Zeros around an image.

use ndarray::Array4;

/// `y[n, i + top, j + left, c] = x[n, i, j, c]`, and 0 elsewhere.
///
/// `x` `[batch, height, width, channels]`, `padding` `[[top, bottom], [left, right]]`;
/// returns `[batch, top + height + bottom, left + width + right, channels]`.
pub fn forward(x: &Array4<f64>, padding: [[usize; 2]; 2]) -> Array4<f64> {
    let (batch, height, width, channels) = x.dim();
    let [[top, bottom], [left, right]] = padding;
    let mut y = Array4::zeros((batch, top + height + bottom, left + width + right, channels));
    for ((n, i, j, c), x) in x.indexed_iter() {
        y[[n, i + top, j + left, c]] = *x;
    }
    y
}

/// `dx[n, i, j, c] = dy[n, i + top, j + left, c]`: the rim is cut off.
pub fn backward(dy: &Array4<f64>, padding: [[usize; 2]; 2]) -> Array4<f64> {
    let (batch, height, width, channels) = dy.dim();
    let [[top, bottom], [left, right]] = padding;
    let input = (batch, height - top - bottom, width - left - right, channels);
    Array4::from_shape_fn(input, |(n, i, j, c)| dy[[n, i + top, j + left, c]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn rim_is_added_and_cut_off() {
        let x = array![[[[1.0], [2.0]]]];
        let padding = [[1, 0], [0, 2]];
        let y = array![[[[0.0], [0.0], [0.0], [0.0]], [[1.0], [2.0], [0.0], [0.0]]]];
        assert_eq!(forward(&x, padding), y);
        assert_eq!(backward(&(y + 1.0), padding), x + 1.0);
    }
}
