//! Quantized networks: run by the library, and once more in integers and real numbers with the
//! reference.

use lightlayers::quant::{Int8Inference, Quantization, quantize};
use lightlayers::{Layer, Network, Op, Plan};
use ndarray::Array2;

use crate::twin::Twin;

/// The quantized weights of a network.
pub fn words(net: &Network, weights: &[f32], quantizations: &[Quantization]) -> Vec<u32> {
    let mut words = vec![0; net.quantized_weights()];
    quantize(&Plan::new(net), weights, quantizations, &mut words).expect("can be quantized");
    words
}

/// The outputs for the samples `x`, one after another. What the workspace holds before is noise.
pub fn infer(net: &Network, words: &[u32], x: &[i8]) -> Vec<i8> {
    let plan = Plan::new(net);
    let mut workspace = vec![0x5aa5_817f; net.quantized_workspace()];
    let mut inference = Int8Inference::new(&plan, words, &mut workspace).expect("buffers fit");
    let samples = x.chunks(net.input_shape().len());
    let outputs = samples.map(|x| inference.run(x).expect("whole samples").to_vec());
    outputs.collect::<Vec<_>>().concat()
}

/// How many values differ, and the largest difference. Panics if the lengths differ.
pub fn difference(found: &[i8], expected: &[i8]) -> (usize, i32) {
    assert_eq!(
        found.len(),
        expected.len(),
        "number of values found, expected"
    );
    let apart = found.iter().zip(expected);
    let apart = apart.map(|(found, expected)| (i32::from(*found) - i32::from(*expected)).abs());
    apart.fold((0, 0), |(count, largest), apart| {
        (count + usize::from(apart > 0), largest.max(apart))
    })
}

/// The integer of a value that is counted in steps, its zero point included: rounded once, halves
/// up, and saturated.
pub fn rounded(steps: f64) -> i8 {
    (steps + 0.5).floor().clamp(-128.0, 127.0) as i8
}

/// A quantized network as TensorFlow Lite's specification has it: integers between the layers; what
/// a layer does between them in `f64`, which holds its sums of products exactly, and rounded once.
#[derive(Clone, Debug)]
pub struct Int8Twin {
    net: Network,
    /// The kernels and biases are integers.
    twin: Twin,
    /// For each layer the scale of each channel's weights; none for layers without.
    scales: Vec<Vec<f64>>,
    /// Of the network's input, then of the layers' outputs.
    pub quantizations: Vec<Quantization>,
}

impl Int8Twin {
    /// Quantizes weights: each channel's scale makes its largest weight 127.
    pub fn new(net: &Network, weights: &[f32], given: &[Quantization]) -> Self {
        let quantizations = quantizations(net, given);
        let mut twin = Twin::new(net, weights);
        let mut scales = Vec::new();
        for layer in net.layers() {
            let own = &mut twin.weights[layer.weights_range()];
            if own.is_empty() {
                scales.push(Vec::new());
                continue;
            }
            let channels = usize::from(layer.output_shape().channels);
            let (kernel, biases) = own.split_at_mut(kernel_len(layer));
            let source = f64::from(quantizations[source(layer)].scale());
            let mut own_scales = Vec::new();
            for channel in 0..channels {
                let weights = || kernel.iter().skip(channel).step_by(channels);
                let largest = weights().fold(0.0_f64, |most, weight| most.max(weight.abs()));
                let bias = biases.get(channel).map_or(0.0, |bias| bias.abs());
                // What 2^31 leaves to a bias beside the products of 127 with a value that is up to 256 from its zero point.
                let most_bias = f64::from(i32::MAX) - 256.0 * 127.0 * weights().count() as f64;
                own_scales.push((largest / 127.0).max(bias / (source * most_bias)));
            }
            let steps = |value: f64, scale: f64| {
                if scale == 0.0 {
                    0.0
                } else {
                    (value / scale).round()
                }
            };
            for (at, weight) in kernel.iter_mut().enumerate() {
                *weight = steps(*weight, own_scales[at % channels]);
            }
            for (bias, scale) in biases.iter_mut().zip(&own_scales) {
                *bias = steps(*bias, source * scale);
            }
            scales.push(own_scales);
        }
        Int8Twin {
            net: *net,
            twin,
            scales,
            quantizations,
        }
    }

