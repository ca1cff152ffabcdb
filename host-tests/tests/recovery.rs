//! After an error the next step from healthy weights works, whatever the optimizer; settings that
//! cannot train are refused before anything changes.

use std::convert::Infallible;

use host_tests::session::{Answer, Buffers, Run, Samples, message, random_weights};
use lightlayers::dataset::{Dataset, Holdout, Target};
use lightlayers::loss::{Loss, MeanSquaredError, SoftmaxCrossEntropy};
use lightlayers::metrics::ConfusionMatrix;
use lightlayers::optim::{Adam, AdamW, ClipNorm, Optimizer, Sgd};
use lightlayers::schedule::{Constant, Schedule, StepDecay};
use lightlayers::{Epoch, Error, Inference, Network, PartialStep, Plan, Quantity, Trainer};

const NET: Network = Network::features(2).dense(3).relu().dense(1);

fn samples(input: f32, target: f32) -> Samples {
    Samples(vec![(vec![input; 2], Answer::Values(vec![target])); 2])
}

/// A loss whose gradient is `1e38` where the target is 1, NaN where it is 2, and healthy elsewhere;
/// the loss itself is infinite where the target is 3.
struct Faulty;

impl Loss for Faulty {
    fn gradient(&self, outputs: &mut [f32], target: &[f32], weight: f32) -> f32 {
        let loss = MeanSquaredError.gradient(outputs, &[0.0], weight);
        match target {
            [1.0] => outputs.fill(1e38),
            [2.0] => outputs.fill(f32::NAN),
            [3.0] => return f32::INFINITY,
            _ => {}
        }
        loss
    }
}

/// Takes bad steps of every kind and a healthy one after each of them. The healthy one starts from
/// the weights of before, since a bad step may have moved them far without an error.
fn recovers<O: Optimizer + Copy>(name: &str, optimizer: O) {
    let plan = Plan::new(&NET);
    let weights = random_weights(&NET, 1);
    let bad = [
        (1.0, 0.01, "gradients near the largest number"),
        (1.0, 1e30, "a step that overflows"),
        (2.0, 0.01, "gradients that are NaN"),
        (3.0, 0.01, "a loss that is infinite"),
        (0.0, f32::NAN, "a rate of NaN"),
        (0.0, f32::INFINITY, "an infinite rate"),
        (0.0, -0.01, "a negative rate"),
        (0.0, f32::MAX, "the largest rate"),
    ];
    for (target, rate, what) in bad {
        for whole in [true, false] {
            let mut buffers = Buffers::new::<O>(&NET, &weights, 1);
            let trainer = Trainer::new(&plan, Faulty, optimizer, buffers.memory());
            let mut trainer = trainer.expect("buffers fit");
            let mut step = |samples: &mut Samples, rate: f32| {
                trainer.weights_mut().copy_from_slice(&weights);
                if whole {
                    return trainer.step(samples, 0..2, rate).map(|_| ());
                }
                let mut step = trainer.start_step(0..2, rate).expect("two samples");
                while step.advance(samples)?.is_none() {}
                Ok(())
            };
            step(&mut samples(0.5, 0.0), 0.01).expect("healthy");
            for _ in 0..3 {
                let _ = step(&mut samples(0.5, target), rate);
            }
            let result = step(&mut samples(0.5, 0.0), 0.01);
            assert_eq!(result, Ok(()), "{name}, whole {whole}: after {what}");
            let values = buffers.weights.iter().chain(&buffers.optimizer_state);
            assert!(values.clone().all(|value| value.is_finite()), "{name}");
        }
    }
}

