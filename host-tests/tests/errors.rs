//! What goes wrong after a network is built: the exact error, its text, and that the weights are as
//! they were.

use std::fmt;

use host_tests::session::{Answer, Buffers, Samples, message, random_weights};
use lightlayers::dataset::{Dataset, Holdout, PackedImages, Target};
use lightlayers::loss::{Loss, MeanSquaredError, SoftmaxCrossEntropy};
use lightlayers::metrics::ConfusionMatrix;
use lightlayers::optim::{Adam, AdamW, ClipNorm, Optimizer, Sgd};
use lightlayers::schedule::{Constant, EarlyStopping};
use lightlayers::{Buffer, BuildError, Epoch, Error, Inference, Memory, Network, Plan, Trainer};
use lightlayers::{Op, Quantity, Shape};

fn net() -> Network {
    Network::features(2).light_dense(3, 1).relu().dense(2)
}

/// Sample 5 is the one that is put in.
fn with_sample_5(x: [f32; 2], answer: Answer) -> Samples {
    let mut samples = Samples::classes(&net(), 8, 1);
    samples.0[5] = (x.to_vec(), answer);
    samples
}

/// Trains minibatches of 4 until something is wrong; returns that, and the weights before the step in
/// which it was and after it.
fn fail<L: Loss>(
    net: &Network,
    loss: L,
    rate: f32,
    mut samples: Samples,
) -> (Error, Vec<f32>, Vec<f32>) {
    let mut buffers = Buffers::new::<Sgd>(net, &random_weights(net, 2), 3);
    let plan = Plan::new(net);
    let mut trainer = Trainer::new(&plan, loss, Sgd, buffers.memory()).unwrap();
    for start in [0, 4] {
        let before = trainer.weights().to_vec();
        let steps = trainer.steps();
        if let Err(error) = trainer.step(&mut samples, start..start + 4, rate) {
            assert_eq!(trainer.steps(), steps, "the step does not count");
            let after = trainer.weights().to_vec();
            trainer
                .step(&mut samples, 0..4, 0.01)
                .expect("training can go on");
            return (error, before, after);
        }
    }
    panic!("nothing went wrong");
}

#[test]
fn unusable_samples() {
    let cross_entropy = SoftmaxCrossEntropy::new();
    let cases = [
        (
            with_sample_5([0.0, 1.0], Answer::Class(2)),
            Error::Label {
                sample: 5,
                classes: 2,
                found: 2,
            },
            "sample 5: expected a label below 2, found 2",
        ),
        (
            with_sample_5([0.0, f32::NAN], Answer::Class(1)),
            Error::NonFiniteSample { sample: 5 },
            "sample 5: expected finite values, found NaN or infinity",
        ),
        (
            with_sample_5([f32::NEG_INFINITY, 0.0], Answer::Class(1)),
            Error::NonFiniteSample { sample: 5 },
            "sample 5: expected finite values, found NaN or infinity",
        ),
        (
            with_sample_5([0.0, 1.0], Answer::Values(vec![f32::INFINITY, 0.0])),
            Error::NonFiniteSample { sample: 5 },
            "sample 5: expected finite values, found NaN or infinity",
        ),
    ];
    for (samples, expected, text) in cases {
        let (error, before, after) = fail(&net(), cross_entropy, 0.1, samples.clone());
        assert_eq!((error, &message(&error)[..]), (expected, text));
        assert_eq!(before, after);

        let mut buffers = Buffers::new::<Sgd>(&net(), &random_weights(&net(), 2), 1);
        let plan = Plan::new(&net());
        let mut trainer = Trainer::new(&plan, cross_entropy, Sgd, buffers.memory()).unwrap();
        let evaluated = trainer.evaluate(&mut samples.clone(), |_| {});
        assert_eq!(evaluated, Err(expected));
    }
}

/// A loss that is 0 but for one target.
struct Sometimes(f32);

impl Loss for Sometimes {
    fn gradient(&self, outputs: &mut [f32], target: &[f32], _: f32) -> f32 {
        outputs.fill(0.0);
        if target[0] == 5.0 { self.0 } else { 0.0 }
    }
}

