//! Inference of a quantized network.

use super::Quantization;
use super::check::{BadHead, check_heads};
use super::layout::{self, ADD, CHANNEL, HEAD, SOFTMAX};
use crate::error::{Buffer, Error};
use crate::infer::check_layers;
use crate::kernels::int8::{self, Addition, Convolution, Depthwise, Requantize, SoftmaxScale};
use crate::kernels::rows;
use crate::layers::{Kind, Op};
use crate::network::Layer;
use crate::plan::{ForwardSlot, Graph, NOWHERE};

/// Runs a quantized network: weights of [`quantize`](super::quantize) or from a model file, and a workspace of
/// [`Network::quantized_workspace`](crate::Network::quantized_workspace) words.
///
/// The integers are the same on every processor. See [`quant`](super) for an example.
#[derive(Debug)]
pub struct Int8Inference<'m, G> {
    graph: G,
    weights: &'m [u32],
    workspace: &'m mut [u32],
}

impl<'m, G: Graph> Int8Inference<'m, G> {
    /// A session of `graph`, a [`Model`](crate::Model) or a `&`[`Plan`](crate::Plan).
    ///
    /// The words are taken as they are: those of another network with as many of them compute wrong numbers. A model file knows its
    /// network: [`file`](crate::file) refuses the words of another one, while compiling or when it is read.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if a buffer does not have the length that the network needs, [`Error::Unquantizable`] if it has a layer that cannot be
    /// quantized.
    pub fn new(graph: G, weights: &'m [u32], workspace: &'m mut [u32]) -> Result<Self, Error> {
        let sizes = graph.sizes();
        check_layers(&graph)?;
        check_kinds(&graph)?;
        let (expected, found) = (sizes.quantized_weights, weights.len());
        Error::check_length(Buffer::QuantizedWeights, expected, found)?;
        if workspace.len() < sizes.quantized {
            return Err(Error::Length {
                buffer: Buffer::Workspace,
                expected: sizes.quantized,
                found: workspace.len(),
            });
        }
        Ok(Self {
            graph,
            weights,
            workspace,
        })
    }

    /// How the input's real numbers are integers.
    pub fn input_quantization(&self) -> Quantization {
        Head::of(self.weights).quantization
    }

    /// What the output's integers mean.
    pub fn output_quantization(&self) -> Quantization {
        let layers = self.graph.layers();
        let last = layout::words(layers, layers.len().saturating_sub(1));
        let start = self.weights.len().saturating_sub(last);
        Head::of(self.weights.get(start..).unwrap_or_default()).quantization
    }

    /// What a tensor's integers mean: 0 is the network's input, `i + 1` the output of layer `i`. None behind the last one.
    ///
    /// That of a tensor which a ReLU is about to change is the ReLU's own, if the layer before does it.
    pub fn quantization(&self, tensor: usize) -> Option<Quantization> {
        let layers = self.graph.layers();
        let record = self.weights.get(layout::record(layers, tensor)?)?;
        Some(Head::of(record).quantization)
    }

    /// The outputs of one sample.
    ///
    /// Costs [`Network::multiply_accumulates`](crate::Network::multiply_accumulates).
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if `input` is not one sample.
    pub fn run(&mut self, input: &[i8]) -> Result<&[i8], Error> {
        let mut pass = self.begin(input)?;
        for index in 0..pass.graph.layers().len() {
            pass.step(index).ok_or(Error::Plan)?;
        }
        self.output().ok_or(Error::Plan)
    }

    /// As [`run`](Self::run), from real numbers; `quantized` takes them as integers.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if `input` or `quantized` is not one sample; [`Error::NonFiniteInput`] if a value of the input is not finite.
    pub fn run_real(&mut self, input: &[f32], quantized: &mut [i8]) -> Result<&[i8], Error> {
        Error::check_length(Buffer::Input, input.len(), quantized.len())?;
        check_finite(input)?;
        let quantization = self.input_quantization();
        for (quantized, real) in quantized.iter_mut().zip(input) {
            *quantized = quantization.quantize(*real);
        }
        self.run(quantized)
    }

