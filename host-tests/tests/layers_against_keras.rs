//! Holds the library, through its public calls, against the vectors made with Keras.
//!
//! The test walks over the manifest: a case of a layer that is not checked fails, and so does a
//! result tensor that nothing was compared with. Whole networks are in `networks_against_keras.rs`.

use std::collections::{BTreeMap, BTreeSet};

use host_tests::golden::{self, Case, assert_close};
use host_tests::session;
use lightlayers::loss::{Loss, SoftmaxCrossEntropy};
use lightlayers::optim::{Adam, AdamW, Optimizer, Sgd, Step};
use lightlayers::schedule::{EarlyStopping, ReduceOnPlateau, Schedule, Verdict};
use lightlayers::{Network, Op, Padding, WindowSize};

/// The bar: a share of the tensor's largest value.
const TOLERANCE: f64 = 1e-5;

#[test]
fn library_agrees_with_every_case() {
    let mut compared = 0;
    let mut worst = BTreeMap::<String, f64>::new();
    for id in golden::ids() {
        let case = golden::case(id);
        let mut check = Check::new(&case);
        match case.layer() {
            "Dense" => check_dense(&mut check),
            "LightDense" => check_light_dense(&mut check),
            "Conv2D" => check_conv2d(&mut check),
            "LightConv2D" => check_light_conv2d(&mut check),
            "DepthwiseConv2D" => check_depthwise_conv2d(&mut check),
            "SeparableConv2D" => check_separable_conv2d(&mut check),
            "BatchNormalization" => check_batch_norm(&mut check),
            "MaxPool2D" => {
                let window = window(&case, "pool_size");
                check_layer(&mut check, &[], |net| {
                    net.try_push(Op::MaxPool2d { window }).expect("fits")
                });
            }
            "AveragePooling2D" => {
                let window = window(&case, "pool_size");
                check_layer(&mut check, &[], |net| {
                    net.try_push(Op::AveragePool2d { window }).expect("fits")
                });
            }
            "GlobalAveragePooling2D" => {
                check_layer(&mut check, &[], |net| net.global_average_pool());
            }
            "ReLU" => check_layer(&mut check, &[], |net| net.relu()),
            "Softmax" => check_layer(&mut check, &[], |net| net.softmax()),
            "SoftmaxCrossEntropy" => check_softmax_cross_entropy(&mut check),
            "Optimizer" => check_optimizer(&mut check),
            "ReduceLROnPlateau" => check_plateau(&mut check),
            "Net" => continue,
            other => panic!("{id}: no check for {other}"),
        }
        assert_eq!(
            check.compared,
            case.results(),
            "{id}: tensors compared, results"
        );
        let error = worst.entry(case.layer().to_owned()).or_default();
        *error = error.max(check.worst);
        compared += 1;
    }
    for (layer, error) in worst {
        println!("{layer}: worst error {error:.1e}");
    }
    // All but the 6 networks.
    assert_eq!(compared, 94);
}

/// The comparisons of one case.
struct Check<'a> {
    case: &'a Case,
    compared: BTreeSet<String>,
    worst: f64,
}

impl<'a> Check<'a> {
    fn new(case: &'a Case) -> Self {
        Check {
            case,
            compared: BTreeSet::new(),
            worst: 0.0,
        }
    }

    fn values(&self, name: &str) -> &'a [f32] {
        &self.case.tensor(name).values
    }

    /// Compares a result with the case's tensor of that name.
    fn tensor(&mut self, name: &str, found: &[f32]) {
        self.compare(name, found, self.values(name));
        self.compared.insert(name.to_owned());
    }

    /// Compares the gradients of a layer's tensors, in the library's order. What the case leaves out
    /// must be 0.
    fn gradients(&mut self, group: &str, tensors: &[&str], found: &[f32]) {
        let mut rest = found;
        for tensor in tensors {
            let len = self.values(&format!("param.{tensor}")).len();
            let (own, after) = rest.split_at(len);
            let name = format!("{group}.{tensor}");
            if self.case.tensors.contains_key(&name) {
                self.tensor(&name, own);
            } else {
                assert_eq!(own, vec![0.0; len], "{}: {name}", self.case.id);
            }
            rest = after;
        }
        assert!(
            rest.is_empty(),
            "{}: gradients of tensors that are not named",
            self.case.id
        );
    }

    fn compare(&mut self, name: &str, found: &[f32], expected: &[f32]) {
        let label = format!("{}: {name}", self.case.id);
        self.worst = self
            .worst
            .max(assert_close(&label, found, expected, TOLERANCE));
    }
}

