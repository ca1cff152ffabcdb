//! Labelled images in memory.

use lightlayers::dataset::{Dataset, Target};
use lightlayers::{Buffer, Shape};

use crate::error::{Error, Expected};

/// Images of one shape with their labels, a byte a value, `[height, width, channels]` each.
///
/// As a [`Dataset`] a value `v` is read as `v / 255`, the exact quotient rounded once, in `0..=1`. A reference to it is one as well, so
/// that several parts of one data set share its memory.
///
/// ```
/// use lightlayers::Shape;
/// use lightlayers_datasets::Images;
///
/// let images = Images::new(Shape::image(1, 2, 1), 10, vec![0, 255, 51, 0], vec![7, 3])?;
/// let mut input = [0.0; 2];
/// assert_eq!(images.read_scaled(1, &mut input), Ok(3));
/// assert_eq!(input, [0.2, 0.0]);
/// # Ok::<(), lightlayers_datasets::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Images {
    shape: Shape,
    classes: usize,
    pixels: Vec<u8>,
    labels: Vec<u8>,
}

impl Images {
    /// Images one after another, and the class of each.
    ///
    /// # Errors
    ///
    /// [`Error::Memory`] if there are not `shape.len()` values for every label, or a label is not below `classes`.
    pub fn new(
        shape: Shape,
        classes: usize,
        pixels: Vec<u8>,
        labels: Vec<u8>,
    ) -> Result<Self, Error> {
        let check = |what, expected: Expected, found| {
            if expected.holds(found) {
                Ok(())
            } else {
                Err(Error::Memory {
                    what,
                    expected,
                    found,
                })
            }
        };
        let values = labels.len() as u64 * shape.len() as u64;
        check(
            "values of all images",
            Expected::Exactly(values),
            pixels.len() as u64,
        )?;
        check("classes", Expected::AtLeast(1), classes as u64)?;
        if let Some(largest) = labels.iter().max() {
            let expected = Expected::AtMost(classes as u64 - 1);
            check("the largest label", expected, u64::from(*largest))?;
        }
        Ok(Self {
            shape,
            classes,
            pixels,
            labels,
        })
    }

    /// The shape of every image.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// True without any image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The bytes of an image; none past the end.
    pub fn image(&self, index: usize) -> Option<&[u8]> {
        let start = index.checked_mul(self.shape.len())?;
        self.pixels.get(start..)?.get(..self.shape.len())
    }

    /// The labels of all images.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// How many images each class has.
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes];
        for label in &self.labels {
            if let Some(count) = counts.get_mut(usize::from(*label)) {
                *count += 1;
            }
        }
        counts
    }

    /// Reads the image at `index` as `v / 255` into `input`, and returns its label.
    ///
    /// # Errors
    ///
    /// [`lightlayers::Error::Index`] past the end, [`lightlayers::Error::Length`] if `input` is not as long as an image.
    pub fn read_scaled(&self, index: usize, input: &mut [f32]) -> Result<u8, lightlayers::Error> {
        let (Some(image), Some(label)) = (self.image(index), self.labels.get(index)) else {
            return Err(lightlayers::Error::Index {
                len: self.len(),
                found: index,
            });
        };
        if input.len() != image.len() {
            return Err(lightlayers::Error::Length {
                buffer: Buffer::Input,
                expected: image.len(),
                found: input.len(),
            });
        }
        for (scaled, value) in input.iter_mut().zip(image) {
            *scaled = f32::from(*value) / 255.0;
        }
        Ok(*label)
    }

    pub(crate) fn empty(shape: Shape, classes: usize) -> Self {
        Self {
            shape,
            classes,
            pixels: Vec::new(),
            labels: Vec::new(),
        }
    }

    /// Adds the images of `other`, which are of the same shape and classes.
    pub(crate) fn append(&mut self, other: Self) {
        debug_assert_eq!((self.shape, self.classes), (other.shape, other.classes));
        if self.is_empty() {
            *self = other;
        } else {
            self.pixels.extend(other.pixels);
            self.labels.extend(other.labels);
        }
    }
}

impl Dataset for &Images {
    type Error = lightlayers::Error;

    fn len(&self) -> usize {
        self.labels.len()
    }

    fn read(
        &mut self,
        index: usize,
        input: &mut [f32],
        target: &mut Target<'_>,
    ) -> Result<(), Self::Error> {
        target.set_class(usize::from(self.read_scaled(index, input)?));
        Ok(())
    }
}

impl Dataset for Images {
    type Error = lightlayers::Error;

    fn len(&self) -> usize {
        self.labels.len()
    }

    fn read(
        &mut self,
        index: usize,
        input: &mut [f32],
        target: &mut Target<'_>,
    ) -> Result<(), Self::Error> {
        Dataset::read(&mut &*self, index, input, target)
    }
}