    pub(super) fn graph(&self) -> &G {
        &self.graph
    }

    /// Looks at all words that can be told from those of another network.
    pub(super) fn check_weights(&self) -> Result<(), Error> {
        check_heads(self.graph.layers(), self.weights)
            .map_err(|BadHead { what, range, .. }| Error::OutOfRange { what, range })
    }

    /// Before the first layer.
    pub(super) fn begin<'a>(&'a mut self, input: &'a [i8]) -> Result<Pass<'a, G>, Error> {
        let expected = self.graph.sizes().input;
        Error::check_length(Buffer::Input, expected, input.len())?;
        Ok(Pass {
            graph: &self.graph,
            weights: self.weights,
            records: self.weights.get(HEAD..).ok_or(Error::Plan)?,
            input,
            tensors: bytemuck::must_cast_slice_mut(self.workspace),
            previous: NOWHERE,
        })
    }

    pub(super) fn output(&self) -> Option<&[i8]> {
        let start = self.graph.quantized_slots().last()?.output as usize;
        let tensors = bytemuck::must_cast_slice::<u32, i8>(self.workspace);
        tensors.get(start..start + self.graph.sizes().output)
    }
}

/// An input without NaN and infinities, which have no integer.
pub(super) fn check_finite(input: &[f32]) -> Result<(), Error> {
    match input.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(Error::NonFiniteInput { index }),
        None => Ok(()),
    }
}

/// A network of layers that can be quantized.
pub(crate) fn check_kinds<G: Graph>(graph: &G) -> Result<(), Error> {
    let bad = [
        (
            Kind::BatchNorm,
            "batch_norm",
            "fold_batch_norm takes it into the layer before it",
        ),
        (
            Kind::LightDense,
            "light_dense",
            "split_factors makes two layers of it",
        ),
        (
            Kind::LightConv2d,
            "light_conv2d",
            "split_factors makes two layers of it",
        ),
        (
            Kind::SeparableConv2d,
            "separable_conv2d",
            "split_factors makes two layers of it",
        ),
        (Kind::Custom, "custom", "its law is not known"),
    ];
    for (kind, name, why) in bad {
        if G::USES.has(kind)
            && let Some(layer) = graph.layers().iter().position(|layer| layer.kind() == kind)
        {
            return Err(Error::Unquantizable { layer, name, why });
        }
    }
    Ok(())
}

/// The first words of a tensor's record.
#[derive(Clone, Copy)]
pub(super) struct Head {
    pub(super) quantization: Quantization,
    pub(super) exponent: u8,
    /// The zero point of the tensor that the layer reads.
    pub(super) source_zero: i8,
}

impl Head {
    pub(super) const fn of(record: &[u32]) -> Self {
        let [scale, rest] = match record.first_chunk() {
            Some(head) => *head,
            None => [0; HEAD],
        };
        let [zero_point, exponent, source_zero, _] = rest.to_ne_bytes();
        Self {
            quantization: Quantization {
                scale: f32::from_bits(scale),
                zero_point: zero_point as i8,
            },
            exponent,
            source_zero: source_zero as i8,
        }
    }

    pub(super) fn write(self, record: &mut [u32]) {
        let bytes = [
            self.quantization.zero_point as u8,
            self.exponent,
            self.source_zero as u8,
            0,
        ];
        if let Some(head) = record.first_chunk_mut() {
            let scale = self.quantization.scale.to_bits();
            *head = [scale, u32::from_ne_bytes(bytes)];
        }
    }

    fn requantize(self) -> Requantize {
        Requantize {
            exponent: self.exponent.into(),
            zero_point: self.quantization.zero_point.into(),
        }
    }
}