#[test]
fn a_step_from_healthy_weights_works_after_any_error() {
    recovers("sgd", Sgd);
    recovers("momentum", Sgd::momentum(0.9).unwrap());
    recovers("nesterov", Sgd::nesterov(0.9).unwrap());
    recovers("nesterov, 0", Sgd::nesterov(0.0).unwrap());
    recovers("heavy ball", Sgd::heavy_ball(0.9).unwrap());
    recovers("adam", Adam::new());
    recovers("adamw", AdamW::new(0.004, Adam::new()).unwrap());
    recovers("clipped", ClipNorm::new(1.0, Sgd).unwrap());
    recovers(
        "clipped heavy ball",
        ClipNorm::new(1e30, Sgd::heavy_ball(0.9).unwrap()).unwrap(),
    );
    recovers(
        "clipped momentum",
        ClipNorm::new(1e30, Sgd::momentum(0.9).unwrap()).unwrap(),
    );
}

#[test]
fn a_velocity_that_overflowed_starts_again() {
    for nesterov in [false, true] {
        let momentum = if nesterov {
            Sgd::nesterov(0.9).unwrap()
        } else {
            Sgd::momentum(0.9).unwrap()
        };
        let (mut weights, mut state) = ([0.5], [0.0]);
        let step = |rate| lightlayers::optim::Step { number: 1, rate };
        assert!(!momentum.update(step(1e10), &mut weights, &[1e30], &mut state));
        assert_eq!((weights, state), ([0.5], [0.0]));
        // From a velocity of 0: v = -0.1, w = 0.5 - 0.1; Nesterov's w = 0.5 - 0.1 - 0.9 · 0.1.
        assert!(momentum.update(step(0.1), &mut weights, &[1.0], &mut state));
        let expected = if nesterov { 0.31 } else { 0.4 };
        assert!((weights[0] - expected).abs() < 1e-6, "{weights:?}");
    }
}

#[test]
fn heavy_ball_starts_without_velocity_whatever_the_memory_held() {
    let plan = Plan::new(&NET);
    let weights = random_weights(&NET, 1);
    let heavy_ball = Sgd::heavy_ball(0.9).unwrap();
    let mut data = samples(0.5, 0.25);
    let first_steps = |content: f32| {
        let mut buffers = Buffers::new::<Sgd>(&NET, &weights, 1);
        buffers.gradients.fill(content);
        let trainer = Trainer::new(&plan, MeanSquaredError, heavy_ball, buffers.memory());
        let mut trainer = trainer.expect("buffers fit");
        for _ in 0..3 {
            trainer
                .step(&mut samples(0.5, 0.25), 0..2, 0.1)
                .expect("healthy");
        }
        trainer.weights().to_vec()
    };
    let expected = first_steps(0.0);
    assert_eq!(first_steps(7.0), expected);
    assert_eq!(first_steps(f32::NAN), expected);

    // A trainer that starts afresh takes the steps of a new one.
    let mut buffers = Buffers::new::<Sgd>(&NET, &weights, 1);
    let trainer = Trainer::new(&plan, MeanSquaredError, heavy_ball, buffers.memory());
    let mut trainer = trainer.expect("buffers fit");
    let mut run = || {
        trainer.initialize(3).expect("as long");
        for _ in 0..3 {
            trainer.step(&mut data, 0..2, 0.1).expect("healthy");
        }
        trainer.weights().to_vec()
    };
    assert_eq!(run(), run());
}

fn rate_error() -> Error {
    Error::OutOfRange {
        what: "a learning rate",
        range: "0.. and finite",
    }
}

#[test]
fn a_rate_that_is_no_rate_is_refused_before_anything_changes() {
    let plan = Plan::new(&NET);
    let weights = random_weights(&NET, 1);
    let mut data = samples(0.5, 0.25);
    for rate in [-1e-3, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut buffers = Buffers::new::<Adam>(&NET, &weights, 1);
        let trainer = Trainer::new(&plan, MeanSquaredError, Adam::new(), buffers.memory());
        let mut trainer = trainer.expect("buffers fit");
        assert_eq!(trainer.step(&mut data, 0..2, rate), Err(rate_error()));
        let epoch = trainer.epoch(&mut data, Epoch::in_order(2), &Constant(rate), |_| {});
        assert_eq!(epoch, Err(rate_error()));
        let mut step = trainer.into_step(0..2, rate);
        for _ in 0..2 {
            assert_eq!(step.advance(&mut data), Err(rate_error()));
        }
        let trainer = PartialStep::into_trainer(step);
        assert_eq!((trainer.steps(), trainer.weights()), (0, &weights[..]));
    }
    assert_eq!(
        message(&rate_error()),
        "expected a learning rate in 0.. and finite"
    );
}

