//! Files of another network: the first difference is named.

use host_tests::custom::pairs;
use host_tests::model_file::{Placed, written};
use host_tests::session::random_weights;
use lightlayers::file::{Aligned, FileError, Reader, Setting};
use lightlayers::optim::Sgd;
use lightlayers::{CustomSizes, Initializer, Model, Network, Op, Padding, Plan, Shape, file};

use crate::{XOR_WEIGHTS, Xor};

/// What a file of `found` says when it is read for `expected`.
fn message(expected: &Network, found: &Network) -> String {
    let placed = written(found, &random_weights(found, 1));
    let file = Reader::new(placed.bytes()).unwrap();
    let error = file.weights(&Plan::new(expected)).unwrap_err();
    let text = error.to_string();
    text.strip_prefix("model file: ").expect(&text).to_owned()
}

#[test]
fn the_layer_and_the_setting_that_differ() {
    let vector = Network::features(6);
    let image = Network::input(8, 8, 3);
    let start = image.relu();
    let with_saved = |saved| {
        let sizes = CustomSizes {
            output: Shape::flat(3),
            weights: 3,
            saved,
        };
        vector.custom(&host_tests::custom::Pairs, sizes)
    };
    let with_border = |top| {
        let border = lightlayers::Border {
            top,
            bottom: 3 - top,
            left: 1,
            right: 1,
        };
        image.try_push(Op::ZeroPadding2d { border }).unwrap()
    };
    let cases = [
        (
            vector.dense(10),
            Network::features(7).dense(10),
            "expected input 6, found 7",
        ),
        (
            vector.relu(),
            Network::input(1, 1, 6).relu(),
            "expected input vector, found image",
        ),
        (
            image.relu(),
            Network::input(8, 9, 3).relu(),
            "expected input 8x8x3, found 8x9x3",
        ),
        (
            vector.dense(3).dense(10),
            vector.dense(3).dense(12),
            "layer 1 (dense): expected output 10, found 12",
        ),
        (
            vector.dense(4).relu(),
            vector.dense(4).tanh(),
            "layer 1 (relu): expected layer relu, found tanh",
        ),
        (
            vector.dense(4),
            pairs(vector),
            "layer 0 (dense): expected layer dense, found custom",
        ),
        (
            vector.dense(4),
            vector.dense(4).bias(false),
            "layer 0 (dense): expected bias yes, found no",
        ),
        (
            vector.light_dense(4, 3),
            vector.light_dense(4, 2),
            "layer 0 (light_dense): expected rank 3, found 2",
        ),
        (
            image.depthwise_conv2d(3, 2),
            image.depthwise_conv2d(3, 1),
            "layer 0 (depthwise_conv2d): expected output 8x8x6, found 8x8x3",
        ),
        (
            image.conv2d(4, 3),
            image.conv2d(4, 5),
            "layer 0 (conv2d): expected kernel rows 3, found 5",
        ),
        (
            image.conv2d(4, 3),
            image.conv2d(4, 3).kernel_size(3, 1),
            "layer 0 (conv2d): expected kernel columns 3, found 1",
        ),
        (
            image.conv2d(4, 1).padding(Padding::Valid),
            image.conv2d(4, 1),
            "layer 0 (conv2d): expected padding valid, found same",
        ),
        (
            image.conv2d(4, 3).dilation(2),
            image.conv2d(4, 3),
            "layer 0 (conv2d): expected dilation 2, found 1",
        ),
        (
            vector.leaky_relu(0.25),
            vector.leaky_relu(0.5),
            "layer 0 (leaky_relu): expected slope 0.25, found 0.5",
        ),
        (
            image.batch_norm(),
            image.batch_norm_with(0.99, 1e-5),
            "layer 0 (batch_norm): expected epsilon 0.001, found 1e-5",
        ),
        (
            with_border(1),
            with_border(2),
            "layer 0 (zero_padding2d): expected top 1, found 2",
        ),
        (
            with_saved(3),
            with_saved(4),
            "layer 0 (custom): expected saved values 3, found 4",
        ),
        (
            vector.relu().relu(),
            vector.relu(),
            "expected number of layers 2, found 1",
        ),
        (
            vector.relu(),
            vector.relu().relu(),
            "expected number of layers 1, found 2",
        ),
        (
            start.residual(start.relu(), start),
            start.residual(start, start.relu()),
            "layer 2 (add): expected source tensor 2, found 1",
        ),
    ];
    for (expected, found, text) in cases {
        assert_eq!(message(&expected, &found), text);
    }
}

/// What only training reads may differ. The state of the optimizer is one of the layers that learn.
#[test]
fn what_only_training_reads() {
    let image = Network::input(4, 4, 1);
    let file_of = image.conv2d(2, 3).l2(0.1).batch_norm().dropout(0.5);
    let weights = random_weights(&file_of, 1);
    let placed = written(&file_of, &weights);
    let file = Reader::new(placed.bytes()).unwrap();

    let other = image.conv2d(2, 3).kernel_initializer(Initializer::Ones);
    let other = other.batch_norm_with(0.5, 1e-3).dropout(0.25);
    let (other, frozen) = (Plan::new(&other), Plan::new(&other.all_frozen()));
    assert_eq!(file.weights(&other), Ok(&weights[..]));
    assert_eq!(file.weights(&frozen), Ok(&weights[..]));
    assert_eq!(file.training_state::<Sgd>(&other), Ok(None));
    let error = file.training_state::<Sgd>(&frozen).unwrap_err();
    let expected = FileError::Differs {
        layer: Some((0, "conv2d")),
        what: "frozen",
        expected: Setting::Name("yes"),
        found: Setting::Name("no"),
    };
    assert_eq!(error, expected);
    // But the network that is read has them all.
    let read = file.network().unwrap();
    assert_eq!(format!("{read:?}"), format!("{file_of:?}"));
}

#[test]
fn bytes_that_lie_where_numbers_cannot_be_read() {
    let aligned = written(&Xor::NET, &XOR_WEIGHTS);
    for behind in 1..16 {
        let placed = Placed::new(aligned.bytes(), behind);
        let file = Reader::new(placed.bytes()).unwrap();
        let expected = match behind % 4 {
            0 => Ok(&XOR_WEIGHTS[..]),
            found => Err(FileError::Alignment { expected: 4, found }),
        };
        assert_eq!(file.weights(Xor), expected);
        // A constant copies them, so they may lie anywhere.
        assert_eq!(file::weights(&Xor::NET, placed.bytes()), XOR_WEIGHTS);
    }
    let error = FileError::Alignment {
        expected: 4,
        found: 3,
    };
    assert_eq!(
        error.to_string(),
        "model file: expected an address that is a multiple of 4 bytes, found one 3 bytes behind; \
         file::Aligned aligns"
    );
    static FILE: &Aligned<[u8]> = &Aligned(*include_bytes!("../../../src/file/xor.model"));
    assert_eq!(FILE.0.as_ptr().align_offset(16), 0);
}
