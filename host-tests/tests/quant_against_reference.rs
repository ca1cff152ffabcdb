//! Every layer of quantized networks against the reference, which sums integers and rounds real
//! numbers once: any geometry, any scale, the ends of all ranges.

use std::fmt;

use host_tests::quantized::{Int8Twin, difference, infer, rounded, words};
use host_tests::sample;
use host_tests::session::values;
use host_tests::twin::Twin;
use lightlayers::quant::Quantization;
use lightlayers::{Border, Network, Op, Padding, WindowSize};
use ndarray::Array2;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// What an output may be off before the rounding, in steps: sums here stay below 2^23.
const SLACK: f64 = 2e-3;

/// Integers over the whole range; the first samples are -128 and 127 alone.
fn bytes(samples: usize, len: usize, seed: u64) -> Vec<i8> {
    let drawn = sample::uniform(samples * len, -128.0, 128.0, seed);
    let mut drawn: Vec<i8> = drawn.iter().map(|value| value.floor() as i8).collect();
    for (values, end) in drawn.chunks_mut(len).zip([-128, 127]) {
        values.fill(end);
    }
    drawn
}

fn quantization(scale: f64, zero_point: i8) -> Quantization {
    Quantization::new(scale as f32, zero_point).expect("a positive scale")
}

/// A network whose last layer is looked at.
#[derive(Clone)]
struct Case {
    net: Network,
    weights: Vec<f32>,
    quantizations: Vec<Quantization>,
    x: Vec<i8>,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ops: Vec<_> = self.net.layers().iter().map(|layer| layer.op()).collect();
        write!(
            f,
            "{} {ops:?} {:?}",
            self.net.input_shape(),
            self.quantizations
        )
    }
}

impl Case {
    /// Weights near 1, a filter of zeros, biases of the size of a sum of products.
    fn new(net: Network, input: Quantization, samples: usize, seed: u64) -> Self {
        let mut weights = values(net.weights(), 1.0, seed);
        let layer = net.layers().last().expect("a layer");
        let filters = usize::from(layer.output_shape().channels);
        if filters > 2 {
            weights
                .iter_mut()
                .skip(1)
                .step_by(filters)
                .for_each(|weight| *weight = 0.0);
        }
        Case {
            net,
            weights,
            quantizations: vec![input; net.len() + 1],
            x: bytes(samples, net.input_shape().len(), seed + 1),
        }
    }

    /// What the last layer computes in steps of its output, not rounded yet. The values before it are those of the reference.
    fn steps(&self) -> Vec<f64> {
        let twin = Int8Twin::new(&self.net, &self.weights, &self.quantizations);
        let trace = twin.trace(&self.x);
        let layer = self.net.layers().last().expect("a layer");
        let sources = layer
            .inputs()
            .map(|layer| layer.map_or(0, |layer| layer + 1));
        let inputs: Vec<&[i8]> = sources.map(|tensor| &trace[tensor][..]).collect();
        twin.steps(self.net.len() - 1, &inputs)
    }

    /// Gives the last layer's output the quantization that covers a share of what it computes.
    fn calibrate(&mut self, share: f64) {
        let unit = quantization(1.0, 0);
        *self.quantizations.last_mut().expect("a layer") = unit;
        let real = self.steps();
        let low = real.iter().copied().fold(0.0, f64::min) * share;
        let high = real.iter().copied().fold(0.0, f64::max) * share;
        let own = Quantization::of_range(low as f32, high as f32);
        *self.quantizations.last_mut().expect("a layer") = own.expect("finite");
    }

    fn infer(&self) -> Vec<i8> {
        let words = words(&self.net, &self.weights, &self.quantizations);
        infer(&self.net, &words, &self.x)
    }

    /// Panics if an output is further from the number before rounding than a half and `slack`. Returns the outputs, and how many are not that
    /// number rounded.
    fn check(&self, slack: f64) -> (Vec<i8>, usize) {
        let steps = self.steps();
        let found = self.infer();
        assert_eq!(found.len(), steps.len());
        for (at, (found, steps)) in found.iter().zip(&steps).enumerate() {
            let apart = (f64::from(*found) - steps.clamp(-128.0, 127.0)).abs();
            assert!(
                apart <= 0.5 + slack,
                "output {at}: {found}, expected {steps}: {self:?}"
            );
        }
        let expected: Vec<i8> = steps.into_iter().map(rounded).collect();
        let (count, _) = difference(&found, &expected);
        (found, count)
    }
}

