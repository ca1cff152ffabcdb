//! Plain functions over slices that do the arithmetic. They know neither networks nor layers.
//!
//! **The same bits everywhere**: each function's documentation says in which order the terms of one output element are added. Every
//! path keeps that order, with a separate multiplication and addition: lanes of vectors and threads go across independent
//! output elements, never across the terms of one sum.
//!
//! Without the feature `std` the plain code in this folder is all there is. With it, `vector` holds the same functions for
//! the widest vectors of the processor, and with the feature `parallel` they share the work among threads.

pub(crate) mod convolution;
pub(crate) mod elementwise;
pub(crate) mod int8;
pub(crate) mod lanes;
pub(crate) mod matrix;
pub(crate) mod normalization;
pub(crate) mod pooling;
pub(crate) mod relu;
pub(crate) mod rows;
pub(crate) mod threads;
pub(crate) mod window;

#[cfg(feature = "std")]
mod single_image;
#[cfg(feature = "std")]
mod vector;
#[cfg(feature = "std")]
mod vectors;

#[cfg(feature = "std")]
pub use vectors::Vectors;

#[cfg(feature = "std")]
pub(crate) use vectors::vectorized;

/// Plain loops are all there is.
#[cfg(not(feature = "std"))]
#[inline(always)]
pub(crate) fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    work()
}
