//! A session's workspace: the planned places of its tensors, and the passes over a network that work on them.

use crate::error::{Buffer, Error};
use crate::kernels::elementwise;
use crate::layers::{self, Call, Mode, Needs};
use crate::network::Layer;
use crate::plan::{BackwardSlot, ForwardSlot, Graph, NOWHERE};

/// The user's memory, cut into places for `capacity` samples.
#[derive(Debug)]
pub(crate) struct Workspace<'m> {
    elements: &'m mut [f32],
    capacity: usize,
}

/// A planned tensor: its offset and its length, both per sample.
type Place = (u32, usize);

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

    fn range(&self, (offset, len): Place, batch: usize) -> core::ops::Range<usize> {
        if offset == NOWHERE || len == 0 {
            return 0..0;
        }
        let start = offset as usize * self.capacity;
        start..start + len * batch
    }

    /// The tensors of the first `batch` samples at places that do not overlap; one that is nowhere is empty.
    pub(crate) fn tensors<const N: usize>(
        &mut self,
        places: [Place; N],
        batch: usize,
    ) -> Result<[&mut [f32]; N], Error> {
        let ranges = places.map(|place| self.range(place, batch));
        self.elements
            .get_disjoint_mut(ranges)
            .map_err(|_| Error::Plan)
    }

    pub(crate) fn tensor(&self, place: Place, batch: usize) -> Result<&[f32], Error> {
        self.elements
            .get(self.range(place, batch))
            .ok_or(Error::Plan)
    }

    /// Copies a tensor to another place, unless it is there already.
    pub(crate) fn copy(&mut self, from: Place, to: Place, batch: usize) -> Result<(), Error> {
        if from.0 != to.0 {
            let [from, to] = self.tensors([from, to], batch)?;
            elementwise::copy(from, to);
        }
        Ok(())
    }
}

/// The passes over the layers of a network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passes<'a, G> {
    pub(crate) graph: &'a G,
    pub(crate) weights: &'a [f32],
    pub(crate) batch: usize,
}

/// Where the first layer reads.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    Outside(&'a [f32]),
    Workspace(usize),
}

impl<G: Graph> Passes<'_, G> {
    fn call<'a>(&'a self, index: usize, layer: &'a Layer) -> Result<Call<'a>, Error> {
        let start = layer.weights as usize;
        Ok(Call {
            layer,
            index,
            batch: self.batch,
            weights: self
                .weights
                .get(start..start + layer.weights())
                .ok_or(Error::Plan)?,
        })
    }

    /// Runs the layers from first to last; returns the place of the output.
    pub(crate) fn forward(
        &self,
        workspace: &mut Workspace<'_>,
        slots: &[ForwardSlot],
        source: Source<'_>,
        mode: Mode,
    ) -> Result<Place, Error> {
        let batch = self.batch;
        let mut input = match source {
            Source::Outside(_) => NOWHERE,
            Source::Workspace(offset) => offset as u32,
        };
        let mut output: Place = (NOWHERE, 0);
        for (index, (layer, slot)) in self.graph.layers().iter().zip(slots).enumerate() {
            let call = self.call(index, layer)?;
            let Needs {
                in_place, saved, ..
            } = layers::needs(layer);
            let x = (input, layer.input.len());
            let saved = (slot.saved, saved);
            output = (slot.output, layer.output.len());
            match (source, in_place) {
                (Source::Outside(x), false) if index == 0 => {
                    let [y, saved] = workspace.tensors([output, saved], batch)?;
                    layers::forward_mapping::<G>(call, x, y, saved);
                }
                (_, false) => {
                    let [x, y, saved] = workspace.tensors([x, output, saved], batch)?;
                    layers::forward_mapping::<G>(call, x, y, saved);
                }
                (Source::Outside(x), true) if index == 0 => {
                    let [y, saved] = workspace.tensors([output, saved], batch)?;
                    elementwise::copy(x, y);
                    layers::forward_in_place::<G>(call, y, saved, mode);
                }
                (_, true) => {
                    workspace.copy(x, output, batch)?;
                    let [y, saved] = workspace.tensors([output, saved], batch)?;
                    layers::forward_in_place::<G>(call, y, saved, mode);
                }
            }
            input = slot.output;
        }
        Ok(output)
    }

    /// Runs back from the gradient of the output, which is in its place, to the lowest layer that learns, and adds the gradients
    /// of the weights to `gradients`: the trainable layers' alone, in layer order.
    pub(crate) fn backward(
        &self,
        workspace: &mut Workspace<'_>,
        forward: &[ForwardSlot],
        backward: &[BackwardSlot],
        input: usize,
        mode: Mode,
        gradients: &mut [f32],
    ) -> Result<(), Error> {
        let batch = self.batch;
        let mut rest = gradients;
        let slots = forward.iter().zip(backward).enumerate();
        for (layer, (index, (forward_slot, slot))) in self.graph.layers().iter().zip(slots).rev() {
            if rest.is_empty() {
                break;
            }
            let call = self.call(index, layer)?;
            let Needs {
                in_place,
                saved,
                backward_scratch,
                ..
            } = layers::needs(layer);
            let (below, below_gradient) = match index.checked_sub(1) {
                None => (input as u32, NOWHERE),
                Some(below) => (
                    forward.get(below).ok_or(Error::Plan)?.output,
                    backward.get(below).ok_or(Error::Plan)?.gradient,
                ),
            };
            let x = (below, layer.input.len());
            let dx = (below_gradient, layer.input.len());
            let y = (forward_slot.output, layer.output.len());
            let dy = (slot.gradient, layer.output.len());
            let saved = (forward_slot.saved, saved);
            let scratch = (slot.scratch, backward_scratch);

            let own = rest
                .len()
                .checked_sub(layer.trainable_weights())
                .ok_or(Error::Plan)?;
            let (before, own) = core::mem::take(&mut rest)
                .split_at_mut_checked(own)
                .ok_or(Error::Plan)?;
            rest = before;
            let more_learn_below = !rest.is_empty();

            if !in_place {
                let x = if layer.learns() { x } else { (NOWHERE, 0) };
                let [x, dy, saved, scratch] = workspace.tensors([x, dy, saved, scratch], batch)?;
                layers::backward_weights::<G>(call, x, dy, saved, scratch, own);
            }
            if !more_learn_below {
                break;
            }
            if in_place {
                workspace.copy(dy, dx, batch)?;
                let y = if layers::needs(layer).output {
                    y
                } else {
                    (NOWHERE, 0)
                };
                let [y, saved, dx] = workspace.tensors([y, saved, dx], batch)?;
                layers::backward_in_place::<G>(call, y, saved, dx, mode);
            } else {
                let x = if layers::reads_input_for_its_gradient(layer) {
                    x
                } else {
                    (NOWHERE, 0)
                };
                let [x, dy, saved, scratch, dx] =
                    workspace.tensors([x, dy, saved, scratch, dx], batch)?;
                layers::backward_mapping::<G>(call, x, dy, saved, scratch, dx);
            }
        }
        Ok(())
    }
}