#[test]
fn a_schedule_whose_power_overflows() {
    let decay = |initial, factor| StepDecay {
        initial,
        factor,
        every: 1,
    };
    // 0 · 2^200 = 0, and not 0 · ∞.
    assert_eq!(decay(0.0, 2.0).rate(200), 0.0);
    assert_eq!(decay(1.0, 2.0).rate(200), f32::INFINITY);
    assert_eq!(decay(1.0, 0.5).rate(200), 0.0);
}

#[test]
fn softmax_cross_entropy_wants_logits_of_two_classes() {
    let new = |net: Network| {
        let plan = Plan::new(&net);
        let weights = random_weights(&net, 1);
        let mut buffers = Buffers::new::<Sgd>(&net, &weights, 1);
        Trainer::new(&plan, SoftmaxCrossEntropy::new(), Sgd, buffers.memory()).map(|_| ())
    };
    assert_eq!(new(Network::features(3).dense(2)), Ok(()));
    // A softmax in the middle is a layer like any other.
    assert_eq!(
        new(Network::features(3).dense(4).softmax().dense(2)),
        Ok(())
    );

    let one = new(Network::features(3).dense(1)).unwrap_err();
    assert_eq!(
        message(&one),
        "softmax cross-entropy: expected at least 2 outputs, one for each class, found 1, whose \
         probability is always 1; add outputs, or take MeanSquaredError behind a sigmoid"
    );
    let probabilities = new(Network::features(3).dense(2).softmax()).unwrap_err();
    assert_eq!(
        message(&probabilities),
        "softmax cross-entropy: expected logits, found the probabilities of a softmax layer; \
         leave that layer out, the loss contains it"
    );
    let image = Network::input(1, 1, 4).conv2d(2, 1).softmax();
    assert_eq!(new(image.flatten()), Err(probabilities));
    assert_eq!(new(image.flatten().dropout(0.5)), Err(probabilities));
}

#[test]
fn batch_norm_wants_two_values_to_learn_from() {
    let flat = Network::features(3).dense(4).batch_norm().relu().dense(2);
    let pixel = Network::input(3, 3, 1)
        .conv2d(4, 3)
        .padding(lightlayers::Padding::Valid)
        .batch_norm()
        .flatten()
        .dense(2);
    for (net, layer) in [(flat, 1), (pixel, 1)] {
        let error = Error::SingleValue { layer };
        let plan = Plan::new(&net);
        let weights = random_weights(&net, 1);
        let mut data = Samples::classes(&net, 9, 1);
        let loss = SoftmaxCrossEntropy::new();
        let mut one = Buffers::new::<Sgd>(&net, &weights, 1);
        let refused = Trainer::new(&plan, loss, Sgd, one.memory());
        assert_eq!(refused.map(|_| ()), Err(error));

        let mut four = Buffers::new::<Sgd>(&net, &weights, 4);
        let mut trainer = Trainer::new(&plan, loss, Sgd, four.memory()).expect("room for four");
        for (samples, expected) in [(1, false), (2, true), (4, true), (5, false), (6, true)] {
            let result = trainer.step(&mut data, 0..samples, 0.1);
            assert_eq!(result.is_ok(), expected, "{samples} samples");
            if !expected {
                assert_eq!(result, Err(error));
            }
        }
        // The last minibatch of an epoch is one sample: refused before the first.
        let before = trainer.weights().to_vec();
        let steps = trainer.steps();
        let epoch = trainer.epoch(&mut data, Epoch::in_order(4), &Constant(0.1), |_| {});
        assert_eq!(epoch, Err(error));
        assert_eq!((trainer.steps(), trainer.weights()), (steps, &before[..]));
        let epoch = trainer.epoch(&mut data, Epoch::in_order(3), &Constant(0.1), |_| {});
        assert_eq!(epoch.map(|metrics| metrics.samples()), Ok(9));

        // Frozen, it learns from no batch.
        let plan = Plan::new(&net.all_frozen().dense(2));
        let weights = random_weights(plan.network(), 1);
        let mut one = Buffers::new::<Sgd>(plan.network(), &weights, 1);
        let mut trainer = Trainer::new(&plan, loss, Sgd, one.memory()).expect("nothing to learn");
        trainer.step(&mut data, 0..1, 0.1).expect("the head learns");
    }
    let text = message::<Infallible>(&Error::SingleValue { layer: 1 });
    assert!(
        text.starts_with("layer 1, batch_norm: expected at least 2 values"),
        "{text}"
    );
}

