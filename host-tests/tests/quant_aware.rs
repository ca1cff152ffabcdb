//! Training with fake quantization: it computes what the quantized network computes, its gradients
//! pass straight through, and it wins back what coarse steps lose.

use host_tests::quantized::{infer, words};
use host_tests::session::{Answer, Buffers, Samples, random_weights, values};
use lightlayers::dataset::{Holdout, PackedImages};
use lightlayers::loss::{MeanSquaredError, SoftmaxCrossEntropy};
use lightlayers::optim::{Adam, Sgd};
use lightlayers::quant::{Calibration, Quantization, RangeMethod, TensorRange};
use lightlayers::schedule::Constant;
use lightlayers::{Buffer, Epoch, Error, Network, Plan, Trainer};

fn calibrated(plan: &Plan, weights: &[f32], samples: &[Vec<f32>]) -> Vec<Quantization> {
    let tensors = plan.network().len() + 1;
    let mut workspace = vec![0.0; plan.network().inference_workspace()];
    let mut ranges = vec![TensorRange::EMPTY; tensors];
    let mut calibration =
        Calibration::new(plan, weights, &mut workspace, &mut ranges, &mut []).expect("buffers fit");
    for sample in samples {
        calibration.observe(sample).expect("one finite sample");
    }
    let mut quantizations = vec![Quantization::PIXELS; tensors];
    calibration
        .choose(RangeMethod::MinMax, &mut quantizations)
        .expect("observed");
    quantizations
}

/// The quantization of the output of the last layer.
fn last(quantizations: &[Quantization]) -> Quantization {
    *quantizations.last().expect("a network has an input")
}

#[test]
fn it_computes_what_the_quantized_network_computes() {
    let image = Network::input(7, 6, 3);
    let residual = image.conv2d(4, 3).relu();
    let residual = residual.residual(residual.conv2d(4, 3).relu6().conv2d(4, 1), residual);
    let nets = [
        Network::features(9).dense(8).relu().dense(5),
        image
            .conv2d(6, 3)
            .relu()
            .max_pool2d(2)
            .conv2d(5, 3)
            .leaky_relu(0.1)
            .flatten()
            .dense(4),
        residual.relu().global_average_pool().dense(3),
        image
            .depthwise_conv2d(3, 2)
            .tanh()
            .average_pool2d(2)
            .flatten()
            .dense(3)
            .sigmoid(),
        image.average_pool2d(2).global_max_pool(),
    ];
    for (seed, net) in (0..).zip(&nets) {
        let (mut same, mut all) = (0, 0);
        let plan = Plan::new(net);
        let weights = random_weights(net, seed);
        let len = net.input_shape().len();
        let rows: Vec<_> = (0..12).map(|i| values(len, 1.0, 100 * seed + i)).collect();
        let quantizations = calibrated(&plan, &weights, &rows);
        let outputs = net.output_shape().len();
        let target = vec![0.0; outputs * rows.len()];
        let mut samples = Samples::from_rows(&rows.concat(), &target, rows.len());

        let mut buffers = Buffers::new::<Adam>(net, &weights, 5);
        let mut rounded = vec![0.0; net.weights()];
        let loss = MeanSquaredError;
        let trainer = Trainer::new(&plan, loss, Adam::new(), buffers.memory()).expect("fits");
        let mut found: Vec<f32> = Vec::new();
        trainer
            .quantization_aware(&quantizations, &mut rounded)
            .expect("fits")
            .evaluate(&mut samples, |evaluated| found.extend(evaluated.outputs))
            .expect("finite samples");

        let integers: Vec<_> = rows
            .concat()
            .iter()
            .map(|x| quantizations[0].quantize(*x))
            .collect();
        let words = words(net, &weights, &quantizations);
        let step = last(&quantizations);
        for (found, expected) in found.iter().zip(infer(net, &words, &integers)) {
            // In steps; one near a tie of a hidden layer moves a few of them.
            let apart = (found - step.dequantize(expected)).abs() / step.scale();
            assert!(apart < 4.0, "{apart} steps apart in network {seed}");
            same += usize::from(apart < 0.01);
            all += 1;
        }
        assert!(
            4 * same >= 3 * all,
            "only {same} of {all} are the same in network {seed}"
        );
    }
}

