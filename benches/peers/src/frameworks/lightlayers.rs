//! This crate.

use std::convert::Infallible;

use anyhow::Result;
use lightlayers::dataset::{Dataset, Target};
use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::optim::Adam;
use lightlayers::{Inference, Memory, Plan, Trainer};

use super::Model;
use crate::work::{ADAM_EPSILON, BATCH, BATCHES, Net, PIXELS, RATE, images, label};

struct Images(Vec<f32>);

impl Dataset for Images {
    type Error = Infallible;

    fn len(&self) -> usize {
        BATCHES * BATCH
    }

    fn read(
        &mut self,
        index: usize,
        input: &mut [f32],
        target: &mut Target<'_>,
    ) -> Result<(), Infallible> {
        input.copy_from_slice(&self.0[index * PIXELS..][..PIXELS]);
        target.set_class(label(index));
        Ok(())
    }
}

struct LightLayers {
    images: Images,
    parameters: usize,
    trainer: Trainer<'static, &'static Plan, SoftmaxCrossEntropy, Adam>,
    inference: Inference<'static, &'static Plan>,
    steps: usize,
}

/// Memory for as long as the process lives, which ends with its last task.
fn buffer(len: usize) -> &'static mut [f32] {
    vec![0.0; len].leak()
}

pub(super) fn model(net: Net) -> Result<Box<dyn Model>> {
    let net = net.network();
    let plan: &'static Plan = Box::leak(Box::new(Plan::new(&net)));
    let weights = buffer(net.weights());
    net.initialize(weights, 1)?;
    let inference = Inference::new(
        plan,
        weights.to_vec().leak(),
        buffer(net.inference_workspace()),
    )?;
    let memory = Memory {
        weights,
        gradients: buffer(net.trainable_weights()),
        optimizer_state: buffer(net.optimizer_state::<Adam>()),
        workspace: buffer(net.training_workspace(BATCH)),
    };
    let trainer = Trainer::new(
        plan,
        SoftmaxCrossEntropy::new(),
        Adam::with(0.9, 0.999, ADAM_EPSILON as f32)?,
        memory,
    )?;
    Ok(Box::new(LightLayers {
        images: Images(images()),
        parameters: net.weights(),
        trainer,
        inference,
        steps: 0,
    }))
}

impl Model for LightLayers {
    fn parameters(&self) -> usize {
        self.parameters
    }

    fn train(&mut self, steps: usize) -> Result<f32> {
        let mut loss = 0.0;
        for _ in 0..steps {
            let first = self.steps % BATCHES * BATCH;
            self.steps += 1;
            let batch = first..first + BATCH;
            let metrics = self.trainer.step(&mut self.images, batch, RATE as f32)?;
            loss = metrics.loss();
        }
        Ok(loss)
    }

    fn infer(&mut self, images: usize) -> Result<f32> {
        let mut output = 0.0;
        for image in self.images.0.chunks_exact(PIXELS).cycle().take(images) {
            output = self.inference.run(image)?[0];
        }
        Ok(output)
    }
}
