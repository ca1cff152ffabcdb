//! What cannot be quantized, buffers that do not fit, numbers out of range, and weights that are noise: an error or a wrong number,
//! never a panic.

use host_tests::custom::probe;
use host_tests::quantized::words;
use host_tests::session::{message, random_weights, values};
use lightlayers::quant::{
    Calibration, Comparison, Int8Inference, Quantization, RangeMethod, TensorError, TensorRange,
    quantize, signed,
};
use lightlayers::{Buffer, BuildError, Error, Inference, Network, Plan, Rng};

fn length(buffer: Buffer, expected: usize, found: usize) -> Error {
    Error::Length {
        buffer,
        expected,
        found,
    }
}

fn net() -> Network {
    Network::features(2).dense(3).relu().dense(2)
}

/// The tensors of [`net`].
const TENSORS: usize = 4;

fn one() -> Quantization {
    Quantization::new(1.0, 0).expect("in range")
}

#[test]
fn buffers_of_a_wrong_length() {
    let plan = Plan::new(&net());
    // dense(3) of 2 inputs: 6 + 3; dense(2) of 3: 6 + 2.
    assert_eq!(net().weights(), 17);
    // 2 words of scale and zero point for the input and each layer; a bias and a multiplier of each output; 6 bytes of each kernel.
    let quantized = 2 * 4 + 2 * 3 + 2 + 2 * 2 + 2;
    assert_eq!(net().quantized_weights(), quantized);
    let new = |weights: usize, quantizations: usize, quantized: usize| {
        let given = vec![one(); quantizations];
        quantize(&plan, &vec![0.5; weights], &given, &mut vec![0; quantized])
    };
    assert_eq!(new(17, TENSORS, quantized), Ok(()));
    for wrong in [0, 16, 18] {
        assert_eq!(
            new(wrong, TENSORS, quantized),
            Err(length(Buffer::Weights, 17, wrong))
        );
    }
    for wrong in [0, 3, 5] {
        let expected = length(Buffer::Quantizations, TENSORS, wrong);
        assert_eq!(new(17, wrong, quantized), Err(expected));
    }
    for wrong in [0, quantized - 1, quantized + 1] {
        let expected = length(Buffer::QuantizedWeights, quantized, wrong);
        assert_eq!(new(17, TENSORS, wrong), Err(expected));
    }

    let workspace = net().quantized_workspace();
    let new = |weights: usize, workspace: usize| {
        Int8Inference::new(&plan, &vec![0; weights], &mut vec![0; workspace]).map(|_| ())
    };
    assert_eq!(new(quantized, workspace), Ok(()));
    assert_eq!(new(quantized, workspace + 1), Ok(()));
    for wrong in [0, quantized - 1, quantized + 1] {
        let expected = length(Buffer::QuantizedWeights, quantized, wrong);
        assert_eq!(new(wrong, workspace), Err(expected));
    }
    for wrong in [0, workspace - 1] {
        let expected = length(Buffer::Workspace, workspace, wrong);
        assert_eq!(new(quantized, wrong), Err(expected));
    }

    let texts = [
        (
            Buffer::QuantizedWeights,
            "quantized weights: expected 4 elements, found 3",
        ),
        (
            Buffer::Quantizations,
            "tensors of the network: expected 4 elements, found 3",
        ),
        (
            Buffer::Histograms,
            "histograms: expected 4 elements, found 3",
        ),
    ];
    for (buffer, text) in texts {
        assert_eq!(message(&length(buffer, 4, 3)), text);
    }
}

