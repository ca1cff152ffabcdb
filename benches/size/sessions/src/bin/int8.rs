//! `Int8Inference` of networks that are constants.
#![no_std]
#![no_main]

use core::hint::black_box;

use lightlayers::quant::{Int8Inference, signed};
use lightlayers::{Error, Graph, Model};
use size_sessions::{Quantizable, QuantizableVectors, any, any_mut, buffer, program};

program!(run);

fn run() -> Result<(), Error> {
    let (weights, workspace) = (
        buffer!(u32, Quantizable::NET.quantized_weights()),
        buffer!(u32, Quantizable::NET.quantized_workspace()),
    );
    infer(Quantizable, weights, workspace)?;
    let (weights, workspace) = (
        buffer!(u32, QuantizableVectors::NET.quantized_weights()),
        buffer!(u32, QuantizableVectors::NET.quantized_workspace()),
    );
    infer(QuantizableVectors, weights, workspace)
}

fn infer(graph: impl Graph, weights: &[u32], workspace: &mut [u32]) -> Result<(), Error> {
    let mut inference = Int8Inference::new(graph, any(weights), any_mut(workspace))?;
    black_box(inference.input_quantization());
    black_box(inference.quantization(black_box(1)));
    black_box(inference.output_quantization());
    black_box(inference.run(signed(any_mut(buffer!(u8, 256))))?);
    Ok(())
}
