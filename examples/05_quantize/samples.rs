//! Labelled samples, one after another, with a bar.

use anyhow::{Context, Result, ensure};
use lightlayers::dataset::{Dataset, Target};
use lightlayers::{Error, Network, Permutation};

use crate::common::bar::samples_bar;

/// A data set, and the memory for one of its samples.
pub struct Samples<D> {
    data: D,
    input: Vec<f32>,
    target: Vec<f32>,
}

impl<D: Dataset<Error = Error>> Samples<D> {
    /// Samples of the shapes of a network.
    pub fn new(data: D, net: &Network) -> Self {
        Self {
            data,
            input: vec![0.0; net.input_shape().len()],
            target: vec![0.0; net.output_shape().len()],
        }
    }

    pub fn len(&self) -> usize {
        self.data.len()
    }

    pub fn data_mut(&mut self) -> &mut D {
        &mut self.data
    }

    /// The indices of `count` samples, drawn without replacement.
    pub fn choose(&self, count: usize, seed: u64) -> Result<Vec<usize>> {
        let len = self.len();
        ensure!(
            count <= len,
            "expected at most {len} images to calibrate with, found {count}"
        );
        let order = Permutation::new(u32::try_from(len)?, seed);
        Ok((0..count).map(|position| order.index(position)).collect())
    }

    /// Passes samples and their classes on, and shows under a name how far it is.
    pub fn each(
        &mut self,
        name: &'static str,
        indices: &[usize],
        mut pass: impl FnMut(&[f32], usize) -> Result<()>,
    ) -> Result<()> {
        let bar = samples_bar(name, indices.len());
        for index in indices {
            let mut target = Target::new(&mut self.target);
            self.data.read(*index, &mut self.input, &mut target)?;
            let class = target.class().context("a sample without a class")?;
            pass(&self.input, class)?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(())
    }
}
