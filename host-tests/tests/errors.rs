//! What goes wrong while training: the exact error, its text, and that the weights are as they
//! were.

use std::fmt;

use host_tests::session::{Add, Answer, Buffers, Samples, message, random_weights};
use lightlayers::dataset::{Dataset, Target};
use lightlayers::loss::{Loss, MeanSquaredError, SoftmaxCrossEntropy};
use lightlayers::optim::{Adam, Optimizer, Sgd, Step};
use lightlayers::schedule::Constant;
use lightlayers::{Epoch, Error, Network, Plan, Quantity, Trainer};

fn net() -> Network {
    Network::features(2).light_dense(3, 1).relu().dense(2)
}

/// Sample 5 is the one that is put in.
fn with_sample_5(x: [f32; 2], answer: Answer) -> Samples {
    let mut samples = Samples::classes(&net(), 8, 1);
    samples.0[5] = (x.to_vec(), answer);
    samples
}

/// Trains minibatches of 4 until something is wrong; returns that, and the weights before and after
/// the step in which it was.
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
            "sample 5: expected finite values, found NaN, infinity or a value that was not written",
        ),
        (
            with_sample_5([f32::NEG_INFINITY, 0.0], Answer::Class(1)),
            Error::NonFiniteSample { sample: 5 },
            "sample 5: expected finite values, found NaN, infinity or a value that was not written",
        ),
        (
            with_sample_5([0.0, 1.0], Answer::Values(vec![f32::INFINITY, 0.0])),
            Error::NonFiniteSample { sample: 5 },
            "sample 5: expected finite values, found NaN, infinity or a value that was not written",
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
            "step 2: expected a finite {quantity}, found NaN or infinity; \
             the step was not taken"
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
        "step 1: expected a finite weight, found NaN or infinity; \
         it kept its value, others have moved"
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
    let activations: [Add; 6] = [
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

/// An optimizer of the user's own that breaks its promise: the weights that it reports stay.
#[derive(Debug)]
struct Refusing;

impl Optimizer for Refusing {
    const STATE: usize = 0;

    fn update(&self, _: Step, _: &mut [f32], _: &[f32], _: &mut [f32]) -> bool {
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
