//! Sizes: every number that follows from a network is right on 32-bit and on 64-bit targets, and
//! both refuse the same networks. CI runs these tests on both.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use host_tests::session::{Samples, message, random_weights, values};
use lightlayers::dataset::PackedImages;
use lightlayers::file;
use lightlayers::loss::MeanSquaredError;
use lightlayers::optim::{Adam, HeavyBall, Sgd};
use lightlayers::{
    Border, BuildError, CustomBackward, CustomForward, CustomLayer, CustomSizes, Error, Layer,
    MAX_ELEMENTS, Memory, Network, Op, Padding, Plan, Rng, Shape, Trainer, WindowSize,
};

/// The error of a network that is refused, with the number that was found where `usize` holds it.
fn too_large(layer: &'static str, what: &'static str, found: u64) -> BuildError {
    BuildError::TooLarge {
        layer,
        what,
        most: MAX_ELEMENTS,
        found: usize::try_from(found).unwrap_or(usize::MAX),
    }
}

fn window(kernel: u8, dilation: u8, padding: Padding) -> WindowSize {
    WindowSize {
        kernel: (kernel, kernel),
        stride: (1, 1),
        dilation,
        padding,
    }
}

/// The message of the panic in a builder call.
fn panic_of(build: impl Fn() -> Network) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| build().len())).expect_err("it is refused");
    *panic.downcast::<String>().expect("a message")
}

const VALUES: &str = "the number of values";
const OUTPUTS: &str = "the number of its outputs";
const WEIGHTS: &str = "the network's number of weights";
const INFERENCE: &str = "the network's workspace for inference";
const TRAINING: &str = "the network's workspace for training";
const INT8: &str = "the network's workspace for int8 inference";

/// 2^32 values are 0 in 32 bits: a dense layer behind them had its biases alone.
#[test]
fn tensors_that_wrap() {
    let dense = Network::try_input(32_768, 32_768, 4)
        .and_then(|net| net.try_push(Op::Flatten))
        .and_then(|net| net.try_push(Op::Dense { units: 3 }));
    let expected = too_large("input", VALUES, 1 << 32);
    assert_eq!(dense.map(|net| net.weights()), Err(expected));

    // Places in a workspace are 32-bit numbers: 4,294,976,562 values lay at those of 9,266.
    let relu = Network::try_input(46_341, 46_341, 2).and_then(|net| net.try_push(Op::Relu));
    let expected = too_large("input", VALUES, 4_294_976_562);
    assert_eq!(relu.map(|net| net.inference_workspace()), Err(expected));

    // 255 rows and columns of zeros on each side of 16,384 x 16,384 values, the most there are.
    let most = Network::input(16_384, 16_384, 1);
    let border = Border::all(255);
    let padded = most.try_push(Op::ZeroPadding2d { border }).err();
    assert_eq!(
        padded,
        Some(too_large("zero_padding2d", OUTPUTS, 16_894 * 16_894))
    );
    // They can be put out, but training has no room for them and for a target of their size.
    let relu = most.try_push(Op::Relu).err();
    assert_eq!(relu, Some(too_large("relu", TRAINING, 2 << 28)));
}

#[test]
fn weights_that_wrap() {
    // 131,070 x 32,769 weights of two kernels, and the biases.
    let net = Network::features(65_535);
    let op = Op::LightDense {
        units: 65_535,
        rank: 32_769,
    };
    let found = 131_070 * 32_769 + 65_535;
    let refused = net.try_push(op).map(|net| net.weights());
    assert_eq!(refused, Err(too_large("light_dense", WEIGHTS, found)));

    // The limit to the element: 16,384 x 16,383 weights and 16,383 biases are one less, and the
    // moving statistics of a channel are two.
    let net = Network::features(16_384).dense(16_383);
    assert_eq!(net.weights(), MAX_ELEMENTS - 1);
    let refused = Network::features(16_384).try_push(Op::Dense { units: 16_384 });
    let expected = too_large("dense", WEIGHTS, (1 << 28) + 16_384);
    assert_eq!(refused.err(), Some(expected));
    let batch_norm = Op::BatchNorm {
        momentum: 0.9,
        epsilon: 0.1,
    };
    let expected = too_large("batch_norm", WEIGHTS, (1 << 28) - 1 + 4 * 16_383);
    assert_eq!(net.try_push(batch_norm).err(), Some(expected));
}

