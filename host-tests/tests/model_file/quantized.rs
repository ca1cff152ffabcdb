//! Quantized networks in model files.

use host_tests::model_file::{Placed, quantized, seal, written, written_quantized};
use host_tests::session::{random_weights, values};
use lightlayers::file::{self, FileError, Reader, SectionKind, TrainingState, Writer};
use lightlayers::paper::{Kind, mnist};
use lightlayers::quant::{Int8Inference, Quantization, quantize};
use lightlayers::{Model, Network, Plan};

use crate::bytes::hex;
use crate::{XOR_WEIGHTS, Xor};

/// Scales that are powers of two: 0..2 of the input, 0..4 behind the ReLU, 0..2 of the output.
fn xor_words() -> [u32; Xor::NET.quantized_weights()] {
    let of = |scale| Quantization::new(scale, -128).unwrap();
    let quantizations = [of(1.0 / 128.0), of(1.0), of(1.0 / 64.0), of(1.0 / 128.0)];
    let mut words = [0; Xor::NET.quantized_weights()];
    quantize(Xor, &XOR_WEIGHTS, &quantizations, &mut words).unwrap();
    words
}

/// By hand. The first kernel is 127 times 1/127. Zero points of -128 add 128 · (127 + 127) to the biases, the second of which is
/// -1 / (1/128 · 1/127) = -16256 without that. The multiplier is 2^32 times (1/128 · 1/127) / (1/64), to the nearest integer.
/// The second kernel is 64 and -127 times 2/127, its bias 128 · (64 - 127), its multiplier 2^32 times (1/64 · 2/127) / (1/128).
const XOR: &str = "
    4c4c4e4e 0100 0000 e0000000 fefc69ed   | LLNN, version 1, 224 bytes, CRC-32 ed69fcfe
    4c415952 70000000 01000000 00000000    | LAYR, 112 bytes, required
    0100 0100 0200 01 03 09000000 00000000 | input 1x1x2, a vector, 3 layers, 9 weights in f32
    01 01 00 00 0100 0100 0200 0000 00000000 | dense
    00000000 00000000 00000000 00000000
    03 00 01 00 0100 0100 0200 0000 00000000 | relu
    00000000 00000000 00000000 00000000
    01 01 02 00 0100 0100 0100 0000 00000000 | dense
    00000000 00000000 00000000 00000000
    57514938 40000000 01000000 00000000    | WQI8, 64 bytes, required
    0000003c 80 00 00 00                   | input: scale 1/128, zero point -128
    0000803c 80 00 80 00                   | dense: scale 1/64, zero point -128, exponent 0, of its input -128
    007f0000 08040201                      | bias 32512, multiplier 16909320
    803f0000 08040201                      | bias 16256, multiplier 16909320
    7f 7f 7f 7f                            | kernel
    0000803c 80 00 80 00                   | relu: as before it
    0000003c 80 00 80 00                   | dense: scale 1/128, zero point -128, exponent 0, of its input -128
    80e0ffff 41201008                      | bias -8064, multiplier 135274561
    40 81 00 00                            | kernel
";

#[test]
fn a_small_file_is_the_one_made_by_hand() {
    let expected = hex(XOR);
    let words = xor_words();
    let writer = Writer::quantized(Xor, &words).unwrap();
    let found: Vec<u8> = writer.blocks().flatten().collect();
    assert_eq!(found, expected);
    assert_eq!(found, include_bytes!("../../../src/file/xor-int8.model"));
    assert_eq!(file::quantized_size(&Xor::NET), expected.len());
    // The same network, known at run time.
    assert_eq!(written_quantized(&Xor::NET, &words).bytes(), expected);
}

/// Each weight of a kernel in the order that the format's page tells, as `(term, filter)`; a narrow one has `None` where there is none.
type Order = Vec<Option<(usize, usize)>>;

