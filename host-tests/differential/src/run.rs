//! All that a network can do, once. The file is part of two modules: one runs the library with its features, the other one without;
//! `library` is the one or the other.

use super::library::dataset::{Dataset, Target};
use super::library::file::{Reader, TrainingState, Writer};
use super::library::loss::{Loss, MeanSquaredError, SoftmaxCrossEntropy};
use super::library::optim::{Adam, AdamW, ClipNorm, Optimizer, Sgd};
use super::library::quant::{
    Calibration, Int8Inference, Quantization, RangeMethod, TensorRange, quantize,
};
use super::library::{Error, Inference, Memory, Network, Plan, Trainer};

use crate::{Aligned, Case, How, Trace};

const STEPS: usize = 3;
const RATE: f32 = 0.01;

impl Dataset for &Case {
    type Error = core::convert::Infallible;

    fn len(&self) -> usize {
        self.samples.len()
    }

    fn read(
        &mut self,
        index: usize,
        input: &mut [f32],
        target: &mut Target<'_>,
    ) -> Result<(), Self::Error> {
        let (values, class) = &self.samples[index];
        input.copy_from_slice(values);
        target.set_class(*class);
        Ok(())
    }
}

/// Everything that the network of a case computes, step by step.
pub(crate) fn run(case: &Case, how: How) -> Trace {
    let mut trace = Trace::default();
    let reader = Reader::new(case.file.bytes()).expect("a file that was just written");
    let net = reader.network().expect("layers that were just written");
    let plan = Plan::new(&net);
    let weights = reader
        .weights(&plan)
        .expect("as many weights as the network has");

    infer(&mut trace, "inference", &plan, weights, case, how);
    let trained = match case.optimizer {
        0 => losses(&mut trace, &plan, weights, case, how, Sgd),
        1 => losses(
            &mut trace,
            &plan,
            weights,
            case,
            how,
            Sgd::momentum(0.9).expect("a momentum"),
        ),
        2 => losses(
            &mut trace,
            &plan,
            weights,
            case,
            how,
            Sgd::nesterov(0.9).expect("a momentum"),
        ),
        3 => losses(
            &mut trace,
            &plan,
            weights,
            case,
            how,
            Sgd::heavy_ball(0.9).expect("a momentum"),
        ),
        4 => losses(&mut trace, &plan, weights, case, how, Adam::new()),
        5 => {
            let decayed = AdamW::new(0.004, Adam::new()).expect("a decay");
            losses(&mut trace, &plan, weights, case, how, decayed)
        }
        _ => {
            let clipped = ClipNorm::new(0.1, Adam::new()).expect("a norm");
            losses(&mut trace, &plan, weights, case, how, clipped)
        }
    };
    infer(
        &mut trace,
        "inference after training",
        &plan,
        &trained,
        case,
        how,
    );

    let folded = net.fold_batch_norm();
    let mut folded_weights = vec![0.0; folded.weights()];
    net.fold_batch_norm_weights(&trained, &mut folded_weights)
        .expect("as long as both networks");
    let plan = Plan::new(&folded);
    infer(
        &mut trace,
        "inference without batch norm",
        &plan,
        &folded_weights,
        case,
        how,
    );
    if let Ok(split) = folded.try_split_factors() {
        folded
            .split_factors_weights(&mut folded_weights)
            .expect("as long as the network");
        integers(&mut trace, &split, &folded_weights, case, how);
    }
    trace
}

fn infer(
    trace: &mut Trace,
    what: &'static str,
    plan: &Plan,
    weights: &[f32],
    case: &Case,
    how: How,
) {
    let net = plan.network();
    let at_once = if net.has_flat_input() {
        how.capacity
    } else {
        1
    };
    let mut workspace = vec![f32::NAN; how.capacity * net.inference_workspace()];
    let mut inference = Inference::new(plan, weights, &mut workspace).expect("buffers fit");
    for samples in case.samples.chunks(at_once) {
        let inputs: Vec<f32> = samples
            .iter()
            .flat_map(|(x, _)| x.iter().copied())
            .collect();
        match inference.run(&inputs) {
            Ok(outputs) => trace.values(what, outputs),
            // Of several samples at once, one may fail for another.
            Err(error) if at_once == 1 => trace.text(what, &error),
            Err(_) => inputs.chunks(net.input_shape().len()).for_each(|input| {
                match inference.run(input) {
                    Ok(outputs) => trace.values(what, outputs),
                    Err(error) => trace.text(what, &error),
                }
            }),
        }
    }
}