/// The ends of the range, and what lies between.
fn zero_point() -> impl Strategy<Value = i8> {
    prop_oneof![Just(-128), Just(127), any::<i8>()]
}

fn window() -> impl Strategy<Value = WindowSize> {
    let padding = prop_oneof![Just(Padding::Same), Just(Padding::Valid)];
    let steps = prop_oneof![
        3 => (1..=3_u8, 1..=3_u8).prop_map(|stride| (stride, 1)),
        1 => (2..=3_u8).prop_map(|dilation| ((1, 1), dilation)),
    ];
    ((1..=5_u8, 1..=5_u8), steps, padding).prop_map(|(kernel, (stride, dilation), padding)| {
        WindowSize {
            kernel,
            stride,
            dilation,
            padding,
        }
    })
}

/// Layers with weights over images.
fn convolution() -> impl Strategy<Value = Option<Case>> {
    let sizes = (1..=9_usize, 1..=9_usize, 1..=9_usize, 1..=9_u16);
    let rest = (
        zero_point(),
        any::<bool>(),
        any::<u64>(),
        prop_oneof![Just(1.0), Just(0.4)],
    );
    (sizes, window(), any::<bool>(), rest).prop_map(
        |((height, width, channels, filters), window, depthwise, rest)| {
            let (zero_point, bias, seed, share) = rest;
            let op = if depthwise {
                Op::DepthwiseConv2d {
                    multiplier: 1 + filters % 3,
                    window,
                }
            } else {
                Op::Conv2d { filters, window }
            };
            // A window that does not fit its image is left out.
            let net = Network::input(height, width, channels).try_push(op).ok()?;
            let mut case = Case::new(net.bias(bias), quantization(0.02, zero_point), 3, seed >> 1);
            case.calibrate(share);
            Some(case)
        },
    )
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(3000))]

    #[test]
    fn convolutions_of_any_geometry(case in convolution()) {
        if let Some(case) = case {
            let (found, count) = case.check(SLACK);
            prop_assert!(count <= 1 + found.len() / 500, "{count} of {}", found.len());
        }
    }

    #[test]
    fn dense_layers_of_any_size(
        (inputs, units) in (1..=70_usize, 1..=20_usize),
        zero_point in zero_point(),
        bias in any::<bool>(),
        seed in 0..1_u64 << 60,
    ) {
        let net = Network::features(inputs).dense(units).bias(bias);
        let mut case = Case::new(net, quantization(0.02, zero_point), 3, seed);
        case.calibrate(1.0);
        let (_, count) = case.check(SLACK);
        prop_assert_eq!(count, 0);
    }

    /// The mean has its own scale, or windows the input's.
    #[test]
    fn means_of_any_geometry(
        (height, width, channels) in (1..=9_usize, 1..=9_usize, 1..=9_usize),
        window in window(),
        zero_point in zero_point(),
        share in prop_oneof![Just(1.0), Just(0.3)],
        seed in 0..1_u64 << 60,
    ) {
        let start = Network::input(height, width, channels);
        let input = quantization(0.3, zero_point);
        let mut case = Case::new(start.global_average_pool(), input, 3, seed);
        case.calibrate(share);
        // Where both scales are the same, many means are halves.
        case.check(1e-4);
        let window = WindowSize { dilation: 1, ..window };
        for op in [Op::AveragePool2d { window }, Op::MaxPool2d { window }] {
            if let Ok(net) = start.try_push(op) {
                let case = Case::new(net, input, 3, seed);
                prop_assert_eq!(case.infer(), case.steps().into_iter().map(rounded).collect::<Vec<_>>());
            }
        }
        let border = Border { top: 1, bottom: 0, left: 2, right: 1 };
        for net in [start.global_max_pool(), start.try_push(Op::ZeroPadding2d { border }).expect("fits")] {
            let case = Case::new(net, input, 3, seed);
            prop_assert_eq!(case.infer(), case.steps().into_iter().map(rounded).collect::<Vec<_>>());
        }
    }

    /// Scales of the branches and the sum within 6 powers of 2 of each other.
    #[test]
    fn sums_of_any_scales(
        (first, second, sum) in (-3.0..3.0_f64, -3.0..3.0_f64, -3.0..3.0_f64),
        zero_points in (zero_point(), zero_point(), zero_point()),
        swapped in any::<bool>(),
        seed in 0..1_u64 << 60,
    ) {
        let start = Network::input(3, 4, 3);
        let body = start.conv2d(3, 1);
        let net = match swapped {
            true => start.residual(start, body),
            false => start.residual(body, start),
        };
        let mut case = Case::new(net, quantization(first.exp2(), zero_points.0), 3, seed);
        case.quantizations[1] = quantization(second.exp2(), zero_points.1);
        case.quantizations[2] = quantization(sum.exp2(), zero_points.2);
        // The rounding of two multipliers: 255 · 64 halves of 2^-21 for each, and ratios up to 64 leave 15 bits.
        let (_, count) = case.check(2.0 * 255.0 * 0.5 / 32768.0);
        prop_assert!(count <= 1, "{count}");
    }
}