/// Every setting that follows a layer: the network is the one of the layer that has it at once, or is
/// refused as that one is.
#[test]
fn settings_are_measured_again() {
    let image = Network::input(2, 2, 1024);
    let text = if usize::BITS > 32 {
        "conv2d: the network's number of weights is 4294968320, expected at most 268435456"
    } else {
        "conv2d: the network's number of weights is at least 4294967295, \
         expected at most 268435456"
    };
    assert_eq!(panic_of(|| image.conv2d(1024, 1).kernel_size(64, 64)), text);

    let text = "max_pool2d: the window's area is 289, expected at most 256";
    assert_eq!(panic_of(|| image.max_pool2d(2).kernel_size(17, 17)), text);

    // The rows that a window with gaps reaches over lie in the workspace of int8 inference.
    let text = format!(
        "conv2d: {INT8} is {}, expected at most {MAX_ELEMENTS}",
        1 + 46_411_u64 * 46_412 * 2 / 4
    );
    let pixel = Network::input(1, 1, 1);
    assert_eq!(panic_of(|| pixel.conv2d(1, 183).dilation(255)), text);

    let base = Network::input(9, 8, 3);
    let filters = 5;
    let op = |kernel, stride, padding, dilation| Op::Conv2d {
        filters,
        window: WindowSize {
            kernel,
            stride,
            dilation,
            padding,
        },
    };
    let conv = base.conv2d(5, 3);
    for (set, op) in [
        (conv.kernel_size(4, 2), op((4, 2), (1, 1), Padding::Same, 1)),
        (conv.stride(2), op((3, 3), (2, 2), Padding::Same, 1)),
        (
            conv.padding(Padding::Valid),
            op((3, 3), (1, 1), Padding::Valid, 1),
        ),
        (conv.dilation(2), op((3, 3), (1, 1), Padding::Same, 2)),
        (conv.bias(false).bias(true), *conv.layers()[0].op()),
    ] {
        let pushed = base.try_push(op).unwrap();
        assert_eq!(format!("{set:?}"), format!("{pushed:?}"));
    }
    assert_eq!(conv.bias(false).weights(), 3 * 3 * 3 * 5);
}

/// The rows that windows with gaps reach over: 182 · 255 + 1 rows and columns, in `i16`.
#[test]
fn windows_that_wrap() {
    let window = window(183, 255, Padding::Same);
    let op = Op::Conv2d { filters: 1, window };
    let refused = Network::input(1, 1, 1).try_push(op);
    // Columns are rounded up to four, and the output has a word.
    let words = 1 + 46_411 * 46_412 * 2 / 4;
    assert_eq!(refused.err(), Some(too_large("conv2d", INT8, words)));

    // As large as it can be: 255 x 255 elements, 255 apart, of 65,535 channels each.
    let window = WindowSize {
        stride: (1, 1),
        ..self::window(255, 255, Padding::Same)
    };
    let op = Op::Conv2d { filters: 1, window };
    let refused = Network::input(1, 1, 65_535).try_push(op).err();
    let found = 255 * 255 * 65_535 + 1;
    assert_eq!(refused, Some(too_large("conv2d", WEIGHTS, found)));

    // Between the factors of a convolution, and of a separable one.
    let window = self::window(1, 1, Padding::Same);
    let op = Op::LightConv2d {
        filters: 1,
        rank: 65_535,
        window,
    };
    let refused = Network::input(1024, 1024, 1).try_push(op).err();
    // And the output.
    let found = (1 << 20) * 65_536;
    assert_eq!(refused, Some(too_large("light_conv2d", INFERENCE, found)));
    let op = Op::SeparableConv2d {
        filters: 1,
        multiplier: 65_535,
        window,
    };
    let refused = Network::input(1024, 1024, 1).try_push(op).err();
    assert_eq!(
        refused,
        Some(too_large("separable_conv2d", INFERENCE, found))
    );
}

