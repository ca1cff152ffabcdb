//! Any chain of layers builds and runs in its planned memory, of which little is wasted.

use host_tests::custom::pairs;
use host_tests::golden::relative_error;
use host_tests::lower_bound;
use host_tests::model_file::written;
use host_tests::quantized::{self, Int8Twin};
use host_tests::session::{Add, Buffers, Samples, dropout_factors, random_weights, values};
use host_tests::twin::{Objective, Twin};
use lightlayers::file::{FileError, Reader};
use lightlayers::loss::MeanSquaredError;
use lightlayers::optim::{Momentum, Sgd};
use lightlayers::quant::{Calibration, Quantization, RangeMethod, TensorRange};
use lightlayers::{
    Border, Inference, Layer, Network, Op, Padding, Plan, Shape, Trainer, WindowSize,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngSeed, TestCaseResult, TestRunner};

/// A layer to be added. A vector layer flattens an image first; an image layer is left out where
/// there is no image, or its window does not fit.
#[derive(Clone, Debug)]
enum Choice {
    Dense(usize, bool),
    LightDense(usize, usize, bool),
    InPlace(u8),
    Dropout(f32),
    Pairs,
    /// The kind, filters or multiplier, rank, window, bias.
    Convolution(u8, usize, usize, WindowSize, bool),
    BatchNorm,
    Pool(bool, WindowSize),
    GlobalPool(bool),
    ZeroPadding(Border),
    /// Two branches that both start here, each ended by a 1x1 convolution of as many filters, or the
    /// identity where it is empty.
    Residual(Vec<(Choice, bool)>, Vec<(Choice, bool)>, usize),
}

fn window() -> impl Strategy<Value = WindowSize> {
    let size = prop_oneof![4 => 1..=3_u8, 1 => 4..=5_u8];
    let padding = prop_oneof![Just(Padding::Same), Just(Padding::Valid)];
    (
        (size.clone(), size),
        (1..=3_u8, 1..=3_u8),
        1..=2_u8,
        padding,
    )
        .prop_map(|(kernel, stride, dilation, padding)| WindowSize {
            kernel,
            stride: if dilation > 1 { (1, 1) } else { stride },
            dilation,
            padding,
        })
}

/// A layer that keeps an image an image, and whether it is frozen.
fn image_layer() -> impl Strategy<Value = (Choice, bool)> {
    let border = (0..=2_u8, 0..=2_u8, 0..=1_u8, 0..=1_u8);
    let border = border.prop_map(|(top, bottom, left, right)| Border {
        top,
        bottom,
        left,
        right,
    });
    let choice = prop_oneof![
        6 => (0..4_u8, 1..=6_usize, 1..=3_usize, window(), any::<bool>()).prop_map(
            |(kind, filters, rank, window, bias)| {
                Choice::Convolution(kind, filters, rank, window, bias)
            }
        ),
        2 => Just(Choice::BatchNorm),
        2 => (any::<bool>(), window()).prop_map(|(max, window)| {
            Choice::Pool(max, WindowSize { dilation: 1, ..window })
        }),
        1 => border.prop_map(Choice::ZeroPadding),
        3 => (0..6_u8).prop_map(Choice::InPlace),
        1 => (0..9_u8).prop_map(|tenths| Choice::Dropout(f32::from(tenths) / 10.0)),
    ];
    (choice, prop::bool::weighted(0.2))
}

/// Residual blocks, which may hold others.
fn residual() -> impl Strategy<Value = (Choice, bool)> {
    image_layer().prop_recursive(2, 12, 3, |inner| {
        let branch = || prop::collection::vec(inner.clone(), 0..=3);
        let block = (branch(), branch(), 1..=4_usize);
        (block, any::<bool>()).prop_map(|((body, shortcut, filters), frozen)| {
            (Choice::Residual(body, shortcut, filters), frozen)
        })
    })
}

