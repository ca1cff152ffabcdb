//! A session's workspace: the planned places of its tensors, and the passes over a network that work on them.

use core::ops::Range;

use crate::error::{Buffer, Error};
use crate::kernels::elementwise;
use crate::layers::{self, Call, Kind, Mode, Op};
use crate::network::Layer;
use crate::plan::{ForwardSlot, Graph, NOWHERE};

/// The user's memory, cut into places for `capacity` samples.
#[derive(Debug)]
pub(crate) struct Workspace<'m> {
    elements: &'m mut [f32],
    capacity: usize,
}

/// A planned tensor, per sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) offset: u32,
    pub(crate) len: u32,
}

impl Place {
    /// An empty tensor.
    pub(crate) const NONE: Self = Self { offset: 0, len: 0 };

    pub(crate) const fn new(offset: u32, len: usize) -> Self {
        Self {
            offset,
            len: len as u32,
        }
    }

    fn unless(self, absent: bool) -> Self {
        if absent { Self::NONE } else { self }
    }
}

const NONE: Place = Place::NONE;

/// The place of a network's output of `len` elements.
pub(crate) fn output_place(slots: &[ForwardSlot], len: usize) -> Option<Place> {
    Some(Place::new(slots.last()?.output, len))
}

impl<'m> Workspace<'m> {
    /// Holds as many samples of `per_sample` elements as fit, at least one.
    pub(crate) fn new(elements: &'m mut [f32], per_sample: usize) -> Result<Self, Error> {
        let capacity = elements.len() / per_sample.max(1);
        if capacity == 0 {
            return Err(Error::Length {
                buffer: Buffer::Workspace,
                expected: per_sample,
                found: elements.len(),
            });
        }
        Ok(Self { elements, capacity })
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    fn range(&self, place: Place, batch: usize) -> core::ops::Range<usize> {
        if place.len == 0 {
            return 0..0;
        }
        let start = place.offset as usize * self.capacity;
        start..start + place.len as usize * batch
    }

    /// The tensors of the first `batch` samples at places that do not overlap.
    ///
    /// The checks are much of a small program, so there is one version of this: for as many places as any layer needs, filled up with
    /// [`Place::NONE`].
    #[inline(never)]
    pub(crate) fn tensors(&mut self, places: [Place; 4], batch: usize) -> Option<[&mut [f32]; 4]> {
        let ranges = places.map(|place| self.range(place, batch));
        self.elements.get_disjoint_mut(ranges).ok()
    }

    pub(crate) fn tensor(&self, place: Place, batch: usize) -> Option<&[f32]> {
        self.elements.get(self.range(place, batch))
    }

    pub(crate) fn tensor_mut(&mut self, place: Place, batch: usize) -> Option<&mut [f32]> {
        self.elements.get_mut(self.range(place, batch))
    }

    /// Copies a tensor to another place, unless it is there already.
    pub(crate) fn copy(&mut self, from: Place, to: Place, batch: usize) -> Option<()> {
        if from.offset != to.offset {
            let [from, to, ..] = self.tensors([from, to, NONE, NONE], batch)?;
            elementwise::copy(from, to);
        }
        Some(())
    }
}

/// The passes over layers of a network. They end early, with none, if a plan does not fit its buffers, which no plan does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passes<'a, G> {
    pub(crate) graph: &'a G,
    /// The weights that have gradients.
    pub(crate) weights: &'a [f32],
    pub(crate) batch: usize,
}

/// What a layer has just written.
pub struct Output<'a> {
    pub(crate) index: usize,
    pub(crate) values: &'a mut [f32],
    /// What its backward pass will read beside them; empty for inference.
    pub(crate) saved: &'a mut [f32],
}

/// Where the first layer reads: outside of the workspace for inference, in it for training, whose plans differ.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    Outside(&'a [f32]),
    Workspace(u32),
}

/// The place of a tensor's values.
fn value(slots: &[ForwardSlot], input: u32, tensor: u8) -> Option<u32> {
    match tensor.checked_sub(1) {
        None => Some(input),
        Some(layer) => Some(slots.get(usize::from(layer))?.output),
    }
}