/// 300 times 256 x 256 x 64 outputs of 3 x 3 x 64 products each are more than 32 bits count.
#[test]
fn multiply_accumulates_that_wrap() {
    let net = Network::input(256, 256, 64).conv2d(64, 3);
    assert_eq!(net.multiply_accumulates(), 2_415_919_104);
    let net = net.relu().conv2d(64, 3).conv2d(64, 3);
    assert_eq!(net.multiply_accumulates(), 3 * 2_415_919_104);
    let table = net.summary().to_string();
    assert!(table.contains("7247757312"), "{table}");

    let net = Network::input(1024, 1024, 8).separable_conv2d(1, 255);
    let pixels = 1 << 20;
    assert_eq!(net.multiply_accumulates(), pixels * (255 * 255 * 8 + 8));
    let net = Network::input(1024, 1024, 8).light_conv2d(2, 255, 1);
    assert_eq!(net.multiply_accumulates(), pixels * 255 * 255 * (8 + 2));
}

/// Of the largest network there is, all memory is counted right.
#[test]
fn memory_of_the_largest_network() {
    let net = Network::features(16_384).dense(16_383);
    let weights = (1 << 28) - 1;
    assert_eq!(net.optimizer_state::<Adam>(), 2 * weights);
    assert_eq!(net.optimizer_state::<HeavyBall>(), 0);
    // The header; that of each section; the head and the entry of a layer; the steps of the state.
    let whole_blocks = |bytes: u64| bytes.next_multiple_of(16);
    let w = weights as u64;
    let size = 16 + 16 + (16 + 32) + 16 + whole_blocks(4 * w) + 16 + 16 + whole_blocks(8 * w);
    let found = file::size(&net, Some(net.optimizer_state::<Adam>()));
    assert_eq!(found as u64, size);
    assert_eq!(file::size(&net, Some(usize::MAX)), usize::MAX);

    // Input and target, and the output, which becomes the gradient.
    let one = 16_384 + 2 * 16_383;
    assert_eq!(net.training_workspace(1), one);
    assert_eq!(net.training_workspace(3), 3 * one);
    let batch = usize::MAX / one;
    assert_eq!(net.training_workspace(batch), batch * one);
    assert_eq!(net.training_workspace(batch + 1), usize::MAX);

    // The memory for a batch is more than 4 GiB.
    let table = net.summary().training::<Adam>(1 << 20).to_string();
    let bytes = 4 * ((one as u64) << 20);
    let all = 4 * 4 * w + bytes;
    for number in [bytes, all] {
        assert!(table.contains(&number.to_string()), "{number}: {table}");
    }
}

/// An optimizer of the user's own with so much state that its length wraps.
#[test]
fn optimizer_state_that_wraps() {
    struct Hoarder;
    impl lightlayers::optim::Optimizer for Hoarder {
        const STATE: usize = usize::MAX / 3;
        fn update(
            &self,
            _: lightlayers::optim::Step,
            _: &mut [f32],
            _: &[f32],
            _: &mut [f32],
        ) -> bool {
            true
        }
    }
    let net = Network::features(2).dense(1);
    assert_eq!(net.optimizer_state::<Hoarder>(), usize::MAX / 3 * 3);
    let net = Network::features(2).dense(2);
    assert_eq!(net.optimizer_state::<Hoarder>(), usize::MAX);
    let plan = Plan::new(&net);
    let memory = Memory {
        weights: &mut [0.0; 6],
        gradients: &mut [0.0; 6],
        optimizer_state: &mut [],
        workspace: &mut [0.0; 8],
    };
    let refused = Trainer::new(&plan, MeanSquaredError, Hoarder, memory).map(|_| ());
    let expected = Error::Length {
        buffer: lightlayers::Buffer::OptimizerState,
        expected: usize::MAX,
        found: 0,
    };
    assert_eq!(refused, Err(expected));
}

