//! Batch normalization, folded into the layer before it.

use crate::error::{Buffer, Error};
use crate::kernels::elementwise;
use crate::layers::{self, Op, Role};
use crate::math;
use crate::network::{Layer, Network};
use crate::slices::{at, at_mut};

impl Network {
    /// The same network for inference, without the batch normalizations that the layer before can do as well.
    ///
    /// At inference, `y = (x - mean) · gamma / sqrt(variance + epsilon) + beta` is a scale and a shift of each channel. Behind a layer
    /// with a kernel, `x = h · kernel + bias`, it goes into that layer's own weights:
    ///
    /// ```text
    /// scale   = gamma / sqrt(variance + epsilon)
    /// kernel' = kernel · scale
    /// bias'   = (bias - mean) · scale + beta
    /// ```
    ///
    /// Of a layer with two factors (`light_dense`, `light_conv2d`, `separable_conv2d`) that is the second. A layer without bias gets one.
    /// A batch normalization stays if it does not stand directly behind a layer with a kernel, or if something else, such as a shortcut,
    /// reads that layer's output too. [`fold_batch_norm_weights`](Self::fold_batch_norm_weights) turns the weights of this network into
    /// those of the folded one; its outputs are the same but for rounding.
    ///
    /// Folding saves the 4 weights of each channel of a batch normalization, its table entry, its pass over the values, and, where none
    /// is left, its code.
    ///
    /// ```
    /// use lightlayers::{Inference, Model, Network};
    ///
    /// struct Trained;
    /// struct Folded;
    ///
    /// impl Model for Trained {
    ///     const NET: Network = Network::features(2).dense(1).batch_norm_with(0.99, 0.25);
    /// }
    /// impl Model for Folded {
    ///     const NET: Network = Trained::NET.fold_batch_norm();
    /// }
    ///
    /// // Kernel, bias; gamma, beta; moving mean and variance: scale = 3 / sqrt(2 + 0.25) = 2.
    /// let weights = [1.0, -2.0, 0.5, 3.0, 7.0, 1.0, 2.0];
    /// let mut folded = [0.0; Folded::NET.weights()];
    /// Trained::NET.fold_batch_norm_weights(&weights, &mut folded)?;
    /// assert_eq!(folded, [2.0, -4.0, 6.0]);
    ///
    /// let mut workspace = [0.0; Folded::NET.inference_workspace()];
    /// let mut inference = Inference::new(Folded, &folded, &mut workspace)?;
    /// assert_eq!(inference.run(&[1.0, 1.0])?, [4.0]);
    /// # Ok::<(), lightlayers::Error>(())
    /// ```
    pub const fn fold_batch_norm(&self) -> Self {
        let mut folded = self.without_layers();
        // For every tensor of this network, the one of the folded network.
        let mut tensors = [0; crate::MAX_LAYERS + 1];
        let mut i = 0;
        while i < self.len() {
            let layer = self.layer(i);
            match self.folded_layer(i) {
                None => *at_mut(&mut tensors, i + 1) = *at(&tensors, layer.source as usize),
                Some(mut layer) => {
                    layer.source = *at(&tensors, layer.source as usize);
                    layer.second = *at(&tensors, layer.second as usize);
                    folded = folded.append_unchecked(layer);
                    *at_mut(&mut tensors, i + 1) = folded.len() as u8;
                }
            }
            i += 1;
        }
        folded
    }

    /// Turns trained weights of this network into those of [`fold_batch_norm`](Self::fold_batch_norm)'s.
    ///
    /// The outputs agree but for rounding: within 1e-5 of the largest in networks of the paper's size. The weights of the folded
    /// network are for inference; training starts from the others.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if `weights` or `folded` is not as long as its network needs.
    pub fn fold_batch_norm_weights(
        &self,
        weights: &[f32],
        folded: &mut [f32],
    ) -> Result<(), Error> {
        Error::check_length(Buffer::Weights, self.weights(), weights.len())?;
        let expected = (0..self.len())
            .filter_map(|i| self.folded_layer(i))
            .map(|layer| layer.weights() + layer.moving_statistics())
            .sum();
        Error::check_length(Buffer::FoldedWeights, expected, folded.len())?;

        let mut rest = folded;
        for (i, layer) in self.layers().iter().enumerate() {
            let Some(folded_layer) = self.folded_layer(i) else {
                continue;
            };
            let own = weights.get(layer.weights_range()).ok_or(Error::Plan)?;
            let (target, after) = core::mem::take(&mut rest)
                .split_at_mut_checked(folded_layer.weights())
                .ok_or(Error::Plan)?;
            rest = after;
            copy(own, &folded_layer, target);
            if let Some(batch_norm) = self.batch_norm_into(i) {
                self.fold(batch_norm, weights, &folded_layer, target)
                    .ok_or(Error::Plan)?;
            }
        }
        for (i, layer) in self.layers().iter().enumerate() {
            if self.folds_into(i).is_none() {
                let start = self.moving_start(i);
                let moving = weights.get(start..start + layer.moving_statistics());
                let moving = moving.ok_or(Error::Plan)?;
                let (target, after) = core::mem::take(&mut rest)
                    .split_at_mut_checked(moving.len())
                    .ok_or(Error::Plan)?;
                rest = after;
                elementwise::copy(moving, target);
            }
        }
        Ok(())
    }