fn blocks(filters: usize, largest: usize) -> Vec<std::ops::Range<usize>> {
    let mut blocks = Vec::new();
    let (mut start, mut len) = (0, largest);
    while start < filters {
        if filters - start >= len {
            blocks.push(start..start + len);
            start += len;
        } else {
            len /= 2;
        }
    }
    blocks
}

fn in_runs(filters: usize, largest: usize, run: usize, runs: usize, four: [usize; 4]) -> Order {
    let mut order = Order::new();
    for block in blocks(filters, largest) {
        for start in (0..runs).map(|index| index * run) {
            for group in 0..run / 4 {
                for filter in block.clone() {
                    order.extend(four.map(|at| Some((start + 4 * group + at, filter))));
                }
            }
            for left in run / 4 * 4..run {
                order.extend(block.clone().map(|filter| Some((start + left, filter))));
            }
        }
    }
    order
}

/// The kernel's weights lie where the format's page says, for blocks and rests of all lengths.
#[test]
fn kernels_lie_as_the_format_says() {
    let wide = [0, 2, 1, 3];
    let image = |channels| Network::input(6, 6, channels);
    let mut cases = Vec::new();
    for (inputs, outputs) in [(9, 7), (4, 4), (3, 1), (10, 6)] {
        let order = in_runs(outputs, 4, inputs, 1, [0, 1, 2, 3]);
        cases.push((Network::features(inputs).dense(outputs), order));
    }
    for (channels, filters) in [(2, 5), (3, 2), (4, 3), (7, 1)] {
        let net = image(channels).conv2d(filters, 3);
        cases.push((net, in_runs(filters, 2, 3 * channels, 3, wide)));
        let order = in_runs(filters, 2, channels, 9, wide);
        cases.push((net.dilation(2), order));
    }
    let depthwise = (0..9).flat_map(|term| (0..6).map(move |filter| Some((term, filter))));
    let net = image(3).depthwise_conv2d(3, 2);
    cases.push((net, depthwise.collect()));

    for (net, order) in cases {
        let (words, kernel) = integers(&net);
        let filters = usize::from(net.output_shape().channels);
        // The heads of input and output, bias and multiplier.
        let bytes: Vec<u8> = words[4 + 2 * filters..]
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        let at = |place: &Option<(usize, usize)>| {
            place.map_or(0, |(term, filter)| kernel[term * filters + filter])
        };
        let mut expected: Vec<i8> = order.iter().map(at).collect();
        assert_eq!(expected.len(), kernel.len());
        expected.resize(kernel.len().next_multiple_of(4), 0);
        let found: Vec<i8> = bytes.iter().map(|byte| *byte as i8).collect();
        assert_eq!(found, expected, "{:?}", net.layers());
    }
}

#[test]
fn narrow_kernels_lie_as_the_format_says() {
    let image = |channels| Network::input(6, 6, channels);
    let cases = [
        (image(1).conv2d(3, 3), 3),
        (image(4).conv2d(2, 1), 4),
        (image(2).conv2d(3, 2), 4),
        (image(3).conv2d(2, 1).kernel_size(3, 1).dilation(2), 3),
    ];
    for (net, row) in cases {
        let (words, kernel) = integers(&net);
        let filters = usize::from(net.output_shape().channels);
        let own = &words[4..];
        assert_eq!(own.len(), filters * 8);
        for (filter, words) in own.chunks(8).enumerate() {
            let mut expected = [0; 12];
            for term in 0..kernel.len() / filters {
                expected[term / row * 4 + term % row] = i16::from(kernel[term * filters + filter]);
            }
            let bytes: Vec<u8> = words[2..].iter().flat_map(|w| w.to_le_bytes()).collect();
            let found = bytes
                .as_chunks()
                .0
                .iter()
                .map(|two| i16::from_le_bytes(*two));
            assert_eq!(found.collect::<Vec<_>>(), expected, "{:?}", net.layers());
        }
    }
}

