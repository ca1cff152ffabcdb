//! `Reader` of a model file, for a network that is a constant.
#![no_std]
#![no_main]

use core::hint::black_box;

use lightlayers::file::{FileError, Reader};
use lightlayers::optim::Adam;
use size_sessions::{Images, Quantizable, any, buffer, program};

program!(run);

fn run() -> Result<(), FileError> {
    let reader = Reader::new(any(buffer!(u8, 4096)))?;
    black_box((reader.weights_kind(), reader.optimizer()));
    black_box(reader.weights(Images)?);
    black_box(reader.training_state::<Adam>(Images)?);
    black_box(reader.gradients(Images)?);
    black_box(reader.quantized_weights(Quantizable)?);
    Ok(())
}
