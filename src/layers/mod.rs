//! The layers: one file each, with its law, its sizes, its forward and its backward pass.
//!
//! This file says what every layer has in common and hands each call to the layer's own file.

mod activation;
mod batch_norm;
mod conv2d;
mod custom;
mod dense;
mod depthwise_conv2d;
mod dropout;
mod global_pooling;
mod light_conv2d;
mod light_dense;
mod pooling;
mod separable_conv2d;
mod softmax;
mod window;
mod zero_padding2d;

pub(crate) use softmax::{largest, shifted_exponentials};

pub use custom::{CustomBackward, CustomForward, CustomLayer, CustomSizes};
pub use window::{Padding, WindowSize};
pub use zero_padding2d::Border;

use crate::error::{BuildError, Error};
use crate::kernels::lanes;
use crate::network::Layer;
use crate::plan::Graph;
use crate::quant::layout;
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
    /// `y = bias + x * kernel`, `kernel [rows, columns, channels, filters]`, `bias [filters]`.
    ///
    /// Follows Keras's `Conv2D`. `rows · columns · channels · filters` multiply-accumulates per output pixel.
    Conv2d {
        /// The channels of the output.
        filters: u16,
        /// Its window.
        window: WindowSize,
    },
    /// `y = bias2 + relu(bias1 + x * kernel1) * kernel2`, `kernel1 [rows, columns, channels, rank]`,
    /// `kernel2 [rows, columns, rank, filters]`.
    ///
    /// The paper's LightConv2D (arXiv 2101.02268). Both convolutions take the window, its stride and its padding.
    LightConv2d {
        /// The channels of the output.
        filters: u16,
        /// The channels between the factors.
        rank: u16,
        /// The window of both.
        window: WindowSize,
    },
    /// Every channel convolved with kernels of its own, `kernel [rows, columns, channels, multiplier]`.
    ///
    /// Follows Keras's `DepthwiseConv2D`.
    DepthwiseConv2d {
        /// The filters of each channel.
        multiplier: u16,
        /// Its window.
        window: WindowSize,
    },
    /// A depthwise convolution, then one of single pixels, `kernel1 [rows, columns, channels, multiplier]`,
    /// `kernel2 [1, 1, channels · multiplier, filters]`.
    ///
    /// Follows Keras's `SeparableConv2D`.
    SeparableConv2d {
        /// The channels of the output.
        filters: u16,
        /// The filters of each channel between the two.
        multiplier: u16,
        /// The window of the first.
        window: WindowSize,
    },
    /// `y = (x - mean) · gamma / sqrt(variance + epsilon) + beta` for each channel.
    ///
    /// Follows Keras's `BatchNormalization`: in training with the statistics of the batch, which the moving ones follow; at inference, and
    /// where it is frozen, with the moving ones. Where a minibatch is worked on in parts, the batch is the part.
    BatchNorm {
        /// The share of the moving statistics that stays.
        momentum: f32,
        /// What is added to the variance.
        epsilon: f32,
    },
    /// The largest value under each window. Follows Keras's `MaxPooling2D`.
    MaxPool2d {
        /// Its window, of at most 256 elements, without dilation.
        window: WindowSize,
    },
    /// The mean of the values under each window that are not padding. Follows Keras's `AveragePooling2D`.
    AveragePool2d {
        /// Its window, of at most 256 elements, without dilation.
        window: WindowSize,
    },
    /// The mean of each channel: a vector. Follows Keras's `GlobalAveragePooling2D`.
    GlobalAveragePool,
    /// The largest value of each channel: a vector. Follows Keras's `GlobalMaxPooling2D`, but the gradient goes to the first of equal
    /// largest values, where Keras shares it among them.
    GlobalMaxPool,
    /// Zeros around an image. Follows Keras's `ZeroPadding2D`.
    ZeroPadding2d {
        /// Rows and columns of zeros.
        border: Border,
    },
    /// The sum of two tensors of the same shape; added by [`Network::residual`](crate::Network::residual).
    Add,
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
            Self::Conv2d { .. } => Kind::Conv2d,
            Self::LightConv2d { .. } => Kind::LightConv2d,
            Self::DepthwiseConv2d { .. } => Kind::DepthwiseConv2d,
            Self::SeparableConv2d { .. } => Kind::SeparableConv2d,
            Self::BatchNorm { .. } => Kind::BatchNorm,
            Self::MaxPool2d { .. } => Kind::MaxPool2d,
            Self::AveragePool2d { .. } => Kind::AveragePool2d,
            Self::GlobalAveragePool => Kind::GlobalAveragePool,
            Self::GlobalMaxPool => Kind::GlobalMaxPool,
            Self::ZeroPadding2d { .. } => Kind::ZeroPadding2d,
            Self::Add => Kind::Add,
            Self::Custom { .. } => Kind::Custom,
        }
    }
}

