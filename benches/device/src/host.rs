//! The programs' work on the host.

use std::error::Error;

use device_nets as nets;
use lightlayers::optim::HeavyBall;
use lightlayers::quant::Int8Inference;
use lightlayers::{Inference, Memory, Model};

pub struct Work {
    /// Of the forward pass.
    pub multiply_accumulates: u64,
    pub checksum: u32,
    /// Bytes of samples and weights that lie in flash.
    pub data_in_flash: u64,
}

/// Inference of one sample, its weights in flash.
pub fn infer<M: Model>(model: M) -> Result<Work, Box<dyn Error>> {
    let (weights, sample) = (weights::<M>(), sample::<M>());
    let mut workspace = vec![0.0; M::NET.inference_workspace()];
    let mut inference = Inference::new(model, &weights, &mut workspace)?;
    Ok(Work {
        multiply_accumulates: M::NET.multiply_accumulates(),
        checksum: nets::checksum(inference.run(&sample)?),
        data_in_flash: bytes(&sample) + bytes(&weights),
    })
}

/// Inference of one sample, quantized.
pub fn infer_int8<M: Model + Copy>(model: M) -> Result<Work, Box<dyn Error>> {
    let words = nets::quantized::words(model)?;
    let sample = sample_int8::<M>();
    let mut workspace = vec![0; M::NET.quantized_workspace()];
    let mut inference = Int8Inference::new(model, &words, &mut workspace)?;
    let outputs = inference.run(&sample)?;
    let products = M::NET.multiply_accumulates();
    Ok(Work {
        // Pooling has none: it is counted by its inputs.
        multiply_accumulates: if products > 0 {
            products
        } else {
            sample.len() as u64
        },
        checksum: nets::checksum_of_bytes(outputs.iter().map(|value| *value as u8)),
        data_in_flash: (size_of_val(&*words) + sample.len()) as u64,
    })
}

/// All steps of training.
pub fn train<M: Model>(model: M) -> Result<Work, Box<dyn Error>> {
    let (mut weights, sample) = (weights::<M>(), sample::<M>());
    let mut gradients = vec![0.0; M::NET.trainable_weights()];
    let mut optimizer_state = vec![0.0; M::NET.optimizer_state::<HeavyBall>()];
    let mut workspace = vec![0.0; M::NET.training_workspace(1)];
    let memory = Memory {
        weights: &mut weights,
        gradients: &mut gradients,
        optimizer_state: &mut optimizer_state,
        workspace: &mut workspace,
    };
    let mut training = nets::training(model, memory)?;
    // The last step is after the measurement.
    for _ in 0..=nets::RUNS {
        nets::step(&mut training, &sample)?;
    }
    Ok(Work {
        multiply_accumulates: M::NET.multiply_accumulates(),
        checksum: nets::checksum(training.weights()),
        data_in_flash: bytes(&sample),
    })
}

fn weights<M: Model>() -> Vec<f32> {
    let mut weights = vec![0.0; M::NET.weights()];
    nets::fill_weights(&M::NET, &mut weights);
    weights
}

fn sample<M: Model>() -> Vec<f32> {
    let mut sample = vec![0.0; M::NET.input_shape().len()];
    nets::fill_sample(&mut sample);
    sample
}

fn sample_int8<M: Model>() -> Vec<i8> {
    let mut sample = vec![0; M::NET.input_shape().len()];
    nets::fill_int8_sample(&mut sample);
    sample
}

fn bytes(values: &[f32]) -> u64 {
    size_of_val(values) as u64
}
