//! Every layer of the library, forward and backward, against the `f64` reference.

use host_tests::custom::probe;
use host_tests::golden::assert_close;
use host_tests::reference::batch_norm::{self, MovingStatistics};
use host_tests::session::{
    self, Add, Buffers, Samples, Upstream, dropout_factors, infer, random_weights, to_array,
    try_infer, values,
};
use host_tests::twin::Twin;
use lightlayers::optim::Sgd;
use lightlayers::{
    Border, Error, Layer, Network, Op, Padding, Plan, Quantity, Trainer, WindowSize,
};

/// The largest difference that is allowed, as a share of the tensor's largest value: 100 terms of a
/// sum, each rounded to 24 bits, and as much again in front of it.
const TOLERANCE: f64 = 2e-6;

/// Sizes around the widths of vectors and of the words of a ReLU's bits, and a single value.
const SIZES: [usize; 7] = [1, 7, 17, 32, 33, 65, 100];
const BATCHES: [usize; 4] = [1, 2, 5, 64];

/// Compares a layer with its twin; returns the worst error.
fn check(name: &str, start: Network, batch: usize, add: impl Fn(Network) -> Network) -> f64 {
    check_within(TOLERANCE, name, start, batch, add)
}

fn check_within(
    tolerance: f64,
    name: &str,
    start: Network,
    batch: usize,
    add: impl Fn(Network) -> Network,
) -> f64 {
    let (net, input) = (add(start), start.input_shape());
    let name = format!("{name}, {input} to {}, batch {batch}", net.output_shape());
    let seed = (input.len() * 1000 + net.output_shape().len() * 10 + batch) as u64;
    let weights = random_weights(&net, seed);
    let x = values(batch * input.len(), 2.0, seed + 1);
    let dy = values(batch * net.output_shape().len(), 1.0, seed + 2);

    let found = session::pass(start, &add, &weights, &x, &dy);
    let twin = Twin::new(&net, &weights);
    let x64 = to_array(&x, batch);
    let expected = twin.pass(&x64, &to_array(&dy, batch));
    let inferred = infer(&net, &weights, &x, 2.min(batch));
    let learns = |layer: &Layer| matches!(layer.op(), Op::BatchNorm { .. }) && !layer.is_frozen();
    if !net.layers().iter().any(learns) {
        assert_eq!(inferred, found.y, "{name}: inference and training");
    }
    let close = |what: &str, found: &[f32], expected: &[f64]| {
        assert_close(&format!("{name}: {what}"), found, expected, tolerance)
    };
    let rows = |array: ndarray::Array2<f64>| array.into_raw_vec_and_offset().0;
    close("y", &found.y, &rows(expected.y))
        .max(close("at inference", &inferred, &rows(twin.outputs(&x64))))
        .max(close("dx", &found.dx, &rows(expected.dx)))
        .max(close("gradients", &found.gradients, &expected.gradients))
}

fn report(layer: &str, errors: impl IntoIterator<Item = f64>) {
    let worst = errors.into_iter().fold(0.0, f64::max);
    println!("{layer}: worst error {worst:.1e}");
}

#[test]
fn dense() {
    let mut errors = Vec::new();
    for (i, inputs) in SIZES.into_iter().enumerate() {
        for (j, units) in SIZES.into_iter().enumerate() {
            let (batch, bias) = (BATCHES[(i + j) % 4], (i + j / 2) % 2 == 0);
            let add = |net: Network| net.dense(units).bias(bias);
            errors.push(check("dense", Network::features(inputs), batch, add));
        }
    }
    report("dense", errors);
}

#[test]
fn light_dense() {
    let mut errors = Vec::new();
    for (i, inputs) in SIZES.into_iter().enumerate() {
        for (j, units) in SIZES.into_iter().enumerate() {
            let (batch, bias) = (BATCHES[(i + j) % 4], (i + j / 2) % 2 == 0);
            let rank = [1, 2, 3, 8, 11][(2 * i + j) % 5];
            let add = |net: Network| net.light_dense(units, rank).bias(bias);
            let name = format!("light_dense of rank {rank}");
            errors.push(check(&name, Network::features(inputs), batch, add));
        }
    }
    report("light_dense", errors);
}