/// Writes all samples but the last, of which it leaves out a value.
struct Forgetful {
    forgets_target: bool,
}

impl Dataset for Forgetful {
    type Error = Infallible;

    fn len(&self) -> usize {
        3
    }

    fn read(
        &mut self,
        index: usize,
        input: &mut [f32],
        target: &mut Target<'_>,
    ) -> Result<(), Infallible> {
        let last = index == 2;
        input[0] = 0.5;
        if !last || self.forgets_target {
            input[1] = 0.5;
        }
        if !last || !self.forgets_target {
            target.values_mut()[0] = 1.0;
        }
        Ok(())
    }
}

#[test]
fn values_that_a_data_set_does_not_write_are_an_error() {
    let plan = Plan::new(&NET);
    let weights = random_weights(&NET, 1);
    for forgets_target in [false, true] {
        let mut data = Forgetful { forgets_target };
        let run = Run::default();
        let mut buffers = Buffers::new::<Sgd>(&NET, &weights, 1);
        let mut trainer = run.trainer(&plan, MeanSquaredError, Sgd, &mut buffers);
        let error = Error::NonFiniteSample { sample: 2 };
        assert_eq!(trainer.step(&mut data, 0..3, 0.1), Err(error));
        assert_eq!(trainer.evaluate(&mut data, |_| {}), Err(error));
        trainer.step(&mut data, 0..2, 0.1).expect("healthy");
        assert_eq!(
            message(&error),
            "sample 2: expected finite values, found NaN, infinity or a value that was not written"
        );
    }
}

#[test]
fn inference_gives_no_nan() {
    let nets = [
        NET,
        Network::features(2).dense(3).relu6().dense(2).softmax(),
        Network::features(2)
            .dense(3)
            .leaky_relu(0.1)
            .dense(2)
            .sigmoid(),
        Network::input(1, 2, 1)
            .conv2d(4, 3)
            .relu()
            .max_pool2d(1)
            .global_max_pool()
            .dense(1),
        Network::input(1, 2, 1)
            .light_conv2d(4, 3, 2)
            .tanh()
            .global_average_pool()
            .dense(1),
    ];
    for net in nets {
        let plan = Plan::new(&net);
        let weights = random_weights(&net, 1);
        let mut workspace = vec![0.0; net.inference_workspace()];
        let mut inference = Inference::new(&plan, &weights, &mut workspace).expect("fits");
        for bad in [[f32::NAN, 0.5], [0.5, f32::NAN]] {
            assert_eq!(inference.run(&bad), Err(Error::NonFiniteOutput), "{net:?}");
        }
        assert!(inference.run(&[0.5, -0.5]).is_ok());
    }
    // An infinity, and weights whose sum overflows.
    let plan = Plan::new(&NET);
    let mut workspace = vec![0.0; NET.inference_workspace()];
    let weights = vec![1.0; NET.weights()];
    let mut inference = Inference::new(&plan, &weights, &mut workspace).expect("fits");
    assert_eq!(
        inference.run(&[f32::INFINITY; 2]),
        Err(Error::NonFiniteOutput)
    );
    let weights = vec![1e30; NET.weights()];
    let mut inference = Inference::new(&plan, &weights, &mut workspace).expect("fits");
    assert_eq!(inference.run(&[1e10; 2]), Err(Error::NonFiniteOutput));
    assert_eq!(
        message::<Infallible>(&Error::NonFiniteOutput),
        "expected finite outputs, found NaN or infinity; check the input and the weights"
    );
}

