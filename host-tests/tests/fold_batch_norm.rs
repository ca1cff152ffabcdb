//! Batch normalization folded into the layer before it: the same outputs, fewer weights.

use host_tests::session::{Run, Samples, infer, message, random_weights, values};
use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::optim::Sgd;
use lightlayers::paper::{Kind, cifar, mnist};
use lightlayers::{Buffer, Error, Network, Op, Padding};

/// Of the largest output.
const TOLERANCE: f32 = 1e-5;

fn fold(net: &Network, weights: &[f32]) -> (Network, Vec<f32>) {
    let folded = net.fold_batch_norm();
    let mut folded_weights = vec![f32::NAN; folded.weights()];
    net.fold_batch_norm_weights(weights, &mut folded_weights)
        .expect("both buffers fit");
    (folded, folded_weights)
}

/// Runs the network before and after folding; returns the folded one.
fn compare(name: &str, net: &Network, weights: &[f32]) -> Network {
    let (folded, folded_weights) = fold(net, weights);
    assert_eq!(folded.output_shape(), net.output_shape(), "{name}");
    let x = values(2 * net.input_shape().len(), 1.0, 5);
    let before = infer(net, weights, &x, 1);
    let after = infer(&folded, &folded_weights, &x, 1);
    let largest = before.iter().fold(0.0, |largest, y| y.abs().max(largest));
    let differences = before.iter().zip(&after).map(|(a, b)| (a - b).abs());
    let worst = differences.fold(0.0, f32::max) / largest;
    println!("{name}: worst difference {worst:.1e}");
    // Written so that a NaN fails.
    assert!(largest > 0.0 && worst <= TOLERANCE, "{name}: {worst:.1e}");
    folded
}

fn batch_norms(net: &Network) -> usize {
    let layers = net.layers().iter();
    let kept = layers.filter(|layer| matches!(layer.op(), Op::BatchNorm { .. }));
    kept.count()
}

const KINDS: [Kind; 3] = [Kind::Conv2d, Kind::SeparableConv2d, Kind::Light { rank: 3 }];

/// Two batch normalizations of 8, 16 and 32 channels hold 4 weights for each: `4 · 2 · 56 = 448`.
#[test]
fn networks_for_mnist_keep_their_outputs() {
    for kind in KINDS {
        let net = mnist(kind);
        let folded = compare(&format!("{kind:?}"), &net, &random_weights(&net, 1));
        assert_eq!(folded.weights(), net.weights() - 448);
        assert_eq!((folded.len(), batch_norms(&folded)), (net.len() - 6, 0));
        assert_eq!(folded.multiply_accumulates(), net.multiply_accumulates());
    }
}

/// In a residual block the body's and the shortcut's too: `4 · 3 · (16 + 32 + 64) = 1,344`.
#[test]
fn networks_for_cifar_keep_their_outputs() {
    for kind in [Kind::SeparableConv2d, Kind::Light { rank: 2 }] {
        let net = cifar(kind, 10);
        let folded = compare(&format!("{kind:?}"), &net, &random_weights(&net, 2));
        assert_eq!(folded.weights(), net.weights() - 1344);
        assert_eq!((folded.len(), batch_norms(&folded)), (net.len() - 9, 0));
    }
}

#[test]
fn a_trained_network_keeps_its_outputs() {
    let net = small();
    let run = Run {
        batch: 4,
        capacity: 4,
        steps: 5,
        rate: 0.05,
        ..Run::default()
    };
    let weights = random_weights(&net, 3);
    let samples = Samples::classes(&net, 12, 4);
    let taken = run.train(&net, SoftmaxCrossEntropy::new(), Sgd, &weights, &samples);
    let trained = &taken.last().expect("steps").weights;
    assert_ne!(*trained, weights);
    let folded = compare("trained", &net, trained);
    assert_eq!(batch_norms(&folded), 0);
}

/// Every layer that a batch normalization folds into, without biases too.
fn small() -> Network {
    let net = Network::input(9, 8, 2);
    let net = net.conv2d(4, 3).bias(false).batch_norm().relu();
    let net = net.depthwise_conv2d(3, 2).stride(2).batch_norm().relu6();
    let net = net
        .light_conv2d(5, 3, 2)
        .bias(false)
        .batch_norm()
        .leaky_relu(0.1);
    let net = net
        .separable_conv2d(6, 3)
        .padding(Padding::Valid)
        .batch_norm()
        .relu();
    let net = net.flatten().light_dense(7, 2).bias(false).batch_norm();
    net.tanh().dense(3).batch_norm()
}

