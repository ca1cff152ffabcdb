//! Every error, shown.
#![no_std]
#![no_main]

use core::convert::Infallible;
use core::fmt;
use core::hint::black_box;

use lightlayers::checkpoint::CheckpointError;
use lightlayers::file::FileError;
use lightlayers::{BuildError, Error};
use size_sessions::{program, show};

program!(run);

fn run() -> fmt::Result {
    show(black_box(Error::<Infallible>::Empty))?;
    show(black_box(BuildError::TooManyLayers))?;
    show(black_box(FileError::NoWeights))?;
    show(black_box(CheckpointError::<Infallible>::Exhausted))
}
