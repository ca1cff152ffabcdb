//! `Reader` of a model file, for a plan.
#![no_std]
#![no_main]

use core::hint::black_box;

use lightlayers::file::{FileError, Reader};
use size_sessions::{any, buffer, plan, program, quantizable_plan};

program!(run);

fn run() -> Result<(), FileError> {
    let reader = Reader::new(any(buffer!(u8, 4096)))?;
    black_box(reader.weights(plan())?);
    black_box(reader.quantized_weights(quantizable_plan())?);
    Ok(())
}
