//! A network is plain data: the list of its layers, with shapes inferred as it is built.

use crate::error::BuildError;
use crate::layers::{self, CustomLayer, CustomSizes, Initializer, Kind, Kinds, Op};
use crate::shape::Shape;

/// The most layers that a network can have.
pub const MAX_LAYERS: usize = 64;

/// A neural network as a constant: layers, shapes and where each layer's weights lie.
///
/// Every builder call is a `const fn` that takes the network so far and returns it with one layer more, so a repeated block is
/// a function and everything that a microcontroller must know before it starts is a constant:
///
/// ```
/// use lightlayers::Network;
///
/// const NET: Network = hidden(hidden(Network::features(64), 16), 16).dense(10);
///
/// const fn hidden(net: Network, units: usize) -> Network {
///     net.light_dense(units, 4).relu()
/// }
///
/// const _: () = assert!(NET.weights() * 4 <= 4 * 1024, "the weights fit 4 KB");
/// ```
///
/// # Panics
///
/// The builder calls panic with a [`BuildError`]'s message when the layer cannot be added. In a constant that is the compiler's
/// error at the line of the call:
///
/// ```compile_fail
/// use lightlayers::Network;
///
/// const NET: Network = Network::input(8, 8, 1).dense(10); // dense: expected a flat input, found 8x8x1; ...
/// # const _: usize = NET.weights();
/// ```
///
/// For a network that is put together from unchecked data at run time, [`try_push`](Self::try_push) returns the error.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    input: Shape,
    pub(crate) layers: [Layer; MAX_LAYERS],
    len: usize,
}

/// One layer of a [`Network`].
#[derive(Clone, Copy, Debug)]
pub struct Layer {
    pub(crate) op: Op,
    pub(crate) input: Shape,
    pub(crate) output: Shape,
    /// Where this layer's weights start in the flat weight buffer, and how many they are.
    pub(crate) weights_start: u32,
    pub(crate) weights_len: u32,
    /// The factor of the penalty on the squares of its kernels.
    pub(crate) l2: f32,
    pub(crate) bias: bool,
    pub(crate) frozen: bool,
    pub(crate) kernel_initializer: Initializer,
}

impl Layer {
    const NONE: Self = Self {
        op: Op::Flatten,
        input: Shape::flat(1),
        output: Shape::flat(1),
        weights_start: 0,
        weights_len: 0,
        l2: 0.0,
        bias: false,
        frozen: false,
        kernel_initializer: Initializer::Zeros,
    };

    /// What the layer computes.
    pub const fn op(&self) -> &Op {
        &self.op
    }

    /// The shape of its input.
    pub const fn input_shape(&self) -> Shape {
        self.input
    }

    /// The shape of its output.
    pub const fn output_shape(&self) -> Shape {
        self.output
    }

    /// The weights of the layer, biases included.
    pub const fn weights(&self) -> usize {
        self.weights_len as usize
    }

    /// The weights of the layer that training changes: none if it is frozen.
    pub const fn trainable_weights(&self) -> usize {
        if self.frozen { 0 } else { self.weights() }
    }

    /// Multiply-accumulates of one sample's inference.
    pub const fn multiply_accumulates(&self) -> usize {
        layers::multiply_accumulates(self)
    }

    /// True if training changes nothing in this layer.
    pub const fn is_frozen(&self) -> bool {
        self.frozen
    }

    pub(crate) const fn learns(&self) -> bool {
        self.trainable_weights() > 0
    }

    /// The range of its weights in the flat weight buffer.
    pub const fn weights_range(&self) -> core::ops::Range<usize> {
        self.weights_start as usize..(self.weights_start + self.weights_len) as usize
    }

    pub(crate) const fn kind(&self) -> Kind {
        self.op.kind()
    }

    /// The name of the builder call that adds it; a custom layer's own name.
    pub fn name(&self) -> &'static str {
        match self.op {
            Op::Custom { layer, .. } => layer.name(),
            op => op.kind().name(),
        }
    }
}

/// Unwraps a builder's result; an error ends a constant's evaluation at the user's line.
macro_rules! build {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(error) => BuildError::panic(error),
        }
    };
}

const fn dimension(
    layer: &'static str,
    what: &'static str,
    value: usize,
) -> Result<u16, BuildError> {
    if value == 0 {
        Err(BuildError::Zero { layer, what })
    } else if value > u16::MAX as usize {
        Err(BuildError::TooLarge {
            layer,
            what,
            most: u16::MAX as usize,
            found: value,
        })
    } else {
        Ok(value as u16)
    }
}

impl Network {
    /// A network without layers whose input is a vector of `features` values.
    #[track_caller]
    pub const fn features(features: usize) -> Self {
        Self::input(1, 1, features)
    }

