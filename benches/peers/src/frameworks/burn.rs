//! burn, with its backend for processors, Flex.

use anyhow::{Context, Result};
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::{CrossEntropyLoss, CrossEntropyLossConfig};
use burn::nn::pool::{AdaptiveAvgPool2dConfig, MaxPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::Model;
use crate::work::{
    ADAM_EPSILON, BATCH, BATCH_NORM_EPSILON, BATCH_NORM_MOMENTUM, BATCHES, CLASSES, FILTERS,
    HEAD_RANK, HIDDEN, Net, PIXELS, RATE, SIDE, images, label,
};

/// A convolution, factored into two if it is light, with batch normalization and ReLU.
#[derive(Module, Debug)]
struct Convolution {
    first: Option<Conv2d>,
    last: Conv2d,
    norm: BatchNorm,
}

impl Convolution {
    fn new(channels: usize, filters: usize, rank: Option<usize>, device: &Device) -> Self {
        let conv = |channels| {
            Conv2dConfig::new(channels, [3, 3])
                .with_padding(PaddingConfig2d::Same)
                .init(device)
        };
        Self {
            first: rank.map(|rank| conv([channels, rank])),
            last: conv([rank.unwrap_or(channels), filters]),
            norm: BatchNormConfig::new(filters)
                .with_epsilon(BATCH_NORM_EPSILON)
                .with_momentum(BATCH_NORM_MOMENTUM)
                .init(device),
        }
    }

    fn forward(&self, mut x: Tensor<4>) -> Tensor<4> {
        if let Some(first) = &self.first {
            x = relu(first.forward(x));
        }
        relu(self.norm.forward(self.last.forward(x)))
    }
}

#[derive(Module, Debug)]
struct LightDense {
    first: Linear,
    last: Linear,
    scale: f64,
}

#[derive(Module, Debug)]
enum Head {
    Light(LightDense),
    Dense(Linear),
}

impl Head {
    fn new(features: usize, light: bool, device: &Device) -> Self {
        if !light {
            return Self::Dense(LinearConfig::new(features, CLASSES).init(device));
        }
        Self::Light(LightDense {
            first: LinearConfig::new(features, HEAD_RANK)
                .with_bias(false)
                .init(device),
            last: LinearConfig::new(HEAD_RANK, CLASSES).init(device),
            scale: 2.0 / CLASSES as f64,
        })
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Light(head) => head.last.forward(head.first.forward(x) * head.scale),
            Self::Dense(linear) => linear.forward(x),
        }
    }
}

#[derive(Module, Debug)]
struct Paper {
    convolutions: Vec<Convolution>,
    head: Head,
}

#[derive(Module, Debug)]
struct Mlp {
    hidden: Linear,
    head: Linear,
}

#[derive(Module, Debug)]
enum Network {
    Paper(Paper),
    Mlp(Mlp),
}

impl Network {
    fn new(net: Net, device: &Device) -> Self {
        if net == Net::Mlp {
            return Self::Mlp(Mlp {
                hidden: LinearConfig::new(PIXELS, HIDDEN).init(device),
                head: LinearConfig::new(HIDDEN, CLASSES).init(device),
            });
        }
        let mut convolutions = Vec::new();
        let mut channels = 1;
        for filters in FILTERS {
            convolutions.push(Convolution::new(channels, filters, net.rank(), device));
            convolutions.push(Convolution::new(filters, filters, net.rank(), device));
            channels = filters;
        }
        Self::Paper(Paper {
            convolutions,
            head: Head::new(channels, net.rank().is_some(), device),
        })
    }

    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        match self {
            Self::Paper(paper) => {
                let pool = MaxPool2dConfig::new([2, 2]).init();
                let mut x = images;
                for block in paper.convolutions.chunks(2) {
                    for convolution in block {
                        x = convolution.forward(x);
                    }
                    x = pool.forward(x);
                }
                let mean = AdaptiveAvgPool2dConfig::new([1, 1]).init().forward(x);
                paper.head.forward(mean.flatten(1, 3))
            }
            Self::Mlp(mlp) => {
                let hidden = relu(mlp.hidden.forward(images.flatten(1, 3)));
                mlp.head.forward(hidden)
            }
        }
    }
}

struct Burn {
    /// None only after a step that failed.
    training: Option<Network>,
    inference: Network,
    optimizer: ModuleOptimizer,
    loss: CrossEntropyLoss,
    batches: Vec<(Tensor<4>, Tensor<1, Int>)>,
    singles: Vec<Tensor<4>>,
    steps: usize,
}

fn tensor(images: &[f32], device: &Device) -> Tensor<4> {
    let shape = [images.len() / PIXELS, 1, SIDE, SIDE];
    Tensor::from_data(TensorData::new(images.to_vec(), shape), device)
}

fn labels(batch: usize, device: &Device) -> Tensor<1, Int> {
    let labels: Vec<i32> = (batch * BATCH..(batch + 1) * BATCH)
        .map(|image| label(image) as i32)
        .collect();
    Tensor::from_data(TensorData::new(labels, [BATCH]), device)
}

pub(super) fn model(net: Net) -> Result<Box<dyn Model>> {
    let plain = Device::flex();
    let device = plain.clone().autodiff();
    device.seed(1);
    let training = Network::new(net, &device);
    let images = images();
    Ok(Box::new(Burn {
        inference: training.valid(),
        training: Some(training),
        optimizer: AdamConfig::new().with_epsilon(ADAM_EPSILON as f32).init(),
        loss: CrossEntropyLossConfig::new().init(&device),
        batches: images
            .chunks(BATCH * PIXELS)
            .enumerate()
            .map(|(batch, images)| (tensor(images, &device), labels(batch, &device)))
            .collect(),
        singles: images
            .chunks(PIXELS)
            .map(|image| tensor(image, &plain))
            .collect(),
        steps: 0,
    }))
}

impl Model for Burn {
    fn parameters(&self) -> usize {
        self.inference.num_params()
    }

    fn train(&mut self, steps: usize) -> Result<f32> {
        let mut net = self.training.take().context("an earlier step failed")?;
        let mut last = None;
        for _ in 0..steps {
            let (images, labels) = self.batches[self.steps % BATCHES].clone();
            self.steps += 1;
            let loss = self.loss.forward(net.forward(images), labels);
            let gradients = GradientsParams::from_grads(loss.backward(), &net);
            net = self.optimizer.step(RATE, net, gradients);
            last = Some(loss);
        }
        self.training = Some(net);
        Ok(last.context("no steps")?.try_into_scalar()?)
    }

    fn infer(&mut self, images: usize) -> Result<f32> {
        let mut output = None;
        for image in self.singles.iter().cycle().take(images) {
            output = Some(self.inference.forward(image.clone()));
        }
        let output = output.context("no images")?;
        Ok(output.slice([0..1, 0..1]).try_into_scalar()?)
    }
}
