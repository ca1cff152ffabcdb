//! Any chain of layers builds and runs in its planned memory, of which little is wasted.

use host_tests::custom::pairs;
use host_tests::golden::relative_error;
use host_tests::lower_bound;
use host_tests::session::{Add, Buffers, Samples, dropout_factors, random_weights, values};
use host_tests::twin::{Objective, Twin};
use lightlayers::loss::MeanSquaredError;
use lightlayers::optim::{Momentum, Sgd};
use lightlayers::{Inference, Network, Op, Plan, Shape, Trainer};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngSeed, TestCaseResult, TestRunner};

/// A layer to be added; a vector layer flattens an image first.
#[derive(Clone, Copy, Debug)]
enum Choice {
    Dense(usize, bool),
    LightDense(usize, usize, bool),
    InPlace(u8),
    Dropout(f32),
    Pairs,
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
    ];
    (choice, prop::bool::weighted(0.2))
}

#[derive(Clone, Debug)]
struct Chain {
    input: (usize, usize, usize),
    layers: Vec<(Choice, bool)>,
}

fn chains() -> impl Strategy<Value = Chain> {
    let input = prop_oneof![
        (Just(1), Just(1), 1..=70_usize),
        (1..=6_usize, 1..=6_usize, 1..=4_usize),
    ];
    let layers = prop::collection::vec(layer(), 1..=12);
    (input, layers).prop_map(|(input, layers)| Chain { input, layers })
}

impl Chain {
    /// The network, and, counted here, its weights and the shapes of its outputs.
    fn build(&self) -> (Network, usize, Vec<Shape>) {
        let (height, width, channels) = self.input;
        let mut net = Network::input(height, width, channels);
        let mut shape = Shape::image(height as u16, width as u16, channels as u16);
        let (mut weights, mut shapes) = (0, Vec::new());
        for &(choice, frozen) in &self.layers {
            let inputs = shape.len();
            let takes_vectors = !matches!(choice, Choice::InPlace(_) | Choice::Dropout(_));
            if takes_vectors && (shape.height, shape.width) != (1, 1) {
                net = net.flatten();
                shape = Shape::flat(inputs as u16);
                shapes.push(shape);
            }
            match choice {
                Choice::Dense(units, bias) => {
                    net = net.dense(units).bias(bias);
                    shape = Shape::flat(units as u16);
                    weights += inputs * units + usize::from(bias) * units;
                }
                Choice::LightDense(units, rank, bias) => {
                    net = net.light_dense(units, rank).bias(bias);
                    shape = Shape::flat(units as u16);
                    weights += (inputs + units) * rank + usize::from(bias) * units;
                }
                Choice::Pairs if inputs < 2 => continue,
                Choice::Pairs => {
                    net = pairs(net);
                    shape = Shape::flat(inputs as u16 / 2);
                    weights += inputs / 2;
                }
                Choice::Dropout(rate) => net = net.dropout(rate),
                Choice::InPlace(kind) => {
                    let add: [Add; 7] = [
                        Network::relu,
                        Network::relu6,
                        |net| net.leaky_relu(0.2),
                        Network::sigmoid,
                        Network::tanh,
                        Network::softmax,
                        Network::flatten,
                    ];
                    net = add[usize::from(kind)](net);
                    if kind == 6 {
                        shape = Shape::flat(inputs as u16);
                    }
                }
            }
            if frozen {
                net = net.frozen();
            }
            shapes.push(shape);
        }
        (net, weights, shapes)
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
    for x in x.chunks(net.input_shape().len() * capacity) {
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
    let (net, weights, shapes) = chain.build();
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
    let (inputs, outputs) = (net.input_shape().len(), net.output_shape().len());
    let x = values(inputs * BATCH, 1.5, seed + 1);
    let samples = Samples::from_rows(&x, &values(outputs * BATCH, 1.0, seed + 2), BATCH);

    let inferred = infer_in_poison(&net, &weights, &x, (BATCH, POISONS[0]))?;
    let trained = step_in_poison(&net, &weights, &samples, (BATCH, POISONS[0]))?;
    for capacity in 1..=BATCH + 1 {
        for poison in POISONS {
            let memory = (capacity, poison);
            let again = infer_in_poison(&net, &weights, &x, memory)?;
            prop_assert_eq!(bits(&again), bits(&inferred), "inference, {:?}", memory);
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

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn any_chain_builds_and_runs_in_its_planned_memory(chain in chains()) {
        check_chain(&chain)?;
    }
}

/// The most that any random chain may need, as a multiple of the lower bound.
const MOST_TRAINING: f64 = 1.45;
const MOST_INFERENCE: f64 = 1.45;

#[test]
fn random_chains_waste_little() {
    const CHAINS: usize = 2000;
    let mut runner = TestRunner::new(config(1));
    let (mut training, mut inference) = (Vec::new(), Vec::new());
    for _ in 0..CHAINS {
        let chain = chains().new_tree(&mut runner).expect("a chain").current();
        let (net, ..) = chain.build();
        if net.len() == 0 {
            continue;
        }
        for (ratios, most, planned, least) in [
            (
                &mut training,
                MOST_TRAINING,
                net.training_workspace(1),
                lower_bound::training(&net),
            ),
            (
                &mut inference,
                MOST_INFERENCE,
                net.inference_workspace(),
                lower_bound::inference(&net),
            ),
        ] {
            assert!(planned >= least, "{planned} of {least}: {chain:?}");
            let ratio = planned as f64 / least as f64;
            assert!(ratio <= most, "{planned} of {least}: {chain:?}");
            ratios.push(ratio);
        }
    }
    for (name, ratios) in [("training", training), ("inference", inference)] {
        let least = ratios.iter().filter(|ratio| **ratio == 1.0).count();
        let share = least as f64 / ratios.len() as f64;
        println!(
            "{name}: worst ratio {:.3}, the least memory in {share:.3} of all chains",
            ratios.iter().copied().fold(0.0, f64::max)
        );
        assert!(share >= 0.7, "{name}: {share}");
    }
}