#[test]
fn samples_of_a_wrong_length() {
    let plan = Plan::new(&net());
    let weights = random_weights(&net(), 1);
    let quantized = words(&net(), &weights, &[one(); TENSORS]);
    let mut workspace = vec![0; net().quantized_workspace()];
    let mut inference = Int8Inference::new(&plan, &quantized, &mut workspace).expect("buffers fit");
    for wrong in [0, 1, 3, 4] {
        let expected = length(Buffer::Input, 2, wrong);
        assert_eq!(inference.run(&vec![0; wrong]), Err(expected));
        let result = inference.run_real(&vec![0.0; wrong], &mut vec![0; wrong]);
        assert_eq!(result, Err(expected));
        let result = inference.run_real(&[0.0; 2], &mut vec![0; wrong]);
        assert_eq!(result, Err(length(Buffer::Input, 2, wrong)));
    }
    for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let result = inference.run_real(&[0.5, wrong], &mut [0; 2]);
        assert_eq!(result, Err(Error::NonFiniteInput { index: 1 }));
    }
    assert_eq!(inference.run(&[0; 2]).map(<[i8]>::len), Ok(2));

    let mut float_workspace = vec![0.0; net().inference_workspace()];
    let real = Inference::new(&plan, &weights, &mut float_workspace).expect("buffers fit");
    let mut errors = [TensorError::default(); TENSORS];
    let mut comparison = Comparison::new(real, inference, &mut errors).expect("as many");
    for wrong in [0, 1, 3] {
        let expected = length(Buffer::Input, 2, wrong);
        assert_eq!(
            comparison.run(&vec![0.0; wrong], &mut [0; 2]).map(|_| ()),
            Err(expected)
        );
        assert_eq!(
            comparison.run(&[0.0; 2], &mut vec![0; wrong]).map(|_| ()),
            Err(expected)
        );
    }
    let result = comparison.run(&[f32::NAN, 0.5], &mut [0; 2]);
    let error = result.map(|_| ()).expect_err("not a number");
    let text = "input value 0: expected a finite number, found NaN or infinity";
    assert_eq!(message(&error), text);
    for wrong in [0, 3, 5] {
        let mut workspace = vec![0; net().quantized_workspace()];
        let mut float_workspace = vec![0.0; net().inference_workspace()];
        let quantized_session = Int8Inference::new(&plan, &quantized, &mut workspace);
        let real = Inference::new(&plan, &weights, &mut float_workspace).expect("buffers fit");
        let mut errors = vec![TensorError::default(); wrong];
        let session = quantized_session.expect("buffers fit");
        let result = Comparison::new(real, session, &mut errors);
        let expected = length(Buffer::Quantizations, TENSORS, wrong);
        assert_eq!(result.map(|_| ()).err(), Some(expected));
    }
}

/// A session of a network beside one of another, and words of another network that has as many.
#[test]
fn comparisons_of_different_networks() {
    let compare = |real: &Network, quantized: &Network, words: &[u32]| {
        let (real_plan, plan) = (Plan::new(real), Plan::new(quantized));
        let weights = random_weights(real, 1);
        let mut float_workspace = vec![0.0; real.inference_workspace()];
        let mut workspace = vec![0; quantized.quantized_workspace()];
        let mut errors = vec![TensorError::default(); real.len() + 1];
        let real = Inference::new(&real_plan, &weights, &mut float_workspace).expect("fits");
        let session = Int8Inference::new(&plan, words, &mut workspace).expect("fits");
        let result = Comparison::new(real, session, &mut errors);
        result.map(|_| ()).err().map(|error| message(&error))
    };
    let words_of = |net: &Network, zero_point| {
        let own = Quantization::new(0.1, zero_point).expect("a scale");
        words(net, &random_weights(net, 1), &vec![own; net.len() + 1])
    };
    let own = net();
    assert_eq!(compare(&own, &own, &words_of(&own, 0)), None);
    // What only training reads may differ.
    assert_eq!(compare(&own, &own.all_frozen(), &words_of(&own, 0)), None);
    let others = [
        (own.dense(2), "the output of layer 3"),
        (
            Network::features(2).dense(3).relu(),
            "the output of layer 2",
        ),
        (
            Network::features(2).dense(3).relu6().dense(2),
            "the output of layer 1",
        ),
        (
            Network::features(2).dense(3).bias(false).relu().dense(2),
            "the output of layer 0",
        ),
        (
            Network::features(3).dense(3).relu().dense(2),
            "the network's input",
        ),
    ];
    for (other, place) in others {
        let found = compare(&own, &other, &words_of(&other, 0));
        let text = format!(
            "the quantized session: expected this network's, found another's, which differs in {place}"
        );
        assert_eq!(found, Some(text));
    }
    // As many words, in other places: what is a scale there is none here.
    let words = words_of(&own, 7);
    let mut shifted = words.clone();
    shifted.rotate_left(1);
    let text = "expected the scale of a tensor in the positive numbers";
    assert_eq!(compare(&own, &own, &shifted).as_deref(), Some(text));
    let mut shifted = words;
    shifted[1] ^= 0xff;
    let text = "expected the same zero point of a layer's input in both records that have it";
    assert_eq!(compare(&own, &own, &shifted).as_deref(), Some(text));
}

