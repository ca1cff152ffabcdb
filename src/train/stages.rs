//! The stages of a training step, and of an evaluation.

use core::ops::Range;

use super::{Evaluated, Trainer, first_of};
use crate::dataset::{Dataset, Target};
use crate::error::{Error, Quantity};
use crate::kernels::elementwise::{all_finite, is_finite};
use crate::kernels::lanes;
use crate::layers::{self, Kind, Mode, Role, Stream};
use crate::loss::Loss;
use crate::metrics::{Metrics, arg_max};
use crate::network::Layer;
use crate::optim::{Optimizer, Step};
use crate::plan::Graph;
use crate::quant::Rounding;
use crate::workspace::{Passes, Place, Source, output_place};

impl<G: Graph, L: Loss, O: Optimizer, R: Rounding> Trainer<'_, G, L, O, R> {
    /// Before the first sample of a step: checks its settings before anything changes.
    pub(super) fn begin(&mut self, samples: usize, rate: f32) -> Result<(), Error> {
        if !(is_finite(rate) && rate >= 0.0) {
            return Err(Error::OutOfRange {
                what: "a learning rate",
                range: "0.. and finite",
            });
        }
        self.check_parts(samples)?;
        self.optimizer.begin(self.gradients);
        self.rounding
            .round_weights(self.graph.layers(), self.weights);
        Ok(())
    }

    /// Whether every batch normalization that learns sees at least two values per channel in all parts of a minibatch.
    pub(super) fn check_parts(&self, samples: usize) -> Result<(), Error> {
        if const { !G::USES.has(Kind::BatchNorm) } {
            return Ok(());
        }
        // A workspace holds at least one sample.
        let capacity = self.workspace.capacity().max(1);
        match self.graph.sizes().pixelwise_batch_norm {
            Some(layer) if samples > 0 && (capacity == 1 || samples % capacity == 1) => {
                Err(Error::SingleValue {
                    layer: layer.into(),
                })
            }
            _ => Ok(()),
        }
    }

    /// That of the next step, for samples of which so many come before.
    pub(super) fn training_mode(&self, before: usize) -> Mode {
        Mode::Training(Stream {
            seed: self.dropout_seed,
            step: self.step.saturating_add(1),
            first_sample: before as u32,
        })
    }

    /// Reads those of `part` samples; the last one makes them ready for the first layer.
    #[inline(always)]
    pub(super) fn read<D: Dataset>(
        &mut self,
        data: &mut D,
        indices: &mut impl Iterator<Item = usize>,
        range: Range<usize>,
        part: usize,
    ) -> Result<(), Error<D::Error>> {
        let sizes = self.graph.sizes();
        let places = [
            Place::new(sizes.training_input, sizes.input),
            Place::new(sizes.training_target, sizes.output),
            Place::NONE,
            Place::NONE,
        ];
        let [inputs, targets, ..] = self.workspace.tensors(places, part).ok_or(Error::Plan)?;
        let read = |len| range.start * len..;
        let mut inputs_left = inputs.get_mut(read(sizes.input)).ok_or(Error::Plan)?;
        let mut targets_left = targets.get_mut(read(sizes.output)).ok_or(Error::Plan)?;
        for _ in range.clone() {
            let input = first_of(&mut inputs_left, sizes.input).ok_or(Error::Plan)?;
            let target = first_of(&mut targets_left, sizes.output).ok_or(Error::Plan)?;
            let sample = indices.next().ok_or(Error::Empty)?;
            // What `read` leaves unwritten must not be the numbers of another sample.
            unset(input);
            unset(target);
            let mut target = Target::new(target);
            data.read(sample, input, &mut target)
                .map_err(Error::Dataset)?;
            if let Some(found) = target.class()
                && found >= sizes.output
            {
                return Err(Error::Label {
                    sample,
                    classes: sizes.output,
                    found,
                });
            }
            if !all_finite(input) || !all_finite(target.values()) {
                return Err(Error::NonFiniteSample { sample });
            }
        }
        if range.end == part {
            self.rounding.round_input(self.graph.layers(), inputs);
            if let Some(shape) = sizes.input_image {
                lanes::interleave(inputs, shape, part);
            }
        }
        Ok(())
    }

    /// Runs layers, the first ones first.
    pub(super) fn forward(&mut self, layers: Range<usize>, part: usize, mode: Mode) -> Option<()> {
        let sizes = self.graph.sizes();
        let (weights, moving) = self
            .rounding
            .weights(self.weights)
            .split_at_checked(sizes.trained)?;
        let passes = Passes {
            graph: &self.graph,
            weights,
            batch: part,
        };
        let rounding = &self.rounding;
        passes.forward(
            layers,
            &mut self.workspace,
            Source::Workspace(sizes.training_input),
            moving,
            mode,
            |layers, output| rounding.round_output(layers, output),
        )
    }

    /// Adds the losses of samples to the metrics, and leaves the gradients of the outputs in their place; the first one is that of `first`
    /// in the data set.
    pub(super) fn losses(
        &mut self,
        first: usize,
        part: usize,
        weight: f32,
        metrics: &mut Metrics,
        mut on_sample: impl FnMut(Evaluated<'_>),
    ) -> Option<()> {
        let sizes = self.graph.sizes();
        let output = output_place(self.graph.training_slots(), sizes.output)?;
        let target_place = Place::new(sizes.training_target, sizes.output);
        let gradient = match self.graph.backward_slots().last() {
            Some(slot) => Place::new(slot.gradient, sizes.output),
            None => output,
        };
        self.workspace.copy(output, gradient, part)?;
        let places = [gradient, target_place, Place::NONE, Place::NONE];
        let [outputs, targets, ..] = self.workspace.tensors(places, part)?;
        // Not where the last layer may keep them for its backward pass.
        if let Some(shape) = sizes.output_image {
            lanes::separate(outputs, shape, part);
        }
        let (mut outputs_left, mut targets_left) = (outputs, targets);
        for i in 0..part {
            let outputs = first_of(&mut outputs_left, sizes.output)?;
            let target = &*first_of(&mut targets_left, sizes.output)?;
            on_sample(Evaluated {
                sample: first + i,
                outputs,
                target,
            });
            let correct = class_of(target).map(|class| arg_max(outputs) == class);
            metrics.add(self.loss.gradient(outputs, target, weight), correct);
        }
        Some(())
    }

    /// Runs back through layers, the last ones first.
    pub(super) fn backward(&mut self, layers: Range<usize>, part: usize, mode: Mode) -> Option<()> {
        let sizes = self.graph.sizes();
        if let Some(shape) = sizes.output_image
            && layers.end == self.graph.layers().len()
        {
            let gradient = self.graph.backward_slots().last()?.gradient;
            let place = Place::new(gradient, sizes.output);
            let gradient = self.workspace.tensor_mut(place, part)?;
            lanes::interleave(gradient, shape, part);
        }
        let (weights, moving) = self.weights.split_at_mut_checked(sizes.trained)?;
        let passes = Passes {
            graph: &self.graph,
            weights: self.rounding.weights(weights),
            batch: part,
        };
        passes.backward(
            layers,
            &mut self.workspace,
            sizes.training_input,
            self.gradients,
            moving,
            mode,
        )
    }

    /// Penalties, checks, clipping, and the optimizer's step.
    pub(super) fn finish<D>(&mut self, rate: f32, metrics: &mut Metrics) -> Result<(), Error<D>> {
        self.check(metrics)?;
        let step = self.next_step(rate);
        let finite = if const { G::FREEZES || O::STATE > 1 } {
            // Layer by layer, as with steps in parts: each layer's elements of state are in one place.
            let layers = 0..self.graph.layers().len();
            self.update(layers, step).ok_or(Error::Plan)?
        } else {
            // All in one run, which is the same with at most one element of state for a weight.
            let (weights, _) = self
                .weights
                .split_at_mut_checked(self.gradients.len())
                .ok_or(Error::Plan)?;
            let (gradients, state) = (&*self.gradients, &mut *self.optimizer_state);
            self.optimizer.update(step, weights, gradients, state)
        };
        if !finite {
            return Err(self.non_finite(Quantity::Weight));
        }
        self.step = step.number;
        Ok(())
    }

    /// Penalties, checks and clipping: all that comes before the weights change.
    #[inline(always)]
    pub(super) fn check<D>(&mut self, metrics: &mut Metrics) -> Result<(), Error<D>> {
        metrics.add_penalty(self.penalize(true));
        if !metrics.loss().is_finite() {
            return Err(self.non_finite(Quantity::Loss));
        }
        if !all_finite(self.gradients) {
            return Err(self.non_finite(Quantity::Gradient));
        }
        self.optimizer.prepare(self.gradients);
        Ok(())
    }

    /// The optimizer's step of those of the layers that learn; false if a new weight is not finite.
    #[inline(always)]
    pub(super) fn update(&mut self, range: Range<usize>, step: Step) -> Option<bool> {
        let (mut start, mut finite) = (0, true);
        for (index, layer) in self.graph.layers().iter().enumerate() {
            if !layer.learns() {
                continue;
            }
            let own = start..start + layer.trainable_weights();
            start = own.end;
            if !range.contains(&index) {
                continue;
            }
            let state = O::STATE * own.start..O::STATE * own.end;
            let weights = self.weights.get_mut(layer.weights_range())?;
            let gradients = self.gradients.get(own)?;
            let state = self.optimizer_state.get_mut(state)?;
            finite &= self.optimizer.update(step, weights, gradients, state);
        }
        Some(finite)
    }

    /// That of the optimizer, if it succeeds.
    pub(super) fn next_step(&self, rate: f32) -> Step {
        let number = self.step.saturating_add(1);
        Step { number, rate }
    }

    /// What was not finite in the next step. An optimizer that adds the next gradients to these forgets them.
    pub(super) fn non_finite<D>(&mut self, quantity: Quantity) -> Error<D> {
        if const { O::KEEPS_GRADIENTS } {
            self.gradients.fill(0.0);
        }
        let step = self.step.saturating_add(1);
        Error::NonFinite { quantity, step }
    }

    /// The penalties on the kernels of the layers; adds their gradients if told so.
    pub(super) fn penalize(&mut self, add_gradients: bool) -> f32 {
        if const { !G::PENALIZES } {
            return 0.0;
        }
        let mut penalty = 0.0;
        let mut start = 0;
        for layer in self.graph.layers() {
            let trainable = layer.trainable_weights();
            if layer.l2 != 0.0 && layer.learns() {
                let gradients = if add_gradients {
                    self.gradients.get_mut(start..start + trainable)
                } else {
                    None
                };
                let weights = self.weights.get(layer.weights_range()).unwrap_or_default();
                penalty += penalty_of(layer, weights, gradients.unwrap_or_default());
            }
            start += trainable;
        }
        penalty
    }
}