#[test]
fn the_quantity_that_was_not_finite() {
    let plan = Plan::new(&NET);
    let weights = random_weights(&NET, 1);
    let mut buffers = Buffers::new::<Sgd>(&NET, &weights, 1);
    let heavy_ball = Sgd::heavy_ball(0.9).unwrap();
    let trainer = Trainer::new(&plan, Faulty, heavy_ball, buffers.memory());
    let mut trainer = trainer.expect("buffers fit");
    for (target, rate, quantity) in [
        (2.0, 0.1, Quantity::Gradient),
        (3.0, 0.1, Quantity::Loss),
        (1.0, 1e30, Quantity::Weight),
    ] {
        let result = trainer.step(&mut samples(0.5, target), 0..1, rate);
        assert_eq!(result, Err(Error::NonFinite { quantity, step: 1 }));
        // The velocity starts again.
        assert!(trainer.gradients().iter().all(|g| *g == 0.0));
    }
}

/// A data set as long as memory can be.
struct Endless(usize);

impl Dataset for Endless {
    type Error = Infallible;

    fn len(&self) -> usize {
        self.0
    }

    fn read(
        &mut self,
        _: usize,
        input: &mut [f32],
        target: &mut Target<'_>,
    ) -> Result<(), Infallible> {
        input.fill(0.5);
        target.values_mut().fill(0.5);
        Ok(())
    }
}

#[test]
fn counts_at_the_ends_of_their_types() {
    let mut matrix = ConfusionMatrix::<2>::new(2).unwrap();
    matrix.add(0, 1).unwrap();
    assert_eq!((matrix.total(), matrix.accuracy()), (1_u64, Some(0.0)));

    let most = usize::MAX;
    // The test samples of halves are 1, 3, 5, ….
    let testing = Holdout::testing(Endless(most), 2).unwrap();
    assert_eq!(testing.index_in_whole(most / 2), most);
    assert_eq!(testing.index_in_whole(most), most);
    let training = Holdout::training(Endless(most), 2).unwrap();
    assert_eq!(training.index_in_whole(most), most);

    assert_eq!(Epoch::in_order(1).steps(100), 100);
    #[cfg(target_pointer_width = "64")]
    {
        assert_eq!(Epoch::in_order(1).steps((1 << 32) + 5), u32::MAX);
        assert_eq!(Epoch::in_order(2).steps(1 << 32), 1 << 31);

        // An order of more samples than a permutation has.
        let plan = Plan::new(&NET);
        let weights = random_weights(&NET, 1);
        let mut buffers = Buffers::new::<Sgd>(&NET, &weights, 1);
        let trainer = Trainer::new(&plan, MeanSquaredError, Sgd, buffers.memory());
        let mut trainer = trainer.expect("buffers fit");
        let epoch = Epoch::shuffled(1, 0);
        let result = trainer.epoch(&mut Endless(1 << 33), epoch, &Constant(0.1), |_| {});
        assert_eq!(
            result,
            Err(Error::OutOfRange {
                what: "the number of samples of a shuffled epoch",
                range: "1..=4294967295"
            })
        );
    }
}
