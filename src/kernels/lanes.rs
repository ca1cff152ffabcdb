//! Samples side by side: how the layers that work on images use vectors.
//!
//! An image tensor of a batch lies in groups of samples: as many groups of 16 as there are, then groups of 4, and single ones. Within a group the values of the same position stand side by side, `[height, width, channels, lanes]`, so that one
//! vector instruction works on all its samples, whatever the number of channels, and no term of a sum ever meets another lane.
//! Without the feature `std` every group is a single sample, and the layout is plain `[batch, height, width, channels]`.
//!
//! Vectors of features, whose height and width are 1, always lie sample after sample.

use crate::shape::Shape;

/// A value of each sample of a group.
pub(crate) trait Lanes: Copy {
    /// The proof that the processor has the instructions.
    type Token: Copy;

    /// The samples of a group.
    const COUNT: usize;

    fn splat(token: Self::Token, value: f32) -> Self;
    /// Of the first [`COUNT`](Self::COUNT) values.
    fn load(token: Self::Token, values: &[f32]) -> Self;
    fn store(self, values: &mut [f32]);
    fn add(self, other: Self) -> Self;
    fn subtract(self, other: Self) -> Self;
    fn multiply(self, other: Self) -> Self;
    /// `yes` in the lanes where `self` is greater than `other`, else `no`.
    fn where_greater(self, other: Self, yes: Self, no: Self) -> Self;
    /// The larger one; a NaN if one of them is.
    fn maximum(self, other: Self) -> Self;
}

impl<const N: usize> Lanes for [f32; N] {
    type Token = ();

    const COUNT: usize = N;

    #[inline(always)]
    fn splat((): (), value: f32) -> Self {
        [value; N]
    }

    #[inline(always)]
    fn load((): (), values: &[f32]) -> Self {
        values.first_chunk().copied().unwrap_or([0.0; N])
    }

    #[inline(always)]
    fn store(self, values: &mut [f32]) {
        if let Some(values) = values.first_chunk_mut() {
            *values = self;
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        zip(self, other, |a, b| a + b)
    }

    #[inline(always)]
    fn subtract(self, other: Self) -> Self {
        zip(self, other, |a, b| a - b)
    }

    #[inline(always)]
    fn multiply(self, other: Self) -> Self {
        zip(self, other, |a, b| a * b)
    }

    #[inline(always)]
    fn where_greater(self, other: Self, yes: Self, no: Self) -> Self {
        let mut result = no;
        for (i, value) in result.iter_mut().enumerate() {
            if let (Some(a), Some(b), Some(yes)) = (self.get(i), other.get(i), yes.get(i))
                && a > b
            {
                *value = *yes;
            }
        }
        result
    }

    #[inline(always)]
    fn maximum(self, other: Self) -> Self {
        zip(self, other, |a, b| if b > a || b.is_nan() { b } else { a })
    }
}

#[inline(always)]
fn zip<const N: usize>(mut a: [f32; N], b: [f32; N], f: impl Fn(f32, f32) -> f32) -> [f32; N] {
    for (a, b) in a.iter_mut().zip(b) {
        *a = f(*a, b);
    }
    a
}

#[cfg(feature = "std")]
macro_rules! vector_lanes {
    ($vector:ident, $count:literal) => {
        impl<S: fearless_simd::Simd> Lanes for fearless_simd::$vector<S> {
            type Token = S;

            const COUNT: usize = $count;

            #[inline(always)]
            fn splat(token: S, value: f32) -> Self {
                fearless_simd::SimdBase::splat(token, value)
            }

            #[inline(always)]
            fn load(token: S, values: &[f32]) -> Self {
                fearless_simd::SimdBase::from_slice(token, &values[..$count])
            }

            #[inline(always)]
            fn store(self, values: &mut [f32]) {
                fearless_simd::SimdBase::store_slice(&self, &mut values[..$count]);
            }

            #[inline(always)]
            fn add(self, other: Self) -> Self {
                self + other
            }

            #[inline(always)]
            fn subtract(self, other: Self) -> Self {
                self - other
            }

            #[inline(always)]
            fn multiply(self, other: Self) -> Self {
                self * other
            }

            #[inline(always)]
            fn where_greater(self, other: Self, yes: Self, no: Self) -> Self {
                use fearless_simd::prelude::*;
                self.simd_gt(other).select(yes, no)
            }

            #[inline(always)]
            fn maximum(self, other: Self) -> Self {
                use fearless_simd::prelude::*;
                let larger = other.simd_gt(self).select(other, self);
                other.simd_eq(other).select(larger, other)
            }
        }
    };
}

#[cfg(feature = "std")]
vector_lanes!(f32x4, 4);
#[cfg(feature = "std")]
vector_lanes!(f32x8, 8);
#[cfg(feature = "std")]
vector_lanes!(f32x16, 16);

/// The `at`-th value of each lane in a row of them. Without the panic of an index, which is not linked then.
#[inline(always)]
pub(crate) fn load_nth<V: Lanes>(token: V::Token, values: &[f32], at: usize) -> V {
    V::load(token, values.get(at * V::COUNT..).unwrap_or_default())
}

/// The parts of `len` values of two tensors that belong together. Zipped chunks would link the panic of a division by 0.
#[inline(always)]
pub(crate) fn parts<'a, A, B>(
    a: &'a [A],
    b: &'a [B],
    len: usize,
) -> impl Iterator<Item = (&'a [A], &'a [B])> {
    let mut rest = (a, b);
    core::iter::from_fn(move || {
        let (first, others) = rest.0.split_at_checked(len)?;
        let (second, other_others) = rest.1.split_at_checked(len)?;
        rest = (others, other_others);
        Some((first, second))
    })
}

