//! A fixed number of old samples, kept so that learning goes on without forgetting them.

mod element;
mod memory;

use heapless::vec::VecView;

pub use element::Element;
pub use memory::ReplayMemory;

use memory::Class;

use super::{Dataset, Target};
use crate::error::{Buffer, Error};
use crate::quant::Quantization;
use crate::rng::Rng;

/// Which samples a full [`ReplayBuffer`] keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Selection {
    /// Every sample that was ever offered is kept with the same probability: algorithm R of Vitter, "Random sampling with a reservoir",
    /// 1985. The `n`-th sample takes the place of a random one with probability `capacity / n`.
    ///
    /// Classes have the shares that they have among the samples that were offered.
    Reservoir,
    /// Every class keeps as many samples as the others, or all that it had: class-balancing reservoir sampling (CBRS) of Chrysakis and
    /// Moens, "Online continual learning from imbalanced data", 2020.
    ///
    /// A class that has the most samples in a full buffer is, and stays, full. A sample of another class takes the place of a random one
    /// of the largest class, or the largest ones. A sample of a full class takes the place of a random one of its own with probability
    /// `kept / offered`, both of that class: a reservoir of its own. Which samples of a class are kept is as random as in a reservoir.
    ClassBalanced,
}

/// Old samples that stay in the mix: without them, a network that goes on learning forgets what it no longer sees.
///
/// A small handle over a [`ReplayMemory`], which holds the samples and the counts. It takes samples one after another, by
/// [`offer`](Self::offer); once it is full, its [`Selection`] decides which are kept, at random. As a [`Dataset`] it has the samples that
/// it keeps now; [`Mixed`](super::Mixed) puts some of them into the minibatch of a new one.
///
/// The random numbers are those of [`Rng`]: the same seed and samples leave the same samples on every target. An offer
/// takes a copy of the sample, and time in proportion to the capacity; labels take a byte.
///
/// What is kept need not be the network's input. Where the first layers do not learn, what they make of a sample is often smaller, and need
/// not be computed again (Pellegrini et al., "Latent replay for real-time continual learning", 2020).
///
/// ```
/// use lightlayers::dataset::{Dataset, ReplayBuffer, ReplayMemory, Selection};
/// use static_cell::ConstStaticCell;
///
/// // Eight images of 2x2 bytes, of two classes.
/// static MEMORY: ConstStaticCell<ReplayMemory<u8, 4, 8, 2>> = ConstStaticCell::new(ReplayMemory::new());
///
/// let mut replay = ReplayBuffer::new(MEMORY.take(), Selection::ClassBalanced, 1);
/// for sample in 0..1000 {
///     // Every hundredth is of class 1.
///     replay.offer(&[0.2; 4], usize::from(sample % 100 == 0))?;
/// }
/// assert_eq!((replay.offered(), replay.len()), (1000, 8));
/// assert_eq!((replay.kept(0), replay.kept(1)), (4, 4));
/// # Ok::<(), lightlayers::Error>(())
/// ```
#[derive(Debug)]
pub struct ReplayBuffer<'m, E: Element> {
    values: &'m mut [E],
    sample_len: usize,
    labels: &'m mut VecView<u8>,
    classes: &'m mut [Class],
    offered: &'m mut u32,
    scale: E::Scale,
    selection: Selection,
    rng: Rng,
}

impl<'m, E: Element<Scale = ()>> ReplayBuffer<'m, E> {
    /// Goes on with what is in `memory`, of floats or bytes.
    pub fn new<const LEN: usize, const CAPACITY: usize, const CLASSES: usize>(
        memory: &'m mut ReplayMemory<E, LEN, CAPACITY, CLASSES>,
        selection: Selection,
        seed: u64,
    ) -> Self {
        Self::with_scale(memory, (), selection, seed)
    }
}

