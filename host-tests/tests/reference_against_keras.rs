//! Holds the `f64` reference against every vector made with Keras, so that what the library is
//! compared with has been compared itself.
//!
//! The test walks over the manifest: a case of an unknown kind fails, and so does a result tensor
//! that nothing was compared with.

use std::collections::BTreeSet;

use host_tests::golden::{self, Case};
use host_tests::reference::batch_norm::MovingStatistics;
use host_tests::reference::early_stopping::EarlyStopping;
use host_tests::reference::optimizer::{Adam, AdamW, Momentum, Nesterov, Optimizer, Sgd};
use host_tests::reference::plateau::ReduceLearningRateOnPlateau;
use host_tests::reference::window::{Padding, Window};
use host_tests::reference::{
    activation::{relu, softmax},
    average_pool2d, batch_norm, conv2d, dense, depthwise_conv2d, global_pool2d, light_conv2d,
    light_dense, max_pool2d, penalty, separable_conv2d, softmax_cross_entropy,
};
use ndarray::{Array, Array1, Array2, Array4, Axis, Dimension, RemoveAxis, array};

/// The manifest's tolerance for layers, losses and optimizers, by the manifest's measure.
const TOLERANCE: f64 = 1e-5;

/// Whole networks, several steps each. Not for this test: they are for the library itself.
const NETWORKS: [&str; 6] = [
    "net_mnist_light_k2_adam",
    "net_mnist_light_k2_adam_l2",
    "net_mnist_light_k2_sgd",
    "net_mnist_sep_adam",
    "net_mnist_conv_sgd",
    "net_cifar_light_k1_adam_l2",
];

#[test]
fn reference_agrees_with_every_case() {
    let mut compared_cases = 0;
    let mut networks = BTreeSet::new();
    let mut worst = (0.0, String::from("none"));
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
            "BatchNormalization" if case.tensor("x").shape.len() == 4 => {
                check_batch_norm::<ndarray::Ix4>(&mut check);
            }
            "BatchNormalization" => check_batch_norm::<ndarray::Ix2>(&mut check),
            "MaxPool2D" => check_max_pool2d(&mut check),
            "AveragePooling2D" => check_average_pool2d(&mut check),
            "GlobalAveragePooling2D" => check_global_average_pool2d(&mut check),
            "ReLU" => check_relu(&mut check),
            "Softmax" => check_softmax(&mut check),
            "SoftmaxCrossEntropy" => check_softmax_cross_entropy(&mut check),
            "Optimizer" => check_optimizer(&mut check),
            "ReduceLROnPlateau" => check_plateau(&mut check),
            "Net" => {
                assert!(
                    NETWORKS.contains(&id),
                    "{id}: a network that is not on the list"
                );
                networks.insert(id);
                continue;
            }
            other => panic!("{id}: no check for {other}"),
        }
        check.assert_complete();
        check.assert_as_far_as_stated();
        compared_cases += 1;
        if check.worst.0 > worst.0 {
            worst = check.worst;
        }
    }
    println!(
        "{compared_cases} cases compared; worst relative error {:e}, {}",
        worst.0, worst.1
    );
    assert_eq!(
        networks.len(),
        NETWORKS.len(),
        "networks of the list that the manifest has"
    );
    assert_eq!(compared_cases, 94);
}

/// The comparisons of one case.
struct Check<'a> {
    case: &'a Case,
    compared: BTreeSet<String>,
    worst: (f64, String),
}

impl<'a> Check<'a> {
    fn new(case: &'a Case) -> Self {
        Check {
            case,
            compared: BTreeSet::new(),
            worst: (0.0, case.id.clone()),
        }
    }

    /// Compares shape and elements of a result with the case's tensor of that name.
    fn tensor<D: Dimension>(&mut self, name: &str, found: &Array<f64, D>) {
        let expected = self.case.tensor(name);
        let label = format!("{}: {name}", self.case.id);
        assert_eq!(
            found.shape(),
            expected.shape,
            "{label}: shape found, expected"
        );
        self.compare(label, found, &expected.values);
        self.compared.insert(name.to_owned());
    }

    /// As [`tensor`](Self::tensor) with one step, the outermost axis of the case's tensor.
    fn step<D: Dimension>(&mut self, name: &str, step: usize, found: &Array<f64, D>) {
        let expected = self.case.tensor(name);
        let label = format!("{}: {name} after step {}", self.case.id, step + 1);
        assert_eq!(
            found.shape(),
            &expected.shape[1..],
            "{label}: shape found, expected"
        );
        let expected = &expected.values[step * found.len()..][..found.len()];
        self.compare(label, found, expected);
        self.compared.insert(name.to_owned());
    }

