//! The library's gradients against the definition of a derivative.
//!
//! The differences are central ones of the loss that the `f64` twin computes, which is first held
//! against the library's own: differences of an `f32` loss would be too coarse to see 1e-3.

use host_tests::custom::pairs;
use host_tests::finite_difference;
use host_tests::session::{Add, Answer, Run, Samples, dropout_factors, random_weights, values};
use host_tests::twin::{Objective, Twin};
use lightlayers::loss::{Loss, MeanSquaredError, SoftmaxCrossEntropy};
use lightlayers::optim::Sgd;
use lightlayers::{Network, Op, Padding};
use ndarray::Array1;

/// The bar: a share of the parameter's own gradient, or of a thousandth of the largest gradient
/// where that is more, because the sums behind a gradient that is nearly 0 are rounded too.
const TOLERANCE: f64 = 1e-3;
const SMALLEST: f64 = 1e-3;

const BATCH: usize = 5;
const DROPOUT_SEED: u64 = 7;

/// Checks every gradient of a network; `l2` lists its layers with a penalty and their factors.
/// Returns the worst error.
fn check<L: Loss>(
    name: &str,
    net: &Network,
    l2: &[(usize, f64)],
    (loss, objective): (L, Objective),
) -> f64 {
    let seed = net.weights() as u64;
    let weights = random_weights(net, seed);
    let mut samples = Samples::classes(net, BATCH, seed + 1);
    if objective == Objective::SquaredError {
        for (n, (_, answer)) in samples.0.iter_mut().enumerate() {
            let targets = values(net.output_shape().len(), 1.0, seed + 2 + n as u64);
            *answer = Answer::Values(targets);
        }
    }
    // Batch normalization needs the whole batch at once.
    let normalizes = net
        .layers()
        .iter()
        .any(|layer| matches!(layer.op(), Op::BatchNorm { .. }));
    let run = Run {
        batch: BATCH,
        capacity: if normalizes { BATCH } else { 2 },
        dropout_seed: DROPOUT_SEED,
        ..Run::default()
    };
    let found = run.train(net, loss, Sgd, &weights, &samples).remove(0);

    let mut twin = Twin::new(net, &weights);
    for (index, factor) in l2 {
        twin.l2[*index] = *factor;
    }
    for (index, layer) in net.layers().iter().enumerate() {
        if matches!(layer.op(), Op::Dropout { .. }) {
            let factors = dropout_factors(net, index, DROPOUT_SEED, 1, BATCH);
            twin.dropout.insert(index, factors);
        }
    }
    let (x, target) = (samples.inputs(), samples.targets(net.output_shape().len()));
    let expected_loss = twin.loss(objective, &x, &target);
    let loss_error = (f64::from(found.loss) / expected_loss - 1.0).abs();
    assert!(
        loss_error <= 1e-5,
        "{name}: loss {}, expected {expected_loss}",
        found.loss
    );

    let places = twin.trainable();
    let at = Array1::from_iter(places.iter().map(|place| twin.weights[*place]));
    let numeric = finite_difference::gradient(&at, |moved| {
        let mut twin = twin.clone();
        for (place, weight) in places.iter().zip(moved) {
            twin.weights[*place] = *weight;
        }
        twin.loss(objective, &x, &target)
    });

    assert_eq!(found.gradients.len(), numeric.len(), "{name}");
    let largest = numeric.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
    assert!(largest > 1e-3, "{name}: a network that learns nothing");
    let mut worst = 0.0_f64;
    for (i, (found, numeric)) in found.gradients.iter().zip(&numeric).enumerate() {
        let error = (f64::from(*found) - numeric).abs() / numeric.abs().max(SMALLEST * largest);
        assert!(
            error <= TOLERANCE,
            "{name}, parameter {i}: expected {numeric}, found {found}, error {error:.1e}"
        );
        worst = worst.max(error);
    }
    println!("{name}: {} parameters, worst error {worst:.1e}", at.len());
    worst
}

fn cross_entropy() -> (SoftmaxCrossEntropy, Objective) {
    (SoftmaxCrossEntropy::new(), Objective::CrossEntropy(0.0))
}

