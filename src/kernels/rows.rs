//! Slices cut into rows of one length, as `chunks_exact` cuts them.
//!
//! The size hint of `chunks_exact` divides by the length, which `zip` asks for. Where the compiler
//! optimizes for size alone, at `opt-level = "z"`, it does not see that the length is not 0, and links
//! a panic. There, rows are cut off one after another; that takes more instructions than `zip` needs,
//! so it is not done elsewhere. `build.rs` says which it is.

#[cfg(not(lightlayers_smallest))]
pub(crate) use core::slice::{ChunksExact as Rows, ChunksExactMut as RowsMut};

#[cfg(lightlayers_smallest)]
pub(crate) use small::{Rows, RowsMut};

/// The whole rows of `values`; a row has at least one element.
#[inline(always)]
pub(crate) fn rows<T>(values: &[T], len: usize) -> Rows<'_, T> {
    #[cfg(not(lightlayers_smallest))]
    {
        values.chunks_exact(len.max(1))
    }
    #[cfg(lightlayers_smallest)]
    {
        Rows::new(values, len.max(1))
    }
}

/// As [`rows`], mutable.
#[inline(always)]
pub(crate) fn rows_mut<T>(values: &mut [T], len: usize) -> RowsMut<'_, T> {
    #[cfg(not(lightlayers_smallest))]
    {
        values.chunks_exact_mut(len.max(1))
    }
    #[cfg(lightlayers_smallest)]
    {
        RowsMut::new(values, len.max(1))
    }
}

#[cfg(any(lightlayers_smallest, test))]
mod small {
    #[derive(Clone, Debug)]
    pub(crate) struct Rows<'a, T> {
        rest: &'a [T],
        len: usize,
    }

    impl<'a, T> Rows<'a, T> {
        pub(super) fn new(rest: &'a [T], len: usize) -> Self {
            Self { rest, len }
        }
    }

    impl<'a, T> Iterator for Rows<'a, T> {
        type Item = &'a [T];

        #[inline(always)]
        fn next(&mut self) -> Option<&'a [T]> {
            let (row, rest) = self.rest.split_at_checked(self.len)?;
            self.rest = rest;
            Some(row)
        }
    }

    #[derive(Debug)]
    pub(crate) struct RowsMut<'a, T> {
        rest: &'a mut [T],
        len: usize,
    }

    impl<'a, T> RowsMut<'a, T> {
        pub(super) fn new(rest: &'a mut [T], len: usize) -> Self {
            Self { rest, len }
        }
    }

    impl<'a, T> Iterator for RowsMut<'a, T> {
        type Item = &'a mut [T];

        #[inline(always)]
        fn next(&mut self) -> Option<&'a mut [T]> {
            let (row, rest) = core::mem::take(&mut self.rest).split_at_mut_checked(self.len)?;
            self.rest = rest;
            Some(row)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::small::{Rows, RowsMut};

    #[test]
    fn rows_are_exact_chunks() {
        let mut values: Vec<_> = (0..23).collect();
        for len in 1..=24 {
            let chunks: Vec<_> = values.chunks_exact(len).map(<[_]>::to_vec).collect();
            assert!(Rows::new(&values, len).eq(&chunks), "rows of {len}");
            assert!(
                RowsMut::new(&mut values, len).eq(&chunks),
                "mutable rows of {len}"
            );
        }
    }
}
