//! Training runs: against the `f64` twin step by step, in parts, with frozen layers, over epochs.

use host_tests::golden::relative_error;
use host_tests::reference::optimizer as reference;
use host_tests::session::{Answer, Buffers, Run, Samples, random_weights};
use host_tests::twin::{Objective, Twin};
use lightlayers::dataset::{Dataset, Target};
use lightlayers::loss::{MeanSquaredError, SoftmaxCrossEntropy};
use lightlayers::optim::{Adam, AdamW, ClipNorm, Optimizer, Sgd};
use lightlayers::schedule::{Constant, Schedule, StepDecay};
use lightlayers::{Epoch, Network, Plan, Trainer};

/// After every one of 20 steps, as a share of the largest weight. What Adam divides by is as small
/// as the gradients, so rounding shows more there.
const TOLERANCE: f64 = 5e-6;

fn mlp() -> Network {
    let net = Network::features(12).light_dense(20, 3).l2(0.01).tanh();
    net.dense(9)
        .l2(0.002)
        .bias(false)
        .leaky_relu(0.1)
        .light_dense(5, 2)
}

/// Trains [`mlp`] on 37 samples, minibatches of 8, so that every fifth has 5, next to its twin.
fn compare<O: Optimizer>(
    name: &str,
    optimizer: O,
    reference: &mut dyn reference::Optimizer,
    (rate, clip): (f32, Option<f64>),
) {
    let net = mlp();
    let weights = random_weights(&net, 3);
    let samples = Samples::classes(&net, 37, 4);
    let smoothed = SoftmaxCrossEntropy::with_label_smoothing(0.1).expect("in range");
    let objective = Objective::CrossEntropy(f64::from(0.1_f32));
    let run = Run {
        batch: 8,
        capacity: 3,
        steps: 20,
        rate,
        ..Run::default()
    };
    let taken = run.train(&net, smoothed, optimizer, &weights, &samples);

    let mut twin = Twin::new(&net, &weights);
    twin.l2[0] = f64::from(0.01_f32);
    twin.l2[2] = f64::from(0.002_f32);
    let (mut worst, mut clipped) = (0.0_f64, 0);
    for (step, (minibatch, taken)) in run.minibatches(37).zip(&taken).enumerate() {
        let minibatch = Samples(samples.0[minibatch].to_vec());
        let (x, target) = (minibatch.inputs(), minibatch.targets(5));
        let loss_error = (f64::from(taken.loss) / twin.loss(objective, &x, &target) - 1.0).abs();
        assert!(
            loss_error <= TOLERANCE,
            "{name}, step {step}: loss {}",
            taken.loss
        );
        let mut gradients = twin.gradients(objective, &x, &target);
        if let Some(limit) = clip {
            let norm = reference::clip_by_global_norm(&mut gradients, limit);
            clipped += usize::from(norm > limit);
        }
        reference.step(&mut twin.weights, &gradients, f64::from(rate));
        let error = relative_error(&taken.weights, &twin.weights);
        assert!(error <= TOLERANCE, "{name}, step {step}: error {error:.1e}");
        worst = worst.max(error);
    }
    println!("{name}: worst error {worst:.1e}");
    let (first, last) = (taken[0].loss, taken[19].loss);
    assert!(
        last < 0.9 * first,
        "{name}: trained from loss {first} to {last}"
    );
    if clip.is_some() {
        assert!(
            (2..20).contains(&clipped),
            "{name}: {clipped} of 20 steps clipped"
        );
    }
}

#[test]
fn trajectories_follow_the_reference() {
    let len = mlp().trainable_weights();
    let adam = || reference::Adam::new(0.9, 0.999, 1e-7, len);
    let momentum = f64::from(0.9_f32);
    compare("sgd", Sgd, &mut reference::Sgd, (0.2, None));
    compare(
        "momentum",
        Sgd::momentum(0.9).expect("in range"),
        &mut reference::Momentum::new(momentum, len),
        (0.05, None),
    );
    compare(
        "nesterov",
        Sgd::nesterov(0.9).expect("in range"),
        &mut reference::Nesterov::new(momentum, len),
        (0.05, None),
    );
    compare("adam", Adam::new(), &mut adam(), (0.02, None));
    compare(
        "adamw",
        AdamW::new(0.1, Adam::new()).expect("in range"),
        &mut reference::AdamW::new(adam(), f64::from(0.1_f32)),
        (0.02, None),
    );
    compare(
        "sgd, clipped",
        ClipNorm::new(0.6, Sgd).expect("positive"),
        &mut reference::Sgd,
        (0.3, Some(f64::from(0.6_f32))),
    );
    compare(
        "adam, clipped",
        ClipNorm::new(0.6, Adam::new()).expect("positive"),
        &mut adam(),
        (0.02, Some(f64::from(0.6_f32))),
    );
}

