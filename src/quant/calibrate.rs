//! Watching the ranges of a network's tensors, and choosing what part of them integers cover.

use super::{Quantization, resolved};
use crate::error::{Buffer, Error};
use crate::infer::{Inference, check_layers};
use crate::plan::Graph;

/// How the range that integers cover is chosen from what was observed.
///
/// A smaller range has finer steps, and clips more.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RangeMethod {
    /// From the smallest to the largest value: nothing that was observed is clipped. Needs no histograms.
    MinMax,
    /// At each end, the share of the values that is not clipped: 0.9999 clips one in 10,000 at each end.
    Percentile(f32),
    /// Where the mean squared error of rounding and clipping together is smallest.
    MeanSquaredError,
}

/// The values of a tensor so far.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TensorRange {
    min: f32,
    max: f32,
    /// The histogram goes from the negative of it to it; a power of 2.
    reach: f32,
    /// The values of the tensor in a sample, which tell it from another network's.
    len: u32,
}

impl TensorRange {
    /// No value so far.
    pub const EMPTY: Self = Self {
        min: f32::INFINITY,
        max: f32::NEG_INFINITY,
        reach: 0.0,
        len: 0,
    };

    /// The smallest value.
    pub const fn min(&self) -> f32 {
        self.min
    }

    /// The largest value.
    pub const fn max(&self) -> f32 {
        self.max
    }

    const fn is_empty(&self) -> bool {
        self.min > self.max
    }

    fn observe(&mut self, values: &[f32], bins: &mut [u32]) {
        self.len = values.len() as u32;
        for value in values {
            if value.is_nan() {
                // No range covers it: `choose` says so.
                (self.min, self.max) = (f32::NEG_INFINITY, f32::INFINITY);
            }
            self.min = self.min.min(*value);
            self.max = self.max.max(*value);
        }
        let half = bins.len() / 2;
        if half == 0 {
            return;
        }
        let most = self.max.max(-self.min);
        if self.reach == 0.0 && most > 0.0 {
            self.reach = f32::MIN_POSITIVE;
            // It held zeros at most: they are in the middle.
            while self.reach <= most && self.reach < LARGEST {
                self.reach *= 2.0;
            }
        }
        while 0.0 < self.reach && self.reach <= most && self.reach < LARGEST {
            self.reach *= 2.0;
            halve(bins);
        }
        let last = bins.len() - 1;
        for value in values {
            // The larger half of the bins is for numbers from 0 on.
            let steps = if self.reach > 0.0 {
                // A layer's sums may be infinite.
                (value / self.reach).clamp(-1.0, 1.0) * half as f32
            } else {
                0.0
            };
            let floor = steps as isize - isize::from(steps < 0.0 && steps as isize as f32 != steps);
            let bin = (half as isize + floor).max(0) as usize;
            if let Some(bin) = bins.get_mut(bin.min(last)) {
                *bin = bin.saturating_add(1);
            }
        }
    }
}

/// The largest reach.
const LARGEST: f32 = f32::MAX / 2.0;

/// Bins twice as wide, around the same middle.
fn halve(bins: &mut [u32]) {
    let (below, above) = bins.split_at_mut(bins.len() / 2);
    join_pairs(above, |bin| bin);
    // Those below are counted from the middle, too.
    let last = below.len().saturating_sub(1);
    join_pairs(below, |bin| last.wrapping_sub(bin));
}

/// Bins twice as wide, from the first one; `place` says where each of them is.
fn join_pairs(bins: &mut [u32], place: impl Fn(usize) -> usize) {
    for i in 0..bins.len() {
        // Past the end, no value was counted.
        let count = |bin| bins.get(place(bin)).copied().unwrap_or_default();
        let sum = count(2 * i).saturating_add(count(2 * i + 1));
        if let Some(bin) = bins.get_mut(place(i)) {
            *bin = sum;
        }
    }
}

/// `x.clamp(low, high)`, without the panic if `low` is above `high`; of NaN, NaN.
fn within(x: f32, low: f32, high: f32) -> f32 {
    if x < low {
        low
    } else if x > high {
        high
    } else {
        x
    }
}

/// A tensor's values, counted in bins of the same width.
#[derive(Clone, Copy, Debug)]
pub struct Histogram<'a> {
    /// Where the first bin starts; the last one ends at its negative.
    pub start: f32,
    /// The values in each bin.
    pub counts: &'a [u32],
}