#[test]
fn layers_without_weights() {
    let layers: [(&str, Add); 9] = [
        ("relu", Network::relu),
        ("relu6", |net| net.relu6()),
        ("leaky_relu(0.3)", |net| net.leaky_relu(0.3)),
        ("leaky_relu(0)", |net| net.leaky_relu(0.0)),
        ("leaky_relu(1)", |net| net.leaky_relu(1.0)),
        ("sigmoid", Network::sigmoid),
        ("tanh", Network::tanh),
        ("softmax", Network::softmax),
        ("flatten", Network::flatten),
    ];
    for (name, add) in layers {
        let mut errors = Vec::new();
        for batch in BATCHES {
            for size in SIZES {
                errors.push(check(name, Network::features(size), batch, add));
            }
            errors.push(check(name, Network::input(5, 3, 4), batch, add));
            errors.push(check(name, Network::input(1, 9, 1), batch, add));
        }
        report(name, errors);
    }
}

/// Images of one pixel, of one row, of one column, of odd and even sizes; more channels than a block
/// of a kernel takes.
const IMAGES: [(usize, usize, usize); 8] = [
    (1, 1, 3),
    (1, 6, 2),
    (5, 1, 1),
    (2, 2, 1),
    (5, 7, 3),
    (8, 8, 2),
    (9, 6, 5),
    (4, 3, 17),
];

/// Batches whose samples lie side by side in groups of 16, 8 and 4, and apart.
const IMAGE_BATCHES: [usize; 7] = [1, 3, 4, 8, 13, 16, 29];

/// Windows that fit an image: kernels from 1x1 to 5x5, square or not, strides, gaps, both paddings.
fn windows(height: usize, width: usize) -> Vec<WindowSize> {
    let mut windows = Vec::new();
    for kernel in [(1, 1), (2, 2), (3, 3), (5, 5), (1, 3), (4, 2)] {
        for (stride, dilation) in [((1, 1), 1), ((2, 2), 1), ((3, 1), 1), ((1, 1), 2)] {
            for padding in [Padding::Same, Padding::Valid] {
                let reach = |kernel: u8| (usize::from(kernel) - 1) * usize::from(dilation) + 1;
                let fits = reach(kernel.0) <= height && reach(kernel.1) <= width;
                if padding == Padding::Same || fits {
                    windows.push(WindowSize {
                        kernel,
                        stride,
                        dilation,
                        padding,
                    });
                }
            }
        }
    }
    windows
}

/// Checks a layer on all images under all windows, batches in turn. What does not fit is left out.
fn check_windows(name: &str, layer: impl Fn(WindowSize, usize) -> Op, has_bias: bool) {
    let (mut errors, mut turn) = (Vec::new(), 0);
    for (height, width, channels) in IMAGES {
        let start = Network::input(height, width, channels);
        for window in windows(height, width) {
            turn += 1;
            let op = layer(window, 1 + turn % 6);
            if start.try_push(op).is_err() {
                continue;
            }
            let add = |net: Network| {
                let net = net.try_push(op).expect("fits");
                if has_bias {
                    net.bias(turn % 3 != 0)
                } else {
                    net
                }
            };
            let name = format!("{name}, {window:?}");
            errors.push(check(&name, start, IMAGE_BATCHES[turn % 7], add));
        }
    }
    assert!(errors.len() > 150, "{name}: {} cases", errors.len());
    report(name, errors);
}

#[test]
fn conv2d() {
    check_windows(
        "conv2d",
        |window, filters| Op::Conv2d {
            filters: filters as u16,
            window,
        },
        true,
    );
}

