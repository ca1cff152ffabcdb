//! Every layer of the library, forward and backward, against the `f64` reference.

use host_tests::golden::assert_close;
use host_tests::session::{self, Add, dropout_factors, infer, random_weights, to_array, values};
use host_tests::twin::Twin;
use lightlayers::Network;

/// The largest difference that is allowed, as a share of the tensor's largest value: 100 terms of a
/// sum, each rounded to 24 bits, and as much again in front of it.
const TOLERANCE: f64 = 2e-6;

/// Sizes around the widths of vectors and of the words of a ReLU's bits, and a single value.
const SIZES: [usize; 7] = [1, 7, 17, 32, 33, 65, 100];
const BATCHES: [usize; 4] = [1, 2, 5, 64];

/// Compares a layer with its twin; returns the worst error.
fn check(name: &str, start: Network, batch: usize, add: impl Fn(Network) -> Network) -> f64 {
    let (net, input) = (add(start), start.input_shape());
    let name = format!("{name}, {input} to {}, batch {batch}", net.output_shape());
    let seed = (input.len() * 1000 + net.output_shape().len() * 10 + batch) as u64;
    let weights = random_weights(&net, seed);
    let x = values(batch * input.len(), 2.0, seed + 1);
    let dy = values(batch * net.output_shape().len(), 1.0, seed + 2);

    let found = session::pass(start, &add, &weights, &x, &dy);
    let twin = Twin::new(&net, &weights);
    let expected = twin.pass(&to_array(&x, batch), &to_array(&dy, batch));
    let inferred = infer(&net, &weights, &x, 2.min(batch));
    assert_eq!(inferred, found.y, "{name}: inference and training");
    let close = |what: &str, found: &[f32], expected: &[f64]| {
        assert_close(&format!("{name}: {what}"), found, expected, TOLERANCE)
    };
    let rows = |array: ndarray::Array2<f64>| array.into_raw_vec_and_offset().0;
    close("y", &found.y, &rows(expected.y))
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
        let y = infer(&net, &vec![0.5; net.weights()], &[0.25, f32::NAN, -0.25], 1);
        assert!(y[1].is_nan(), "{:?}: {y:?}", net.layers()[0].op());
    }
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
