//! Trains whole networks as Keras did, step by step.
//!
//! The tolerances are those of the manifest. The true gradient of a bias right before batch
//! normalization is 0: what is stored is noise, which Adam turns into steps of any direction.

use std::collections::BTreeSet;

use host_tests::golden::{self, Case, assert_close};
use host_tests::session::{Run, Samples, Taken, Upstream, infer};
use lightlayers::Network;
use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::optim::{Adam, Sgd};
use lightlayers::paper::{self, Kind};

/// Adds a convolution with a kernel of the given size and a penalty.
fn convolution(net: Network, kind: Kind, filters: usize, kernel: usize, l2: f32) -> Network {
    kind.convolution(net, filters, kernel).l2(l2)
}

fn network(case: &Case, l2: f32) -> Network {
    let kind = match case.hyper("kind").as_str() {
        Some("light") => Kind::Light {
            rank: case.number("k") as usize,
        },
        Some("sep") => Kind::SeparableConv2d,
        Some("conv") => Kind::Conv2d,
        other => panic!("{}: kind {other:?}", case.id),
    };
    let sizes = |name: &str| -> Vec<usize> {
        let list = case.hyper(name).as_array().expect("a list").iter();
        list.map(|size| size.as_u64().expect("a size") as usize)
            .collect()
    };
    let [height, width, channels] = sizes("input_shape")[..] else {
        panic!("{}: not an image", case.id);
    };
    let residual = case.hyper("residual") == true;
    let mut net = Network::input(height, width, channels);
    for filters in sizes("filters") {
        let body = convolution(net, kind, filters, 3, l2).batch_norm().relu();
        let body = convolution(body, kind, filters, 3, l2).batch_norm();
        net = if residual {
            let shortcut = convolution(net, kind, filters, 1, l2).batch_norm();
            net.residual(body, shortcut)
        } else {
            body
        };
        net = net.relu().max_pool2d(2);
    }
    let classes = case.number("classes") as usize;
    let net = match kind {
        Kind::Light { .. } => net.global_average_pool().light_dense(classes, 8),
        _ => net.global_average_pool().dense(classes),
    };
    let of_the_paper = if residual {
        paper::cifar(kind, classes)
    } else {
        paper::mnist(kind)
    };
    assert_eq!(net.weights(), case.number("total_params") as usize);
    assert_eq!(net.weights(), of_the_paper.weights());
    assert_eq!(net.len(), of_the_paper.len());
    net
}

/// A tensor of the network: its name, and where it lies in the library's weights.
struct Place {
    name: String,
    range: std::ops::Range<usize>,
}

/// The tensors in the library's order: what has gradients, layer by layer, then the moving
/// statistics.
fn places(case: &Case) -> Vec<Place> {
    let residual = case.hyper("residual") == true;
    let (convolution, head): (&[&str], &[&str]) = match case.hyper("kind").as_str() {
        Some("light") => (&["w1", "b1", "w2", "b2"], &["w1", "w2", "bias"]),
        Some("sep") => (
            &["depthwise_kernel", "pointwise_kernel", "bias"],
            &["kernel", "bias"],
        ),
        _ => (&["kernel", "bias"], &["kernel", "bias"]),
    };
    let (mut trained, mut moving) = (Vec::new(), Vec::new());
    for block in 1..=3 {
        let branches = [("conv1", "bn1"), ("conv2", "bn2"), ("short", "bns")];
        for (layer, norm) in &branches[..if residual { 3 } else { 2 }] {
            let tensors = convolution.iter();
            trained.extend(tensors.map(|tensor| format!("block{block}.{layer}.{tensor}")));
            for (group, tensors) in [
                (&mut trained, ["gamma", "beta"]),
                (&mut moving, ["moving_mean", "moving_variance"]),
            ] {
                group.extend(tensors.map(|tensor| format!("block{block}.{norm}.{tensor}")));
            }
        }
    }
    trained.extend(head.iter().map(|tensor| format!("head.{tensor}")));
    let mut start = 0;
    let names = trained.into_iter().chain(moving);
    let places = names.map(|name| {
        let len = case.tensor(&format!("init/{name}")).values.len();
        start += len;
        let range = start - len..start;
        Place { name, range }
    });
    places.collect()
}

fn largest(values: &[f32]) -> f64 {
    values.iter().fold(0.0, |a, b| a.max(f64::from(b.abs())))
}

fn differences(found: &[f32], expected: &[f32]) -> Vec<f32> {
    found.iter().zip(expected).map(|(a, b)| a - b).collect()
}

fn length(values: &[f32]) -> f64 {
    let squares = values.iter().map(|value| f64::from(*value).powi(2));
    squares.sum::<f64>().sqrt()
}

#[test]
fn networks_train_as_with_keras() {
    let mut networks = 0;
    for id in golden::ids() {
        let case = golden::case(id);
        if case.layer() == "Net" {
            check_network(&case);
            networks += 1;
        }
    }
    assert_eq!(networks, 6);
}