/// More channels than a kernel has zeros to put in the place of padding, for a group of 16 samples and for a single one.
#[test]
fn conv2d_of_many_channels() {
    let start = Network::input(3, 3, 300);
    let batches = [1, 16, 17];
    let errors = batches.map(|batch| check("conv2d", start, batch, |net| net.conv2d(2, 3)));
    report("conv2d of many channels", errors);

    // Its gradient gathers from as many.
    let start = Network::input(3, 3, 2);
    let errors = batches.map(|batch| check("conv2d", start, batch, |net| net.conv2d(300, 3)));
    report("conv2d of many filters", errors);
}

#[test]
fn light_conv2d() {
    check_windows(
        "light_conv2d",
        |window, filters| Op::LightConv2d {
            filters: filters as u16,
            rank: 1 + filters as u16 % 4,
            window,
        },
        true,
    );
}

#[test]
fn depthwise_conv2d() {
    check_windows(
        "depthwise_conv2d",
        |window, filters| Op::DepthwiseConv2d {
            multiplier: 1 + filters as u16 % 3,
            window,
        },
        true,
    );
}

#[test]
fn separable_conv2d() {
    check_windows(
        "separable_conv2d",
        |window, filters| Op::SeparableConv2d {
            filters: filters as u16,
            multiplier: 1 + filters as u16 % 3,
            window,
        },
        true,
    );
}

#[test]
fn pooling_of_windows() {
    let without_gaps = |window| WindowSize {
        dilation: 1,
        ..window
    };
    let max = |window, _| Op::MaxPool2d {
        window: without_gaps(window),
    };
    check_windows("max_pool2d", max, false);
    let average = |window, _| Op::AveragePool2d {
        window: without_gaps(window),
    };
    check_windows("average_pool2d", average, false);
}

#[test]
fn layers_of_images_without_windows() {
    let border = Border {
        top: 2,
        bottom: 0,
        left: 1,
        right: 3,
    };
    let pad = |net: Network| net.try_push(Op::ZeroPadding2d { border }).expect("fits");
    let layers: [(&str, &dyn Fn(Network) -> Network); 6] = [
        ("global_average_pool", &|net| net.global_average_pool()),
        ("global_max_pool", &|net| net.global_max_pool()),
        ("zero_padding2d", &pad),
        ("zero_padding2d(1)", &|net| net.zero_padding2d(1)),
        ("sum of sigmoid and itself", &|net| {
            net.residual(net.sigmoid(), net)
        }),
        ("sum of itself and tanh", &|net| {
            net.residual(net, net.tanh())
        }),
    ];
    for (name, add) in layers {
        let mut errors = Vec::new();
        for (height, width, channels) in IMAGES {
            for batch in IMAGE_BATCHES {
                let start = Network::input(height, width, channels);
                errors.push(check(name, start, batch, add));
            }
        }
        report(name, errors);
    }
}

/// The gradient of batch normalization is a difference of nearly equal terms where few values share
/// a channel; two of them always become -1 and 1.
const NORM_TOLERANCE: f64 = 1e-5;

#[test]
fn batch_norm() {
    let (mut learning, mut frozen) = (Vec::new(), Vec::new());
    let images = IMAGES.map(|(height, width, channels)| Network::input(height, width, channels));
    let vectors = [1, 7, 33].map(Network::features);
    for start in images.into_iter().chain(vectors) {
        let shape = start.input_shape();
        let pixels = usize::from(shape.height) * usize::from(shape.width);
        for batch in IMAGE_BATCHES {
            let add = |net: Network| net.batch_norm_with(0.9, 1e-3);
            let fixed = |net: Network| add(net).frozen();
            // Of a few values alone, the largest may be nearly 0.
            if batch * shape.len() > 8 {
                frozen.push(check("frozen batch_norm", start, batch, fixed));
            }
            // A single value for each channel is an error.
            if batch * pixels == 1 {
                continue;
            }
            if batch * pixels > 2 {
                learning.push(check_within(
                    NORM_TOLERANCE,
                    "batch_norm",
                    start,
                    batch,
                    add,
                ));
            }
            check_moving_statistics(start, batch);
        }
    }
    report("batch_norm", learning);
    report("frozen batch_norm", frozen);
}

