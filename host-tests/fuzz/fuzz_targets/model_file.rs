//! Reads any bytes as a model file, and uses what can be read.
//!
//! ```sh
//! bash .ci/run fuzz
//! ```
//!
//! The length and the checksum in the header are put right first: without that, hardly anything would come past them.

#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use lightlayers::dataset::{Dataset, Target};
use lightlayers::file::{self, Aligned, Reader, SectionKind, Writer};
use lightlayers::loss::MeanSquaredError;
use lightlayers::optim::{Adam, Sgd};
use lightlayers::quant::Int8Inference;
use lightlayers::{Error, Graph, Inference, Memory, Model, Network, Plan, Trainer};

/// The longest file: room for the largest layer table and some weights.
const CAPACITY: usize = 8 * 1024;

/// Networks that need more elements are not run, to run many.
const MOST_ELEMENTS: usize = 1 << 16;
const MOST_MULTIPLY_ACCUMULATES: u64 = 1 << 22;

/// The network of a firmware that reads the file.
#[derive(Clone, Copy)]
struct Xor;

impl Model for Xor {
    const NET: Network = Network::features(2).dense(2).relu().dense(1);
}

/// One sample of ones.
struct Ones;

impl Dataset for Ones {
    type Error = std::convert::Infallible;

    fn len(&self) -> usize {
        1
    }

    fn read(
        &mut self,
        _: usize,
        input: &mut [f32],
        target: &mut Target<'_>,
    ) -> Result<(), Self::Error> {
        input.fill(1.0);
        target.values_mut().fill(1.0);
        Ok(())
    }
}

fuzz_target!(|data: &[u8]| -> Corpus {
    let mut memory = Aligned([0; CAPACITY]);
    let Some(file) = memory.0.get_mut(..data.len()) else {
        return Corpus::Reject;
    };
    file.copy_from_slice(data);
    if let Some((header, content)) = file.split_first_chunk_mut::<16>() {
        header[8..12].copy_from_slice(&(data.len() as u32).to_le_bytes());
        header[12..].copy_from_slice(&crc32fast::hash(content).to_le_bytes());
    }
    let Ok(file) = Reader::new(file) else {
        return Corpus::Keep;
    };
    if let Ok(weights) = file.weights(Xor) {
        let mut workspace = [0.0; Xor::NET.inference_workspace()];
        let mut inference = Inference::new(Xor, weights, &mut workspace).expect("they fit");
        // Weights may be anything.
        let outputs = inference.run(&[1.0, 0.0]);
        assert!(matches!(outputs, Ok([_]) | Err(Error::NonFiniteOutput)));
    }
    if let Ok(words) = file.quantized_weights(Xor) {
        run_quantized(Xor, &Xor::NET, words);
    }
    let _ = file.training_state::<Adam>(Xor);
    let Ok(net) = file.network() else {
        return Corpus::Keep;
    };
    // A summary counts everything there is to count.
    assert!(!net.summary().training::<Adam>(1).to_string().is_empty());
    let plan = Plan::new(&net);
    if file.weights_kind() == SectionKind::WEIGHTS {
        let weights = file.weights(&plan).expect("its own network");
        run(&plan, &net, weights);
    } else if let Ok(words) = file.quantized_weights(&plan) {
        run_quantized(&plan, &net, words);
    }
    Corpus::Keep
});

/// Writes the quantized network again, and runs it.
fn run_quantized(graph: impl Graph + Copy, net: &Network, words: &[u32]) {
    let writer = match Writer::quantized(graph, words) {
        Err(Error::Unquantizable { .. }) => return,
        writer => writer.expect("what was read"),
    };
    assert_eq!(16 * writer.blocks().count(), file::quantized_size(net));
    if 4 * net.quantized_workspace() > MOST_ELEMENTS
        || net.multiply_accumulates() > MOST_MULTIPLY_ACCUMULATES
    {
        return;
    }
    let mut workspace = vec![0; net.quantized_workspace()];
    let mut inference = Int8Inference::new(graph, words, &mut workspace).expect("they fit");
    let mut input = vec![0; net.input_shape().len()];
    let reals = vec![1.0; input.len()];
    let outputs = inference.run_real(&reals, &mut input).expect("a sample");
    assert_eq!(outputs.len(), net.output_shape().len());
    // From one end of the integers to the other.
    for (value, byte) in input.iter_mut().zip((0..=u8::MAX).cycle()) {
        *value = byte as i8;
    }
    inference.run(&input).expect("a sample");
}

/// Writes the network again, and takes a step of training.
fn run(plan: &Plan, net: &Network, weights: &[f32]) {
    let writer = Writer::new(plan, weights).expect("as many weights");
    assert_eq!(16 * writer.blocks().count(), file::size(net, None));
    let elements = net.training_workspace(2).max(net.inference_workspace());
    if elements > MOST_ELEMENTS || net.multiply_accumulates() > MOST_MULTIPLY_ACCUMULATES {
        return;
    }
    let mut workspace = vec![0.0; net.inference_workspace()];
    let mut inference = Inference::new(plan, weights, &mut workspace).expect("they fit");
    let input = vec![1.0; net.input_shape().len()];
    match inference.run(&input) {
        Ok(outputs) => assert_eq!(outputs.len(), net.output_shape().len()),
        error => assert_eq!(error, Err(Error::NonFiniteOutput)),
    }

    let memory = Memory {
        weights: &mut weights.to_vec(),
        gradients: &mut vec![0.0; net.trainable_weights()],
        optimizer_state: &mut [],
        // Two samples at once, for a batch normalization that learns.
        workspace: &mut vec![0.0; net.training_workspace(2)],
    };
    let mut trainer = Trainer::new(plan, MeanSquaredError, Sgd, memory).expect("they fit");
    // With any weights, the loss may be infinite.
    let _ = trainer.step(&mut Ones, [0, 0].into_iter(), 0.1);
}
