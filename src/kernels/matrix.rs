//! Products of a batch of vectors with a matrix, row-major.

/// Columns that are summed up together: their sums and one row's weights fit the 32 registers of a Cortex-M4F.
const COLUMNS: usize = 8;

/// `y = x · w + bias`: `x [batch, inputs]`, `w [inputs, outputs]`, `bias [outputs]` or empty for 0, `y [batch, outputs]`.
///
/// Order: the bias, then the terms of input 0, 1, 2, ….
pub(crate) fn multiply(
    x: &[f32],
    w: &[f32],
    bias: &[f32],
    (inputs, outputs): (usize, usize),
    y: &mut [f32],
) {
    for (x, y) in x
        .chunks_exact(inputs.max(1))
        .zip(y.chunks_exact_mut(outputs.max(1)))
    {
        let (blocks, rest) = y.as_chunks_mut::<COLUMNS>();
        let first_of_rest = blocks.len() * COLUMNS;
        for (block, y) in blocks.iter_mut().enumerate() {
            *y = columns(x, w, bias, outputs, block * COLUMNS);
        }
        for (i, y) in rest.iter_mut().enumerate() {
            [*y] = columns(x, w, bias, outputs, first_of_rest + i);
        }
    }
}

/// The outputs `first..first + N` of one sample.
#[inline(always)]
fn columns<const N: usize>(
    x: &[f32],
    w: &[f32],
    bias: &[f32],
    outputs: usize,
    first: usize,
) -> [f32; N] {
    let mut sums = match bias.get(first..).and_then(<[f32]>::first_chunk) {
        Some(bias) => *bias,
        None => [0.0; N],
    };
    let rows = w.get(first..).unwrap_or_default().chunks(outputs.max(1));
    for (x, row) in x.iter().zip(rows) {
        if let Some(row) = row.first_chunk::<N>() {
            for (sum, w) in sums.iter_mut().zip(row) {
                *sum += x * w;
            }
        }
    }
    sums
}

/// `dx = dy · wᵀ`: `dy [batch, outputs]`, `w [inputs, outputs]`, `dx [batch, inputs]`.
///
/// Order: 0, then the terms of output 0, 1, 2, ….
pub(crate) fn multiply_transposed(
    dy: &[f32],
    w: &[f32],
    (inputs, outputs): (usize, usize),
    dx: &mut [f32],
) {
    let outputs = outputs.max(1);
    for (dy, dx) in dy
        .chunks_exact(outputs)
        .zip(dx.chunks_exact_mut(inputs.max(1)))
    {
        for (dx, row) in dx.iter_mut().zip(w.chunks_exact(outputs)) {
            let mut sum = 0.0;
            for (dy, w) in dy.iter().zip(row) {
                sum += dy * w;
            }
            *dx = sum;
        }
    }
}

/// `dw += xᵀ · dy`: `x [batch, inputs]`, `dy [batch, outputs]`, `dw [inputs, outputs]`.
///
/// Order: what `dw` holds, then the terms of sample 0, 1, 2, …; so a batch in parts gives the same bits as in one.
pub(crate) fn accumulate_outer(
    x: &[f32],
    dy: &[f32],
    (inputs, outputs): (usize, usize),
    dw: &mut [f32],
) {
    let outputs = outputs.max(1);
    for (x, dy) in x.chunks_exact(inputs.max(1)).zip(dy.chunks_exact(outputs)) {
        for (x, row) in x.iter().zip(dw.chunks_exact_mut(outputs)) {
            for (dw, dy) in row.iter_mut().zip(dy) {
                *dw += x * dy;
            }
        }
    }
}

/// `sum += Σ rows`: `rows [batch, outputs]`, `sum [outputs]`; nothing if `sum` is empty.
///
/// Order: what `sum` holds, then row 0, 1, 2, ….
pub(crate) fn accumulate_rows(rows: &[f32], sum: &mut [f32]) {
    if sum.is_empty() {
        return;
    }
    for row in rows.chunks_exact(sum.len()) {
        for (sum, value) in sum.iter_mut().zip(row) {
            *sum += value;
        }
    }
}