#[test]
fn layers_that_cannot_be_quantized() {
    let image = Network::input(6, 6, 2).conv2d(3, 3).relu();
    let vector = Network::features(5).dense(4);
    let cases = [
        (
            image.batch_norm(),
            "layer 2, batch_norm: cannot be quantized; fold_batch_norm takes it into the layer before it",
        ),
        (
            vector.light_dense(3, 2),
            "layer 1, light_dense: cannot be quantized; split_factors makes two layers of it",
        ),
        (
            image.max_pool2d(2).light_conv2d(3, 3, 2),
            "layer 3, light_conv2d: cannot be quantized; split_factors makes two layers of it",
        ),
        (
            image.separable_conv2d(3, 3),
            "layer 2, separable_conv2d: cannot be quantized; split_factors makes two layers of it",
        ),
        (
            probe(vector.relu(), 1),
            "layer 2, custom: cannot be quantized; its law is not known",
        ),
    ];
    for (net, text) in cases {
        let plan = Plan::new(&net);
        let tensors = net.len() + 1;
        let weights = vec![0.5; net.weights()];
        let mut quantized = vec![0; net.quantized_weights()];
        let error = quantize(&plan, &weights, &vec![one(); tensors], &mut quantized);
        let error = error.expect_err(text);
        assert_eq!(message(&error), text);
        let mut workspace = vec![0; net.quantized_workspace()];
        let inference = Int8Inference::new(&plan, &quantized, &mut workspace);
        assert_eq!(inference.map(|_| ()), Err(error));
        let mut workspace = vec![0.0; net.inference_workspace()];
        let mut ranges = vec![TensorRange::EMPTY; tensors];
        let calibration = Calibration::new(&plan, &weights, &mut workspace, &mut ranges, &mut []);
        assert_eq!(calibration.map(|_| ()).err(), Some(error));
    }

    // 7x7 pixels of 1,400 channels are 68,600 products of 128 · 127.
    let net = Network::input(7, 7, 1400).relu().conv2d(1, 7).bias(false);
    let weights = vec![0.0; net.weights()];
    let mut quantized = vec![0; net.quantized_weights()];
    let error = quantize(&Plan::new(&net), &weights, &[one(); 3], &mut quantized);
    let text = "layer 1, conv2d: cannot be quantized; a sum of its products may not fit 32 bits";
    assert_eq!(message(&error.expect_err(text)), text);

    // 255 · 2901 · 2902 is 2,146,769,010, and 2^31 is 2,147,483,648: one more column is too many.
    for (width, result) in [(2902, None), (2903, Some("global_average_pool"))] {
        let net = Network::input(2901, width, 1).global_average_pool();
        let mut quantized = vec![0; net.quantized_weights()];
        let found = quantize(&Plan::new(&net), &[], &[one(); 2], &mut quantized);
        let expected = result.map(|name| {
            format!("layer 0, {name}: cannot be quantized; a sum of its pixels may not fit 32 bits")
        });
        assert_eq!(found.err().map(|error| message(&error)), expected);
    }

    let empty = Network::features(3);
    let plan = Plan::new(&empty);
    let expected = Error::Build(BuildError::HasNo {
        layer: "network",
        what: "layers",
    });
    assert_eq!(quantize(&plan, &[], &[one()], &mut [0; 2]), Err(expected));
    let inference = Int8Inference::new(&plan, &[0; 2], &mut []).map(|_| ());
    assert_eq!(inference, Err(expected));
}