/// A network without layers for the case's `x`.
fn input(case: &Case) -> Network {
    match case.tensor("x").shape[..] {
        [_, features] => Network::features(features),
        [_, height, width, channels] => Network::input(height, width, channels),
        ref shape => panic!("{}: an input of shape {shape:?}", case.id),
    }
}

/// The case's window, whose size is the hyper-parameter `size`.
fn window(case: &Case, size: &str) -> WindowSize {
    let pair = |name| {
        let [height, width] = case.pair(name);
        (height as u8, width as u8)
    };
    let padding = match case.hyper("padding").as_str() {
        Some("same") => Padding::Same,
        Some("valid") => Padding::Valid,
        other => panic!("{}: padding {other:?}", case.id),
    };
    WindowSize {
        kernel: pair(size),
        stride: pair("strides"),
        dilation: 1,
        padding,
    }
}

/// The case's weights in the library's order.
fn weights(case: &Case, tensors: &[&str]) -> Vec<f32> {
    let parameters = tensors
        .iter()
        .map(|name| &case.tensor(&format!("param.{name}")).values[..]);
    parameters.collect::<Vec<_>>().concat()
}

/// Runs a layer on the case's `x` and `dy`; `tensors` names those of the weights in the library's
/// order.
fn check_layer(check: &mut Check, tensors: &[&str], layer: impl Fn(Network) -> Network) {
    let case = check.case;
    let relu = match case.hyper("activation").as_str() {
        None => false,
        Some("relu") => true,
        Some(other) => panic!("{}: activation {other}", case.id),
    };
    let add = |net| match layer(net) {
        net if relu => net.relu(),
        net => net,
    };
    let (x, dy) = (check.values("x"), check.values("dy"));
    let pass = session::pass(input(case), add, &weights(case, tensors), x, dy);
    check.tensor("y", &pass.y);
    check.tensor("dx", &pass.dx);
    check.gradients("grad", tensors, &pass.gradients);
}

/// The names of a layer's tensors, but those of its biases if the case has none.
fn named<'a>(case: &Case, tensors: &[&'a str]) -> Vec<&'a str> {
    let has_bias = case.hyper("use_bias") == true;
    let is_bias = |name: &&&str| ["bias", "b1", "b2"].contains(*name);
    let named = tensors.iter().filter(|name| has_bias || !is_bias(name));
    named.copied().collect()
}

fn check_conv2d(check: &mut Check) {
    let case = check.case;
    let op = Op::Conv2d {
        filters: case.number("filters") as u16,
        window: window(case, "kernel_size"),
    };
    check_convolution(check, &["kernel", "bias"], op);
}

fn check_depthwise_conv2d(check: &mut Check) {
    let case = check.case;
    let op = Op::DepthwiseConv2d {
        multiplier: case.number("depth_multiplier") as u16,
        window: window(case, "kernel_size"),
    };
    check_convolution(check, &["depthwise_kernel", "bias"], op);
}

fn check_separable_conv2d(check: &mut Check) {
    let case = check.case;
    let op = Op::SeparableConv2d {
        filters: case.number("filters") as u16,
        multiplier: case.number("depth_multiplier") as u16,
        window: window(case, "kernel_size"),
    };
    check_convolution(check, &["depthwise_kernel", "pointwise_kernel", "bias"], op);
}

fn check_convolution(check: &mut Check, tensors: &[&str], op: Op) {
    let case = check.case;
    check_layer(check, &named(case, tensors), |net| {
        let net = net.try_push(op).expect("fits");
        net.bias(case.hyper("use_bias") == true)
    });
}

/// The penalty alone: a step for a loss that is 0.
fn check_light_conv2d(check: &mut Check) {
    let case = check.case;
    let op = Op::LightConv2d {
        filters: case.number("filters") as u16,
        rank: case.number("k") as u16,
        window: window(case, "kernel_size"),
    };
    check_convolution(check, &["w1", "b1", "w2", "b2"], op);

    let net = input(case).try_push(op).expect("fits");
    let net = net.bias(case.hyper("use_bias") == true);
    let net = net.l2(case.number("l2") as f32);
    let tensors = named(case, &["w1", "b1", "w2", "b2"]);
    let samples = case.tensor("x").shape[0];
    let nothing = vec![0.0; samples * net.output_shape().len()];
    let data = session::Samples::from_rows(check.values("x"), &nothing, samples);
    let run = session::Run {
        batch: samples,
        ..Default::default()
    };
    let upstream = session::Upstream::default();
    let taken = run.train(&net, &upstream, Sgd, &weights(case, &tensors), &data);
    check.tensor("reg_loss", &[taken[0].loss]);
    check.gradients("reg_grad", &tensors, &taken[0].gradients);
}