fn check_network(case: &Case) {
    let values = |name: &str| &case.tensor(name).values[..];
    let label = |name: &str| format!("{}: {name}", case.id);
    let net = network(case, case.number("l2") as f32);
    let places = places(case);
    let init: Vec<f32> = places
        .iter()
        .flat_map(|place| values(&format!("init/{}", place.name)).to_vec())
        .collect();
    assert_eq!(init.len(), net.weights());
    let noise: BTreeSet<&str> = case.entry["zero_gradient_params"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|name| name.as_str())
        .collect();
    let (batch, steps) = (case.number("batch") as usize, case.number("steps") as usize);
    let rate = case.number("lr");
    let samples = Samples::from_rows(values("x"), values("target"), batch);
    let run = Run {
        batch,
        capacity: batch,
        steps,
        rate: rate as f32,
        dropout_seed: 0,
    };
    let loss = SoftmaxCrossEntropy::new();
    let adam = case.hyper("optimizer") == "adam";
    let train = |net: &Network, run: Run, weights: &[f32]| match adam {
        true => run.train(net, loss, Adam::new(), weights, &samples),
        false => run.train(net, loss, Sgd, weights, &samples),
    };
    let taken = train(&net, run, &init);
    let mut compared = BTreeSet::new();
    let mut compare = |name: &str, found: &[f32], tolerance: f64| {
        compared.insert(name.to_owned());
        assert_close(&label(name), found, values(name), tolerance)
    };

    // Logits.
    let before = infer(&net, &init, values("x"), 1);
    let mut logits = compare("infer_logits_init", &before, 1e-4);
    let upstream = Upstream::default();
    let once = Run { steps: 1, ..run };
    once.train(&net, &upstream, Sgd, &init, &samples);
    let outputs = upstream.take_outputs();
    logits = logits.max(compare("train_logits_step1", &outputs, 1e-4));
    let last = &taken.last().expect("a step").weights;
    let after = infer(&net, last, values("x"), 1);
    let final_logits = compare("infer_logits_final", &after, 1e-2);

    // Losses: that of the first step within 1e-4, and so are the others.
    let totals: Vec<f32> = taken.iter().map(|step| step.loss).collect();
    let mut losses = compare("loss_total", &totals, 1e-4);
    let free = network(case, 0.0);
    let entropies: Vec<f32> = (0..steps)
        .map(|step| {
            let weights = step
                .checked_sub(1)
                .map_or(&init, |step| &taken[step].weights);
            train(&free, once, weights)[0].loss
        })
        .collect();
    losses = losses.max(compare("loss_ce", &entropies, 1e-4));
    // A difference of two losses that are rounded to 24 bits.
    let penalties = differences(&totals, &entropies);
    let rounding = largest(&totals) / f64::from(1 << 22);
    for (found, expected) in penalties.iter().zip(values("loss_reg")) {
        assert!(
            f64::from((found - expected).abs()) <= rounding,
            "{found} of {expected}"
        );
    }

    // Gradients of the first step.
    let mut compared: BTreeSet<String> = compared;
    compared.insert("loss_reg".to_owned());
    let gradients = &taken[0].gradients;
    let stored = |name: &str| case.tensors.get(name).map(|tensor| &tensor.values[..]);
    let of_all = places
        .iter()
        .filter_map(|place| stored(&format!("grad1/{}", place.name)))
        .map(largest)
        .fold(0.0, f64::max);
    let mut worst_gradient = 0.0_f64;
    for place in &places {
        let name = format!("grad1/{}", place.name);
        let Some(expected) = stored(&name) else {
            continue;
        };
        compared.insert(name.clone());
        if noise.contains(&place.name[..]) {
            continue;
        }
        let found = &gradients[place.range.clone()];
        let most = largest(expected).max(0.01 * of_all);
        let error = largest(&differences(found, expected)) / most;
        assert!(error <= 1e-3, "{}: error {error:e}", label(&name));
        worst_gradient = worst_gradient.max(error);
    }

    let worst_weight = check_weights(case, &places, &noise, &taken, &mut compared);
    assert_eq!(compared, results(case), "{}: tensors compared", case.id);
    println!(
        "{}: worst error of logits {logits:.1e}, at the end {final_logits:.1e}, losses {losses:.1e}, \
         gradients {worst_gradient:.1e}, weights {worst_weight:.1e} of the tolerance",
        case.id
    );
}

/// Compares the weights after each step; returns the worst error as a share of what is allowed.
fn check_weights(
    case: &Case,
    places: &[Place],
    noise: &BTreeSet<&str>,
    taken: &[Taken],
    compared: &mut BTreeSet<String>,
) -> f64 {
    let rate = case.number("lr");
    let adam = case.hyper("optimizer") == "adam";
    let mut worst = 0.0_f64;
    for (index, step) in taken.iter().enumerate() {
        let number = index as f64 + 1.0;
        for place in places {
            let name = format!("step{}/{}", index + 1, place.name);
            let expected = &case.tensor(&name).values;
            let init = &case.tensor(&format!("init/{}", place.name)).values;
            compared.insert(name.clone());
            let noise = noise.contains(&place.name[..]);
            let difference = differences(&step.weights[place.range.clone()], expected);
            let allowed = match (adam, noise) {
                (true, true) => 2.0 * rate * number,
                (true, false) => 0.2 * rate * number,
                (false, _) => 1e-4,
            };
            let mut error = largest(&difference) / allowed;
            if !adam && !noise {
                let moved = length(&differences(expected, init));
                error = error.max(length(&difference) / (1e-2 * moved));
            }
            assert!(
                error <= 1.0,
                "{}: {name}: {error:.2} of the tolerance",
                case.id
            );
            if !noise {
                worst = worst.max(error);
            }
        }
    }
    worst
}

fn results(case: &Case) -> BTreeSet<String> {
    let names = case.tensors.keys();
    let given = |name: &&String| *name == "x" || *name == "target" || name.starts_with("init/");
    names.filter(|name| !given(name)).cloned().collect()
}