#[test]
fn numbers_out_of_range() {
    let plan = Plan::new(&net());
    let mut quantized = vec![0; net().quantized_weights()];
    for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for place in [0, 8, 16] {
            let mut weights = vec![0.5; 17];
            weights[place] = wrong;
            let error = quantize(&plan, &weights, &[one(); TENSORS], &mut quantized);
            let text = "expected the weights that are quantized in the finite numbers";
            assert_eq!(message(&error.expect_err(text)), text);
        }
    }
    // As large and as small as weights can be.
    for size in [f32::MAX, f32::MIN_POSITIVE, 1e-45] {
        let result = quantize(&plan, &[size; 17], &[one(); TENSORS], &mut quantized);
        assert_eq!(result, Ok(()));
    }
    for scale in [0.0, -0.0, -1.0, f32::NAN, f32::INFINITY, 1e-40, 1.4e36] {
        let text = "expected the scale of a tensor in the positive numbers";
        assert_eq!(message(&Quantization::new(scale, 0).expect_err(text)), text);
    }
    let infinity = f32::INFINITY;
    for (low, high) in [
        (f32::NAN, 1.0),
        (0.0, f32::NAN),
        (-infinity, 1.0),
        (0.0, infinity),
        (5.0, -5.0),
        (1.0, 0.5),
    ] {
        let text =
            "expected the ends of a tensor's range in the finite numbers, the lower one first";
        assert_eq!(
            message(&Quantization::of_range(low, high).expect_err(text)),
            text
        );
    }
}

#[test]
fn calibrations_that_cannot_be() {
    let plan = Plan::new(&net());
    let weights = random_weights(&net(), 1);
    let one_sample = net().inference_workspace();
    let new = |weights: &[f32], workspace: usize, ranges: usize, bins: usize| {
        let (mut workspace, mut ranges) = (vec![0.0; workspace], vec![TensorRange::EMPTY; ranges]);
        let mut histograms = vec![0; bins];
        Calibration::new(&plan, weights, &mut workspace, &mut ranges, &mut histograms)
            .map(|_| ())
            .err()
    };
    assert_eq!(new(&weights, one_sample, TENSORS, 0), None);
    assert_eq!(new(&weights, one_sample, TENSORS, 2 * TENSORS), None);
    let found = new(&weights[1..], one_sample, TENSORS, 0);
    assert_eq!(found, Some(length(Buffer::Weights, 17, 16)));
    let found = new(&weights, one_sample - 1, TENSORS, 0);
    assert_eq!(
        found,
        Some(length(Buffer::Workspace, one_sample, one_sample - 1))
    );
    for wrong in [0, 3, 5] {
        let found = new(&weights, one_sample, wrong, 0);
        assert_eq!(found, Some(length(Buffer::Quantizations, TENSORS, wrong)));
    }
    // Not as many for each tensor, and an odd number for each.
    for (wrong, even) in [
        (1, 0),
        (TENSORS, 0),
        (3 * TENSORS, 2 * TENSORS),
        (2 * TENSORS + 1, 2 * TENSORS),
    ] {
        let found = new(&weights, one_sample, TENSORS, wrong);
        assert_eq!(found, Some(length(Buffer::Histograms, even, wrong)));
    }

    let mut ranges = [TensorRange::EMPTY; TENSORS];
    let mut workspace = vec![0.0; one_sample];
    let calibration = Calibration::new(&plan, &weights, &mut workspace, &mut ranges, &mut []);
    let mut calibration = calibration.expect("buffers fit");
    let mut given = [one(); TENSORS];
    assert_eq!(
        calibration.choose(RangeMethod::MinMax, &mut given),
        Err(Error::Empty)
    );
    for wrong in [0, 1, 3, 4] {
        let expected = length(Buffer::Input, 2, wrong);
        assert_eq!(calibration.observe(&vec![0.0; wrong]), Err(expected));
    }
    for (sample, wrong) in [f32::NAN, f32::INFINITY].into_iter().enumerate() {
        let expected = Error::NonFiniteSample { sample };
        assert_eq!(calibration.observe(&[0.5, wrong]), Err(expected));
    }
    // They were not counted.
    assert_eq!(calibration.ranges(), [TensorRange::EMPTY; TENSORS]);
    assert_eq!(calibration.observe(&[0.5, -0.5]), Ok(()));
    let expected = Error::NonFiniteSample { sample: 3 };
    assert_eq!(calibration.observe(&[f32::NAN, 0.5]), Err(expected));
    for wrong in [0, 3, 5] {
        let expected = length(Buffer::Quantizations, TENSORS, wrong);
        let result = calibration.choose(RangeMethod::MinMax, &mut vec![one(); wrong]);
        assert_eq!(result, Err(expected));
    }
    for wrong in [0.5, 0.0, -1.0, 1.0001, f32::NAN] {
        let result = calibration.choose(RangeMethod::Percentile(wrong), &mut given);
        let text = "expected the percentile of a range in 0.5..=1";
        assert_eq!(message(&result.expect_err(text)), text);
    }
    for method in [RangeMethod::Percentile(0.9), RangeMethod::MeanSquaredError] {
        let expected = length(Buffer::Histograms, 2 * TENSORS, 0);
        assert_eq!(calibration.choose(method, &mut given), Err(expected));
    }
    assert_eq!(calibration.choose(RangeMethod::MinMax, &mut given), Ok(()));
    assert!(calibration.histogram(0).is_none() && calibration.histogram(9).is_none());
}