/// After one step they are a share of what they were and the rest of what the batch has; frozen ones
/// stay.
fn check_moving_statistics(start: Network, batch: usize) {
    let net = start.batch_norm_with(0.9, 1e-3);
    let channels = usize::from(net.output_shape().channels);
    let weights = random_weights(&net, batch as u64);
    let x = values(batch * net.input_shape().len(), 2.0, 1);
    let dy = vec![1.0; x.len()];
    let array = |values: &[f32]| {
        values
            .iter()
            .copied()
            .map(f64::from)
            .collect::<Vec<_>>()
            .into()
    };
    let statistics = |values: &[f32]| MovingStatistics {
        mean: array(&values[..channels]),
        variance: array(&values[channels..]),
    };
    let before = statistics(&weights[2 * channels..]);
    let (gamma, beta) = (
        array(&weights[..channels]),
        array(&weights[channels..2 * channels]),
    );
    let (momentum, epsilon) = (f64::from(0.9_f32), f64::from(1e-3_f32));
    let shape = net.input_shape();
    let expected = if start.has_flat_input() {
        let x = to_array(&x, batch);
        batch_norm::forward_training(&x, &gamma, &beta, &before, momentum, epsilon).moving
    } else {
        let [height, width] = [shape.height, shape.width].map(usize::from);
        let x = to_array(&x, batch);
        let x = x.into_shape_with_order((batch, height, width, channels));
        let x = x.expect("whole images");
        batch_norm::forward_training(&x, &gamma, &beta, &before, momentum, epsilon).moving
    };
    let add = |net: Network| net.batch_norm_with(0.9, 1e-3);
    let found = session::pass(start, add, &weights, &x, &dy).moving;
    let name = format!("moving statistics of {shape}, batch {batch}");
    let expected = [expected.mean.to_vec(), expected.variance.to_vec()].concat();
    assert_close(&name, &found, &expected, TOLERANCE);
    let found = session::pass(start, |net| add(net).frozen(), &weights, &x, &dy).moving;
    assert_eq!(found, weights[2 * channels..], "{name}, frozen");
}

/// The whole gradient goes to the first of equal largest values.
#[test]
fn equal_values_under_a_maximum() {
    let start = Network::input(2, 2, 1);
    for add in [(|net: Network| net.max_pool2d(2)) as Add, |net| {
        net.global_max_pool()
    }] {
        let pass = session::pass(start, add, &[], &[1.0, 3.0, 3.0, 3.0], &[5.0]);
        assert_eq!(pass.y, [3.0]);
        assert_eq!(pass.dx, [0.0, 5.0, 0.0, 0.0]);
    }
}

/// The moving statistics start as those of values of mean 0 and variance 1.
#[test]
fn batch_norm_starts_as_the_identity() {
    let net = Network::input(2, 2, 3)
        .conv2d(2, 1)
        .batch_norm()
        .conv2d(1, 1)
        .batch_norm();
    let mut weights = vec![f32::NAN; net.weights()];
    net.initialize(&mut weights, 1).expect("as long");
    // 3 · 2 + 2, gamma and beta of 2, 2 + 1, gamma and beta of 1; then the statistics.
    assert_eq!(weights[8..12], [1.0, 1.0, 0.0, 0.0]);
    assert_eq!(weights[15..], [1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0]);
}

