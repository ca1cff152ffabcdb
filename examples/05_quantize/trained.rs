//! Where the trained networks come from.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use lightlayers::dataset::{Holdout, PackedImages};
use lightlayers::file::Reader;
use lightlayers::{Initializer, Model, Network, Plan};
use lightlayers_datasets::{ImageSet, Images};

use crate::common::digits::{DIGITS, TEST_EVERY};
use crate::common::experiment::{Settings, train};
use crate::common::model::ModelFile;

/// A network with the weights of its training, and the images of it.
pub struct Trained<D> {
    /// The name of its files.
    pub name: &'static str,
    /// What it is, in a few words.
    pub title: String,
    pub net: Network,
    pub weights: Vec<f32>,
    pub training: D,
    pub testing: D,
}

impl<D> Trained<D> {
    /// What can be quantized: its batch normalizations go into the layers before them, its layers of two factors become two layers.
    pub fn without_batch_norm_and_factors(&self) -> Result<(Network, Vec<f32>)> {
        let folded = self.net.fold_batch_norm();
        let mut weights = vec![0.0; folded.weights()];
        self.net
            .fold_batch_norm_weights(&self.weights, &mut weights)?;
        let split = folded.try_split_factors()?;
        folded.split_factors_weights(&mut weights)?;
        Ok((split, weights))
    }
}

/// The network of 04_small_conv, with batch normalization.
struct Digits;

impl Model for Digits {
    const NET: Network = Network::input(8, 8, 1)
        .light_conv2d(8, 3, 3)
        .kernel_initializer(Initializer::HeNormal)
        .batch_norm()
        .relu()
        .max_pool2d(2)
        .light_conv2d(12, 3, 3)
        .kernel_initializer(Initializer::HeNormal)
        .batch_norm()
        .relu()
        .max_pool2d(2)
        .flatten()
        .light_dense(10, 6);
}

/// Those of 04_small_conv.
const SETTINGS: Settings = Settings {
    batch: 32,
    // Batch normalization knows no other images than those that are worked on at once.
    at_once: 32,
    peak_rate: 0.03,
    decay: 0.02,
    shift: 0.5,
};

/// Trains a small network on the digits that the repository ships.
pub fn digits(seed: u64, epochs: u32) -> Result<Trained<Holdout<PackedImages<'static>>>> {
    println!("{}", Digits::NET.summary());
    println!("training with seed {seed}");
    let run = train(Digits, &Digits::NET, &SETTINGS, seed, epochs)?;
    println!();
    Ok(Trained {
        name: "digits",
        title: format!("Digits, seed {seed}"),
        net: Digits::NET,
        weights: run.weights,
        training: Holdout::training(DIGITS, TEST_EVERY)?,
        testing: Holdout::testing(DIGITS, TEST_EVERY)?,
    })
}

/// The paper's network of rank 3, trained by 03_paper; see boards/README.md.
pub const MNIST_WEIGHTS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/boards/common/mnist-light-k3.model"
);

/// Reads a network for MNIST from a model file.
pub fn mnist<'a>(images: &'a ImageSet, path: &Path) -> Result<Trained<&'a Images>> {
    let read = || -> Result<_> {
        let file = ModelFile::read(path)?;
        let reader = Reader::new(file.bytes())?;
        let net = reader.network()?;
        let shape = images.training.shape();
        ensure!(
            net.input_shape() == shape,
            "expected a network for images {shape}, found one for {}",
            net.input_shape()
        );
        let (classes, outputs) = (images.training.classes(), net.output_shape().len());
        ensure!(
            outputs == classes,
            "expected a network of {classes} classes, found {outputs}"
        );
        let weights = reader.weights(&Plan::new(&net))?.to_vec();
        Ok((net, weights))
    };
    let (net, weights) = read().with_context(|| {
        format!(
            "cannot use the model file {}; 03_paper --table 1 writes one",
            path.display()
        )
    })?;
    println!("{}", net.summary());
    Ok(Trained {
        name: "mnist",
        title: format!("MNIST, {} parameters", net.weights()),
        net,
        weights,
        training: &images.training,
        testing: &images.testing,
    })
}