impl Histogram<'_> {
    /// How wide a bin is.
    pub fn width(&self) -> f32 {
        -2.0 * self.start / self.counts.len().max(1) as f32
    }

    /// The middles of the bins that hold values, and how many.
    fn values(&self) -> impl Iterator<Item = (f32, f64)> + Clone {
        let (start, width) = (self.start, self.width());
        let filled = self
            .counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0);
        filled.map(move |(bin, count)| (start + (bin as f32 + 0.5) * width, f64::from(*count)))
    }

    /// The value below which a share of them lies, at a bin's start.
    fn below(&self, share: f64) -> f32 {
        let total: f64 = self.counts.iter().map(|count| f64::from(*count)).sum();
        let mut sum = 0.0;
        for (bin, count) in self.counts.iter().enumerate() {
            sum += f64::from(*count);
            if sum > share * total {
                return self.start + bin as f32 * self.width();
            }
        }
        -self.start
    }

    /// The value above which a share of them lies, at a bin's end.
    fn above(&self, share: f64) -> f32 {
        let total: f64 = self.counts.iter().map(|count| f64::from(*count)).sum();
        let mut sum = 0.0;
        for (bin, count) in self.counts.iter().enumerate().rev() {
            sum += f64::from(*count);
            if sum > share * total {
                return self.start + (bin + 1) as f32 * self.width();
            }
        }
        self.start
    }

    /// The sum of the squared errors of integers that cover `low` to `high`.
    fn squared_error(&self, low: f32, high: f32) -> f64 {
        let step = f64::from(high - low) / 255.0;
        let rounding = step * step / 12.0;
        self.values()
            .map(|(value, count)| {
                let clipped = f64::from(value - within(value, low, high));
                count * (rounding + clipped * clipped)
            })
            .sum()
    }
}

/// Runs samples through a network and watches every tensor.
#[derive(Debug)]
pub struct Calibration<'m, G> {
    inference: Inference<'m, G>,
    ranges: &'m mut [TensorRange],
    histograms: &'m mut [u32],
    /// The samples so far, those that were refused among them.
    samples: usize,
}

impl<'m, G: Graph> Calibration<'m, G> {
    /// A session of a trained network, which has only layers that can be quantized, in
    /// [`Network::inference_workspace`](crate::Network::inference_workspace) elements.
    ///
    /// `ranges` are those of its input and of the output of each layer, [empty](TensorRange::EMPTY) or of a calibration that goes on.
    /// `histograms` is empty, or holds the same even number of bins for each of them, which start at 0 where the range is empty; the methods
    /// but [`RangeMethod::MinMax`] need them, and 512 bins serve well.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if a buffer does not have the length that the network needs, or if there are histograms for a calibration that
    /// started without; [`Error::Unquantizable`] if the network has a layer that cannot be quantized; [`Error::OtherNetwork`] if the ranges
    /// are of tensors of other sizes.
    pub fn new(
        graph: G,
        weights: &'m [f32],
        workspace: &'m mut [f32],
        ranges: &'m mut [TensorRange],
        histograms: &'m mut [u32],
    ) -> Result<Self, Error> {
        check_layers(&graph)?;
        super::infer::check_kinds(&graph)?;
        let tensors = graph.layers().len() + 1;
        Error::check_length(Buffer::Quantizations, tensors, ranges.len())?;
        let bins = histograms.len() / tensors / 2 * 2;
        Error::check_length(Buffer::Histograms, bins * tensors, histograms.len())?;
        let outputs = graph.layers().iter().map(|layer| layer.output.len());
        let lens = core::iter::once(graph.sizes().input).chain(outputs);
        let mut all_bins = histograms.chunks_mut(bins.max(1));
        for (tensor, (range, len)) in ranges.iter_mut().zip(lens).enumerate() {
            let own_bins = all_bins.next();
            if range.is_empty() {
                *range = TensorRange::EMPTY;
                own_bins.unwrap_or_default().fill(0);
            } else if range.len as usize != len {
                let what = "the ranges";
                return Err(Error::OtherNetwork { what, tensor });
            } else if own_bins.is_some()
                && range.reach == 0.0
                && (range.min, range.max) != (0.0, 0.0)
            {
                return Err(Error::Length {
                    buffer: Buffer::Histograms,
                    expected: 0,
                    found: bins * tensors,
                });
            }
        }
        Ok(Self {
            inference: Inference::new(graph, weights, workspace)?,
            ranges,
            histograms,
            samples: 0,
        })
    }

    /// Watches one sample.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if it is not one. [`Error::NonFiniteSample`] if a value is not finite, with the number of calls before this one as its
    /// index: it changes no range, and the next sample can follow.
    pub fn observe(&mut self, sample: &[f32]) -> Result<(), Error> {
        let expected = self.inference.sizes().input;
        Error::check_length(Buffer::Input, expected, sample.len())?;
        let index = self.samples;
        self.samples += 1;
        if !sample.iter().all(|value| value.is_finite()) {
            return Err(Error::NonFiniteSample { sample: index });
        }
        let bins = self.histograms.len() / self.ranges.len().max(1);
        let mut tensors = Tensors {
            ranges: self.ranges.iter_mut(),
            histograms: self.histograms,
            bins,
        };
        tensors.next(sample);
        self.inference
            .observe(sample, |_, (_, values)| tensors.next(values))?;
        Ok(())
    }

    /// What was observed of each tensor: the network's input, then the outputs of the layers.
    pub fn ranges(&self) -> &[TensorRange] {
        self.ranges
    }