/// Arithmetic on one group, for any number of lanes.
pub(crate) trait Kernel {
    fn run<V: Lanes>(self, token: V::Token);
}

/// Runs a kernel on a group of `lanes` samples.
#[inline(always)]
pub(crate) fn run(lanes: usize, kernel: impl Kernel) {
    #[cfg(feature = "std")]
    if lanes > 1 {
        return run_vector::<false>(lanes, kernel);
    }
    let _ = lanes;
    kernel.run::<[f32; 1]>(());
}

/// The same for the lanes that [`across_channels`] gives.
#[inline(always)]
pub(crate) fn run_across_channels(lanes: usize, kernel: impl Kernel) {
    #[cfg(feature = "std")]
    if lanes > 1 {
        return run_vector::<true>(lanes, kernel);
    }
    let _ = lanes;
    kernel.run::<[f32; 1]>(());
}

/// No group has `EIGHT` samples.
#[cfg(feature = "std")]
fn run_vector<const EIGHT: bool>(lanes: usize, kernel: impl Kernel) {
    use fearless_simd::{Simd, dispatch, f32x4, f32x8, f32x16};

    #[inline(always)]
    fn on<S: Simd, const EIGHT: bool>(simd: S, lanes: usize, kernel: impl Kernel) {
        match lanes {
            16 => kernel.run::<f32x16<S>>(simd),
            8 if EIGHT => kernel.run::<f32x8<S>>(simd),
            _ => kernel.run::<f32x4<S>>(simd),
        }
    }

    match super::vectors::level() {
        Some(level) => dispatch!(level, simd => on::<_, EIGHT>(simd, lanes, kernel)),
        None => match lanes {
            16 => kernel.run::<[f32; 16]>(()),
            8 if EIGHT => kernel.run::<[f32; 8]>(()),
            _ => kernel.run::<[f32; 4]>(()),
        },
    }
}

/// The lanes and channels for arithmetic that treats every channel alike: where a group is a single sample, channels take the place of
/// lanes.
#[inline(always)]
pub(crate) fn across_channels(lanes: usize, channels: usize) -> (usize, usize) {
    #[cfg(feature = "std")]
    if lanes == 1 {
        let lanes = [16, 8, 4]
            .into_iter()
            .find(|lanes| channels.is_multiple_of(*lanes));
        let lanes = lanes.unwrap_or(1);
        return (lanes, channels / lanes);
    }
    (lanes, channels)
}

