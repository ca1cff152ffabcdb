//! candle. Its gradient of max pooling is wrong for the odd size 7 of the last block: good for times, not as a reference.

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use candle_nn::loss::cross_entropy;
use candle_nn::{
    AdamW, BatchNorm, BatchNormConfig, Conv2d, Conv2dConfig, Linear, Module, ModuleT, Optimizer,
    ParamsAdamW, VarBuilder, VarMap, batch_norm, conv2d, linear, linear_no_bias,
};

use super::Model;
use crate::work::{
    ADAM_EPSILON, BATCH, BATCH_NORM_EPSILON, BATCH_NORM_MOMENTUM, BATCHES, CLASSES, FILTERS,
    HEAD_RANK, HIDDEN, Net, PIXELS, RATE, SIDE, images, label,
};

/// A convolution, factored into two if it is light, with batch normalization and ReLU.
struct Convolution {
    first: Option<Conv2d>,
    last: Conv2d,
    norm: BatchNorm,
}

impl Convolution {
    fn new(
        channels: usize,
        filters: usize,
        rank: Option<usize>,
        weights: VarBuilder<'_>,
    ) -> Result<Self> {
        let same = Conv2dConfig {
            padding: 1,
            ..Conv2dConfig::default()
        };
        let norm = BatchNormConfig {
            eps: BATCH_NORM_EPSILON,
            momentum: BATCH_NORM_MOMENTUM,
            ..BatchNormConfig::default()
        };
        let first = rank.map(|rank| conv2d(channels, rank, 3, same, weights.pp("first")));
        let channels = rank.unwrap_or(channels);
        Ok(Self {
            first: first.transpose()?,
            last: conv2d(channels, filters, 3, same, weights.pp("last"))?,
            norm: batch_norm(filters, norm, weights.pp("norm"))?,
        })
    }

    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let x = match &self.first {
            Some(first) => self.last.forward(&first.forward(x)?.relu()?)?,
            None => self.last.forward(x)?,
        };
        Ok(self.norm.forward_t(&x, train)?.relu()?)
    }
}

enum Head {
    Light(Linear, Linear),
    Dense(Linear),
}

impl Head {
    fn new(features: usize, light: bool, weights: VarBuilder<'_>) -> Result<Self> {
        Ok(if light {
            Self::Light(
                linear_no_bias(features, HEAD_RANK, weights.pp("first"))?,
                linear(HEAD_RANK, CLASSES, weights.pp("last"))?,
            )
        } else {
            Self::Dense(linear(features, CLASSES, weights)?)
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Light(first, last) => {
                last.forward(&(first.forward(x)? * (2.0 / CLASSES as f64))?)?
            }
            Self::Dense(linear) => linear.forward(x)?,
        })
    }
}

enum Network {
    Paper(Vec<Convolution>, Head),
    Mlp(Linear, Linear),
}

impl Network {
    fn new(net: Net, weights: &VarBuilder<'_>) -> Result<Self> {
        if net == Net::Mlp {
            return Ok(Self::Mlp(
                linear(PIXELS, HIDDEN, weights.pp("hidden"))?,
                linear(HIDDEN, CLASSES, weights.pp("head"))?,
            ));
        }
        let mut convolutions = Vec::new();
        let mut channels = 1;
        for filters in FILTERS {
            for _ in 0..2 {
                let weights = weights.pp(convolutions.len());
                convolutions.push(Convolution::new(channels, filters, net.rank(), weights)?);
                channels = filters;
            }
        }
        let head = Head::new(channels, net.rank().is_some(), weights.pp("head"))?;
        Ok(Self::Paper(convolutions, head))
    }

    fn forward(&self, images: &Tensor, train: bool) -> Result<Tensor> {
        match self {
            Self::Paper(convolutions, head) => {
                let mut x = images.clone();
                for block in convolutions.chunks(2) {
                    for convolution in block {
                        x = convolution.forward(&x, train)?;
                    }
                    x = x.max_pool2d(2)?;
                }
                head.forward(&x.mean((2, 3))?)
            }
            Self::Mlp(hidden, head) => {
                let hidden = hidden.forward(&images.flatten_from(1)?)?.relu()?;
                Ok(head.forward(&hidden)?)
            }
        }
    }
}

struct Candle {
    parameters: usize,
    training: Network,
    inference: Network,
    optimizer: AdamW,
    batches: Vec<(Tensor, Tensor)>,
    singles: Vec<Tensor>,
    steps: usize,
}

fn tensor(images: &[f32]) -> Result<Tensor> {
    let shape = (images.len() / PIXELS, 1, SIDE, SIDE);
    Ok(Tensor::from_slice(images, shape, &Device::Cpu)?)
}

fn labels(batch: usize) -> Result<Tensor> {
    let labels: Vec<u32> = (batch * BATCH..(batch + 1) * BATCH)
        .map(|image| label(image) as u32)
        .collect();
    Ok(Tensor::new(labels, &Device::Cpu)?)
}

pub(super) fn model(net: Net) -> Result<Box<dyn Model>> {
    let variables = VarMap::new();
    let weights = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
    let training = Network::new(net, &weights)?;
    // Operations on variables are recorded for gradients; inference works on plain copies.
    let mut copies = std::collections::HashMap::new();
    for (name, variable) in variables.data().lock().expect("no thread panics").iter() {
        copies.insert(name.clone(), variable.as_detached_tensor().copy()?);
    }
    let weights = VarBuilder::from_tensors(copies, DType::F32, &Device::Cpu);
    // Without weight decay it is Adam.
    let adam = ParamsAdamW {
        lr: RATE,
        eps: ADAM_EPSILON,
        weight_decay: 0.0,
        ..ParamsAdamW::default()
    };
    let images = images();
    Ok(Box::new(Candle {
        parameters: variables.all_vars().iter().map(|v| v.elem_count()).sum(),
        training,
        inference: Network::new(net, &weights)?,
        optimizer: AdamW::new(variables.all_vars(), adam)?,
        batches: images
            .chunks(BATCH * PIXELS)
            .enumerate()
            .map(|(batch, images)| Ok((tensor(images)?, labels(batch)?)))
            .collect::<Result<_>>()?,
        singles: images.chunks(PIXELS).map(tensor).collect::<Result<_>>()?,
        steps: 0,
    }))
}

impl Model for Candle {
    fn parameters(&self) -> usize {
        self.parameters
    }

    fn train(&mut self, steps: usize) -> Result<f32> {
        let mut last = None;
        for _ in 0..steps {
            let (images, labels) = &self.batches[self.steps % BATCHES];
            self.steps += 1;
            let loss = cross_entropy(&self.training.forward(images, true)?, labels)?;
            self.optimizer.backward_step(&loss)?;
            last = Some(loss);
        }
        Ok(last.context("no steps")?.to_scalar()?)
    }

    fn infer(&mut self, images: usize) -> Result<f32> {
        let mut output = None;
        for image in self.singles.iter().cycle().take(images) {
            output = Some(self.inference.forward(image, false)?);
        }
        Ok(output.context("no images")?.get(0)?.get(0)?.to_scalar()?)
    }
}