#[test]
fn packed_images_that_wrap() {
    let packed = |images: u32| {
        let mut bytes = b"LLP4\0\0\0\0\xff\xff\xff\xff\xff\xff\x0a\0".to_vec();
        bytes[4..8].copy_from_slice(&images.to_le_bytes());
        PackedImages::new(&bytes).map(|_| ())
    };
    let values = 65_535_u64.pow(3);
    let expected = Error::Packed {
        what: "values per image, at most",
        expected: MAX_ELEMENTS,
        found: usize::try_from(values).unwrap_or(usize::MAX),
    };
    // One without images, whose shape is as impossible, too.
    for images in [0, 1, u32::MAX] {
        assert_eq!(packed(images), Err(expected));
    }
}

/// A custom layer that does nothing.
#[derive(Debug)]
struct Nothing;

impl CustomLayer for Nothing {
    fn name(&self) -> &'static str {
        "nothing"
    }
    fn forward(&self, pass: CustomForward<'_>) {
        pass.output.fill(0.0);
    }
    fn backward_input(&self, _: CustomBackward<'_>, gradient: &mut [f32]) {
        gradient.fill(0.0);
    }
}

#[test]
fn custom_layers_of_any_size() {
    let custom = |output| {
        let sizes = CustomSizes {
            output,
            weights: u16::MAX,
            saved: u16::MAX,
        };
        move || Network::input(4, 4, 2).custom(&Nothing, sizes)
    };
    let empty = "custom: the number of its outputs is 0, expected at least 1";
    for (height, width, channels) in [(0, 0, 0), (0, 4, 4), (4, 0, 4), (4, 4, 0)] {
        let output = Shape::image(height, width, channels);
        assert_eq!(panic_of(custom(output)), empty, "{output}");
        let sizes = CustomSizes {
            output,
            weights: 0,
            saved: 0,
        };
        let refused = Network::input(4, 4, 2).try_custom(&Nothing, sizes).err();
        let expected = BuildError::Zero {
            layer: "custom",
            what: OUTPUTS,
        };
        assert_eq!(refused, Some(expected));
        assert_eq!(
            message(&Error::<std::convert::Infallible>::Build(expected)),
            empty
        );
    }
    for output in [
        Shape::image(65_535, 65_535, 65_535),
        Shape::image(32_768, 32_768, 4),
    ] {
        let text = panic_of(custom(output));
        assert!(
            text.starts_with("custom: the number of its outputs is "),
            "{text}"
        );
    }
    let net = custom(Shape::flat(u16::MAX))();
    assert_eq!(net.weights(), 65_535);
    assert_eq!(net.inference_workspace(), 2 * 65_535);
}

/// Groups of 16 images lie side by side; from 128 x 128 on, the places in a group times its values
/// are more than 32 bits count.
#[test]
fn large_images_in_a_batch() {
    let net = Network::input(128, 129, 1).conv2d(1, 1).bias(false);
    let weights = random_weights(&net, 1);
    let samples = Samples::from_rows(
        &values(16 * 128 * 129, 1.0, 2),
        &values(16 * 128 * 129, 1.0, 3),
        16,
    );
    let outputs = |capacity| {
        let plan = Plan::new(&net);
        let mut workspace = vec![f32::NAN; net.training_workspace(capacity)];
        let memory = Memory {
            weights: &mut weights.clone(),
            gradients: &mut [0.0],
            optimizer_state: &mut [],
            workspace: &mut workspace,
        };
        let mut trainer = Trainer::new(&plan, MeanSquaredError, Sgd, memory).unwrap();
        let mut outputs = Vec::new();
        let evaluated = trainer.evaluate(&mut samples.clone(), |sample| {
            outputs.push(sample.outputs.to_vec());
        });
        evaluated.unwrap();
        outputs
    };
    assert!(outputs(16) == outputs(1));
}