/// Marks values that are still to be written.
#[inline(never)]
fn unset(values: &mut [f32]) {
    values.fill(f32::NAN);
}

/// The class of a target that is one: 1 there, 0 elsewhere.
fn class_of(target: &[f32]) -> Option<usize> {
    let class = arg_max(target);
    let mut values = target.iter().enumerate();
    let is_class = values.all(|(i, t)| *t == if i == class { 1.0 } else { 0.0 });
    (is_class && target.len() > 1).then_some(class)
}

/// `l2 · Σ w²` over the layer's kernels; adds `2 · l2 · w` to its gradients unless they are empty.
fn penalty_of(layer: &Layer, weights: &[f32], gradients: &mut [f32]) -> f32 {
    let mut sum = 0.0;
    let mut start = 0;
    for tensor in layers::tensors(layer, 0).as_slice() {
        let range = start..start + tensor.len;
        start = range.end;
        if tensor.role != Role::Kernel {
            continue;
        }
        let kernel = weights.get(range.clone()).unwrap_or_default();
        for w in kernel {
            sum += w * w;
        }
        for (gradient, w) in gradients
            .get_mut(range)
            .unwrap_or_default()
            .iter_mut()
            .zip(kernel)
        {
            *gradient += 2.0 * layer.l2 * w;
        }
    }
    layer.l2 * sum
}
