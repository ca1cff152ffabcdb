//! From weights of `f32` to those of a quantized network.

use super::infer::{Head, check_kinds};
use super::layout::{self, ADD, CHANNEL, HEAD, SOFTMAX, TABLE, kernel_len};
use super::{Quantization, round};
use crate::error::{Buffer, Error};
use crate::infer::check_layers;
use crate::kernels::int8::{dense_place, narrow_place, packed_place};
use crate::layers::Op;
use crate::math;
use crate::network::Layer;
use crate::plan::Graph;

/// Makes the weights of a quantized network.
///
/// `quantizations` are those of the network's input and of each layer's output, as a [`Calibration`](super::Calibration) chooses them.
/// Where the law leaves no choice (see [the table](super)) they are not read; a ReLU that the layer before does gets a zero point of -128, one
/// that ends at 6 a scale of at most 6/255.
///
/// Weights are symmetric, -127 to 127, with a scale for each output channel; halves are rounded away from zero. A bias that would be
/// too large in steps of the scales of input and weights makes the scale of its channel larger.
///
/// # Errors
///
/// [`Error::Length`] if a buffer does not have the length that the network needs, [`Error::Unquantizable`] if it has a layer that cannot be
/// quantized, a sum of more than 65,000 products, or a mean of more than 8,421,504 pixels; [`Error::OutOfRange`] if a weight is not finite.
pub fn quantize<G: Graph>(
    graph: G,
    weights: &[f32],
    quantizations: &[Quantization],
    quantized: &mut [u32],
) -> Result<(), Error> {
    let sizes = graph.sizes();
    check_layers(&graph)?;
    check_kinds(&graph)?;
    let layers = graph.layers();
    Error::check_length(Buffer::Weights, sizes.weights, weights.len())?;
    Error::check_length(Buffer::Quantizations, layers.len() + 1, quantizations.len())?;
    let (expected, found) = (sizes.quantized_weights, quantized.len());
    Error::check_length(Buffer::QuantizedWeights, expected, found)?;
    if !weights.iter().all(|weight| weight.is_finite()) {
        return Err(Error::OutOfRange {
            what: "the weights that are quantized",
            range: "the finite numbers",
        });
    }
    quantized.fill(0);
    let of = |tensor| resolved(layers, quantizations, tensor);
    let head = Head {
        quantization: of(0),
        exponent: 0,
        source_zero: 0,
    };
    let (input, mut rest) = quantized.split_at_mut_checked(HEAD).ok_or(Error::Plan)?;
    head.write(input);
    for (index, layer) in layers.iter().enumerate() {
        let words = layout::words(layers, index);
        let (record, after) = rest.split_at_mut_checked(words).ok_or(Error::Plan)?;
        rest = after;
        let (head, own) = record.split_at_mut_checked(HEAD).ok_or(Error::Plan)?;
        let work = Work {
            index,
            layer,
            weights: weights.get(layer.weights_range()).ok_or(Error::Plan)?,
            source: of(layer.source.into()),
            second: of(layer.second.into()),
            output: of(index + 1),
        };
        let exponent = work.write(own)?;
        let written = Head {
            quantization: work.output,
            exponent: exponent as u8,
            source_zero: work.source.zero_point,
        };
        written.write(head);
    }
    Ok(())
}