/// A pass over the layers, between two of them.
pub(super) struct Pass<'a, G> {
    pub(super) graph: &'a G,
    weights: &'a [u32],
    /// Of the layers that are left.
    records: &'a [u32],
    input: &'a [i8],
    tensors: &'a mut [i8],
    /// Where the layer before wrote.
    previous: u32,
}

impl<G: Graph> Pass<'_, G> {
    /// Runs the next layer, which is that of `index`. None if a plan does not fit its buffers, which no plan does.
    pub(super) fn step(&mut self, index: usize) -> Option<()> {
        let layers = self.graph.layers();
        let layer = layers.get(index)?;
        let slots = self.graph.quantized_slots();
        let slot = slots.get(index)?;
        let words = layout::words(layers, index);
        let (record, rest) = self.records.split_at_checked(words)?;
        self.records = rest;
        let value = |tensor: u8| match tensor.checked_sub(1) {
            None => Some(NOWHERE),
            Some(layer) => Some(slots.get(usize::from(layer))?.output),
        };
        let from = if const { G::IS_CHAIN } {
            self.previous
        } else {
            value(layer.source)?
        };
        self.previous = slot.output;
        let second = if const { G::USES.has(Kind::Add) } && matches!(layer.op, Op::Add) {
            value(layer.second)?
        } else {
            slot.output
        };
        let places = Places {
            slot,
            from,
            second,
            input_len: layer.input.len(),
            output_len: layer.output.len(),
        };
        let [y, scratch, x, other] = places.cut(self.tensors)?;
        let x = if from == NOWHERE { self.input } else { &*x };
        let other = if second == NOWHERE {
            self.input
        } else {
            &*other
        };
        let (_, own) = record.split_at_checked(HEAD)?;
        let head = Head::of(record);
        if layer.op.is_in_place() {
            if from != slot.output {
                int8::copy(x, y.get_mut(..x.len())?);
            }
            in_place::<G>(layer, head, own, other, y)
        } else {
            let rows = bytemuck::try_cast_slice_mut(scratch).ok()?;
            mapping::<G>(layer, head, own, x, rows, y)
        }
    }

    /// What a layer that has just run wrote, and what it means.
    pub(super) fn output_of(&self, index: usize) -> Option<(&[i8], Quantization)> {
        let layers = self.graph.layers();
        let start = self.graph.quantized_slots().get(index)?.output as usize;
        let values = self
            .tensors
            .get(start..start + layers.get(index)?.output.len())?;
        let record = self.weights.get(layout::record(layers, index + 1)?)?;
        Some((values, Head::of(record).quantization))
    }
}

/// Where a layer reads and writes, in bytes.
struct Places<'a> {
    slot: &'a ForwardSlot,
    from: u32,
    second: u32,
    input_len: usize,
    output_len: usize,
}

impl Places<'_> {
    /// Output, scratch, input and the other input; those that lie outside or are the output are empty.
    fn cut<'t>(&self, tensors: &'t mut [i8]) -> Option<[&'t mut [i8]; 4]> {
        let range = |start: u32, len: usize| {
            if start == NOWHERE || len == 0 {
                0..0
            } else {
                start as usize..start as usize + len
            }
        };
        let unless_output = |place: u32, len| if place == self.slot.output { 0 } else { len };
        tensors
            .get_disjoint_mut([
                range(self.slot.output, self.output_len),
                range(self.slot.saved, self.slot.saved_len as usize),
                range(self.from, unless_output(self.from, self.input_len)),
                range(self.second, unless_output(self.second, self.output_len)),
            ])
            .ok()
    }
}