    /// What a layer computes for samples from integers, counted in steps of its output, not rounded yet.
    pub fn steps(&self, index: usize, inputs: &[&[i8]]) -> Vec<f64> {
        let layer = &self.net.layers()[index];
        let tensors: Vec<usize> = sources(layer);
        let output = self.quantizations[index + 1];
        let to = f64::from(output.scale());
        let zero = f64::from(output.zero_point());
        let samples = inputs[0].len() / layer.input_shape().len();
        let run = |real: &dyn Fn(Quantization, i8) -> f64| {
            let inputs: Vec<_> = inputs
                .iter()
                .zip(&tensors)
                .map(|(values, tensor)| {
                    let own = self.quantizations[*tensor];
                    let values = values.iter().map(|value| real(own, *value)).collect();
                    let shape = (samples, inputs[0].len() / samples);
                    Array2::from_shape_vec(shape, values).expect("whole samples")
                })
                .collect();
            let inputs: Vec<_> = inputs.iter().collect();
            self.twin
                .layer_output(index, &inputs)
                .into_raw_vec_and_offset()
                .0
        };
        let from_zero =
            |own: Quantization, value: i8| f64::from(value) - f64::from(own.zero_point());
        match *layer.op() {
            Op::Dense { .. } | Op::Conv2d { .. } | Op::DepthwiseConv2d { .. } => {
                let scales = &self.scales[index];
                let from = f64::from(self.quantizations[tensors[0]].scale());
                let sums = run(&from_zero);
                let channels = scales.iter().cycle();
                sums.iter()
                    .zip(channels)
                    .map(|(sum, scale)| sum * (from * scale / to) + zero)
                    .collect()
            }
            Op::AveragePool2d { .. } => {
                // The mean of the integers themselves: halves go away from 0. What is no half is further from one than the reference's rounding.
                let means = run(&|_, value| f64::from(value));
                let nearest = |mean: f64| (mean.abs() + 0.5 + 1e-9).floor().copysign(mean);
                means.into_iter().map(nearest).collect()
            }
            Op::ZeroPadding2d { .. } => run(&from_zero)
                .into_iter()
                .map(|value| value + zero)
                .collect(),
            Op::MaxPool2d { .. } | Op::GlobalMaxPool | Op::Flatten | Op::Dropout { .. } => {
                run(&|_, value| f64::from(value))
            }
            // The layer before it saturates at 0, and at 6.
            Op::Relu | Op::Relu6 if fused(&self.net, index).is_some() => {
                inputs[0].iter().map(|value| f64::from(*value)).collect()
            }
            _ => {
                let real = run(&|own, value| f64::from(own.scale()) * from_zero(own, value));
                real.into_iter().map(|value| value / to + zero).collect()
            }
        }
    }

    /// The network's input, and the output of every layer.
    pub fn trace(&self, x: &[i8]) -> Vec<Vec<i8>> {
        let mut values = vec![x.to_vec()];
        for (index, layer) in self.net.layers().iter().enumerate() {
            let inputs: Vec<&[i8]> = sources(layer)
                .iter()
                .map(|tensor| &values[*tensor][..])
                .collect();
            let steps = self.steps(index, &inputs);
            values.push(steps.into_iter().map(rounded).collect());
        }
        values
    }

    /// The outputs.
    pub fn outputs(&self, x: &[i8]) -> Vec<i8> {
        self.trace(x).pop().expect("at least the input")
    }
}

fn kernel_len(layer: &Layer) -> usize {
    let [inputs, outputs] =
        [layer.input_shape(), layer.output_shape()].map(|shape| usize::from(shape.channels));
    match *layer.op() {
        Op::Dense { .. } => inputs * outputs,
        Op::Conv2d { window, .. } => {
            usize::from(window.kernel.0) * usize::from(window.kernel.1) * inputs * outputs
        }
        Op::DepthwiseConv2d { window, .. } => {
            usize::from(window.kernel.0) * usize::from(window.kernel.1) * outputs
        }
        op => panic!("no twin of {op:?}"),
    }
}

/// The tensors that a layer reads: 0 the network's input, `i + 1` the output of layer `i`.
pub fn sources(layer: &Layer) -> Vec<usize> {
    layer
        .inputs()
        .map(|layer| layer.map_or(0, |layer| layer + 1))
        .collect()
}

fn source(layer: &Layer) -> usize {
    sources(layer)[0]
}

/// The layer that does a ReLU's work: the one before it, if it rounds sums and nobody else reads them.
pub fn fused(net: &Network, relu: usize) -> Option<usize> {
    let layers = net.layers();
    let before = source(&layers[relu]).checked_sub(1)?;
    let sums = matches!(
        layers[before].op(),
        Op::Dense { .. }
            | Op::Conv2d { .. }
            | Op::DepthwiseConv2d { .. }
            | Op::Add
            | Op::GlobalAveragePool
    );
    let readers = layers
        .iter()
        .filter(|layer| sources(layer).contains(&(before + 1)));
    let is_relu = matches!(layers[relu].op(), Op::Relu | Op::Relu6);
    (is_relu && sums && readers.count() == 1).then_some(before)
}

/// The quantization of every tensor: the given one, where the law leaves a choice.
fn quantizations(net: &Network, given: &[Quantization]) -> Vec<Quantization> {
    let new =
        |scale: f64, zero_point| Quantization::new(scale as f32, zero_point).expect("positive");
    let mut all = vec![given[0]];
    for (index, layer) in net.layers().iter().enumerate() {
        let own = given[index + 1];
        let quantization = match layer.op() {
            Op::MaxPool2d { .. }
            | Op::AveragePool2d { .. }
            | Op::GlobalMaxPool
            | Op::ZeroPadding2d { .. }
            | Op::Flatten
            | Op::Dropout { .. } => all[source(layer)],
            Op::Softmax | Op::Sigmoid => new(1.0 / 256.0, -128),
            Op::Tanh => new(1.0 / 128.0, 0),
            op => match fused(net, index) {
                Some(_) => {
                    let (_, high) = own.range();
                    let high = if matches!(op, Op::Relu6) {
                        high.min(6.0)
                    } else {
                        high
                    };
                    let unchanged = own.zero_point() == -128 && high == own.range().1;
                    if unchanged {
                        own
                    } else {
                        new(f64::from(high) / 255.0, -128)
                    }
                }
                None => own,
            },
        };
        all.push(quantization);
    }
    // The sums before a ReLU are rounded to its integers.
    for relu in 0..net.len() {
        if let Some(before) = fused(net, relu) {
            all[before + 1] = all[relu + 1];
        }
    }
    all
}