    /// The histogram of a tensor, 0 for the network's input, `i + 1` for the output of layer `i`; none without bins, or before a
    /// value that is not 0.
    pub fn histogram(&self, tensor: usize) -> Option<Histogram<'_>> {
        let bins = self.histograms.len() / self.ranges.len().max(1);
        let range = self.ranges.get(tensor)?;
        let counts = self.histograms.get(tensor * bins..(tensor + 1) * bins)?;
        (range.reach > 0.0 && bins > 0).then_some(Histogram {
            start: -range.reach,
            counts,
        })
    }

    /// Chooses how each tensor is quantized, 0 the network's input, `i + 1` the output of layer `i`.
    ///
    /// The network's input must have varied: with one value alone, all 0 for instance, the samples were not read or say nothing, and a
    /// network that is quantized with them gives one answer for ever. An output of a layer may be the same always, as that of a ReLU that no
    /// sample reached; of such zeros alone come integers that stand for 0, whatever the layer computes later.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`] if nothing was observed; [`Error::Calibration`] if the network's input never varied, or if a value of a tensor was
    /// NaN or infinite; [`Error::Length`] if `quantizations` is not one for each tensor, or if the method needs histograms and there are
    /// none; [`Error::OutOfRange`] if a percentile is not above a half and at most 1, or values are too large.
    pub fn choose(
        &self,
        method: RangeMethod,
        quantizations: &mut [Quantization],
    ) -> Result<(), Error> {
        let tensors = self.ranges.len();
        Error::check_length(Buffer::Quantizations, tensors, quantizations.len())?;
        if matches!(method, RangeMethod::Percentile(share) if !(share > 0.5 && share <= 1.0)) {
            return Err(Error::OutOfRange {
                what: "the percentile of a range",
                range: "0.5..=1",
            });
        }
        for (tensor, quantization) in quantizations.iter_mut().enumerate() {
            let range = self.ranges.get(tensor).ok_or(Error::Plan)?;
            if range.is_empty() {
                return Err(Error::Empty);
            }
            if !(range.min.is_finite() && range.max.is_finite()) {
                let why =
                    "a value was NaN or infinite; check the weights and how large samples are";
                return Err(Error::Calibration { tensor, why });
            }
            if tensor == 0 && range.min == range.max {
                let why = "all values were the same; observe samples that vary as they do in use";
                return Err(Error::Calibration { tensor, why });
            }
            let (low, high) = self.limits(tensor, *range, method)?;
            *quantization = Quantization::of_range(low, high)?;
        }
        let layers = self.inference.graph().layers();
        for tensor in 0..quantizations.len() {
            let own = resolved(layers, quantizations, tensor);
            if let Some(place) = quantizations.get_mut(tensor) {
                *place = own;
            }
        }
        Ok(())
    }

    fn limits(
        &self,
        tensor: usize,
        range: TensorRange,
        method: RangeMethod,
    ) -> Result<(f32, f32), Error> {
        let (low, high) = (range.min, range.max);
        if method == RangeMethod::MinMax || low == 0.0 && high == 0.0 {
            return Ok((low, high));
        }
        let histogram = self.histogram(tensor).ok_or(Error::Length {
            buffer: Buffer::Histograms,
            expected: 2 * self.ranges.len(),
            found: self.histograms.len(),
        })?;
        Ok(match method {
            RangeMethod::MinMax => (low, high),
            RangeMethod::Percentile(share) => {
                let clipped = 1.0 - f64::from(share);
                let high = histogram.above(clipped).min(high);
                // Values beyond the largest reach all lie in the last bin.
                (histogram.below(clipped).max(low).min(high), high)
            }
            RangeMethod::MeanSquaredError => {
                /// Of the whole range.
                const STEPS: usize = 80;
                let mut best = (f64::INFINITY, (low, high));
                for step in STEPS / 5..=STEPS {
                    let share = step as f32 / STEPS as f32;
                    let (low, high) = (low.min(0.0) * share, high.max(0.0) * share);
                    let error = histogram.squared_error(low, high);
                    if error <= best.0 {
                        best = (error, (low, high));
                    }
                }
                best.1
            }
        })
    }
}

/// The places for the tensors that are still to come.
struct Tensors<'a> {
    ranges: core::slice::IterMut<'a, TensorRange>,
    histograms: &'a mut [u32],
    bins: usize,
}

impl Tensors<'_> {
    fn next(&mut self, values: &[f32]) {
        let rest = core::mem::take(&mut self.histograms);
        let (bins, rest) = rest.split_at_mut(self.bins.min(rest.len()));
        self.histograms = rest;
        if let Some(range) = self.ranges.next() {
            range.observe(values, bins);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::halve;

    #[test]
    fn neighbours_on_the_same_side_of_the_middle_share_a_bin() {
        let mut bins = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
        halve(&mut bins);
        assert_eq!(bins, [0, 0, 1, 2 + 3, 4 + 5, 6 + 7, 8 + 9, 10, 0, 0]);
        let mut bins = [1, u32::MAX, 3, 4];
        halve(&mut bins);
        assert_eq!(bins, [0, u32::MAX, 7, 0]);
    }
}
