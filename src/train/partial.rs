//! A training step that lets the application have the processor in between.

use super::Trainer;
use crate::dataset::Dataset;
use crate::error::{Error, Quantity};
use crate::loss::Loss;
use crate::metrics::Metrics;
use crate::optim::Optimizer;
use crate::plan::Graph;
use crate::quant::Rounding;

/// A training step that is done in parts, each a bounded amount of work.
///
/// A part reads one sample, or runs one layer forward or back with the samples that are worked on at once ([`Memory::workspace`]; with room for one
/// of them, a layer of one sample), or computes their losses. The gradients are cleared before the first sample; after the last one they are
/// checked, with penalties and clipping if there are any: each is a pass over all gradients. Then the weights change, a layer at a time.
///
/// The bits are those of [`Trainer::step`]. A step that is dropped before the weights change has left them as they were, but for moving
/// statistics of batch normalization, and the velocity that an optimizer keeps in the gradients ([`HeavyBall`](crate::optim::HeavyBall)).
/// One that is dropped while they change leaves some layers as they were, and is not counted.
///
/// The application may run the network in between: [`weights`](Self::weights) lends its weights to an [`Inference`](crate::Inference)
/// with a workspace of its own.
///
/// Made by [`Trainer::start_step`], which borrows the trainer (`T` is `&mut` [`Trainer`]), or by [`Trainer::into_step`], which moves it in
/// (`T` is [`Trainer`]).
///
/// [`Memory::workspace`]: crate::Memory::workspace
#[must_use = "a step does nothing unless it is advanced"]
#[derive(Debug)]
pub struct PartialStep<T, I> {
    trainer: T,
    work: Work<I>,
}

/// What there is to do.
#[derive(Debug)]
pub struct Work<I> {
    indices: I,
    /// The sample that is to be read.
    next: Option<usize>,
    rate: f32,
    samples: usize,
    /// Samples that have been through all layers.
    done: usize,
    stage: Stage,
    metrics: Metrics,
    /// So are the new weights so far.
    finite: bool,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Begin,
    /// A sample of those that are worked on at once.
    Read(usize),
    Forward(usize),
    Losses,
    /// The layer below this one.
    Backward(usize),
    Check,
    /// The weights of this layer.
    Update(usize),
    Done,
    Failed(Quantity),
}

/// A [`Trainer`], or a borrowed one. No others: the trait is not public.
pub trait Steps {
    fn weights(&self) -> &[f32];

    fn do_part<D: Dataset, I: Iterator<Item = usize>>(
        &mut self,
        work: &mut Work<I>,
        data: &mut D,
    ) -> Result<Option<Metrics>, Error<D::Error>>;
}

impl<T: Steps> Steps for &mut T {
    fn weights(&self) -> &[f32] {
        (**self).weights()
    }

    fn do_part<D: Dataset, I: Iterator<Item = usize>>(
        &mut self,
        work: &mut Work<I>,
        data: &mut D,
    ) -> Result<Option<Metrics>, Error<D::Error>> {
        (**self).do_part(work, data)
    }
}

impl<T: Steps, I: ExactSizeIterator<Item = usize>> PartialStep<T, I> {
    pub(super) fn new(trainer: T, indices: I, rate: f32) -> Self {
        Self {
            trainer,
            work: Work {
                next: None,
                rate,
                samples: indices.len(),
                indices,
                done: 0,
                stage: Stage::Begin,
                metrics: Metrics::default(),
                finite: true,
            },
        }
    }

    /// Does the next part. The metrics of the minibatch are there when the last one is done, none before. A step that is over does no more:
    /// it gives the same metrics again, or the same [`Error::NonFinite`].
    ///
    /// # Errors
    ///
    /// As [`Trainer::step`]. After [`Error::Dataset`], [`Error::Label`] or [`Error::NonFiniteSample`] the next call reads the same sample again,
    /// so a data set may say that it has none yet.
    pub fn advance<D: Dataset>(
        &mut self,
        data: &mut D,
    ) -> Result<Option<Metrics>, Error<D::Error>> {
        self.trainer.do_part(&mut self.work, data)
    }

