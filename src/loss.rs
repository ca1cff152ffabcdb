//! Losses: what training makes small.

use crate::error::Error;
use crate::layers;
use crate::math;

/// A loss of one sample's outputs against its target. The loss of a minibatch is the mean over its samples.
pub trait Loss {
    /// Replaces `outputs` by `weight` times the gradient of the loss with respect to them; returns the loss.
    ///
    /// `target` is as long as `outputs`. Training passes a `weight` of 1 / samples of the minibatch.
    fn gradient(&self, outputs: &mut [f32], target: &[f32], weight: f32) -> f32;

    /// Whether the loss can teach a network with such outputs. [`Trainer::new`](crate::Trainer::new) asks before anything is trained;
    /// every output will do unless this is overridden.
    ///
    /// # Errors
    ///
    /// [`Error::UnsuitableLoss`], which says what to take instead.
    fn check(&self, outputs: Outputs) -> Result<(), Error> {
        let _ = outputs;
        Ok(())
    }
}

/// What a [`Loss`] may ask about the outputs of a network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Outputs {
    /// The number of values for each sample.
    pub len: usize,
    /// The values are those of a softmax layer: probabilities, not logits.
    pub is_softmax: bool,
}

/// Softmax and cross-entropy in one: the outputs are logits, `loss = Σ tᵢ · (ln Σ exp(zⱼ) - zᵢ)`, gradient `softmax(z) · Σ t - t`.
///
/// The outputs are logits of at least two classes, not the probabilities of a softmax layer.
///
/// Exact for large logits, because the largest is subtracted first. A target is a distribution: one class, or any probabilities.
/// Follows Keras's `CategoricalCrossentropy(from_logits=True, label_smoothing=…)`.
///
/// ```
/// use lightlayers::loss::{Loss, SoftmaxCrossEntropy};
///
/// let mut outputs = [1e4, -1e4];
/// let loss = SoftmaxCrossEntropy::new().gradient(&mut outputs, &[0.0, 1.0], 1.0);
/// assert_eq!(loss, 2e4);
/// assert_eq!(outputs, [1.0, -1.0]);
/// ```
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct SoftmaxCrossEntropy {
    label_smoothing: f32,
}

impl SoftmaxCrossEntropy {
    /// Without label smoothing.
    pub const fn new() -> Self {
        Self {
            label_smoothing: 0.0,
        }
    }

    /// With targets `t · (1 - label_smoothing) + label_smoothing / classes`.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] if `label_smoothing` is not in `0..=1`.
    pub const fn with_label_smoothing(label_smoothing: f32) -> Result<Self, Error> {
        if label_smoothing >= 0.0 && label_smoothing <= 1.0 {
            Ok(Self { label_smoothing })
        } else {
            Err(Error::OutOfRange {
                what: "the label smoothing",
                range: "0..=1",
            })
        }
    }
}

impl Loss for SoftmaxCrossEntropy {
    fn check(&self, outputs: Outputs) -> Result<(), Error> {
        let why = if outputs.len < 2 {
            "expected at least 2 outputs, one for each class, found 1, whose probability is always 1; \
             add outputs, or take MeanSquaredError behind a sigmoid"
        } else if outputs.is_softmax {
            "expected logits, found the probabilities of a softmax layer; leave that layer out, \
             the loss contains it"
        } else {
            return Ok(());
        };
        Err(Error::UnsuitableLoss {
            loss: "softmax cross-entropy",
            why,
        })
    }

    fn gradient(&self, outputs: &mut [f32], target: &[f32], weight: f32) -> f32 {
        let uniform = self.label_smoothing / outputs.len() as f32;
        let smoothed = |t: &f32| t * (1.0 - self.label_smoothing) + uniform;

        // loss = ln Σ exp(z - m) · Σ t + Σ t · (m - z): no term overflows, and none that is small is lost in m.
        let largest = layers::largest(outputs);
        let (mut mass, mut distance) = (0.0, 0.0);
        for (z, t) in outputs.iter().zip(target) {
            let t = smoothed(t);
            mass += t;
            if t != 0.0 {
                distance += t * (largest - z);
            }
        }
        let sum = layers::shifted_exponentials(outputs, largest);
        let loss = math::ln(sum) * mass + distance;
        for (z, t) in outputs.iter_mut().zip(target) {
            *z = (*z / sum * mass - smoothed(t)) * weight;
        }
        loss
    }
}

/// The mean of the squared differences, `Σ (y - t)² / outputs`, gradient `2 · (y - t) / outputs`.
///
/// Follows Keras's `MeanSquaredError`.
///
/// ```
/// use lightlayers::loss::{Loss, MeanSquaredError};
///
/// let mut outputs = [3.0, 1.0];
/// let loss = MeanSquaredError.gradient(&mut outputs, &[1.0, 1.0], 1.0);
/// assert_eq!((loss, outputs), (2.0, [2.0, 0.0]));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MeanSquaredError;

impl Loss for MeanSquaredError {
    fn gradient(&self, outputs: &mut [f32], target: &[f32], weight: f32) -> f32 {
        let len = outputs.len() as f32;
        let mut sum = 0.0;
        for (y, t) in outputs.iter_mut().zip(target) {
            let difference = *y - t;
            sum += difference * difference;
            *y = 2.0 * difference / len * weight;
        }
        sum / len
    }
}
