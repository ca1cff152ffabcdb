//! What a quantized network computes, in 64-bit integers that never wrap: from the words of its weights as
//! the model file's format describes them, and the formulas there and in the docs, not from the kernels.

use lightlayers::{Layer, Network, Op, Padding, Shape, WindowSize};

use crate::quantized::{fused, sources};

/// The outputs of one sample.
///
/// # Panics
///
/// If a part of a sum, shifted by its exponent, does not fit 32 bits.
pub fn outputs(net: &Network, words: &[u32], x: &[i8]) -> Vec<i8> {
    let mut tensors = vec![widened(x)];
    for (index, layer) in net.layers().iter().enumerate() {
        let range = net.quantized_weights_range(index + 1);
        let record = Record::new(&words[range.expect("a tensor of the network")]);
        let inputs: Vec<&[i64]> = sources(layer)
            .iter()
            .map(|tensor| &tensors[*tensor][..])
            .collect();
        let is_done = fused(net, index).is_some();
        tensors.push(if is_done {
            inputs[0].to_vec()
        } else {
            record.run(layer, &inputs)
        });
    }
    let outputs = tensors.pop().expect("at least the input");
    outputs
        .into_iter()
        .map(|value| i8::try_from(value).expect("saturated"))
        .collect()
}

fn widened(bytes: &[i8]) -> Vec<i64> {
    bytes.iter().map(|byte| i64::from(*byte)).collect()
}

fn saturated(value: i128) -> i64 {
    value.clamp(-128, 127) as i64
}

/// `numerator / 2^bits`, rounded to nearest, halves away from zero.
fn divided(numerator: i64, bits: u32) -> i64 {
    let half = (1 << bits) >> 1;
    ((numerator.abs() + half) >> bits) * numerator.signum()
}

/// The words of a tensor.
struct Record<'a> {
    zero: i64,
    exponent: u32,
    source_zero: i64,
    words: &'a [u32],
}

impl<'a> Record<'a> {
    fn new(words: &'a [u32]) -> Self {
        let [zero, exponent, source_zero, _] = words[1].to_le_bytes();
        Self {
            zero: i64::from(zero as i8),
            exponent: exponent.into(),
            source_zero: i64::from(source_zero as i8),
            words: &words[2..],
        }
    }

    fn signed(&self, at: usize) -> i64 {
        i64::from(self.words[at] as i32)
    }