/// A layer of each kind that keeps something per sample, and dropout, whose masks must not depend
/// on the parts.
fn parts_net() -> Network {
    let net = Network::features(7).light_dense(33, 2).relu().dropout(0.3);
    net.dense(6).l2(0.01).sigmoid().dense(4)
}

#[test]
fn a_minibatch_in_parts_gives_the_same_bits() {
    let net = parts_net();
    let weights = random_weights(&net, 1);
    let samples = Samples::classes(&net, 20, 2);
    for batch in [1, 2, 3, 7, 9, 20, 50] {
        let train = |capacity| {
            let run = Run {
                batch,
                capacity,
                steps: 4,
                rate: 0.01,
                dropout_seed: 5,
            };
            let adam = ClipNorm::new(0.5, Adam::new()).expect("positive");
            run.train(&net, SoftmaxCrossEntropy::new(), adam, &weights, &samples)
        };
        let whole = train(batch);
        for capacity in 1..=10 {
            assert_eq!(
                train(capacity),
                whole,
                "batch {batch}, {capacity} at a time"
            );
        }
    }
}

#[test]
fn evaluation_in_parts_is_the_same() {
    let net = parts_net();
    let weights = random_weights(&net, 1);
    let mut samples = Samples::classes(&net, 11, 2);
    let mut evaluate = |capacity| {
        let mut buffers = Buffers::new::<Sgd>(&net, &weights, capacity);
        let plan = Plan::new(&net);
        let memory = buffers.memory();
        let mut trainer = Trainer::new(&plan, SoftmaxCrossEntropy::new(), Sgd, memory).unwrap();
        let mut seen = Vec::new();
        let metrics = trainer
            .evaluate(&mut samples, |result| {
                seen.push((
                    result.sample,
                    result.outputs.to_vec(),
                    result.target.to_vec(),
                ));
            })
            .unwrap();
        (metrics, seen)
    };
    let (metrics, seen) = evaluate(11);
    for capacity in 1..11 {
        assert_eq!(evaluate(capacity), (metrics, seen.clone()), "{capacity}");
    }

    // Against the twin: mean loss with the penalty, accuracy, outputs.
    let mut twin = Twin::new(&net, &weights);
    twin.l2[3] = f64::from(0.01_f32);
    let (x, target) = (samples.inputs(), samples.targets(4));
    let loss = twin.loss(Objective::CrossEntropy(0.0), &x, &target);
    assert!((f64::from(metrics.loss()) / loss - 1.0).abs() <= TOLERANCE);
    let outputs = twin.outputs(&x);
    let mut correct = 0;
    for (n, (sample, found, wanted)) in seen.iter().enumerate() {
        assert_eq!(*sample, n);
        let expected = outputs.row(n).to_vec();
        assert!(relative_error(found, &expected) <= TOLERANCE);
        assert_eq!(wanted[n % 4], 1.0);
        let largest = expected.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        correct += u32::from(expected[n % 4] == largest);
    }
    assert_eq!((metrics.correct(), metrics.samples()), (correct, 11));
}

/// Trains 10 steps of Adam; returns gradients and weights of each.
fn ten_steps(net: &Network, weights: &[f32]) -> Vec<host_tests::session::Taken> {
    let run = Run {
        steps: 10,
        rate: 0.01,
        ..Run::default()
    };
    let samples = Samples::classes(net, 16, 9);
    run.train(
        net,
        SoftmaxCrossEntropy::new(),
        Adam::new(),
        weights,
        &samples,
    )
}

