//! `Reader::network`, which builds the network of a model file at run time, and its plan.
#![no_std]
#![no_main]

use core::hint::black_box;

use lightlayers::Plan;
use lightlayers::file::{FileError, Reader};
use size_sessions::{any, buffer, program};

program!(run);

fn run() -> Result<(), FileError> {
    let network = Reader::new(any(buffer!(u8, 4096)))?.network()?;
    black_box(Plan::new(&network));
    Ok(())
}
