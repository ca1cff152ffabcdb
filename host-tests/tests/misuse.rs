//! What does not fit together: buffers, layers, settings. The exact error, and its text.

use std::convert::Infallible;

use host_tests::session::{Buffers, Samples, message, random_weights};
use lightlayers::dataset::{Holdout, PackedImages};
use lightlayers::loss::{MeanSquaredError, SoftmaxCrossEntropy};
use lightlayers::metrics::ConfusionMatrix;
use lightlayers::optim::{Adam, AdamW, ClipNorm, Sgd};
use lightlayers::schedule::EarlyStopping;
use lightlayers::{
    Border, Buffer, BuildError, CustomBackward, CustomForward, CustomLayer, CustomSizes, Error,
    Inference, Initializer, Memory, Network, Op, Padding, Plan, Shape, Trainer, WindowSize,
};

fn net() -> Network {
    Network::features(2).light_dense(3, 1).relu().dense(2)
}

fn length(buffer: Buffer, expected: usize, found: usize) -> Error {
    Error::Length {
        buffer,
        expected,
        found,
    }
}

#[test]
fn training_buffers_of_a_wrong_length() {
    let plan = Plan::new(&net());
    // light_dense(3, 1) of 2 inputs: 2 + 3 + 3; dense(2) of 3: 6 + 2.
    assert_eq!(net().weights(), 16);
    let workspace = net().training_workspace(1);
    let lengths = [16, 16, 32, workspace];
    let new = |lengths: [usize; 4]| {
        let [
            mut weights,
            mut gradients,
            mut optimizer_state,
            mut workspace,
        ] = lengths.map(|length| vec![0.0; length]);
        let memory = Memory {
            weights: &mut weights,
            gradients: &mut gradients,
            optimizer_state: &mut optimizer_state,
            workspace: &mut workspace,
        };
        Trainer::new(&plan, MeanSquaredError, Adam::new(), memory).map(|_| ())
    };
    assert_eq!(new(lengths), Ok(()));
    let buffers = [Buffer::Weights, Buffer::Gradients, Buffer::OptimizerState];
    for (i, buffer) in buffers.into_iter().enumerate() {
        for wrong in [0, lengths[i] - 1, lengths[i] + 1] {
            let mut lengths = lengths;
            let expected = length(buffer, lengths[i], wrong);
            lengths[i] = wrong;
            assert_eq!(new(lengths), Err(expected));
        }
    }
    // A workspace may be longer: more samples fit, or a rest stays unused.
    for wrong in [0, workspace - 1] {
        let expected = length(Buffer::Workspace, workspace, wrong);
        assert_eq!(new([16, 16, 32, wrong]), Err(expected));
    }
    assert_eq!(new([16, 16, 32, workspace + 1]), Ok(()));

    let texts = [
        (Buffer::Weights, "weights: expected 16 elements, found 15"),
        (
            Buffer::Gradients,
            "gradients: expected 16 elements, found 15",
        ),
        (
            Buffer::OptimizerState,
            "optimizer state: expected 16 elements, found 15",
        ),
        (
            Buffer::Workspace,
            "workspace: expected at least 16 elements, found 15",
        ),
        (Buffer::Best, "best weights: expected 16 elements, found 15"),
        (Buffer::Input, "input: expected 16 elements, found 15"),
    ];
    for (buffer, text) in texts {
        assert_eq!(message(&length(buffer, 16, 15)), text);
    }
}

