//! New samples and old ones in one minibatch.

use super::replay::{Element, ReplayBuffer};
use super::{Dataset, Target};
use crate::error::{Buffer, Error};
use crate::rng::Permutation;

/// One sample in memory.
///
/// ```
/// use lightlayers::dataset::{Dataset, Sample};
///
/// let sample = Sample { input: &[0.5, 1.0], label: 3 };
/// assert_eq!(sample.len(), 1);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// The values of its input.
    pub input: &'a [f32],
    /// Its class.
    pub label: usize,
}

impl Dataset for Sample<'_> {
    type Error = Error;

    fn len(&self) -> usize {
        1
    }

    fn read(
        &mut self,
        index: usize,
        input: &mut [f32],
        target: &mut Target<'_>,
    ) -> Result<(), Error> {
        if index != 0 {
            return Err(Error::Index {
                len: 1,
                found: index,
            });
        }
        Error::check_length(Buffer::Input, input.len(), self.input.len())?;
        for (read, value) in input.iter_mut().zip(self.input) {
            *read = *value;
        }
        target.set_class(self.label);
        Ok(())
    }
}

/// The samples of a data set, and behind them those of a [`ReplayBuffer`].
///
/// For a step that learns from something new and keeps in mind what is old (experience replay: Rolnick et al., "Experience replay for
/// continual learning", 2019). The loss is the mean over all samples of the minibatch, new and old.
///
/// ```
/// use lightlayers::dataset::{Mixed, ReplayBuffer, ReplayMemory, Sample, Selection};
/// use lightlayers::loss::SoftmaxCrossEntropy;
/// use lightlayers::optim::Sgd;
/// use lightlayers::{Memory, Model, Network, Trainer};
///
/// struct Linear;
///
/// impl Model for Linear {
///     const NET: Network = Network::features(4).dense(2);
/// }
///
/// const NET: Network = Linear::NET;
/// let memory = Memory {
///     weights: &mut [0.0; NET.weights()],
///     gradients: &mut [0.0; NET.trainable_weights()],
///     optimizer_state: &mut [],
///     workspace: &mut [0.0; NET.training_workspace(1)],
/// };
/// let mut trainer = Trainer::new(Linear, SoftmaxCrossEntropy::new(), Sgd, memory)?;
/// trainer.initialize(1)?;
///
/// let mut memory = ReplayMemory::<u8, 4, 100, 2>::new();
/// let mut replay = ReplayBuffer::new(&mut memory, Selection::ClassBalanced, 1);
/// for (input, label) in [([0.0, 0.2, 0.9, 1.0], 1), ([1.0, 0.8, 0.1, 0.0], 0)] {
///     // What a sensor sees: it is learned from together with three samples from before, and then becomes one of them.
///     let mut mixed = Mixed::new(Sample { input: &input, label }, &mut replay);
///     let minibatch = mixed.minibatch([0], 3);
///     trainer.step(&mut mixed, minibatch, 0.1)?;
///     replay.offer(&input, label)?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Mixed<'r, 'm, D, E: Element> {
    new: D,
    replay: &'r mut ReplayBuffer<'m, E>,
}

impl<'r, 'm, D: Dataset, E: Element> Mixed<'r, 'm, D, E> {
    /// The samples of `new` have their own indices, those of `replay` the next ones.
    pub fn new(new: D, replay: &'r mut ReplayBuffer<'m, E>) -> Self {
        Self { new, replay }
    }

    /// The indices of a minibatch, for [`Trainer::step`](crate::Trainer::step): those of some new samples, and then of `old` that are
    /// kept, drawn at random, no one twice. If fewer are kept, all of them.
    pub fn minibatch<I>(&mut self, new: I, old: usize) -> Minibatch<I::IntoIter>
    where
        I: IntoIterator<Item = usize, IntoIter: ExactSizeIterator>,
    {
        let kept = self.replay.len();
        Minibatch {
            new: new.into_iter(),
            first_old: self.new.len(),
            order: Permutation::new(kept as u32, self.replay.seed()),
            old: 0..old.min(kept),
        }
    }
}

/// What is wrong with a new sample is [`Error::Dataset`].
impl<D: Dataset, E: Element> Dataset for Mixed<'_, '_, D, E> {
    type Error = Error<D::Error>;

    fn len(&self) -> usize {
        self.new.len().saturating_add(self.replay.len())
    }

    fn read(
        &mut self,
        index: usize,
        input: &mut [f32],
        target: &mut Target<'_>,
    ) -> Result<(), Self::Error> {
        let (new, len) = (self.new.len(), self.len());
        if index >= len {
            return Err(Error::Index { len, found: index });
        }
        match index.checked_sub(new) {
            None => self.new.read(index, input, target).map_err(Error::Dataset),
            Some(old) => self.replay.read(old, input, target).map_err(Error::widen),
        }
    }
}

/// The indices of [`Mixed::minibatch`].
#[derive(Clone, Debug)]
pub struct Minibatch<I> {
    new: I,
    first_old: usize,
    order: Permutation,
    old: core::ops::Range<usize>,
}

impl<I: ExactSizeIterator<Item = usize>> Iterator for Minibatch<I> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.new.next().or_else(|| {
            let old = self.old.next()?;
            Some(self.first_old.saturating_add(self.order.index(old)))
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.new.len().saturating_add(self.old.len());
        (len, Some(len))
    }
}

impl<I: ExactSizeIterator<Item = usize>> ExactSizeIterator for Minibatch<I> {}