/// At inference there are no gradients of gamma and beta: a layer that normalizes with the moving
/// statistics is frozen.
fn check_batch_norm(check: &mut Check) {
    let case = check.case;
    let [momentum, epsilon] = ["momentum", "epsilon"].map(|name| case.number(name) as f32);
    let frozen = match case.hyper("mode").as_str() {
        Some("train") => false,
        Some("infer") => true,
        other => panic!("{}: mode {other:?}", case.id),
    };
    let add = |net: Network| match net.batch_norm_with(momentum, epsilon) {
        net if frozen => net.frozen(),
        net => net,
    };
    let tensors = ["gamma", "beta", "moving_mean", "moving_variance"];
    let (x, dy) = (check.values("x"), check.values("dy"));
    let weights = weights(case, &tensors);
    let pass = session::pass(input(case), add, &weights, x, dy);
    check.tensor("y", &pass.y);
    check.tensor("dx", &pass.dx);
    let (mean, variance) = pass.moving.split_at(pass.moving.len() / 2);
    check.tensor("after.moving_mean", mean);
    check.tensor("after.moving_variance", variance);
    if frozen {
        assert!(pass.gradients.is_empty());
        // A frozen layer has none of its own. The outputs are linear in gamma and beta, so a step of 1 in one of them changes the outputs
        // by what its gradient sums up, each change times `dy`.
        let channels = weights.len() / tensors.len();
        let net = input(case).batch_norm_with(momentum, epsilon);
        let gradients = (0..2 * channels).map(|at| {
            let mut moved = weights.clone();
            moved[at] += 1.0;
            let moved = session::infer(&net, &moved, x, 1);
            let changes = moved.iter().zip(&pass.y).zip(dy);
            let terms = changes.map(|((moved, y), dy)| f64::from(moved - y) * f64::from(*dy));
            terms.sum::<f64>() as f32
        });
        check.gradients("grad", &["gamma", "beta"], &gradients.collect::<Vec<_>>());
        for frozen in [false, true] {
            let net = input(case).batch_norm_with(momentum, epsilon);
            let net = if frozen { net.frozen() } else { net };
            check.tensor("y", &session::infer(&net, &weights, x, 3));
        }
    } else {
        check.gradients("grad", &["gamma", "beta"], &pass.gradients);
    }
}

fn check_dense(check: &mut Check) {
    let units = check.case.number("units") as usize;
    match check.case.hyper("use_bias") == true {
        true => check_layer(check, &["kernel", "bias"], |net| net.dense(units)),
        false => check_layer(check, &["kernel"], |net| net.dense(units).bias(false)),
    }
}

fn check_light_dense(check: &mut Check) {
    let [units, rank] = ["units", "k"].map(|name| check.case.number(name) as usize);
    let layer = |net: Network| net.light_dense(units, rank);
    match check.case.hyper("use_bias") == true {
        true => check_layer(check, &["w1", "w2", "bias"], layer),
        false => check_layer(check, &["w1", "w2"], |net| layer(net).bias(false)),
    }
}

fn check_softmax_cross_entropy(check: &mut Check) {
    let (logits, target) = (check.values("logits"), check.values("target"));
    let classes = check.case.tensor("logits").shape[1];
    let samples = logits.len() / classes;
    let weight = 1.0 / samples as f32;
    let mut dlogits = logits.to_vec();
    let rows = dlogits.chunks_mut(classes).zip(target.chunks(classes));
    let losses: Vec<f32> = rows
        .map(|(outputs, target)| SoftmaxCrossEntropy::new().gradient(outputs, target, weight))
        .collect();
    check.tensor("loss_per_example", &losses);
    check.tensor("dlogits", &dlogits);

    // The mean is the trainer's: of a network that does nothing.
    let net = Network::features(classes).flatten();
    let data = session::Samples::from_rows(logits, target, samples);
    let run = session::Run {
        batch: samples,
        ..Default::default()
    };
    let taken = run.train(&net, SoftmaxCrossEntropy::new(), Sgd, &[], &data);
    check.tensor("loss", &[taken[0].loss]);

    let net = Network::features(classes).softmax();
    check.tensor("probs", &session::infer(&net, &[], logits, 1));
}