/// The quantization of a tensor, 0 for the network's input, `i + 1` for the output of layer `i`, as far as it is not free.
pub(crate) fn resolved(layers: &[Layer], given: &[Quantization], tensor: usize) -> Quantization {
    let mut tensor = tensor;
    loop {
        let own = given.get(tensor).copied().unwrap_or(Quantization::PIXELS);
        let Some(layer) = tensor.checked_sub(1).and_then(|index| layers.get(index)) else {
            return own;
        };
        match layer.op {
            Op::MaxPool2d { .. }
            | Op::AveragePool2d { .. }
            | Op::GlobalMaxPool
            | Op::ZeroPadding2d { .. }
            | Op::Flatten
            | Op::Dropout { .. } => tensor = layer.source.into(),
            Op::Softmax | Op::Sigmoid => return Quantization::SHARES,
            Op::Tanh => return Quantization::SIGNED_SHARES,
            Op::Relu | Op::Relu6 if layout::is_fused(layers, layer) => {
                let (_, mut high) = own.range();
                if matches!(layer.op, Op::Relu6) {
                    high = high.min(6.0);
                }
                return Quantization {
                    scale: if own.zero_point == i8::MIN && high == own.range().1 {
                        own.scale
                    } else {
                        (high / 255.0).max(super::SMALLEST_SCALE)
                    },
                    zero_point: i8::MIN,
                };
            }
            _ => match layout::fused_relu(layers, tensor - 1) {
                Some(relu) => tensor = relu + 1,
                None => return own,
            },
        }
    }
}

/// One layer.
struct Work<'a> {
    index: usize,
    layer: &'a Layer,
    weights: &'a [f32],
    source: Quantization,
    second: Quantization,
    output: Quantization,
}