#[test]
fn numbers_that_are_not_finite_stop_training() {
    let text = |quantity: &str| {
        format!(
            "step 2: expected a finite {quantity}, found NaN or infinity; the weights are the last finite ones"
        )
    };
    let error_of = |quantity| Error::NonFinite { quantity, step: 2 };

    for loss in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let samples = with_sample_5([0.0, 1.0], Answer::Values(vec![5.0, 0.0]));
        let (error, before, after) = fail(&net(), Sometimes(loss), 0.1, samples);
        assert_eq!(error, error_of(Quantity::Loss));
        assert_eq!((message(&error), before), (text("loss"), after));
    }

    // Squares of more than 1.8e19 are infinite.
    let samples = with_sample_5([1e25, 1e25], Answer::Values(vec![0.0, 0.0]));
    let (error, before, after) = fail(&net(), MeanSquaredError, 1e-3, samples);
    assert_eq!((error, before), (error_of(Quantity::Loss), after));

    // The first layer's weights are tiny: the output is about 1e10 and its square finite. The
    // gradient is the output times the input times the upper weight, 1e10 · 1e30 · 1.
    let linear = Network::features(1).dense(1).bias(false);
    let mut buffers = Buffers::new::<Sgd>(&linear, &[1e-20], 1);
    let plan = Plan::new(&linear);
    let mut trainer = Trainer::new(&plan, MeanSquaredError, Sgd, buffers.memory()).unwrap();
    let mut samples = Samples::from_rows(&[1e30], &[0.0], 1);
    let error = trainer.step(&mut samples, 0..1, 0.1).unwrap_err();
    let expected = Error::NonFinite {
        quantity: Quantity::Gradient,
        step: 1,
    };
    assert_eq!((error, trainer.weights()), (expected, &[1e-20][..]));

    // Rate times gradient is infinite; the weight keeps its value.
    let mut samples = Samples::from_rows(&[1e10], &[1e5], 1);
    let error = trainer.step(&mut samples, 0..1, 1e30).unwrap_err();
    let expected = Error::NonFinite {
        quantity: Quantity::Weight,
        step: 1,
    };
    assert_eq!((error, trainer.weights()), (expected, &[1e-20][..]));
    assert_eq!(
        message(&error),
        "step 1: expected a finite weight, found NaN or infinity; the weights are the last finite ones"
    );

    // Of several weights, those that stay finite may move.
    let wide = Network::features(2).dense(1).bias(false);
    let mut buffers = Buffers::new::<Sgd>(&wide, &[1e-20, 2.0], 1);
    let plan = Plan::new(&wide);
    let mut trainer = Trainer::new(&plan, MeanSquaredError, Sgd, buffers.memory()).unwrap();
    let mut samples = Samples::from_rows(&[1e10, 0.5], &[1e5], 1);
    assert_eq!(
        trainer.step(&mut samples, 0..1, 1e30).unwrap_err(),
        expected
    );
    assert_eq!(trainer.weights()[0], 1e-20);
    assert!(trainer.weights()[1].is_finite());
}

/// Weights that are NaN from the start are found at the first loss, through every activation.
#[test]
fn a_broken_network_is_noticed() {
    let activations: [fn(Network) -> Network; 6] = [
        Network::relu,
        Network::relu6,
        |net| net.leaky_relu(0.0),
        Network::sigmoid,
        Network::tanh,
        Network::softmax,
    ];
    for add in activations {
        let net = add(Network::features(2).dense(3)).dense(2);
        let mut weights = random_weights(&net, 1);
        weights[4] = f32::NAN;
        let mut buffers = Buffers::new::<Adam>(&net, &weights, 1);
        let plan = Plan::new(&net);
        let loss = SoftmaxCrossEntropy::new();
        let mut trainer = Trainer::new(&plan, loss, Adam::new(), buffers.memory()).unwrap();
        let mut samples = Samples::classes(&net, 4, 1);
        let trained = trainer.step(&mut samples, 0..4, 0.1);
        let expected = Error::NonFinite {
            quantity: Quantity::Loss,
            step: 1,
        };
        assert_eq!(trained, Err(expected), "{:?}", net.layers()[1].op());
    }
}

