//! Random networks of all layers and settings, from a seed or from the bytes of a fuzzer.

use lightlayers::{Border, BuildError, Initializer, Network, Op, Padding, Rng, Shape, WindowSize};

/// Where choices come from.
#[derive(Clone, Debug)]
pub enum Choices<'a> {
    /// The generator of a seed.
    Seed(Rng),
    /// Bytes, and zeros after the last one.
    Bytes(&'a [u8]),
}

impl Choices<'_> {
    /// The choices of a seed.
    pub fn of_seed(seed: u64) -> Self {
        Choices::Seed(Rng::new(seed))
    }

    /// A number below `end`, which is at most 256.
    pub fn below(&mut self, end: usize) -> usize {
        match self {
            Choices::Seed(rng) => rng.below(end as u32) as usize,
            Choices::Bytes(bytes) => match bytes.split_first() {
                Some((byte, rest)) => {
                    *bytes = rest;
                    usize::from(*byte) % end
                }
                None => 0,
            },
        }
    }

    /// One of the values.
    pub fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == times - 1
    }
}

/// Lengths around the widths of vectors and groups.
const LENGTHS: [usize; 20] = [
    1, 2, 3, 4, 5, 7, 8, 9, 10, 15, 16, 17, 31, 32, 33, 63, 64, 65, 125, 127,
];

/// Channels of images: small ones more often, for the work that they make.
const CHANNELS: [usize; 16] = [1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8, 9, 12, 16, 17];

/// The limits of a network that is worth a test's time.
const MOST_MULTIPLY_ACCUMULATES: u64 = 60_000;
const MOST_VALUES: usize = 6_000;

/// A network of at least one layer.
pub fn network(choices: &mut Choices<'_>) -> Network {
    let mut net = if choices.once_in(2) {
        Network::features(choices.of(&LENGTHS))
    } else {
        let [height, width] = [(); 2].map(|()| 1 + choices.below(9));
        Network::input(height, width, choices.of(&CHANNELS))
    };
    for _ in 0..=choices.below(9) {
        net = add(net, choices, 2);
    }
    if net.len() == 0 {
        net = net.relu();
    }
    net
}

/// The network with a layer more, or as it is where the layer does not fit or is too much work.
fn add(net: Network, choices: &mut Choices<'_>, depth: usize) -> Network {
    match grown(net, choices, depth) {
        Ok(grown) if is_small(&grown) => grown,
        _ => net,
    }
}

fn is_small(net: &Network) -> bool {
    net.multiply_accumulates() <= MOST_MULTIPLY_ACCUMULATES
        && net.weights() <= MOST_VALUES
        && net.training_workspace(1) <= MOST_VALUES
}

fn grown(net: Network, choices: &mut Choices<'_>, depth: usize) -> Result<Network, BuildError> {
    if depth > 0 && choices.once_in(6) {
        return residual(net, choices, depth - 1);
    }
    let flat = net.has_flat_output();
    let op = match (choices.below(16), flat) {
        (0..=3, true) => Op::Dense {
            units: choices.of(&LENGTHS) as u16,
        },
        (4..=6, true) => Op::LightDense {
            units: choices.of(&LENGTHS) as u16,
            rank: choices.of(&CHANNELS) as u16,
        },
        (0..=1, false) => Op::Conv2d {
            filters: choices.of(&CHANNELS) as u16,
            window: window(choices, false),
        },
        (2..=3, false) => Op::LightConv2d {
            filters: choices.of(&CHANNELS) as u16,
            rank: 1 + choices.below(4) as u16,
            window: window(choices, false),
        },
        (4, false) => Op::DepthwiseConv2d {
            multiplier: 1 + choices.below(3) as u16,
            window: window(choices, false),
        },
        (5, false) => Op::SeparableConv2d {
            filters: choices.of(&CHANNELS) as u16,
            multiplier: 1 + choices.below(2) as u16,
            window: window(choices, false),
        },
        (6, false) => Op::MaxPool2d {
            window: window(choices, true),
        },
        (7, false) => Op::AveragePool2d {
            window: window(choices, true),
        },
        (8, false) => choices.of(&[
            Op::GlobalAveragePool,
            Op::GlobalMaxPool,
            Op::Flatten,
            Op::Flatten,
        ]),
        (9, false) => Op::ZeroPadding2d {
            border: Border {
                top: choices.below(3) as u8,
                bottom: choices.below(3) as u8,
                left: choices.below(3) as u8,
                right: choices.below(3) as u8,
            },
        },
        (10..=11, _) => Op::BatchNorm {
            momentum: choices.of(&[0.99, 0.5, 0.0]),
            epsilon: choices.of(&[1e-3, 0.1]),
        },
        _ => choices.of(&[
            Op::Relu,
            Op::Relu,
            Op::Relu6,
            Op::LeakyRelu { slope: 0.1 },
            Op::LeakyRelu { slope: 0.0 },
            Op::Sigmoid,
            Op::Tanh,
            Op::Softmax,
            Op::Dropout { rate: 0.25 },
        ]),
    };
    Ok(with_settings(net.try_push(op)?, choices))
}