/// A layer, and whether it is frozen.
fn layer() -> impl Strategy<Value = (Choice, bool)> {
    let units = prop_oneof![1..=8_usize, 30..=35_usize, 1..=70_usize];
    let choice = prop_oneof![
        3 => (units.clone(), any::<bool>()).prop_map(|(units, bias)| Choice::Dense(units, bias)),
        3 => (units, 1..=9_usize, any::<bool>())
            .prop_map(|(units, rank, bias)| Choice::LightDense(units, rank, bias)),
        5 => (0..7_u8).prop_map(Choice::InPlace),
        1 => (0..9_u8).prop_map(|tenths| Choice::Dropout(f32::from(tenths) / 10.0)),
        1 => Just(Choice::Pairs),
        1 => Just(Choice::BatchNorm),
        1 => any::<bool>().prop_map(Choice::GlobalPool),
    ];
    (choice, prop::bool::weighted(0.2))
}

#[derive(Clone, Debug)]
struct Chain {
    /// Height, width, channels; a vector without the first two.
    input: (usize, usize, usize),
    layers: Vec<(Choice, bool)>,
}

/// Chains of layers for vectors, sometimes with an image in front.
fn chains() -> impl Strategy<Value = Chain> {
    let input = prop_oneof![
        (Just(0), Just(0), 1..=70_usize),
        (1..=6_usize, 1..=6_usize, 1..=4_usize),
    ];
    let layers = prop::collection::vec(layer(), 1..=12);
    (input, layers).prop_map(|(input, layers)| Chain { input, layers })
}

/// Convolutions, pools and residual blocks, then perhaps layers for vectors.
fn image_chains() -> impl Strategy<Value = Chain> {
    let input = (1..=7_usize, 1..=7_usize, 1..=5_usize);
    let images = prop::collection::vec(prop_oneof![3 => image_layer(), 2 => residual()], 1..=6);
    let vectors = prop::collection::vec(layer(), 0..=3);
    (input, images, vectors).prop_map(|(input, mut layers, vectors)| {
        layers.extend(vectors);
        Chain { input, layers }
    })
}

/// A network, and, counted here, its weights and the shapes of its outputs.
#[derive(Clone)]
struct Built {
    net: Network,
    weights: usize,
    shape: Shape,
    is_vector: bool,
    shapes: Vec<Shape>,
}

/// TensorFlow's rule, along one axis; none where the window does not fit.
fn windows(input: u16, kernel: u8, stride: u8, window: WindowSize) -> Option<u16> {
    let reach = (u16::from(kernel) - 1) * u16::from(window.dilation) + 1;
    match window.padding {
        Padding::Same => Some(input.div_ceil(u16::from(stride))),
        Padding::Valid => Some(input.checked_sub(reach)? / u16::from(stride) + 1),
    }
}

impl Built {
    fn start((height, width, channels): (usize, usize, usize)) -> Self {
        let is_vector = height == 0;
        let (net, shape) = match is_vector {
            true => (Network::features(channels), Shape::flat(channels as u16)),
            false => (
                Network::input(height, width, channels),
                Shape::image(height as u16, width as u16, channels as u16),
            ),
        };
        Built {
            net,
            weights: 0,
            shape,
            is_vector,
            shapes: Vec::new(),
        }
    }

    fn added(&mut self, net: Network, shape: Shape, weights: usize) {
        self.net = net;
        self.shape = shape;
        self.weights += weights;
        self.shapes.push(shape);
    }

    fn after(&self, window: WindowSize, channels: usize) -> Option<Shape> {
        let height = windows(self.shape.height, window.kernel.0, window.stride.0, window)?;
        let width = windows(self.shape.width, window.kernel.1, window.stride.1, window)?;
        Some(Shape::image(height, width, channels as u16))
    }

