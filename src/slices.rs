//! Elements of slices in constant functions, which have no `get` yet, without the panic of an index.

/// `slice.get(index)`.
pub(crate) const fn get<T>(slice: &[T], index: usize) -> Option<&T> {
    match slice.split_at_checked(index) {
        Some((_, rest)) => rest.first(),
        None => None,
    }
}

/// `slice.get_mut(index)`.
pub(crate) const fn get_mut<T>(slice: &mut [T], index: usize) -> Option<&mut T> {
    match slice.split_at_mut_checked(index) {
        Some((_, rest)) => rest.first_mut(),
        None => None,
    }
}

/// The first `len` elements, or all if there are fewer.
pub(crate) const fn first<T>(slice: &[T], len: usize) -> &[T] {
    match slice.split_at_checked(len) {
        Some((first, _)) => first,
        None => slice,
    }
}

/// `table[index]`. An index past the end is a fault of this crate, which debug builds refuse. In
/// release builds it is the last entry: firmware links no panic.
pub(crate) const fn at<T, const LEN: usize>(table: &[T; LEN], index: usize) -> &T {
    debug_assert!(index < LEN, "the index lies in the table");
    &table[if index < LEN { index } else { LEN - 1 }]
}

/// As [`at`], mutable.
pub(crate) const fn at_mut<T, const LEN: usize>(table: &mut [T; LEN], index: usize) -> &mut T {
    debug_assert!(index < LEN, "the index lies in the table");
    &mut table[if index < LEN { index } else { LEN - 1 }]
}
