//! What is written is read back: networks, weights, states, and outputs to the last bit.

use host_tests::custom::pairs;
use host_tests::model_file::{Placed, written};
use host_tests::session::{Buffers, Run, Samples, infer, random_weights, values};
use lightlayers::file::{self, FileError, Reader, TrainingState, Writer};
use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::optim::{Adam, AdamW};
use lightlayers::paper::{Kind, cifar, mnist};
use lightlayers::{Inference, Model, Network, Plan};

use crate::{XOR_WEIGHTS, Xor};

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Through a file and back: the same network, weights, and outputs.
fn check(name: &str, net: &Network) {
    let weights = random_weights(net, 7);
    let placed = written(net, &weights);
    assert_eq!(placed.bytes().len(), file::size(net, None), "{name}");
    let file = Reader::new(placed.bytes()).expect(name);
    let read = file.network().expect(name);
    // All fields of all layers.
    assert_eq!(format!("{read:?}"), format!("{net:?}"), "{name}");
    let read_weights = file.weights(&Plan::new(&read)).expect(name);
    assert_eq!(bits(read_weights), bits(&weights), "{name}");
    // In place: behind the header, the table and the weights' own header.
    let first = &placed.bytes()[64 + 32 * net.len()..];
    let in_place = read_weights.as_ptr().cast() == first.as_ptr();
    assert!(in_place || weights.is_empty(), "{name}");

    let x = values(net.input_shape().len(), 1.0, 3);
    let expected = infer(net, &weights, &x, 1);
    assert!(expected.iter().all(|y| y.is_finite()), "{name}");
    assert_eq!(bits(&infer(&read, read_weights, &x, 1)), bits(&expected));
}

#[test]
fn the_networks_of_the_paper() {
    for kind in [Kind::Conv2d, Kind::SeparableConv2d, Kind::Light { rank: 3 }] {
        for net in [mnist(kind), cifar(kind, 10)] {
            check(&format!("{kind:?}"), &net);
            check(&format!("{kind:?}, folded"), &net.fold_batch_norm());
            check(&format!("{kind:?}, frozen"), &net.all_frozen());
        }
    }
}

/// Those of `01_train_digits` and `04_small_conv`, and every layer that they do not have.
#[test]
fn the_networks_of_the_examples_and_other_layers() {
    let digits = Network::input(8, 8, 1).flatten().light_dense(32, 8);
    check("digits", &digits.relu().dense(10));
    let net = Network::input(8, 8, 1).light_conv2d(8, 3, 3).relu();
    let net = net.max_pool2d(2).light_conv2d(12, 3, 3).relu();
    check("small", &net.max_pool2d(2).flatten().light_dense(10, 6));
    let net = Network::input(9, 7, 2)
        .zero_padding2d(2)
        .depthwise_conv2d(3, 2);
    let net = net
        .leaky_relu(0.25)
        .average_pool2d(2)
        .separable_conv2d(3, 3);
    let net = net.stride(2).relu6().conv2d(4, 2).dilation(2).tanh();
    check(
        "others",
        &net.global_max_pool().dropout(0.5).dense(3).sigmoid(),
    );
    check(
        "softmax",
        &Network::features(3).dense(4).batch_norm().softmax(),
    );
}

/// Blocks in bodies, in shortcuts, at the same start, and with an empty branch on either side.
#[test]
fn blocks_within_blocks() {
    let start = Network::input(4, 4, 2);
    check("shortcut only", &start.residual(start, start.relu()));
    check("body only", &start.residual(start.relu(), start));
    let net = start.tanh();
    let inner = net.residual(net.conv2d(2, 3), net).relu();
    let check_both = |name: &str, a: Network, b: Network| {
        check(name, &net.residual(a, b).global_average_pool());
        check(name, &net.residual(b, a).global_average_pool());
    };
    check_both("in one branch", inner, net);
    check_both("in one branch, beside a layer", inner, net.conv2d(2, 1));
    check_both(
        "in both branches",
        inner,
        net.residual(net, net.conv2d(2, 1)),
    );
    let twice = inner.residual(inner.conv2d(2, 1).relu(), inner.conv2d(2, 3));
    check_both("in a row", twice, net.relu6());
    let deep = net.residual(twice.relu(), inner.conv2d(2, 1));
    check_both("three deep", deep, net.residual(net.sigmoid(), deep));
    // A branch that holds a block which starts before the branch does.
    let before = start.residual(net.conv2d(2, 3), start.conv2d(2, 1));
    check_both("started before", net.relu(), before);
}