/// A layer whose output has a place of its own.
fn mapping<G: Graph>(
    layer: &Layer,
    head: Head,
    record: &[u32],
    x: &[i8],
    rows: &mut [u32],
    y: &mut [i8],
) -> Option<()> {
    let channels = usize::from(layer.input.channels);
    let (requantize, zero) = (head.requantize(), head.source_zero);
    match layer.op {
        Op::Dense { .. } if const { G::USES.has(Kind::Dense) } => {
            int8::dense(x, record, requantize, y);
        }
        Op::Conv2d { .. } if const { G::USES.has(Kind::Conv2d) } => {
            let convolution = Convolution {
                geometry: layout::geometry(layer)?,
                x,
                zero,
                record,
                requantize,
                rows,
                y,
            };
            convolution.run();
        }
        Op::DepthwiseConv2d { multiplier, window } if const { G::USES.has(Kind::DepthwiseConv2d) } =>
        {
            let depthwise = Depthwise {
                window: window.between(layer.input, layer.output),
                channels,
                multiplier: multiplier.into(),
                x,
                zero,
                record,
                requantize,
                y,
            };
            depthwise.run();
        }
        Op::MaxPool2d { window } if const { G::USES.has(Kind::MaxPool2d) } => {
            int8::max_pool(window.between(layer.input, layer.output), channels, x, y);
        }
        Op::AveragePool2d { window } if const { G::USES.has(Kind::AveragePool2d) } => {
            int8::average_pool(window.between(layer.input, layer.output), channels, x, y);
        }
        Op::GlobalAveragePool if const { G::USES.has(Kind::GlobalAveragePool) } => {
            let channel = record.first_chunk::<CHANNEL>()?.map(u32::cast_signed);
            int8::global_average(x, channel, requantize, y);
        }
        Op::GlobalMaxPool if const { G::USES.has(Kind::GlobalMaxPool) } => {
            int8::global_maximum(x, y);
        }
        Op::ZeroPadding2d { border } if const { G::USES.has(Kind::ZeroPadding2d) } => {
            y.fill(zero);
            let row_len = channels * usize::from(layer.input.width);
            let target_len = channels * usize::from(layer.output.width);
            let first = channels * usize::from(border.left);
            let targets = rows::rows_mut(y, target_len).skip(border.top.into());
            for (target, source) in targets.zip(rows::rows(x, row_len)) {
                let target = target.get_mut(first..first + row_len)?;
                for (y, x) in target.iter_mut().zip(source) {
                    *y = *x;
                }
            }
        }
        _ => {}
    }
    Some(())
}

/// A layer that changes its values in place; `other` is what an addition adds.
fn in_place<G: Graph>(
    layer: &Layer,
    head: Head,
    record: &[u32],
    other: &[i8],
    y: &mut [i8],
) -> Option<()> {
    match layer.op {
        Op::Add if const { G::USES.has(Kind::Add) } => {
            let [first, second, offset] = record.first_chunk::<ADD>()?.map(u32::cast_signed);
            let addition = Addition {
                multipliers: [first, second],
                offset,
                exponent: head.exponent.into(),
            };
            int8::add(addition, other, y);
        }
        Op::Softmax if const { G::USES.has(Kind::Softmax) } => {
            let [multiplier, exponent, smallest] =
                record.first_chunk::<SOFTMAX>()?.map(u32::cast_signed);
            let scale = SoftmaxScale {
                multiplier,
                exponent: exponent as u32,
                smallest,
            };
            int8::softmax(scale, layer.output.channels.into(), y);
        }
        // A ReLU that the layer before has done has no table.
        Op::Relu | Op::Relu6 | Op::LeakyRelu { .. } | Op::Sigmoid | Op::Tanh
            if const { uses_tables::<G>() } =>
        {
            if let Some(table) = bytemuck::must_cast_slice::<u32, u8>(record).first_chunk::<256>() {
                int8::look_up(y, table);
            }
        }
        _ => {}
    }
    Some(())
}

const fn uses_tables<G: Graph>() -> bool {
    G::USES.has(Kind::Relu)
        || G::USES.has(Kind::Relu6)
        || G::USES.has(Kind::LeakyRelu)
        || G::USES.has(Kind::Sigmoid)
        || G::USES.has(Kind::Tanh)
}