impl Op {
    /// The same layer with the same settings: a new one does not compile until it is compared here. Two custom layers of the same sizes
    /// are taken for one, since constants cannot compare addresses.
    pub(crate) const fn same(&self, other: &Self) -> bool {
        const fn equal(a: f32, b: f32) -> bool {
            a.to_bits() == b.to_bits()
        }
        let other = *other;
        match *self {
            Self::Dense { units } => matches!(other, Self::Dense { units: u } if u == units),
            Self::LightDense { units, rank } => {
                matches!(other, Self::LightDense { units: u, rank: r } if u == units && r == rank)
            }
            Self::LeakyRelu { slope } => {
                matches!(other, Self::LeakyRelu { slope: s } if equal(s, slope))
            }
            Self::Dropout { rate } => matches!(other, Self::Dropout { rate: r } if equal(r, rate)),
            Self::Conv2d { filters, window } => {
                matches!(other, Self::Conv2d { filters: f, window: w } if f == filters && w.same(window))
            }
            Self::LightConv2d {
                filters,
                rank,
                window,
            } => {
                matches!(other, Self::LightConv2d { filters: f, rank: r, window: w }
                    if f == filters && r == rank && w.same(window))
            }
            Self::DepthwiseConv2d { multiplier, window } => {
                matches!(other, Self::DepthwiseConv2d { multiplier: m, window: w }
                    if m == multiplier && w.same(window))
            }
            Self::SeparableConv2d {
                filters,
                multiplier,
                window,
            } => {
                matches!(other, Self::SeparableConv2d { filters: f, multiplier: m, window: w }
                    if f == filters && m == multiplier && w.same(window))
            }
            Self::BatchNorm { momentum, epsilon } => {
                matches!(other, Self::BatchNorm { momentum: m, epsilon: e }
                    if equal(m, momentum) && equal(e, epsilon))
            }
            Self::MaxPool2d { window } => {
                matches!(other, Self::MaxPool2d { window: w } if w.same(window))
            }
            Self::AveragePool2d { window } => {
                matches!(other, Self::AveragePool2d { window: w } if w.same(window))
            }
            Self::ZeroPadding2d { border } => {
                matches!(other, Self::ZeroPadding2d { border: b } if b.same(border))
            }
            Self::Custom { layer: _, saved } => {
                matches!(other, Self::Custom { layer: _, saved: s } if s == saved)
            }
            Self::Relu
            | Self::Relu6
            | Self::Sigmoid
            | Self::Tanh
            | Self::Softmax
            | Self::Flatten
            | Self::GlobalAveragePool
            | Self::GlobalMaxPool
            | Self::Add => self.kind() as u8 == other.kind() as u8,
        }
    }

    /// The output may lie where the input lay.
    pub(crate) const fn is_in_place(&self) -> bool {
        matches!(
            self,
            Self::Relu
                | Self::Relu6
                | Self::LeakyRelu { .. }
                | Self::Sigmoid
                | Self::Tanh
                | Self::Softmax
                | Self::Flatten
                | Self::Dropout { .. }
                | Self::BatchNorm { .. }
                | Self::Add
        )
    }