impl Work<'_> {
    /// Writes the record; returns the exponent of its multipliers.
    fn write(&self, record: &mut [u32]) -> Result<u32, Error> {
        match self.layer.op {
            Op::Dense { .. } | Op::Conv2d { .. } | Op::DepthwiseConv2d { .. } => {
                self.filters(record)
            }
            Op::Add => Ok(self.add(record)),
            Op::GlobalAveragePool => self.average(record),
            Op::Softmax => Ok(self.softmax(record)),
            Op::Relu | Op::Relu6 | Op::LeakyRelu { .. } | Op::Sigmoid | Op::Tanh => {
                self.table(record);
                Ok(0)
            }
            _ => Ok(0),
        }
    }

    fn filters(&self, record: &mut [u32]) -> Result<u32, Error> {
        let filters = usize::from(self.layer.output.channels);
        let terms = kernel_len(self.layer) / filters.max(1);
        let (kernel, biases) = self
            .weights
            .split_at_checked(kernel_len(self.layer))
            .ok_or(Error::Plan)?;
        let most_bias = most_bias(terms);
        if most_bias < 1 << 20 {
            return Err(self.overflows("a sum of its products may not fit 32 bits"));
        }
        let source_scale = f64::from(self.source.scale);
        let weights_of = |filter| kernel.iter().skip(filter).step_by(filters.max(1));
        let channel = |filter: usize, least_scale: f64| {
            let weights = weights_of(filter);
            let bias = biases.get(filter).copied().unwrap_or_default();
            let scale = weight_scale(weights.clone(), bias, self.source).max(least_scale);
            let (mut sum, mut absolute) = (0, 0);
            for weight in weights {
                let weight = i64::from(quantized_weight(*weight, scale));
                sum += weight;
                absolute += weight.abs();
            }
            let bias = if scale > 0.0 {
                round(f64::from(bias) / (source_scale * scale))
                    .max(-most_bias)
                    .min(most_bias)
            } else {
                0
            };
            let bias = bias - i64::from(self.source.zero_point) * sum;
            Channel {
                scale,
                bias: bias as i32,
                most: bias.abs() + 128 * absolute,
                multiplier: source_scale * scale / f64::from(self.output.scale),
            }
        };
        // What fits the sums of a channel is enough for it: with a larger multiplier they saturate the output, but for a few next to 0.
        let exponent = (0..filters).fold(0, |most, filter| {
            let own = channel(filter, 0.0);
            most.max(exponent_of(own.multiplier).min(room(own.most)))
        });
        let geometry = layout::geometry(self.layer).filter(|geometry| geometry.is_narrow());
        for filter in 0..filters {
            let mut own = channel(filter, 0.0);
            // A sum must fit with the exponent of all channels, too: a coarser scale makes it smaller, though not always in proportion, since
            // weights may be rounded up. It ends where all of them are 0, at the latest.
            let most = i64::from(i32::MAX) >> exponent;
            while own.most > most {
                let coarser = (own.most as f64 / most as f64).max(1.0 + 1.0 / 64.0);
                own = channel(filter, own.scale * coarser);
            }
            let multiplier = fixed(own.multiplier, 32 - exponent);
            let words = [own.bias as u32, multiplier as u32];
            let start = filter
                * if geometry.is_some() {
                    layout::NARROW
                } else {
                    CHANNEL
                };
            let place = record
                .get_mut(start..)
                .and_then(|own| own.first_chunk_mut());
            *place.ok_or(Error::Plan)? = words;
            let bytes = bytemuck::must_cast_slice_mut::<u32, i8>(record);
            for (term, weight) in weights_of(filter).enumerate() {
                let weight = quantized_weight(*weight, own.scale);
                if let Some(geometry) = &geometry {
                    let at = 4 * (start + CHANNEL) + 2 * narrow_place(geometry, term);
                    let place = bytes
                        .get_mut(at..)
                        .and_then(|bytes| bytes.first_chunk_mut());
                    let value = i16::from(weight).to_ne_bytes();
                    *place.ok_or(Error::Plan)? = value.map(|byte| byte as i8);
                } else {
                    let at = 4 * CHANNEL * filters + self.place(terms, filters, term, filter);
                    *bytes.get_mut(at).ok_or(Error::Plan)? = weight;
                }
            }
        }
        Ok(exponent)
    }

    /// Where a weight lies in the kernel.
    fn place(&self, terms: usize, filters: usize, term: usize, filter: usize) -> usize {
        match (self.layer.op, layout::geometry(self.layer)) {
            (Op::Dense { .. }, _) => dense_place(terms, filters, term, filter),
            (_, Some(geometry)) => packed_place(&geometry, term, filter),
            _ => term * filters + filter,
        }
    }

    fn average(&self, record: &mut [u32]) -> Result<u32, Error> {
        let input = self.layer.input;
        let pixels = i64::from(input.height) * i64::from(input.width);
        // A value is at most 255 from its zero point.
        let most = 255 * pixels;
        if most > i64::from(i32::MAX) {
            return Err(self.overflows("a sum of its pixels may not fit 32 bits"));
        }
        let (from, to) = (f64::from(self.source.scale), f64::from(self.output.scale));
        let multiplier = from / (to * pixels as f64);
        let exponent = exponent_of(multiplier).min(room(most));
        let bias = -i64::from(self.source.zero_point) * pixels;
        write(record, [bias as i32, fixed(multiplier, 32 - exponent)]);
        Ok(exponent)
    }

    fn overflows(&self, why: &'static str) -> Error {
        Error::Unquantizable {
            layer: self.index,
            name: self.layer.name(),
            why,
        }
    }

    fn add(&self, record: &mut [u32]) -> u32 {
        /// Of the multipliers.
        const BITS: u32 = 21;
        let to = f64::from(self.output.scale);
        let ratios = [self.source, self.second].map(|from| f64::from(from.scale) / to);
        let mut exponent = BITS;
        while exponent > 0
            && ratios
                .iter()
                .any(|ratio| ratio * power(exponent) > power(BITS))
        {
            exponent -= 1;
        }
        let [first, second] = ratios.map(|ratio| fixed(ratio, exponent).min(1 << BITS));
        let half = (1 << exponent) >> 1;
        let zeros =
            i32::from(self.source.zero_point) * first + i32::from(self.second.zero_point) * second;
        let offset = (i32::from(self.output.zero_point) << exponent) + half - zeros;
        write::<ADD>(record, [first, second, offset]);
        exponent
    }

    fn softmax(&self, record: &mut [u32]) -> u32 {
        /// Differences are numbers of 5 bits before the point and 26 behind it.
        const INTEGER_BITS: u32 = 5;
        const FRACTION_BITS: u32 = 31 - INTEGER_BITS;
        let real = f64::from(self.source.scale) * power(FRACTION_BITS);
        // It is a number above 1: of a scale below that, all differences are 0.
        let real = real.clamp(1.0, f64::from(i32::MAX));
        let mut exponent = 0;
        while power(exponent) <= real {
            exponent += 1;
        }
        let mut multiplier = round(real / power(exponent) * power(31));
        if multiplier == 1 << 31 {
            multiplier >>= 1;
            exponent += 1;
        }
        let most = ((1 << INTEGER_BITS) - 1) << FRACTION_BITS >> exponent;
        write::<SOFTMAX>(record, [multiplier as i32, exponent as i32, -most]);
        0
    }

    fn table(&self, record: &mut [u32]) {
        let Some(record) = record.get_mut(..TABLE) else {
            return;
        };
        let bytes = bytemuck::must_cast_slice_mut::<u32, u8>(record);
        for (byte, entry) in (0..=u8::MAX).zip(bytes) {
            let x = self.source.dequantize(byte as i8);
            let y = match self.layer.op {
                Op::Relu => x.max(0.0),
                Op::Relu6 => x.clamp(0.0, 6.0),
                Op::LeakyRelu { slope } if x < 0.0 => slope * x,
                Op::Sigmoid => 1.0 / (1.0 + math::exp(-x)),
                Op::Tanh => math::tanh(x),
                _ => x,
            };
            *entry = self.output.quantize(y) as u8;
        }
    }
}

