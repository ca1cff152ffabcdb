//! A training step in parts.
#![no_std]
#![no_main]

use core::hint::black_box;

use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::optim::Adam;
use lightlayers::{Error, Model, Trainer};
use size_sessions::{Images, Samples, memory, program};

program!(run);

fn run() -> Result<(), Error> {
    let memory = memory!(Images::NET, Adam, 2);
    let mut trainer = Trainer::new(Images, SoftmaxCrossEntropy::new(), Adam::new(), memory)?;
    let mut step = trainer.start_step([1, 2, 3].into_iter(), black_box(0.1))?;
    while step.advance(&mut Samples)?.is_none() {
        black_box(step.weights());
    }
    let mut step = trainer.into_step(0..black_box(4), black_box(0.1));
    black_box(step.advance(&mut Samples)?);
    black_box(step.into_trainer().weights());
    Ok(())
}
