//! The functions of [`super::matrix`] for vectors of any width: the same terms in the same order.

use fearless_simd::{Level, Simd, SimdBase, SimdFloat, dispatch, f32x4, f32x8};

use super::threads::share_rows;

/// Rows that are worked on together: one load serves all of them, and their sums do not wait for each other.
const ROWS: usize = 8;

/// Vectors side by side in a row that are worked on together.
const WIDE: usize = 2;

/// Sums of one vector each that are worked on together.
const MANY: usize = 8;

/// See [`super::matrix::multiply`].
pub(super) fn multiply(
    level: Level,
    x: &[f32],
    w: &[f32],
    bias: &[f32],
    (inputs, outputs): (usize, usize),
    y: &mut [f32],
) {
    let work = y.len() * inputs;
    share_rows(y, outputs, work, |rows, y| {
        let x = &x[rows.start * inputs..rows.end * inputs];
        dispatch!(level, simd => multiply_rows(simd, x, w, bias, (inputs, outputs), y));
    });
}

#[inline(always)]
fn multiply_rows<S: Simd>(
    simd: S,
    x: &[f32],
    w: &[f32],
    bias: &[f32],
    (inputs, outputs): (usize, usize),
    y: &mut [f32],
) {
    for y in y.chunks_exact_mut(outputs) {
        match bias {
            [] => y.fill(0.0),
            bias => y.copy_from_slice(bias),
        }
    }
    let sizes = (inputs, outputs);
    let wide = WIDE * S::f32s::LEN;
    let mut first = 0;
    while first + wide <= outputs {
        columns::<S, S::f32s, ROWS, WIDE>(simd, x, w, sizes, first, y);
        first += wide;
    }
    while first + S::f32s::LEN <= outputs {
        columns::<S, S::f32s, MANY, 1>(simd, x, w, sizes, first, y);
        first += S::f32s::LEN;
    }
    if S::f32s::LEN > 8 && first + 8 <= outputs {
        columns::<S, f32x8<S>, MANY, 1>(simd, x, w, sizes, first, y);
        first += 8;
    }
    if S::f32s::LEN > 4 && first + 4 <= outputs {
        columns::<S, f32x4<S>, MANY, 1>(simd, x, w, sizes, first, y);
        first += 4;
    }
    while first < outputs {
        column::<MANY>(x, w, sizes, first, y);
        first += 1;
    }
}

/// `C` vectors of columns, all rows.
#[inline(always)]
fn columns<S: Simd, V: SimdFloat<S, Element = f32>, const R: usize, const C: usize>(
    simd: S,
    x: &[f32],
    w: &[f32],
    (inputs, outputs): (usize, usize),
    first: usize,
    y: &mut [f32],
) {
    let mut x = x.chunks_exact(R * inputs);
    let mut y = y.chunks_exact_mut(R * outputs);
    for (x, y) in (&mut x).zip(&mut y) {
        columns_of_rows::<S, V, R, C>(simd, x, w, (inputs, outputs), first, y);
    }
    let x = x.remainder().chunks_exact(inputs);
    for (x, y) in x.zip(y.into_remainder().chunks_exact_mut(outputs)) {
        columns_of_rows::<S, V, 1, C>(simd, x, w, (inputs, outputs), first, y);
    }
}

