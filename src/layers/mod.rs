//! The layers: one file each, with its law, its sizes, its forward and its backward pass.
//!
//! This file says what every layer has in common and hands each call to the layer's own file.

mod activation;
mod custom;
mod dense;
mod dropout;
mod light_dense;
mod softmax;

pub(crate) use softmax::shifted_exponentials;

pub use custom::{CustomBackward, CustomForward, CustomLayer, CustomSizes};

use crate::error::{BuildError, Error};
use crate::network::Layer;
use crate::plan::Graph;
use crate::rng::Rng;
use crate::shape::Shape;

/// What a layer computes.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Op {
    /// `y = x · kernel + bias`, `kernel [in, units]`, `bias [units]`.
    ///
    /// Follows Keras's `Dense`. `in · units` multiply-accumulates.
    Dense {
        /// The length of the output.
        units: u16,
    },
    /// `y = (2 / units) · (x · kernel1) · kernel2 + bias`, `kernel1 [in, rank]`, `kernel2 [rank, units]`, `bias [units]`.
    ///
    /// The paper's LightDense (arXiv 2101.02268): each factor is scaled by `sqrt(2 / units)`.
    /// `in · rank + rank · units` multiply-accumulates and as many weights, and the bias.
    LightDense {
        /// The length of the output.
        units: u16,
        /// The length of the vector between the factors.
        rank: u16,
    },
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x` where it is positive, `slope · x` elsewhere.
    LeakyRelu {
        /// The slope for negative values, 0 to 1.
        slope: f32,
    },
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `exp(x) / Σ exp(x)` over the channels.
    Softmax,
    /// An image as a vector.
    Flatten,
    /// In training, sets a share `rate` of the values to 0 and divides the others by `1 - rate`.
    Dropout {
        /// The share of values that are set to 0, in `0..1`.
        rate: f32,
    },
    /// A layer of the user's own; added by [`Network::custom`](crate::Network::custom), which gives the shape of its output too.
    Custom {
        /// What it computes.
        layer: &'static dyn CustomLayer,
        /// The values per sample that its forward pass keeps for its backward pass.
        saved: u16,
    },
}

impl Op {
    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Self::Dense { .. } => Kind::Dense,
            Self::LightDense { .. } => Kind::LightDense,
            Self::Relu => Kind::Relu,
            Self::Relu6 => Kind::Relu6,
            Self::LeakyRelu { .. } => Kind::LeakyRelu,
            Self::Sigmoid => Kind::Sigmoid,
            Self::Tanh => Kind::Tanh,
            Self::Softmax => Kind::Softmax,
            Self::Flatten => Kind::Flatten,
            Self::Dropout { .. } => Kind::Dropout,
            Self::Custom { .. } => Kind::Custom,
        }
    }
}

impl Op {
    /// The output may lie where the input lay, and the gradients likewise.
    pub(crate) const fn is_in_place(&self) -> bool {
        !matches!(
            self,
            Self::Dense { .. } | Self::LightDense { .. } | Self::Custom { .. }
        )
    }

    /// The input's gradient cannot take the input's place.
    pub(crate) const fn reads_input_for_its_gradient(&self) -> bool {
        matches!(self, Self::Custom { .. })
    }

    /// Backward reads the output.
    pub(crate) const fn keeps_output(&self) -> bool {
        matches!(self, Self::Sigmoid | Self::Tanh | Self::Softmax)
    }
}

/// The kinds of layers, for asking which of them a network uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Dense,
    LightDense,
    Relu,
    Relu6,
    LeakyRelu,
    Sigmoid,
    Tanh,
    Softmax,
    Flatten,
    Dropout,
    Custom,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::LightDense => "light_dense",
            Self::Relu => "relu",
            Self::Relu6 => "relu6",
            Self::LeakyRelu => "leaky_relu",
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
            Self::Softmax => "softmax",
            Self::Flatten => "flatten",
            Self::Dropout => "dropout",
            Self::Custom => "custom",
        }
    }
}

/// A set of [`Kind`]s. The code of a kind that is not in a network's set is not linked.
#[derive(Clone, Copy, Debug)]
pub struct Kinds(u32);

impl Kinds {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const ALL: Self = Self(u32::MAX);

    pub(crate) const fn with(self, kind: Kind) -> Self {
        Self(self.0 | 1 << kind as u32)
    }

    pub(crate) const fn has(self, kind: Kind) -> bool {
        self.0 >> (kind as u32) & 1 == 1
    }
}

/// How the weights of a tensor start. `fan_in` and `fan_out` are the terms that one output sums up and the outputs that one input reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Initializer {
    /// Uniform in ±sqrt(6 / (fan_in + fan_out)), Keras's default.
    GlorotUniform,
    /// Normal with variance 2 / fan_in, cut off at two standard deviations; for layers before a ReLU.
    HeNormal,
    /// All 0.
    Zeros,
    /// All 1.
    Ones,
}

/// What a tensor of weights is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    Kernel,
    Bias,
    /// A custom layer's weights, which it fills itself.
    Custom,
}

/// One tensor of a layer's weights.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tensor {
    pub(crate) role: Role,
    pub(crate) len: usize,
    pub(crate) fan_in: usize,
    pub(crate) fan_out: usize,
}

const MAX_TENSORS: usize = 4;

/// The tensors of a layer in the order in which they lie in its weights.
pub(crate) struct Tensors {
    items: [Tensor; MAX_TENSORS],
    len: usize,
}

impl Tensors {
    const fn new() -> Self {
        let none = Tensor {
            role: Role::Bias,
            len: 0,
            fan_in: 0,
            fan_out: 0,
        };
        Self {
            items: [none; MAX_TENSORS],
            len: 0,
        }
    }

    const fn with(mut self, role: Role, len: usize, fan_in: usize, fan_out: usize) -> Self {
        self.items[self.len] = Tensor {
            role,
            len,
            fan_in,
            fan_out,
        };
        self.len += 1;
        self
    }

    /// A kernel of a fully connected layer, `[inputs, outputs]`.
    const fn matrix(self, inputs: usize, outputs: usize) -> Self {
        self.with(Role::Kernel, inputs * outputs, inputs, outputs)
    }

    const fn bias(self, present: bool, len: usize) -> Self {
        if present {
            self.with(Role::Bias, len, len, len)
        } else {
            self
        }
    }

    pub(crate) const fn as_slice(&self) -> &[Tensor] {
        self.items.split_at(self.len).0
    }

    pub(crate) const fn has_kernel(&self) -> bool {
        self.len > 0 && matches!(self.items[0].role, Role::Kernel)
    }

    pub(crate) const fn total(&self) -> usize {
        let mut sum = 0;
        let mut i = 0;
        while i < self.len {
            sum += self.items[i].len;
            i += 1;
        }
        sum
    }
}

/// The tensors of a layer; a custom one has a single tensor of `custom` weights.
pub(crate) const fn tensors(layer: &Layer, custom: usize) -> Tensors {
    let inputs = layer.input.len();
    let none = Tensors::new();
    match layer.op {
        Op::Dense { units } => dense::tensors(inputs, units as usize, layer.bias),
        Op::LightDense { units, rank } => {
            light_dense::tensors(inputs, rank as usize, units as usize, layer.bias)
        }
        Op::Custom { .. } if custom > 0 => none.with(Role::Custom, custom, 0, 0),
        _ => none,
    }
}

pub(crate) const fn multiply_accumulates(layer: &Layer) -> usize {
    let (inputs, outputs) = (layer.input.len(), layer.output.len());
    match layer.op {
        Op::Dense { .. } => inputs * outputs,
        Op::LightDense { rank, .. } => (inputs + outputs) * rank as usize,
        _ => 0,
    }
}

/// The shape of the output, or why the input or a setting is wrong.
pub(crate) const fn output_shape(op: &Op, input: Shape) -> Result<Shape, BuildError> {
    let layer = op.kind().name();
    match *op {
        Op::Dense { units } => dense::output_shape(layer, input, units),
        Op::LightDense { rank: 0, .. } => Err(BuildError::Zero {
            layer,
            what: "rank",
        }),
        Op::LightDense { units, .. } => dense::output_shape(layer, input, units),
        Op::LeakyRelu { slope } => activation::check_slope(layer, slope, input),
        Op::Dropout { rate } => dropout::check_rate(layer, rate, input),
        Op::Flatten => {
            if input.len() > u16::MAX as usize {
                return Err(BuildError::TooLarge {
                    layer,
                    what: "the length of its output",
                    most: u16::MAX as usize,
                    found: input.len(),
                });
            }
            Ok(Shape::flat(input.len() as u16))
        }
        _ => Ok(input),
    }
}

/// How far into a layer's backward pass its input must be kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Until {
    /// Backward does not read the input.
    Forward,
    /// The gradients of the weights need it; the input's gradient may then take its place.
    WeightGradients,
    /// The input's gradient needs it too.
    InputGradient,
}

/// What the memory planner must know of a layer, in elements per sample.
pub(crate) struct Needs {
    /// What backward reads of the input.
    pub(crate) input: Until,
    /// Kept from forward to backward.
    pub(crate) saved: usize,
    /// Used within one forward pass where nothing is kept: 0, or as many as `saved`.
    pub(crate) forward_scratch: usize,
    /// Used within one backward pass.
    pub(crate) backward_scratch: usize,
}

impl Needs {
    const NOTHING: Self = Self {
        input: Until::Forward,
        saved: 0,
        forward_scratch: 0,
        backward_scratch: 0,
    };
}

impl Until {
    const fn weight_gradients_of(layer: &Layer) -> Self {
        if layer.learns() {
            Self::WeightGradients
        } else {
            Self::Forward
        }
    }
}

pub(crate) const fn needs(layer: &Layer) -> Needs {
    match layer.op {
        Op::Dense { .. } => Needs {
            input: Until::weight_gradients_of(layer),
            ..Needs::NOTHING
        },
        Op::LightDense { rank, .. } => {
            light_dense::needs(rank as usize, Until::weight_gradients_of(layer))
        }
        Op::Relu | Op::Relu6 | Op::LeakyRelu { .. } => Needs {
            saved: activation::mask_len(layer.output.len()),
            ..Needs::NOTHING
        },
        Op::Custom { saved, .. } => Needs {
            input: Until::InputGradient,
            saved: saved as usize,
            forward_scratch: saved as usize,
            ..Needs::NOTHING
        },
        _ => Needs::NOTHING,
    }
}

/// Which pass a forward call belongs to.
#[derive(Clone, Copy)]
pub(crate) enum Mode {
    Inference,
    /// What backward needs is kept; random layers draw from the minibatch's stream.
    Training(Stream),
}

/// Names the random numbers of one minibatch: the same however it is cut into parts.
#[derive(Clone, Copy)]
pub(crate) struct Stream {
    pub(crate) seed: u64,
    pub(crate) step: u32,
    /// The place of the part's first sample within the minibatch.
    pub(crate) first_sample: u32,
}

impl Stream {
    fn rng(self, layer: usize, sample: usize) -> Rng {
        Rng::keyed(
            self.seed,
            [
                self.step,
                layer as u32,
                self.first_sample.wrapping_add(sample as u32),
            ],
        )
    }
}

/// Where a layer stands in its network, and how many samples it works on.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) layer: &'a Layer,
    pub(crate) index: usize,
    pub(crate) batch: usize,
    pub(crate) weights: &'a [f32],
}

impl Call<'_> {
    /// The lengths of input and output of a layer that takes and gives vectors.
    fn flat_lengths(&self) -> (usize, usize) {
        let (input, output) = (self.layer.input, self.layer.output);
        (input.channels as usize, output.channels as usize)
    }
}

/// A layer whose output has a place of its own.
pub(crate) fn forward_mapping<G: Graph>(
    call: Call<'_>,
    x: &[f32],
    y: &mut [f32],
    saved: &mut [f32],
) {
    match call.layer.op {
        Op::Dense { .. } if const { G::USES.has(Kind::Dense) } => {
            dense::forward(call, x, y);
        }
        Op::LightDense { units, rank } if const { G::USES.has(Kind::LightDense) } => {
            light_dense::forward(call, units as usize, rank as usize, x, y, saved);
        }
        Op::Custom { layer, .. } if const { G::USES.has(Kind::Custom) } => {
            layer.forward(CustomForward {
                weights: call.weights,
                batch: call.batch,
                input: x,
                output: y,
                saved,
            });
        }
        _ => {}
    }
}

/// A layer that changes its values in place.
pub(crate) fn forward_in_place<G: Graph>(
    call: Call<'_>,
    y: &mut [f32],
    saved: &mut [f32],
    mode: Mode,
) {
    match call.layer.op {
        Op::Relu if const { G::USES.has(Kind::Relu) } => {
            activation::relu_forward(y, saved);
        }
        Op::Relu6 if const { G::USES.has(Kind::Relu6) } => {
            activation::relu6_forward(y, saved);
        }
        Op::LeakyRelu { slope } if const { G::USES.has(Kind::LeakyRelu) } => {
            activation::leaky_relu_forward(slope, y, saved);
        }
        Op::Sigmoid if const { G::USES.has(Kind::Sigmoid) } => activation::sigmoid_forward(y),
        Op::Tanh if const { G::USES.has(Kind::Tanh) } => activation::tanh_forward(y),
        Op::Softmax if const { G::USES.has(Kind::Softmax) } => {
            softmax::forward(call.layer.output.channels as usize, y);
        }
        Op::Dropout { rate } if const { G::USES.has(Kind::Dropout) } => {
            dropout::apply(call, rate, y, mode);
        }
        _ => {}
    }
}

/// The first half of a layer's backward pass: adds the gradients of its weights to `gradients` (empty if it is frozen), and
/// leaves in `scratch` what the second half needs.
#[inline(never)]
pub(crate) fn backward_weights<G: Graph>(
    call: Call<'_>,
    x: &[f32],
    dy: &[f32],
    saved: &[f32],
    scratch: &mut [f32],
    gradients: &mut [f32],
) {
    match call.layer.op {
        Op::Dense { .. } if const { G::USES.has(Kind::Dense) } => {
            dense::backward_weights(call, x, dy, gradients);
        }
        Op::LightDense { units, rank } if const { G::USES.has(Kind::LightDense) } => {
            light_dense::backward_weights(
                call,
                (units as usize, rank as usize),
                x,
                dy,
                saved,
                scratch,
                gradients,
            );
        }
        Op::Custom { layer, .. } if const { G::USES.has(Kind::Custom) } && call.layer.learns() => {
            layer.backward_weights(
                CustomBackward {
                    weights: call.weights,
                    batch: call.batch,
                    input: x,
                    output_gradient: dy,
                    saved,
                },
                gradients,
            );
        }
        _ => {}
    }
}

/// The second half where the input's gradient has a place of its own. `kept` is what forward saved for a layer that reads its input
/// again, and what the first half left in scratch for all others.
pub(crate) fn backward_mapping<G: Graph>(
    call: Call<'_>,
    x: &[f32],
    dy: &[f32],
    kept: &[f32],
    dx: &mut [f32],
) {
    match call.layer.op {
        Op::Dense { .. } if const { G::USES.has(Kind::Dense) } => {
            dense::backward_input(call, dy, dx);
        }
        Op::LightDense { rank, .. } if const { G::USES.has(Kind::LightDense) } => {
            light_dense::backward_input(call, rank as usize, kept, dx);
        }
        Op::Custom { layer, .. } if const { G::USES.has(Kind::Custom) } => {
            layer.backward_input(
                CustomBackward {
                    weights: call.weights,
                    batch: call.batch,
                    input: x,
                    output_gradient: dy,
                    saved: kept,
                },
                dx,
            );
        }
        _ => {}
    }
}

/// The second half where the gradient changes in place; `y` is the output where the layer needs it.
pub(crate) fn backward_in_place<G: Graph>(
    call: Call<'_>,
    y: &[f32],
    saved: &[f32],
    gradient: &mut [f32],
    mode: Mode,
) {
    match call.layer.op {
        Op::Relu if const { G::USES.has(Kind::Relu) } => {
            activation::relu_backward(saved, gradient, 0.0);
        }
        Op::Relu6 if const { G::USES.has(Kind::Relu6) } => {
            activation::relu_backward(saved, gradient, 0.0);
        }
        Op::LeakyRelu { slope } if const { G::USES.has(Kind::LeakyRelu) } => {
            activation::relu_backward(saved, gradient, slope);
        }
        Op::Sigmoid if const { G::USES.has(Kind::Sigmoid) } => {
            activation::sigmoid_backward(y, gradient);
        }
        Op::Tanh if const { G::USES.has(Kind::Tanh) } => activation::tanh_backward(y, gradient),
        Op::Softmax if const { G::USES.has(Kind::Softmax) } => {
            softmax::backward(call.layer.output.channels as usize, y, gradient);
        }
        Op::Dropout { rate } if const { G::USES.has(Kind::Dropout) } => {
            dropout::apply(call, rate, gradient, mode);
        }
        _ => {}
    }
}

/// Fills a layer's weights with their starting values.
pub(crate) fn initialize(layer: &Layer, weights: &mut [f32], rng: &mut Rng) -> Result<(), Error> {
    let mut rest = weights;
    for tensor in tensors(layer, layer.weights()).as_slice() {
        let (values, after) = core::mem::take(&mut rest)
            .split_at_mut_checked(tensor.len)
            .ok_or(Error::Plan)?;
        rest = after;
        match (tensor.role, layer.op) {
            (Role::Kernel, _) => {
                layer
                    .kernel_initializer
                    .fill(values, tensor.fan_in, tensor.fan_out, rng);
            }
            (_, Op::Custom { layer, .. }) => layer.initialize(values, rng),
            _ => values.fill(0.0),
        }
    }
    Ok(())
}

impl Initializer {
    fn fill(self, values: &mut [f32], fan_in: usize, fan_out: usize, rng: &mut Rng) {
        match self {
            Self::GlorotUniform => {
                let limit = crate::math::sqrt(6.0 / (fan_in + fan_out) as f32);
                values.fill_with(|| (2.0 * rng.uniform() - 1.0) * limit);
            }
            Self::HeNormal => {
                // The standard deviation of a normal distribution that is cut off at two of its standard deviations.
                const CUT_DEVIATION: f32 = 0.879_625_7;
                let deviation = crate::math::sqrt(2.0 / fan_in as f32) / CUT_DEVIATION;
                values.fill_with(|| {
                    loop {
                        let value = rng.normal();
                        if value.abs() <= 2.0 {
                            return value * deviation;
                        }
                    }
                });
            }
            Self::Zeros => values.fill(0.0),
            Self::Ones => values.fill(1.0),
        }
    }
}