#[test]
fn frozen_base_costs_nothing_and_does_not_change() {
    let base = |net: Network| net.light_dense(40, 3).relu().dense(30).sigmoid();
    let whole = base(Network::features(50)).dense(4);
    let frozen = base(Network::features(50)).all_frozen().dense(4);
    let head = 30 * 4 + 4;
    assert_eq!(whole.weights(), frozen.weights());
    assert_eq!(frozen.trainable_weights(), head);
    assert_eq!(frozen.optimizer_state::<Adam>(), 2 * head);

    // Of the base nothing is kept: its first layer's samples and outputs and the vector between its
    // factors are the peak of inference, beside the targets. Whole, the samples, a bit per ReLU's
    // value, and the sigmoid's outputs wait for the way back.
    assert_eq!(frozen.training_workspace(1), 50 + 3 + 40 + 4);
    assert!(frozen.training_workspace(1) < whole.training_workspace(1));

    let weights = random_weights(&whole, 6);
    let (all, only_head) = (ten_steps(&whole, &weights), ten_steps(&frozen, &weights));
    let base = weights.len() - head;
    assert_eq!(only_head[0].gradients, all[0].gradients[base..]);
    assert_eq!(only_head[0].loss, all[0].loss);
    for step in &only_head {
        assert_eq!(step.weights[..base], weights[..base]);
    }
    assert_ne!(only_head[9].weights[base..], weights[base..]);
}

#[test]
fn a_frozen_layer_between_hands_the_gradient_down() {
    let build = |freeze: bool| {
        let net = Network::features(9).dense(8).tanh().light_dense(7, 2);
        let net = if freeze { net.frozen() } else { net };
        net.relu().dense(3)
    };
    let (free, frozen) = (build(false), build(true));
    let weights = random_weights(&free, 8);
    let (first, middle) = (9 * 8 + 8, 8 * 2 + 2 * 7 + 7);
    let (all, some) = (ten_steps(&free, &weights), ten_steps(&frozen, &weights));
    let mut expected = all[0].gradients[..first].to_vec();
    expected.extend(&all[0].gradients[first + middle..]);
    assert_eq!(some[0].gradients, expected);
    for step in &some {
        assert_eq!(
            step.weights[first..first + middle],
            weights[first..first + middle]
        );
    }
    assert_ne!(some[9].weights[..first], weights[..first]);
}

/// A data set that notes which samples are read.
struct Noted(Samples, Vec<usize>);

impl Dataset for Noted {
    type Error = std::convert::Infallible;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn read(
        &mut self,
        index: usize,
        input: &mut [f32],
        target: &mut Target<'_>,
    ) -> Result<(), Self::Error> {
        self.1.push(index);
        self.0.read(index, input, target)
    }
}

#[test]
fn an_epoch_reads_each_sample_once_and_reports_each_step() {
    let net = Network::features(3).dense(2);
    let samples = Samples::classes(&net, 23, 1);
    let mut buffers = Buffers::new::<Sgd>(&net, &random_weights(&net, 2), 4);
    let plan = Plan::new(&net);
    let loss = SoftmaxCrossEntropy::new();
    let mut trainer = Trainer::new(&plan, loss, Sgd, buffers.memory()).unwrap();
    let schedule = StepDecay {
        initial: 0.5,
        factor: 0.5,
        every: 2,
    };
    let mut noted = Noted(samples, Vec::new());
    for (epoch, order) in [
        Epoch::in_order(10),
        Epoch::shuffled(10, 1),
        Epoch::shuffled(10, 2),
    ]
    .into_iter()
    .enumerate()
    {
        let mut progress = Vec::new();
        let metrics = trainer
            .epoch(&mut noted, order, &schedule, |step| {
                assert_eq!(step.metrics.samples() as usize, step.samples);
                progress.push((step.samples, step.of, step.step.number, step.step.rate));
            })
            .unwrap();
        let steps = epoch as u32 * 3;
        let expected = [10, 20, 23].into_iter().zip(steps..);
        let expected = expected.map(|(done, step)| (done, 23, step + 1, schedule.rate(step)));
        assert_eq!(progress, expected.collect::<Vec<_>>());
        assert_eq!(metrics.samples(), 23);
        assert_eq!(trainer.steps(), steps + 3);
    }
    let orders: Vec<&[usize]> = noted.1.chunks(23).collect();
    let in_order: Vec<usize> = (0..23).collect();
    assert_eq!(orders[0], in_order);
    assert!(orders[1] != orders[2] && orders[1] != in_order);
    for order in orders {
        let mut sorted = order.to_vec();
        sorted.sort();
        assert_eq!(sorted, in_order);
    }
}