    /// As [`tensor`](Self::tensor), if the case has a bias, whose gradient this is.
    fn bias(&mut self, name: &str, found: &Array1<f64>) {
        let has_bias = self.case.hyper("use_bias") == true;
        assert_eq!(
            has_bias,
            self.case.tensors.contains_key(name),
            "{}: {name}",
            self.case.id
        );
        if has_bias {
            self.tensor(name, found);
        }
    }

    fn compare<D: Dimension>(&mut self, label: String, found: &Array<f64, D>, expected: &[f32]) {
        let found: Vec<f64> = found.iter().copied().collect();
        let error = golden::assert_close(&label, &found, expected, TOLERANCE);
        if error > self.worst.0 {
            self.worst = (error, label);
        }
    }

    /// Panics if the case has a result that was not compared.
    fn assert_complete(&self) {
        assert_eq!(
            self.compared,
            self.case.results(),
            "{}: tensors compared, results",
            self.case.id
        );
    }

    /// The manifest states how far the case's `f32` results are from a recomputation in `f64` by
    /// other code, at worst: this reference is to be just as far, so that it agrees with that
    /// recomputation as well.
    fn assert_as_far_as_stated(&self) {
        let stated = self.case.entry["ref_err"].as_f64().expect("a number");
        let (worst, label) = &self.worst;
        assert!(
            (worst - stated).abs() <= 1e-12,
            "{label}: error {worst:e}, stated {stated:e}"
        );
    }

    /// The case's own activation, behind the layer.
    fn activate<D: Dimension>(&self, y: &Array<f64, D>) -> Array<f64, D> {
        match self.case.hyper("activation").as_str() {
            None => y.clone(),
            Some("relu") => relu::forward(y),
            Some(other) => panic!("{}: activation {other}", self.case.id),
        }
    }

    /// The gradient in front of the case's own activation, `y` being the layer's output in front of
    /// it.
    fn upstream<D: Dimension>(&self, y: &Array<f64, D>) -> Array<f64, D> {
        let dy = self.case.array("dy");
        match self.case.hyper("activation").as_str() {
            None => dy,
            Some("relu") => relu::backward(y, &dy),
            Some(other) => panic!("{}: activation {other}", self.case.id),
        }
    }

    fn window(&self) -> Window {
        let padding = match self.case.hyper("padding").as_str() {
            Some("same") => Padding::Same,
            Some("valid") => Padding::Valid,
            other => panic!("{}: padding {other:?}", self.case.id),
        };
        Window::new(self.case.pair("strides"), padding)
    }
}

fn check_dense(check: &mut Check) {
    let (x, kernel): (Array2<f64>, Array2<f64>) =
        (check.case.array("x"), check.case.array("param.kernel"));
    let bias = check.case.optional_array("param.bias");
    let y = dense::forward(&x, &kernel, bias.as_ref());
    let gradients = dense::backward(&x, &kernel, &check.upstream(&y));
    check.tensor("y", &check.activate(&y));
    check.tensor("dx", &gradients.dx);
    check.tensor("grad.kernel", &gradients.kernel);
    check.bias("grad.bias", &gradients.bias);
}

fn check_light_dense(check: &mut Check) {
    let x: Array2<f64> = check.case.array("x");
    let (w1, w2) = (check.case.array("param.w1"), check.case.array("param.w2"));
    let bias = check.case.optional_array("param.bias");
    let y = light_dense::forward(&x, &w1, &w2, bias.as_ref());
    let gradients = light_dense::backward(&x, &w1, &w2, &check.upstream(&y));
    check.tensor("y", &check.activate(&y));
    check.tensor("dx", &gradients.dx);
    check.tensor("grad.w1", &gradients.w1);
    check.tensor("grad.w2", &gradients.w2);
    check.bias("grad.bias", &gradients.bias);
}

fn check_conv2d(check: &mut Check) {
    let (x, kernel): (Array4<f64>, Array4<f64>) =
        (check.case.array("x"), check.case.array("param.kernel"));
    let bias = check.case.optional_array("param.bias");
    let window = check.window();
    let y = conv2d::forward(&x, &kernel, bias.as_ref(), &window);
    let gradients = conv2d::backward(&x, &kernel, &window, &check.upstream(&y));
    check.tensor("y", &check.activate(&y));
    check.tensor("dx", &gradients.dx);
    check.tensor("grad.kernel", &gradients.kernel);
    check.bias("grad.bias", &gradients.bias);
}

