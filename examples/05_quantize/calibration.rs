//! Watching the tensors of a network, and choosing what the integers cover.

use anyhow::Result;
use lightlayers::dataset::Dataset;
use lightlayers::quant::{Calibration, Histogram, Quantization, RangeMethod, TensorRange};
use lightlayers::{Error, Plan};

use crate::samples::Samples;

/// For each tensor.
const BINS: usize = 512;

/// What was observed and chosen, for each tensor: the network's input, then the output of each layer.
pub struct Calibrated {
    pub ranges: Vec<TensorRange>,
    /// None of a tensor that is always 0.
    pub histograms: Vec<Option<Bins>>,
    pub quantizations: Vec<Quantization>,
}

impl Calibrated {
    /// Runs the samples of some indices through a network.
    pub fn new<D: Dataset<Error = Error>>(
        plan: &Plan,
        weights: &[f32],
        samples: &mut Samples<D>,
        indices: &[usize],
        method: RangeMethod,
    ) -> Result<Self> {
        let tensors = plan.network().len() + 1;
        let mut workspace = vec![0.0; plan.network().inference_workspace()];
        let mut ranges = vec![TensorRange::EMPTY; tensors];
        let mut bins = vec![0; BINS * tensors];
        let mut calibration =
            Calibration::new(plan, weights, &mut workspace, &mut ranges, &mut bins)?;
        samples.each("calibration", indices, |image, _| {
            Ok(calibration.observe(image)?)
        })?;

        let mut quantizations = vec![Quantization::PIXELS; tensors];
        calibration.choose(method, &mut quantizations)?;
        // The pixels of both data sets are levels of which 255 is a multiple: as bytes they are exact.
        quantizations[0] = Quantization::PIXELS;
        let histograms = (0..tensors).map(|tensor| calibration.histogram(tensor).map(Bins::from));
        Ok(Self {
            histograms: histograms.collect(),
            quantizations,
            ranges,
        })
    }
}

/// Values, counted in bins of the same width.
pub struct Bins {
    /// Where the first bin starts.
    pub start: f32,
    pub width: f32,
    pub counts: Vec<u32>,
}

impl Bins {
    /// Of a slice of values.
    pub fn of(values: &[f32], count: usize) -> Self {
        let most = values.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        let most = most.max(f32::MIN_POSITIVE);
        let width = 2.0 * most / count as f32;
        let mut counts = vec![0; count];
        for value in values {
            let bin = ((value + most) / width) as usize;
            counts[bin.min(count - 1)] += 1;
        }
        Self {
            start: -most,
            width,
            counts,
        }
    }
}

impl From<Histogram<'_>> for Bins {
    fn from(histogram: Histogram<'_>) -> Self {
        Self {
            start: histogram.start,
            width: histogram.width(),
            counts: histogram.counts.to_vec(),
        }
    }
}
