//! The bytes of files, put together by hand from the format's page.

use host_tests::custom::pairs;
use host_tests::model_file::{Placed, written};
use host_tests::session::{random_weights, values};
use lightlayers::file::{self, Reader, TrainingState, Writer};
use lightlayers::optim::{Adam, Sgd};
use lightlayers::{Border, Initializer, Model, Network, Op, Padding, Plan, WindowSize};

use crate::{XOR_WEIGHTS, Xor};

/// Bytes from hexadecimal digits, with a comment behind `|` in each line.
pub(crate) fn hex(dump: &str) -> Vec<u8> {
    let digits = dump.lines().filter_map(|line| line.split('|').next());
    let digits: Vec<u32> = digits
        .flat_map(|line| line.chars().filter(|c| !c.is_whitespace()))
        .map(|digit| digit.to_digit(16).expect("a hexadecimal digit"))
        .collect();
    let pairs = digits.chunks(2);
    pairs.map(|pair| (16 * pair[0] + pair[1]) as u8).collect()
}

/// The checksum is zlib's.
const XOR: &str = "
    4c4c4e4e 0100 0000 d0000000 53fff65a   | LLNN, version 1, 208 bytes, CRC-32 5af6ff53
    4c415952 70000000 01000000 00000000    | LAYR, 112 bytes, required
    0100 0100 0200 01 03 09000000 00000000 | input 1x1x2, a vector, 3 layers, 9 weights, no moving statistics
    01 01 00 00 0100 0100 0200 0000 00000000 | dense with a bias, reads tensor 0, output 1x1x2
    00000000 00000000 00000000 00000000
    03 00 01 00 0100 0100 0200 0000 00000000 | relu, reads tensor 1, output 1x1x2
    00000000 00000000 00000000 00000000
    01 01 02 00 0100 0100 0100 0000 00000000 | dense with a bias, reads tensor 2, output 1x1x1
    00000000 00000000 00000000 00000000
    57463332 24000000 01000000 00000000    | WF32, 36 bytes, required
    0000803f 0000803f 0000803f 0000803f    | kernel: 1 1 1 1
    00000000 000080bf 0000803f 000000c0    | bias 0 -1, kernel 1 -2
    00000000 00000000 00000000 00000000    | bias 0, and 12 bytes up to the whole block
";

#[test]
fn a_small_file_is_the_one_made_by_hand() {
    let expected = hex(XOR);
    let writer = Writer::new(Xor, &XOR_WEIGHTS).unwrap();
    let found: Vec<u8> = writer.blocks().flatten().collect();
    assert_eq!(found, expected);
    assert_eq!(expected, include_bytes!("../../../src/file/xor.model"));
    assert_eq!(file::size(&Xor::NET, None), expected.len());
    // The same network, known at run time.
    assert_eq!(written(&Xor::NET, &XOR_WEIGHTS).bytes(), expected);
}