fn check_light_conv2d(check: &mut Check) {
    let x: Array4<f64> = check.case.array("x");
    let (w1, w2): (Array4<f64>, Array4<f64>) =
        (check.case.array("param.w1"), check.case.array("param.w2"));
    let b1 = check.case.optional_array("param.b1");
    let b2 = check.case.optional_array("param.b2");
    let window = check.window();
    let y = light_conv2d::forward(&x, &w1, b1.as_ref(), &w2, b2.as_ref(), &window);
    let dy = check.upstream(&y);
    let gradients = light_conv2d::backward(&x, &w1, b1.as_ref(), &w2, &window, &dy);
    check.tensor("y", &check.activate(&y));
    check.tensor("dx", &gradients.dx);
    check.tensor("grad.w1", &gradients.w1);
    check.tensor("grad.w2", &gradients.w2);
    check.bias("grad.b1", &gradients.b1);
    check.bias("grad.b2", &gradients.b2);

    let strength = check.case.number("l2");
    let penalty = penalty::l2(&w1, strength) + penalty::l2(&w2, strength);
    check.tensor("reg_loss", &array![penalty]);
    check.tensor("reg_grad.w1", &penalty::l2_gradient(&w1, strength));
    check.tensor("reg_grad.w2", &penalty::l2_gradient(&w2, strength));
}

fn check_depthwise_conv2d(check: &mut Check) {
    let (x, kernel) = (
        check.case.array("x"),
        check.case.array("param.depthwise_kernel"),
    );
    let bias = check.case.optional_array("param.bias");
    let window = check.window();
    let dy = check.case.array("dy");
    let gradients = depthwise_conv2d::backward(&x, &kernel, &window, &dy);
    check.tensor(
        "y",
        &depthwise_conv2d::forward(&x, &kernel, bias.as_ref(), &window),
    );
    check.tensor("dx", &gradients.dx);
    check.tensor("grad.depthwise_kernel", &gradients.kernel);
    check.bias("grad.bias", &gradients.bias);
}

fn check_separable_conv2d(check: &mut Check) {
    let x = check.case.array("x");
    let depthwise = check.case.array("param.depthwise_kernel");
    let pointwise = check.case.array("param.pointwise_kernel");
    let bias = check.case.optional_array("param.bias");
    let window = check.window();
    let dy = check.case.array("dy");
    let y = separable_conv2d::forward(&x, &depthwise, &pointwise, bias.as_ref(), &window);
    let gradients = separable_conv2d::backward(&x, &depthwise, &pointwise, &window, &dy);
    check.tensor("y", &y);
    check.tensor("dx", &gradients.dx);
    check.tensor("grad.depthwise_kernel", &gradients.depthwise_kernel);
    check.tensor("grad.pointwise_kernel", &gradients.pointwise_kernel);
    check.bias("grad.bias", &gradients.bias);
}

fn check_batch_norm<D: RemoveAxis>(check: &mut Check) {
    let x: Array<f64, D> = check.case.array("x");
    let dy = check.case.array("dy");
    let (gamma, beta) = (
        check.case.array("param.gamma"),
        check.case.array("param.beta"),
    );
    let before = MovingStatistics {
        mean: check.case.array("param.moving_mean"),
        variance: check.case.array("param.moving_variance"),
    };
    let (momentum, epsilon) = (check.case.number("momentum"), check.case.number("epsilon"));
    let (y, after, gradients) = match check.case.hyper("mode").as_str() {
        Some("train") => {
            let trained =
                batch_norm::forward_training(&x, &gamma, &beta, &before, momentum, epsilon);
            let gradients = batch_norm::backward_training(&x, &gamma, epsilon, &dy);
            (trained.y, trained.moving, gradients)
        }
        Some("infer") => {
            let y = batch_norm::forward_inference(&x, &gamma, &beta, &before, epsilon);
            let gradients = batch_norm::backward_inference(&x, &gamma, &before, epsilon, &dy);
            (y, before, gradients)
        }
        other => panic!("{}: mode {other:?}", check.case.id),
    };
    check.tensor("y", &y);
    check.tensor("after.moving_mean", &after.mean);
    check.tensor("after.moving_variance", &after.variance);
    check.tensor("dx", &gradients.dx);
    check.tensor("grad.gamma", &gradients.gamma);
    check.tensor("grad.beta", &gradients.beta);
}