    /// The weights: those from before the step, but for moving statistics of batch normalization. During its last parts, those of some layers
    /// are new and others not yet: a network that makes a part of a step.
    pub fn weights(&self) -> &[f32] {
        self.trainer.weights()
    }

    /// The trainer, without the rest of the step.
    pub fn into_trainer(self) -> T {
        self.trainer
    }
}

impl<G: Graph, L: Loss, O: Optimizer, R: Rounding> Steps for Trainer<'_, G, L, O, R> {
    fn weights(&self) -> &[f32] {
        self.weights
    }

    fn do_part<D: Dataset, I: Iterator<Item = usize>>(
        &mut self,
        work: &mut Work<I>,
        data: &mut D,
    ) -> Result<Option<Metrics>, Error<D::Error>> {
        if work.samples == 0 {
            return Err(Error::Empty);
        }
        let layers = self.graph.layers().len();
        let part = self.workspace.capacity().min(work.samples - work.done);
        let mode = self.training_mode(work.done);
        work.stage = match work.stage {
            Stage::Begin => {
                self.begin(work.samples, work.rate).map_err(Error::widen)?;
                Stage::Read(0)
            }
            Stage::Read(sample) => {
                work.next = work.next.or_else(|| work.indices.next());
                let range = sample..sample + 1;
                self.read(data, &mut work.next.into_iter(), range, part)?;
                work.next = None;
                if sample + 1 < part {
                    Stage::Read(sample + 1)
                } else {
                    Stage::Forward(0)
                }
            }
            Stage::Forward(layer) => {
                let range = layer..layer + 1;
                self.forward(range, part, mode).ok_or(Error::Plan)?;
                if layer + 1 < layers {
                    Stage::Forward(layer + 1)
                } else {
                    Stage::Losses
                }
            }
            Stage::Losses => {
                let weight = 1.0 / work.samples as f32;
                self.losses(0, part, weight, &mut work.metrics, |_| {})
                    .ok_or(Error::Plan)?;
                Stage::Backward(layers)
            }
            Stage::Backward(end) => {
                let range = end.saturating_sub(1)..end;
                let rest = range.start;
                self.backward(range, part, mode).ok_or(Error::Plan)?;
                if rest > 0 {
                    Stage::Backward(rest)
                } else {
                    work.done += part;
                    if work.done < work.samples {
                        Stage::Read(0)
                    } else {
                        Stage::Check
                    }
                }
            }
            Stage::Check => match self.check(&mut work.metrics) {
                Err(Error::NonFinite { quantity, .. }) => Stage::Failed(quantity),
                result => {
                    result?;
                    self.next_update(0, work.finite)
                }
            },
            Stage::Update(layer) => {
                let step = self.next_step(work.rate);
                let updated = self.update(layer..layer + 1, step);
                work.finite &= updated.ok_or(Error::Plan)?;
                self.next_update(layer + 1, work.finite)
            }
            over => over,
        };
        match work.stage {
            Stage::Done => Ok(Some(work.metrics)),
            Stage::Failed(quantity) => Err(self.non_finite(quantity)),
            _ => Ok(None),
        }
    }
}

impl<G: Graph, L, O, R> Trainer<'_, G, L, O, R> {
    /// The next layer whose weights change. After the last one, the step is over, and counted if all weights are finite.
    fn next_update(&mut self, first: usize, finite: bool) -> Stage {
        let mut layers = self.graph.layers().iter().enumerate().skip(first);
        let next = layers.find(|(_, layer)| layer.learns());
        match next {
            Some((layer, _)) => Stage::Update(layer),
            None if finite => {
                self.step = self.step.saturating_add(1);
                Stage::Done
            }
            None => Stage::Failed(Quantity::Weight),
        }
    }
}