/// By hand, kernels + biases: conv2d `9·2·4 + 4`, depthwise `9·8 + 8`, light `9·8·2 + 2 + 9·2·5 + 5`, separable
/// `9·5 + 5·6 + 6`, light_dense of `3·2·6 = 36` inputs `36·2 + 2·7 + 7`, dense `7·3 + 3`.
#[test]
fn layers_without_bias_get_one() {
    let net = small();
    let folded = compare("small", &net, &random_weights(&net, 6));
    let weights: Vec<usize> = folded
        .layers()
        .iter()
        .map(|layer| layer.weights())
        .collect();
    let expected = [76, 0, 80, 0, 241, 0, 81, 0, 0, 93, 0, 24];
    assert_eq!(weights, expected);
    assert_eq!(folded.weights(), expected.iter().sum::<usize>());
}

/// One element by hand: scale = 3 / sqrt(3.75 + 0.25) = 1.5, bias = (0.5 - 2.5) · 1.5 + 1 = -2.
#[test]
fn the_law_by_hand() {
    let net = Network::features(2).dense(1).batch_norm_with(0.9, 0.25);
    let (folded, weights) = fold(&net, &[4.0, -2.0, 0.5, 3.0, 1.0, 2.5, 3.75]);
    assert_eq!((folded.len(), weights), (1, vec![6.0, -3.0, -2.0]));
}

#[test]
fn what_does_not_follow_a_layer_with_a_kernel_directly_stays() {
    let image = || Network::input(6, 6, 3);
    let after_input = image().batch_norm().relu();
    let after_relu = image().conv2d(3, 3).relu().batch_norm();
    let after_add = image().residual(image().conv2d(3, 3), image()).batch_norm();
    // The shortcut reads the convolution's output as it is.
    let start = image().conv2d(3, 3);
    let read_twice = start.residual(start.batch_norm().relu(), start);
    // The second of two reads the first, not the convolution.
    let second = image().conv2d(3, 3).batch_norm().batch_norm();
    for (name, net, kept) in [
        ("after the input", after_input, 1),
        ("after a ReLU", after_relu, 1),
        ("after an addition", after_add, 1),
        ("an output that is read twice", read_twice, 1),
        ("two in a row", second, 1),
    ] {
        let folded = compare(name, &net, &random_weights(&net, 7));
        assert_eq!(batch_norms(&folded), kept, "{name}");
    }
    let (folded, weights) = fold(&read_twice, &random_weights(&read_twice, 7));
    assert_eq!(folded.len(), read_twice.len());
    assert_eq!(weights, random_weights(&read_twice, 7));
}

/// Some stay and some go: the moving statistics of those that stay move up.
#[test]
fn a_mixture_keeps_its_outputs() {
    let net = Network::input(8, 8, 2).batch_norm().conv2d(4, 3);
    let body = net.batch_norm().relu().conv2d(4, 3).batch_norm();
    let shortcut = net.conv2d(4, 1).bias(false).batch_norm();
    let net = net.residual(body, shortcut).relu().batch_norm();
    let net = net.global_average_pool().dense(3);
    let folded = compare("mixture", &net, &random_weights(&net, 8));
    // After the input, behind the convolution that both branches read, and after the addition.
    assert_eq!(batch_norms(&folded), 3);
    // Two of 4 channels are folded, and one bias of 4 is added.
    assert_eq!(folded.weights(), net.weights() - 2 * 16 + 4);
}

#[test]
fn buffers_of_a_wrong_length() {
    const NET: Network = Network::features(3).dense(2).batch_norm();
    const FOLDED: Network = NET.fold_batch_norm();
    // 3·2 + 2, and 4 of each of 2 channels.
    assert_eq!((NET.weights(), FOLDED.weights()), (16, 8));
    let fold = |weights: usize, folded: usize| {
        NET.fold_batch_norm_weights(&vec![0.0; weights], &mut vec![0.0; folded])
    };
    assert_eq!(fold(16, 8), Ok(()));
    for (weights, folded, buffer, expected, found) in [
        (15, 8, Buffer::Weights, 16, 15),
        (17, 8, Buffer::Weights, 16, 17),
        (16, 7, Buffer::FoldedWeights, 8, 7),
        (16, 9, Buffer::FoldedWeights, 8, 9),
    ] {
        let error = Error::Length {
            buffer,
            expected,
            found,
        };
        assert_eq!(fold(weights, folded), Err(error));
    }
    let error = fold(16, 9).expect_err("too long");
    assert_eq!(
        message(&error),
        "folded weights: expected 8 elements, found 9"
    );
}
