//! Calibrations and comparisons against all values, kept and sorted.

use host_tests::quantized::{infer, words};
use host_tests::session::{self, random_weights, values};
use lightlayers::quant::{
    Calibration, Comparison, Int8Inference, Quantization, RangeMethod, TensorError, TensorRange,
};
use lightlayers::{Inference, Network, Plan};

/// Runs a network once for each sample, and keeps every tensor's values.
struct Watched {
    net: Network,
    weights: Vec<f32>,
    samples: Vec<Vec<f32>>,
    ranges: Vec<TensorRange>,
    histograms: Vec<u32>,
}

impl Watched {
    fn new(net: Network, weights: Vec<f32>, samples: Vec<Vec<f32>>, bins: usize) -> Self {
        let tensors = net.len() + 1;
        let mut watched = Watched {
            net,
            weights,
            samples,
            ranges: vec![TensorRange::EMPTY; tensors],
            histograms: vec![0; bins * tensors],
        };
        let samples = std::mem::take(&mut watched.samples);
        watched.with(|calibration| {
            for sample in &samples {
                calibration.observe(sample).expect("one finite sample");
            }
        });
        watched.samples = samples;
        watched
    }

    /// A calibration that goes on.
    fn with<T>(&mut self, work: impl FnOnce(&mut Calibration<'_, &Plan>) -> T) -> T {
        let plan = Plan::new(&self.net);
        let mut workspace = vec![f32::NAN; self.net.inference_workspace()];
        let calibration = Calibration::new(
            &plan,
            &self.weights,
            &mut workspace,
            &mut self.ranges,
            &mut self.histograms,
        );
        work(&mut calibration.expect("buffers fit"))
    }

    fn choose(&mut self, method: RangeMethod) -> Vec<Quantization> {
        let mut chosen = vec![Quantization::PIXELS; self.ranges.len()];
        self.with(|calibration| calibration.choose(method, &mut chosen))
            .expect("observed");
        chosen
    }

    /// A histogram's start, bin width, and counts.
    fn histogram(&mut self, tensor: usize) -> (f32, f32, Vec<u32>) {
        self.with(|calibration| {
            let histogram = calibration.histogram(tensor).expect("values");
            (
                histogram.start,
                histogram.width(),
                histogram.counts.to_vec(),
            )
        })
    }

    /// All values of a tensor: those of the network that ends there.
    fn values(&self, tensor: usize) -> Vec<f32> {
        if tensor == 0 {
            return self.samples.concat();
        }
        let start = match self.net.has_flat_input() {
            true => Network::features(self.net.input_shape().len()),
            false => panic!("vectors are watched here"),
        };
        let layers = &self.net.layers()[..tensor];
        let net = layers
            .iter()
            .fold(start, |net, layer| net.try_push(*layer.op()).expect("fits"));
        let weights = &self.weights[..net.weights()];
        session::infer(&net, weights, &self.samples.concat(), 1)
    }
}

/// Values around 0 with a few far outside, on one side further than on the other.
fn with_outliers(count: usize, seed: u64) -> Vec<f32> {
    let mut all: Vec<f32> = values(count, 1.0, seed)
        .into_iter()
        .zip(values(count, 1.0, seed + 1))
        .map(|(a, b)| a + b)
        .collect();
    all[count / 3] = 30.0;
    all[count / 2] = -20.0;
    all[count / 5] = 12.0;
    all
}

/// 5 tensors: the input, and what layers make of it. No ReLU follows a sum, so that each is calibrated by itself.
fn watched(bins: usize) -> Watched {
    let net = Network::features(4)
        .dense(6)
        .leaky_relu(0.1)
        .dense(3)
        .sigmoid();
    let samples = with_outliers(4000, 11)
        .chunks(4)
        .map(<[f32]>::to_vec)
        .collect();
    Watched::new(net, random_weights(&net, 5), samples, bins)
}

fn sorted(mut values: Vec<f32>) -> Vec<f32> {
    values.sort_by(f32::total_cmp);
    values
}

#[test]
fn ranges_are_those_of_all_values() {
    let mut watched = watched(0);
    let chosen = watched.choose(RangeMethod::MinMax);
    for (tensor, found) in chosen.iter().enumerate() {
        let all = sorted(watched.values(tensor));
        let [low, high] = [all[0], all[all.len() - 1]];
        let range = watched.ranges[tensor];
        assert_eq!((range.min(), range.max()), (low, high), "tensor {tensor}");
        let expected = match tensor {
            // A sigmoid's is not chosen.
            4 => Quantization::new(1.0 / 256.0, -128),
            _ => Quantization::of_range(low, high),
        };
        assert_eq!(*found, expected.expect("in range"), "tensor {tensor}");
    }
}

/// Every value is in the bin that has its place, and the bins are at most twice as wide as they need be.
#[test]
fn histograms_count_every_value() {
    for bins in [2, 6, 64, 512] {
        let mut watched = watched(bins);
        for tensor in 0..=4 {
            let all = watched.values(tensor);
            let most = all
                .iter()
                .fold(0.0_f32, |most, value| most.max(value.abs()));
            let (start, width, counts) = watched.histogram(tensor);
            let reach = -start;
            assert!(reach > most && reach <= 2.0 * most, "{reach} for {most}");
            assert_eq!(width, 2.0 * reach / bins as f32);
            assert_eq!(counts.iter().sum::<u32>() as usize, all.len());
            if bins.is_power_of_two() {
                let mut expected = vec![0; bins];
                for value in all {
                    expected
                        [((f64::from(value) - f64::from(start)) / f64::from(width)) as usize] += 1;
                }
                assert_eq!(counts, expected, "tensor {tensor}, {bins} bins");
            }
        }
    }
}

/// From 1e-30 to 1e30, one value of each decade and sign, and zeros in between: the bins double again and again, and lose none.
#[test]
fn histograms_grow_over_decades() {
    let net = Network::features(1).flatten();
    let mut samples = vec![vec![0.0]; 3];
    for decade in -30..=30 {
        let size = 10.0_f32.powi(decade);
        samples.extend([vec![size], vec![-size], vec![0.0]]);
    }
    for bins in [2, 4, 64, 100] {
        let mut watched = Watched::new(net, Vec::new(), samples.clone(), bins);
        for tensor in 0..=1 {
            let (start, width, counts) = watched.histogram(tensor);
            assert!(-start > 1e30 && -start <= 2e30);
            assert_eq!(counts.iter().sum::<u32>(), 3 + 3 * 61, "{bins} bins");
            // Zeros and what is above are in the upper half.
            let lower: u32 = counts[..bins / 2].iter().sum();
            assert_eq!(lower, 61, "{bins} bins");
            if bins.is_power_of_two() {
                let mut expected = vec![0; bins];
                for value in samples.concat() {
                    let bin = (f64::from(value) - f64::from(start)) / f64::from(width);
                    // Too small to be seen beside the start.
                    let below_zero = usize::from(value < 0.0 && bin as usize == bins / 2);
                    expected[bin as usize - below_zero] += 1;
                }
                assert_eq!(counts, expected, "{bins} bins");
            }
        }
    }
}

/// A share of the values lies outside at each end, to a bin: the ends are within a bin's width of the values in that place of all, sorted.
#[test]
fn percentiles_are_those_of_sorted_values() {
    for share in [1.0, 0.9999, 0.999, 0.99, 0.9] {
        let mut watched = watched(512);
        let chosen = watched.choose(RangeMethod::Percentile(share));
        for (tensor, own) in chosen.iter().enumerate().take(4) {
            let all = sorted(watched.values(tensor));
            let (_, width, _) = watched.histogram(tensor);
            let outside = ((1.0 - f64::from(share)) * all.len() as f64).floor() as usize;
            let [low, high] = [all[outside], all[all.len() - 1 - outside]];
            let (first, last) = own.range();
            let slack = width + own.scale();
            for (found, expected) in [(first, low.min(0.0)), (last, high.max(0.0))] {
                assert!(
                    (found - expected).abs() <= slack,
                    "{share}, tensor {tensor}: {found}, expected {expected}"
                );
            }
            if share < 0.9999 {
                let (min, max) = watched.choose(RangeMethod::MinMax)[tensor].range();
                assert!(last - first < max - min, "{share}, tensor {tensor}");
            }
        }
    }
}

/// The mean squared error of all values after a quantization and back.
fn mean_squared_error(own: Quantization, all: &[f32]) -> f64 {
    let errors = all.iter().map(|value| {
        let error = f64::from(own.dequantize(own.quantize(*value))) - f64::from(*value);
        error * error
    });
    errors.sum::<f64>() / all.len() as f64
}

/// No range among 100 has an error that is more than a twentieth smaller; the whole range has a larger one where there are outliers.
#[test]
fn mean_squared_errors_are_the_smallest() {
    let mut watched = watched(512);
    let chosen = watched.choose(RangeMethod::MeanSquaredError);
    let whole = watched.choose(RangeMethod::MinMax);
    for tensor in 0..=3 {
        let all = watched.values(tensor);
        let range = watched.ranges[tensor];
        let candidates = (1..=100).map(|percent| {
            let share = percent as f32 / 100.0;
            let own = Quantization::of_range(range.min() * share, range.max() * share);
            mean_squared_error(own.expect("finite"), &all)
        });
        let least = candidates.fold(f64::INFINITY, f64::min);
        let found = mean_squared_error(chosen[tensor], &all);
        println!(
            "tensor {tensor}: {found:.2e}, least {least:.2e}, whole range {:.2e}",
            mean_squared_error(whole[tensor], &all)
        );
        assert!(found <= 1.05 * least, "tensor {tensor}: {found}, {least}");
    }
    // Many small values and one large one, which 8 bits cannot serve both.
    let mut all = values(100_000, 0.01, 1);
    all[7] = 1.0;
    let samples = all.iter().map(|value| vec![*value]).collect();
    let mut watched = Watched::new(Network::features(1).flatten(), Vec::new(), samples, 2048);
    let chosen = watched.choose(RangeMethod::MeanSquaredError)[0];
    assert!(chosen.range().1 < 0.95, "{chosen:?}");
}

/// A calibration that is interrupted goes on where it was.
#[test]
fn a_calibration_goes_on() {
    let mut whole = watched(64);
    let net = whole.net;
    let (first, second) = whole.samples.split_at(400);
    let mut parts = Watched::new(net, whole.weights.clone(), first.to_vec(), 64);
    parts.with(|calibration| {
        for sample in second {
            calibration.observe(sample).expect("finite");
        }
    });
    assert_eq!(parts.ranges, whole.ranges);
    assert_eq!(parts.histograms, whole.histograms);
    let method = RangeMethod::MeanSquaredError;
    assert_eq!(parts.choose(method), whole.choose(method));
}

/// Signal, noise and clipping of every tensor, from all values, in f64.
#[test]
fn comparisons_are_those_of_all_values() {
    let net = Network::features(4)
        .dense(6)
        .relu()
        .dense(5)
        .leaky_relu(0.1)
        .dense(3)
        .sigmoid();
    let samples: Vec<Vec<f32>> = with_outliers(400, 3)
        .chunks(4)
        .map(<[f32]>::to_vec)
        .collect();
    let weights = random_weights(&net, 5);
    let mut watched = Watched::new(net, weights, samples, 512);
    // So that values are clipped.
    let chosen = watched.choose(RangeMethod::Percentile(0.97));
    let plan = Plan::new(&net);
    let quantized = words(&net, &watched.weights, &chosen);
    let mut float_workspace = vec![0.0; net.inference_workspace()];
    let mut workspace = vec![0; net.quantized_workspace()];
    let mut errors = vec![TensorError::default(); net.len() + 1];
    assert!(
        errors
            .iter()
            .all(|error| error.signal_to_noise().is_none() && error.clipped() == 0.0)
    );
    let real = Inference::new(&plan, &watched.weights, &mut float_workspace).expect("buffers fit");
    let session = Int8Inference::new(&plan, &quantized, &mut workspace).expect("buffers fit");
    let mut comparison = Comparison::new(real, session, &mut errors).expect("as many");
    let mut outputs = (Vec::new(), Vec::new());
    let mut inputs = Vec::new();
    for sample in &watched.samples {
        let mut input = [0; 4];
        let (real, quantized) = comparison.run(sample, &mut input).expect("one sample");
        outputs.0.extend_from_slice(real);
        outputs.1.extend_from_slice(quantized);
        inputs.extend(input);
    }
    assert_eq!(outputs.0, watched.values(net.len()));
    assert_eq!(outputs.1, infer(&net, &quantized, &inputs));

    for (tensor, error) in comparison.errors().iter().enumerate() {
        // The ReLU's work is done by the layer before it, which has no tensor of its own then.
        if tensor == 1 {
            assert_eq!(error.signal_to_noise(), None);
            continue;
        }
        // The network that ends here; its last layer must have the quantization that it has in the whole.
        let integers = if tensor == 0 {
            inputs.clone()
        } else {
            let start = Network::features(4);
            let part = net.layers()[..tensor]
                .iter()
                .fold(start, |net, layer| net.try_push(*layer.op()).expect("fits"));
            let own = words(
                &part,
                &watched.weights[..part.weights()],
                &chosen[..=tensor],
            );
            infer(&part, &own, &inputs)
        };
        let own = chosen[tensor];
        let all = watched.values(tensor);
        let (mut signal, mut noise, mut clipped) = (0.0, 0.0, 0);
        let (low, high) = (
            -128.5 - f64::from(own.zero_point()),
            127.5 - f64::from(own.zero_point()),
        );
        for (real, integer) in all.iter().zip(&integers) {
            let (real, scale) = (f64::from(*real), f64::from(own.scale()));
            let found = scale * (f64::from(*integer) - f64::from(own.zero_point()));
            signal += real * real;
            noise += (found - real) * (found - real);
            clipped += usize::from(real < low * scale || real > high * scale);
        }
        let decibels = 10.0 * (signal / noise).log10();
        let found = error.signal_to_noise().expect("it has values");
        println!(
            "tensor {tensor}: {found:.1} dB, {:.3} clipped",
            error.clipped()
        );
        assert!(
            (f64::from(found) - decibels).abs() < 1e-3,
            "tensor {tensor}: {found}, expected {decibels}"
        );
        let share = clipped as f32 / all.len() as f32;
        assert!(
            (error.clipped() - share).abs() < 1e-6,
            "tensor {tensor}: {}, expected {share}",
            error.clipped()
        );
        if (1..=5).contains(&tensor) {
            assert!(share > 0.0, "tensor {tensor}");
        }
    }
}
