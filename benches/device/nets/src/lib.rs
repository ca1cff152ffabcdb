//! The measured networks and their work, the same on the chip and on the host.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "quantize")]
extern crate std;

use core::convert::Infallible;

use lightlayers::dataset::{Dataset, Target};
use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::optim::{HeavyBall, Sgd};
use lightlayers::paper::{Kind, mnist};
use lightlayers::{Error, Memory, Model, Network, Rng, Trainer};

/// How often the work is done: the clock ticks once in 40 instructions, so it counts in ticks what one run takes in
/// instructions.
pub const RUNS: u32 = 40;

/// Names a network.
macro_rules! model {
    ($name:ident = $network:expr) => {
        #[derive(Clone, Copy)]
        pub struct $name;

        impl Model for $name {
            const NET: Network = $network;
        }
    };
}

model!(Conv28x28x8 = Network::input(28, 28, 8).conv2d(8, 3));
model!(Conv14x14x16 = Network::input(14, 14, 16).conv2d(16, 3));
model!(Conv28x28x1 = Network::input(28, 28, 1).conv2d(8, 3));
model!(LightConv14x14x16 = Network::input(14, 14, 16).light_conv2d(16, 3, 4));
model!(Dense784 = Network::features(784).dense(32));
model!(Dense32 = Network::features(32).dense(10));
model!(Mlp = Network::features(784).dense(32).relu().dense(10));
model!(Cnn = convolutions().flatten().dense(10));
model!(CnnHead = convolutions().all_frozen().flatten().dense(10));
model!(Paper = mnist(Kind::Light { rank: 3 }));

// As firmware runs them quantized: layers of single kernels, no batch normalization.
model!(Int8LightConv14x14x16 = LightConv14x14x16::NET.split_factors());
model!(Int8Cnn = convolutions().flatten().dense(10).softmax());
model!(Int8Paper = Paper::NET.fold_batch_norm().split_factors());
model!(MaxPool28x28x8 = Network::input(28, 28, 8).max_pool2d(2));

const fn convolutions() -> Network {
    let net = Network::input(28, 28, 1);
    let net = net.conv2d(8, 3).relu().max_pool2d(2);
    net.conv2d(16, 3).relu().max_pool2d(2)
}

const MOMENTUM: HeavyBall = match Sgd::heavy_ball(0.9) {
    Ok(momentum) => momentum,
    Err(_) => panic!("not a momentum"),
};

/// The learning rate.
const RATE: f32 = 0.01;

/// The values of a sample, for an array that is made while compiling.
pub const fn sample<const LEN: usize>() -> [f32; LEN] {
    let mut values = [0.0; LEN];
    fill_sample(&mut values);
    values
}

/// The values of a sample.
pub const fn fill_sample(values: &mut [f32]) {
    fill(values, &mut Rng::new(1), -1.0, 1.0);
}

/// The weights of a network, for an array that is made while compiling.
pub const fn weights<const LEN: usize>(net: &Network) -> [f32; LEN] {
    let mut values = [0.0; LEN];
    fill_weights(net, &mut values);
    values
}

/// Weights around 0, and moving statistics that are positive, as variances must be.
///
/// Not [`Network::initialize`]: its code would be counted as training's.
pub const fn fill_weights(net: &Network, values: &mut [f32]) {
    let layers = net.layers();
    let trained = layers[layers.len() - 1].weights_range().end;
    let (weights, statistics) = values.split_at_mut(trained);
    let mut rng = Rng::new(2);
    fill(weights, &mut rng, -0.25, 0.25);
    fill(statistics, &mut rng, 0.5, 1.0);
}

/// The sample of a quantized network.
pub const fn int8_sample<const LEN: usize>() -> [i8; LEN] {
    let mut values = [0; LEN];
    fill_int8_sample(&mut values);
    values
}

/// The values of the sample of a quantized network.
pub const fn fill_int8_sample(values: &mut [i8]) {
    let mut rng = Rng::new(1);
    let mut i = 0;
    while i < values.len() {
        values[i] = (rng.next_u32() >> 24) as i8;
        i += 1;
    }
}

