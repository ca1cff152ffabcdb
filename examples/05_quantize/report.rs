//! What quantization costs each tensor, and all in all.

use std::fmt::{self, Write};

use lightlayers::quant::TensorError;
use lightlayers::{Network, Op, Shape, file};

use crate::calibration::Calibrated;

/// A tensor that the quantized network has, and the layer that makes it: with a ReLU, if the layer does one as well.
pub struct Row {
    /// 0 is the network's input, `i + 1` the output of layer `i`.
    pub tensor: usize,
    /// The tensor that the layer reads.
    pub source: Option<usize>,
    /// The index of a layer with a kernel.
    pub filters: Option<usize>,
    pub name: String,
    pub shape: Shape,
}

impl Row {
    /// A row for each tensor.
    pub fn all(net: &Network, errors: &[TensorError]) -> Vec<Self> {
        let input = Self {
            tensor: 0,
            source: None,
            filters: None,
            name: "input".into(),
            shape: net.input_shape(),
        };
        let is_done_by_relu = |layer: usize| errors[layer + 1].signal_to_noise().is_none();
        let layers = net.layers().iter().enumerate();
        let layers = layers.filter(|(index, _)| !is_done_by_relu(*index));
        let outputs = layers.map(|(index, layer)| {
            let before = layer.inputs().next().flatten();
            let first = before.filter(|before| is_done_by_relu(*before));
            let worker = first.unwrap_or(index);
            let names = [first, Some(index)].into_iter().flatten();
            let names: Vec<_> = names.map(|index| net.layers()[index].name()).collect();
            Self {
                tensor: index + 1,
                source: net.layers()[worker]
                    .inputs()
                    .next()
                    .map(|before| before.map_or(0, |before| before + 1)),
                filters: (kernel_len(net, worker) > 0).then_some(worker),
                name: format!("{worker:>2} {}", names.join(", ")),
                shape: layer.output_shape(),
            }
        });
        std::iter::once(input).chain(outputs).collect()
    }

    /// False of a layer that hands on the integers of its input, such as pooling.
    pub fn has_own_quantization(&self, calibrated: &Calibrated) -> bool {
        self.source.is_none_or(|source| {
            calibrated.quantizations[source] != calibrated.quantizations[self.tensor]
        })
    }
}

/// The elements of a layer's kernel.
pub fn kernel_len(net: &Network, index: usize) -> usize {
    let layer = &net.layers()[index];
    let filters = usize::from(layer.output_shape().channels);
    let channels = usize::from(layer.input_shape().channels);
    match layer.op() {
        Op::Dense { .. } => channels * filters,
        Op::Conv2d { window, .. } => {
            let (rows, columns) = window.kernel;
            usize::from(rows) * usize::from(columns) * channels * filters
        }
        Op::DepthwiseConv2d { window, .. } => {
            let (rows, columns) = window.kernel;
            usize::from(rows) * usize::from(columns) * filters
        }
        _ => 0,
    }
}

/// A line for each tensor: what was observed, what is covered, and how well.
pub fn table(rows: &[Row], calibrated: &Calibrated, errors: &[TensorError]) -> String {
    let mut text = format!(
        "{:<25}{:<9}{:>18}{:>18}{:>10}{:>6}{:>9}{:>10}\n{}\n",
        "tensor",
        "shape",
        "observed",
        "covered",
        "scale",
        "zero",
        "SNR/dB",
        "clipped",
        "=".repeat(105)
    );
    for row in rows {
        let range = calibrated.ranges[row.tensor];
        let quantization = calibrated.quantizations[row.tensor];
        let (low, high) = quantization.range();
        let between = |low: f32, high: f32| format!("{low:.3} .. {high:.3}");
        let error = &errors[row.tensor];
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:<25}{:<9}{:>18}{:>18}{:>10.5}{:>6}{:>9.1}{:>8.3} %",
            row.name,
            row.shape,
            between(range.min(), range.max()),
            between(low, high),
            quantization.scale(),
            quantization.zero_point(),
            error.signal_to_noise().unwrap_or(f32::NAN),
            100.0 * error.clipped()
        );
    }
    text
}

/// How many of some samples a network gets right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Score {
    pub correct: usize,
    pub samples: usize,
}

impl Score {
    pub fn accuracy(self) -> f64 {
        self.correct as f64 / self.samples as f64
    }
}

/// The two networks beside each other.
pub struct Costs<'a> {
    pub net: &'a Network,
    /// Of the network as it was trained, before its fine-tuning if there was one.
    pub trained_score: Option<Score>,
    pub f32_score: Score,
    pub int8_score: Score,
}

impl fmt::Display for Costs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let net = self.net;
        let mut line = |what: &str, real: String, quantized: String| {
            writeln!(f, "{what:<18}{real:>16}{quantized:>16}")
        };
        line("", "f32".into(), "int8".into())?;
        let mut bytes = |what, real: usize, quantized: usize| {
            line(what, format!("{real} bytes"), format!("{quantized} bytes"))
        };
        bytes("weights", 4 * net.weights(), 4 * net.quantized_weights())?;
        bytes(
            "workspace",
            4 * net.inference_workspace(),
            4 * net.quantized_workspace(),
        )?;
        bytes(
            "model file",
            file::size(net, None),
            file::quantized_size(net),
        )?;
        let accuracy = |score: Score| format!("{:.4}", score.accuracy());
        line(
            "test accuracy",
            accuracy(self.f32_score),
            accuracy(self.int8_score),
        )?;
        let right = |score: Score| format!("{} of {}", score.correct, score.samples);
        line("", right(self.f32_score), right(self.int8_score))?;
        let mut before = self.f32_score;
        if let Some(score) = self.trained_score {
            before = score;
            let what = "before fine-tuning";
            writeln!(f, "{what:<18}{:>16}", accuracy(score))?;
        }
        let lost = 100.0 * (before.accuracy() - self.int8_score.accuracy());
        writeln!(f, "{:<18}{lost:>16.2} points", "accuracy lost")
    }
}
