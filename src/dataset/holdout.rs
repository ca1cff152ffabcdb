//! A fixed split of a data set.

use super::{Dataset, Target};
use crate::error::Error;

/// One side of a split: every `n`-th sample (the ones at `n - 1`, `2n - 1`, …) is held out for testing, all others are for training.
///
/// ```
/// use lightlayers::dataset::{Dataset, Holdout, PackedImages};
/// # let bytes = include_bytes!("../../examples/data/digits.bin");
///
/// let digits = PackedImages::new(bytes)?;
/// let training = Holdout::training(digits, 5)?;
/// let testing = Holdout::testing(digits, 5)?;
/// assert_eq!((training.len(), testing.len()), (1438, 359));
/// # Ok::<(), lightlayers::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Holdout<D> {
    data: D,
    every: usize,
    testing: bool,
}

impl<D: Dataset> Holdout<D> {
    /// The samples that are not held out.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] if `every` is below 2.
    pub fn training(data: D, every: usize) -> Result<Self, Error> {
        Self::new(data, every, false)
    }

    /// The samples that are held out.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] if `every` is below 2.
    pub fn testing(data: D, every: usize) -> Result<Self, Error> {
        Self::new(data, every, true)
    }

    fn new(data: D, every: usize, testing: bool) -> Result<Self, Error> {
        if every < 2 {
            return Err(Error::OutOfRange {
                what: "the distance of held-out samples",
                range: "2..",
            });
        }
        Ok(Self {
            data,
            every,
            testing,
        })
    }

    /// Where a sample of this side stands in the whole data set; `usize::MAX`, which is past the end of all of them, if that is larger.
    pub fn index_in_whole(&self, index: usize) -> usize {
        if self.testing {
            let start = index.saturating_mul(self.every);
            start.saturating_add(self.every - 1)
        } else {
            index.saturating_add(index.checked_div(self.every - 1).unwrap_or(0))
        }
    }
}

impl<D: Dataset> Dataset for Holdout<D> {
    type Error = D::Error;

    fn len(&self) -> usize {
        let held_out = self.data.len().checked_div(self.every).unwrap_or(0);
        if self.testing {
            held_out
        } else {
            self.data.len() - held_out
        }
    }

    fn read(
        &mut self,
        index: usize,
        input: &mut [f32],
        target: &mut Target<'_>,
    ) -> Result<(), Self::Error> {
        self.data.read(self.index_in_whole(index), input, target)
    }
}