fn check_optimizer(check: &mut Check) {
    let case = check.case;
    let momentum = case.hyper("momentum").as_f64().map(|value| value as f32);
    let nesterov = case.hyper("nesterov") == true;
    let adam = || {
        let [beta_1, beta_2, epsilon] =
            ["beta_1", "beta_2", "epsilon"].map(|name| case.number(name) as f32);
        Adam::with(beta_1, beta_2, epsilon).expect("in range")
    };
    match (case.hyper("name").as_str(), momentum) {
        (Some("SGD"), None) => check_steps(check, Sgd),
        (Some("SGD"), Some(momentum)) if nesterov => {
            check_steps(check, Sgd::nesterov(momentum).expect("in range"));
        }
        (Some("SGD"), Some(momentum)) => {
            check_steps(check, Sgd::momentum(momentum).expect("in range"));
            // The same law where the rate does not change.
            if case.hyper("lr_per_step").is_null() {
                check_steps(check, Sgd::heavy_ball(momentum).expect("in range"));
            }
        }
        (Some("Adam"), None) => check_steps(check, adam()),
        (Some("AdamW"), None) => {
            let decay = case.number("weight_decay") as f32;
            check_steps(check, AdamW::new(decay, adam()).expect("in range"));
        }
        (other, _) => panic!("{}: optimizer {other:?}", case.id),
    }
}

fn check_steps<O: Optimizer>(check: &mut Check, optimizer: O) {
    let steps = check.case.number("steps") as usize;
    let rates = match check.case.hyper("lr_per_step").as_array() {
        Some(rates) => rates
            .iter()
            .map(|rate| rate.as_f64().expect("a number"))
            .collect(),
        None => vec![check.case.number("lr"); steps],
    };
    assert_eq!(rates.len(), steps, "{}", check.case.id);
    for name in ["a", "b"] {
        let mut weights = check.values(&format!("init.{name}")).to_vec();
        let len = weights.len();
        let mut state = vec![0.0; O::STATE * len];
        let gradients = check.values(&format!("grads.{name}")).chunks(len);
        let mut trajectory = Vec::new();
        let mut sums = vec![0.0; len];
        for (index, (gradients, rate)) in gradients.zip(&rates).enumerate() {
            let step = Step {
                number: index as u32 + 1,
                rate: *rate as f32,
            };
            optimizer.begin(&mut sums);
            for (sum, gradient) in sums.iter_mut().zip(gradients) {
                *sum += gradient;
            }
            assert!(optimizer.update(step, &mut weights, &sums, &mut state));
            trajectory.push(weights.clone());
        }
        let name = format!("params.{name}");
        for (found, expected) in trajectory.iter().zip(check.values(&name).chunks(len)) {
            check.compare(&name, found, expected);
        }
        check.tensor(&name, &trajectory.concat());
    }
}

/// The rates span decades: each is compared with its own size.
fn check_plateau(check: &mut Check) {
    let case = check.case;
    assert_eq!(case.hyper("mode"), "min");
    let [initial, factor, min_delta, min_rate] =
        ["initial_lr", "factor", "min_delta", "min_lr"].map(|name| case.number(name) as f32);
    let [patience, cooldown] = ["patience", "cooldown"].map(|name| case.number(name) as u32);
    let mut schedule = ReduceOnPlateau::new(initial, factor, patience, min_delta)
        .with_min_rate(min_rate)
        .with_cooldown(cooldown);
    let losses = case.numbers("val_loss");
    let expected = case.numbers("lr_after_epoch");
    assert_eq!(losses.len(), expected.len(), "{}", case.id);
    for (loss, expected) in losses.iter().zip(expected) {
        schedule.observe(*loss as f32);
        check.compare("rate", &[schedule.rate(0)], &[expected as f32]);
    }

    let stopping = &case.entry["early_stopping"];
    let patience = stopping["patience"].as_u64().expect("a number") as u32;
    let min_delta = stopping["min_delta"].as_f64().expect("a number") as f32;
    let mut best = [f32::NAN];
    let mut early = EarlyStopping::new(patience, min_delta, &mut best);
    let stopped = losses.iter().enumerate().position(|(epoch, loss)| {
        let verdict = early.observe(*loss as f32, &[epoch as f32]);
        verdict.expect("one weight") == Verdict::Exhausted
    });
    let expected = stopping["stops_after_epoch_index"].as_u64();
    assert_eq!(stopped.map(|epoch| epoch as u64), expected, "{}", case.id);
}