/// Finite weights and samples whose values between the layers are not.
#[test]
fn values_that_overflow() {
    let net = Network::features(1)
        .dense(2)
        .bias(false)
        .dense(2)
        .bias(false);
    let plan = Plan::new(&net);
    let weights = [1e30, -1e30, 1e30, 1.0, 1.0, 1e30];
    let mut workspace = vec![0.0; net.inference_workspace()];
    for bins in [0, 2, 64] {
        for sample in [1.0, -1.0, 1e30] {
            let mut ranges = [TensorRange::EMPTY; 3];
            let mut histograms = vec![0; 3 * bins];
            let calibration = Calibration::new(
                &plan,
                &weights,
                &mut workspace,
                &mut ranges,
                &mut histograms,
            );
            let mut calibration = calibration.expect("buffers fit");
            assert_eq!(calibration.observe(&[sample]), Ok(()));
            assert_eq!(calibration.observe(&[0.0]), Ok(()));
            let layer = i32::from(sample < 10.0);
            let text = format!(
                "calibration of the output of layer {layer}: a value was NaN or infinite; check the weights and how large samples are"
            );
            let result = calibration.choose(RangeMethod::MinMax, &mut [one(); 3]);
            assert_eq!(message(&result.expect_err("not finite")), text);
        }
    }
}

/// Weights that are not numbers, and sums that are none: infinity less infinity.
#[test]
fn values_that_are_not_numbers() {
    let net = Network::features(1)
        .dense(2)
        .bias(false)
        .dense(1)
        .bias(false);
    for weights in [[f32::NAN, 1.0, 1.0, 1.0], [1e30, 1e30, 1e30, -1e30]] {
        let plan = Plan::new(&net);
        let mut workspace = vec![0.0; net.inference_workspace()];
        let mut ranges = [TensorRange::EMPTY; 3];
        let calibration = Calibration::new(&plan, &weights, &mut workspace, &mut ranges, &mut []);
        let mut calibration = calibration.expect("buffers fit");
        for sample in [1e10, 1.0] {
            assert_eq!(calibration.observe(&[sample]), Ok(()));
        }
        let result = calibration.choose(RangeMethod::MinMax, &mut [one(); 3]);
        let found = result.expect_err("not a number");
        assert!(
            matches!(found, Error::Calibration { tensor: 1 | 2, .. }),
            "{found:?}"
        );
    }
}