#[test]
fn other_buffers_of_a_wrong_length() {
    let plan = Plan::new(&net());
    let weights = random_weights(&net(), 1);
    let one = net().inference_workspace();
    let new = |weights: &[f32], workspace: usize| {
        Inference::new(&plan, weights, &mut vec![0.0; workspace]).map(|_| ())
    };
    assert_eq!(new(&weights, one), Ok(()));
    for wrong in [0, 15, 17] {
        let expected = length(Buffer::Weights, 16, wrong);
        assert_eq!(new(&vec![0.0; wrong], one), Err(expected));
    }
    let expected = length(Buffer::Workspace, one, one - 1);
    assert_eq!(new(&weights, one - 1), Err(expected));

    // Room for two samples of two values.
    let mut workspace = vec![0.0; 2 * one];
    let mut inference = Inference::new(&plan, &weights, &mut workspace).unwrap();
    for (found, expected) in [(0, 2), (1, 2), (3, 2), (5, 4), (6, 4)] {
        let input = vec![0.0; found];
        let expected = length(Buffer::Input, expected, found);
        assert_eq!(inference.run(&input), Err(expected));
    }
    assert_eq!(inference.run(&[0.0; 2]).unwrap().len(), 2);
    assert_eq!(inference.run(&[0.0; 4]).unwrap().len(), 4);

    // Images are run one after another, however many the workspace has room for.
    let images = Network::input(3, 2, 1).relu();
    let plan = Plan::new(&images);
    let mut workspace = vec![0.0; 4 * images.inference_workspace()];
    let mut inference = Inference::new(&plan, &[], &mut workspace).unwrap();
    let expected = length(Buffer::Input, 6, 12);
    assert_eq!(inference.run(&[0.0; 12]), Err(expected));
    assert_eq!(inference.run(&[1.0; 6]).unwrap(), [1.0; 6]);

    let expected = length(Buffer::Weights, 16, 3);
    assert_eq!(net().initialize(&mut [0.0; 3], 1), Err(expected));

    let mut best = [0.0; 3];
    let mut stopping = EarlyStopping::new(1, 0.0, &mut best);
    let expected = length(Buffer::Best, 2, 3);
    assert_eq!(stopping.observe(1.0, &[0.0; 2]), Err(expected));
    assert_eq!(stopping.restore(&mut [0.0; 2]), Err(expected));

    let expected = length(Buffer::ConfusionMatrix, 4, 5);
    assert_eq!(ConfusionMatrix::<4>::new(5), Err(expected));
    assert_eq!(
        message(&expected),
        "confusion matrix: expected 1 to 4 classes, found 5"
    );
}

/// With gaps, a window of pooling could lie on padding alone.
#[test]
fn pooling_has_no_dilation() {
    let window = WindowSize {
        kernel: (2, 2),
        stride: (1, 1),
        dilation: 2,
        padding: Padding::Same,
    };
    for (op, layer) in [
        (Op::MaxPool2d { window }, "max_pool2d"),
        (Op::AveragePool2d { window }, "average_pool2d"),
    ] {
        let expected = BuildError::OutOfRange {
            layer,
            what: "the dilation of pooling",
            range: "1..=1",
        };
        let found = Network::input(4, 4, 1).try_push(op).err();
        assert_eq!(found, Some(expected));
    }
}

/// Both branches of a residual block start with the very layers that it is added to, and end in the
/// same shape.
#[test]
fn branches_that_do_not_meet() {
    let net = Network::input(4, 4, 2).relu();
    let body = net.conv2d(2, 3);
    assert!(net.try_residual(body, net).is_ok());
    let apart = Some(BuildError::BranchesStartApart);
    let others = [
        Network::input(4, 4, 2),
        Network::input(4, 4, 2).relu6().conv2d(2, 3),
        net.frozen().conv2d(2, 3),
        Network::input(3, 4, 2).relu().conv2d(2, 3),
    ];
    for other in others {
        assert_eq!(net.try_residual(body, other).err(), apart);
        assert_eq!(net.try_residual(other, body).err(), apart);
    }
    assert_eq!(net.try_residual(net, net).err(), apart);
    let expected = BuildError::BranchesDiffer {
        body: Shape::image(4, 4, 2),
        shortcut: Shape::image(4, 4, 3),
    };
    assert_eq!(
        net.try_residual(body, net.conv2d(3, 1)).err(),
        Some(expected)
    );
    // An image of one pixel is no vector.
    let pixel = Network::input(1, 1, 2).relu();
    assert!(
        pixel
            .try_residual(pixel.conv2d(2, 1), pixel.flatten())
            .is_err()
    );
}