    /// The bytes after so many words.
    fn bytes(&self, start: usize) -> impl Iterator<Item = i64> + 'a {
        let bytes = self.words[start..]
            .iter()
            .flat_map(|word| word.to_le_bytes());
        bytes.map(|byte| i64::from(byte as i8))
    }

    fn run(&self, layer: &Layer, inputs: &[&[i64]]) -> Vec<i64> {
        let (from, to, x) = (layer.input_shape(), layer.output_shape(), inputs[0]);
        let channels = usize::from(from.channels);
        match *layer.op() {
            Op::Dense { .. } => {
                let kernel = self.dense_kernel(channels, to.channels.into());
                let products = |row: &Vec<i64>| products(row, x.iter().copied());
                let sums = kernel.iter().map(products).enumerate();
                sums.map(|(unit, sum)| self.output(sum, 2 * unit)).collect()
            }
            Op::Conv2d { window, .. } => {
                let is_narrow = is_narrow(window, channels);
                let kernel = self.conv_kernel(window, channels, to.channels.into());
                self.each(to, |pixel, filter| {
                    let taps = taps(window, from, to, pixel);
                    let values = taps.into_iter().flat_map(|tap| {
                        (0..channels).map(move |channel| match tap {
                            Some(pixel) => x[pixel * channels + channel],
                            None => self.source_zero,
                        })
                    });
                    let sum = products(&kernel[filter], values);
                    self.output(sum, filter * if is_narrow { 8 } else { 2 })
                })
            }
            Op::DepthwiseConv2d { multiplier, window } => {
                let filters = usize::from(to.channels);
                let kernel: Vec<i64> = self.bytes(2 * filters).collect();
                self.each(to, |pixel, filter| {
                    let channel = filter / usize::from(multiplier);
                    let taps = taps(window, from, to, pixel);
                    let values = taps.into_iter().map(|tap| match tap {
                        Some(pixel) => x[pixel * channels + channel],
                        None => self.source_zero,
                    });
                    let weights: Vec<i64> = kernel
                        .iter()
                        .skip(filter)
                        .step_by(filters)
                        .copied()
                        .collect();
                    self.output(products(&weights, values), 2 * filter)
                })
            }
            Op::GlobalAveragePool => self.each(to, |_, channel| {
                let values = x.iter().skip(channel).step_by(channels).copied();
                self.output(products(&vec![1; x.len() / channels], values), 0)
            }),
            Op::GlobalMaxPool => self.each(to, |_, channel| {
                let values = x.iter().skip(channel).step_by(channels);
                *values.max().expect("an image has pixels")
            }),
            Op::MaxPool2d { window } => self.each(to, |pixel, channel| {
                let pixels = taps(window, from, to, pixel).into_iter().flatten();
                let values = pixels.map(|pixel| x[pixel * channels + channel]);
                values.max().expect("a window is not all padding")
            }),
            Op::AveragePool2d { window } => self.each(to, |pixel, channel| {
                let pixels = taps(window, from, to, pixel).into_iter().flatten();
                let values: Vec<i64> = pixels.map(|pixel| x[pixel * channels + channel]).collect();
                let (sum, count) = (values.iter().sum::<i64>(), values.len() as i64);
                (2 * sum.abs() + count) / (2 * count) * sum.signum()
            }),
            Op::ZeroPadding2d { border } => self.each(to, |(row, column), channel| {
                let [row, column] = [(row, border.top), (column, border.left)]
                    .map(|(at, border)| at.wrapping_sub(border.into()));
                if row < from.height.into() && column < from.width.into() {
                    x[(row * usize::from(from.width) + column) * channels + channel]
                } else {
                    self.source_zero
                }
            }),
            Op::Add => {
                let [first, second, offset] = [0, 1, 2].map(|at| self.signed(at));
                let pairs = x.iter().zip(inputs[1]);
                let sums = pairs.map(|(a, b)| a * first + b * second + offset);
                sums.map(|sum| saturated((sum >> self.exponent).into()))
                    .collect()
            }
            Op::Softmax => x.chunks(channels).flat_map(|x| self.softmax(x)).collect(),
            Op::Relu | Op::Relu6 | Op::LeakyRelu { .. } | Op::Sigmoid | Op::Tanh => {
                let table: Vec<i64> = self.bytes(0).collect();
                x.iter().map(|value| table[*value as u8 as usize]).collect()
            }
            Op::Flatten | Op::Dropout { .. } => x.to_vec(),
            op => panic!("{op:?} cannot be quantized"),
        }
    }

    /// A value for each pixel and channel.
    fn each(&self, shape: Shape, value: impl Fn((usize, usize), usize) -> i64) -> Vec<i64> {
        let [height, width, channels] =
            [shape.height, shape.width, shape.channels].map(usize::from);
        let pixels = (0..height).flat_map(|row| (0..width).map(move |column| (row, column)));
        let places = pixels.flat_map(|pixel| (0..channels).map(move |channel| (pixel, channel)));
        places
            .map(|(pixel, channel)| value(pixel, channel))
            .collect()
    }

    /// From a sum of products and of their absolute values to the output, with the bias and the multiplier at a place.
    fn output(&self, (sum, absolute): (i64, i64), at: usize) -> i64 {
        let [bias, multiplier] = [at, at + 1].map(|at| self.signed(at));
        let most = (bias.abs() + absolute) << self.exponent;
        assert!(most <= i32::MAX.into(), "a sum of {most} does not fit");
        let shifted = i128::from(bias + sum) << self.exponent;
        let product = shifted * i128::from(multiplier);
        saturated(((product + (1 << 31)) >> 32) + i128::from(self.zero))
    }

    /// The weights of each unit.
    fn dense_kernel(&self, inputs: usize, units: usize) -> Vec<Vec<i64>> {
        let mut kernel = vec![vec![0; inputs]; units];
        let mut bytes = self.bytes(2 * units);
        let mut rest = &mut kernel[..];
        for len in [4, 2, 1] {
            while rest.len() >= len {
                let (block, after) = rest.split_at_mut(len);
                rest = after;
                for start in (0..inputs / 4 * 4).step_by(4) {
                    for unit in &mut *block {
                        unit[start..start + 4].fill_with(|| bytes.next().expect("a weight"));
                    }
                }
                for input in inputs / 4 * 4..inputs {
                    for unit in &mut *block {
                        unit[input] = bytes.next().expect("a weight");
                    }
                }
            }
        }
        kernel
    }

    /// The weights of each filter, `[rows, columns, channels]`.
    fn conv_kernel(&self, window: WindowSize, channels: usize, filters: usize) -> Vec<Vec<i64>> {
        let (rows, columns) = (usize::from(window.kernel.0), usize::from(window.kernel.1));
        let terms = rows * columns * channels;
        let mut kernel = vec![vec![0; terms]; filters];
        if is_narrow(window, channels) {
            for (filter, weights) in kernel.iter_mut().enumerate() {
                let words = &self.words[8 * filter + 2..8 * filter + 8];
                let halves = words
                    .iter()
                    .flat_map(|word| [*word as i16, (*word >> 16) as i16]);
                let halves: Vec<i64> = halves.map(i64::from).collect();
                for (row, weights) in weights.chunks_mut(columns * channels).enumerate() {
                    weights.copy_from_slice(&halves[4 * row..][..columns * channels]);
                }
            }
            return kernel;
        }
        let run = if window.dilation == 1 {
            columns * channels
        } else {
            channels
        };
        let mut bytes = self.bytes(2 * filters);
        for block in kernel.chunks_mut(2) {
            for start in (0..terms).step_by(run) {
                for group in (0..run / 4 * 4).step_by(4) {
                    for filter in &mut *block {
                        for at in [0, 2, 1, 3] {
                            filter[start + group + at] = bytes.next().expect("a weight");
                        }
                    }
                }
                for at in run / 4 * 4..run {
                    for filter in &mut *block {
                        filter[start + at] = bytes.next().expect("a weight");
                    }
                }
            }
        }
        kernel
    }

    /// That of TensorFlow Lite's reference kernel.
    fn softmax(&self, x: &[i64]) -> Vec<i64> {
        let [multiplier, exponent, least] = [0, 1, 2].map(|at| self.signed(at));
        let largest = *x.iter().max().expect("a vector has values");
        let differences: Vec<i64> = x.iter().map(|x| x - largest).collect();
        let exponential = |difference: i64| exponential(high(difference << exponent, multiplier));
        let counted = differences
            .iter()
            .filter(|difference| **difference >= least);
        let sum: i64 = counted
            .map(|difference| divided(exponential(*difference), 12))
            .sum();
        // sum = (1 + fraction) · 2^bits in Q12.
        let zeros = (sum as u32).leading_zeros();
        let reciprocal = one_over_one_plus((sum << zeros) - (1 << 31));
        let bits = 12 - zeros + 31 - 8;
        let share = |difference: i64| match difference >= least {
            true => {
                saturated((divided(high(reciprocal, exponential(difference)), bits) - 128).into())
            }
            false => -128,
        };
        differences.into_iter().map(share).collect()
    }
}