/// The place of the largest value among more pixels than a float counts: the gradient of the kernel is
/// that of the loss, 2 · 5, times the value that was there, 5.
#[test]
fn the_largest_of_many_pixels() {
    let net = Network::input(4097, 4096, 1).conv2d(1, 1).bias(false);
    let net = net.global_max_pool();
    let mut x = vec![0.0; 4097 * 4096];
    x[(1 << 24) + 1] = 5.0;
    let mut samples = Samples::from_rows(&x, &[0.0], 1);
    let plan = Plan::new(&net);
    let mut workspace = vec![0.0; net.training_workspace(1)];
    let memory = Memory {
        weights: &mut [1.0],
        gradients: &mut [0.0],
        optimizer_state: &mut [],
        workspace: &mut workspace,
    };
    let mut trainer = Trainer::new(&plan, MeanSquaredError, Sgd, memory).unwrap();
    trainer.step(&mut samples, 0..1, 0.1).unwrap();
    assert_eq!(trainer.gradients(), [2.0 * 5.0 * 5.0]);
}

/// The law of each layer's weights and multiply-accumulates, in 128 bits.
fn law(layer: &Layer) -> (u128, u128) {
    let (input, output) = (layer.input_shape(), layer.output_shape());
    let values = |shape: Shape| {
        u128::from(shape.height) * u128::from(shape.width) * u128::from(shape.channels)
    };
    let pixels = |shape: Shape| u128::from(shape.height) * u128::from(shape.width);
    let area = |window: WindowSize| u128::from(window.kernel.0) * u128::from(window.kernel.1);
    let (inputs, channels) = (values(input), u128::from(input.channels));
    match *layer.op() {
        Op::Dense { units } => {
            let units = u128::from(units);
            (inputs * units + units, inputs * units)
        }
        Op::LightDense { units, rank } => {
            let (units, products) = (
                u128::from(units),
                (inputs + u128::from(units)) * u128::from(rank),
            );
            (products + units, products)
        }
        Op::Conv2d { filters, window } => {
            let filters = u128::from(filters);
            let kernel = area(window) * channels * filters;
            (kernel + filters, kernel * pixels(output))
        }
        Op::LightConv2d {
            filters,
            rank,
            window,
        } => {
            let (filters, rank) = (u128::from(filters), u128::from(rank));
            let kernels = [
                area(window) * channels * rank,
                area(window) * rank * filters,
            ];
            // The same padding and stride twice.
            let between = Network::input(input.height.into(), input.width.into(), 1);
            let between = between.try_push(Op::Conv2d { filters: 1, window }).unwrap();
            let products = [between.output_shape(), output].map(pixels);
            (
                kernels[0] + rank + kernels[1] + filters,
                kernels[0] * products[0] + kernels[1] * products[1],
            )
        }
        Op::DepthwiseConv2d { multiplier, window } => {
            let filters = channels * u128::from(multiplier);
            (
                area(window) * filters + filters,
                area(window) * filters * pixels(output),
            )
        }
        Op::SeparableConv2d {
            filters,
            multiplier,
            window,
        } => {
            let (filters, between) = (u128::from(filters), channels * u128::from(multiplier));
            let kernels = area(window) * between + between * filters;
            (kernels + filters, kernels * pixels(output))
        }
        // Gamma and beta, and the moving statistics.
        Op::BatchNorm { .. } => (4 * channels, 0),
        _ => (0, 0),
    }
}