/// Nothing that a layer is may differ between the network and the start of a branch: neither a
/// setting nor what only training reads.
#[test]
fn branches_of_a_network_with_other_settings() {
    let custom = |net: Network, saved| {
        let sizes = CustomSizes {
            output: net.output_shape(),
            weights: 0,
            saved,
        };
        net.custom(&Nothing, sizes)
    };
    let image = Network::input(4, 4, 2);
    let conv = image.conv2d(2, 2);
    let light = image.light_conv2d(2, 3, 2);
    let separable = |multiplier| {
        let Op::SeparableConv2d {
            filters, window, ..
        } = *image.separable_conv2d(2, 3).layers()[0].op()
        else {
            unreachable!("it is one");
        };
        let op = Op::SeparableConv2d {
            filters,
            multiplier,
            window,
        };
        image.try_push(op).unwrap()
    };
    let padded = |top, bottom| {
        let border = Border {
            top,
            bottom,
            ..Border::all(1)
        };
        image.try_push(Op::ZeroPadding2d { border }).unwrap()
    };
    let pairs = [
        (image.leaky_relu(0.1), image.leaky_relu(0.9)),
        (image.dropout(0.1), image.dropout(0.2)),
        (conv, conv.dilation(2)),
        (conv.kernel_size(1, 4), conv),
        (conv.kernel_size(1, 4), conv.kernel_size(4, 1)),
        (
            image.conv2d(2, 1).padding(Padding::Valid),
            image.conv2d(2, 1),
        ),
        (conv.l2(0.1), conv.l2(0.2)),
        (conv.kernel_initializer(Initializer::HeNormal), conv),
        (conv.bias(false), conv),
        (conv.frozen(), conv),
        (light, light.dilation(2)),
        (light, image.light_conv2d(2, 3, 1)),
        (separable(1), separable(2)),
        (
            image.depthwise_conv2d(3, 1),
            image.depthwise_conv2d(3, 1).dilation(2),
        ),
        (
            image.batch_norm_with(0.9, 0.1),
            image.batch_norm_with(0.9, 0.2),
        ),
        (
            image.batch_norm_with(0.9, 0.1),
            image.batch_norm_with(0.8, 0.1),
        ),
        (
            image.max_pool2d(2).kernel_size(2, 1),
            image.max_pool2d(2).kernel_size(1, 2),
        ),
        (image.max_pool2d(2), image.average_pool2d(2)),
        (padded(1, 2), padded(2, 1)),
        (custom(image, 0), custom(image, 1)),
        (
            image.flatten().light_dense(3, 1).relu().light_dense(3, 2),
            image.flatten().light_dense(3, 2).relu().light_dense(3, 1),
        ),
    ];
    for (net, other) in pairs {
        let name = format!("{:?} {:?}", net.layers(), other.layers());
        for (net, other) in [(net, other), (other, net)] {
            let apart = Some(BuildError::BranchesStartApart);
            assert!(net.try_residual(net.relu(), net).is_ok(), "{name}");
            assert_eq!(net.try_residual(other.relu(), net).err(), apart, "{name}");
            assert_eq!(net.try_residual(net.relu(), other).err(), apart, "{name}");
        }
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
        pass.output.copy_from_slice(pass.input);
    }
    fn backward_input(&self, pass: CustomBackward<'_>, gradient: &mut [f32]) {
        gradient.copy_from_slice(pass.output_gradient);
    }
}

#[test]
fn a_network_without_layers() {
    let empty = Plan::new(&Network::features(3));
    let expected = Error::Build(BuildError::HasNo {
        layer: "network",
        what: "layers",
    });
    let inference = Inference::new(&empty, &[], &mut [0.0; 3]).map(|_| ());
    assert_eq!(inference, Err(expected));
    let memory = Memory {
        weights: &mut [],
        gradients: &mut [],
        optimizer_state: &mut [],
        workspace: &mut [0.0; 6],
    };
    let trainer = Trainer::new(&empty, MeanSquaredError, Sgd, memory).map(|_| ());
    assert_eq!(trainer, Err(expected));
    assert_eq!(message(&expected), "network: has no layers");
}