/// The words of a layer whose weights are integers up to 127, so that they are quantized as they are; and its kernel.
fn integers(net: &Network) -> (Vec<u32>, Vec<i8>) {
    let filters = usize::from(net.output_shape().channels);
    let len = net.weights() - filters;
    let kernel: Vec<i8> = (0..len)
        .map(|at| match at / filters {
            0 => 127,
            _ => (at * 37 % 254) as i8,
        })
        .map(|weight: i8| weight.max(-127))
        .collect();
    let mut weights = vec![0.0; net.weights()];
    for (weight, integer) in weights.iter_mut().zip(&kernel) {
        *weight = f32::from(*integer);
    }
    (quantized(net, &weights), kernel)
}

/// What the quantized network makes of some samples.
fn run(net: &Network, words: &[u32]) -> Vec<i8> {
    let plan = Plan::new(net);
    let mut workspace = vec![0; net.quantized_workspace()];
    let mut inference = Int8Inference::new(&plan, words, &mut workspace).unwrap();
    let mut input = vec![0; net.input_shape().len()];
    let samples = (0..3).map(|seed| values(input.len(), 1.0, seed));
    let samples: Vec<_> = samples.collect();
    let outputs = samples.iter().flat_map(|sample| {
        let outputs = inference.run_real(sample, &mut input).unwrap();
        outputs.to_vec()
    });
    outputs.collect()
}

/// Through a file and back: the same network, words, and outputs.
fn check(name: &str, net: &Network) {
    let words = quantized(net, &random_weights(net, 7));
    let placed = written_quantized(net, &words);
    assert_eq!(placed.bytes().len(), file::quantized_size(net), "{name}");
    let file = Reader::new(placed.bytes()).expect(name);
    assert_eq!(file.weights_kind(), SectionKind::QUANTIZED_WEIGHTS);
    assert_eq!(file.optimizer(), None);
    let read = file.network().expect(name);
    // All fields of all layers.
    assert_eq!(format!("{read:?}"), format!("{net:?}"), "{name}");
    let read_words = file.quantized_weights(&Plan::new(&read)).expect(name);
    assert_eq!(read_words, words, "{name}");
    // In place: behind the header, the table and the weights' own header.
    let first = &placed.bytes()[64 + 32 * net.len()..];
    assert_eq!(read_words.as_ptr().cast(), first.as_ptr(), "{name}");
    assert_eq!(run(&read, read_words), run(net, &words), "{name}");
}

#[test]
fn what_is_written_is_read_back() {
    for kind in [Kind::Conv2d, Kind::SeparableConv2d, Kind::Light { rank: 3 }] {
        let net = mnist(kind).fold_batch_norm().split_factors();
        check(&format!("{kind:?}"), &net);
    }
    let net = Network::input(9, 7, 2)
        .zero_padding2d(2)
        .depthwise_conv2d(3, 2);
    let net = net.leaky_relu(0.25).average_pool2d(2).conv2d(5, 3);
    let net = net.residual(net.conv2d(5, 3).relu6(), net).tanh();
    let net = net.max_pool2d(2).global_max_pool().dropout(0.5).dense(7);
    check("others", &net.sigmoid().dense(3).softmax());
    let blocks = Network::input(4, 4, 2);
    let net = blocks.residual(blocks.relu6(), blocks).flatten();
    check("a block", &net);
}

struct Quantized;

impl Model for Quantized {
    const NET: Network = Xor::NET;
}

static WORDS: [u32; Xor::NET.quantized_weights()] = file::quantized_weights(
    &Quantized::NET,
    include_bytes!("../../../src/file/xor-int8.model"),
);