    /// Backward reads the output.
    pub(crate) const fn keeps_output(&self) -> bool {
        matches!(self, Self::Sigmoid | Self::Tanh | Self::Softmax)
    }

    /// The window that slides over the input.
    pub(crate) const fn window(&self) -> Option<WindowSize> {
        match *self {
            Self::Conv2d { window, .. }
            | Self::LightConv2d { window, .. }
            | Self::DepthwiseConv2d { window, .. }
            | Self::SeparableConv2d { window, .. }
            | Self::MaxPool2d { window }
            | Self::AveragePool2d { window } => Some(window),
            _ => None,
        }
    }

    /// The same with another window.
    pub(crate) const fn with_window(mut self, new: WindowSize) -> Self {
        match &mut self {
            Self::Conv2d { window, .. }
            | Self::LightConv2d { window, .. }
            | Self::DepthwiseConv2d { window, .. }
            | Self::SeparableConv2d { window, .. }
            | Self::MaxPool2d { window }
            | Self::AveragePool2d { window } => *window = new,
            _ => {}
        }
        self
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
    Conv2d,
    LightConv2d,
    DepthwiseConv2d,
    SeparableConv2d,
    BatchNorm,
    MaxPool2d,
    AveragePool2d,
    GlobalAveragePool,
    GlobalMaxPool,
    ZeroPadding2d,
    Add,
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
            Self::Conv2d => "conv2d",
            Self::LightConv2d => "light_conv2d",
            Self::DepthwiseConv2d => "depthwise_conv2d",
            Self::SeparableConv2d => "separable_conv2d",
            Self::BatchNorm => "batch_norm",
            Self::MaxPool2d => "max_pool2d",
            Self::AveragePool2d => "average_pool2d",
            Self::GlobalAveragePool => "global_average_pool",
            Self::GlobalMaxPool => "global_max_pool",
            Self::ZeroPadding2d => "zero_padding2d",
            Self::Add => "add",
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

    /// Backward reads the output of one of them.
    pub(crate) const fn keep_output(self) -> bool {
        self.has(Kind::Sigmoid) || self.has(Kind::Tanh) || self.has(Kind::Softmax)
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
    /// The scale of batch normalization, which starts at 1.
    Gamma,
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
    /// In 64 bits: a layer that is not checked yet may have any number of weights, and tensors whose lengths are cut off.
    total: u64,
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
            total: 0,
        }
    }

    const fn with(mut self, role: Role, len: u64, fan_in: usize, fan_out: usize) -> Self {
        // Layers are read in firmware too, where nothing may panic.
        debug_assert!(self.len < MAX_TENSORS, "a layer has one tensor too many");
        if self.len < MAX_TENSORS {
            self.items[self.len] = Tensor {
                role,
                len: len as usize,
                fan_in,
                fan_out,
            };
            self.len += 1;
            self.total += len;
        }
        self
    }

    /// A kernel of a fully connected layer, `[inputs, outputs]`.
    const fn matrix(self, inputs: usize, outputs: usize) -> Self {
        let len = inputs as u64 * outputs as u64;
        self.with(Role::Kernel, len, inputs, outputs)
    }

    /// A kernel of a convolution, `[rows, columns, channels, filters]`, whose window has `area` elements.
    const fn convolution(self, area: usize, channels: usize, filters: usize) -> Self {
        // Each below 2^32: the factors are at most 255 · 255 and 65,535, or 1 and 65,535 · 65,535.
        let (fan_in, fan_out) = (area * channels, area * filters);
        self.with(
            Role::Kernel,
            fan_in as u64 * filters as u64,
            fan_in,
            fan_out,
        )
    }

    const fn gamma(self, channels: usize) -> Self {
        self.with(Role::Gamma, channels as u64, 0, 0)
    }

    const fn beta(self, channels: usize) -> Self {
        self.with(Role::Bias, channels as u64, 0, 0)
    }