/// The most samples of a group.
#[cfg(feature = "std")]
pub(crate) const MOST: usize = 16;
/// The most samples of a group.
#[cfg(not(feature = "std"))]
pub(crate) const MOST: usize = 1;

/// Adds the samples of a group to a value, one after another.
#[inline(always)]
pub(crate) fn add_lanes<V: Lanes>(sums: V, value: &mut f32) {
    let mut lanes = [0.0; MOST];
    sums.store(&mut lanes);
    for lane in lanes.iter().take(V::COUNT) {
        *value += lane;
    }
}

/// The samples of a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub(crate) first: usize,
    pub(crate) lanes: usize,
}

impl Group {
    /// The group's part of a tensor with `len` values per sample.
    #[inline(always)]
    pub(crate) fn of<'a>(&self, tensor: &'a [f32], len: usize) -> &'a [f32] {
        let start = self.first * len;
        tensor
            .get(start..start + self.lanes * len)
            .unwrap_or_default()
    }

    /// The same, to change it.
    #[inline(always)]
    pub(crate) fn of_mut<'a>(&self, tensor: &'a mut [f32], len: usize) -> &'a mut [f32] {
        let start = self.first * len;
        tensor
            .get_mut(start..start + self.lanes * len)
            .unwrap_or_default()
    }
}

/// The groups of a batch, in order.
pub(crate) fn groups(batch: usize) -> impl Iterator<Item = Group> + Clone + Send + Sync {
    let mut first = 0;
    core::iter::from_fn(move || {
        let rest = batch - first;
        let lanes = match rest {
            0 => return None,
            #[cfg(feature = "std")]
            16.. => 16,
            #[cfg(feature = "std")]
            4.. => 4,
            _ => 1,
        };
        let group = Group { first, lanes };
        first += lanes;
        Some(group)
    })
}

/// Values that are moved at once when samples are put side by side or apart.
#[cfg(feature = "std")]
const BUFFER: usize = 1 << 16;

/// Puts the samples of each group of an image tensor side by side; they lay one after another.
pub(crate) fn interleave(tensor: &mut [f32], shape: Shape, batch: usize) {
    #[cfg(feature = "std")]
    regroup(tensor, shape, batch, true);
    let _ = (tensor, shape, batch);
}

/// Puts the samples of each group of an image tensor one after another; they lay side by side.
pub(crate) fn separate(tensor: &mut [f32], shape: Shape, batch: usize) {
    #[cfg(feature = "std")]
    regroup(tensor, shape, batch, false);
    let _ = (tensor, shape, batch);
}

#[cfg(feature = "std")]
fn regroup(tensor: &mut [f32], shape: Shape, batch: usize, together: bool) {
    let len = shape.len();
    for group in groups(batch).filter(|group| group.lanes > 1) {
        let values = group.of_mut(tensor, len);
        let (rows, columns) = if together {
            (group.lanes, len)
        } else {
            (len, group.lanes)
        };
        transpose(values, rows, columns);
    }
}

/// `[rows, columns]` as `[columns, rows]`, in place.
#[cfg(feature = "std")]
fn transpose(values: &mut [f32], rows: usize, columns: usize) {
    if values.len() <= BUFFER {
        let mut buffer = [0.0; BUFFER];
        let copy = &mut buffer[..values.len()];
        copy.copy_from_slice(values);
        for (column, target) in values.chunks_exact_mut(rows).enumerate() {
            for (row, target) in target.iter_mut().enumerate() {
                *target = copy[row * columns + column];
            }
        }
        return;
    }
    // Too large for the buffer: along the cycles of the permutation, each from its smallest index.
    let last = values.len() - 1;
    // In 64 bits: on a 32-bit target the product overflows from images of 128 x 128 on.
    let (factor, modulus) = (rows as u64, last as u64);
    let next = |at: usize| (at as u64 * factor % modulus) as usize;
    for start in 1..last {
        let mut at = next(start);
        while at > start {
            at = next(at);
        }
        if at < start {
            continue;
        }
        let mut carried = values[start];
        loop {
            at = next(at);
            std::mem::swap(&mut carried, &mut values[at]);
            if at == start {
                break;
            }
        }
    }
}