/// Kernels of at most 3 rows and at most 4 values in a row, which have a code of their own: all of them.
#[test]
fn narrow_kernels() {
    let (mut cases, mut values, mut differences) = (0, 0, 0);
    let shapes = [
        (1, 1),
        (1, 2),
        (1, 3),
        (1, 4),
        (2, 1),
        (2, 2),
        (3, 1),
        (4, 1),
    ];
    let images = [(1, 1), (2, 3), (4, 3), (5, 7), (7, 6)];
    let steps = [
        ((1, 1), 1),
        ((2, 2), 1),
        ((1, 3), 1),
        ((3, 1), 1),
        ((1, 1), 2),
        ((1, 1), 3),
    ];
    for (columns, channels) in shapes {
        for rows in 1..=3 {
            for (height, width) in images {
                for ((stride, dilation), padding) in steps
                    .into_iter()
                    .flat_map(|step| [(step, Padding::Same), (step, Padding::Valid)])
                {
                    let window = WindowSize {
                        kernel: (rows, columns),
                        stride,
                        dilation,
                        padding,
                    };
                    let start = Network::input(height, width, channels);
                    let Ok(net) = start.try_push(Op::Conv2d { filters: 3, window }) else {
                        continue;
                    };
                    cases += 1;
                    let mut case = Case::new(net, quantization(0.02, -13), 3, cases);
                    case.calibrate(1.0);
                    let (found, count) = case.check(SLACK);
                    values += found.len();
                    differences += count;
                }
            }
        }
    }
    println!("{differences} of {values} values are not the number rounded");
    assert!(cases > 1000 && differences * 2000 <= values);
}

/// Both ends are reached, by far and by little.
#[test]
fn sums_saturate() {
    for share in [1e-9, 1e-6, 1e-3, 0.5] {
        for net in [
            Network::input(5, 5, 3).conv2d(4, 3),
            Network::input(5, 5, 3).depthwise_conv2d(3, 1),
            Network::features(75).dense(9),
            Network::input(5, 5, 3).global_average_pool(),
        ] {
            let mut case = Case::new(net, quantization(0.1, 3), 4, 5);
            case.calibrate(share);
            let (found, _) = case.check(SLACK);
            assert!(
                found.contains(&-128) && found.contains(&127),
                "{share}: {net:?}"
            );
        }
    }
}

/// A scale of the output that is too fine by any number of powers of 2: positive sums are 127, negative ones -128.
#[test]
fn outputs_of_any_fineness_saturate_at_the_right_end() {
    for power in 0..100 {
        let output = quantization(0.5_f64.powi(power), 0);
        for net in [
            Network::input(1, 1, 2).global_average_pool(),
            Network::input(3, 5, 2).global_average_pool(),
            Network::input(1, 1, 2).conv2d(2, 1).bias(false),
            Network::features(2).dense(2).bias(false),
        ] {
            let mut case = Case::new(net, quantization(1.0, 0), 3, 7);
            case.weights = [1.0, 0.0, 0.0, 1.0][..net.weights()].to_vec();
            case.quantizations[1] = output;
            let pixels = case.x.len() / 6;
            case.x = (0..3)
                .flat_map(|sample| [[100, -100], [1, -1], [0, 90]][sample].repeat(pixels))
                .collect();
            let found = case.infer();
            let expected: Vec<i8> = [100, -100, 1, -1, 0, 90]
                .iter()
                .map(|value| rounded(f64::from(*value) * 2.0_f64.powi(power)))
                .collect();
            assert_eq!(found, expected, "2^-{power}: {net:?}");
        }
    }
}

