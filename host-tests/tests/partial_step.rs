//! A training step in parts: the bits of the whole one, as many parts as there are layers, and nothing lost on the way.

use std::convert::Infallible;

use host_tests::session::{Buffers, Samples, random_weights};
use lightlayers::dataset::{Dataset, Target};
use lightlayers::loss::{MeanSquaredError, SoftmaxCrossEntropy};
use lightlayers::metrics::Metrics;
use lightlayers::optim::{Adam, ClipNorm, HeavyBall, Sgd};
use lightlayers::paper::{Kind, mnist};
use lightlayers::quant::Quantization;
use lightlayers::{Error, Inference, Layer, Model, Network, Plan, Quantity, Trainer};

/// Takes a step in parts; returns how many they were, too.
macro_rules! in_parts {
    ($trainer:expr, $data:expr, $indices:expr, $rate:expr) => {{
        let mut step = $trainer.start_step($indices, $rate).expect("samples");
        let mut parts = 1;
        let metrics: Metrics = loop {
            if let Some(metrics) = step.advance($data).expect("finite") {
                break metrics;
            }
            parts += 1;
        };
        // A step that is over stays so.
        assert_eq!(step.advance($data), Ok(Some(metrics)));
        (metrics, parts)
    }};
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn networks() -> Vec<Network> {
    let image = Network::input(6, 5, 2);
    let residual = image.conv2d(4, 3).batch_norm().relu();
    let residual = residual.residual(residual.light_conv2d(4, 3, 2).batch_norm(), residual);
    vec![
        Network::features(7)
            .dense(6)
            .l2(0.01)
            .relu()
            .dropout(0.3)
            .light_dense(4, 2),
        image
            .conv2d(3, 3)
            .frozen()
            .batch_norm()
            .relu()
            .max_pool2d(2)
            .flatten()
            .dense(4),
        residual.relu().global_average_pool().dense(4),
        // It ends with an image, whose values lie side by side when several samples are worked on at once.
        image.depthwise_conv2d(3, 1).tanh().average_pool2d(2),
        mnist(Kind::Light { rank: 2 }),
    ]
}

fn learning(net: &Network) -> impl Iterator<Item = &Layer> {
    let layers = net.layers().iter();
    layers.filter(|layer| layer.trainable_weights() > 0)
}

#[test]
fn the_bits_are_those_of_the_whole_step() {
    for (seed, net) in (0..).zip(&networks()) {
        let plan = Plan::new(net);
        let weights = random_weights(net, seed);
        let mut samples = Samples::classes(net, 12, seed);
        for (capacity, batch) in [(1, 1), (1, 5), (3, 5), (8, 5)] {
            let mut buffers = [(); 2].map(|()| Buffers::new::<Adam>(net, &weights, capacity));
            let optimizer = ClipNorm::new(0.5, Adam::new()).expect("a norm");
            let mut results = Vec::new();
            for (whole, buffers) in [true, false].into_iter().zip(&mut buffers) {
                let loss = SoftmaxCrossEntropy::new();
                let trainer = Trainer::new(&plan, loss, optimizer, buffers.memory());
                let mut trainer = trainer.expect("buffers fit").with_dropout_seed(5);
                for first in [0, 4, 7] {
                    let indices = first..first + batch;
                    let metrics = if whole {
                        trainer.step(&mut samples, indices, 0.01).expect("finite")
                    } else {
                        let (metrics, parts) = in_parts!(trainer, &mut samples, indices, 0.01);
                        // Clearing, reading each sample, each layer forward and back and a loss, a check, and each layer that learns.
                        let runs = batch.div_ceil(capacity);
                        let learning = learning(net).count();
                        assert_eq!(parts, 1 + batch + runs * (2 * net.len() + 1) + 1 + learning);
                        metrics
                    };
                    results.push((metrics, bits(trainer.weights()), bits(trainer.gradients())));
                }
            }
            let (whole, parts) = results.split_at(3);
            assert!(
                whole == parts,
                "network {seed}, {capacity} of {batch} at once"
            );
        }
    }
}

/// Steps of either kind go on from what the other left, whether the network is a constant or planned at run time: an optimizer with more
/// than one element of state for a weight has each layer's in one place.
#[test]
fn both_kinds_of_steps_keep_one_state() {
    #[derive(Clone, Copy)]
    struct Constant;

    impl Model for Constant {
        const NET: Network = Network::features(7).light_dense(6, 2).relu().dense(4);
    }

    let net = Constant::NET;
    let plan = Plan::new(&net);
    let weights = random_weights(&net, 3);
    let mut samples = Samples::classes(&net, 12, 3);
    let mut steps = |graph: &dyn Fn(&mut Buffers, &mut Samples)| {
        let mut buffers = Buffers::new::<Adam>(&net, &weights, 1);
        graph(&mut buffers, &mut samples);
        (bits(&buffers.weights), bits(&buffers.optimizer_state))
    };
    macro_rules! kinds {
        ($graph:expr, $in_parts:expr) => {
            steps(&|buffers, samples| {
                let loss = SoftmaxCrossEntropy::new();
                let trainer = Trainer::new($graph, loss, Adam::new(), buffers.memory());
                let mut trainer = trainer.expect("buffers fit");
                for (first, in_parts) in [0, 4, 8].into_iter().zip($in_parts) {
                    if in_parts {
                        in_parts!(trainer, samples, first..first + 4, 0.01);
                    } else {
                        let step = trainer.step(samples, first..first + 4, 0.01);
                        step.expect("finite");
                    }
                }
            })
        };
    }
    let whole = kinds!(Constant, [false; 3]);
    for in_parts in [[false, true, false], [true, false, true], [true; 3]] {
        assert!(
            kinds!(Constant, in_parts) == whole,
            "constant, {in_parts:?}"
        );
        assert!(kinds!(&plan, in_parts) == whole, "planned, {in_parts:?}");
    }
    assert!(kinds!(&plan, [false; 3]) == whole, "planned");
}

#[test]
fn the_bits_with_the_numbers_of_integers() {
    let net = Network::input(6, 5, 2)
        .conv2d(3, 3)
        .relu()
        .flatten()
        .dense(4);
    let plan = Plan::new(&net);
    let weights = random_weights(&net, 1);
    let mut samples = Samples::classes(&net, 4, 1);
    let quantizations = [Quantization::new(0.05, 3).expect("a scale"); 5];
    let mut results = Vec::new();
    for whole in [true, false] {
        let mut buffers = Buffers::new::<Sgd>(&net, &weights, 2);
        let mut rounded = vec![0.0; net.weights()];
        let loss = SoftmaxCrossEntropy::new();
        let trainer = Trainer::new(&plan, loss, Sgd, buffers.memory()).expect("fits");
        let trainer = trainer.quantization_aware(&quantizations, &mut rounded);
        let mut trainer = trainer.expect("fits");
        if whole {
            trainer.step(&mut samples, 0..4, 0.1).expect("finite");
        } else {
            in_parts!(trainer, &mut samples, 0..4, 0.1);
        }
        results.push(bits(trainer.weights()));
    }
    assert_eq!(results[0], results[1]);
    assert_ne!(results[0], bits(&weights));
}

#[test]
fn a_step_that_is_dropped_leaves_the_weights() {
    let net = &networks()[0];
    let plan = Plan::new(net);
    let weights = random_weights(net, 1);
    let mut samples = Samples::classes(net, 4, 1);
    let mut whole = Buffers::new::<Adam>(net, &weights, 1);
    let loss = SoftmaxCrossEntropy::new();
    let trainer = Trainer::new(&plan, loss, Adam::new(), whole.memory());
    let mut trainer = trainer.expect("buffers fit");
    trainer.step(&mut samples, 0..4, 0.01).expect("finite");
    let expected = bits(trainer.weights());

    let parts = 1 + 4 + 4 * (2 * net.len() + 1) + 1;
    for dropped in 0..=parts {
        let mut buffers = Buffers::new::<Adam>(net, &weights, 1);
        let loss = SoftmaxCrossEntropy::new();
        let trainer = Trainer::new(&plan, loss, Adam::new(), buffers.memory());
        let mut trainer = trainer.expect("buffers fit");
        let mut step = trainer.start_step(0..4, 0.01).expect("samples");
        for _ in 0..dropped {
            assert_eq!(step.advance(&mut samples), Ok(None));
            assert_eq!(bits(step.weights()), bits(&weights));
        }
        let trainer = step.into_trainer();
        assert_eq!(bits(trainer.weights()), bits(&weights));
        assert_eq!(trainer.steps(), 0);
        let (_, parts) = in_parts!(trainer, &mut samples, 0..4, 0.01);
        assert!(parts > dropped);
        assert_eq!(bits(trainer.weights()), expected);
    }
}

#[test]
fn the_weights_change_layer_by_layer() {
    for (seed, net) in (0..).zip(&networks()) {
        let plan = Plan::new(net);
        let weights = random_weights(net, seed);
        let mut samples = Samples::classes(net, 1, seed);
        let mut whole = Buffers::new::<Adam>(net, &weights, 1);
        let loss = SoftmaxCrossEntropy::new();
        let trainer = Trainer::new(&plan, loss, Adam::new(), whole.memory());
        let mut trainer = trainer.expect("buffers fit");
        trainer.step(&mut samples, 0..1, 0.01).expect("finite");

        let mut buffers = Buffers::new::<Adam>(net, &weights, 1);
        let own = Trainer::new(&plan, loss, Adam::new(), buffers.memory());
        let mut step = own.expect("buffers fit").into_step(0..1, 0.01);
        // Clearing, reading, each layer forward and back and a loss, and the check.
        for _ in 0..1 + 1 + 2 * net.len() + 1 + 1 {
            assert_eq!(step.advance(&mut samples), Ok(None));
        }
        let mut expected = step.weights().to_vec();
        let last = learning(net).count() - 1;
        for (number, layer) in learning(net).enumerate() {
            let over = step.advance(&mut samples).expect("finite").is_some();
            assert_eq!(over, number == last);
            let own = layer.weights_range();
            assert_ne!(
                bits(&trainer.weights()[own.clone()]),
                bits(&expected[own.clone()])
            );
            expected[own.clone()].copy_from_slice(&trainer.weights()[own]);
            assert_eq!(bits(step.weights()), bits(&expected));
        }
        assert_eq!(step.into_trainer().steps(), 1);
    }
}

#[test]
fn a_weight_that_is_not_finite_ends_the_step() {
    // A gradient of 1e20, and a rate of 1e30 of it: the first layer's weight would be infinite.
    let net = Network::features(1).dense(1).dense(1);
    let plan = Plan::new(&net);
    let mut samples = Samples::from_rows(&[1e10], &[0.0], 1);
    let start = [1e-10, 0.0, 1.0, 0.0];
    let mut results = Vec::new();
    for whole in [true, false] {
        let mut buffers = Buffers::new::<Sgd>(&net, &start, 1);
        let trainer = Trainer::new(&plan, MeanSquaredError, Sgd, buffers.memory());
        let mut trainer = trainer.expect("buffers fit");
        let error = if whole {
            trainer
                .step(&mut samples, 0..1, 1e30)
                .expect_err("infinite")
        } else {
            let mut step = trainer.start_step(0..1, 1e30).expect("a sample");
            let mut parts = (0..20).map(|_| step.advance(&mut samples));
            let error = parts.find_map(Result::err).expect("infinite");
            assert_eq!(step.advance(&mut samples), Err(error));
            error
        };
        results.push((error, bits(trainer.weights()), trainer.steps()));
    }
    let expected = Error::NonFinite {
        quantity: Quantity::Weight,
        step: 1,
    };
    assert_eq!((results[0].0, results[0].2), (expected, 0));
    assert_eq!(results[0], results[1]);
}

#[test]
fn the_network_runs_while_its_own_step_is_under_way() {
    // Without batch normalization, whose statistics move with every sample.
    let net = &networks()[3];
    let plan = Plan::new(net);
    let weights = random_weights(net, 1);
    let mut samples = Samples::classes(net, 3, 1);
    let mut whole = Buffers::new::<Sgd>(net, &weights, 1);
    let trainer = Trainer::new(&plan, SoftmaxCrossEntropy::new(), Sgd, whole.memory());
    let mut trainer = trainer.expect("buffers fit");
    trainer.step(&mut samples, 0..3, 0.01).expect("finite");

    let mut buffers = Buffers::new::<Sgd>(net, &weights, 1);
    let memory = buffers.memory();
    let own = Trainer::new(&plan, SoftmaxCrossEntropy::new(), Sgd, memory).expect("buffers fit");
    let mut workspace = vec![0.0; net.inference_workspace()];
    let image = vec![0.5; net.input_shape().len()];
    let mut run = |weights: &[f32]| {
        let inference = Inference::new(&plan, weights, &mut workspace);
        let mut inference = inference.expect("buffers fit");
        bits(inference.run(&image).expect("one image"))
    };
    let before = run(&weights);
    // The step owns the trainer, and gives it back.
    let mut step = own.into_step(0..3, 0.01);
    while step.advance(&mut samples).expect("finite").is_none() {
        assert_eq!(run(step.weights()), before);
    }
    assert_ne!(run(step.weights()), before);
    let own = step.into_trainer();
    assert_eq!(bits(own.weights()), bits(trainer.weights()));
    let mut empty = own.into_step(0..0, 0.01);
    assert_eq!(empty.advance(&mut samples), Err(Error::Empty));
}

/// Has each sample only when it is asked a second time.
struct Late(Samples, Option<usize>);

#[derive(Clone, Copy, PartialEq, Debug)]
struct NotYet;

impl Dataset for Late {
    type Error = NotYet;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn read(
        &mut self,
        index: usize,
        input: &mut [f32],
        target: &mut Target<'_>,
    ) -> Result<(), NotYet> {
        if self.1 != Some(index) {
            self.1 = Some(index);
            return Err(NotYet);
        }
        self.0
            .read(index, input, target)
            .map_err(|e: Infallible| match e {})
    }
}

#[test]
fn a_sample_may_come_later() {
    let net = Network::features(3).dense(2);
    let plan = Plan::new(&net);
    let weights = random_weights(&net, 1);
    let samples = Samples::classes(&net, 4, 1);
    let mut results = Vec::new();
    for late in [false, true] {
        let mut buffers = Buffers::new::<Sgd>(&net, &weights, 2);
        let loss = SoftmaxCrossEntropy::new();
        let trainer = Trainer::new(&plan, loss, Sgd, buffers.memory());
        let mut trainer = trainer.expect("buffers fit");
        if late {
            let mut data = Late(samples.clone(), None);
            let mut step = trainer
                .start_step([3, 0, 2].into_iter(), 0.1)
                .expect("samples");
            let mut missed = 0;
            loop {
                match step.advance(&mut data) {
                    Ok(None) => {}
                    Ok(Some(_)) => break,
                    Err(error) => {
                        assert_eq!(error, Error::Dataset(NotYet));
                        missed += 1;
                    }
                }
            }
            assert_eq!(missed, 3);
        } else {
            let indices = [3, 0, 2].into_iter();
            trainer
                .step(&mut samples.clone(), indices, 0.1)
                .expect("finite");
        }
        results.push(bits(trainer.weights()));
    }
    assert_eq!(results[0], results[1]);
}

#[test]
fn a_loss_that_is_not_finite_ends_the_step() {
    let net = Network::features(1).dense(1);
    let plan = Plan::new(&net);
    let mut samples = Samples::from_rows(&[1e30], &[-1e30], 1);
    let mut buffers = Buffers::new::<HeavyBall>(&net, &[1e30, 0.0], 1);
    let heavy = Sgd::heavy_ball(0.9).expect("a momentum");
    let trainer = Trainer::new(&plan, MeanSquaredError, heavy, buffers.memory());
    let mut trainer = trainer.expect("buffers fit");
    assert_eq!(
        trainer.start_step(0..0, 0.1).map(|_| ()).err(),
        Some(Error::Empty)
    );
    let mut step = trainer.start_step(0..1, 0.1).expect("samples");
    let mut parts = (0..20).map(|_| step.advance(&mut samples));
    let error = parts.find_map(Result::err).expect("infinite");
    let expected = Error::NonFinite {
        quantity: Quantity::Loss,
        step: 1,
    };
    assert_eq!(error, expected);
    assert_eq!(step.advance(&mut samples), Err(expected));
    assert_eq!(trainer.weights(), [1e30, 0.0]);
}
