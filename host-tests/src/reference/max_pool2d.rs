//! Max pooling.

use ndarray::Array4;

use super::window::Window;

/// `y[n, r, q, c]` = the largest `x[n, i, j, c]` of the window at `(r, q)`; padding never wins.
///
/// `x` `[batch, height, width, channels]`, `pool` `[height, width]`;
/// returns `[batch, output height, output width, channels]`.
pub fn forward(x: &Array4<f64>, pool: [usize; 2], window: &Window) -> Array4<f64> {
    let (batch, height, width, channels) = x.dim();
    let [rows, columns] = window.output_size([height, width], pool);
    Array4::from_shape_fn((batch, rows, columns, channels), |(n, row, column, c)| {
        let [i, j] = position_of_maximum(x, pool, window, [n, row, column, c]);
        x[[n, i, j, c]]
    })
}

/// The whole of `dy[n, r, q, c]` goes to the first largest element of its window, in row-major
/// order.
pub fn backward(
    x: &Array4<f64>,
    pool: [usize; 2],
    window: &Window,
    dy: &Array4<f64>,
) -> Array4<f64> {
    let mut dx = Array4::zeros(x.dim());
    for ((n, row, column, c), dy) in dy.indexed_iter() {
        let [i, j] = position_of_maximum(x, pool, window, [n, row, column, c]);
        dx[[n, i, j, c]] += dy;
    }
    dx
}

/// `[row, column]` in the input of the first largest element of a window.
fn position_of_maximum(
    x: &Array4<f64>,
    pool: [usize; 2],
    window: &Window,
    [n, row, column, c]: [usize; 4],
) -> [usize; 2] {
    let (_, height, width, _) = x.dim();
    let cells = window.cells([height, width], pool, [row, column]);
    let mut best = cells[0].input;
    for cell in cells {
        let [i, j] = cell.input;
        if x[[n, i, j, c]] > x[[n, best[0], best[1], c]] {
            best = [i, j];
        }
    }
    best
}