impl<G: Graph> Passes<'_, G> {
    fn call<'a>(&'a self, index: usize, layer: &'a Layer) -> Option<Call<'a>> {
        Some(Call {
            layer,
            index,
            batch: self.batch,
            weights: self.weights.get(layer.weights_range())?,
        })
    }

    /// Runs layers, after those before them; the output of the network is then at its [place](output_place). `moving` are the statistics of
    /// batch normalization; `after` is called with the layers, and what each of them wrote when it has run.
    #[inline(always)]
    pub(crate) fn forward(
        &self,
        layers: Range<usize>,
        workspace: &mut Workspace<'_>,
        source: Source<'_>,
        moving: &[f32],
        mode: Mode,
        mut after: impl FnMut(&[Layer], Output<'_>),
    ) -> Option<()> {
        let batch = self.batch;
        let (slots, input, outside) = match source {
            Source::Outside(values) => (self.graph.inference_slots(), NOWHERE, Some(values)),
            Source::Workspace(offset) => (self.graph.training_slots(), offset, None),
        };
        let mut moving = moving;
        let mut previous = input;
        for (index, (layer, slot)) in self.graph.layers().iter().zip(slots).enumerate() {
            if index >= layers.end {
                break;
            }
            if index < layers.start {
                if const { G::USES.has(Kind::BatchNorm) } {
                    moving = moving.get(layer.moving_statistics()..)?;
                }
                previous = slot.output;
                continue;
            }
            let call = self.call(index, layer)?;
            let output = Place::new(slot.output, layer.output.len());
            let saved = Place {
                offset: slot.saved,
                len: slot.saved_len,
            };
            let from = if const { G::IS_CHAIN } {
                previous
            } else {
                value(slots, input, layer.source)?
            };
            previous = slot.output;
            let outside_at = |tensor: u32| outside.filter(|_| tensor == NOWHERE);
            let absent = from == NOWHERE || slot.output == from;
            let x = Place::new(from, layer.input.len()).unless(absent);
            let [y, saved, x, _] = workspace.tensors([output, saved, x, NONE], batch)?;
            if !layer.op.is_in_place() {
                let custom = const { G::USES.has(Kind::Custom) } && layer.kind() == Kind::Custom;
                if custom {
                    call.separate_input(x);
                }
                layers::forward_mapping::<G>(call, outside_at(from).unwrap_or(x), y, saved);
                if custom {
                    call.interleave_input(x);
                    call.interleave_output(y);
                }
                let output = Output {
                    index,
                    values: y,
                    saved,
                };
                after(self.graph.layers(), output);
                continue;
            }
            elementwise::copy(outside_at(from).unwrap_or(x), y);
            let mut statistics: &[f32] = &[];
            if const { G::USES.has(Kind::BatchNorm) } {
                (statistics, moving) = moving.split_at_checked(layer.moving_statistics())?;
            }
            if const { G::USES.has(Kind::Add) } && matches!(layer.op, Op::Add) {
                let second = value(slots, input, layer.second)?;
                let place = Place::new(second, layer.output.len()).unless(second == NOWHERE);
                let [y, other, ..] = workspace.tensors([output, place, NONE, NONE], batch)?;
                let other = outside_at(second).unwrap_or(other);
                layers::forward_in_place::<G>(call, y, &mut [], other, &[], mode);
                let output = Output {
                    index,
                    values: y,
                    saved: &mut [],
                };
                after(self.graph.layers(), output);
            } else {
                layers::forward_in_place::<G>(call, y, saved, &[], statistics, mode);
                let output = Output {
                    index,
                    values: y,
                    saved,
                };
                after(self.graph.layers(), output);
            }
        }
        Some(())
    }

    /// Runs back through layers, after those behind them, from the gradient of the output, which is in its place; but no further than to the
    /// lowest layer that learns. Adds the gradients
    /// of the weights to `gradients`: the trainable layers' alone, in layer order.
    #[inline(never)]
    pub(crate) fn backward(
        &self,
        layers: Range<usize>,
        workspace: &mut Workspace<'_>,
        input: u32,
        gradients: &mut [f32],
        moving: &mut [f32],
        mode: Mode,
    ) -> Option<()> {
        let batch = self.batch;
        let (mut gradients, mut moving) = (gradients, moving);
        let (forward, backward) = (self.graph.training_slots(), self.graph.backward_slots());
        let slots = forward.iter().zip(backward);
        for (index, (layer, (forward_slot, slot))) in
            self.graph.layers().iter().zip(slots).enumerate().rev()
        {
            let own = last(&mut gradients, layer.trainable_weights())?;
            let mut statistics: &mut [f32] = &mut [];
            if const { G::USES.has(Kind::BatchNorm) } {
                statistics = last(&mut moving, layer.moving_statistics())?;
            }
            if index >= layers.end {
                continue;
            }
            if index < layers.start {
                break;
            }
            // Nothing learns here or below.
            if !layer.learns() && slot.input_gradient == NOWHERE {
                continue;
            }
            let call = self.call(index, layer)?;
            let custom = const { G::USES.has(Kind::Custom) } && layer.kind() == Kind::Custom;
            let x = Place::new(value(forward, input, layer.source)?, layer.input.len());
            let dx = Place::new(slot.input_gradient, layer.input.len());
            let y = Place::new(forward_slot.output, layer.output.len());
            let dy = Place::new(slot.gradient, layer.output.len());
            let saved = Place {
                offset: forward_slot.saved,
                len: forward_slot.saved_len,
            };

            if layer.weights() > 0 {
                let reads = layer.learns();
                let [dy, saved, x, _] =
                    workspace.tensors([dy, saved, x.unless(!reads), NONE], batch)?;
                if custom {
                    call.separate_input(x);
                    call.separate_output(dy);
                }
                layers::backward_weights::<G>(call, x, dy, saved, own, statistics);
                if custom {
                    call.interleave_input(x);
                    call.interleave_output(dy);
                }
            }
            if slot.input_gradient == NOWHERE {
                continue;
            }
            let reads_input = const { G::USES.has(Kind::Custom) || G::USES.has(Kind::BatchNorm) }
                && layer.reads_input_for_its_gradient();
            if layer.op.is_in_place() {
                let kept = if const { G::USES.keep_output() } && layer.op.keeps_output() {
                    y
                } else {
                    x.unless(!reads_input)
                };
                let [dx, saved, kept, _] = workspace.tensors([dx, saved, kept, NONE], batch)?;
                layers::backward_in_place::<G>(call, kept, saved, dx, mode);
            } else {
                let places = [dy, saved, x.unless(!reads_input), dx];
                let [dy, saved, x, dx] = workspace.tensors(places, batch)?;
                if custom {
                    call.separate_input(x);
                    call.separate_output(dy);
                }
                layers::backward_mapping::<G>(call, x, dy, saved, dx);
                if custom {
                    call.interleave_input(x);
                    call.interleave_output(dy);
                    call.interleave_input(dx);
                }
            }

            if const { G::IS_CHAIN } {
                continue;
            }
            let gradient_of = |tensor: u8| match tensor.checked_sub(1) {
                None => NOWHERE,
                Some(layer) => backward
                    .get(usize::from(layer))
                    .map_or(NOWHERE, |slot| slot.gradient),
            };
            let source = Place::new(gradient_of(layer.source), layer.input.len());
            let second = Place::new(gradient_of(layer.second), layer.input.len());
            if matches!(layer.op, Op::Add) && second.offset != NOWHERE {
                let mut above = self.graph.layers().iter().skip(index + 1);
                if above.any(|above| above.reads(layer.second)) {
                    let [dx, sum, ..] = workspace.tensors([dx, second, NONE, NONE], batch)?;
                    elementwise::add(dx, sum);
                } else {
                    workspace.copy(dx, second, batch)?;
                }
            }
            if source.offset != dx.offset && source.offset != NOWHERE {
                let [dx, sum, ..] = workspace.tensors([dx, source, NONE, NONE], batch)?;
                elementwise::add(dx, sum);
            }
        }
        Some(())
    }
}

/// Takes the last `len` elements off.
fn last<'a>(rest: &mut &'a mut [f32], len: usize) -> Option<&'a mut [f32]> {
    let before = rest.len().checked_sub(len)?;
    let (before, own) = core::mem::take(rest).split_at_mut_checked(before)?;
    *rest = before;
    Some(own)
}