/// Trains with the loss of the case; returns the weights.
fn losses<O: Optimizer + Copy>(
    trace: &mut Trace,
    plan: &Plan,
    weights: &[f32],
    case: &Case,
    how: How,
    optimizer: O,
) -> Vec<f32> {
    match case.loss {
        0 => train(
            trace,
            plan,
            weights,
            case,
            how,
            (MeanSquaredError, optimizer),
        ),
        1 => train(
            trace,
            plan,
            weights,
            case,
            how,
            (SoftmaxCrossEntropy::new(), optimizer),
        ),
        _ => {
            let smooth = SoftmaxCrossEntropy::with_label_smoothing(0.1).expect("in range");
            train(trace, plan, weights, case, how, (smooth, optimizer))
        }
    }
}

fn train<L: Loss + Copy, O: Optimizer + Copy>(
    trace: &mut Trace,
    plan: &Plan,
    weights: &[f32],
    case: &Case,
    how: How,
    (loss, optimizer): (L, O),
) -> Vec<f32> {
    let net = plan.network();
    let mut weights = weights.to_vec();
    let mut gradients = vec![f32::NAN; net.trainable_weights()];
    let mut state = vec![0.0; net.optimizer_state::<O>()];
    let mut workspace = vec![f32::NAN; net.training_workspace(how.capacity)];
    let mut taken = 0;
    for step in 0..STEPS {
        // What a new session goes on with is what a file holds.
        if how.interrupted && step > 0 {
            let file = saved::<O>(plan, &weights, (taken, &state), &gradients);
            let reader = Reader::new(file.bytes()).expect("a file that was just written");
            weights = reader.weights(plan).expect("its network").to_vec();
            let found = reader.training_state::<O>(plan).expect("its optimizer");
            let found = found.expect("a state");
            (taken, state) = (found.steps, found.optimizer_state.to_vec());
            match reader.gradients(plan).expect("its network") {
                Some(kept) => gradients.copy_from_slice(kept),
                None => gradients.fill(f32::NAN),
            }
            workspace.fill(f32::NAN);
        }
        let kept = gradients.clone();
        let memory = Memory {
            weights: &mut weights,
            gradients: &mut gradients,
            optimizer_state: &mut state,
            workspace: &mut workspace,
        };
        let trainer = match Trainer::new(plan, loss, optimizer, memory) {
            Ok(trainer) => trainer,
            Err(error) => {
                trace.text("a trainer", &error);
                return weights;
            }
        };
        let mut trainer = trainer.with_dropout_seed(case.seed).with_steps(taken);
        if O::KEEPS_GRADIENTS && step > 0 {
            trainer.gradients_mut().copy_from_slice(&kept);
        }
        let first = step % case.samples.len();
        let minibatch = first..case.samples.len();
        let result = match how.in_parts {
            false => trainer.step(&mut &*case, minibatch, RATE),
            true => in_parts(&mut trainer, case, minibatch),
        };
        match result {
            Ok(metrics) => {
                trace.values("loss", &[metrics.loss(), metrics.accuracy()]);
                trace.values("gradients", trainer.gradients());
            }
            Err(error) => trace.text("a step", &error),
        }
        taken = trainer.steps();
        if step + 1 == STEPS {
            match trainer.evaluate(&mut &*case, |_| {}) {
                Ok(metrics) => trace.values("evaluation", &[metrics.loss(), metrics.accuracy()]),
                Err(error) => trace.text("evaluation", &error),
            }
        }
        trace.values("weights", &weights);
        trace.values("state", &state);
    }
    let file = saved::<O>(plan, &weights, (taken, &state), &gradients);
    trace.bytes("file", file.bytes());
    weights
}