#[test]
fn weights_of_a_constant() {
    assert_eq!(WORDS, xor_words());
    let mut workspace = [0; Xor::NET.quantized_workspace()];
    let mut inference = Int8Inference::new(Quantized, &WORDS, &mut workspace).unwrap();
    let tensors = [0, 1, 2, 3].map(|tensor| inference.quantization(tensor).unwrap());
    assert_eq!(tensors.map(|tensor| tensor.zero_point()), [-128; 4]);
    let steps = tensors.map(|tensor| 1.0 / tensor.scale());
    assert_eq!(steps, [128.0, 64.0, 64.0, 128.0]);
    assert_eq!(inference.quantization(4), None);
    // In steps of 1/128. The first layer gives 64 or 128 times 1/64, the second those times 64 and -127 times 2/127, the product
    // divided by 64: 1 is 127 by 64 in its own steps, 129, and 0 of two ones is 2.
    for (x, steps) in [
        ([0.0, 0.0], 0),
        ([0.0, 1.0], 129),
        ([1.0, 0.0], 129),
        ([1.0, 1.0], 2),
    ] {
        let output = inference.run_real(&x, &mut [0; 2]).unwrap();
        assert_eq!(i32::from(output[0]) + 128, steps, "{x:?}");
    }
}

#[test]
fn the_words_of_each_tensor() {
    let net = Xor::NET;
    let ranges: Vec<_> = (0..=3)
        .map(|tensor| net.quantized_weights_range(tensor).unwrap())
        .collect();
    assert_eq!(ranges, [0..2, 2..9, 9..11, 11..16]);
    assert_eq!(net.quantized_weights_range(4), None);
}

#[test]
fn weights_of_the_other_kind() {
    let real = written(&Xor::NET, &XOR_WEIGHTS);
    let words = written_quantized(&Xor::NET, &xor_words());
    let (real, words) = (
        Reader::new(real.bytes()).unwrap(),
        Reader::new(words.bytes()).unwrap(),
    );
    assert_eq!(real.weights_kind(), SectionKind::WEIGHTS);
    let missing = |section| FileError::Missing { section };
    let error = real.quantized_weights(Xor).unwrap_err();
    assert_eq!(error, missing(SectionKind::QUANTIZED_WEIGHTS));
    assert_eq!(
        error.to_string(),
        "model file: section WQI8: expected one, found none"
    );
    let error = words.weights(Xor).unwrap_err();
    assert_eq!(error, missing(SectionKind::WEIGHTS));
}

#[test]
fn a_file_of_another_network() {
    let net = Network::features(2).dense(2).tanh().dense(1);
    let words = written_quantized(&Xor::NET, &xor_words());
    let file = Reader::new(words.bytes()).unwrap();
    let error = file.quantized_weights(&Plan::new(&net)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "model file: layer 1 (tanh): expected layer tanh, found relu"
    );
}

#[test]
fn words_that_lie_where_they_cannot_be_read() {
    let aligned = written_quantized(&Xor::NET, &xor_words());
    for behind in 1..16 {
        let placed = Placed::new(aligned.bytes(), behind);
        let file = Reader::new(placed.bytes()).unwrap();
        let expected = match behind % 4 {
            0 => Ok(&WORDS[..]),
            found => Err(FileError::Alignment { expected: 4, found }),
        };
        assert_eq!(file.quantized_weights(Xor), expected);
        // A constant copies them, so they may lie anywhere.
        let copied = file::quantized_weights(&Xor::NET, placed.bytes());
        assert_eq!(copied, WORDS);
    }
}

#[test]
fn what_is_not_written() {
    let text = |net: &Network, words: &[u32]| {
        let plan = Plan::new(net);
        let error = Writer::quantized(&plan, words).map(|_| ()).unwrap_err();
        error.to_string()
    };
    let with_light = Network::features(2).light_dense(2, 1);
    let state = TrainingState {
        steps: 1,
        optimizer_state: &[],
    };
    let words = xor_words();
    let writer = Writer::quantized(Xor, &words).unwrap();
    let texts = [
        text(&Network::features(2), &[0; 2]),
        text(&with_light, &[0; 4]),
        text(&Xor::NET, &words[1..]),
        text(&Xor::NET, &[0; 16]),
        writer
            .with_state(state)
            .map(|_| ())
            .unwrap_err()
            .to_string(),
    ];
    assert_eq!(
        texts,
        [
            "network: has no layers",
            "layer 0, light_dense: cannot be quantized; split_factors makes two layers of it",
            "quantized weights: expected 16 elements, found 15",
            "expected the scale of a tensor in the positive numbers",
            "expected the state of an optimizer in a file whose weights are f32",
        ]
    );
}

