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
/// of them, a layer of one sample), or computes their losses. The gradients are cleared before the first sample, and the optimizer's step over
/// all weights is the last part: each is one pass over buffers of the size of the weights.
///
/// The bits are those of [`Trainer::step`]. A step that is dropped before its end has changed no weights, only moving statistics of batch
/// normalization, and the velocity that an optimizer keeps in the gradients ([`HeavyBall`](crate::optim::HeavyBall)).
///
/// Made by [`Trainer::start_step`].
///
/// [`Memory::workspace`]: crate::Memory::workspace
#[must_use = "a step does nothing unless it is advanced"]
#[derive(Debug)]
pub struct PartialStep<'t, 'm, G, L, O, R, I> {
    trainer: &'t mut Trainer<'m, G, L, O, R>,
    indices: I,
    /// The sample that is to be read.
    next: Option<usize>,
    rate: f32,
    samples: usize,
    /// Samples that have been through all layers.
    done: usize,
    stage: Stage,
    metrics: Metrics,
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
    Finish,
    Done,
    Failed(Quantity),
}

impl<'t, 'm, G, L, O, R, I> PartialStep<'t, 'm, G, L, O, R, I>
where
    G: Graph,
    L: Loss,
    O: Optimizer,
    R: Rounding,
    I: ExactSizeIterator<Item = usize>,
{
    pub(super) fn new(
        trainer: &'t mut Trainer<'m, G, L, O, R>,
        indices: I,
        rate: f32,
    ) -> Result<Self, Error> {
        let samples = indices.len();
        if samples == 0 {
            return Err(Error::Empty);
        }
        Ok(Self {
            trainer,
            indices,
            next: None,
            rate,
            samples,
            done: 0,
            stage: Stage::Begin,
            metrics: Metrics::default(),
        })
    }

    /// Does the next part. The metrics of the minibatch are there when the last one is done, none before.
    ///
    /// # Errors
    ///
    /// As [`Trainer::step`]. After [`Error::Dataset`], [`Error::Label`] or [`Error::NonFiniteSample`] the next call reads the same sample again,
    /// so a data set may say that it has none yet.
    pub fn advance<D: Dataset>(
        &mut self,
        data: &mut D,
    ) -> Result<Option<Metrics>, Error<D::Error>> {
        let layers = self.trainer.graph.layers().len();
        let part = self
            .trainer
            .workspace
            .capacity()
            .min(self.samples - self.done);
        let mode = self.trainer.training_mode(self.done);
        self.stage = match self.stage {
            Stage::Begin => {
                self.trainer.begin();
                Stage::Read(0)
            }
            Stage::Read(sample) => {
                self.next = self.next.or_else(|| self.indices.next());
                let range = sample..sample + 1;
                self.trainer
                    .read(data, &mut self.next.into_iter(), range, part)?;
                self.next = None;
                if sample + 1 < part {
                    Stage::Read(sample + 1)
                } else {
                    Stage::Forward(0)
                }
            }
            Stage::Forward(layer) => {
                let range = layer..layer + 1;
                self.trainer.forward(range, part, mode).ok_or(Error::Plan)?;
                if layer + 1 < layers {
                    Stage::Forward(layer + 1)
                } else {
                    Stage::Losses
                }
            }
            Stage::Losses => {
                let weight = 1.0 / self.samples as f32;
                self.trainer
                    .losses(0, part, weight, &mut self.metrics, |_| {})
                    .ok_or(Error::Plan)?;
                Stage::Backward(layers)
            }
            Stage::Backward(end) => {
                let range = end.saturating_sub(1)..end;
                let rest = range.start;
                self.trainer
                    .backward(range, part, mode)
                    .ok_or(Error::Plan)?;
                if rest > 0 {
                    Stage::Backward(rest)
                } else {
                    self.done += part;
                    if self.done < self.samples {
                        Stage::Read(0)
                    } else {
                        Stage::Finish
                    }
                }
            }
            Stage::Finish => match self.trainer.finish(self.rate, &mut self.metrics) {
                Err(Error::NonFinite { quantity, .. }) => Stage::Failed(quantity),
                result => {
                    result?;
                    Stage::Done
                }
            },
            over => over,
        };
        match self.stage {
            Stage::Done => Ok(Some(self.metrics)),
            Stage::Failed(quantity) => Err(Error::NonFinite {
                quantity,
                step: self.trainer.step.saturating_add(1),
            }),
            _ => Ok(None),
        }
    }

    /// The trainer, without the rest of the step.
    pub fn into_trainer(self) -> &'t mut Trainer<'m, G, L, O, R> {
        self.trainer
    }
}