/// An input that never varied is an error, a layer's output that never did is none: a ReLU that no sample reaches gives zeros for ever.
#[test]
fn tensors_that_never_varied() {
    let net = Network::features(2).dense(1).relu().dense(1);
    // The ReLU gives 0 for inputs from 0 to 1, and the last layer its bias.
    let weights = [-1.0, -1.0, -1.0, 2.0, 0.75];
    let chosen = |samples: &[[f32; 2]]| {
        let plan = Plan::new(&net);
        let mut workspace = vec![0.0; net.inference_workspace()];
        let mut ranges = [TensorRange::EMPTY; TENSORS];
        let calibration = Calibration::new(&plan, &weights, &mut workspace, &mut ranges, &mut []);
        let mut calibration = calibration.expect("buffers fit");
        for sample in samples {
            calibration.observe(sample).expect("finite");
        }
        let mut chosen = [one(); TENSORS];
        let result = calibration.choose(RangeMethod::MinMax, &mut chosen);
        result.map(|()| chosen)
    };
    for value in [0.0, 0.5, -1.0] {
        let text = "calibration of the network's input: all values were the same; observe samples that vary as they do in use";
        let error = chosen(&[[value; 2]; 3]).expect_err(text);
        assert_eq!(message(&error), text);
    }
    let chosen = chosen(&[[0.0, 0.5], [1.0, 0.25]]).expect("the input varies");
    let words = words(&net, &weights, &chosen);
    let plan = Plan::new(&net);
    let mut workspace = vec![0; net.quantized_workspace()];
    let mut inference = Int8Inference::new(&plan, &words, &mut workspace).expect("fits");
    let output = inference.output_quantization();
    for sample in [[0.0, 0.5], [1.0, 0.25], [1.0, 1.0]] {
        let answer = inference
            .run_real(&sample, &mut [0; 2])
            .expect("one sample")[0];
        assert!((output.dequantize(answer) - 0.75).abs() < 1e-6, "{answer}");
    }
}

/// Ranges of a network whose tensors have other sizes, histograms that hold something, and histograms for ranges that were observed without.
#[test]
fn calibrations_that_go_on_with_something_else() {
    let plan = Plan::new(&net());
    let weights = random_weights(&net(), 1);
    let other = Network::features(2).dense(4).relu().dense(2);
    let other_plan = Plan::new(&other);
    let other_weights = random_weights(&other, 1);
    let mut workspace = vec![0.0; other.inference_workspace().max(net().inference_workspace())];
    let mut ranges = [TensorRange::EMPTY; TENSORS];
    let mut histograms = [7; 4 * TENSORS];
    let calibration = Calibration::new(
        &plan,
        &weights,
        &mut workspace,
        &mut ranges,
        &mut histograms,
    );
    let mut calibration = calibration.expect("buffers fit");
    calibration.observe(&[0.5, -0.25]).expect("finite");
    // The noise from before is gone.
    let counted = calibration
        .histogram(0)
        .expect("values")
        .counts
        .iter()
        .sum::<u32>();
    assert_eq!(counted, 2);
    let found = Calibration::new(
        &other_plan,
        &other_weights,
        &mut workspace,
        &mut ranges,
        &mut [],
    );
    let text = "the ranges: expected this network's, found another's, which differs in the output of layer 0";
    assert_eq!(message(&found.map(|_| ()).expect_err(text)), text);

    let mut ranges = [TensorRange::EMPTY; TENSORS];
    let calibration = Calibration::new(&plan, &weights, &mut workspace, &mut ranges, &mut []);
    calibration
        .expect("buffers fit")
        .observe(&[0.5, -0.25])
        .expect("finite");
    let found = Calibration::new(
        &plan,
        &weights,
        &mut workspace,
        &mut ranges,
        &mut histograms,
    );
    let expected = length(Buffer::Histograms, 0, 4 * TENSORS);
    assert_eq!(found.map(|_| ()).expect_err("without"), expected);
}

/// Every layer that can be quantized.
fn all_layers() -> Network {
    let net = Network::input(7, 6, 2).zero_padding2d(1);
    // A narrow kernel, one of whole words, and one of neither.
    let net = net.conv2d(4, 1).relu();
    let body = net.conv2d(4, 3).relu6().depthwise_conv2d(3, 1);
    let net = net.residual(body, net).leaky_relu(0.1).dropout(0.5);
    let net = net
        .max_pool2d(2)
        .conv2d(3, 2)
        .dilation(2)
        .stride(1)
        .sigmoid();
    let net = net.conv2d(5, 2).average_pool2d(2).tanh();
    let body = net.conv2d(5, 1).relu();
    let net = net.residual(body, net.conv2d(5, 1));
    let maximum = net.flatten().dense(7).relu().dense(5);
    let net = maximum.softmax().dense(4);
    net.relu6().dense(3).softmax()
}