/// A network from unchecked data: an error for each layer that cannot be added.
#[test]
fn layers_that_do_not_fit() {
    let image = Network::input(8, 9, 2);
    let vector = Network::features(65_535);
    let full = (0..64).fold(Network::features(1), |net, _| net.relu());
    let nan = f32::NAN;
    let cases = [
        (
            image.try_push(Op::Dense { units: 10 }),
            "dense: expected a flat input, found 8x9x2; call flatten() before it",
        ),
        (
            image.try_push(Op::LightDense { units: 10, rank: 2 }),
            "light_dense: expected a flat input, found 8x9x2; call flatten() before it",
        ),
        (
            vector.try_push(Op::Dense { units: 0 }),
            "dense: units is 0, expected at least 1",
        ),
        (
            vector.try_push(Op::LightDense { units: 0, rank: 1 }),
            "light_dense: units is 0, expected at least 1",
        ),
        (
            vector.try_push(Op::LightDense { units: 1, rank: 0 }),
            "light_dense: rank is 0, expected at least 1",
        ),
        (
            vector.try_push(Op::Dropout { rate: 1.0 }),
            "dropout: expected the rate in 0..1",
        ),
        (
            vector.try_push(Op::Dropout { rate: nan }),
            "dropout: expected the rate in 0..1",
        ),
        (
            vector.try_push(Op::LeakyRelu { slope: -0.1 }),
            "leaky_relu: expected the slope in 0..=1",
        ),
        (
            vector.try_push(Op::LeakyRelu { slope: nan }),
            "leaky_relu: expected the slope in 0..=1",
        ),
        (
            Network::input(256, 256, 1).try_push(Op::Flatten),
            "flatten: the length of its output is 65536, expected at most 65535",
        ),
        (
            full.try_push(Op::Relu),
            "network: expected at most 64 layers",
        ),
        (
            Network::try_input(8, 0, 1),
            "input: width is 0, expected at least 1",
        ),
        (
            Network::try_input(8, 8, 65_536),
            "input: channels is 65536, expected at most 65535",
        ),
        (
            vector.try_push(Op::Dense { units: 65_535 }),
            "dense: the network's number of weights is 4294901760, expected at most 268435456",
        ),
    ];
    for (result, text) in cases {
        let error = result.expect_err(text);
        assert_eq!(message(&Error::<Infallible>::Build(error)), text);
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn settings_out_of_range() {
    let check = |result: Result<(), Error>, what: &'static str, range: &'static str| {
        let expected = Error::OutOfRange { what, range };
        assert_eq!(result, Err(expected));
        assert_eq!(message(&expected), format!("expected {what} in {range}"));
    };
    let (nan, infinity) = (f32::NAN, f32::INFINITY);
    for norm in [0.0, -1.0, nan, infinity] {
        let result = ClipNorm::new(norm, Sgd).map(|_| ());
        check(result, "the clipping norm", "above 0");
    }
    for momentum in [-0.1, 1.0, nan] {
        check(Sgd::momentum(momentum).map(|_| ()), "the momentum", "0..1");
        check(Sgd::nesterov(momentum).map(|_| ()), "the momentum", "0..1");
        check(
            Sgd::heavy_ball(momentum).map(|_| ()),
            "the momentum",
            "0..1",
        );
    }
    for beta in [-0.1, 1.0, nan] {
        check(Adam::with(beta, 0.999, 1e-7).map(|_| ()), "beta", "0..1");
        check(Adam::with(0.9, beta, 1e-7).map(|_| ()), "beta", "0..1");
    }
    for epsilon in [0.0, -1e-7, nan, infinity] {
        let result = Adam::with(0.9, 0.999, epsilon).map(|_| ());
        check(result, "epsilon", "above 0");
    }
    for decay in [-0.1, nan, infinity] {
        let result = AdamW::new(decay, Adam::new()).map(|_| ());
        check(result, "the weight decay", "0..");
    }
    for smoothing in [-0.1, 1.1, nan] {
        let result = SoftmaxCrossEntropy::with_label_smoothing(smoothing).map(|_| ());
        check(result, "the label smoothing", "0..=1");
    }
    for every in [0, 1] {
        let what = "the distance of held-out samples";
        let result = Holdout::training(Samples::default(), every).map(|_| ());
        check(result, what, "2..");
        let result = Holdout::testing(Samples::default(), every).map(|_| ());
        check(result, what, "2..");
    }
}

#[test]
fn an_image_that_is_not_there() {
    let bytes = b"LLP4\x02\0\0\0\x01\0\x01\0\x01\0\x02\0\x10\x00\x0f";
    let images = PackedImages::new(bytes).unwrap();
    assert_eq!(images.shape(), Shape::image(1, 1, 1));
    let plan = Plan::new(&Network::features(1).dense(2));
    let mut buffers = Buffers::new::<Sgd>(plan.network(), &[0.0; 4], 1);
    let loss = SoftmaxCrossEntropy::new();
    let mut trainer = Trainer::new(&plan, loss, Sgd, buffers.memory()).unwrap();
    let error = trainer.step(&mut { images }, 1..3, 0.1).unwrap_err();
    assert_eq!(error, Error::Dataset(Error::Index { len: 2, found: 2 }));
    assert_eq!(
        message(&error),
        "data set: expected a sample index below 2, found 2"
    );

    // Images of another size than the network's input.
    let plan = Plan::new(&Network::features(4).dense(2));
    let mut buffers = Buffers::new::<Sgd>(plan.network(), &[0.0; 10], 1);
    let mut trainer = Trainer::new(&plan, loss, Sgd, buffers.memory()).unwrap();
    let error = trainer.step(&mut { images }, 0..1, 0.1).unwrap_err();
    assert_eq!(error, Error::Dataset(length(Buffer::Input, 1, 4)));
}
