//! `Int8Inference` of a plan, which is read at run time: every layer that can be quantized.
#![no_std]
#![no_main]

use core::hint::black_box;

use lightlayers::quant::Int8Inference;
use lightlayers::{Error, Model};
use size_sessions::{Quantizable, any, any_mut, buffer, program, quantizable_plan};

program!(run);

fn run() -> Result<(), Error> {
    let weights = any(buffer!(u32, Quantizable::NET.quantized_weights()));
    let workspace = any_mut(buffer!(u32, Quantizable::NET.quantized_workspace()));
    let mut inference = Int8Inference::new(quantizable_plan(), weights, workspace)?;
    black_box(inference.run(any(buffer!(i8, 256)))?);
    Ok(())
}