fn check_max_pool2d(check: &mut Check) {
    let (x, dy) = (check.case.array("x"), check.case.array("dy"));
    let (pool, window) = (check.case.pair("pool_size"), check.window());
    check.tensor("y", &max_pool2d::forward(&x, pool, &window));
    check.tensor("dx", &max_pool2d::backward(&x, pool, &window, &dy));
}

fn check_average_pool2d(check: &mut Check) {
    let (x, dy): (Array4<f64>, _) = (check.case.array("x"), check.case.array("dy"));
    let (pool, window) = (check.case.pair("pool_size"), check.window());
    check.tensor("y", &average_pool2d::forward(&x, pool, &window));
    check.tensor("dx", &average_pool2d::backward(x.dim(), pool, &window, &dy));
}

fn check_global_average_pool2d(check: &mut Check) {
    let (x, dy): (Array4<f64>, _) = (check.case.array("x"), check.case.array("dy"));
    check.tensor("y", &global_pool2d::average::forward(&x));
    check.tensor("dx", &global_pool2d::average::backward(x.dim(), &dy));
}

fn check_relu(check: &mut Check) {
    let (x, dy): (Array2<f64>, _) = (check.case.array("x"), check.case.array("dy"));
    check.tensor("y", &relu::forward(&x));
    check.tensor("dx", &relu::backward(&x, &dy));
}

fn check_softmax(check: &mut Check) {
    let (x, dy): (Array2<f64>, _) = (check.case.array("x"), check.case.array("dy"));
    check.tensor("y", &softmax::forward(&x));
    check.tensor("dx", &softmax::backward(&x, &dy));
}

fn check_softmax_cross_entropy(check: &mut Check) {
    let (logits, target) = (check.case.array("logits"), check.case.array("target"));
    let loss = softmax_cross_entropy::forward(&logits, &target);
    check.tensor("loss_per_example", &loss.per_example);
    check.tensor("loss", &array![loss.mean]);
    check.tensor("probs", &softmax::forward(&logits));
    check.tensor(
        "dlogits",
        &softmax_cross_entropy::backward(&logits, &target),
    );
}

fn check_optimizer(check: &mut Check) {
    let steps = check.case.number("steps") as usize;
    let mut learning_rates = vec![check.case.number("lr"); steps];
    if let Some(listed) = check.case.hyper("lr_per_step").as_array() {
        learning_rates = listed
            .iter()
            .map(|rate| rate.as_f64().expect("a number"))
            .collect();
        assert_eq!(learning_rates.len(), steps);
    }
    for name in ["a", "b"] {
        let mut parameters = check.case.tensor(&format!("init.{name}")).to_array();
        let gradients = check.case.tensor(&format!("grads.{name}")).to_array();
        assert_eq!(gradients.len_of(Axis(0)), steps, "{}", check.case.id);
        let mut optimizer = optimizer_of(check.case, parameters.len());
        for (step, &learning_rate) in learning_rates.iter().enumerate() {
            let moved = parameters.as_slice_mut().expect("row-major");
            let gradients = gradients.index_axis(Axis(0), step);
            let gradients = gradients.as_slice().expect("row-major");
            optimizer.step(moved, gradients, learning_rate);
            check.step(&format!("params.{name}"), step, &parameters);
        }
    }
}

fn optimizer_of(case: &Case, parameters: usize) -> Box<dyn Optimizer> {
    let momentum = case.hyper("momentum").as_f64();
    let nesterov = case.hyper("nesterov") == true;
    let adam = || {
        let [beta_1, beta_2, epsilon] =
            ["beta_1", "beta_2", "epsilon"].map(|name| case.number(name));
        Adam::new(beta_1, beta_2, epsilon, parameters)
    };
    match (case.hyper("name").as_str(), momentum) {
        (Some("SGD"), None) => Box::new(Sgd),
        (Some("SGD"), Some(momentum)) if nesterov => Box::new(Nesterov::new(momentum, parameters)),
        (Some("SGD"), Some(momentum)) => Box::new(Momentum::new(momentum, parameters)),
        (Some("Adam"), None) => Box::new(adam()),
        (Some("AdamW"), None) => Box::new(AdamW::new(adam(), case.number("weight_decay"))),
        (other, _) => panic!("{}: optimizer {other:?}", case.id),
    }
}

