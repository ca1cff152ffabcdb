//! What quantization costs, layer by layer.

use super::infer::{Int8Inference, check_finite};
use super::{Quantization, layout};
use crate::error::{Buffer, Error};
use crate::file::first_other_tensor;
use crate::infer::Inference;
use crate::math;
use crate::plan::Graph;

/// How far the integers of a tensor are from the real numbers, over all samples.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TensorError {
    signal: f64,
    noise: f64,
    clipped: u64,
    values: u64,
}

impl TensorError {
    /// The sum of the squares of the real numbers over that of the errors, in decibels; infinite without errors. About 6 for each bit.
    ///
    /// None for a tensor that a quantized network does not have: what a ReLU is about to change that the layer before it does.
    pub fn signal_to_noise(&self) -> Option<f32> {
        if self.values == 0 {
            return None;
        }
        if self.noise == 0.0 {
            return Some(f32::INFINITY);
        }
        Some(10.0 / core::f32::consts::LN_10 * math::ln((self.signal / self.noise) as f32))
    }

    /// The share of the real numbers that lie outside the range of the integers, by more than half a step.
    pub fn clipped(&self) -> f32 {
        self.clipped as f32 / self.values.max(1) as f32
    }

    fn add(&mut self, real: &[f32], quantized: &[i8], quantization: Quantization) {
        let (low, high) = quantization.range();
        let half = quantization.scale() / 2.0;
        for (real, quantized) in real.iter().zip(quantized) {
            let error = f64::from(quantization.dequantize(*quantized)) - f64::from(*real);
            self.signal += f64::from(*real) * f64::from(*real);
            self.noise += error * error;
            self.clipped += u64::from(*real < low - half || *real > high + half);
            self.values += 1;
        }
    }
}

/// Runs a network of real numbers and its quantized one side by side.
#[derive(Debug)]
pub struct Comparison<'m, G> {
    real: Inference<'m, G>,
    quantized: Int8Inference<'m, G>,
    errors: &'m mut [TensorError],
}

impl<'m, G: Graph> Comparison<'m, G> {
    /// Compares two sessions of the same network. There is one of the `errors` for the network's input, then one for the output of each layer.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if there are more or fewer errors; [`Error::OtherNetwork`] if the quantized session is one of another network;
    /// [`Error::OutOfRange`] if a scale, an exponent or a zero point of its weights is none that [`quantize`](super::quantize) writes for this
    /// network.
    pub fn new(
        real: Inference<'m, G>,
        quantized: Int8Inference<'m, G>,
        errors: &'m mut [TensorError],
    ) -> Result<Self, Error> {
        let layers = real.graph().layers();
        if let Some(tensor) = first_other_tensor(layers, quantized.graph().layers()) {
            return Err(Error::OtherNetwork {
                what: "the quantized session",
                tensor,
            });
        }
        quantized.check_weights()?;
        Error::check_length(Buffer::Quantizations, layers.len() + 1, errors.len())?;
        Ok(Self {
            real,
            quantized,
            errors,
        })
    }

    /// Runs both on a sample; `input` takes it as integers. Returns the outputs, real and quantized.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if the sample or `input` is not one; [`Error::NonFiniteInput`] if a value of the sample is not finite.
    pub fn run(&mut self, sample: &[f32], input: &mut [i8]) -> Result<(&[f32], &[i8]), Error> {
        let expected = self.real.sizes().input;
        Error::check_length(Buffer::Input, expected, sample.len())?;
        Error::check_length(Buffer::Input, expected, input.len())?;
        check_finite(sample)?;
        let own = self.quantized.input_quantization();
        for (quantized, real) in input.iter_mut().zip(sample) {
            *quantized = own.quantize(*real);
        }
        let (first, errors) = self.errors.split_first_mut().ok_or(Error::Plan)?;
        first.add(sample, input, own);
        let mut pass = self.quantized.begin(input)?;
        let mut fits = Some(());
        let real = self.real.observe(sample, |layers, (index, real)| {
            fits = fits.and_then(|()| pass.step(index));
            if layout::fused_relu(layers, index).is_none()
                && let (Some(errors), Some((quantized, quantization))) =
                    (errors.get_mut(index), pass.output_of(index))
            {
                errors.add(real, quantized, quantization);
            }
        })?;
        fits.ok_or(Error::Plan)?;
        Ok((real, self.quantized.output().ok_or(Error::Plan)?))
    }

    /// What the samples so far cost: the network's input, then the output of each layer.
    pub fn errors(&self) -> &[TensorError] {
        self.errors
    }
}