const SQUARED_ERROR: (MeanSquaredError, Objective) = (MeanSquaredError, Objective::SquaredError);

/// Each layer between two that learn, so that its own gradients and the one that it hands down are
/// seen.
#[test]
fn every_layer() {
    let layers: [(&str, Add); 15] = [
        ("dense", |net| net.dense(7)),
        ("dense without bias", |net| net.dense(7).bias(false)),
        ("dense, one unit", |net| net.dense(1)),
        ("light_dense", |net| net.light_dense(7, 3)),
        ("light_dense of rank 1", |net| net.light_dense(7, 1)),
        ("light_dense without bias", |net| {
            net.light_dense(33, 2).bias(false)
        }),
        ("relu", |net| net.relu()),
        ("relu6", |net| net.relu6()),
        ("leaky_relu", |net| net.leaky_relu(0.2)),
        ("sigmoid", |net| net.sigmoid()),
        ("tanh", |net| net.tanh()),
        ("softmax", |net| net.softmax()),
        ("flatten", |net| net.flatten()),
        ("dropout", |net| net.dropout(0.4)),
        ("custom", pairs),
    ];
    for (name, add) in layers {
        let net = add(Network::features(6).dense(9)).dense(4);
        check(name, &net, &[], cross_entropy());
        check(&format!("{name}, squared error"), &net, &[], SQUARED_ERROR);
    }
}

/// As the first layer, whose input's gradient nobody needs, and as the last one.
#[test]
fn first_and_last_layers() {
    let last: [(&str, Add); 8] = [
        ("ends with light_dense", |net| net.light_dense(3, 2)),
        ("ends with sigmoid", |net| net.dense(3).sigmoid()),
        ("ends with tanh", |net| net.dense(3).tanh()),
        ("ends with softmax", |net| net.dense(3).softmax()),
        ("ends with leaky_relu", |net| net.dense(3).leaky_relu(0.1)),
        ("ends with dropout", |net| net.dense(3).dropout(0.2)),
        ("ends with flatten", |net| net.dense(3).sigmoid().flatten()),
        ("ends with a custom layer", |net| pairs(net.dense(6))),
    ];
    for (name, add) in last {
        let net = add(Network::features(5).dense(8).tanh());
        check(name, &net, &[], SQUARED_ERROR);
    }
    let first: [(&str, Add); 5] = [
        ("starts with light_dense", |net| net.light_dense(5, 2)),
        ("starts with a custom layer", pairs),
        ("starts with tanh", |net| net.tanh().dense(5)),
        ("starts with dropout", |net| net.dropout(0.3).dense(5)),
        ("starts with a frozen layer", |net| {
            net.light_dense(6, 2).frozen().relu().dense(5)
        }),
    ];
    for (name, add) in first {
        let net = add(Network::features(8)).sigmoid().dense(3);
        check(name, &net, &[], cross_entropy());
    }
}

#[test]
fn a_network_of_everything() {
    let net = Network::input(3, 3, 2)
        .softmax()
        .flatten()
        .dropout(0.1)
        .light_dense(20, 3)
        .l2(0.01)
        .relu6()
        .dense(16)
        .leaky_relu(0.1)
        .dropout(0.3)
        .light_dense(12, 2)
        .bias(false)
        .l2(0.003)
        .tanh()
        .dense(10)
        .frozen()
        .sigmoid();
    let net = pairs(net).dense(6).l2(0.02).relu().dense(4);
    let smoothed = SoftmaxCrossEntropy::with_label_smoothing(0.2).expect("in range");
    check(
        "everything",
        &net,
        &[(3, 0.01), (8, 0.003), (13, 0.02)],
        (smoothed, Objective::CrossEntropy(f64::from(0.2_f32))),
    );
}

