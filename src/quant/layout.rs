//! How the weights of a quantized network lie in memory: a record for each layer, in whole words.
//!
//! Numbers are words; bytes within words are in the order of their addresses.

use core::ops::Range;

use crate::kernels::int8::{Geometry, NARROW_WORDS};
use crate::layers::Op;
use crate::network::{Layer, Network};

/// Bytes of a word.
pub(crate) const WORD: usize = size_of::<u32>();

/// The words of a tensor's quantization: its scale, and a word of its zero point and the exponent of its layer's multipliers.
pub(crate) const HEAD: usize = 2;

/// Bias and multiplier.
pub(crate) const CHANNEL: usize = 2;

/// A narrow filter: bias, multiplier, kernel.
pub(crate) const NARROW: usize = CHANNEL + NARROW_WORDS;

/// One for every value of a byte.
pub(crate) const TABLE: usize = 256 / WORD;

/// Two multipliers and an offset.
pub(crate) const ADD: usize = 3;

/// Multiplier, exponent, and the smallest difference that counts.
pub(crate) const SOFTMAX: usize = 3;

impl Network {
    /// The words that the weights of the quantized network take, scales and all (see [`quant`](crate::quant)); their bytes are 4 times as many.
    pub const fn quantized_weights(&self) -> usize {
        total_words(self.layers())
    }

    /// The words among them that belong to a tensor, 0 the network's input, `i + 1` the output of layer `i`: how it is quantized, and what its
    /// layer computes it with. None behind the last one.
    ///
    /// ```
    /// use lightlayers::Network;
    ///
    /// const NET: Network = Network::features(2).dense(2).relu().dense(1);
    ///
    /// // Scale and zero point; two biases, two multipliers, a word of four weights.
    /// assert_eq!(NET.quantized_weights_range(0), Some(0..2));
    /// assert_eq!(NET.quantized_weights_range(1), Some(2..9));
    /// assert_eq!(NET.quantized_weights_range(4), None);
    /// ```
    pub const fn quantized_weights_range(&self, tensor: usize) -> Option<Range<usize>> {
        record(self.layers(), tensor)
    }
}

pub(crate) const fn total_words(layers: &[Layer]) -> usize {
    match record(layers, layers.len()) {
        Some(last) => last.end,
        None => 0,
    }
}

/// The words of a tensor's record.
pub(crate) const fn record(layers: &[Layer], tensor: usize) -> Option<Range<usize>> {
    if tensor > layers.len() {
        return None;
    }
    // The network's input.
    let mut record = 0..HEAD;
    let mut i = 0;
    while i < tensor {
        record = record.end..record.end + words(layers, i);
        i += 1;
    }
    Some(record)
}

/// The words of a layer's record.
pub(crate) const fn words(layers: &[Layer], index: usize) -> usize {
    HEAD + match layers.split_at_checked(index) {
        Some((_, [layer, ..])) => own_words(layers, layer),
        _ => 0,
    }
}

const fn own_words(layers: &[Layer], layer: &Layer) -> usize {
    let filters = layer.output.channels as usize;
    match layer.op {
        Op::Conv2d { .. } if is_narrow(layer) => filters * NARROW,
        Op::Conv2d { .. } | Op::Dense { .. } | Op::DepthwiseConv2d { .. } => {
            filters * CHANNEL + kernel_len(layer).div_ceil(WORD)
        }
        Op::Add => ADD,
        Op::GlobalAveragePool => CHANNEL,
        Op::Softmax => SOFTMAX,
        Op::Relu | Op::Relu6 if is_fused(layers, layer) => 0,
        Op::Relu | Op::Relu6 | Op::LeakyRelu { .. } | Op::Sigmoid | Op::Tanh => TABLE,
        _ => 0,
    }
}

/// The elements of a layer's kernel.
pub(crate) const fn kernel_len(layer: &Layer) -> usize {
    let filters = layer.output.channels as usize;
    match layer.op {
        Op::Dense { .. } => layer.input.channels as usize * filters,
        Op::Conv2d { window, .. } => window.area() * layer.input.channels as usize * filters,
        Op::DepthwiseConv2d { window, .. } => window.area() * filters,
        _ => 0,
    }
}

/// The layer saturates its sums at the ends of its output's range, which may be those of a ReLU.
pub(crate) const fn saturates(layer: &Layer) -> bool {
    matches!(
        layer.op,
        Op::Dense { .. }
            | Op::Conv2d { .. }
            | Op::DepthwiseConv2d { .. }
            | Op::Add
            | Op::GlobalAveragePool
    )
}

/// The ReLU is done by the layer before it: at the end of its range.
pub(crate) const fn is_fused(layers: &[Layer], relu: &Layer) -> bool {
    let source = relu.source as usize;
    if source == 0 || !matches!(relu.op, Op::Relu | Op::Relu6) {
        return false;
    }
    match layers.split_at_checked(source - 1) {
        Some((_, [before, after @ ..])) => saturates(before) && readers(after, relu.source) == 1,
        _ => false,
    }
}

/// The index of the ReLU that a layer does: a quantized network does not have the layer's output before it.
pub(crate) fn fused_relu(layers: &[Layer], index: usize) -> Option<usize> {
    let mut after = layers.iter().enumerate().skip(index + 1);
    let relu = after
        .find(|(_, reader)| usize::from(reader.source) == index + 1 && is_fused(layers, reader));
    relu.map(|(relu, _)| relu)
}

const fn readers(layers: &[Layer], tensor: u8) -> usize {
    let mut count = 0;
    let mut i = 0;
    while i < layers.len() {
        if layers[i].reads(tensor) {
            count += 1;
        }
        i += 1;
    }
    count
}

/// The bytes that a layer needs beside its tensors while it runs.
pub(crate) const fn scratch(layer: &Layer) -> u64 {
    match layer.op {
        Op::Conv2d { .. } => match geometry(layer) {
            Some(geometry) => geometry.scratch(),
            None => 0,
        },
        _ => 0,
    }
}

/// What a convolution's weights and scratch depend on.
pub(crate) const fn geometry(layer: &Layer) -> Option<Geometry> {
    let (input, output) = (layer.input, layer.output);
    match layer.op {
        Op::Conv2d { window, .. } => {
            let (channels, filters) = (input.channels as usize, output.channels as usize);
            Some(Geometry::new(
                window.between(input, output),
                channels,
                filters,
            ))
        }
        _ => None,
    }
}

const fn is_narrow(layer: &Layer) -> bool {
    match geometry(layer) {
        Some(geometry) => geometry.is_narrow(),
        None => false,
    }
}