/// The sum of the products and the sum of their absolute values.
fn products(weights: &[i64], values: impl Iterator<Item = i64>) -> (i64, i64) {
    let products = weights
        .iter()
        .zip(values)
        .map(|(weight, value)| weight * value);
    products.fold((0, 0), |(sum, absolute), product| {
        (sum + product, absolute + product.abs())
    })
}

fn is_narrow(window: WindowSize, channels: usize) -> bool {
    let columns = usize::from(window.kernel.1);
    let is_one_run = window.dilation == 1 || columns == 1;
    window.kernel.0 <= 3 && is_one_run && columns * channels <= 4
}

/// The pixels under a window, `None` where it is padding.
fn taps(
    window: WindowSize,
    from: Shape,
    to: Shape,
    (row, column): (usize, usize),
) -> Vec<Option<usize>> {
    let axis = |input: u16, output: u16, kernel: u8, stride: u8, at: usize| {
        let [input, output] = [input, output].map(i64::from);
        let [kernel, stride, dilation] = [kernel, stride, window.dilation].map(i64::from);
        let reach = (output - 1) * stride + (kernel - 1) * dilation + 1;
        let before = match window.padding {
            Padding::Same => (reach - input).max(0) / 2,
            Padding::Valid => 0,
        };
        let places = (0..kernel).map(move |tap| at as i64 * stride + tap * dilation - before);
        let places = places.map(move |place| (0..input).contains(&place).then_some(place as usize));
        places.collect::<Vec<_>>()
    };
    let (kernel, stride) = (window.kernel, window.stride);
    let rows = axis(from.height, to.height, kernel.0, stride.0, row);
    let columns = axis(from.width, to.width, kernel.1, stride.1, column);
    let width = usize::from(from.width);
    let pixels = rows.iter().flat_map(|row| {
        let place = |column: &Option<usize>| Some((*row)? * width + (*column)?);
        columns.iter().map(place).collect::<Vec<_>>()
    });
    pixels.collect()
}

/// gemmlowp's `SaturatingRoundingDoublingHighMul`: `a · b / 2^31`, halves away from zero.
fn high(a: i64, b: i64) -> i64 {
    divided(a * b, 31).min(i32::MAX.into())
}

fn in_32_bits(value: i64) -> i64 {
    value.clamp(i32::MIN.into(), i32::MAX.into())
}

/// gemmlowp's `exp_on_negative_values`, from 5 bits before the point to none.
fn exponential(a: i64) -> i64 {
    if a == 0 {
        return i32::MAX.into();
    }
    let quarter = 1 << 24;
    let fraction = a.rem_euclid(quarter) - quarter;
    let x = (fraction << 5) + (1 << 28);
    let square = high(x, x);
    let (cube, fourth) = (high(square, x), high(square, square));
    let rest = divided(high(divided(fourth, 2) + cube, 715_827_883) + square, 1);
    let at_centre = 1_895_147_668;
    let mut result = in_32_bits(at_centre + high(at_centre, x + rest));
    let factors = [
        1_672_461_947,
        1_302_514_674,
        790_015_084,
        290_630_308,
        39_332_535,
        720_401,
        242,
    ];
    for (bit, factor) in factors.into_iter().enumerate() {
        if ((fraction - a) >> (24 + bit)) & 1 == 1 {
            result = high(result, factor);
        }
    }
    result
}

/// gemmlowp's `one_over_one_plus_x_for_x_in_0_1`.
fn one_over_one_plus(a: i64) -> i64 {
    let half = (a + i64::from(i32::MAX) + 1) / 2;
    let mut x = 1_515_870_810 + high(half, -1_010_580_540);
    for _ in 0..3 {
        let rest = (1 << 29) - high(half, x);
        x += in_32_bits(high(x, rest) << 2);
    }
    in_32_bits(x << 1)
}