/// The data of `WQI8`.
const DATA: usize = 160;

/// What a changed file of Xor says.
fn message(change: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut bytes = written_quantized(&Xor::NET, &xor_words()).bytes().to_vec();
    change(&mut bytes);
    seal(&mut bytes);
    let placed = Placed::new(&bytes, 0);
    let read = |file: Reader<'_>| file.quantized_weights(Xor).map(|_| ());
    let error = Reader::new(placed.bytes()).and_then(read).unwrap_err();
    let text = error.to_string();
    text.strip_prefix("model file: ").expect(&text).to_owned()
}

#[test]
fn sections() {
    let real = written(&Xor::NET, &XOR_WEIGHTS);
    let real = &real.bytes()[DATA - 16..];
    let state = [b"OPTS".as_slice(), &[16, 0, 0, 0], &[0; 24]].concat();
    let texts = [
        message(|bytes| bytes.truncate(DATA - 16)),
        message(|bytes| bytes.extend_from_slice(real)),
        message(|bytes| drop(bytes.splice(DATA - 16..DATA - 16, real.to_vec()))),
        message(|bytes| bytes.extend_from_slice(&state)),
        message(|bytes| bytes.extend_from_within(DATA - 16..)),
        message(|bytes| bytes[DATA - 12] -= 1),
        message(|bytes| bytes[DATA - 12] -= 4),
        message(|bytes| bytes[DATA - 12] = 0),
    ];
    assert_eq!(
        texts,
        [
            "expected a section WF32 or WQI8, found neither",
            "expected one of the sections WF32 and WQI8, found both",
            "expected one of the sections WF32 and WQI8, found both",
            "expected one of the sections OPTS and WQI8, found both",
            "section WQI8: expected one, found two",
            "section WQI8: expected bytes 64, found 63",
            "section WQI8: expected words 16, found 15",
            // The words are a section then, and its mark is a scale.
            "section ???<: expected bytes 8 to 11 at most 1, found 1015021568",
        ]
    );
}

#[test]
fn heads_that_cannot_be() {
    let scale = |scale: f32| {
        message(move |bytes| bytes[DATA + 8..DATA + 12].copy_from_slice(&scale.to_le_bytes()))
    };
    let texts = [
        scale(0.0),
        scale(-0.5),
        scale(f32::NAN),
        scale(f32::INFINITY),
        scale(f32::MAX),
        scale(f32::from_bits(1)),
        message(|bytes| bytes[DATA + 13] = 32),
        message(|bytes| bytes[DATA + 5] = 255),
        message(|bytes| bytes[DATA + 6] = 1),
        message(|bytes| bytes[DATA + 14] = 0x7f),
        message(|bytes| bytes[DATA + 4 * 11 + 6] = 0),
        message(|bytes| bytes[DATA + 4 * 9 + 4] = 0),
    ];
    let scale = "expected the scale of a tensor in the positive numbers, found";
    let exponent = "expected the exponent of a layer in 0..=31, found";
    let zero =
        "expected the same zero point of a layer's input in both records that have it, found";
    assert_eq!(
        texts,
        [
            format!("section WQI8: tensor 1: {scale} 0"),
            format!("section WQI8: tensor 1: {scale} -0.5"),
            format!("section WQI8: tensor 1: {scale} NaN"),
            format!("section WQI8: tensor 1: {scale} infinity"),
            format!("section WQI8: tensor 1: {scale} 3402823.466385e32"),
            format!("section WQI8: tensor 1: {scale} 1.401298e-45"),
            format!("section WQI8: tensor 1: {exponent} 32"),
            format!("section WQI8: tensor 0: {exponent} 255"),
            format!("section WQI8: tensor 0: {zero} 1"),
            format!("section WQI8: tensor 1: {zero} 127"),
            format!("section WQI8: tensor 3: {zero} 0"),
            format!("section WQI8: tensor 3: {zero} -128"),
        ]
    );
}