    /// Adds a layer if it fits; true if it was added.
    fn add(&mut self, choice: &Choice, frozen: bool) -> bool {
        let takes_vectors = matches!(
            choice,
            Choice::Dense(..) | Choice::LightDense(..) | Choice::Pairs
        );
        if takes_vectors && !self.is_vector {
            let shape = Shape::flat(self.shape.len() as u16);
            self.added(self.net.flatten(), shape, 0);
            self.is_vector = true;
        }
        let (net, shape, inputs) = (self.net, self.shape, self.shape.len());
        let channels = usize::from(shape.channels);
        let area = |window: WindowSize| usize::from(window.kernel.0) * usize::from(window.kernel.1);
        match *choice {
            Choice::Dense(units, bias) => {
                let weights = inputs * units + usize::from(bias) * units;
                let net = net.dense(units).bias(bias);
                self.added(net, Shape::flat(units as u16), weights);
            }
            Choice::LightDense(units, rank, bias) => {
                let weights = (inputs + units) * rank + usize::from(bias) * units;
                let net = net.light_dense(units, rank).bias(bias);
                self.added(net, Shape::flat(units as u16), weights);
            }
            Choice::Pairs if inputs < 2 => return false,
            Choice::Pairs => {
                self.added(pairs(net), Shape::flat(inputs as u16 / 2), inputs / 2);
            }
            Choice::Dropout(rate) => self.added(net.dropout(rate), shape, 0),
            Choice::InPlace(6) => {
                self.added(net.flatten(), Shape::flat(inputs as u16), 0);
                self.is_vector = true;
            }
            Choice::InPlace(kind) => {
                let add: [Add; 6] = [
                    Network::relu,
                    Network::relu6,
                    |net| net.leaky_relu(0.2),
                    Network::sigmoid,
                    Network::tanh,
                    Network::softmax,
                ];
                self.added(add[usize::from(kind)](net), shape, 0);
            }
            Choice::BatchNorm => {
                // Two of them learn; the moving statistics are counted as weights too.
                self.added(net.batch_norm(), shape, 4 * channels);
            }
            _ if self.is_vector => return false,
            Choice::Convolution(kind, filters, rank, window, bias) => {
                let op = match kind {
                    0 => Op::Conv2d {
                        filters: filters as u16,
                        window,
                    },
                    1 => Op::LightConv2d {
                        filters: filters as u16,
                        rank: rank as u16,
                        window,
                    },
                    2 => Op::DepthwiseConv2d {
                        multiplier: rank as u16,
                        window,
                    },
                    _ => Op::SeparableConv2d {
                        filters: filters as u16,
                        multiplier: rank as u16,
                        window,
                    },
                };
                let Some(middle) = self.after(window, rank) else {
                    return false;
                };
                let (weights, biases, output) = match kind {
                    0 => (
                        area(window) * channels * filters,
                        filters,
                        self.after(window, filters),
                    ),
                    1 => {
                        let mut second = self.clone();
                        second.shape = middle;
                        let weights = area(window) * rank * (channels + filters);
                        (weights, rank + filters, second.after(window, filters))
                    }
                    2 => {
                        let filters = channels * rank;
                        (area(window) * filters, filters, self.after(window, filters))
                    }
                    _ => {
                        let weights = (area(window) + filters) * channels * rank;
                        (weights, filters, self.after(window, filters))
                    }
                };
                let Some(output) = output else {
                    return false;
                };
                let net = net.try_push(op).expect("fits").bias(bias);
                self.added(net, output, weights + usize::from(bias) * biases);
            }
            Choice::Pool(max, window) => {
                let Some(output) = self.after(window, channels) else {
                    return false;
                };
                let op = match max {
                    true => Op::MaxPool2d { window },
                    false => Op::AveragePool2d { window },
                };
                self.added(net.try_push(op).expect("fits"), output, 0);
            }
            Choice::GlobalPool(max) => {
                let net = match max {
                    true => net.global_max_pool(),
                    false => net.global_average_pool(),
                };
                self.added(net, Shape::flat(channels as u16), 0);
                self.is_vector = true;
            }
            Choice::ZeroPadding(border) => {
                let output = Shape::image(
                    shape.height + u16::from(border.top + border.bottom),
                    shape.width + u16::from(border.left + border.right),
                    shape.channels,
                );
                let op = Op::ZeroPadding2d { border };
                self.added(net.try_push(op).expect("fits"), output, 0);
            }
            Choice::Residual(ref body, ref shortcut, filters) => {
                return self.add_residual(body, shortcut, filters);
            }
        }
        if frozen {
            self.net = self.net.frozen();
        }
        true
    }