fn in_parts<L: Loss, O: Optimizer>(
    trainer: &mut Trainer<'_, &Plan, L, O>,
    case: &Case,
    minibatch: core::ops::Range<usize>,
) -> Result<super::library::metrics::Metrics, Error> {
    let mut step = trainer.start_step(minibatch, RATE)?;
    loop {
        if let Some(metrics) = step.advance(&mut &*case)? {
            return Ok(metrics);
        }
    }
}

/// A model file with all that training goes on with.
fn saved<O: Optimizer>(
    plan: &Plan,
    weights: &[f32],
    (steps, optimizer_state): (u32, &[f32]),
    gradients: &[f32],
) -> Aligned {
    let state = TrainingState {
        steps,
        optimizer_state,
    };
    let writer = Writer::new(plan, weights).expect("as many weights as the network has");
    let mut writer = writer.with_state(state).expect("as much state");
    if O::KEEPS_GRADIENTS {
        writer = writer.with_gradients(gradients).expect("as many gradients");
    }
    Aligned::new(writer.blocks().flatten())
}

/// Calibration, the network in integers, and training with them in mind.
fn integers(trace: &mut Trace, net: &Network, weights: &[f32], case: &Case, how: How) {
    let plan = Plan::new(net);
    let tensors = net.len() + 1;
    let mut ranges = vec![TensorRange::EMPTY; tensors];
    let mut bins = vec![0; if case.method == 0 { 0 } else { 64 * tensors }];
    let mut workspace = vec![f32::NAN; net.inference_workspace()];
    let calibration = Calibration::new(&plan, weights, &mut workspace, &mut ranges, &mut bins);
    let mut calibration = match calibration {
        Ok(calibration) => calibration,
        Err(error) => return trace.text("calibration", &error),
    };
    // Histograms want the ranges first.
    for _ in 0..2 {
        for (input, _) in &case.samples {
            if let Err(error) = calibration.observe(input) {
                return trace.text("calibration", &error);
            }
        }
    }
    let method = match case.method {
        0 => RangeMethod::MinMax,
        1 => RangeMethod::Percentile(99.0),
        _ => RangeMethod::MeanSquaredError,
    };
    let mut quantizations = vec![Quantization::PIXELS; tensors];
    if let Err(error) = calibration.choose(method, &mut quantizations) {
        return trace.text("a range", &error);
    }
    for quantization in &quantizations {
        trace.values(
            "scale",
            &[quantization.scale(), quantization.zero_point().into()],
        );
    }
    let mut words = vec![0; net.quantized_weights()];
    if let Err(error) = quantize(&plan, weights, &quantizations, &mut words) {
        return trace.text("quantize", &error);
    }
    trace.words("words", words.iter().copied());
    let mut workspace = vec![0x5a5a_5a5a; net.quantized_workspace()];
    let mut inference = Int8Inference::new(&plan, &words, &mut workspace).expect("its words");
    let mut input_bytes = vec![0; net.input_shape().len()];
    for (input, _) in &case.samples {
        match inference.run_real(input, &mut input_bytes) {
            Ok(outputs) => trace.words("integers", outputs.iter().map(|y| *y as u32)),
            Err(error) => trace.text("integers", &error),
        }
    }

    let mut rounded = vec![f32::NAN; net.weights()];
    let mut weights = weights.to_vec();
    let memory = Memory {
        weights: &mut weights,
        gradients: &mut vec![f32::NAN; net.trainable_weights()],
        optimizer_state: &mut [],
        workspace: &mut vec![f32::NAN; net.training_workspace(how.capacity)],
    };
    let trainer = match Trainer::new(&plan, MeanSquaredError, Sgd, memory) {
        Ok(trainer) => trainer.with_dropout_seed(case.seed),
        Err(error) => return trace.text("a trainer", &error),
    };
    let mut trainer = match trainer.quantization_aware(&quantizations, &mut rounded) {
        Ok(trainer) => trainer,
        Err(error) => return trace.text("fake quantization", &error),
    };
    let mut data = case;
    for _ in 0..2 {
        match trainer.step(&mut data, 0..case.samples.len(), RATE) {
            Ok(metrics) => trace.values("loss of integers", &[metrics.loss()]),
            Err(error) => trace.text("a step with integers", &error),
        }
    }
    trace.values("weights for integers", trainer.weights());
}