    const fn bias(self, present: bool, len: usize) -> Self {
        if present {
            self.with(Role::Bias, len as u64, len, len)
        } else {
            self
        }
    }

    pub(crate) const fn as_slice(&self) -> &[Tensor] {
        match self.items.split_at_checked(self.len) {
            Some((items, _)) => items,
            None => &self.items,
        }
    }

    pub(crate) const fn has_kernel(&self) -> bool {
        self.len > 0 && matches!(self.items[0].role, Role::Kernel)
    }

    pub(crate) const fn total(&self) -> u64 {
        self.total
    }
}

/// The tensors of a layer; a custom one has a single tensor of `custom` weights.
pub(crate) const fn tensors(layer: &Layer, custom: usize) -> Tensors {
    let inputs = layer.input.len();
    let channels = layer.input.channels as usize;
    let bias = layer.bias();
    let none = Tensors::new();
    match layer.op {
        Op::Dense { units } => dense::tensors(inputs, units as usize, bias),
        Op::LightDense { units, rank } => {
            light_dense::tensors(inputs, rank as usize, units as usize, bias)
        }
        Op::Conv2d { filters, window } => conv2d::tensors(window, channels, filters as usize, bias),
        Op::LightConv2d {
            filters,
            rank,
            window,
        } => light_conv2d::tensors(window, channels, rank as usize, filters as usize, bias),
        Op::DepthwiseConv2d { multiplier, window } => {
            depthwise_conv2d::tensors(window, channels, multiplier as usize, bias)
        }
        Op::SeparableConv2d {
            filters,
            multiplier,
            window,
        } => separable_conv2d::tensors(
            window,
            channels,
            multiplier as usize,
            filters as usize,
            bias,
        ),
        Op::BatchNorm { .. } => batch_norm::tensors(channels),
        Op::Custom { .. } if custom > 0 => none.with(Role::Custom, custom as u64, 0, 0),
        _ => none,
    }
}

pub(crate) const fn multiply_accumulates(layer: &Layer) -> u64 {
    let (input, output) = (layer.input, layer.output);
    match layer.op {
        Op::Dense { .. } => input.values() * output.values(),
        Op::LightDense { rank, .. } => (input.values() + output.values()) * rank as u64,
        Op::Conv2d { window, .. } => window.area() as u64 * input.channels as u64 * output.values(),
        Op::LightConv2d { rank, window, .. } => {
            light_conv2d::multiply_accumulates(window, input, rank, output)
        }
        Op::DepthwiseConv2d { window, .. } => window.area() as u64 * output.values(),
        Op::SeparableConv2d {
            multiplier, window, ..
        } => separable_conv2d::multiply_accumulates(window, input, multiplier, output),
        _ => 0,
    }
}

