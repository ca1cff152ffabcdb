//! A table of a network's layers and of the memory that it needs.

use core::fmt;

use crate::network::Network;
use crate::optim::Optimizer;

impl Network {
    /// A table like Keras's, written through [`core::fmt`]: layers, output shapes, parameters, multiply-accumulates, and totals.
    ///
    /// ```
    /// use lightlayers::Network;
    /// use lightlayers::optim::Adam;
    ///
    /// const NET: Network = Network::features(64).light_dense(16, 4).relu().dense(10);
    ///
    /// println!("{}", NET.summary().training::<Adam>(1));
    /// ```
    pub const fn summary(&self) -> Summary<'_> {
        Summary {
            network: self,
            training: None,
        }
    }
}

/// The table of [`Network::summary`].
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a> {
    network: &'a Network,
    training: Option<Training>,
}

#[derive(Clone, Copy, Debug)]
struct Training {
    batch: usize,
    optimizer_state: u64,
}

impl Summary<'_> {
    /// With the memory that training needs with optimizer `O`, for `batch` samples at a time.
    pub const fn training<O: Optimizer>(mut self, batch: usize) -> Self {
        self.training = Some(Training {
            batch,
            optimizer_state: O::STATE as u64 * self.network.trainable_weights() as u64,
        });
        self
    }
}

/// Bytes of an element.
const BYTES: u64 = size_of::<f32>() as u64;

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let net = self.network;
        let line = |f: &mut fmt::Formatter<'_>, fill: &str| {
            (0..62).try_for_each(|_| f.write_str(fill))?;
            f.write_str("\n")
        };
        writeln!(
            f,
            "{:<24}{:<14}{:>10}{:>14}",
            "layer", "output", "parameters", "mult-adds"
        )?;
        line(f, "=")?;
        writeln!(f, "{:<24}{:<14}", "input", net.input_shape())?;
        for (index, layer) in net.layers().iter().enumerate() {
            let frozen = if layer.is_frozen() && layer.weights() > 0 {
                " (frozen)"
            } else {
                ""
            };
            write!(f, "{:>2} {}{}", index, layer.name(), frozen)?;
            let used = 3 + layer.name().len() + frozen.len();
            (used..24).try_for_each(|_| f.write_str(" "))?;
            writeln!(
                f,
                "{:<14}{:>10}{:>14}",
                layer.output_shape(),
                layer.weights(),
                layer.multiply_accumulates()
            )?;
        }
        line(f, "=")?;
        let trainable = net.trainable_weights();
        writeln!(
            f,
            "{:<38}{:>10}{:>14}",
            "total",
            net.weights(),
            net.multiply_accumulates()
        )?;
        writeln!(f, "{:<38}{:>10}", "trainable", trainable)?;
        writeln!(
            f,
            "{:<38}{:>10}",
            "not trainable",
            net.weights() - trainable
        )?;
        line(f, "-")?;
        // In 64 bits: the bytes together may be more than a target can address.
        let bytes = |f: &mut fmt::Formatter<'_>, what: &str, elements: u64| {
            writeln!(f, "{what:<38}{:>10} bytes", elements.saturating_mul(BYTES))
        };
        let weights = net.weights() as u64;
        bytes(f, "weights", weights)?;
        bytes(f, "inference: workspace", net.inference_workspace() as u64)?;
        if let Some(Training {
            batch,
            optimizer_state,
        }) = self.training
        {
            let workspace = (net.training_workspace(1) as u64).saturating_mul(batch as u64);
            let gradients = trainable as u64;
            bytes(f, "training: gradients", gradients)?;
            bytes(f, "training: optimizer state", optimizer_state)?;
            write!(f, "training: workspace for {batch:<14}")?;
            writeln!(f, "{:>10} bytes", workspace.saturating_mul(BYTES))?;
            let all = workspace.saturating_add(weights + gradients + optimizer_state);
            bytes(f, "training: all, with the weights", all)?;
        }
        Ok(())
    }
}
