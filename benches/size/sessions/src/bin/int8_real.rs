//! `Int8Inference::run_real`.
#![no_std]
#![no_main]

use core::hint::black_box;

use lightlayers::quant::Int8Inference;
use lightlayers::{Error, Model};
use size_sessions::{Quantizable, any, any_mut, buffer, program};

program!(run);

fn run() -> Result<(), Error> {
    let weights = any(buffer!(u32, Quantizable::NET.quantized_weights()));
    let workspace = any_mut(buffer!(u32, Quantizable::NET.quantized_workspace()));
    let mut inference = Int8Inference::new(Quantizable, weights, workspace)?;
    let output = inference.output_quantization();
    let answer = inference.run_real(any(buffer!(f32, 256)), any_mut(buffer!(i8, 256)))?;
    for value in answer {
        black_box(output.dequantize(*value));
    }
    Ok(())
}