/// The shape of the output, or why the input or a setting is wrong.
pub(crate) const fn output_shape(op: &Op, input: Shape, flat: bool) -> Result<Shape, BuildError> {
    let layer = op.kind().name();
    let takes_image = op.window().is_some()
        || matches!(
            op,
            Op::GlobalAveragePool | Op::GlobalMaxPool | Op::ZeroPadding2d { .. }
        );
    if takes_image && flat {
        return Err(BuildError::NotImage { layer, input });
    }
    match *op {
        Op::LightDense { rank: 0, .. } => Err(BuildError::Zero {
            layer,
            what: "rank",
        }),
        Op::Dense { .. } | Op::LightDense { .. } if !flat => {
            Err(BuildError::NotFlat { layer, input })
        }
        Op::Dense { units } | Op::LightDense { units, .. } => dense::output_shape(layer, units),
        Op::Conv2d { filters: 0, .. }
        | Op::LightConv2d { filters: 0, .. }
        | Op::SeparableConv2d { filters: 0, .. } => Err(BuildError::Zero {
            layer,
            what: "filters",
        }),
        Op::DepthwiseConv2d { multiplier: 0, .. } | Op::SeparableConv2d { multiplier: 0, .. } => {
            Err(BuildError::Zero {
                layer,
                what: "multiplier",
            })
        }
        Op::Conv2d { filters, window }
        | Op::SeparableConv2d {
            filters, window, ..
        } => window.output_shape(layer, input, filters as usize),
        Op::LightConv2d {
            filters,
            rank,
            window,
        } => light_conv2d::output_shape(layer, window, input, rank, filters),
        Op::DepthwiseConv2d { multiplier, window } => {
            window.output_shape(layer, input, input.channels as usize * multiplier as usize)
        }
        Op::MaxPool2d { window } | Op::AveragePool2d { window } => {
            pooling::output_shape(layer, window, input)
        }
        Op::GlobalAveragePool | Op::GlobalMaxPool => Ok(Shape::flat(input.channels)),
        Op::ZeroPadding2d { border } => zero_padding2d::output_shape(layer, input, border),
        Op::BatchNorm { momentum, epsilon } => batch_norm::check(layer, momentum, epsilon, input),
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

/// Whether the output is a vector and not an image.
pub(crate) const fn is_output_flat(
    op: &Op,
    input: Shape,
    input_is_flat: bool,
    output: Shape,
) -> bool {
    match op {
        Op::Dense { .. }
        | Op::LightDense { .. }
        | Op::Flatten
        | Op::GlobalAveragePool
        | Op::GlobalMaxPool => true,
        // An image of one pixel that stays one is still an image.
        Op::Custom { .. } => output.is_flat() && (input_is_flat || !input.is_flat()),
        _ => input_is_flat,
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

/// What the memory planner must know of a layer, in elements per sample; in 64 bits, because it is asked before the layer is checked.
pub(crate) struct Needs {
    /// What backward reads of the input.
    pub(crate) input: Until,
    /// Kept from forward to backward.
    pub(crate) saved: u64,
    /// Used within one forward pass where nothing is kept: 0, or at most as many as `saved`.
    pub(crate) forward_scratch: u64,
}

impl Needs {
    const NOTHING: Self = Self {
        input: Until::Forward,
        saved: 0,
        forward_scratch: 0,
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
        Op::LightDense { rank, .. } => light_dense::needs(rank, Until::weight_gradients_of(layer)),
        Op::Relu | Op::Relu6 | Op::LeakyRelu { .. } => Needs {
            saved: activation::mask_len(layer.output.len()) as u64,
            ..Needs::NOTHING
        },
        Op::Conv2d { .. } | Op::DepthwiseConv2d { .. } => Needs {
            input: Until::weight_gradients_of(layer),
            ..Needs::NOTHING
        },
        Op::LightConv2d { rank, window, .. } => {
            light_conv2d::needs(window, layer.input, rank, Until::weight_gradients_of(layer))
        }
        Op::SeparableConv2d { multiplier, .. } => separable_conv2d::needs(
            layer.input,
            multiplier,
            layer.output,
            Until::weight_gradients_of(layer),
        ),
        Op::BatchNorm { .. } => batch_norm::needs(layer),
        Op::MaxPool2d { .. } => Needs {
            saved: pooling::places_len(layer.output) as u64,
            ..Needs::NOTHING
        },
        Op::GlobalMaxPool => Needs {
            saved: layer.output.values(),
            ..Needs::NOTHING
        },
        Op::Custom { saved, .. } => Needs {
            input: Until::InputGradient,
            saved: saved as u64,
            forward_scratch: saved as u64,
        },
        _ => Needs::NOTHING,
    }
}

/// The most elements that a layer can add to a workspace: its output, the gradients that it may have and a target of its length, the
/// gradient of its input, and what it keeps, frozen or not; or the scratch of the quantized layer, in words.
pub(crate) const fn elements(layer: &Layer) -> u64 {
    let saved = match layer.op {
        Op::BatchNorm { .. } => batch_norm::KEPT as u64 * layer.output.channels as u64,
        _ => needs(layer).saved,
    };
    4 * layer.output.values()
        + layer.input.values()
        + saved
        + layout::scratch(layer).div_ceil(layout::WORD as u64)
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
    /// Works on an output tensor, or one of its shape, sample after sample.
    fn sample_after_sample(&self, tensor: &mut [f32], mut work: impl FnMut(&mut [f32])) {
        if self.layer.has_flat_output() {
            return work(tensor);
        }
        lanes::separate(tensor, self.layer.output, self.batch);
        work(tensor);
        lanes::interleave(tensor, self.layer.output, self.batch);
    }

    /// Puts the samples of the input apart, as a custom layer sees them.
    pub(crate) fn separate_input(&self, x: &mut [f32]) {
        if !self.layer.has_flat_input() {
            lanes::separate(x, self.layer.input, self.batch);
        }
    }

    /// Puts the samples of the input, or of its gradient, side by side again.
    pub(crate) fn interleave_input(&self, x: &mut [f32]) {
        if !self.layer.has_flat_input() {
            lanes::interleave(x, self.layer.input, self.batch);
        }
    }

    /// Puts the samples of the output's gradient apart.
    pub(crate) fn separate_output(&self, y: &mut [f32]) {
        if !self.layer.has_flat_output() {
            lanes::separate(y, self.layer.output, self.batch);
        }
    }

    /// Puts the samples of the output, or of its gradient, side by side.
    pub(crate) fn interleave_output(&self, y: &mut [f32]) {
        if !self.layer.has_flat_output() {
            lanes::interleave(y, self.layer.output, self.batch);
        }
    }

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
        Op::Conv2d { window, .. } if const { G::USES.has(Kind::Conv2d) } => {
            conv2d::forward(call, window, x, y);
        }
        Op::LightConv2d { rank, window, .. } if const { G::USES.has(Kind::LightConv2d) } => {
            light_conv2d::forward(call, (window, rank), x, y, saved);
        }
        Op::DepthwiseConv2d { multiplier, window } if const { G::USES.has(Kind::DepthwiseConv2d) } =>
        {
            depthwise_conv2d::forward(call, (window, multiplier), x, y);
        }
        Op::SeparableConv2d {
            multiplier, window, ..
        } if const { G::USES.has(Kind::SeparableConv2d) } => {
            separable_conv2d::forward(call, (window, multiplier), x, y, saved);
        }
        Op::MaxPool2d { window } if const { G::USES.has(Kind::MaxPool2d) } => {
            pooling::max_forward(call, window, x, y, saved);
        }
        Op::AveragePool2d { window } if const { G::USES.has(Kind::AveragePool2d) } => {
            pooling::average_forward(call, window, x, y);
        }
        Op::GlobalAveragePool if const { G::USES.has(Kind::GlobalAveragePool) } => {
            global_pooling::average_forward(call, x, y);
        }
        Op::GlobalMaxPool if const { G::USES.has(Kind::GlobalMaxPool) } => {
            global_pooling::max_forward(call, x, y, saved);
        }
        Op::ZeroPadding2d { border } if const { G::USES.has(Kind::ZeroPadding2d) } => {
            zero_padding2d::forward(call, border, x, y);
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

/// A layer that changes its values in place; `other` is what an addition adds, `moving` are the statistics of a batch normalization.
pub(crate) fn forward_in_place<G: Graph>(
    call: Call<'_>,
    y: &mut [f32],
    saved: &mut [f32],
    other: &[f32],
    moving: &[f32],
    mode: Mode,
) {
    // Nothing is kept at inference; what batch normalization has there is scratch.
    let mask = match mode {
        Mode::Inference => &mut [],
        Mode::Training(_) => &mut *saved,
    };
    match call.layer.op {
        Op::Relu if const { G::USES.has(Kind::Relu) } => {
            activation::relu_forward(y, mask);
        }
        Op::Relu6 if const { G::USES.has(Kind::Relu6) } => {
            activation::relu6_forward(y, mask);
        }
        Op::LeakyRelu { slope } if const { G::USES.has(Kind::LeakyRelu) } => {
            activation::leaky_relu_forward(slope, y, mask);
        }
        Op::Sigmoid if const { G::USES.has(Kind::Sigmoid) } => activation::sigmoid_forward(y),
        Op::Tanh if const { G::USES.has(Kind::Tanh) } => activation::tanh_forward(y),
        Op::Softmax if const { G::USES.has(Kind::Softmax) } => {
            let channels = call.layer.output.channels as usize;
            call.sample_after_sample(y, |y| softmax::forward(channels, y));
        }
        Op::Flatten if const { G::USES.has(Kind::Flatten) } => {
            call.separate_input(y);
        }
        Op::Dropout { rate } if const { G::USES.has(Kind::Dropout) } => {
            call.sample_after_sample(y, |y| dropout::apply(call, rate, y, mode));
        }
        Op::BatchNorm { epsilon, .. } if const { G::USES.has(Kind::BatchNorm) } => {
            batch_norm::forward(call, epsilon, y, saved, moving, mode);
        }
        Op::Add if const { G::USES.has(Kind::Add) } => {
            crate::kernels::elementwise::add(other, y);
        }
        _ => {}
    }
}

/// The first half of a layer's backward pass: adds the gradients of its weights to `gradients` (empty if it is frozen), and
/// leaves in `saved` what the second half needs.
#[inline(never)]
pub(crate) fn backward_weights<G: Graph>(
    call: Call<'_>,
    x: &[f32],
    dy: &[f32],
    saved: &mut [f32],
    gradients: &mut [f32],
    moving: &mut [f32],
) {
    match call.layer.op {
        Op::Dense { .. } if const { G::USES.has(Kind::Dense) } => {
            dense::backward_weights(call, x, dy, gradients);
        }
        Op::LightDense { units, rank } if const { G::USES.has(Kind::LightDense) } => {
            let sizes = (units as usize, rank as usize);
            light_dense::backward_weights(call, sizes, x, dy, saved, gradients);
        }
        Op::Conv2d { window, .. } if const { G::USES.has(Kind::Conv2d) } => {
            conv2d::backward_weights(call, window, x, dy, gradients);
        }
        Op::LightConv2d { rank, window, .. } if const { G::USES.has(Kind::LightConv2d) } => {
            light_conv2d::backward_weights(call, (window, rank), x, dy, saved, gradients);
        }
        Op::DepthwiseConv2d { multiplier, window } if const { G::USES.has(Kind::DepthwiseConv2d) } =>
        {
            depthwise_conv2d::backward_weights(call, (window, multiplier), x, dy, gradients);
        }
        Op::SeparableConv2d {
            multiplier, window, ..
        } if const { G::USES.has(Kind::SeparableConv2d) } => {
            let settings = (window, multiplier);
            separable_conv2d::backward_weights(call, settings, x, dy, saved, gradients);
        }
        Op::BatchNorm { momentum, .. } if const { G::USES.has(Kind::BatchNorm) } => {
            batch_norm::backward_weights(call, momentum, (x, dy), saved, gradients, moving);
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

/// The second half where the input's gradient has a place of its own.
pub(crate) fn backward_mapping<G: Graph>(
    call: Call<'_>,
    x: &[f32],
    dy: &[f32],
    saved: &[f32],
    dx: &mut [f32],
) {
    match call.layer.op {
        Op::Dense { .. } if const { G::USES.has(Kind::Dense) } => {
            dense::backward_input(call, dy, dx);
        }
        Op::LightDense { rank, .. } if const { G::USES.has(Kind::LightDense) } => {
            light_dense::backward_input(call, rank as usize, saved, dx);
        }
        Op::Conv2d { window, .. } if const { G::USES.has(Kind::Conv2d) } => {
            conv2d::backward_input(call, window, dy, dx);
        }
        Op::LightConv2d { rank, window, .. } if const { G::USES.has(Kind::LightConv2d) } => {
            light_conv2d::backward_input(call, (window, rank), saved, dx);
        }
        Op::DepthwiseConv2d { multiplier, window } if const { G::USES.has(Kind::DepthwiseConv2d) } =>
        {
            depthwise_conv2d::backward_input(call, (window, multiplier), dy, dx);
        }
        Op::SeparableConv2d {
            multiplier, window, ..
        } if const { G::USES.has(Kind::SeparableConv2d) } => {
            separable_conv2d::backward_input(call, (window, multiplier), saved, dx);
        }
        Op::MaxPool2d { window } if const { G::USES.has(Kind::MaxPool2d) } => {
            pooling::max_backward(call, window, dy, saved, dx);
        }
        Op::AveragePool2d { window } if const { G::USES.has(Kind::AveragePool2d) } => {
            pooling::average_backward(call, window, dy, dx);
        }
        Op::GlobalAveragePool if const { G::USES.has(Kind::GlobalAveragePool) } => {
            global_pooling::average_backward(call, dy, dx);
        }
        Op::GlobalMaxPool if const { G::USES.has(Kind::GlobalMaxPool) } => {
            global_pooling::max_backward(call, dy, saved, dx);
        }
        Op::ZeroPadding2d { border } if const { G::USES.has(Kind::ZeroPadding2d) } => {
            zero_padding2d::backward_input(call, border, dy, dx);
        }
        Op::Custom { layer, .. } if const { G::USES.has(Kind::Custom) } => {
            layer.backward_input(
                CustomBackward {
                    weights: call.weights,
                    batch: call.batch,
                    input: x,
                    output_gradient: dy,
                    saved,
                },
                dx,
            );
        }
        _ => {}
    }
}

/// The second half where the gradient changes in place; `kept` is the output or the input, whichever the layer needs.
pub(crate) fn backward_in_place<G: Graph>(
    call: Call<'_>,
    kept: &mut [f32],
    saved: &mut [f32],
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
            activation::sigmoid_backward(kept, gradient);
        }
        Op::Tanh if const { G::USES.has(Kind::Tanh) } => {
            activation::tanh_backward(kept, gradient);
        }
        Op::Softmax if const { G::USES.has(Kind::Softmax) } => {
            let channels = call.layer.output.channels as usize;
            call.sample_after_sample(kept, |y| {
                call.sample_after_sample(gradient, |gradient| {
                    softmax::backward(channels, y, gradient);
                });
            });
        }
        Op::Flatten if const { G::USES.has(Kind::Flatten) } => {
            call.interleave_input(gradient);
        }
        Op::Dropout { rate } if const { G::USES.has(Kind::Dropout) } => {
            call.sample_after_sample(gradient, |gradient| {
                dropout::apply(call, rate, gradient, mode);
            });
        }
        Op::BatchNorm { .. } if const { G::USES.has(Kind::BatchNorm) } => {
            batch_norm::backward_input(call, kept, saved, gradient);
        }
        _ => {}
    }
}

/// Fills the weights of a layer of a graph with their starting values.
pub(crate) fn initialize<G: Graph>(
    layer: &Layer,
    weights: &mut [f32],
    rng: &mut Rng,
) -> Result<(), Error> {
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
                    .fill::<G>(values, tensor.fan_in, tensor.fan_out, rng);
            }
            (_, Op::Custom { layer, .. }) => layer.initialize(values, rng),
            (Role::Gamma, _) => values.fill(1.0),
            _ => values.fill(0.0),
        }
    }
    Ok(())
}

impl Initializer {
    fn fill<G: Graph>(self, values: &mut [f32], fan_in: usize, fan_out: usize, rng: &mut Rng) {
        match self {
            Self::GlorotUniform => {
                let limit = crate::math::sqrt(6.0 / (fan_in + fan_out) as f32);
                values.fill_with(|| (2.0 * rng.uniform() - 1.0) * limit);
            }
            // Logarithm and cosine are most of the code of starting values: only linked if a layer asks for them.
            Self::HeNormal if const { !G::DRAWS_NORMAL } => {}
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