    /// The branches take only layers that keep height and width.
    fn add_residual(
        &mut self,
        body: &[(Choice, bool)],
        shortcut: &[(Choice, bool)],
        filters: usize,
    ) -> bool {
        let branch = |choices: &[(Choice, bool)]| {
            let mut branch = self.clone();
            for (choice, frozen) in choices {
                let before = branch.clone();
                branch.add(choice, *frozen);
                if (branch.shape.height, branch.shape.width)
                    != (self.shape.height, self.shape.width)
                {
                    branch = before;
                }
            }
            branch
        };
        let (mut body, mut shortcut) = (branch(body), branch(shortcut));
        let start = self.shapes.len();
        let both_empty = body.shapes.len() == start && shortcut.shapes.len() == start;
        if both_empty || body.shape != shortcut.shape {
            let end = Choice::Convolution(0, filters, 1, PIXEL, true);
            body.add(&end, false);
            shortcut.add(&end, false);
        }
        if body.net.len() + shortcut.net.len() > MOST_LAYERS {
            return false;
        }
        let net = self.net.residual(body.net, shortcut.net);
        let weights = body.weights + shortcut.weights - 2 * self.weights;
        self.shapes = body.shapes;
        self.shapes.extend_from_slice(&shortcut.shapes[start..]);
        self.added(net, body.shape, weights);
        true
    }
}

const MOST_LAYERS: usize = 40;

const PIXEL: WindowSize = WindowSize {
    kernel: (1, 1),
    stride: (1, 1),
    dilation: 1,
    padding: Padding::Same,
};

impl Chain {
    fn build(&self) -> Built {
        let mut built = Built::start(self.input);
        for (choice, frozen) in &self.layers {
            if built.net.len() < MOST_LAYERS {
                built.add(choice, *frozen);
            }
        }
        built
    }
}

/// The same cases in every run.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(2),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

const BATCH: usize = 3;

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// What memory holds before: a NaN that no arithmetic makes, and a number that would be seen.
const POISONS: [f32; 2] = [f32::from_bits(0x7fa5_a5a5), -3e20];

/// One training step in a poisoned workspace for `capacity` samples and a rest that must stay as it
/// is. Returns loss, gradients and weights.
fn step_in_poison(
    net: &Network,
    weights: &[f32],
    samples: &Samples,
    (capacity, poison): (usize, f32),
) -> Result<(f32, Vec<f32>, Vec<f32>), TestCaseError> {
    let planned = net.training_workspace(capacity);
    let rest = net.training_workspace(1) - 1;
    let mut buffers = Buffers::new::<Momentum>(net, weights, capacity);
    buffers.workspace = vec![poison; planned + rest];
    buffers.gradients.fill(poison);
    let plan = Plan::new(net);
    let optimizer = Sgd::momentum(0.9).expect("in range");
    let mut trainer = Trainer::new(&plan, MeanSquaredError, optimizer, buffers.memory())
        .expect("planned lengths are accepted");
    let metrics = trainer
        .step(&mut samples.clone(), 0..BATCH, 0.01)
        .expect("finite");
    let (used, after) = buffers.workspace.split_at(planned);
    prop_assert!(
        after
            .iter()
            .all(|value| value.to_bits() == poison.to_bits()),
        "written past the plan"
    );
    if capacity == 1 {
        let last = used.last().expect("never empty");
        prop_assert_ne!(
            last.to_bits(),
            poison.to_bits(),
            "the plan's end is not used"
        );
    }
    Ok((metrics.loss(), buffers.gradients, buffers.weights))
}

/// The outputs from a poisoned workspace for `capacity` samples and a rest that must stay as it is.
fn infer_in_poison(
    net: &Network,
    weights: &[f32],
    x: &[f32],
    (capacity, poison): (usize, f32),
) -> Result<Vec<f32>, TestCaseError> {
    let planned = net.inference_workspace() * capacity;
    let mut workspace = vec![poison; planned + net.inference_workspace() - 1];
    let plan = Plan::new(net);
    let mut outputs = Vec::new();
    let at_once = if net.has_flat_input() { capacity } else { 1 };
    for x in x.chunks(net.input_shape().len() * at_once) {
        let mut inference = Inference::new(&plan, weights, &mut workspace).expect("long enough");
        outputs.extend_from_slice(inference.run(x).expect("whole samples"));
    }
    let after = &workspace[planned..];
    let untouched = after
        .iter()
        .all(|value| value.to_bits() == poison.to_bits());
    prop_assert!(untouched, "written past the plan");
    Ok(outputs)
}