impl<'m> ReplayBuffer<'m, i8> {
    /// Goes on with what is in `memory`, of integers that stand for real numbers as `quantization` says. Numbers outside its range become
    /// its ends.
    ///
    /// ```
    /// use lightlayers::dataset::{ReplayBuffer, ReplayMemory, Selection};
    /// use lightlayers::quant::Quantization;
    ///
    /// let mut memory = ReplayMemory::<i8, 2, 10, 3>::new();
    /// let celsius = Quantization::of_range(-20.0, 43.75)?;
    /// let mut replay = ReplayBuffer::quantized(&mut memory, celsius, Selection::Reservoir, 1);
    /// replay.offer(&[36.6, -3.25], 0)?;
    /// assert_eq!(replay.values(0).map(Iterator::collect), Some(vec![36.5, -3.25]));
    /// # Ok::<(), lightlayers::Error>(())
    /// ```
    pub fn quantized<const LEN: usize, const CAPACITY: usize, const CLASSES: usize>(
        memory: &'m mut ReplayMemory<i8, LEN, CAPACITY, CLASSES>,
        quantization: Quantization,
        selection: Selection,
        seed: u64,
    ) -> Self {
        Self::with_scale(memory, quantization, selection, seed)
    }
}

impl<'m, E: Element> ReplayBuffer<'m, E> {
    fn with_scale<const LEN: usize, const CAPACITY: usize, const CLASSES: usize>(
        memory: &'m mut ReplayMemory<E, LEN, CAPACITY, CLASSES>,
        scale: E::Scale,
        selection: Selection,
        seed: u64,
    ) -> Self {
        Self {
            values: memory.values.as_flattened_mut(),
            sample_len: LEN,
            labels: memory.labels.as_mut_view(),
            classes: &mut memory.classes,
            offered: &mut memory.offered,
            scale,
            selection,
            rng: Rng::new(seed),
        }
    }

    /// Offers a sample: the values of an input, and its class. Returns the index at which it is kept from now on, if it is.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if there are not as many values as in every sample of the memory, [`Error::Label`] if the label is not below the
    /// number of its classes, [`Error::NonFiniteSample`] if a value is NaN or infinite; the errors' number of the sample
    /// is that of those offered before. Nothing has changed then.
    pub fn offer(&mut self, input: &[f32], label: usize) -> Result<Option<usize>, Error> {
        let finite = input.iter().all(|value| value.is_finite());
        let scale = self.scale;
        let elements = input.iter().map(|value| E::keep(*value, &scale));
        self.offer_elements(elements, finite, label)
    }

    /// Offers a sample as it would be kept: the bytes of a camera, or the integers of a quantized network. Else as
    /// [`offer`](Self::offer).
    ///
    /// # Errors
    ///
    /// As [`offer`](Self::offer).
    pub fn offer_raw(&mut self, elements: &[E], label: usize) -> Result<Option<usize>, Error> {
        let scale = self.scale;
        let mut values = elements.iter().map(|element| element.value(&scale));
        let finite = values.all(f32::is_finite);
        self.offer_elements(elements.iter().copied(), finite, label)
    }

    /// Forgets all samples, and that they were offered.
    pub fn clear(&mut self) {
        self.labels.clear();
        self.classes.fill(Class::NEW);
        *self.offered = 0;
    }

    /// How many samples it can keep.
    pub fn capacity(&self) -> usize {
        self.labels.capacity()
    }

    /// How many samples were offered; more than `u32::MAX` are not counted.
    pub fn offered(&self) -> u32 {
        *self.offered
    }

    /// How many samples of a class are kept.
    pub fn kept(&self, label: usize) -> usize {
        self.classes
            .get(label)
            .map_or(0, |class| class.kept as usize)
    }

    /// The class of a kept sample; none past the end.
    pub fn label(&self, index: usize) -> Option<usize> {
        self.labels.get(index).map(|label| usize::from(*label))
    }

    /// The values of a kept sample, as a network reads them; none past the end.
    pub fn values(&self, index: usize) -> Option<impl Iterator<Item = f32>> {
        let elements = self.elements(index)?.iter();
        Some(elements.map(|element| element.value(&self.scale)))
    }

    /// The elements of a kept sample, as they are kept; none past the end.
    pub fn elements(&self, index: usize) -> Option<&[E]> {
        self.labels.get(index)?;
        let start = index * self.sample_len;
        self.values.get(start..start + self.sample_len)
    }