#[inline(always)]
fn columns_of_rows<S: Simd, V: SimdFloat<S, Element = f32>, const R: usize, const C: usize>(
    simd: S,
    x: &[f32],
    w: &[f32],
    (inputs, outputs): (usize, usize),
    first: usize,
    y: &mut [f32],
) {
    let mut sums: [[V; C]; R] = std::array::from_fn(|r| {
        std::array::from_fn(|c| {
            let at = r * outputs + first + c * V::LEN;
            V::from_slice(simd, &y[at..at + V::LEN])
        })
    });
    let x: [&[f32]; R] = std::array::from_fn(|r| &x[r * inputs..(r + 1) * inputs]);
    for (i, row) in w.chunks_exact(outputs).take(inputs).enumerate() {
        let row = &row[first..first + C * V::LEN];
        let weights: [V; C] =
            std::array::from_fn(|c| V::from_slice(simd, &row[c * V::LEN..(c + 1) * V::LEN]));
        for r in 0..R {
            let x = V::splat(simd, x[r][i]);
            for c in 0..C {
                sums[r][c] += x * weights[c];
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        for (c, sum) in sums.iter().enumerate() {
            let at = r * outputs + first + c * V::LEN;
            sum.store_slice(&mut y[at..at + V::LEN]);
        }
    }
}

/// One column, all rows, `R` sums at a time.
#[inline(always)]
fn column<const R: usize>(
    x: &[f32],
    w: &[f32],
    (inputs, outputs): (usize, usize),
    first: usize,
    y: &mut [f32],
) {
    let groups = x.chunks(R * inputs);
    for (x, y) in groups.zip(y.chunks_mut(R * outputs)) {
        let rows = x.len() / inputs;
        let mut sums = [0.0; R];
        for (r, sum) in sums.iter_mut().enumerate().take(rows) {
            *sum = y[r * outputs + first];
        }
        if rows == R {
            let x: [&[f32]; R] = std::array::from_fn(|r| &x[r * inputs..(r + 1) * inputs]);
            for (i, row) in w.chunks_exact(outputs).take(inputs).enumerate() {
                for r in 0..R {
                    sums[r] += x[r][i] * row[first];
                }
            }
        } else {
            for (x, sum) in x.chunks_exact(inputs).zip(&mut sums) {
                for (x, row) in x.iter().zip(w.chunks_exact(outputs)) {
                    *sum += x * row[first];
                }
            }
        }
        for (r, sum) in sums.iter().enumerate().take(rows) {
            y[r * outputs + first] = *sum;
        }
    }
}

/// See [`super::matrix::multiply_transposed`].
pub(super) fn multiply_transposed(
    level: Level,
    dy: &[f32],
    w: &[f32],
    (inputs, outputs): (usize, usize),
    dx: &mut [f32],
) {
    let work = dx.len() * outputs;
    share_rows(dx, inputs, work, |rows, dx| {
        let dy = &dy[rows.start * outputs..rows.end * outputs];
        dispatch!(level, simd => transposed_rows(simd, dy, w, (inputs, outputs), dx));
    });
}

/// Outputs of which a transposed copy of the weights is made at a time.
const DEPTH: usize = 64;

/// The most lanes of a vector.
const LANES: usize = 16;

#[inline(always)]
fn transposed_rows<S: Simd>(
    simd: S,
    dy: &[f32],
    w: &[f32],
    (inputs, outputs): (usize, usize),
    dx: &mut [f32],
) {
    let lanes = S::f32s::LEN;
    let mut tile = [0.0; DEPTH * LANES];
    for first_output in (0..outputs).step_by(DEPTH) {
        let depth = DEPTH.min(outputs - first_output);
        for first in (0..inputs).step_by(lanes) {
            let width = lanes.min(inputs - first);
            for i in 0..width {
                let at = (first + i) * outputs + first_output;
                for (j, w) in w[at..at + depth].iter().enumerate() {
                    tile[j * lanes + i] = *w;
                }
            }
            let mut dy = dy.chunks_exact(MANY * outputs);
            let mut dx = dx.chunks_exact_mut(MANY * inputs);
            for (dy, dx) in (&mut dy).zip(&mut dx) {
                transposed_tile::<S, MANY>(
                    simd,
                    (dy, outputs, first_output),
                    &tile[..depth * lanes],
                    (dx, inputs, first, width),
                );
            }
            let dy = dy.remainder().chunks_exact(outputs);
            for (dy, dx) in dy.zip(dx.into_remainder().chunks_exact_mut(inputs)) {
                transposed_tile::<S, 1>(
                    simd,
                    (dy, outputs, first_output),
                    &tile[..depth * lanes],
                    (dx, inputs, first, width),
                );
            }
        }
    }
}

#[inline(always)]
fn transposed_tile<S: Simd, const R: usize>(
    simd: S,
    (dy, outputs, first_output): (&[f32], usize, usize),
    tile: &[f32],
    (dx, inputs, first, width): (&mut [f32], usize, usize, usize),
) {
    let lanes = S::f32s::LEN;
    let depth = tile.len() / lanes;
    let mut buffer = [0.0; LANES];
    let mut sums: [S::f32s; R] = std::array::from_fn(|r| {
        if first_output == 0 {
            return S::f32s::splat(simd, 0.0);
        }
        buffer[..width].copy_from_slice(&dx[r * inputs + first..][..width]);
        S::f32s::from_slice(simd, &buffer[..lanes])
    });
    let dy: [&[f32]; R] = std::array::from_fn(|r| &dy[r * outputs + first_output..][..depth]);
    for (j, weights) in tile.chunks_exact(lanes).enumerate() {
        let weights = S::f32s::from_slice(simd, weights);
        for r in 0..R {
            sums[r] += S::f32s::splat(simd, dy[r][j]) * weights;
        }
    }
    for (r, sum) in sums.iter().enumerate() {
        let dx = &mut dx[r * inputs + first..][..width];
        if width == lanes {
            sum.store_slice(dx);
        } else {
            sum.store_slice(&mut buffer[..lanes]);
            dx.copy_from_slice(&buffer[..width]);
        }
    }
}

/// See [`super::matrix::accumulate_outer`].
pub(super) fn accumulate_outer(
    level: Level,
    x: &[f32],
    dy: &[f32],
    (inputs, outputs): (usize, usize),
    dw: &mut [f32],
) {
    let work = x.len() * outputs;
    let (dw, dbias) = dw.split_at_mut(inputs * outputs);
    share_rows(dw, outputs, work, |rows, dw| {
        dispatch!(level, simd => outer_rows(simd, x, dy, (inputs, outputs), rows.start, dw));
    });
    if !dbias.is_empty() {
        for dy in dy.chunks_exact(outputs) {
            for (dbias, dy) in dbias.iter_mut().zip(dy) {
                *dbias += dy;
            }
        }
    }
}

/// The gradients of the weights of the inputs from `first_input` on, as many as `dw` has rows.
#[inline(always)]
fn outer_rows<S: Simd>(
    simd: S,
    x: &[f32],
    dy: &[f32],
    (inputs, outputs): (usize, usize),
    first_input: usize,
    dw: &mut [f32],
) {
    let lanes = S::f32s::LEN;
    let rows = dw.len() / outputs;
    let mut first = 0;
    if outputs >= lanes {
        let wide = WIDE * lanes;
        while first + wide <= outputs {
            outer_columns::<S, S::f32s, WIDE>(
                simd,
                (x, inputs, first_input),
                (dy, outputs, first),
                dw,
            );
            first += wide;
        }
        while first + lanes <= outputs {
            outer_columns::<S, S::f32s, 1>(
                simd,
                (x, inputs, first_input),
                (dy, outputs, first),
                dw,
            );
            first += lanes;
        }
    }
    while first < outputs {
        let columns = MANY.min(outputs - first);
        let mut row = 0;
        while row + lanes <= rows {
            outer_lanes::<S>(
                simd,
                (x, inputs, first_input + row),
                (dy, outputs, first, columns),
                &mut dw[row * outputs..],
            );
            row += lanes;
        }
        for row in row..rows {
            let dw = &mut dw[row * outputs + first..][..columns];
            for (x, dy) in x.chunks_exact(inputs).zip(dy.chunks_exact(outputs)) {
                let x = x[first_input + row];
                for (dw, dy) in dw.iter_mut().zip(&dy[first..first + columns]) {
                    *dw += x * dy;
                }
            }
        }
        first += columns;
    }
}

/// `C` vectors of columns: lanes go across outputs.
#[inline(always)]
fn outer_columns<S: Simd, V: SimdFloat<S, Element = f32>, const C: usize>(
    simd: S,
    (x, inputs, first_input): (&[f32], usize, usize),
    (dy, outputs, first): (&[f32], usize, usize),
    dw: &mut [f32],
) {
    let mut input = first_input;
    let mut groups = dw.chunks_exact_mut(ROWS * outputs);
    for dw in &mut groups {
        outer_block::<S, V, ROWS, C>(simd, (x, inputs, input), (dy, outputs, first), dw);
        input += ROWS;
    }
    for dw in groups.into_remainder().chunks_exact_mut(outputs) {
        outer_block::<S, V, 1, C>(simd, (x, inputs, input), (dy, outputs, first), dw);
        input += 1;
    }
}

#[inline(always)]
fn outer_block<S: Simd, V: SimdFloat<S, Element = f32>, const R: usize, const C: usize>(
    simd: S,
    (x, inputs, input): (&[f32], usize, usize),
    (dy, outputs, first): (&[f32], usize, usize),
    dw: &mut [f32],
) {
    let mut sums: [[V; C]; R] = std::array::from_fn(|r| {
        std::array::from_fn(|c| {
            V::from_slice(simd, &dw[r * outputs + first + c * V::LEN..][..V::LEN])
        })
    });
    for (x, dy) in x.chunks_exact(inputs).zip(dy.chunks_exact(outputs)) {
        let x = &x[input..input + R];
        let dy = &dy[first..first + C * V::LEN];
        let dy: [V; C] =
            std::array::from_fn(|c| V::from_slice(simd, &dy[c * V::LEN..(c + 1) * V::LEN]));
        for r in 0..R {
            let x = V::splat(simd, x[r]);
            for c in 0..C {
                sums[r][c] += x * dy[c];
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        for (c, sum) in sums.iter().enumerate() {
            sum.store_slice(&mut dw[r * outputs + first + c * V::LEN..][..V::LEN]);
        }
    }
}

/// Up to [`MANY`] columns of as many inputs as a vector has lanes: lanes go across inputs.
#[inline(always)]
fn outer_lanes<S: Simd>(
    simd: S,
    (x, inputs, input): (&[f32], usize, usize),
    (dy, outputs, first, columns): (&[f32], usize, usize, usize),
    dw: &mut [f32],
) {
    match columns {
        1 => outer_lanes_of::<S, 1>(simd, (x, inputs, input), (dy, outputs, first), dw),
        2 => outer_lanes_of::<S, 2>(simd, (x, inputs, input), (dy, outputs, first), dw),
        3 => outer_lanes_of::<S, 3>(simd, (x, inputs, input), (dy, outputs, first), dw),
        4 => outer_lanes_of::<S, 4>(simd, (x, inputs, input), (dy, outputs, first), dw),
        5 => outer_lanes_of::<S, 5>(simd, (x, inputs, input), (dy, outputs, first), dw),
        6 => outer_lanes_of::<S, 6>(simd, (x, inputs, input), (dy, outputs, first), dw),
        7 => outer_lanes_of::<S, 7>(simd, (x, inputs, input), (dy, outputs, first), dw),
        _ => outer_lanes_of::<S, MANY>(simd, (x, inputs, input), (dy, outputs, first), dw),
    }
}

#[inline(always)]
fn outer_lanes_of<S: Simd, const N: usize>(
    simd: S,
    (x, inputs, input): (&[f32], usize, usize),
    (dy, outputs, first): (&[f32], usize, usize),
    dw: &mut [f32],
) {
    let lanes = S::f32s::LEN;
    let mut sums: [S::f32s; N] =
        std::array::from_fn(|n| S::f32s::from_fn(simd, |lane| dw[lane * outputs + first + n]));
    for (x, dy) in x.chunks_exact(inputs).zip(dy.chunks_exact(outputs)) {
        let x = S::f32s::from_slice(simd, &x[input..input + lanes]);
        let dy = &dy[first..first + N];
        for (sum, dy) in sums.iter_mut().zip(dy) {
            *sum += x * S::f32s::splat(simd, *dy);
        }
    }
    for (n, sum) in sums.iter().enumerate() {
        for (lane, value) in sum.as_slice().iter().enumerate() {
            dw[lane * outputs + first + n] = *value;
        }
    }
}
