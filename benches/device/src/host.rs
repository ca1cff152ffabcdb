//! The programs' work on the host.

use std::error::Error;

use device_nets as nets;
use lightlayers::optim::HeavyBall;
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
        multiply_accumulates: M::NET.multiply_accumulates() as u64,
        checksum: nets::checksum(inference.run(&sample)?),
        data_in_flash: bytes(&sample) + bytes(&weights),
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
        multiply_accumulates: M::NET.multiply_accumulates() as u64,
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

fn bytes(values: &[f32]) -> u64 {
    size_of_val(values) as u64
}