fn check_chain(chain: &Chain) -> TestCaseResult {
    let Built {
        net,
        weights,
        shapes,
        ..
    } = chain.build();
    prop_assume!(net.len() > 0);
    prop_assert_eq!(net.weights(), weights);
    let found: Vec<Shape> = net
        .layers()
        .iter()
        .map(|layer| layer.output_shape())
        .collect();
    prop_assert_eq!(found, shapes);

    let seed = weights as u64;
    let weights = random_weights(&net, seed);
    let file = written(&net, &weights);
    let file = Reader::new(file.bytes()).expect("a file");
    let custom = |layer: &Layer| matches!(layer.op(), Op::Custom { .. });
    let expected = match net.layers().iter().position(custom) {
        Some(layer) => Err(FileError::Custom { layer }),
        None => Ok(format!("{net:?}")),
    };
    prop_assert_eq!(file.network().map(|read| format!("{read:?}")), expected);
    prop_assert_eq!(file.weights(&Plan::new(&net)), Ok(&weights[..]));
    let (inputs, outputs) = (net.input_shape().len(), net.output_shape().len());
    let x = values(inputs * BATCH, 1.5, seed + 1);
    let samples = Samples::from_rows(&x, &values(outputs * BATCH, 1.0, seed + 2), BATCH);

    let inferred = infer_in_poison(&net, &weights, &x, (BATCH, POISONS[0]))?;
    let trained = step_in_poison(&net, &weights, &samples, (BATCH, POISONS[0]))?;
    // Batch normalization that learns sees only what is worked on at once.
    let learns = |layer: &Layer| matches!(layer.op(), Op::BatchNorm { .. }) && !layer.is_frozen();
    let needs_the_batch = net.layers().iter().any(learns);
    for capacity in 1..=BATCH + 1 {
        for poison in POISONS {
            let memory = (capacity, poison);
            let again = infer_in_poison(&net, &weights, &x, memory)?;
            prop_assert_eq!(bits(&again), bits(&inferred), "inference, {:?}", memory);
            if needs_the_batch && capacity < BATCH {
                continue;
            }
            let again = step_in_poison(&net, &weights, &samples, memory)?;
            prop_assert_eq!(again.0.to_bits(), trained.0.to_bits());
            prop_assert_eq!(bits(&again.1), bits(&trained.1), "gradients, {:?}", memory);
            prop_assert_eq!(bits(&again.2), bits(&trained.2), "weights, {:?}", memory);
        }
    }

    let mut twin = Twin::new(&net, &weights);
    let x = samples.inputs();
    let close = |found: &[f32], expected: &[f64]| relative_error(found, expected) <= 1e-4;
    let expected = twin.outputs(&x).into_raw_vec_and_offset().0;
    prop_assert!(close(&inferred, &expected), "outputs");
    for (index, layer) in net.layers().iter().enumerate() {
        if matches!(layer.op(), Op::Dropout { .. }) {
            let factors = dropout_factors(&net, index, 0, 1, BATCH);
            twin.dropout.insert(index, factors);
        }
    }
    let target = samples.targets(outputs);
    let gradients = twin.gradients(Objective::SquaredError, &x, &target);
    prop_assert_eq!(gradients.len(), net.trainable_weights());
    prop_assert!(
        close(&trained.1, &gradients),
        "gradients: {}",
        relative_error(&trained.1, &gradients)
    );
    Ok(())
}