/// Each layer of images between two that learn.
#[test]
fn every_layer_of_images() {
    let layers: [(&str, Add); 16] = [
        ("conv2d", |net| net.conv2d(3, 3)),
        ("conv2d, stride 2, no bias", |net| {
            net.conv2d(5, 3).stride(2).bias(false)
        }),
        ("conv2d, valid", |net| {
            net.conv2d(2, 2).padding(Padding::Valid)
        }),
        ("conv2d, dilation 2", |net| net.conv2d(2, 3).dilation(2)),
        ("light_conv2d", |net| net.light_conv2d(3, 3, 2)),
        ("light_conv2d, stride 2", |net| {
            net.light_conv2d(2, 2, 3).stride(2)
        }),
        ("light_conv2d, no bias", |net| {
            net.light_conv2d(2, 3, 1).bias(false)
        }),
        ("depthwise_conv2d", |net| net.depthwise_conv2d(3, 2)),
        ("separable_conv2d", |net| net.separable_conv2d(3, 3)),
        ("separable_conv2d, stride 2", |net| {
            net.separable_conv2d(3, 3).stride(2)
        }),
        ("batch_norm", |net| net.batch_norm()),
        ("frozen batch_norm", |net| net.batch_norm().frozen()),
        ("max_pool2d", |net| net.max_pool2d(2)),
        ("average_pool2d, same", |net| {
            net.average_pool2d(2).padding(Padding::Same)
        }),
        ("zero_padding2d", |net| net.zero_padding2d(1)),
        ("residual", |net| {
            net.residual(net.relu().conv2d(3, 3), net.conv2d(3, 1))
        }),
    ];
    let heads: [(&str, Add); 3] = [
        ("flatten", |net| net.flatten()),
        ("global_average_pool", |net| net.global_average_pool()),
        ("global_max_pool", |net| net.global_max_pool()),
    ];
    for (i, (name, add)) in layers.into_iter().enumerate() {
        let (head, to_vector) = heads[i % 3];
        let net = add(Network::input(5, 4, 1).conv2d(2, 2)).tanh();
        let net = to_vector(net).dense(3);
        check(&format!("{name}, {head}"), &net, &[], cross_entropy());
    }
}

/// Shortcuts inside of shortcuts from the same tensor, which gathers four gradients; and a body that
/// learns nothing beside a shortcut that does.
#[test]
fn residual_blocks_in_each_other() {
    let start = Network::input(4, 3, 1).conv2d(2, 3);
    let inner = start.residual(start.conv2d(2, 3).tanh(), start);
    let shortcut = start.residual(start, start.light_conv2d(2, 3, 1));
    let nested = start.residual(inner.depthwise_conv2d(2, 1), start);
    let branches = start.residual(inner.conv2d(2, 1), shortcut);
    let frozen = start.residual(
        start.light_conv2d(2, 3, 2).frozen().relu(),
        start.conv2d(2, 1),
    );
    let from_the_input = Network::input(4, 3, 2);
    let from_the_input = from_the_input.residual(from_the_input.conv2d(2, 3), from_the_input);
    let input = Network::input(4, 3, 2);
    let frozen_body = input.residual(
        input.light_conv2d(2, 3, 2).frozen().relu(),
        input.conv2d(2, 1),
    );
    for (name, net) in [
        ("nested", nested),
        ("both branches", branches),
        ("frozen body", frozen),
        ("from the input", from_the_input),
        ("frozen body from the input", frozen_body),
    ] {
        let net = net.sigmoid().global_average_pool().dense(2);
        check(&format!("residual, {name}"), &net, &[], SQUARED_ERROR);
    }
}

/// A small network of the paper's kind, with its penalty. The true gradient of a bias right before
/// batch normalization is 0, so there are none.
#[test]
fn a_light_residual_network() {
    let light = |net: Network, kernel| {
        let net = net.light_conv2d(4, kernel, 1).bias(false).l2(1e-2);
        net.batch_norm()
    };
    let net = Network::input(6, 5, 1);
    let body = light(light(net, 3).relu(), 3);
    let net = net.residual(body, light(net, 1)).relu().max_pool2d(2);
    let net = net.global_average_pool().light_dense(3, 2);
    let penalties = [(0, 0.01), (3, 0.01), (5, 0.01)];
    check("light residual network", &net, &penalties, cross_entropy());
}

/// The network of the examples: factored layers on digits.
#[test]
fn a_classifier_of_digits() {
    let net = Network::input(8, 8, 1)
        .flatten()
        .light_dense(16, 3)
        .relu()
        .light_dense(10, 3);
    check("digits", &net, &[], cross_entropy());
}