/// One output whose sums are large beside one whose multiplier is: all that is far above 0 is 127.
#[test]
fn large_sums_beside_a_large_multiplier_saturate_at_the_right_end() {
    let net = Network::features(1).dense(2);
    for (power, sign) in (0..=12).flat_map(|power| [(power, 1), (power, -1)]) {
        let mut case = Case::new(net, quantization(1.0, 0), 1, 1);
        case.weights = [1.0, 0.75, 2089.0, 186.0]
            .map(|weight| sign as f32 * weight)
            .to_vec();
        case.quantizations[1] = quantization(10.0_f64.powi(-power), 0);
        case.x = vec![127];
        // 127 + 2089 and 95.25 + 186: both above 127.
        let expected = if sign > 0 { 127 } else { -128 };
        assert_eq!(case.infer(), [expected; 2], "1e-{power}, {sign}");
    }
}

/// Scales of inputs and weights from 1e-6 to 1e6, a channel's weights up to a million times another's, biases from nothing to much more
/// than all products. What is off: the weights by half a step, the bias by half a step, and the output by half a step and a quarter.
#[test]
fn scales_of_twelve_decades() {
    let decades = [-6, -4, -2, 0, 2, 4, 6].map(|decade: i32| 10.0_f64.powi(decade));
    let mut worst: f64 = 0.0;
    for (i, input) in decades.into_iter().enumerate() {
        for (j, size) in decades.into_iter().enumerate() {
            for (k, bias_size) in [0.0, 1e-6, 1e-2, 1.0, 1e4, 1e9].into_iter().enumerate() {
                let seed = (100 * i + 10 * j + k) as u64;
                let net = Network::features(20).dense(6);
                let mut case = Case::new(net, quantization(input, -20), 4, seed);
                for (at, weight) in case.weights.iter_mut().enumerate() {
                    // Channels of one size, and of six.
                    let own = if k % 2 == 0 {
                        1.0
                    } else {
                        10.0_f32.powi((at % 6) as i32 - 3)
                    };
                    *weight *= own
                        * if at < 120 {
                            size as f32
                        } else {
                            (size * input * bias_size) as f32
                        };
                }
                case.calibrate(1.0);
                let step = f64::from(case.quantizations[1].scale());
                let zero = f64::from(case.quantizations[1].zero_point());
                let real = case
                    .x
                    .iter()
                    .map(|x| input as f32 as f64 * (f64::from(*x) + 20.0));
                let real = Array2::from_shape_vec((4, 20), real.collect()).expect("4 samples");
                let expected = Twin::new(&net, &case.weights).outputs(&real);
                for (at, (found, expected)) in case.infer().iter().zip(&expected).enumerate() {
                    let (sample, channel) = (at / 6, at % 6);
                    let own = case.weights[..120].iter().skip(channel).step_by(6);
                    let largest =
                        own.fold(0.0_f64, |most, weight| most.max(f64::from(weight.abs())));
                    let bias = f64::from(case.weights[120 + channel]);
                    let scale =
                        (largest / 127.0).max(bias.abs() / input / 2.0_f64.powi(31) * 1.001);
                    let inputs = real.row(sample).iter().map(|x| x.abs()).sum::<f64>();
                    let weights_off = (inputs + input) * scale / 2.0 / step;
                    let steps = (expected / step + zero).clamp(-128.0, 127.0);
                    let apart = (f64::from(*found) - steps).abs();
                    worst = worst.max(apart - weights_off);
                    assert!(
                        apart <= 0.75 + weights_off,
                        "input {input}, weights {size}, biases {bias_size}, channel {channel}: {found}, expected {steps}, weights {weights_off}"
                    );
                }
            }
        }
    }
    println!("{worst} steps beyond what rounded weights may do");
}