#[test]
fn the_most_layers() {
    let net = (0..62).fold(Network::features(3).dense(3), |net, _| net.leaky_relu(0.5));
    check("64 layers", &net.dense(2));
}

struct Constant;

impl Model for Constant {
    const NET: Network = Xor::NET;
}

static WEIGHTS: [f32; Xor::NET.weights()] = file::weights(
    &Constant::NET,
    include_bytes!("../../../src/file/xor.model"),
);

#[test]
fn weights_of_a_constant() {
    assert_eq!(WEIGHTS, XOR_WEIGHTS);
    let mut workspace = [0.0; Constant::NET.inference_workspace()];
    let mut inference = Inference::new(Constant, &WEIGHTS, &mut workspace).unwrap();
    for (x, y) in [
        ([0.0, 0.0], 0.0),
        ([0.0, 1.0], 1.0),
        ([1.0, 0.0], 1.0),
        ([1.0, 1.0], 0.0),
    ] {
        assert_eq!(inference.run(&x), Ok(&[y][..]));
    }
}

#[test]
fn a_layer_of_the_users_own() {
    let net = pairs(Network::features(6).dense(4)).dense(2);
    let weights = random_weights(&net, 2);
    let placed = written(&net, &weights);
    let file = Reader::new(placed.bytes()).unwrap();
    let error = file.network().unwrap_err();
    assert_eq!(error, FileError::Custom { layer: 1 });
    assert_eq!(
        error.to_string(),
        "model file: layer 1: expected a layer of this crate, found a custom one, whose code is not in the file"
    );
    assert_eq!(file.weights(&Plan::new(&net)), Ok(&weights[..]));
}

/// Training that goes on from a file has the bits of training without a break.
#[test]
fn training_goes_on() {
    let net = Network::input(6, 6, 1)
        .conv2d(3, 3)
        .frozen()
        .batch_norm()
        .relu();
    let net = net.global_average_pool().light_dense(3, 2).l2(0.01);
    let samples = Samples::classes(&net, 8, 1);
    let run = Run {
        capacity: 8,
        ..Run::default()
    };
    let plan = Plan::new(&net);
    let optimizer = AdamW::new(0.01, Adam::new()).unwrap();
    let train = |buffers: &mut Buffers, before: u32, steps: u32| {
        let trainer = run.trainer(&plan, SoftmaxCrossEntropy::new(), optimizer, buffers);
        let mut trainer = trainer.with_steps(before);
        for _ in 0..steps {
            trainer.step(&mut samples.clone(), 0..8, 0.01).unwrap();
        }
        trainer.steps()
    };
    let start = random_weights(&net, 1);
    let mut whole = Buffers::new::<AdamW>(&net, &start, 8);
    train(&mut whole, 0, 6);

    let mut first = Buffers::new::<AdamW>(&net, &start, 8);
    let steps = train(&mut first, 0, 4);
    let state = TrainingState {
        steps,
        optimizer_state: &first.optimizer_state,
    };
    let writer = Writer::new(&plan, &first.weights)
        .unwrap()
        .with_state(state);
    let placed = Placed::new(&writer.unwrap().blocks().flatten().collect::<Vec<u8>>(), 0);

    let file = Reader::new(placed.bytes()).unwrap();
    let mut second = Buffers::new::<AdamW>(&net, file.weights(&plan).unwrap(), 8);
    let state = file.training_state::<AdamW>(&plan).unwrap().unwrap();
    second
        .optimizer_state
        .copy_from_slice(state.optimizer_state);
    assert_eq!(train(&mut second, state.steps, 2), 6);
    assert_eq!(bits(&second.weights), bits(&whole.weights));
    assert_eq!(bits(&second.optimizer_state), bits(&whole.optimizer_state));
}