/// A filter's numbers.
struct Channel {
    scale: f64,
    bias: i32,
    /// No part of a sum is larger.
    most: i64,
    /// The scale of its sums over that of the output.
    multiplier: f64,
}

/// What a sum of so many products, and the zero point's share of the bias, leave of 32 bits to the bias itself.
fn most_bias(terms: usize) -> i64 {
    i64::from(i32::MAX) - 256 * 127 * terms as i64
}

/// The scale of a channel's weights: the largest one is 127, and the bias fits beside a sum of products. 0 if they are all 0.
pub(super) fn weight_scale<'a>(
    weights: impl ExactSizeIterator<Item = &'a f32>,
    bias: f32,
    source: Quantization,
) -> f64 {
    let most_bias = most_bias(weights.len()) as f64;
    let largest = weights.fold(0.0_f32, |most, weight| most.max(weight.abs()));
    let bias = f64::from(bias).abs();
    (f64::from(largest) / 127.0).max(bias / (f64::from(source.scale) * most_bias))
}

/// A weight in steps of its channel's scale.
pub(super) fn quantized_weight(weight: f32, scale: f64) -> i8 {
    if scale > 0.0 {
        round(f64::from(weight) / scale).clamp(-127, 127) as i8
    } else {
        0
    }
}

/// Signed numbers as words.
fn write<const N: usize>(record: &mut [u32], values: [i32; N]) {
    if let Some(place) = record.first_chunk_mut() {
        *place = values.map(|value| value as u32);
    }
}

/// The smallest exponent with which a multiplier is below 2^31, at most 9: a multiplier of 256 takes every sum but 0 past the ends of the
/// output already.
fn exponent_of(multiplier: f64) -> u32 {
    let mut exponent = 0;
    while exponent < 9 && multiplier * power(32 - exponent) >= power(31) - 0.5 {
        exponent += 1;
    }
    exponent
}

/// The largest exponent with which sums of at most `most` fit 32 bits.
fn room(most: i64) -> u32 {
    let mut exponent = 0;
    while exponent < 31 && most << (exponent + 1) <= i64::from(i32::MAX) {
        exponent += 1;
    }
    exponent
}

/// `value · 2^bits`.
fn fixed(value: f64, bits: u32) -> i32 {
    round(value * power(bits)).min(i32::MAX.into()) as i32
}

fn power(exponent: u32) -> f64 {
    (1_u64 << exponent) as f64
}