    /// A seed for drawing some of the samples.
    pub(super) fn seed(&mut self) -> u64 {
        u64::from(self.rng.next_u32()) << 32 | u64::from(self.rng.next_u32())
    }

    fn offer_elements(
        &mut self,
        elements: impl ExactSizeIterator<Item = E>,
        finite: bool,
        label: usize,
    ) -> Result<Option<usize>, Error> {
        Error::check_length(Buffer::Input, self.sample_len, elements.len())?;
        let sample = *self.offered as usize;
        let small = match u8::try_from(label) {
            Ok(small) if label < self.classes.len() => small,
            _ => {
                return Err(Error::Label {
                    sample,
                    classes: self.classes.len(),
                    found: label,
                });
            }
        };
        if !finite {
            return Err(Error::NonFiniteSample { sample });
        }
        let index = self.place(small);
        let kept = index.and_then(|index| {
            let start = index * self.sample_len;
            self.values.get_mut(start..start + self.sample_len)
        });
        for (kept, element) in kept.unwrap_or_default().iter_mut().zip(elements) {
            *kept = element;
        }
        Ok(index)
    }

    /// Counts a sample of a class that is there, and makes room for it if it shall be kept.
    fn place(&mut self, label: u8) -> Option<usize> {
        let full = self.labels.is_full();
        let largest = self.classes.iter().map(|class| class.kept).max();
        let largest = largest.unwrap_or_default();
        if full {
            let classes = self.classes.iter_mut();
            for class in classes.filter(|class| class.kept == largest) {
                class.full = true;
            }
        }
        *self.offered = self.offered.saturating_add(1);
        let class = self.classes.get_mut(usize::from(label))?;
        class.offered = class.offered.saturating_add(1);
        let class = *class;

        let index = if !full {
            self.labels.push(label).ok()?;
            self.labels.len() - 1
        } else {
            let index = match self.selection {
                Selection::Reservoir => Some(self.rng.below(*self.offered) as usize),
                Selection::ClassBalanced if class.full => {
                    // One draw for both: whether the sample is kept, and whose place it takes.
                    let place = self.rng.below(class.offered);
                    self.position(place, |kept| kept == label)
                }
                Selection::ClassBalanced => {
                    let largest = |class: &&Class| class.kept == largest;
                    let sizes = self.classes.iter().filter(largest);
                    let candidates = sizes.map(|class| class.kept).sum();
                    let place = self.rng.below(candidates);
                    let classes = &*self.classes;
                    self.position(place, |kept| {
                        classes.get(usize::from(kept)).filter(largest).is_some()
                    })
                }
            };
            let index = index?;
            let old = self.labels.get_mut(index)?;
            let replaced = core::mem::replace(old, label);
            if let Some(class) = self.classes.get_mut(usize::from(replaced)) {
                class.kept = class.kept.saturating_sub(1);
            }
            index
        };
        let class = self.classes.get_mut(usize::from(label))?;
        class.kept += 1;
        Some(index)
    }

    /// Where the sample at `place` among those of some labels stands.
    fn position(&self, place: u32, of: impl Fn(u8) -> bool) -> Option<usize> {
        let labels = self.labels.iter().enumerate();
        let mut matching = labels.filter(|(_, label)| of(**label));
        matching.nth(place as usize).map(|(index, _)| index)
    }
}

/// The samples that are kept now.
impl<E: Element> Dataset for ReplayBuffer<'_, E> {
    type Error = Error;

    fn len(&self) -> usize {
        self.labels.len()
    }

    fn read(
        &mut self,
        index: usize,
        input: &mut [f32],
        target: &mut Target<'_>,
    ) -> Result<(), Error> {
        let (Some(label), Some(values)) = (self.label(index), self.values(index)) else {
            return Err(Error::Index {
                len: self.labels.len(),
                found: index,
            });
        };
        Error::check_length(Buffer::Input, self.sample_len, input.len())?;
        for (read, value) in input.iter_mut().zip(values) {
            *read = value;
        }
        target.set_class(label);
        Ok(())
    }
}