fn with_settings(mut net: Network, choices: &mut Choices<'_>) -> Network {
    let Some(last) = net.layers().last() else {
        return net;
    };
    let has_kernel = last.weights() > 0 && !matches!(last.op(), Op::BatchNorm { .. });
    if has_kernel {
        if choices.once_in(4) {
            net = net.bias(false);
        }
        if choices.once_in(6) {
            net = net.l2(0.01);
        }
        net = net.kernel_initializer(choices.of(&[
            Initializer::GlorotUniform,
            Initializer::HeNormal,
            Initializer::Ones,
        ]));
    }
    match choices.below(24) {
        20..=22 => net.frozen(),
        23 => net.all_frozen(),
        _ => net,
    }
}

fn window(choices: &mut Choices<'_>, pooling: bool) -> WindowSize {
    let mut side = || choices.of(&[1, 2, 3, 3, 3, 4, 5]);
    let (kernel, mut stride) = ((side(), side()), (side(), side()));
    let dilation = if pooling || choices.below(4) > 0 {
        1
    } else {
        2
    };
    if dilation > 1 || choices.once_in(2) {
        stride = (1, 1);
    }
    WindowSize {
        kernel,
        stride,
        dilation,
        padding: choices.of(&[Padding::Same, Padding::Same, Padding::Valid]),
    }
}

/// Two branches of layers, one perhaps the identity; the shortcut is brought to the shape of the body.
fn residual(net: Network, choices: &mut Choices<'_>, depth: usize) -> Result<Network, BuildError> {
    let mut branch = |most: usize| {
        let mut branch = net;
        for _ in 0..choices.below(most + 1) {
            branch = add(branch, choices, depth);
        }
        branch
    };
    let (body, shortcut) = (branch(4), branch(2));
    let shape = body.output_shape();
    let shortcut = if shape == shortcut.output_shape()
        && body.has_flat_output() == shortcut.has_flat_output()
    {
        shortcut
    } else if body.has_flat_output() {
        let flat = if shortcut.has_flat_output() {
            shortcut
        } else {
            shortcut.try_push(Op::Flatten)?
        };
        flat.try_push(Op::Dense {
            units: shape.channels,
        })?
    } else {
        same_image(shortcut, shape)?
    };
    net.try_residual(body, shortcut)
}

/// A convolution of single pixels brings an image to the same number of channels.
fn same_image(net: Network, shape: Shape) -> Result<Network, BuildError> {
    let one = WindowSize {
        kernel: (1, 1),
        stride: (1, 1),
        dilation: 1,
        padding: Padding::Same,
    };
    net.try_push(Op::Conv2d {
        filters: shape.channels,
        window: one,
    })
}