/// A layer with settings from one end to the other.
fn any_op(pick: &mut impl FnMut(&[usize]) -> usize) -> Op {
    let mut size = || pick(&[1, 2, 3, 7, 64, 257, 1024, 4099, 32_768, 65_535]) as u16;
    let (filters, rank) = (size(), size());
    let mut small = |sizes: &[usize]| pick(sizes) as u8;
    let stride = small(&[1, 1, 2, 255]);
    let window = WindowSize {
        kernel: (small(&[1, 2, 3, 16, 183, 255]), small(&[1, 2, 3, 16, 255])),
        stride: (stride, stride),
        dilation: small(&[1, 1, 2, 255]),
        padding: [Padding::Same, Padding::Valid][usize::from(small(&[0, 1]))],
    };
    let border = Border::all(small(&[1, 255]));
    match small(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]) {
        0 => Op::Dense { units: filters },
        1 => Op::LightDense {
            units: filters,
            rank,
        },
        2 => Op::Conv2d { filters, window },
        3 => Op::LightConv2d {
            filters,
            rank,
            window,
        },
        4 => Op::DepthwiseConv2d {
            multiplier: rank,
            window,
        },
        5 => Op::SeparableConv2d {
            filters,
            multiplier: rank,
            window,
        },
        6 => Op::ZeroPadding2d { border },
        7 => Op::MaxPool2d { window },
        8 => Op::BatchNorm {
            momentum: 0.9,
            epsilon: 0.1,
        },
        9 => Op::Flatten,
        _ => Op::Relu,
    }
}

/// Random networks of extreme sizes: all numbers of those that are accepted are the law's, and so are
/// those of the refused ones. How many there are of each is the same on every target.
#[test]
fn extreme_networks() {
    let mut rng = Rng::new(1);
    let mut pick = |choices: &[usize]| choices[rng.below(choices.len() as u32) as usize];
    let mut verdicts = BTreeMap::<&str, u32>::new();
    for _ in 0..20_000 {
        let sizes = [1, 2, 28, 255, 1024, 4099, 16_384, 46_341, 65_535];
        let mut net = match pick(&[0, 1]) {
            0 => Network::features(pick(&sizes)),
            _ => match Network::try_input(pick(&sizes), pick(&sizes), pick(&sizes)) {
                Ok(net) => net,
                Err(_) => {
                    *verdicts.entry(VALUES).or_default() += 1;
                    continue;
                }
            },
        };
        for _ in 0..pick(&[1, 2, 3, 4]) {
            let before: u128 = net.layers().iter().map(|layer| law(layer).0).sum();
            net = match net.try_push(any_op(&mut pick)) {
                Ok(net) => net,
                Err(BuildError::TooLarge {
                    what, found, most, ..
                }) if most == MAX_ELEMENTS => {
                    assert!(found > MAX_ELEMENTS && before <= most as u128);
                    *verdicts.entry(what).or_default() += 1;
                    break;
                }
                Err(_) => break,
            };
            let laws = net.layers().iter().map(law);
            let (weights, products) = laws.fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
            assert_eq!(net.weights() as u128, weights, "{net:?}");
            assert_eq!(u128::from(net.multiply_accumulates()), products, "{net:?}");
            let tensors = net.layers().iter().map(|layer| {
                let shape = layer.output_shape();
                u64::from(shape.height) * u64::from(shape.width) * u64::from(shape.channels)
            });
            let largest = tensors.max().unwrap();
            let training = net.training_workspace(1);
            let workspaces = [
                (net.inference_workspace(), largest),
                (training, largest + net.output_shape().len() as u64),
                (net.quantized_workspace(), largest.div_ceil(4)),
            ];
            for (workspace, least) in workspaces {
                assert!(
                    (least..=MAX_ELEMENTS as u64).contains(&(workspace as u64)),
                    "{net:?}"
                );
            }
            assert!(net.quantized_weights() <= MAX_ELEMENTS / 4 + 64 * 9 * 65_535);
            let state = net.optimizer_state::<Adam>();
            assert!(file::size(&net, Some(state)) as u64 <= u64::from(u32::MAX));
            *verdicts.entry("accepted").or_default() += 1;
        }
    }
    let expected = [
        ("accepted", 8813),
        (VALUES, 4928),
        (OUTPUTS, 296),
        (WEIGHTS, 470),
        (INFERENCE, 79),
        (TRAINING, 165),
        (INT8, 11),
    ];
    assert_eq!(verdicts, BTreeMap::from(expected));
}
