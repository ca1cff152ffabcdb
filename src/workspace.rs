//! A session's workspace: the planned places of its tensors, and the passes over a network that work on them.

use crate::error::{Buffer, Error};
use crate::kernels::elementwise;
use crate::layers::{self, Call, Mode};
use crate::network::Layer;
use crate::plan::{BackwardSlot, ForwardSlot, Graph, NOWHERE};

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
    /// The checks are much of a small program: callers ask for three or four, filled up with [`Place::NONE`], so that there are two
    /// versions of this.
    #[inline(never)]
    pub(crate) fn tensors<const N: usize>(
        &mut self,
        places: [Place; N],
        batch: usize,
    ) -> Option<[&mut [f32]; N]> {
        let ranges = places.map(|place| self.range(place, batch));
        self.elements.get_disjoint_mut(ranges).ok()
    }

    pub(crate) fn tensor(&self, place: Place, batch: usize) -> Option<&[f32]> {
        self.elements.get(self.range(place, batch))
    }

    /// Copies a tensor to another place, unless it is there already.
    pub(crate) fn copy(&mut self, from: Place, to: Place, batch: usize) -> Option<()> {
        if from.offset != to.offset {
            let [from, to, _] = self.tensors([from, to, NONE], batch)?;
            elementwise::copy(from, to);
        }
        Some(())
    }
}

/// The passes over the layers of a network. They end early, with none, if a plan does not fit its buffers, which no plan does.
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
    Workspace(u32),
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

    /// Runs the layers from first to last; returns the place of the output.
    pub(crate) fn forward(
        &self,
        workspace: &mut Workspace<'_>,
        slots: &[ForwardSlot],
        source: Source<'_>,
        mode: Mode,
    ) -> Option<Place> {
        let batch = self.batch;
        let mut outside = None;
        let mut input = match source {
            Source::Outside(values) => {
                outside = Some(values);
                NOWHERE
            }
            Source::Workspace(offset) => offset,
        };
        let mut output = Place::NONE;
        for (index, (layer, slot)) in self.graph.layers().iter().zip(slots).enumerate() {
            let call = self.call(index, layer)?;
            let in_place = layer.op.is_in_place();
            output = Place::new(slot.output, layer.output.len());
            let moves = slot.output != input;
            let places = [
                output,
                Place {
                    offset: slot.saved,
                    len: slot.saved_len,
                },
                Place::new(input, layer.input.len()).unless(outside.is_some() || !moves),
            ];
            let [y, saved, x] = workspace.tensors(places, batch)?;
            let x = outside.take().unwrap_or(x);
            if !in_place {
                layers::forward_mapping::<G>(call, x, y, saved);
            } else {
                elementwise::copy(x, y);
                layers::forward_in_place::<G>(call, y, saved, mode);
            }
            input = slot.output;
        }
        Some(output)
    }

    /// Runs back from the gradient of the output, which is in its place, to the lowest layer that learns, and adds the gradients
    /// of the weights to `gradients`: the trainable layers' alone, in layer order.
    #[inline(never)]
    pub(crate) fn backward(
        &self,
        workspace: &mut Workspace<'_>,
        forward: &[ForwardSlot],
        backward: &[BackwardSlot],
        input: u32,
        mode: Mode,
        gradients: &mut [f32],
    ) -> Option<()> {
        let batch = self.batch;
        let mut rest = gradients;
        let slots = forward.iter().zip(backward);
        let mut layers = self.graph.layers().iter().zip(slots).enumerate().rev();
        let mut next = layers.next();
        while let Some((index, (layer, (forward_slot, slot)))) = next {
            next = layers.next();
            let call = self.call(index, layer)?;
            let in_place = layer.op.is_in_place();
            let (below, below_gradient) = match next {
                None => (input, NOWHERE),
                Some((_, (_, (forward, backward)))) => (forward.output, backward.gradient),
            };
            let x = Place::new(below, layer.input.len());
            let dx = Place::new(below_gradient, layer.input.len());
            let y = Place::new(forward_slot.output, layer.output.len());
            let dy = Place::new(slot.gradient, layer.output.len());
            let saved = Place {
                offset: forward_slot.saved,
                len: forward_slot.saved_len,
            };
            let scratch = Place {
                offset: slot.scratch,
                len: slot.scratch_len,
            };

            let before = rest.len().saturating_sub(layer.trainable_weights());
            let (before, own) = core::mem::take(&mut rest).split_at_mut_checked(before)?;
            rest = before;

            if !in_place {
                let x = x.unless(!layer.learns());
                let [dy, saved, scratch, x] = workspace.tensors([dy, saved, scratch, x], batch)?;
                layers::backward_weights::<G>(call, x, dy, saved, scratch, own);
            }
            if rest.is_empty() {
                break;
            }
            if in_place {
                workspace.copy(dy, dx, batch)?;
                let y = y.unless(!layer.op.keeps_output());
                let [dx, saved, y] = workspace.tensors([dx, saved, y], batch)?;
                layers::backward_in_place::<G>(call, y, saved, dx, mode);
            } else {
                let again = layer.op.reads_input_for_its_gradient();
                let kept = if again { saved } else { scratch };
                let x = x.unless(!again);
                let [dy, kept, x, dx] = workspace.tensors([dy, kept, x, dx], batch)?;
                layers::backward_mapping::<G>(call, x, dy, kept, dx);
            }
        }
        Some(())
    }
}
