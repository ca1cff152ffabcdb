//! Where samples come from: flash, a sensor, a card, a file; and where some of them stay, to be learned from again.

mod holdout;
mod mixed;
mod packed;
mod replay;

pub use holdout::Holdout;
pub use mixed::{Minibatch, Mixed, Sample};
pub use packed::PackedImages;
pub use replay::{Element, ReplayBuffer, ReplayMemory, Selection};

/// Samples that can be read one at a time, by index and in any order.
///
/// ```
/// use lightlayers::dataset::{Dataset, Target};
///
/// /// Whether a number is at least a half.
/// struct Halves([f32; 4]);
///
/// impl Dataset for Halves {
///     type Error = core::convert::Infallible;
///
///     fn len(&self) -> usize {
///         self.0.len()
///     }
///
///     fn read(&mut self, index: usize, input: &mut [f32], target: &mut Target<'_>) -> Result<(), Self::Error> {
///         input[0] = self.0[index];
///         target.set_class(usize::from(self.0[index] >= 0.5));
///         Ok(())
///     }
/// }
/// ```
#[expect(
    clippy::len_without_is_empty,
    reason = "an empty data set is an error that training reports"
)]
pub trait Dataset {
    /// Why a sample could not be read; training stops with it.
    type Error;

    /// The number of samples.
    fn len(&self) -> usize;

    /// Reads the sample at `index`, below [`len`](Self::len): all values of `input`, in the layout of the network's input shape, and
    /// the target.
    fn read(
        &mut self,
        index: usize,
        input: &mut [f32],
        target: &mut Target<'_>,
    ) -> Result<(), Self::Error>;
}

impl<D: Dataset + ?Sized> Dataset for &mut D {
    type Error = D::Error;

    fn len(&self) -> usize {
        (**self).len()
    }

    fn read(
        &mut self,
        index: usize,
        input: &mut [f32],
        target: &mut Target<'_>,
    ) -> Result<(), Self::Error> {
        (**self).read(index, input, target)
    }
}

/// What the network should answer to a sample: one element per output.
#[derive(Debug)]
pub struct Target<'a> {
    values: &'a mut [f32],
    class: Option<usize>,
}

impl<'a> Target<'a> {
    /// A target to be filled, one element per output: for reading a sample yourself, as [`Trainer`](crate::Trainer) does.
    ///
    /// ```
    /// use lightlayers::dataset::{Dataset, PackedImages, Target};
    ///
    /// let mut images = PackedImages::new(b"LLP4\x01\0\0\0\x01\0\x01\0\x01\0\x02\0\x01\x0f")?;
    /// let (mut input, mut values) = ([0.0], [0.0; 2]);
    /// let mut target = Target::new(&mut values);
    /// images.read(0, &mut input, &mut target)?;
    /// assert_eq!((input, target.class()), ([1.0], Some(1)));
    /// # Ok::<(), lightlayers::Error>(())
    /// ```
    pub fn new(values: &'a mut [f32]) -> Self {
        Self {
            values,
            class: None,
        }
    }

    /// The sample belongs to class `label`: its value is 1, all others are 0.
    ///
    /// A label that is not below the number of outputs is kept, and training stops with an error that names it.
    pub fn set_class(&mut self, label: usize) {
        self.class = Some(label);
        for (class, value) in self.values.iter_mut().enumerate() {
            *value = if class == label { 1.0 } else { 0.0 };
        }
    }

    /// Any target: the values of a regression, or the probabilities of the classes.
    pub fn values_mut(&mut self) -> &mut [f32] {
        self.class = None;
        self.values
    }

    /// The class, if the target is one.
    pub fn class(&self) -> Option<usize> {
        self.class
    }

    /// The values.
    pub fn values(&self) -> &[f32] {
        self.values
    }
}
