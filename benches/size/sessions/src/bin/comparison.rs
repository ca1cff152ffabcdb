//! `Comparison`.
#![no_std]
#![no_main]

use core::hint::black_box;

use lightlayers::quant::{Comparison, Int8Inference, TensorError};
use lightlayers::{Error, Inference, Model, Network};
use size_sessions::{Quantizable, any, any_mut, buffer, program};

program!(run);

const NET: Network = Quantizable::NET;

fn run() -> Result<(), Error> {
    let weights = any(buffer!(f32, NET.weights()));
    let workspace = any_mut(buffer!(f32, NET.inference_workspace()));
    let real = Inference::new(Quantizable, weights, workspace)?;
    let weights = any(buffer!(u32, NET.quantized_weights()));
    let workspace = any_mut(buffer!(u32, NET.quantized_workspace()));
    let quantized = Int8Inference::new(Quantizable, weights, workspace)?;
    let mut errors = [TensorError::default(); NET.len() + 1];
    let mut comparison = Comparison::new(real, quantized, any_mut(&mut errors))?;
    black_box(comparison.run(any(buffer!(f32, 256)), any_mut(buffer!(i8, 256)))?);
    for error in comparison.errors() {
        black_box((error.signal_to_noise(), error.clipped()));
    }
    Ok(())
}