    /// A network without layers whose input is an image, `[height, width, channels]`.
    #[track_caller]
    pub const fn input(height: usize, width: usize, channels: usize) -> Self {
        build!(Self::try_input(height, width, channels))
    }

    /// As [`input`](Self::input), for sizes that are not known to be good.
    pub const fn try_input(
        height: usize,
        width: usize,
        channels: usize,
    ) -> Result<Self, BuildError> {
        let sizes = (
            dimension("input", "height", height),
            dimension("input", "width", width),
            dimension("input", "channels", channels),
        );
        match sizes {
            (Ok(height), Ok(width), Ok(channels)) => Ok(Self {
                input: Shape::image(height, width, channels),
                layers: [Layer::NONE; MAX_LAYERS],
                len: 0,
            }),
            (Err(error), _, _) | (_, Err(error), _) | (_, _, Err(error)) => Err(error),
        }
    }

    /// Adds a layer, or says why it does not fit.
    pub const fn try_push(self, op: Op) -> Result<Self, BuildError> {
        let input = self.output_shape();
        match layers::output_shape(&op, input) {
            Ok(output) => self.push(op, output, 0),
            Err(error) => Err(error),
        }
    }

    const fn push(
        mut self,
        op: Op,
        output: Shape,
        custom_weights: usize,
    ) -> Result<Self, BuildError> {
        if self.len == MAX_LAYERS {
            return Err(BuildError::TooManyLayers);
        }
        let mut layer = Layer {
            op,
            input: self.output_shape(),
            output,
            weights_start: self.weights() as u32,
            weights_len: 0,
            l2: 0.0,
            bias: false,
            frozen: false,
            kernel_initializer: Initializer::GlorotUniform,
        };
        layer.bias = layers::tensors(&layer, 0).has_kernel();
        let own = layers::tensors(&layer, custom_weights).total();
        let total = self.weights() as u64 + own as u64;
        if total > u32::MAX as u64 / 4 {
            return Err(BuildError::TooLarge {
                layer: layer.kind().name(),
                what: "the network's number of weights",
                most: u32::MAX as usize / 4,
                found: total as usize,
            });
        }
        layer.weights_len = own as u32;
        self.layers[self.len] = layer;
        self.len += 1;
        Ok(self)
    }

    #[track_caller]
    const fn must_push(self, op: Op) -> Self {
        build!(self.try_push(op))
    }

    /// The last layer, to change one of its settings: `what`, which only a layer with kernels has.
    #[track_caller]
    const fn last_with_kernel(&self, what: &'static str) -> usize {
        let layer = match self.len {
            0 => "network",
            _ => {
                let last = &self.layers[self.len - 1];
                if layers::tensors(last, 0).has_kernel() {
                    return self.len - 1;
                }
                last.kind().name()
            }
        };
        BuildError::HasNo { layer, what }.panic()
    }

    /// A fully connected layer, `y = x · kernel + bias`; see [`Op::Dense`].
    #[track_caller]
    pub const fn dense(self, units: usize) -> Self {
        let units = build!(dimension("dense", "units", units));
        self.must_push(Op::Dense { units })
    }

    /// A fully connected layer whose kernel is a product of two thin ones, of rank `rank`; see [`Op::LightDense`].
    #[track_caller]
    pub const fn light_dense(self, units: usize, rank: usize) -> Self {
        let units = build!(dimension("light_dense", "units", units));
        let rank = build!(dimension("light_dense", "rank", rank));
        self.must_push(Op::LightDense { units, rank })
    }

    /// `max(x, 0)`.
    #[track_caller]
    pub const fn relu(self) -> Self {
        self.must_push(Op::Relu)
    }

    /// `min(max(x, 0), 6)`.
    #[track_caller]
    pub const fn relu6(self) -> Self {
        self.must_push(Op::Relu6)
    }

    /// `x` where it is positive, `slope · x` elsewhere.
    #[track_caller]
    pub const fn leaky_relu(self, slope: f32) -> Self {
        self.must_push(Op::LeakyRelu { slope })
    }

    /// `1 / (1 + exp(-x))`.
    #[track_caller]
    pub const fn sigmoid(self) -> Self {
        self.must_push(Op::Sigmoid)
    }

    /// The hyperbolic tangent.
    #[track_caller]
    pub const fn tanh(self) -> Self {
        self.must_push(Op::Tanh)
    }

    /// `exp(x) / Σ exp(x)` over the channels.
    ///
    /// A classifier that is trained with [`SoftmaxCrossEntropy`](crate::loss::SoftmaxCrossEntropy) needs none: the loss takes logits.
    #[track_caller]
    pub const fn softmax(self) -> Self {
        self.must_push(Op::Softmax)
    }