#[test]
fn weights_that_are_noise_do_not_panic() {
    let nets = [
        all_layers(),
        Network::input(5, 4, 3)
            .relu()
            .global_average_pool()
            .dense(3),
        Network::input(5, 4, 3)
            .conv2d(2, 3)
            .global_max_pool()
            .softmax(),
    ];
    let mut rng = Rng::new(1);
    let mut answers = std::collections::BTreeSet::new();
    for net in nets {
        let plan = Plan::new(&net);
        let mut noise = vec![0; net.quantized_weights()];
        let mut workspace = vec![0; net.quantized_workspace()];
        for round in 0..10_000 {
            // Any words, and words of extreme bytes.
            let extremes = [
                0,
                u32::MAX,
                0x8000_0000,
                0x7fff_ffff,
                0x8080_8080,
                0x7f7f_7f7f,
            ];
            for word in &mut noise {
                *word = match round % 3 {
                    0 => rng.next_u32(),
                    1 => extremes[rng.next_u32() as usize % extremes.len()],
                    _ => [rng.next_u32(), extremes[round % extremes.len()]]
                        [rng.next_u32() as usize % 2],
                };
            }
            let x: Vec<i8> = (0..net.input_shape().len())
                .map(|_| rng.next_u32() as i8)
                .collect();
            let mut inference =
                Int8Inference::new(&plan, &noise, &mut workspace).expect("buffers fit");
            let outputs = inference.run(&x).expect("one sample");
            answers.insert(outputs.to_vec());
            let (_, quantization) = (
                inference.input_quantization(),
                inference.output_quantization(),
            );
            quantization.quantize(0.5);
            quantization.dequantize(5);
            // The same again: nothing is left behind.
            let again = outputs_of(&plan, &noise, &x, 0x5a5a_5a5a);
            assert_eq!(again, outputs_of(&plan, &noise, &x, 0xffff_ffff));
        }
    }
    assert!(answers.len() > 1000, "{}", answers.len());
}

fn outputs_of(plan: &Plan, words: &[u32], x: &[i8], filling: u32) -> Vec<i8> {
    let mut workspace = vec![filling; plan.network().quantized_workspace()];
    let mut inference = Int8Inference::new(plan, words, &mut workspace).expect("buffers fit");
    inference.run(x).expect("one sample").to_vec()
}

/// Weights of any size, and quantizations of any scale, quantize and run.
#[test]
fn any_finite_weights_and_any_scales_do_not_panic() {
    let net = all_layers();
    let plan = Plan::new(&net);
    let mut rng = Rng::new(2);
    let mut quantized = vec![0; net.quantized_weights()];
    for round in 0..1000 {
        let any_finite = |rng: &mut Rng| loop {
            let value = f32::from_bits(rng.next_u32());
            if value.is_finite() {
                return value;
            }
        };
        let weights: Vec<f32> = match round % 4 {
            0 => values(net.weights(), 1.0, round),
            1 => vec![0.0; net.weights()],
            _ => (0..net.weights()).map(|_| any_finite(&mut rng)).collect(),
        };
        let given: Vec<Quantization> = (0..=net.len())
            .map(|_| {
                loop {
                    let own = Quantization::new(any_finite(&mut rng).abs(), rng.next_u32() as i8);
                    if let Ok(own) = own {
                        return own;
                    }
                }
            })
            .collect();
        quantize(&plan, &weights, &given, &mut quantized).expect("finite");
        let x: Vec<i8> = (0..net.input_shape().len())
            .map(|_| rng.next_u32() as i8)
            .collect();
        outputs_of(&plan, &quantized, &x, 0);
    }
}

#[test]
fn bytes_as_signed_bytes() {
    let mut bytes: Vec<u8> = (0..=255).collect();
    let expected: Vec<i8> = (-128..=127).collect();
    assert_eq!(signed(&mut bytes), expected);
    assert!(signed(&mut []).is_empty());
}