/// Halves go away from zero, as in the quantized network, for weights and for inputs; a large bias makes the weights' scale larger in both.
#[test]
fn it_rounds_as_quantize_does() {
    let unit = Quantization::new(1.0, 0).expect("a scale");
    // Of each output the largest weight is 127, so that its scale is 1, and the other one a half: of the first output 0.5, of the last 126.5.
    let halves: Vec<f32> = (0..127)
        .flat_map(|i| [1.0, -1.0].map(|sign| sign * (i as f32 + 0.5)))
        .collect();
    let ties = Network::features(2).dense(halves.len()).bias(false);
    let weights: Vec<f32> = std::iter::repeat_n(127.0, halves.len())
        .chain(halves.clone())
        .collect();
    let away_from_zero = halves.iter().map(|half| half + half.signum() / 2.0);
    found_by_both(
        &ties,
        &weights,
        &[unit; 2],
        &[0.0, 1.0],
        &away_from_zero.collect::<Vec<_>>(),
    );

    let same = Network::features(4).dense(1).bias(false);
    for (at, expected) in [1.0, -1.0, 2.0, -127.0].into_iter().enumerate() {
        let mut weights = [0.0; 4];
        weights[at] = 1.0;
        found_by_both(
            &same,
            &weights,
            &[unit; 2],
            &[0.5, -0.5, 1.5, -126.5],
            &[expected],
        );
    }

    // A bias of so many steps of 0.01 makes 0.01 the scale of the weight beside it.
    let biased = Network::features(1).dense(1);
    let bias = 0.01 * (i32::MAX - 256 * 127) as f32;
    for (weight, steps) in [(0.004, 0.0), (0.006, 1.0), (0.014, 1.0), (0.016, 2.0)] {
        let (_, rounded) = fake(&biased, &[weight, bias], &[unit; 2], &[1.0]);
        let apart = rounded[0] - 0.01 * steps;
        assert!(apart.abs() < 1e-6, "{weight} became {}", rounded[0]);
        let kernel = words(&biased, &[weight, bias], &[unit; 2])[6];
        assert_eq!(kernel, steps as u32, "{weight}");
    }
}

/// The outputs of one sample by fake quantization, and the weights that it used.
fn fake(
    net: &Network,
    weights: &[f32],
    quantizations: &[Quantization],
    x: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    let plan = Plan::new(net);
    let targets = vec![0.0; net.output_shape().len()];
    let mut samples = Samples::from_rows(x, &targets, 1);
    let mut buffers = Buffers::new::<Sgd>(net, weights, 1);
    let mut rounded = vec![0.0; net.weights()];
    let trainer = Trainer::new(&plan, MeanSquaredError, Sgd, buffers.memory()).expect("fits");
    let mut found = Vec::new();
    trainer
        .quantization_aware(quantizations, &mut rounded)
        .expect("fits")
        .evaluate(&mut samples, |evaluated| found.extend(evaluated.outputs))
        .expect("finite samples");
    (found, rounded)
}

/// The outputs of one sample, by fake quantization and by integers, are the expected ones.
fn found_by_both(
    net: &Network,
    weights: &[f32],
    quantizations: &[Quantization],
    x: &[f32],
    expected: &[f32],
) {
    let (found, _) = fake(net, weights, quantizations, x);
    assert_eq!(found, expected, "by fake quantization");
    let integers: Vec<_> = x.iter().map(|x| quantizations[0].quantize(*x)).collect();
    let words = words(net, weights, quantizations);
    let found = infer(net, &words, &integers);
    let found = found.iter().map(|q| last(quantizations).dequantize(*q));
    assert_eq!(found.collect::<Vec<_>>(), expected, "by integers");
}

#[test]
fn gradients_pass_straight_through() {
    // y = round(w) · round(x); steps of 1/127 of the largest weight, and of 0.5.
    let net = Network::features(2).dense(1).bias(false);
    let plan = Plan::new(&net);
    let half = Quantization::new(0.5, 0).expect("a scale");
    let quantizations = [half, half];
    let weights = [1.27, 0.304];
    let mut samples = Samples(vec![(vec![1.1, -1.9], Answer::Values(vec![0.0]))]);
    let mut buffers = Buffers::new::<Sgd>(&net, &weights, 1);
    let mut rounded = [0.0; 2];
    let loss = MeanSquaredError;
    let trainer = Trainer::new(&plan, loss, Sgd, buffers.memory()).expect("fits");
    let trainer = trainer.quantization_aware(&quantizations, &mut rounded);
    let mut trainer = trainer.expect("fits");
    trainer.step(&mut samples, 0..1, 0.1).expect("finite");
    // x = [1, -2], w = [1.27, 0.30]: their product is 0.67, rounded 0.5. dy = 2 · 0.5 = 1, dw = dy · x.
    let expected = [1.0, -2.0];
    for (found, expected) in trainer.gradients().iter().zip(expected) {
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }
    // The weights that are not rounded move.
    for (found, expected) in trainer.weights().iter().zip([1.27 - 0.1, 0.304 + 0.2]) {
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }
}

#[test]
fn gradients_stop_where_the_integers_saturate() {
    // y = relu(w · x) from 0 to 127 · 0.015625 = 1.984375, in 255 steps: the first output lies above, the second within, the third below.
    let net = Network::features(1).dense(3).bias(false).relu();
    let plan = Plan::new(&net);
    let step = Quantization::new(0.015625, 0).expect("a scale");
    let weights = [2.0, 1.0, -1.0];
    let mut samples = Samples(vec![(vec![1.0], Answer::Values(vec![0.0; 3]))]);
    let mut buffers = Buffers::new::<Sgd>(&net, &weights, 1);
    let (quantizations, mut rounded) = ([step; 3], [0.0; 3]);
    let loss = MeanSquaredError;
    let trainer = Trainer::new(&plan, loss, Sgd, buffers.memory()).expect("fits");
    let trainer = trainer.quantization_aware(&quantizations, &mut rounded);
    let mut trainer = trainer.expect("fits");
    trainer.step(&mut samples, 0..1, 0.1).expect("finite");
    // dw = 2/3 · y · x where it passes; y is 1 or the nearest of the steps.
    let y = 129.0 * 1.984375 / 255.0;
    let [first, second, third] = *trainer.gradients() else {
        panic!("one gradient for each weight")
    };
    assert_eq!([first, third], [0.0; 2]);
    assert!((second - 2.0 / 3.0 * y).abs() < 1e-6, "{second}");
}