/// The words of a network that was quantized, from the bytes of a file.
pub const fn words_of<const LEN: usize>(bytes: &[u8]) -> [u32; LEN] {
    let (chunks, rest) = bytes.as_chunks::<4>();
    assert!(
        chunks.len() == LEN && rest.is_empty(),
        "a file of another network"
    );
    let mut words = [0; LEN];
    let mut i = 0;
    while i < LEN {
        words[i] = u32::from_le_bytes(chunks[i]);
        i += 1;
    }
    words
}

/// Uniform random numbers.
const fn fill(values: &mut [f32], rng: &mut Rng, low: f32, high: f32) {
    let mut i = 0;
    while i < values.len() {
        let uniform = (rng.next_u32() >> 8) as f32 / 16_777_216.0;
        values[i] = low + (high - low) * uniform;
        i += 1;
    }
}

/// A session of training.
pub type Training<'m, M> = Trainer<'m, M, SoftmaxCrossEntropy, HeavyBall>;

/// Stochastic gradient descent with momentum on the weights in `memory`.
pub fn training<M: Model>(model: M, memory: Memory<'_>) -> Result<Training<'_, M>, Error> {
    Trainer::new(model, SoftmaxCrossEntropy::new(), MOMENTUM, memory)
}

/// One step on one sample.
pub fn step<M: Model>(
    training: &mut Training<'_, M>,
    sample: &[f32],
) -> Result<f32, Error<Infallible>> {
    let metrics = training.step(&mut One(sample), 0..1, RATE)?;
    Ok(metrics.loss())
}

/// A data set of one sample.
struct One<'a>(&'a [f32]);

impl Dataset for One<'_> {
    type Error = Infallible;

    fn len(&self) -> usize {
        1
    }

    fn read(
        &mut self,
        _: usize,
        input: &mut [f32],
        target: &mut Target<'_>,
    ) -> Result<(), Infallible> {
        for (value, given) in input.iter_mut().zip(self.0) {
            *value = *given;
        }
        target.set_class(3);
        Ok(())
    }
}

/// FNV-1a over the bits of the values.
pub fn checksum(values: &[f32]) -> u32 {
    checksum_of_bytes(values.iter().flat_map(|value| value.to_le_bytes()))
}

/// FNV-1a.
pub fn checksum_of_bytes(bytes: impl IntoIterator<Item = u8>) -> u32 {
    bytes.into_iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// Makes the weights of quantized networks, with the standard library: for the host, and for what builds the firmware.
#[cfg(feature = "quantize")]
pub mod quantized {
    use std::vec;
    use std::vec::Vec;

    use lightlayers::quant::{Calibration, Quantization, RangeMethod, TensorRange, quantize};
    use lightlayers::{Error, Model};

    /// Makes the weights of a network.
    type Make = fn() -> Result<Vec<u32>, Error>;

    /// The networks that firmware runs quantized, and their weights.
    pub const ALL: [(&str, Make); 9] = [
        ("Conv28x28x8", || words(super::Conv28x28x8)),
        ("Conv14x14x16", || words(super::Conv14x14x16)),
        ("Conv28x28x1", || words(super::Conv28x28x1)),
        ("Int8LightConv14x14x16", || {
            words(super::Int8LightConv14x14x16)
        }),
        ("Dense784", || words(super::Dense784)),
        ("Dense32", || words(super::Dense32)),
        ("MaxPool28x28x8", || words(super::MaxPool28x28x8)),
        ("Int8Cnn", || words(super::Int8Cnn)),
        ("Int8Paper", || words(super::Int8Paper)),
    ];

    /// The weights of a network, calibrated with its sample.
    pub fn words<M: Model + Copy>(model: M) -> Result<Vec<u32>, Error> {
        let mut weights = vec![0.0; M::NET.weights()];
        super::fill_weights(&M::NET, &mut weights);
        let mut sample = vec![0.0; M::NET.input_shape().len()];
        super::fill_sample(&mut sample);
        let mut workspace = vec![0.0; M::NET.inference_workspace()];
        let mut ranges = vec![TensorRange::EMPTY; 1 + M::NET.len()];
        let mut calibration =
            Calibration::new(model, &weights, &mut workspace, &mut ranges, &mut [])?;
        calibration.observe(&sample)?;
        let mut quantizations = vec![Quantization::PIXELS; 1 + M::NET.len()];
        calibration.choose(RangeMethod::MinMax, &mut quantizations)?;
        let mut words = vec![0; M::NET.quantized_weights()];
        quantize(model, &weights, &quantizations, &mut words)?;
        Ok(words)
    }
}
