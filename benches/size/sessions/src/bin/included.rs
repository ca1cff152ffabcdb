//! The weights of included model files, as constants.
#![no_std]
#![no_main]

use core::hint::black_box;

use lightlayers::quant::Int8Inference;
use lightlayers::{Error, Inference, Model, Network, file};
use size_sessions::{any, any_mut, buffer, program};

program!(run);

#[derive(Clone, Copy)]
struct Xor;

impl Model for Xor {
    const NET: Network = Network::features(2).dense(2).relu().dense(1);
}

const NET: Network = Xor::NET;

static WEIGHTS: [f32; NET.weights()] =
    file::weights(&NET, include_bytes!("../../../../../src/file/xor.model"));
static QUANTIZED: [u32; NET.quantized_weights()] = file::quantized_weights(
    &NET,
    include_bytes!("../../../../../src/file/xor-int8.model"),
);

fn run() -> Result<(), Error> {
    let workspace = any_mut(buffer!(f32, NET.inference_workspace()));
    let mut inference = Inference::new(Xor, black_box(&WEIGHTS), workspace)?;
    black_box(inference.run(any(buffer!(f32, 2)))?);
    let workspace = any_mut(buffer!(u32, NET.quantized_workspace()));
    let mut inference = Int8Inference::new(Xor, black_box(&QUANTIZED), workspace)?;
    black_box(inference.run(any(buffer!(i8, 2)))?);
    Ok(())
}