/// Of the state of an optimizer, which is the last section.
#[test]
fn the_state_of_an_optimizer() {
    let state = TrainingState {
        steps: 0x01020304,
        optimizer_state: &[1.0; 9],
    };
    let writer = Writer::new(Xor, &XOR_WEIGHTS).unwrap();
    let with_state = writer.with_state(state).unwrap();
    let found: Vec<u8> = with_state.blocks().flatten().collect();
    let (before, section) = found.split_at(hex(XOR).len());
    assert_eq!(before[16..], hex(XOR)[16..]);
    let expected = hex("
        4f505453 34000000 00000000 00000000 | OPTS, 16 + 36 bytes, may be skipped
        04030201 00000000 00000000 00000000 | steps
        0000803f 0000803f 0000803f 0000803f
        0000803f 0000803f 0000803f 0000803f
        0000803f 00000000 00000000 00000000
    ");
    assert_eq!(section, expected);
    assert_eq!(file::size(&Xor::NET, Some(9)), found.len());

    // The gradients that an optimizer goes on from are behind it.
    let gradients = values(9, 1.0, 4);
    let with_gradients = with_state.with_gradients(&gradients).unwrap();
    let found: Vec<u8> = with_gradients.blocks().flatten().collect();
    let section = &found[before.len() + section.len()..];
    let expected = hex("47524144 24000000 00000000 00000000 | GRAD, 36 bytes, may be skipped");
    let numbers: Vec<u8> = gradients.iter().flat_map(|g| g.to_le_bytes()).collect();
    assert_eq!(section, [&expected[..], &numbers, &[0; 12]].concat());
    let placed = Placed::new(&found, 0);
    let file = Reader::new(placed.bytes()).unwrap();
    assert_eq!(file.gradients(Xor), Ok(Some(&gradients[..])));

    // Stochastic gradient descent has steps alone.
    let none = TrainingState {
        steps: 5,
        optimizer_state: &[],
    };
    let writer = Writer::new(Xor, &XOR_WEIGHTS).unwrap();
    let blocks = writer.with_state(none).unwrap().blocks().count();
    assert_eq!(16 * blocks, hex(XOR).len() + 32);
    assert_eq!(file::size(&Xor::NET, Some(0)), 16 * blocks);
}

/// The entry of the last layer of a network.
fn last_entry(net: &Network) -> Vec<u8> {
    let start = 16 + 16 + 16 + 32 * (net.len() - 1);
    let file = written(net, &random_weights(net, 1));
    file.bytes()[start..start + 32].to_vec()
}

const WINDOW: WindowSize = WindowSize {
    kernel: (3, 5),
    stride: (2, 1),
    dilation: 1,
    padding: Padding::Valid,
};

/// Every layer with every setting, each another number.
#[test]
fn every_layer_is_written_as_the_format_says() {
    let image = Network::input(9, 11, 3);
    let vector = Network::features(6);
    let push = |op| image.try_push(op).unwrap();
    let side = image.relu();
    let cases = [
        (
            vector.dense(300).bias(false),
            "01 00 00 00 0100 0100 2c01 0000 000000000000 00 00 00000000 00000000 00000000",
        ),
        (
            vector.light_dense(7, 2).frozen(),
            "02 01 00 00 0100 0100 0700 0200 000000000000 01 00 00000000 00000000 00000000",
        ),
        (
            vector.relu(),
            "03 00 00 00 0100 0100 0600 0000 000000000000 00 00 00000000 00000000 00000000",
        ),
        (
            image.relu6(),
            "04 00 00 00 0900 0b00 0300 0000 000000000000 00 00 00000000 00000000 00000000",
        ),
        (
            vector.leaky_relu(0.5),
            "05 00 00 00 0100 0100 0600 0000 000000000000 00 00 0000003f 00000000 00000000",
        ),
        (
            vector.sigmoid(),
            "06 00 00 00 0100 0100 0600 0000 000000000000 00 00 00000000 00000000 00000000",
        ),
        (
            vector.tanh(),
            "07 00 00 00 0100 0100 0600 0000 000000000000 00 00 00000000 00000000 00000000",
        ),
        (
            vector.softmax(),
            "08 00 00 00 0100 0100 0600 0000 000000000000 00 00 00000000 00000000 00000000",
        ),
        (
            image.flatten(),
            "09 00 00 00 0100 0100 2901 0000 000000000000 00 00 00000000 00000000 00000000",
        ),
        (
            vector.dropout(0.25),
            "0a 00 00 00 0100 0100 0600 0000 000000000000 00 00 00000000 0000803e 00000000",
        ),
        (
            image
                .conv2d(4, 3)
                .dilation(2)
                .kernel_initializer(Initializer::HeNormal),
            "0b 01 00 00 0900 0b00 0400 0000 03 03 01 01 02 01 00 01 00000000 00000000 00000000",
        ),
        (
            push(Op::Conv2d {
                filters: 4,
                window: WINDOW,
            })
            .l2(2.0),
            "0b 01 00 00 0400 0700 0400 0000 03 05 02 01 01 00 00 00 00000000 00000000 00000040",
        ),
        (
            image
                .light_conv2d(4, 3, 2)
                .kernel_initializer(Initializer::Zeros),
            "0c 01 00 00 0900 0b00 0400 0200 03 03 01 01 01 01 00 02 00000000 00000000 00000000",
        ),
        (
            image
                .depthwise_conv2d(3, 2)
                .kernel_initializer(Initializer::Ones),
            "0d 01 00 00 0900 0b00 0600 0200 03 03 01 01 01 01 00 03 00000000 00000000 00000000",
        ),
        (
            push(Op::SeparableConv2d {
                filters: 7,
                multiplier: 2,
                window: WINDOW,
            }),
            "0e 01 00 00 0400 0700 0700 0200 03 05 02 01 01 00 00 00 00000000 00000000 00000000",
        ),
        (
            image.batch_norm_with(0.75, 0.125).frozen(),
            "0f 00 00 00 0900 0b00 0300 0000 000000000000 01 00 0000003e 0000403f 00000000",
        ),
        (
            image.max_pool2d(2),
            "10 00 00 00 0400 0500 0300 0000 02 02 02 02 01 00 00 00 00000000 00000000 00000000",
        ),
        (
            image.average_pool2d(3).padding(Padding::Same),
            "11 00 00 00 0300 0400 0300 0000 03 03 03 03 01 01 00 00 00000000 00000000 00000000",
        ),
        (
            image.global_average_pool(),
            "12 00 00 00 0100 0100 0300 0000 000000000000 00 00 00000000 00000000 00000000",
        ),
        (
            image.global_max_pool(),
            "13 00 00 00 0100 0100 0300 0000 000000000000 00 00 00000000 00000000 00000000",
        ),
        (
            push(Op::ZeroPadding2d {
                border: Border {
                    top: 1,
                    bottom: 2,
                    left: 3,
                    right: 4,
                },
            }),
            "14 00 00 00 0c00 1200 0300 0000 01 02 03 04 00 00 00 00 00000000 00000000 00000000",
        ),
        // Tensor 3 is the end of the body, tensor 1 the start of both.
        (
            side.residual(side.conv2d(3, 3).relu(), side),
            "15 00 03 01 0900 0b00 0300 0000 000000000000 00 00 00000000 00000000 00000000",
        ),
        (
            pairs(vector),
            "16 00 00 00 0100 0100 0300 0300 0300 00000000 00 00 00000000 00000000 00000000",
        ),
    ];
    for (net, expected) in cases {
        assert_eq!(last_entry(&net), hex(expected), "{:?}", net.layers().last());
    }
}

#[test]
fn a_file_of_a_wrong_length_is_not_written() {
    let plan = Plan::new(&Xor::NET);
    let errors = [
        Writer::new(&plan, &[0.0; 8]).map(|_| ()),
        Writer::new(&plan, &XOR_WEIGHTS)
            .unwrap()
            .with_state(TrainingState {
                steps: 1,
                optimizer_state: &[0.0; 10],
            })
            .map(|_| ()),
        Writer::new(&plan, &XOR_WEIGHTS)
            .unwrap()
            .with_gradients(&[0.0; 8])
            .map(|_| ()),
        Writer::new(&Plan::new(&Network::features(2)), &[]).map(|_| ()),
    ];
    let texts = errors.map(|error| error.unwrap_err().to_string());
    assert_eq!(
        texts,
        [
            "weights: expected 9 elements, found 8",
            "optimizer state: expected 9 elements, found 10",
            "gradients: expected 9 elements, found 8",
            "network: has no layers",
        ]
    );
}

#[test]
fn the_state_is_given_back() {
    let adam = values(2 * 9, 1.0, 3);
    let state = TrainingState {
        steps: 1234,
        optimizer_state: &adam,
    };
    let writer = Writer::new(Xor, &XOR_WEIGHTS).unwrap().with_state(state);
    let bytes: Vec<u8> = writer.unwrap().blocks().flatten().collect();
    let placed = Placed::new(&bytes, 0);
    let file = Reader::new(placed.bytes()).unwrap();
    assert_eq!(file.optimizer(), Some((1234, 18)));
    assert_eq!(file.training_state::<Adam>(Xor), Ok(Some(state)));
    let error = file.training_state::<Sgd>(Xor).unwrap_err();
    assert_eq!(
        error.to_string(),
        "model file: section OPTS: expected elements of state 0, found 18"
    );
}
