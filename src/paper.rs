//! The networks of the paper LightLayers (Jha et al., arXiv 2101.02268).
//!
//! Blocks and networks are `const fn`, for every kind of convolution that the paper compares.

use crate::network::Network;

/// The kind of convolution of a network.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Kind {
    /// `conv2d`, and a dense head.
    Conv2d,
    /// `separable_conv2d`, and a dense head.
    SeparableConv2d,
    /// `light_conv2d`, and a `light_dense` head of rank 8.
    Light {
        /// The rank K of its convolutions.
        rank: usize,
    },
}

/// The factor of the penalty on the kernels of light convolutions, in the paper's code.
pub const LIGHT_CONV2D_L2: f32 = 1e-4;

/// The rank of the light head.
const HEAD_RANK: usize = 8;

impl Kind {
    /// A convolution of this kind, 3x3 or 1x1.
    pub const fn convolution(self, net: Network, filters: usize, kernel: usize) -> Network {
        match self {
            Self::Conv2d => net.conv2d(filters, kernel),
            Self::SeparableConv2d => net.separable_conv2d(filters, kernel),
            Self::Light { rank } => net.light_conv2d(filters, kernel, rank),
        }
    }

    const fn head(self, net: Network, classes: usize) -> Network {
        let net = net.global_average_pool();
        match self {
            Self::Light { .. } => net.light_dense(classes, HEAD_RANK),
            _ => net.dense(classes),
        }
    }
}

/// The network for MNIST and Fashion-MNIST: images 28x28x1, 10 classes, three blocks of 8, 16 and 32 filters.
///
/// ```
/// use lightlayers::paper::{Kind, mnist};
///
/// assert_eq!(mnist(Kind::Light { rank: 3 }).weights(), 6135);
/// ```
pub const fn mnist(kind: Kind) -> Network {
    let net = Network::input(28, 28, 1);
    let net = block(net, kind, 8);
    let net = block(net, kind, 16);
    let net = block(net, kind, 32);
    kind.head(net, 10)
}

/// Two convolutions, each with batch normalization and ReLU, and max pooling.
pub const fn block(net: Network, kind: Kind, filters: usize) -> Network {
    let net = kind.convolution(net, filters, 3).batch_norm().relu();
    let net = kind.convolution(net, filters, 3).batch_norm().relu();
    net.max_pool2d(2)
}

/// The network for CIFAR-10 and CIFAR-100: images 32x32x3, three residual blocks of 16, 32 and 64 filters.
///
/// ```
/// use lightlayers::paper::{Kind, cifar};
///
/// assert_eq!(cifar(Kind::Light { rank: 5 }, 10).weights(), 20_557);
/// ```
pub const fn cifar(kind: Kind, classes: usize) -> Network {
    let net = Network::input(32, 32, 3);
    let net = residual_block(net, kind, 16);
    let net = residual_block(net, kind, 32);
    let net = residual_block(net, kind, 64);
    kind.head(net, classes)
}

/// Two convolutions with batch normalization beside a shortcut of a 1x1 convolution, ReLU, and max pooling.
pub const fn residual_block(net: Network, kind: Kind, filters: usize) -> Network {
    let body = kind.convolution(net, filters, 3).batch_norm().relu();
    let body = kind.convolution(body, filters, 3).batch_norm();
    let shortcut = kind.convolution(net, filters, 1).batch_norm();
    net.residual(body, shortcut).relu().max_pool2d(2)
}