/// How far a quantized network is from its twin: how many outputs differ, and the largest difference; none if it cannot be quantized.
fn quantized_difference(chain: &Chain) -> Option<(usize, i32)> {
    let net = chain.build().net.fold_batch_norm();
    let net = net.try_split_factors().ok()?;
    let unquantizable =
        |layer: &Layer| matches!(layer.op(), Op::BatchNorm { .. } | Op::Custom { .. });
    if net.len() == 0 || net.layers().iter().any(unquantizable) {
        return None;
    }
    let weights = random_weights(&net, 7);
    let samples = values(4 * net.input_shape().len(), 2.0, 8);
    let plan = Plan::new(&net);
    let mut workspace = vec![f32::NAN; net.inference_workspace()];
    let mut ranges = vec![TensorRange::EMPTY; net.len() + 1];
    let calibration = Calibration::new(&plan, &weights, &mut workspace, &mut ranges, &mut []);
    let mut calibration = calibration.expect("buffers fit");
    for sample in samples.chunks(net.input_shape().len()) {
        calibration.observe(sample).expect("finite");
    }
    let mut quantizations = vec![Quantization::PIXELS; net.len() + 1];
    let chosen = calibration.choose(RangeMethod::MinMax, &mut quantizations);
    assert_eq!(chosen, Ok(()));
    let x: Vec<i8> = samples
        .iter()
        .map(|value| quantizations[0].quantize(*value))
        .collect();

    let trace = Int8Twin::new(&net, &weights, &quantizations).trace(&x);
    let words = quantized::words(&net, &weights, &quantizations);
    let found = quantized::infer(&net, &words, &x);
    Some(quantized::difference(&found, &trace[net.len()]))
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn any_chain_builds_and_runs_in_its_planned_memory(chain in chains()) {
        check_chain(&chain)?;
    }

    #[test]
    fn any_chain_of_images_builds_and_runs_in_its_planned_memory(chain in image_chains()) {
        check_chain(&chain)?;
    }
}

/// Plans random chains. None may need more than `most` times the lower bound, for training and for
/// inference, and a share of `least` of them needs no more than it.
fn waste(chains: impl Strategy<Value = Chain>, most: (f64, f64), least: f64) {
    const CHAINS: usize = 2000;
    let mut runner = TestRunner::new(config(1));
    let (mut training, mut inference) = (Vec::new(), Vec::new());
    for _ in 0..CHAINS {
        let chain = chains.new_tree(&mut runner).expect("a chain").current();
        let net = chain.build().net;
        if net.len() == 0 {
            continue;
        }
        for (ratios, planned, least) in [
            (
                &mut training,
                net.training_workspace(1),
                lower_bound::training(&net),
            ),
            (
                &mut inference,
                net.inference_workspace(),
                lower_bound::inference(&net),
            ),
        ] {
            assert!(planned >= least, "{planned} of {least}: {chain:?}");
            ratios.push((planned as f64 / least as f64, chain.clone()));
        }
    }
    for (name, most, ratios) in [
        ("training", most.0, training),
        ("inference", most.1, inference),
    ] {
        let exact = ratios.iter().filter(|(ratio, _)| *ratio == 1.0).count();
        let share = exact as f64 / ratios.len() as f64;
        let worst = ratios.iter().max_by(|(a, _), (b, _)| a.total_cmp(b));
        let (ratio, chain) = worst.expect("chains");
        println!("{name}: worst ratio {ratio:.3}, the least memory in {share:.3} of all chains");
        assert!(*ratio <= most, "{name}: {ratio} for {chain:?}");
        assert!(share >= least, "{name}: {share}");
    }
}

#[test]
fn random_chains_waste_little() {
    waste(chains(), (1.45, 1.45), 0.7);
}

#[test]
fn random_chains_of_images_waste_little() {
    waste(image_chains(), (1.5, 1.5), 0.7);
}

/// In its planned memory, with every shortcut. Values near the middle of two integers may be rounded otherwise, and softmax is another
/// one in real numbers; what is made of such a value differs, too. A tensor in a wrong place would be noise.
#[test]
fn any_chain_runs_quantized_in_its_planned_memory() {
    let chains = prop_oneof![chains(), image_chains()];
    let mut runner = TestRunner::new(config(1));
    let (mut checked, mut equal, mut most) = (0, 0, 0);
    for _ in 0..1000 {
        let chain = chains.new_tree(&mut runner).expect("a chain").current();
        if let Some((count, largest)) = quantized_difference(&chain) {
            assert!(largest <= 8, "{count} differ, by {largest}: {chain:?}");
            most = most.max(largest);
            checked += 1;
            equal += usize::from(count == 0);
        }
    }
    println!("{equal} of {checked} chains are equal to their twins, others within {most}");
    assert!(checked > 400 && equal * 100 >= checked * 98);
}
