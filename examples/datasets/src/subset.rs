//! A run of samples of a data set.

use std::ops::Range;

use lightlayers::dataset::{Dataset, Target};

use crate::error::Error;

/// Neighbouring samples of a data set, as a data set: the training images without the last ones, the last ones for validation, the first
/// ones for a quick trial.
///
/// ```
/// use lightlayers::Shape;
/// use lightlayers::dataset::Dataset;
/// use lightlayers_datasets::{Images, Subset};
///
/// let images = Images::new(Shape::image(1, 1, 1), 10, vec![0; 100], vec![0; 100])?;
/// let training = Subset::without_last(&images, 20)?;
/// let validation = Subset::last(&images, 20)?;
/// assert_eq!((training.len(), validation.len()), (80, 20));
/// # Ok::<(), lightlayers_datasets::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Subset<D> {
    data: D,
    range: Range<usize>,
}

impl<D: Dataset<Error = lightlayers::Error>> Subset<D> {
    /// The samples of a range.
    ///
    /// # Errors
    ///
    /// [`Error::Part`] if the range goes past the end or backwards.
    pub fn new(data: D, range: Range<usize>) -> Result<Self, Error> {
        if range.start > range.end || range.end > data.len() {
            return Err(Error::Part {
                len: data.len(),
                start: range.start,
                end: range.end,
            });
        }
        Ok(Self { data, range })
    }

    /// The last `samples`.
    ///
    /// # Errors
    ///
    /// [`Error::Part`] if there are not as many.
    pub fn last(data: D, samples: usize) -> Result<Self, Error> {
        let split = Self::split(data.len(), samples)?;
        let end = data.len();
        Self::new(data, split..end)
    }

    /// All but the last `samples`.
    ///
    /// # Errors
    ///
    /// [`Error::Part`] if there are not as many.
    pub fn without_last(data: D, samples: usize) -> Result<Self, Error> {
        let split = Self::split(data.len(), samples)?;
        Self::new(data, 0..split)
    }

    /// At most the first `samples`: all of them if there are not as many.
    pub fn limit(data: D, samples: usize) -> Self {
        let end = samples.min(data.len());
        Self {
            data,
            range: 0..end,
        }
    }

    fn split(len: usize, last: usize) -> Result<usize, Error> {
        len.checked_sub(last).ok_or(Error::Part {
            len,
            start: 0,
            end: last,
        })
    }
}

impl<D: Dataset<Error = lightlayers::Error>> Dataset for Subset<D> {
    type Error = lightlayers::Error;

    fn len(&self) -> usize {
        self.range.len()
    }

    fn read(
        &mut self,
        index: usize,
        input: &mut [f32],
        target: &mut Target<'_>,
    ) -> Result<(), Self::Error> {
        if index >= self.range.len() {
            return Err(lightlayers::Error::Index {
                len: self.range.len(),
                found: index,
            });
        }
        self.data.read(self.range.start + index, input, target)
    }
}