/// The mean over an epoch is the mean over its samples, however they are cut: three samples whose
/// squared errors are 1, 4 and 16, at rate 0.
#[test]
fn metrics_of_an_epoch_are_means_over_samples() {
    let net = Network::features(1).dense(1);
    let rows = [1.0, 2.0, 4.0].map(|target| (vec![1.0], Answer::Values(vec![target])));
    let mut samples = Samples(rows.to_vec());
    let mut buffers = Buffers::new::<Sgd>(&net, &[0.0, 0.0], 1);
    let plan = Plan::new(&net);
    let mut trainer = Trainer::new(&plan, MeanSquaredError, Sgd, buffers.memory()).unwrap();
    for batch in 1..=4 {
        let order = Epoch::in_order(batch);
        let metrics = trainer
            .epoch(&mut samples, order, &Constant(0.0), |_| {})
            .unwrap();
        assert!((metrics.loss() - 7.0).abs() < 1e-6, "{}", metrics.loss());
        assert_eq!(
            metrics.accuracy(),
            0.0,
            "no sample of a regression has a class"
        );
    }
}

/// Which samples count for the accuracy is a property of each, not of those that are worked on with it. The network answers class
/// 1 to all: of the samples with a class, two of three are right.
#[test]
fn accuracy_of_mixed_targets_does_not_depend_on_the_workspace() {
    let net = Network::features(1).dense(3);
    let answers = [
        Answer::Class(1),
        Answer::Values(vec![0.2, 0.5, 0.3]),
        Answer::Class(2),
        Answer::Values(vec![0.0, 1.0, 0.0]),
        Answer::Values(vec![1.0, 1.0, 0.0]),
        Answer::Values(vec![0.0, 0.0, 0.0]),
    ];
    let mut samples = Samples(answers.map(|answer| (vec![1.0], answer)).to_vec());
    let weights = [0.0, 0.0, 0.0, 0.0, 5.0, 0.0];
    for capacity in 1..=7 {
        let mut buffers = Buffers::new::<Sgd>(&net, &weights, capacity);
        let plan = Plan::new(&net);
        let loss = SoftmaxCrossEntropy::new();
        let mut trainer = Trainer::new(&plan, loss, Sgd, buffers.memory()).unwrap();
        let metrics = trainer.evaluate(&mut samples, |_| {}).unwrap();
        assert_eq!((metrics.samples(), metrics.correct()), (6, 2));
        assert_eq!(metrics.accuracy(), 2.0 / 3.0);
    }
}

/// Ten steps, and ten more by another trainer that goes on with the kept state, are twenty steps.
#[test]
fn going_on_with_saved_state_gives_the_same_bits() {
    let net = Network::features(7).light_dense(33, 2).relu();
    let net = net.dropout(0.3).dense(4);
    let samples = Samples::classes(&net, 40, 2);
    let plan = Plan::new(&net);
    let train = |parts: &[std::ops::Range<u32>]| {
        let mut buffers = Buffers::new::<Adam>(&net, &random_weights(&net, 1), 4);
        let mut samples = samples.clone();
        for part in parts {
            let loss = SoftmaxCrossEntropy::new();
            let trainer = Trainer::new(&plan, loss, Adam::new(), buffers.memory()).unwrap();
            let mut trainer = trainer.with_dropout_seed(5).with_steps(part.start);
            for step in part.clone() {
                let first = step as usize % 10 * 4;
                trainer.step(&mut samples, first..first + 4, 0.01).unwrap();
            }
            assert_eq!(trainer.steps(), part.end);
        }
        (buffers.weights, buffers.optimizer_state)
    };
    let whole = train(core::slice::from_ref(&(0..20)));
    assert_eq!(train(&[0..10, 10..20]), whole);
    // Adam corrects the bias of its moments by the number of the step.
    assert_ne!(train(&[0..10, 0..10]), whole);
}
