//! Training of a plan, which is read at run time: every layer.
#![no_std]
#![no_main]

use core::hint::black_box;

use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::optim::Adam;
use lightlayers::schedule::Constant;
use lightlayers::{Epoch, Error, Model, Trainer};
use size_sessions::{Images, Samples, memory, plan, program};

program!(run);

fn run() -> Result<(), Error> {
    let memory = memory!(Images::NET, Adam, 2);
    let mut trainer = Trainer::new(plan(), SoftmaxCrossEntropy::new(), Adam::new(), memory)?;
    trainer.initialize(black_box(1))?;
    let epoch = Epoch::shuffled(black_box(8), black_box(1));
    black_box(trainer.epoch(&mut Samples, epoch, &Constant(0.01), |_| {})?);
    black_box(trainer.evaluate(&mut Samples, |_| {})?);
    Ok(())
}
