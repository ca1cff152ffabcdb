//! Training, epoch by epoch, with every layer.
#![no_std]
#![no_main]

use core::hint::black_box;

use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::optim::Sgd;
use lightlayers::schedule::Constant;
use lightlayers::{Epoch, Error, Graph, Memory, Model, Trainer};
use size_sessions::{Images, Others, Samples, any_mut, memory, program};

program!(run);

fn run() -> Result<(), Error> {
    train(Images, memory!(Images::NET, Sgd, 2))?;
    train(Others, memory!(Others::NET, Sgd, 2))
}

fn train(graph: impl Graph, memory: Memory<'_>) -> Result<(), Error> {
    let memory = Memory {
        weights: any_mut(memory.weights),
        gradients: any_mut(memory.gradients),
        optimizer_state: any_mut(memory.optimizer_state),
        workspace: any_mut(memory.workspace),
    };
    let trainer = Trainer::new(graph, SoftmaxCrossEntropy::new(), Sgd, memory)?;
    let mut trainer = trainer.with_dropout_seed(7).with_steps(black_box(3));
    trainer.initialize(black_box(1))?;
    let epoch = Epoch::shuffled(black_box(8), black_box(1));
    let metrics = trainer.epoch(&mut Samples, epoch, &Constant(0.01), |progress| {
        black_box(progress);
    })?;
    black_box(metrics);
    black_box(trainer.step(&mut Samples, [1, 2, 3].into_iter(), black_box(0.1))?);
    black_box(trainer.evaluate(&mut Samples, |sample| {
        black_box(sample);
    })?);
    Ok(())
}