/// The largest sums that there are: 65,535 products of 127 and 255, with biases of their size, of both signs.
#[test]
fn the_largest_sums() {
    const INPUTS: usize = 65_535;
    let net = Network::features(INPUTS).dense(4);
    for (zero_point, value) in [
        (-128, 127),
        (127, -128),
        (-128, -128),
        (127, 127),
        (0, -128),
    ] {
        for bias in [0.0, 1.0, 1e6] {
            let mut case = Case::new(net, quantization(1.0, zero_point), 2, 1);
            let signs = [1.0, -1.0, 1.0, 0.5];
            case.weights = signs.repeat(INPUTS);
            let largest = bias * INPUTS as f32;
            case.weights.extend([largest, -largest, -largest, 0.0]);
            case.x = vec![value; 2 * INPUTS];
            case.calibrate(1.0);
            // A sum of 2^31 errs by a quarter.
            case.check(0.25);
        }
    }
}

/// All values of an input, through every function of one value.
#[test]
fn tables_of_any_scale() {
    let all: Vec<i8> = (-128..=127).collect();
    let start = Network::features(256);
    let nets = [
        start.relu(),
        start.relu6(),
        start.leaky_relu(0.2),
        start.leaky_relu(0.0),
        start.sigmoid(),
        start.tanh(),
    ];
    for net in nets {
        for zero_point in [-128, -7, 0, 127] {
            for decade in -8..=8 {
                let input = quantization(3.0 * 10.0_f64.powi(decade), zero_point);
                let mut case = Case::new(net, input, 2, 1);
                case.x.clone_from(&all);
                case.calibrate(1.0);
                // The functions are those of f32.
                case.check(1e-3);
            }
        }
    }
}

/// Within 1 of real numbers, for scales from where all shares are the same to where one is everything.
#[test]
fn softmax_of_any_scale() {
    let mut differences = 0;
    for channels in [1, 2, 5, 10, 100] {
        for decade in -8..=4 {
            let net = Network::features(channels).softmax();
            let case = Case::new(net, quantization(3.0 * 10.0_f64.powi(decade), 11), 20, 3);
            let (_, count) = case.check(1.0);
            differences += count;
        }
    }
    println!("{differences} outputs are not the real number rounded");
}

/// What is not a number, and what is out of all ranges.
#[test]
fn quantizations() {
    let own = quantization(0.5, -3);
    let found = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        f32::MIN,
        0.0,
        0.24,
        0.26,
        -1.0,
    ]
    .map(|real| own.quantize(real));
    assert_eq!(found, [-3, 127, -128, 127, -128, -3, -3, -2, -5]);
    assert_eq!(own.range(), (-62.5, 65.0));
    for zero_point in [-128, 0, 127] {
        let own = quantization(1e30, zero_point);
        assert_eq!(own.quantize(f32::NAN), zero_point);
        assert_eq!(own.dequantize(zero_point), 0.0);
    }
    for value in -128..=127 {
        assert_eq!(own.quantize(own.dequantize(value)), value);
    }
}

/// From the range: 0 is exact, and both ends are within half a step.
#[test]
fn quantizations_of_ranges() {
    let mut ranges = vec![
        (0.0, 1.0),
        (-1.0, 0.0),
        (-1.0, 1.0),
        (2.0, 3.0),
        (-3.0, -2.0),
        (0.0, 0.0),
    ];
    for decade in -27..=37 {
        let size = 10.0_f32.powi(decade);
        ranges.extend([(-size, size), (-0.001 * size, size), (-size, 0.3 * size)]);
    }
    ranges.push((f32::MIN / 2.0, f32::MAX / 2.0));
    for (low, high) in ranges {
        let own = Quantization::of_range(low, high).expect("finite");
        assert_eq!(own.dequantize(own.zero_point()), 0.0);
        let (first, last) = own.range();
        let half = 0.5001 * f64::from(own.scale());
        let near = |found: f32, wanted: f32| (f64::from(found) - f64::from(wanted)).abs() <= half;
        if low != 0.0 || high != 0.0 {
            assert!(
                near(first, low.min(0.0)) && near(last, high.max(0.0)),
                "{low}..{high}: {own:?}"
            );
        }
    }
}