    /// An image as a vector, row by row, channels together; moves nothing.
    #[track_caller]
    pub const fn flatten(self) -> Self {
        self.must_push(Op::Flatten)
    }

    /// In training, sets a share `rate` of the values to 0 and divides the others by `1 - rate`; nothing at inference.
    #[track_caller]
    pub const fn dropout(self, rate: f32) -> Self {
        self.must_push(Op::Dropout { rate })
    }

    /// A layer of your own; see [`CustomLayer`].
    #[track_caller]
    pub const fn custom(self, layer: &'static dyn CustomLayer, sizes: CustomSizes) -> Self {
        build!(self.push(
            Op::Custom {
                layer,
                saved: sizes.saved
            },
            sizes.output,
            sizes.weights as usize
        ))
    }

    /// Whether the last layer adds a bias (it does unless it is told otherwise).
    #[track_caller]
    pub const fn bias(mut self, bias: bool) -> Self {
        let last = self.last_with_kernel("bias");
        self.layers[last].bias = bias;
        self.layers[last].weights_len = layers::tensors(&self.layers[last], 0).total() as u32;
        self
    }

    /// How the last layer's kernels start; [`Initializer::GlorotUniform`] unless it is told otherwise.
    #[track_caller]
    pub const fn kernel_initializer(mut self, initializer: Initializer) -> Self {
        let last = self.last_with_kernel("kernel to initialize");
        self.layers[last].kernel_initializer = initializer;
        self
    }

    /// Adds `factor · Σ w²` over the last layer's kernels to the training loss (Keras's `L2`, without a half).
    #[track_caller]
    pub const fn l2(mut self, factor: f32) -> Self {
        let last = self.last_with_kernel("kernel to penalize");
        if !(factor >= 0.0 && factor.is_finite()) {
            BuildError::OutOfRange {
                layer: self.layers[last].kind().name(),
                what: "the l2 factor",
                range: "0..",
            }
            .panic()
        }
        self.layers[last].l2 = factor;
        self
    }

    /// The last layer does not learn: no gradient, no optimizer state, and backward stops below the lowest layer that does.
    #[track_caller]
    pub const fn frozen(mut self) -> Self {
        if self.len == 0 {
            BuildError::HasNo {
                layer: "network",
                what: "layer to freeze",
            }
            .panic()
        }
        self.layers[self.len - 1].frozen = true;
        self
    }

    /// No layer so far learns; layers that are added after this call do.
    ///
    /// The weights keep their places, so the weights of the same network without frozen layers fit.
    pub const fn all_frozen(mut self) -> Self {
        let mut i = 0;
        while i < self.len {
            self.layers[i].frozen = true;
            i += 1;
        }
        self
    }

    /// The layers, first to last.
    pub const fn layers(&self) -> &[Layer] {
        self.layers.split_at(self.len).0
    }

    /// The number of layers.
    #[expect(
        clippy::len_without_is_empty,
        reason = "`layers()` is the slice; this is its length in constants"
    )]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// The shape of one input sample.
    pub const fn input_shape(&self) -> Shape {
        self.input
    }

    /// The shape of one output sample.
    pub const fn output_shape(&self) -> Shape {
        match self.len {
            0 => self.input,
            len => self.layers[len - 1].output,
        }
    }

    /// The length of the weight buffer: every parameter of the network.
    pub const fn weights(&self) -> usize {
        match self.len {
            0 => 0,
            len => self.layers[len - 1].weights_range().end,
        }
    }

    /// The weights that training changes: the length of the gradient buffer.
    pub const fn trainable_weights(&self) -> usize {
        let mut sum = 0;
        let mut i = 0;
        while i < self.len {
            sum += self.layers[i].trainable_weights();
            i += 1;
        }
        sum
    }

    /// Multiply-accumulates of one sample's inference.
    pub const fn multiply_accumulates(&self) -> usize {
        let mut sum = 0;
        let mut i = 0;
        while i < self.len {
            sum += self.layers[i].multiply_accumulates();
            i += 1;
        }
        sum
    }

    pub(crate) const fn kinds(&self) -> Kinds {
        let mut kinds = Kinds::NONE;
        let mut i = 0;
        while i < self.len {
            kinds = kinds.with(self.layers[i].kind());
            i += 1;
        }
        kinds
    }

    /// True if a layer has an L2 penalty.
    pub(crate) const fn penalizes(&self) -> bool {
        let mut i = 0;
        while i < self.len {
            if self.layers[i].l2 != 0.0 {
                return true;
            }
            i += 1;
        }
        false
    }
}