/// The rates span decades, so each is also compared with its own size. They were stored as `f32`,
/// hence 1e-6.
fn check_plateau(check: &mut Check) {
    let case = check.case;
    assert_eq!(case.hyper("mode"), "min");
    let losses = case.numbers("val_loss");
    let (initial, factor) = (case.number("initial_lr"), case.number("factor"));
    let patience = case.number("patience") as usize;
    let mut plateau = ReduceLearningRateOnPlateau::new(initial, factor, patience);
    plateau.min_delta = case.number("min_delta");
    plateau.cooldown = case.number("cooldown") as usize;
    plateau.min_learning_rate = case.number("min_lr");
    let rates: Vec<f64> = losses.iter().map(|&loss| plateau.epoch(loss)).collect();
    let expected = case.numbers("lr_after_epoch");
    let stored: Vec<f32> = expected.iter().map(|&rate| rate as f32).collect();
    let error = golden::assert_close(&case.id, &rates, &stored, TOLERANCE);
    check.worst = (error, format!("{}: rates", case.id));
    for (epoch, (found, expected)) in rates.iter().zip(&expected).enumerate() {
        let error = (found - expected).abs() / expected;
        assert!(
            error <= 1e-6,
            "{}, epoch {epoch}: expected {expected}, found {found}",
            case.id
        );
    }

    let early_stopping = &case.entry["early_stopping"];
    let patience = early_stopping["patience"].as_u64().expect("a number") as usize;
    let min_delta = early_stopping["min_delta"].as_f64().expect("a number");
    let mut stopping = EarlyStopping::new(patience, min_delta);
    let stopped = losses.iter().position(|&loss| stopping.epoch(loss));
    let expected = early_stopping["stops_after_epoch_index"].as_u64();
    assert_eq!(
        stopped.map(|epoch| epoch as u64),
        expected,
        "{}: stops after epoch",
        case.id
    );
}

/// What the vectors cannot tell apart: the decay before the step of Adam, or after it.
///
/// Rate 0.1, decay 0.5, epsilon 0. The gradient is always 1, so both moments are 1 once corrected,
/// and the step of Adam is the rate.
///
/// - Decay first: `2 · 0.95 - 0.1 = 1.8`, then `1.8 · 0.95 - 0.1 = 1.61`.
/// - Decay last, which is wrong: `(2 - 0.1) · 0.95 = 1.805`, then `(1.805 - 0.1) · 0.95 = 1.61975`.
#[test]
fn adamw_decays_before_the_step() {
    let optimizer = AdamW::new(Adam::new(0.9, 0.999, 0.0, 1), 0.5);
    assert_steps(optimizer, 2.0, &[(0.1, 1.8), (0.1, 1.61)]);
}

/// What the vectors do not vary: the rate of momentum.
///
/// Momentum 0.9, the gradient always 1, rates 0.1, 0.01, 0.01.
///
/// - Rate inside the velocity: `v = -0.1`, then `-0.09 - 0.01 = -0.1`, then `-0.1` again.
/// - Rate outside, which is wrong: the second step would be `-0.01 · (0.9 + 1) = -0.019`.
#[test]
fn momentum_keeps_the_rate_it_was_made_with() {
    let optimizer = Momentum::new(0.9, 1);
    assert_steps(optimizer, 1.0, &[(0.1, 0.9), (0.01, 0.8), (0.01, 0.7)]);
}

/// As above, with the velocities -0.1, -0.1, -0.1 and the step of Nesterov, `0.9 v - rate`:
/// `-0.09 - 0.1 = -0.19`, then `-0.09 - 0.01 = -0.1` twice.
#[test]
fn nesterov_keeps_the_rate_it_was_made_with() {
    let optimizer = Nesterov::new(0.9, 1);
    assert_steps(optimizer, 1.0, &[(0.1, 0.81), (0.01, 0.71), (0.01, 0.61)]);
}

/// Moves one parameter with the gradient 1; each step has its rate and the value expected after it.
fn assert_steps(mut optimizer: impl Optimizer, initial: f64, steps: &[(f64, f64)]) {
    let mut parameters = [initial];
    for &(learning_rate, expected) in steps {
        optimizer.step(&mut parameters, &[1.0], learning_rate);
        let [found] = parameters;
        assert!(
            (found - expected).abs() < 1e-12,
            "expected {expected}, found {found}"
        );
    }
}
