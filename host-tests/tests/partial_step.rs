//! A training step in parts: the bits of the whole one, as many parts as there are layers, and nothing lost on the way.

use std::convert::Infallible;

use host_tests::session::{Buffers, Samples, random_weights};
use lightlayers::dataset::{Dataset, Target};
use lightlayers::loss::{MeanSquaredError, SoftmaxCrossEntropy};
use lightlayers::metrics::Metrics;
use lightlayers::optim::{Adam, ClipNorm, HeavyBall, Sgd};
use lightlayers::paper::{Kind, mnist};
use lightlayers::quant::{FakeQuantization, Quantization};
use lightlayers::{Error, Network, Plan, Quantity, Trainer};

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
                        // Clearing, reading each sample, each layer forward and back and a loss, and the optimizer.
                        let runs = batch.div_ceil(capacity);
                        assert_eq!(parts, 1 + batch + runs * (2 * net.len() + 1) + 1);
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
        let fake = FakeQuantization::new(&&plan, &quantizations, &mut rounded).expect("fits");
        let loss = SoftmaxCrossEntropy::new();
        let trainer = Trainer::new(&plan, loss, Sgd, buffers.memory()).expect("fits");
        let mut trainer = trainer.quantization_aware(fake);
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
    for dropped in 0..parts {
        let mut buffers = Buffers::new::<Adam>(net, &weights, 1);
        let loss = SoftmaxCrossEntropy::new();
        let trainer = Trainer::new(&plan, loss, Adam::new(), buffers.memory());
        let mut trainer = trainer.expect("buffers fit");
        let mut step = trainer.start_step(0..4, 0.01).expect("samples");
        for _ in 0..dropped {
            assert_eq!(step.advance(&mut samples), Ok(None));
        }
        let trainer = step.into_trainer();
        assert_eq!(bits(trainer.weights()), bits(&weights));
        assert_eq!(trainer.steps(), 0);
        let (_, parts) = in_parts!(trainer, &mut samples, 0..4, 0.01);
        assert!(parts > dropped);
        assert_eq!(bits(trainer.weights()), expected);
    }
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
    let error = loop {
        if let Err(error) = step.advance(&mut samples) {
            break error;
        }
    };
    let expected = Error::NonFinite {
        quantity: Quantity::Loss,
        step: 1,
    };
    assert_eq!(error, expected);
    assert_eq!(step.advance(&mut samples), Err(expected));
    assert_eq!(trainer.weights(), [1e30, 0.0]);
}
