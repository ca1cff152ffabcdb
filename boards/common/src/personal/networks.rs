//! The trained network in two: a base for inference, and what learns above it.

use lightlayers::paper::{Kind, mnist};
use lightlayers::{Model, Network, file};

use crate::enlarge::SIDE;

/// The paper's network for MNIST, of rank 3.
pub const TRAINED: Network = mnist(Kind::Light { rank: RANK });

/// Its weights, trained on MNIST.
pub static WEIGHTS: [f32; TRAINED.weights()] =
    file::weights(&TRAINED, include_bytes!("../../mnist-light-k3.model"));

/// The classes that it tells apart.
pub const CLASSES: usize = 10;

const RANK: usize = 3;
const FILTERS: [usize; 3] = [8, 16, 32];

/// The first blocks of the network, for inference; with all three, the pooling above them too.
#[derive(Clone, Copy, Debug)]
pub struct Base<const BLOCKS: usize>;

impl<const BLOCKS: usize> Model for Base<BLOCKS> {
    const NET: Network = {
        let mut net = Network::input(SIDE, SIDE, 1);
        let mut block = 0;
        while block < BLOCKS {
            net = factored(factored(net, FILTERS[block]), FILTERS[block]).max_pool2d(2);
            block += 1;
        }
        if BLOCKS == FILTERS.len() {
            net = net.global_average_pool();
        }
        net
    };
}

/// A light convolution as its two factors: the same weights and the same bits in 34 KB instead of 60, since its input is gone before
/// its output is there.
const fn factored(net: Network, filters: usize) -> Network {
    let net = net.conv2d(RANK, 3).relu().conv2d(filters, 3);
    net.batch_norm().relu()
}

/// The layers above a base of so many blocks. Batch normalization is frozen: the statistics of one sample are none.
#[derive(Clone, Copy, Debug)]
pub struct Top<const BLOCKS: usize>;

impl<const BLOCKS: usize> Model for Top<BLOCKS> {
    const NET: Network = {
        let base = Base::<BLOCKS>::NET.output_shape();
        let mut net = if BLOCKS == FILTERS.len() {
            Network::features(base.channels as usize)
        } else {
            Network::input(
                base.height as usize,
                base.width as usize,
                base.channels as usize,
            )
        };
        let mut block = BLOCKS;
        while block < FILTERS.len() {
            net = learning(learning(net, FILTERS[block]), FILTERS[block]).max_pool2d(2);
            block += 1;
        }
        if BLOCKS < FILTERS.len() {
            net = net.global_average_pool();
        }
        net.light_dense(CLASSES, 8)
    };
}

const fn learning(net: Network, filters: usize) -> Network {
    let net = net.light_conv2d(filters, 3, RANK);
    net.batch_norm().frozen().relu()
}

/// How many of a network's weights stand before the moving statistics of batch normalization.
pub(super) const fn before_statistics(net: &Network) -> usize {
    let (mut sum, mut i) = (0, 0);
    while i < net.layers().len() {
        sum += net.layers()[i].weights();
        i += 1;
    }
    sum
}

/// The weights of a base: the start of the layers' weights, and of the statistics.
const fn base_weights<const N: usize>(base: &Network) -> [f32; N] {
    let (own, all) = (before_statistics(base), before_statistics(&TRAINED));
    let mut weights = [0.0; N];
    let mut i = 0;
    while i < N {
        weights[i] = WEIGHTS[if i < own { i } else { all + i - own }];
        i += 1;
    }
    weights
}

/// The weights of [`Base<2>`].
pub(super) static TWO_BLOCKS: [f32; Base::<2>::NET.weights()] = base_weights(&Base::<2>::NET);

/// The weights of [`Base<3>`].
pub(super) static THREE_BLOCKS: [f32; Base::<3>::NET.weights()] = base_weights(&Base::<3>::NET);
