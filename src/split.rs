//! Layers of two factors as two layers.

use crate::error::{Buffer, BuildError, Error};
use crate::layers::{self, Op, Padding, WindowSize};
use crate::math;
use crate::network::{Layer, MAX_LAYERS, Network};
use crate::slices::{at, at_mut};

/// A window of one pixel.
const PIXEL: WindowSize = WindowSize {
    kernel: (1, 1),
    stride: (1, 1),
    dilation: 1,
    padding: Padding::Valid,
};

impl Network {
    /// The same network with every layer of two factors as two layers: what is quantized, with the tensor between the factors as a tensor
    /// of its own.
    ///
    /// | layer | becomes |
    /// |---|---|
    /// | `light_dense(units, rank)` | `dense(rank)` without bias, `dense(units)`, both kernels times `sqrt(2 / units)` |
    /// | `light_conv2d(filters, kernel, rank)` | `conv2d(rank, kernel)`, `relu`, `conv2d(filters, kernel)` |
    /// | `separable_conv2d(filters, kernel)` | `depthwise_conv2d(kernel)` without bias, `conv2d(filters, 1)` |
    ///
    /// The weights keep their number and their order; [`split_factors_weights`](Self::split_factors_weights) scales those of `light_dense`.
    ///
    /// ```
    /// use lightlayers::Network;
    ///
    /// const NET: Network = Network::input(8, 8, 1).light_conv2d(8, 3, 2).flatten().light_dense(10, 4);
    /// const SPLIT: Network = NET.split_factors();
    ///
    /// let names: Vec<_> = SPLIT.layers().iter().map(|layer| layer.name()).collect();
    /// assert_eq!(names, ["conv2d", "relu", "conv2d", "flatten", "dense", "dense"]);
    /// assert_eq!(SPLIT.weights(), NET.weights());
    /// ```
    ///
    /// # Panics
    ///
    /// With a [`BuildError`]'s message if there are too many layers then; see [`try_split_factors`](Self::try_split_factors).
    #[track_caller]
    pub const fn split_factors(&self) -> Self {
        match self.try_split_factors() {
            Ok(split) => split,
            Err(error) => error.panic(),
        }
    }

    /// As [`split_factors`](Self::split_factors), for networks that are not known while compiling.
    ///
    /// # Errors
    ///
    /// [`BuildError::TooManyLayers`], or [`BuildError::TooLarge`] if the workspace is too large with the tensors between the factors.
    pub const fn try_split_factors(&self) -> Result<Self, BuildError> {
        let mut split = self.without_layers();
        // For every tensor of this network, the one of the split network.
        let mut tensors = [0; MAX_LAYERS + 1];
        let mut i = 0;
        while i < self.len() {
            let layer = self.layer(i);
            let source = *at(&tensors, layer.source as usize) as usize;
            let result = match factors(layer.op) {
                None => {
                    let mut layer = *layer;
                    layer.source = source as u8;
                    layer.second = *at(&tensors, layer.second as usize);
                    split.append(layer)
                }
                Some((first, relu, second)) => {
                    push_factors(split, layer, source, (first, relu, second))
                }
            };
            split = match result {
                Ok(split) => split,
                Err(error) => return Err(error),
            };
            *at_mut(&mut tensors, i + 1) = split.len() as u8;
            i += 1;
        }
        Ok(split)
    }

    /// Turns weights of this network into those of [`split_factors`](Self::split_factors)'s, in place.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if `weights` is not as long as the network needs.
    pub fn split_factors_weights(&self, weights: &mut [f32]) -> Result<(), Error> {
        Error::check_length(Buffer::Weights, self.weights(), weights.len())?;
        for layer in self.layers() {
            let Op::LightDense { units, .. } = layer.op else {
                continue;
            };
            let scale = math::sqrt(2.0 / f32::from(units));
            let own = weights.get_mut(layer.weights_range()).ok_or(Error::Plan)?;
            let kernels: usize = layers::tensors(layer, 0)
                .as_slice()
                .iter()
                .take(2)
                .map(|tensor| tensor.len)
                .sum();
            for weight in own.iter_mut().take(kernels) {
                *weight *= scale;
            }
        }
        Ok(())
    }
}

/// The factors of a layer that has two, and whether a ReLU stands between them.
const fn factors(op: Op) -> Option<(Op, bool, Op)> {
    match op {
        Op::LightDense { units, rank } => {
            Some((Op::Dense { units: rank }, false, Op::Dense { units }))
        }
        Op::LightConv2d {
            filters,
            rank,
            window,
        } => {
            let first = Op::Conv2d {
                filters: rank,
                window,
            };
            Some((first, true, Op::Conv2d { filters, window }))
        }
        Op::SeparableConv2d {
            filters,
            multiplier,
            window,
        } => {
            let second = Op::Conv2d {
                filters,
                window: PIXEL,
            };
            Some((Op::DepthwiseConv2d { multiplier, window }, false, second))
        }
        _ => None,
    }
}

const fn push_factors(
    split: Network,
    layer: &Layer,
    source: usize,
    (first, relu, second): (Op, bool, Op),
) -> Result<Network, BuildError> {
    // Of the layers with factors, light_conv2d alone has a bias at its first one.
    let split = match split.try_push_reading(first, source) {
        Ok(split) => split.with_settings_of(layer, relu && layer.bias()),
        error => error,
    };
    let split = match split {
        Ok(split) if relu => split.try_push(Op::Relu),
        split => split,
    };
    let split = match split {
        Ok(split) => split.try_push(second),
        error => error,
    };
    match split {
        Ok(split) => split.with_settings_of(layer, layer.bias()),
        error => error,
    }
}
