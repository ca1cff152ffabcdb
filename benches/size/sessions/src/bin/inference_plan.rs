//! `Inference` of a plan, which is read at run time: every layer.
#![no_std]
#![no_main]

use core::hint::black_box;

use lightlayers::{Error, Inference, Model};
use size_sessions::{Images, any, any_mut, buffer, plan, program};

program!(run);

fn run() -> Result<(), Error> {
    let weights = any(buffer!(f32, Images::NET.weights()));
    let workspace = any_mut(buffer!(f32, Images::NET.inference_workspace()));
    let mut inference = Inference::new(plan(), weights, workspace)?;
    black_box(inference.run(any(buffer!(f32, 256)))?);
    Ok(())
}
