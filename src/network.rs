//! A network is plain data: the list of its layers, with shapes inferred as it is built.

use crate::error::BuildError;
use crate::layers::{
    self, Border, CustomLayer, CustomSizes, Initializer, Kind, Kinds, Op, Padding, WindowSize,
};
use crate::shape::{Shape, saturated};
use crate::slices::{at, at_mut, first};

/// The most layers that a network can have.
pub const MAX_LAYERS: usize = 64;

/// The most elements of any buffer of a network: 2^28, a gibibyte of `f32`.
///
/// A network's weights, each of its tensors, and the workspace of one sample, for inference, training and int8 inference (there in words
/// of 4 bytes), have at most as many. So all sizes of a network, that of its model file with Adam's state among them, fit 32 bits, and
/// every target accepts the same networks.
pub const MAX_ELEMENTS: usize = 1 << 28;

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
    flat_input: bool,
    pub(crate) layers: [Layer; MAX_LAYERS],
    len: usize,
    /// What a workspace for all layers but the last would have if no two tensors shared a place.
    elements_before_last: u64,
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
    flags: u8,
    pub(crate) kernel_initializer: Initializer,
    /// The tensor that it reads: 0 is the network's input, `i + 1` the output of layer `i`.
    pub(crate) source: u8,
    /// The other tensor that an addition reads.
    pub(crate) second: u8,
}

const BIAS: u8 = 1;
const FROZEN: u8 = 2;
const FLAT_INPUT: u8 = 4;
const FLAT_OUTPUT: u8 = 8;

impl Layer {
    const NONE: Self = Self {
        op: Op::Flatten,
        input: Shape::flat(1),
        output: Shape::flat(1),
        weights_start: 0,
        weights_len: 0,
        l2: 0.0,
        flags: 0,
        kernel_initializer: Initializer::Zeros,
        source: 0,
        second: 0,
    };

    const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    const fn set(&mut self, flag: u8, on: bool) {
        self.flags = if on {
            self.flags | flag
        } else {
            self.flags & !flag
        };
    }

    pub(crate) const fn bias(&self) -> bool {
        self.has(BIAS)
    }

    /// The same layer, which has kernels, with a bias: one that folding puts in the place of more weights.
    pub(crate) const fn with_bias(mut self) -> Self {
        self.set(BIAS, true);
        self.weights_len = layers::tensors(&self, 0).total() as u32;
        self
    }

    /// Everything that the layer is, where it reads and what it is made of, is the same: a new field does not compile until it is
    /// compared here.
    const fn same(&self, other: &Self) -> bool {
        let Self {
            op,
            input,
            output,
            weights_start,
            weights_len,
            l2,
            flags,
            kernel_initializer,
            source,
            second,
        } = self;
        op.same(&other.op)
            && input.same(other.input)
            && output.same(other.output)
            && *weights_start == other.weights_start
            && *weights_len == other.weights_len
            && l2.to_bits() == other.l2.to_bits()
            && *flags == other.flags
            && *kernel_initializer as u8 == other.kernel_initializer as u8
            && *source == other.source
            && *second == other.second
    }

    /// Its input is a vector, not an image: its samples lie one after another.
    pub(crate) const fn has_flat_input(&self) -> bool {
        self.has(FLAT_INPUT)
    }