/// Layers whose law bends away from a straight line only far from 0, or is 0 there.
#[test]
fn activations_far_from_zero() {
    let x = [
        -1e30, -100.0, -20.0, -7.0, 0.0, 5.9, 6.0, 6.1, 20.0, 100.0, 1e30,
    ];
    let dy = [1.0; 11];
    let outputs = |add: Add| {
        let pass = session::pass(Network::features(11), add, &[], &x, &dy);
        (pass.y, pass.dx)
    };

    let (y, dx) = outputs(|net| net.relu());
    assert_eq!(
        y,
        [0.0, 0.0, 0.0, 0.0, 0.0, 5.9, 6.0, 6.1, 20.0, 100.0, 1e30]
    );
    assert_eq!(dx, [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
    let (y, dx) = outputs(|net| net.relu6());
    assert_eq!(y, [0.0, 0.0, 0.0, 0.0, 0.0, 5.9, 6.0, 6.0, 6.0, 6.0, 6.0]);
    assert_eq!(dx, [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    let (y, dx) = outputs(|net| net.leaky_relu(0.5));
    assert_eq!(
        y,
        [
            -5e29, -50.0, -10.0, -3.5, 0.0, 5.9, 6.0, 6.1, 20.0, 100.0, 1e30
        ]
    );
    assert_eq!(dx, [0.5, 0.5, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
    // exp(100) is infinite in f32; its inverse, 4e-44, becomes 0, and nothing becomes NaN.
    let (y, dx) = outputs(|net| net.sigmoid());
    assert_eq!([y[0], y[1], y[4], y[9], y[10]], [0.0, 0.0, 0.5, 1.0, 1.0]);
    assert_eq!([dx[0], dx[4], dx[9], dx[10]], [0.0, 0.25, 0.0, 0.0]);
    let (y, dx) = outputs(|net| net.tanh());
    assert_eq!([y[0], y[1], y[4], y[9]], [-1.0, -1.0, 0.0, 1.0]);
    assert_eq!([dx[0], dx[4], dx[9]], [0.0, 1.0, 0.0]);
    let (y, dx) = outputs(|net| net.softmax());
    assert_eq!(y[..10], [0.0; 10]);
    assert_eq!((y[10], &dx[..]), (1.0, &[0.0; 11][..]));
}

#[test]
fn not_a_number_goes_through_every_layer() {
    let layers: [Add; 9] = [
        |net| net.dense(2),
        |net| net.light_dense(2, 1),
        |net| net.relu(),
        |net| net.relu6(),
        |net| net.leaky_relu(0.0),
        |net| net.sigmoid(),
        |net| net.tanh(),
        |net| net.softmax(),
        |net| net.dropout(0.5),
    ];
    for add in layers {
        let net = add(Network::features(3));
        let y = try_infer(&net, &vec![0.5; net.weights()], &[0.25, f32::NAN, -0.25], 1);
        assert_eq!(y, Err(Error::NonFiniteOutput), "{:?}", net.layers()[0].op());
    }

    let layers: [Add; 11] = [
        |net| net.conv2d(1, 3),
        |net| net.light_conv2d(1, 3, 2),
        |net| net.depthwise_conv2d(3, 1),
        |net| net.separable_conv2d(1, 3),
        |net| net.batch_norm(),
        |net| net.max_pool2d(3),
        |net| net.average_pool2d(3),
        |net| net.global_average_pool(),
        |net| net.global_max_pool(),
        |net| net.zero_padding2d(1),
        |net| net.residual(net.relu(), net),
    ];
    for add in layers {
        let net = add(Network::input(3, 3, 1));
        // Not the last value, and a larger one behind it; one sample, and many side by side.
        let x = [0.5, -1.0, 0.25, 1.0, f32::NAN, 2.0, 0.5, 3.0, -2.0];
        let weights = vec![0.5; net.weights()];
        let op = net.layers()[0].op();
        let y = try_infer(&net, &weights, &x, 1);
        assert_eq!(y, Err(Error::NonFiniteOutput), "{op:?}");
        for y in sixteen_at_once(add, &x).chunks(net.output_shape().len()) {
            assert!(y.iter().any(|y| y.is_nan()), "{op:?}, 16 at once: {y:?}");
        }
    }
}

/// The outputs in training for 16 times the same image, which lie side by side. Data sets hold finite
/// values alone: the image comes from the weights of a probe.
fn sixteen_at_once(add: Add, image: &[f32; 9]) -> Vec<f32> {
    const BATCH: usize = 16;
    let net = add(probe(Network::input(3, 3, 1), BATCH));
    let mut weights = image.repeat(BATCH);
    weights.resize(net.weights(), 0.5);
    let zeros = vec![0.0; BATCH * net.output_shape().len()];
    let mut samples = Samples::from_rows(&[0.0; 9 * BATCH], &zeros, BATCH);
    let (plan, upstream) = (Plan::new(&net), Upstream::default());
    let mut buffers = Buffers::new::<Sgd>(&net, &weights, BATCH);
    let trainer = Trainer::new(&plan, &upstream, Sgd, buffers.memory());
    let step = trainer
        .expect("buffers fit")
        .step(&mut samples, 0..BATCH, 0.0);
    let quantity = Quantity::Loss;
    assert_eq!(step, Err(Error::NonFinite { quantity, step: 1 }));
    upstream.take_outputs()
}

/// In training each value is 0 or `x / (1 - rate)`, the gradient alike, and 0 as often as the rate
/// says.
#[test]
fn dropout() {
    const VALUES: usize = 1000;
    const BATCH: usize = 5;
    for rate in [0.0, 0.1_f32, 0.5, 0.9] {
        let net = Network::features(VALUES).flatten().dropout(rate);
        let add = |net: Network| net.dropout(rate);
        let x = values(VALUES * BATCH, 2.0, 1);
        let dy = values(VALUES * BATCH, 1.0, 2);
        let pass = session::pass(Network::features(VALUES), add, &[], &x, &dy);
        let factors = dropout_factors(&net, 1, 0, 1, BATCH);

        let kept = 1.0 / (1.0 - rate);
        let mut dropped = 0;
        for (i, factor) in factors.iter().enumerate() {
            let factor = *factor as f32;
            assert!(factor == 0.0 || factor == kept, "{factor}");
            assert_eq!(
                (pass.y[i], pass.dx[i]),
                (x[i] * factor, dy[i] * factor),
                "{i}"
            );
            dropped += usize::from(factor == 0.0);
        }
        // Binomial: within four standard deviations.
        let (draws, rate) = ((VALUES * BATCH) as f64, f64::from(rate));
        let distance = (dropped as f64 - draws * rate).abs();
        assert!(
            distance <= 4.0 * (draws * rate * (1.0 - rate)).sqrt(),
            "rate {rate}: {dropped}"
        );
        assert_eq!(infer(&net, &[], &x, 1), x, "rate {rate}: inference");
    }
}

/// Seed, step, layer and sample each make another mask; half of two masks' values differ.
#[test]
fn dropout_masks_are_independent() {
    const VALUES: usize = 1000;
    let net = Network::features(VALUES).dropout(0.5).dropout(0.5);
    let masks = [
        dropout_factors(&net, 0, 0, 1, 2),
        dropout_factors(&net, 0, 1, 1, 2),
        dropout_factors(&net, 0, 0, 2, 2),
        dropout_factors(&net, 1, 0, 1, 2),
    ];
    let rows: Vec<_> = masks.iter().flat_map(|mask| mask.rows()).collect();
    for (i, one) in rows.iter().enumerate() {
        for (j, other) in rows.iter().enumerate().skip(i + 1) {
            let differ = one.iter().zip(other).filter(|(a, b)| a != b).count();
            // 500 ± 5 standard deviations of sqrt(1000 / 4).
            assert!((421..=579).contains(&differ), "{i} and {j}: {differ}");
        }
    }
    assert_eq!(
        masks[0],
        dropout_factors(&net, 0, 0, 1, 2),
        "the same once more"
    );
}