#[test]
fn it_wins_back_what_coarse_steps_lose() {
    let bytes = include_bytes!("../../examples/data/digits.bin");
    let digits = PackedImages::new(bytes).expect("the repository's digits");
    let mut training = Holdout::training(digits, 5).expect("a fifth");
    let mut testing = Holdout::testing(digits, 5).expect("a fifth");
    let net = Network::input(8, 8, 1).flatten().dense(12).relu().dense(10);
    let plan = Plan::new(&net);
    let mut weights = vec![0.0; net.weights()];
    net.initialize(&mut weights, 1).expect("fits");
    let loss = SoftmaxCrossEntropy::new();
    let mut buffers = Buffers::new::<Adam>(&net, &weights, 32);
    let mut trainer =
        Trainer::new(&plan, loss, Adam::new(), buffers.memory()).expect("buffers fit");
    for epoch in 0..20 {
        let epoch = Epoch::shuffled(32, epoch);
        trainer
            .epoch(&mut training, epoch, &Constant(0.01), |_| {})
            .expect("finite");
    }
    let exact = trainer.evaluate(&mut testing, |_| {}).expect("finite");
    let weights = trainer.weights().to_vec();

    // Steps 24 times as wide as they should be: 3 to 4 bits.
    let mut quantizations = calibrated(&plan, &weights, &[values(64, 1.0, 7)]);
    for (tensor, zero_point) in [(2, 0), (3, -128), (4, 0)] {
        let scale = if tensor == 4 { 6.0 } else { 1.5 };
        quantizations[tensor] = Quantization::new(scale, zero_point).expect("a scale");
    }
    let mut buffers = Buffers::new::<Adam>(&net, &weights, 32);
    let mut rounded = vec![0.0; net.weights()];
    let trainer = Trainer::new(&plan, loss, Adam::new(), buffers.memory()).expect("buffers fit");
    let trainer = trainer.quantization_aware(&quantizations, &mut rounded);
    let mut trainer = trainer.expect("fits");
    let before = trainer.evaluate(&mut testing, |_| {}).expect("finite");
    for epoch in 0..20 {
        let epoch = Epoch::shuffled(32, 100 + epoch);
        trainer
            .epoch(&mut training, epoch, &Constant(0.003), |_| {})
            .expect("finite");
    }
    let after = trainer.evaluate(&mut testing, |_| {}).expect("finite");
    println!(
        "test accuracy {:.4}, rounded {:.4}, fine-tuned {:.4}",
        exact.accuracy(),
        before.accuracy(),
        after.accuracy()
    );
    let lost = exact.accuracy() - before.accuracy();
    assert!(lost > 0.03, "the steps are not coarse: {lost} lost");
    let left = exact.accuracy() - after.accuracy();
    assert!(left < lost / 2.0, "{left} of {lost} is still lost");
}

/// Numbers for a network of more or fewer tensors or weights, and layers that have no integers.
#[test]
fn what_belongs_to_another_network_is_refused() {
    let net = Network::features(3).dense(2);
    let larger = net.dense(4);
    let normalized = net.batch_norm();
    let refused = |net: &Network, tensors: usize, weights: usize| {
        let plan = Plan::new(net);
        let quantizations = vec![Quantization::PIXELS; tensors];
        let mut rounded = vec![0.0; weights];
        let mut buffers = Buffers::new::<Sgd>(net, &vec![0.5; net.weights()], 2);
        let trainer = Trainer::new(&plan, MeanSquaredError, Sgd, buffers.memory()).expect("fits");
        let result = trainer.quantization_aware(&quantizations, &mut rounded);
        result.map(|_| ()).err()
    };
    let length = |buffer, expected, found| {
        Some(Error::Length {
            buffer,
            expected,
            found,
        })
    };
    assert_eq!(refused(&net, 2, 8), None);
    // Of the larger network both, and each of them.
    assert_eq!(
        refused(&net, 3, larger.weights()),
        length(Buffer::Quantizations, 2, 3)
    );
    assert_eq!(
        refused(&net, 2, larger.weights()),
        length(Buffer::Weights, 8, 20)
    );
    assert_eq!(refused(&net, 1, 8), length(Buffer::Quantizations, 2, 1));
    assert_eq!(refused(&net, 2, 7), length(Buffer::Weights, 8, 7));
    let found = refused(&normalized, 3, normalized.weights());
    assert!(
        matches!(found, Some(Error::Unquantizable { layer: 1, .. })),
        "{found:?}"
    );
}
