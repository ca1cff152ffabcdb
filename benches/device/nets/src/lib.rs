//! The measured networks and their work, the same on the chip and on the host.
#![no_std]
#![forbid(unsafe_code)]

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
    let bytes = values.iter().flat_map(|value| value.to_le_bytes());
    bytes.fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}