/// A card that is pulled out at sample 3.
struct Card(Samples);

#[derive(Clone, Copy, PartialEq, Debug)]
struct Removed(u8);

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "card in slot {} was removed", self.0)
    }
}

impl Dataset for Card {
    type Error = Removed;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn read(
        &mut self,
        index: usize,
        input: &mut [f32],
        target: &mut Target<'_>,
    ) -> Result<(), Removed> {
        if index == 3 {
            return Err(Removed(1));
        }
        self.0
            .read(index, input, target)
            .map_err(|never| match never {})
    }
}

#[test]
fn errors_of_the_data_set_pass_through() {
    let mut card = Card(Samples::classes(&net(), 8, 1));
    let weights = random_weights(&net(), 2);
    let mut buffers = Buffers::new::<Sgd>(&net(), &weights, 2);
    let plan = Plan::new(&net());
    let loss = SoftmaxCrossEntropy::new();
    let mut trainer = Trainer::new(&plan, loss, Sgd, buffers.memory()).unwrap();
    let expected = Err(Error::Dataset(Removed(1)));
    let evaluated = trainer.evaluate(&mut card, |_| {});
    assert_eq!(evaluated, expected);
    let order = Epoch::in_order(5);
    let trained = trainer.epoch(&mut card, order, &Constant(0.1), |_| {});
    assert_eq!(trained, expected);
    assert_eq!(trainer.weights(), weights);
    let text = message(&trained.unwrap_err());
    assert_eq!(text, "data set: card in slot 1 was removed");
}

#[test]
fn nothing_to_train_on() {
    let mut buffers = Buffers::new::<Sgd>(&net(), &random_weights(&net(), 2), 2);
    let plan = Plan::new(&net());
    let loss = SoftmaxCrossEntropy::new();
    let mut trainer = Trainer::new(&plan, loss, Sgd, buffers.memory()).unwrap();
    let (mut none, mut some) = (Samples::default(), Samples::classes(&net(), 3, 1));
    let rate = Constant(0.1);
    let one = Epoch::shuffled(1, 0);
    assert_eq!(
        trainer.epoch(&mut none, one, &rate, |_| {}),
        Err(Error::Empty)
    );
    assert_eq!(
        trainer.epoch(&mut some, Epoch::in_order(0), &rate, |_| {}),
        Err(Error::Empty)
    );
    assert_eq!(trainer.step(&mut some, 0..0, 0.1), Err(Error::Empty));
    assert_eq!(trainer.evaluate(&mut none, |_| {}), Err(Error::Empty));
    assert_eq!(trainer.steps(), 0);
    assert_eq!(
        message(&Error::<Removed>::Empty),
        "expected at least 1 sample, found none"
    );
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
            "dense: the network's number of weights is 4294901760, expected at most 1073741823",
        ),
    ];
    for (result, text) in cases {
        let error = result.expect_err(text);
        assert_eq!(message(&Error::<Removed>::Build(error)), text);
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

/// An optimizer of the user's own that breaks its promise: the weights that it reports stay.
#[derive(Debug)]
struct Refusing;

impl Optimizer for Refusing {
    const STATE: usize = 0;

    fn update(&self, _: lightlayers::optim::Step, _: &mut [f32], _: &[f32], _: &mut [f32]) -> bool {
        false
    }
}

#[test]
fn an_optimizer_that_finds_no_finite_weights() {
    let mut buffers = Buffers::new::<Refusing>(&net(), &random_weights(&net(), 1), 1);
    let plan = Plan::new(&net());
    let mut trainer = Trainer::new(&plan, MeanSquaredError, Refusing, buffers.memory()).unwrap();
    let trained = trainer.step(&mut Samples::classes(&net(), 2, 1), 0..2, 0.1);
    let expected = Error::NonFinite {
        quantity: Quantity::Weight,
        step: 1,
    };
    assert_eq!(trained, Err(expected));
}
