//! Average pooling.

use ndarray::Array4;

use super::window::Window;

/// `y[n, r, q, c]` = the mean of `x[n, i, j, c]` over the cells of the window at `(r, q)` that lie
/// on the input: padding counts neither in the sum nor in the divisor.
///
/// `x` `[batch, height, width, channels]`, `pool` `[height, width]`;
/// returns `[batch, output height, output width, channels]`.
pub fn forward(x: &Array4<f64>, pool: [usize; 2], window: &Window) -> Array4<f64> {
    let (batch, height, width, channels) = x.dim();
    let [rows, columns] = window.output_size([height, width], pool);
    let mut y = Array4::zeros((batch, rows, columns, channels));
    for ((n, row, column, c), y) in y.indexed_iter_mut() {
        let cells = window.cells([height, width], pool, [row, column]);
        for cell in &cells {
            let [i, j] = cell.input;
            *y += x[[n, i, j, c]] / cells.len() as f64;
        }
    }
    y
}

/// Every cell on the input gets `dy[n, r, q, c]` over the number of those cells.
///
/// `input` is the shape of the layer's input.
pub fn backward(
    input: (usize, usize, usize, usize),
    pool: [usize; 2],
    window: &Window,
    dy: &Array4<f64>,
) -> Array4<f64> {
    let (_, height, width, _) = input;
    let mut dx = Array4::zeros(input);
    for ((n, row, column, c), dy) in dy.indexed_iter() {
        let cells = window.cells([height, width], pool, [row, column]);
        for cell in &cells {
            let [i, j] = cell.input;
            dx[[n, i, j, c]] += dy / cells.len() as f64;
        }
    }
    dx
}