    /// Its output is a vector, not an image.
    pub(crate) const fn has_flat_output(&self) -> bool {
        self.has(FLAT_OUTPUT)
    }

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
        if self.is_frozen() { 0 } else { self.weights() }
    }

    /// Multiply-accumulates of one sample's inference.
    pub const fn multiply_accumulates(&self) -> u64 {
        layers::multiply_accumulates(self)
    }

    /// True if training changes nothing in this layer.
    pub const fn is_frozen(&self) -> bool {
        self.has(FROZEN)
    }

    /// What it reads: the network's input (`None`) or the output of a layer (its index). Two of them for an addition.
    ///
    /// ```
    /// use lightlayers::Network;
    ///
    /// let net = Network::input(8, 8, 3).relu();
    /// let net = net.residual(net.conv2d(3, 3), net);
    /// let inputs: Vec<Vec<_>> = net.layers().iter().map(|layer| layer.inputs().collect()).collect();
    /// assert_eq!(inputs, [vec![None], vec![Some(0)], vec![Some(1), Some(0)]]);
    /// ```
    pub fn inputs(&self) -> impl Iterator<Item = Option<usize>> {
        let second = matches!(self.op, Op::Add).then_some(self.second);
        let tensors = core::iter::once(self.source).chain(second);
        tensors.map(|tensor| usize::from(tensor).checked_sub(1))
    }

    /// It reads the tensor: 0 is the network's input, `i + 1` the output of layer `i`.
    pub(crate) const fn reads(&self, tensor: u8) -> bool {
        self.source == tensor || matches!(self.op, Op::Add) && self.second == tensor
    }

    pub(crate) const fn learns(&self) -> bool {
        self.trainable_weights() > 0
    }

    /// The range of its weights in the flat weight buffer.
    pub const fn weights_range(&self) -> core::ops::Range<usize> {
        self.weights_start as usize..(self.weights_start + self.weights_len) as usize
    }

    /// The moving statistics of batch normalization: a mean and a variance for each channel.
    pub(crate) const fn moving_statistics(&self) -> usize {
        match self.op {
            Op::BatchNorm { .. } => 2 * self.output.channels as usize,
            _ => 0,
        }
    }

    /// The second half of backward reads the input.
    pub(crate) const fn reads_input_for_its_gradient(&self) -> bool {
        match self.op {
            Op::Custom { .. } => true,
            Op::BatchNorm { .. } => !self.is_frozen(),
            _ => false,
        }
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

/// A size that every target must be able to hold.
const fn check(layer: &'static str, what: &'static str, found: u64) -> Result<(), BuildError> {
    if found > MAX_ELEMENTS as u64 {
        return Err(BuildError::TooLarge {
            layer,
            what,
            most: MAX_ELEMENTS,
            found: saturated(found),
        });
    }
    Ok(())
}

/// A size that is held in a byte.
const fn small(layer: &'static str, what: &'static str, value: usize) -> Result<u8, BuildError> {
    if value == 0 {
        Err(BuildError::Zero { layer, what })
    } else if value > u8::MAX as usize {
        Err(BuildError::TooLarge {
            layer,
            what,
            most: u8::MAX as usize,
            found: value,
        })
    } else {
        Ok(value as u8)
    }
}

/// The window of a convolution.
const fn square(layer: &'static str, kernel: usize) -> Result<WindowSize, BuildError> {
    match small(layer, "the kernel's size", kernel) {
        Ok(kernel) => Ok(WindowSize {
            kernel: (kernel, kernel),
            stride: (1, 1),
            dilation: 1,
            padding: Padding::Same,
        }),
        Err(error) => Err(error),
    }
}

/// The window of pooling.
const fn side_by_side(layer: &'static str, window: usize) -> Result<WindowSize, BuildError> {
    match small(layer, "the window's size", window) {
        Ok(window) => Ok(WindowSize {
            kernel: (window, window),
            stride: (window, window),
            dilation: 1,
            padding: Padding::Valid,
        }),
        Err(error) => Err(error),
    }
}

impl Network {
    /// A network without layers whose input is a vector of `features` values.
    #[track_caller]
    pub const fn features(features: usize) -> Self {
        Self::input(1, 1, features).with_flat_input()
    }

    /// The same network without layers, with its one pixel as a vector.
    pub(crate) const fn with_flat_input(mut self) -> Self {
        self.flat_input = true;
        self
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
            (Ok(height), Ok(width), Ok(channels)) => {
                let net = Self {
                    input: Shape::image(height, width, channels),
                    flat_input: false,
                    layers: [Layer::NONE; MAX_LAYERS],
                    len: 0,
                    elements_before_last: 0,
                };
                match check("input", "the number of values", net.input.values()) {
                    Ok(()) => Ok(net),
                    Err(error) => Err(error),
                }
            }
            (Err(error), _, _) | (_, Err(error), _) | (_, _, Err(error)) => Err(error),
        }
    }

    /// Adds a layer, or says why it does not fit.
    pub const fn try_push(self, op: Op) -> Result<Self, BuildError> {
        self.try_push_reading(op, self.len)
    }

    /// Adds a layer that reads the tensor `source`: 0 is the network's input, `i + 1` the output of layer `i`.
    pub(crate) const fn try_push_reading(self, op: Op, source: usize) -> Result<Self, BuildError> {
        match op {
            Op::Add | Op::Custom { .. } => Err(BuildError::HasNo {
                layer: op.kind().name(),
                what: "way to be pushed; it is added by a builder call of its own",
            }),
            // It is measured where it is added.
            _ => self.push(op, self.input, 0, source, 0),
        }
    }

    /// Adds the sum of two tensors.
    pub(crate) const fn try_add(self, source: usize, second: usize) -> Result<Self, BuildError> {
        let (output, flat) = self.tensor(source);
        let (other, other_flat) = self.tensor(second);
        if !output.same(other) || flat != other_flat {
            return Err(BuildError::BranchesDiffer {
                body: output,
                shortcut: other,
            });
        }
        self.push(Op::Add, output, 0, source, second)
    }

    /// Adds a layer; `output` and `weights` are read where [`layers::output_shape`] and [`layers::tensors`] do not know better.
    const fn push(
        self,
        op: Op,
        output: Shape,
        weights: u16,
        source: usize,
        second: usize,
    ) -> Result<Self, BuildError> {
        let (input, flat_input) = self.tensor(source);
        let mut layer = Layer {
            op,
            input,
            output,
            weights_start: 0,
            weights_len: weights as u32,
            l2: 0.0,
            flags: 0,
            kernel_initializer: Initializer::GlorotUniform,
            source: source as u8,
            second: second as u8,
        };
        layer.set(FLAT_INPUT, flat_input);
        layer.set(BIAS, layers::tensors(&layer, 0).has_kernel());
        self.append(layer)
    }

    /// Adds a layer with all its settings, after those that are there.
    pub(crate) const fn append(self, layer: Layer) -> Result<Self, BuildError> {
        if self.len == MAX_LAYERS {
            return Err(BuildError::TooManyLayers);
        }
        self.append_unchecked(layer).with_last(layer)
    }

    /// The same for a layer that was checked in a larger network, where there is room for it.
    pub(crate) const fn append_unchecked(mut self, mut layer: Layer) -> Self {
        if self.len > 0 {
            self.elements_before_last += layers::elements(self.layer(self.len - 1));
        }
        layer.weights_start = self.trained_weights() as u32;
        *at_mut(&mut self.layers, self.len) = layer;
        self.len += 1;
        self
    }

    /// The network with this layer as its last one: measured, and checked to fit its input and all limits. Every layer that is added goes
    /// through here, and every setting that changes a size of one.
    const fn with_last(mut self, mut layer: Layer) -> Result<Self, BuildError> {
        let last = self.len - 1;
        let output = match layer.op {
            Op::Add | Op::Custom { .. } => Ok(layer.output),
            _ => layers::output_shape(&layer.op, layer.input, layer.has_flat_input()),
        };
        layer.output = match output {
            Ok(output) => output,
            Err(error) => return Err(error),
        };
        let flat =
            layers::is_output_flat(&layer.op, layer.input, layer.has_flat_input(), layer.output);
        layer.set(FLAT_OUTPUT, flat);
        let name = layer.kind().name();
        if let Err(error) = check(name, "the number of its outputs", layer.output.values()) {
            return Err(error);
        }

        let own = layers::tensors(&layer, layer.weights()).total();
        layer.weights_start = self.layer(last).weights_start;
        layer.weights_len = own as u32;
        *at_mut(&mut self.layers, last) = layer;
        let before = layer.weights_start as usize + self.moving_statistics();
        if let Err(error) = check(name, "the network's number of weights", before as u64 + own) {
            return Err(error);
        }

        if self.elements_before_last + layers::elements(&layer) > MAX_ELEMENTS as u64 {
            let [inference, training, quantized] = self.workspaces();
            let checks = [
                check(name, "the network's workspace for inference", inference),
                check(name, "the network's workspace for training", training),
                check(
                    name,
                    "the network's workspace for int8 inference",
                    quantized,
                ),
            ];
            let mut i = 0;
            while i < checks.len() {
                if let Err(error) = checks[i] {
                    return Err(error);
                }
                i += 1;
            }
        }
        Ok(self)
    }

    #[track_caller]
    const fn must_push(self, op: Op) -> Self {
        build!(self.try_push(op))
    }

    /// The last layer, to change one of its settings: `what`, which only a layer with kernels has.
    const fn last_with_kernel(&self, what: &'static str) -> Result<usize, BuildError> {
        let layer = match self.len {
            0 => "network",
            _ => {
                let last = self.layer(self.len - 1);
                if layers::tensors(last, 0).has_kernel() {
                    return Ok(self.len - 1);
                }
                last.kind().name()
            }
        };
        Err(BuildError::HasNo { layer, what })
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

    /// A convolution with a window of `kernel` x `kernel`, a stride of 1 and padding [`Padding::Same`]; see [`Op::Conv2d`].
    ///
    /// [`stride`](Self::stride), [`padding`](Self::padding), [`dilation`](Self::dilation) and [`kernel_size`](Self::kernel_size) change it.
    #[track_caller]
    pub const fn conv2d(self, filters: usize, kernel: usize) -> Self {
        let filters = build!(dimension("conv2d", "filters", filters));
        let window = build!(square("conv2d", kernel));
        self.must_push(Op::Conv2d { filters, window })
    }

    /// Two thin convolutions in a row, with `rank` channels and a ReLU between them; see [`Op::LightConv2d`].
    #[track_caller]
    pub const fn light_conv2d(self, filters: usize, kernel: usize, rank: usize) -> Self {
        let filters = build!(dimension("light_conv2d", "filters", filters));
        let rank = build!(dimension("light_conv2d", "rank", rank));
        let window = build!(square("light_conv2d", kernel));
        self.must_push(Op::LightConv2d {
            filters,
            rank,
            window,
        })
    }

    /// A convolution of every channel for itself, with `multiplier` filters each; see [`Op::DepthwiseConv2d`].
    #[track_caller]
    pub const fn depthwise_conv2d(self, kernel: usize, multiplier: usize) -> Self {
        let multiplier = build!(dimension("depthwise_conv2d", "multiplier", multiplier));
        let window = build!(square("depthwise_conv2d", kernel));
        self.must_push(Op::DepthwiseConv2d { multiplier, window })
    }

    /// A depthwise convolution, then one of single pixels; see [`Op::SeparableConv2d`].
    #[track_caller]
    pub const fn separable_conv2d(self, filters: usize, kernel: usize) -> Self {
        let filters = build!(dimension("separable_conv2d", "filters", filters));
        let window = build!(square("separable_conv2d", kernel));
        self.must_push(Op::SeparableConv2d {
            filters,
            multiplier: 1,
            window,
        })
    }

    /// Batch normalization with Keras's defaults, momentum 0.99 and epsilon 1e-3; see [`Op::BatchNorm`].
    #[track_caller]
    pub const fn batch_norm(self) -> Self {
        self.batch_norm_with(0.99, 1e-3)
    }

    /// Batch normalization with another momentum of the moving statistics, and another epsilon.
    #[track_caller]
    pub const fn batch_norm_with(self, momentum: f32, epsilon: f32) -> Self {
        self.must_push(Op::BatchNorm { momentum, epsilon })
    }

    /// The largest value under windows of `window` x `window`, which lie side by side; see [`Op::MaxPool2d`].
    #[track_caller]
    pub const fn max_pool2d(self, window: usize) -> Self {
        let window = build!(side_by_side("max_pool2d", window));
        self.must_push(Op::MaxPool2d { window })
    }

    /// The mean of the values under windows of `window` x `window`, which lie side by side; see [`Op::AveragePool2d`].
    #[track_caller]
    pub const fn average_pool2d(self, window: usize) -> Self {
        let window = build!(side_by_side("average_pool2d", window));
        self.must_push(Op::AveragePool2d { window })
    }

    /// The mean of each channel over the image: a vector.
    #[track_caller]
    pub const fn global_average_pool(self) -> Self {
        self.must_push(Op::GlobalAveragePool)
    }

    /// The largest value of each channel in the image: a vector.
    #[track_caller]
    pub const fn global_max_pool(self) -> Self {
        self.must_push(Op::GlobalMaxPool)
    }

    /// `border` rows and columns of zeros on every side of the image; see [`Op::ZeroPadding2d`] for others.
    #[track_caller]
    pub const fn zero_padding2d(self, border: u8) -> Self {
        self.must_push(Op::ZeroPadding2d {
            border: Border::all(border),
        })
    }

    /// The sum of two branches that both start from this network: a residual block.
    ///
    /// `body` and `shortcut` are this network with the layers of the branch added; the network itself is the identity.
    ///
    /// ```
    /// use lightlayers::Network;
    ///
    /// const NET: Network = block(Network::input(8, 8, 3), 16);
    ///
    /// const fn block(net: Network, filters: usize) -> Network {
    ///     let body = net.conv2d(filters, 3).batch_norm().relu().conv2d(filters, 3).batch_norm();
    ///     let shortcut = net.conv2d(filters, 1).batch_norm();
    ///     net.residual(body, shortcut).relu()
    /// }
    /// assert_eq!(NET.output_shape(), lightlayers::Shape::image(8, 8, 16));
    /// ```
    #[track_caller]
    pub const fn residual(self, body: Self, shortcut: Self) -> Self {
        build!(self.try_residual(body, shortcut))
    }

    /// As [`residual`](Self::residual), for branches that are not known to be good.
    pub const fn try_residual(self, body: Self, shortcut: Self) -> Result<Self, BuildError> {
        let both_empty = body.len == self.len && shortcut.len == self.len;
        if both_empty || !self.is_start_of(&body) || !self.is_start_of(&shortcut) {
            return Err(BuildError::BranchesStartApart);
        }
        let mut net = body;
        let body_end = body.len;
        let mut i = self.len;
        while i < shortcut.len {
            let mut layer = *shortcut.layer(i);
            let moved = body_end - self.len;
            if layer.source as usize > self.len {
                layer.source += moved as u8;
            }
            if layer.second as usize > self.len {
                layer.second += moved as u8;
            }
            net = match net.append(layer) {
                Ok(net) => net,
                Err(error) => return Err(error),
            };
            i += 1;
        }
        let shortcut_end = if shortcut.len == self.len {
            self.len
        } else {
            net.len
        };
        net.try_add(body_end, shortcut_end)
    }

    /// A network without layers of the same input.
    pub(crate) const fn without_layers(&self) -> Self {
        Self {
            input: self.input,
            flat_input: self.flat_input,
            layers: [Layer::NONE; MAX_LAYERS],
            len: 0,
            elements_before_last: 0,
        }
    }

    /// The last layer, which has kernels, with the settings of another one for training.
    pub(crate) const fn with_settings_of(
        self,
        layer: &Layer,
        bias: bool,
    ) -> Result<Self, BuildError> {
        let mut last = *self.layer(self.len - 1);
        last.set(BIAS, bias);
        last.set(FROZEN, layer.is_frozen());
        last.l2 = layer.l2;
        last.kernel_initializer = layer.kernel_initializer;
        self.with_last(last)
    }

    const fn is_start_of(&self, other: &Self) -> bool {
        let mut same = self.len <= other.len
            && self.input.same(other.input)
            && self.flat_input == other.flat_input;
        let mut i = 0;
        while same && i < self.len {
            same = self.layer(i).same(other.layer(i));
            i += 1;
        }
        same
    }

    /// The stride of the last layer's window, for rows and columns.
    #[track_caller]
    pub const fn stride(self, stride: usize) -> Self {
        let (name, mut window) = self.last_window();
        let stride = build!(small(name, "the stride", stride));
        window.stride = (stride, stride);
        self.with_window(window)
    }

    /// The padding of the last layer's window.
    #[track_caller]
    pub const fn padding(self, padding: Padding) -> Self {
        let (_, mut window) = self.last_window();
        window.padding = padding;
        self.with_window(window)
    }

    /// How far apart the elements of the last layer's window are; a window of pooling has no gaps.
    #[track_caller]
    pub const fn dilation(self, dilation: usize) -> Self {
        let (name, mut window) = self.last_window();
        window.dilation = build!(small(name, "the dilation", dilation));
        self.with_window(window)
    }

    /// The rows and columns of the last layer's window; the stride of pooling stays what it is.
    #[track_caller]
    pub const fn kernel_size(self, rows: usize, columns: usize) -> Self {
        let (name, mut window) = self.last_window();
        window.kernel = (
            build!(small(name, "the kernel's height", rows)),
            build!(small(name, "the kernel's width", columns)),
        );
        self.with_window(window)
    }

    #[track_caller]
    const fn last_window(&self) -> (&'static str, WindowSize) {
        let layer = match self.len {
            0 => "network",
            _ => {
                let last = self.layer(self.len - 1);
                if let Some(window) = last.op.window() {
                    return (last.kind().name(), window);
                }
                last.kind().name()
            }
        };
        BuildError::HasNo {
            layer,
            what: "window",
        }
        .panic()
    }

    #[track_caller]
    const fn with_window(self, window: WindowSize) -> Self {
        let mut last = *self.layer(self.len - 1);
        last.op = last.op.with_window(window);
        build!(self.with_last(last))
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
        build!(self.try_custom(layer, sizes))
    }

    /// As [`custom`](Self::custom), for sizes that are not known to be good.
    pub const fn try_custom(
        self,
        layer: &'static dyn CustomLayer,
        sizes: CustomSizes,
    ) -> Result<Self, BuildError> {
        let CustomSizes {
            output,
            weights,
            saved,
        } = sizes;
        if output.values() == 0 {
            return Err(BuildError::Zero {
                layer: "custom",
                what: "the number of its outputs",
            });
        }
        let op = Op::Custom { layer, saved };
        self.push(op, output, weights, self.len, 0)
    }

    /// Whether the last layer adds a bias (it does unless it is told otherwise).
    #[track_caller]
    pub const fn bias(self, bias: bool) -> Self {
        build!(self.try_bias(bias))
    }

    pub(crate) const fn try_bias(self, bias: bool) -> Result<Self, BuildError> {
        match self.last_with_kernel("bias") {
            Ok(last) => {
                let mut layer = *self.layer(last);
                layer.set(BIAS, bias);
                self.with_last(layer)
            }
            Err(error) => Err(error),
        }
    }

    /// How the last layer's kernels start; [`Initializer::GlorotUniform`] unless it is told otherwise.
    #[track_caller]
    pub const fn kernel_initializer(self, initializer: Initializer) -> Self {
        build!(self.try_kernel_initializer(initializer))
    }

    pub(crate) const fn try_kernel_initializer(
        mut self,
        initializer: Initializer,
    ) -> Result<Self, BuildError> {
        match self.last_with_kernel("kernel to initialize") {
            Ok(last) => {
                at_mut(&mut self.layers, last).kernel_initializer = initializer;
                Ok(self)
            }
            Err(error) => Err(error),
        }
    }

    /// Adds `factor · Σ w²` over the last layer's kernels to the training loss (Keras's `L2`, without a half).
    #[track_caller]
    pub const fn l2(self, factor: f32) -> Self {
        build!(self.try_l2(factor))
    }

    pub(crate) const fn try_l2(mut self, factor: f32) -> Result<Self, BuildError> {
        match self.last_with_kernel("kernel to penalize") {
            Ok(last) if factor >= 0.0 && factor.is_finite() => {
                at_mut(&mut self.layers, last).l2 = factor;
                Ok(self)
            }
            Ok(last) => Err(BuildError::OutOfRange {
                layer: self.layer(last).kind().name(),
                what: "the l2 factor",
                range: "0..",
            }),
            Err(error) => Err(error),
        }
    }

    /// The last layer does not learn: no gradient, no optimizer state, and backward stops below the lowest layer that does.
    #[track_caller]
    pub const fn frozen(self) -> Self {
        build!(self.try_frozen())
    }

    pub(crate) const fn try_frozen(mut self) -> Result<Self, BuildError> {
        let Some(last) = self.len.checked_sub(1) else {
            return Err(BuildError::HasNo {
                layer: "network",
                what: "layer to freeze",
            });
        };
        at_mut(&mut self.layers, last).set(FROZEN, true);
        Ok(self)
    }

    /// No layer so far learns; layers that are added after this call do.
    ///
    /// The weights keep their places, so the weights of the same network without frozen layers fit.
    pub const fn all_frozen(mut self) -> Self {
        let mut i = 0;
        while i < self.len {
            at_mut(&mut self.layers, i).set(FROZEN, true);
            i += 1;
        }
        self
    }

    /// The layers, first to last.
    pub const fn layers(&self) -> &[Layer] {
        first(&self.layers, self.len)
    }

    /// Layer `index`, which is there.
    pub(crate) const fn layer(&self, index: usize) -> &Layer {
        at(&self.layers, index)
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
        self.tensor(self.len).0
    }

    /// The output is a vector, not an image.
    pub const fn has_flat_output(&self) -> bool {
        self.tensor(self.len).1
    }

    /// The shape of a tensor, and whether it is a vector: 0 is the network's input, `i + 1` the output of layer `i`.
    pub(crate) const fn tensor(&self, tensor: usize) -> (Shape, bool) {
        match tensor {
            0 => (self.input, self.flat_input),
            _ => {
                let layer = self.layer(tensor - 1);
                (layer.output, layer.has_flat_output())
            }
        }
    }

    /// The input is a vector, not an image: the network started with [`features`](Self::features).
    pub const fn has_flat_input(&self) -> bool {
        self.flat_input
    }

    /// The length of the weight buffer: every parameter of the network. First what training changes by gradients, layer by layer, then
    /// the moving statistics of batch normalization.
    pub const fn weights(&self) -> usize {
        self.trained_weights() + self.moving_statistics()
    }

    /// The moving statistics of batch normalization.
    pub(crate) const fn moving_statistics(&self) -> usize {
        let mut sum = 0;
        let mut i = 0;
        while i < self.len {
            sum += self.layer(i).moving_statistics();
            i += 1;
        }
        sum
    }

    /// The weights that have gradients, frozen or not.
    pub(crate) const fn trained_weights(&self) -> usize {
        match self.len {
            0 => 0,
            len => self.layer(len - 1).weights_range().end,
        }
    }

    /// The weights that training changes: the length of the gradient buffer.
    pub const fn trainable_weights(&self) -> usize {
        let mut sum = 0;
        let mut i = 0;
        while i < self.len {
            sum += self.layer(i).trainable_weights();
            i += 1;
        }
        sum
    }

    /// Multiply-accumulates of one sample's inference.
    pub const fn multiply_accumulates(&self) -> u64 {
        let mut sum = 0;
        let mut i = 0;
        while i < self.len {
            sum += self.layer(i).multiply_accumulates();
            i += 1;
        }
        sum
    }

    pub(crate) const fn kinds(&self) -> Kinds {
        let mut kinds = Kinds::NONE;
        let mut i = 0;
        while i < self.len {
            kinds = kinds.with(self.layer(i).kind());
            i += 1;
        }
        kinds
    }

    /// True if every layer reads the one before it, and nothing else.
    pub(crate) const fn is_chain(&self) -> bool {
        let mut i = 0;
        while i < self.len {
            if self.layer(i).source as usize != i || matches!(self.layer(i).op, Op::Add) {
                return false;
            }
            i += 1;
        }
        true
    }

    /// True if a layer with weights is frozen.
    pub(crate) const fn freezes(&self) -> bool {
        self.trainable_weights() < self.trained_weights()
    }

    /// True if the weights of a layer start normally distributed.
    pub(crate) const fn draws_normal(&self) -> bool {
        let mut i = 0;
        while i < self.len {
            if matches!(self.layer(i).kernel_initializer, Initializer::HeNormal) {
                return true;
            }
            i += 1;
        }
        false
    }

    /// True if a layer has an L2 penalty.
    pub(crate) const fn penalizes(&self) -> bool {
        let mut i = 0;
        while i < self.len {
            if self.layer(i).l2 != 0.0 {
                return true;
            }
            i += 1;
        }
        false
    }
}
