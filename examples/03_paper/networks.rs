//! What the paper compares: data sets, kinds of networks, and the numbers that it printed.

use std::fmt;

use clap::ValueEnum;
use lightlayers::paper::{self, Kind, LIGHT_CONV2D_L2};
use lightlayers::{Network, Op, Rng};
use lightlayers_datasets::Set;

/// A kind of network on the command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Method {
    /// Convolutions, a dense head
    Conv,
    /// Separable convolutions, a dense head
    Separable,
    /// Light convolutions of rank K, a light dense head of rank 8
    Light,
}

/// The data set of one of the paper's tables.
pub fn set_of_table(table: u8) -> Option<Set> {
    let index = usize::from(table).checked_sub(1)?;
    Set::ALL.get(index).copied()
}

/// The network of a table's row.
pub fn network(set: Set, kind: Kind) -> Network {
    match set {
        Set::Mnist | Set::FashionMnist => paper::mnist(kind),
        Set::Cifar10 => paper::cifar(kind, 10),
        Set::Cifar100 => paper::cifar(kind, 100),
    }
}

/// The same network with the penalty of the authors' code on the kernels of its light convolutions.
pub fn penalized_network(set: Set, kind: Kind) -> Network {
    let Kind::Light { .. } = kind else {
        return network(set, kind);
    };
    let convolution = |net, filters, kernel| {
        kind.convolution(net, filters, kernel)
            .l2(LIGHT_CONV2D_L2)
            .batch_norm()
    };
    let chain = |net: Network, filters| {
        let net = convolution(net, filters, 3).relu();
        convolution(net, filters, 3).relu().max_pool2d(2)
    };
    let residual = |net: Network, filters| {
        let body = convolution(net, filters, 3).relu();
        let body = convolution(body, filters, 3);
        let shortcut = convolution(net, filters, 1);
        net.residual(body, shortcut).relu().max_pool2d(2)
    };
    let net = match set {
        Set::Mnist | Set::FashionMnist => [8, 16, 32]
            .into_iter()
            .fold(Network::input(28, 28, 1), chain),
        Set::Cifar10 | Set::Cifar100 => [16, 32, 64]
            .into_iter()
            .fold(Network::input(32, 32, 3), residual),
    };
    let classes = if set == Set::Cifar100 { 100 } else { 10 };
    net.global_average_pool().light_dense(classes, 8)
}

/// Starts the biases of light convolutions as a slip in the authors' code does: Glorot uniform, `U(±sqrt(3 / n))` for `n` of them,
/// instead of 0.
pub fn draw_biases(net: &Network, weights: &mut [f32], seed: u64) {
    let mut rng = Rng::new(seed ^ 0x6269_6173);
    for layer in net.layers() {
        let Op::LightConv2d { filters, rank, .. } = *layer.op() else {
            continue;
        };
        let (filters, rank) = (usize::from(filters), usize::from(rank));
        let channels = usize::from(layer.input_shape().channels);
        let Some(own) = weights.get_mut(layer.weights_range()) else {
            continue;
        };
        // kernel1 and kernel2 have the same window: `area · rank · (channels + filters)` weights.
        let kernels = own.len() - rank - filters;
        let first = kernels / (channels + filters) * channels;
        let second = own.len() - filters;
        for range in [first..first + rank, second..second + filters] {
            let limit = (3.0 / range.len() as f32).sqrt();
            for bias in &mut own[range] {
                *bias = limit * (2.0 * rng.uniform() - 1.0);
            }
        }
    }
}

/// Accuracy and loss in one of the paper's tables.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Printed {
    pub accuracy: f32,
    pub loss: f32,
}

/// What the paper printed for a network; none for a network that is not in the table.
pub fn printed(set: Set, kind: Kind) -> Option<Printed> {
    let row = match kind {
        Kind::Conv2d => 0,
        Kind::SeparableConv2d => 1,
        Kind::Light { rank } => rank.checked_add(1).filter(|row| *row >= 2)?,
    };
    let rows: &[(f32, f32)] = match set {
        Set::Mnist => &[
            (0.9887, 0.018),
            (0.9338, 0.2433),
            (0.9418, 0.1327),
            (0.9749, 0.0554),
            (0.9775, 0.0513),
            (0.9720, 0.0704),
        ],
        Set::FashionMnist => &[
            (0.9147, 0.1468),
            (0.8725, 0.3175),
            (0.789, 0.6752),
            (0.8452, 0.4247),
            (0.8695, 0.3708),
            (0.8623, 0.6184),
            (0.8820, 0.2810),
            (0.8733, 0.3986),
        ],
        Set::Cifar10 => &[
            (0.6882, 0.9701),
            (0.5953, 1.3263),
            (0.3686, 1.6723),
            (0.4596, 1.5372),
            (0.4937, 1.5287),
            (0.5319, 1.3214),
            (0.5576, 1.2122),
        ],
        Set::Cifar100 => &[
            (0.3262, 2.6576),
            (0.2207, 3.2108),
            (0.0275, 4.2391),
            (0.0398, 4.1836),
            (0.0559, 4.0304),
            (0.0551, 3.9978),
            (0.0589, 4.0009),
        ],
    };
    let (accuracy, loss) = *rows.get(row)?;
    Some(Printed { accuracy, loss })
}

/// A kind's name in tables.
pub struct Name(pub Kind);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::Conv2d => f.write_str("Conv2D"),
            Kind::SeparableConv2d => f.write_str("SeparableConv2D"),
            Kind::Light { rank } => write!(f, "LightLayers K = {rank}"),
        }
    }
}

/// A kind's name in the names of files.
pub fn file_name(kind: Kind) -> String {
    match kind {
        Kind::Conv2d => "conv".into(),
        Kind::SeparableConv2d => "separable".into(),
        Kind::Light { rank } => format!("light-k{rank}"),
    }
}
