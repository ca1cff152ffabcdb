//! The tables of a network and of a confusion matrix, shown.
#![no_std]
#![no_main]

use core::fmt;
use core::hint::black_box;

use lightlayers::metrics::ConfusionMatrix;
use lightlayers::optim::Adam;
use lightlayers::{Model, Network};
use size_sessions::{Images, program, show};

program!(run);

static NET: Network = Images::NET;

fn run() -> fmt::Result {
    show(black_box(&NET).summary().training::<Adam>(black_box(2)))?;
    match ConfusionMatrix::<10>::new(black_box(10)) {
        Ok(matrix) => show(matrix),
        Err(error) => show(error),
    }
}
