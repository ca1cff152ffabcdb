//! Layers of two factors as two layers: the same outputs, and something to quantize.

use host_tests::session::{infer, message, random_weights, values};
use lightlayers::paper::{Kind, cifar, mnist};
use lightlayers::{Buffer, BuildError, Error, Network, Op, Padding};

/// Of the largest output.
const TOLERANCE: f32 = 1e-6;

fn split(net: &Network, weights: &[f32]) -> (Network, Vec<f32>) {
    let mut split_weights = weights.to_vec();
    net.split_factors_weights(&mut split_weights)
        .expect("as long");
    (net.split_factors(), split_weights)
}

fn factored(net: &Network) -> usize {
    let layers = net.layers().iter();
    let factored = layers.filter(|layer| {
        matches!(
            layer.op(),
            Op::LightDense { .. } | Op::LightConv2d { .. } | Op::SeparableConv2d { .. }
        )
    });
    factored.count()
}

/// Panics unless the outputs are the same before and after.
fn check_same(name: &str, before: (&Network, &[f32]), after: (&Network, &[f32]), tolerance: f32) {
    assert_eq!(before.0.output_shape(), after.0.output_shape(), "{name}");
    let x = values(2 * before.0.input_shape().len(), 1.0, 5);
    let [before, after] = [before, after].map(|(net, weights)| infer(net, weights, &x, 1));
    let largest = before.iter().fold(0.0, |largest, y| y.abs().max(largest));
    let differences = before.iter().zip(&after).map(|(a, b)| (a - b).abs());
    let worst = differences.fold(0.0, f32::max) / largest;
    println!("{name}: worst difference {worst:.1e}");
    // Written so that a NaN fails.
    assert!(largest > 0.0 && worst <= tolerance, "{name}: {worst:.1e}");
}

fn check(name: &str, net: &Network) -> Network {
    let weights = random_weights(net, 3);
    let (split, split_weights) = split(net, &weights);
    assert_eq!(split.weights(), net.weights(), "{name}");
    let costs = [split, *net].map(|net| net.multiply_accumulates());
    assert_eq!(costs[0], costs[1], "{name}");
    assert_eq!(factored(&split), 0, "{name}");
    check_same(name, (net, &weights), (&split, &split_weights), TOLERANCE);
    split
}

#[test]
fn every_layer_of_two_factors() {
    let image = Network::input(15, 14, 3);
    for bias in [true, false] {
        check(
            "light_dense",
            &Network::features(20).light_dense(7, 3).bias(bias),
        );
        check("light_conv2d", &image.light_conv2d(5, 3, 2).bias(bias));
        let net = image
            .light_conv2d(5, 3, 2)
            .stride(2)
            .padding(Padding::Valid);
        check("light_conv2d with a stride", &net.bias(bias));
        let net = image.light_conv2d(5, 3, 2).kernel_size(1, 3).dilation(2);
        check("light_conv2d with gaps", &net.bias(bias));
        check("separable_conv2d", &image.separable_conv2d(5, 3).bias(bias));
        let net = image
            .separable_conv2d(5, 3)
            .stride(2)
            .padding(Padding::Valid);
        check("separable_conv2d with a stride", &net.bias(bias));
    }
}

/// By hand: `light_dense` becomes two dense layers, of which the second has the bias.
#[test]
fn layers_and_biases_of_the_split_network() {
    let net = Network::input(4, 4, 1)
        .light_conv2d(3, 3, 2)
        .separable_conv2d(2, 3);
    let net = net.flatten().light_dense(5, 2);
    let split = check("by hand", &net);
    let layers: Vec<_> = split
        .layers()
        .iter()
        .map(|layer| (layer.name(), layer.weights()))
        .collect();
    let expected = [
        ("conv2d", 9 * 2 + 2),
        ("relu", 0),
        ("conv2d", 9 * 2 * 3 + 3),
        ("depthwise_conv2d", 9 * 3),
        ("conv2d", 3 * 2 + 2),
        ("flatten", 0),
        ("dense", 32 * 2),
        ("dense", 2 * 5 + 5),
    ];
    assert_eq!(layers, expected);
}

/// A branch's factors, and what reads the tensor before them.
#[test]
fn factors_in_residual_blocks() {
    let net = Network::input(6, 5, 2);
    let body = net.light_conv2d(4, 3, 2).relu().separable_conv2d(4, 3);
    let shortcut = net.light_conv2d(4, 1, 1);
    let block = net.residual(body, shortcut).relu();
    let body = block.separable_conv2d(4, 3).relu();
    let net = block.residual(block, body);
    let body = net.light_conv2d(4, 3, 1);
    let net = net
        .residual(body, net)
        .global_average_pool()
        .light_dense(3, 2);
    let split = check("residual", &net);
    // Three light_conv2d, two separable_conv2d, one light_dense: 2 layers more for each of the first, 1 for the others.
    assert_eq!(split.len(), net.len() + 3 * 2 + 2 + 1);
}

/// Splitting, and folding batch normalization, in either order.
#[test]
fn splitting_and_folding_compose() {
    for kind in [Kind::SeparableConv2d, Kind::Light { rank: 3 }] {
        for (name, net) in [("mnist", mnist(kind)), ("cifar", cifar(kind, 10))] {
            let name = format!("{name}, {kind:?}");
            check(&name, &net);
            let weights = random_weights(&net, 3);
            let fold = |net: &Network, weights: &[f32]| {
                let folded = net.fold_batch_norm();
                let mut folded_weights = vec![f32::NAN; folded.weights()];
                net.fold_batch_norm_weights(weights, &mut folded_weights)
                    .expect("both fit");
                (folded, folded_weights)
            };
            let folded = fold(&net, &weights);
            let folded_first = split(&folded.0, &folded.1);
            let split = split(&net, &weights);
            let split_first = fold(&split.0, &split.1);
            assert_eq!(folded_first.0.weights(), split_first.0.weights(), "{name}");
            for (order, (last, last_weights)) in
                [("folded first", folded_first), ("split first", split_first)]
            {
                let name = format!("{name}, {order}");
                let left = last
                    .layers()
                    .iter()
                    .filter(|layer| matches!(layer.op(), Op::BatchNorm { .. }));
                assert_eq!((factored(&last), left.count()), (0, 0), "{name}");
                // Folding rounds the weights once more.
                check_same(&name, (&net, &weights), (&last, &last_weights), 1e-5);
            }
        }
    }
}

#[test]
fn networks_that_cannot_be_split() {
    let net = (0..33).fold(Network::features(2), |net, _| net.light_dense(2, 1));
    assert_eq!(
        net.try_split_factors().err(),
        Some(BuildError::TooManyLayers)
    );
    let net = (0..32).fold(Network::features(2), |net, _| net.light_dense(2, 1));
    assert_eq!(net.try_split_factors().expect("64 layers").len(), 64);

    let error = Network::features(2)
        .light_dense(2, 1)
        .split_factors_weights(&mut [0.0; 5]);
    let expected = Error::Length {
        buffer: Buffer::Weights,
        expected: 6,
        found: 5,
    };
    assert_eq!(error, Err(expected));
    assert_eq!(message(&expected), "weights: expected 6 elements, found 5");
}