    /// The layer that does the work of batch normalization `i` in the folded network.
    const fn folds_into(&self, i: usize) -> Option<usize> {
        let layer = self.layer(i);
        if !matches!(layer.op, Op::BatchNorm { .. }) || layer.source == 0 {
            return None;
        }
        let before = layer.source as usize - 1;
        if !layers::tensors(self.layer(before), 0).has_kernel() {
            return None;
        }
        let mut reader = before + 1;
        while reader < self.len() {
            if reader != i && self.layer(reader).reads(layer.source) {
                return None;
            }
            reader += 1;
        }
        Some(before)
    }

    /// The batch normalization whose work layer `i` does in the folded network.
    const fn batch_norm_into(&self, i: usize) -> Option<usize> {
        let mut reader = i + 1;
        while reader < self.len() {
            if self.layer(reader).source as usize == i + 1 && self.folds_into(reader).is_some() {
                return Some(reader);
            }
            reader += 1;
        }
        None
    }

    /// Layer `i` in the folded network, with what it reads in this one; none if it is not there.
    const fn folded_layer(&self, i: usize) -> Option<Layer> {
        if self.folds_into(i).is_some() {
            return None;
        }
        let layer = *self.layer(i);
        Some(match self.batch_norm_into(i) {
            Some(_) => layer.with_bias(),
            None => layer,
        })
    }

    /// Where the moving statistics of layer `i` start in the weights.
    fn moving_start(&self, i: usize) -> usize {
        let before = self.layers().iter().take(i);
        let before = before.map(Layer::moving_statistics);
        self.trained_weights() + before.sum::<usize>()
    }

    /// Scales the last kernel in `target`, the weights of `layer`, and replaces the bias after it.
    fn fold(
        &self,
        batch_norm: usize,
        weights: &[f32],
        layer: &Layer,
        target: &mut [f32],
    ) -> Option<()> {
        let normalization = self.layers().get(batch_norm)?;
        let Op::BatchNorm { epsilon, .. } = normalization.op else {
            return None;
        };
        let channels = usize::from(normalization.output.channels);
        let (gamma, beta) = weights
            .get(normalization.weights_range())?
            .split_at_checked(channels)?;
        let start = self.moving_start(batch_norm);
        let (mean, variance) = weights
            .get(start..start + 2 * channels)?
            .split_at_checked(channels)?;

        let tensors = layers::tensors(layer, 0);
        let [.., kernel, _] = tensors.as_slice() else {
            return None;
        };
        let biases = target.len().checked_sub(channels)?;
        let (kernels, bias) = target.split_at_mut_checked(biases)?;
        let kernel = kernels.get_mut(biases.checked_sub(kernel.len)?..)?;
        let statistics = mean.iter().zip(variance);
        let parameters = gamma.iter().zip(beta).zip(statistics);
        for (channel, (bias, ((gamma, beta), (mean, variance)))) in
            bias.iter_mut().zip(parameters).enumerate()
        {
            let scale = gamma / math::sqrt(variance + epsilon);
            // The channels of the output are the last axis of every kernel.
            for weight in kernel.iter_mut().skip(channel).step_by(channels) {
                *weight *= scale;
            }
            *bias = (*bias - mean) * scale + beta;
        }
        Some(())
    }
}

/// Copies a layer's weights to those of `layer`, which is the same but may have biases of 0 in addition.
fn copy(weights: &[f32], layer: &Layer, target: &mut [f32]) {
    if weights.len() == target.len() {
        return elementwise::copy(weights, target);
    }
    let (mut weights, mut target) = (weights.iter(), target.iter_mut());
    for tensor in layers::tensors(layer, 0).as_slice() {
        for value in target.by_ref().take(tensor.len) {
            *value = match tensor.role {
                Role::Kernel => weights.next().copied().unwrap_or_default(),
                _ => 0.0,
            };
        }
    }
}
