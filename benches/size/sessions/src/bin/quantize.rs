//! `quantize`, of a constant and of a plan.
#![no_std]
#![no_main]

use lightlayers::quant::{Quantization, quantize};
use lightlayers::{Error, Graph, Model, Network};
use size_sessions::{
    Quantizable, QuantizableVectors, any, any_mut, buffer, program, quantizable_plan,
};

program!(run);

const NET: Network = Quantizable::NET;

fn run() -> Result<(), Error> {
    make(Quantizable)?;
    make(QuantizableVectors)?;
    make(quantizable_plan())
}

fn make(graph: impl Graph) -> Result<(), Error> {
    quantize(
        graph,
        any(buffer!(f32, NET.weights())),
        any(buffer!(Quantization, NET.len() + 1, Quantization::PIXELS)),
        any_mut(buffer!(u32, NET.quantized_weights())),
    )
}
