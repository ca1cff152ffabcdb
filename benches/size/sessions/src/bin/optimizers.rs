//! Training with every optimizer and every loss.
#![no_std]
#![no_main]

use core::hint::black_box;

use lightlayers::loss::{Loss, MeanSquaredError, SoftmaxCrossEntropy};
use lightlayers::optim::{Adam, AdamW, ClipNorm, Momentum, Optimizer, Sgd};
use lightlayers::{Error, Model, Trainer};
use size_sessions::{Features, Samples, memory, program};

program!(run);

fn run() -> Result<(), Error> {
    train(MeanSquaredError, Sgd)?;
    train(
        MeanSquaredError,
        ClipNorm::new(black_box(1.0), Adam::new())?,
    )?;
    let loss = SoftmaxCrossEntropy::with_label_smoothing(black_box(0.1))?;
    train::<_, Momentum>(loss, Sgd::momentum(black_box(0.9))?)?;
    train(loss, Sgd::nesterov(black_box(0.9))?)?;
    train(loss, Sgd::heavy_ball(black_box(0.9))?)?;
    train(loss, Adam::with(black_box(0.9), 0.999, 1e-7)?)?;
    train(loss, AdamW::new(black_box(0.01), Adam::new())?)?;
    train(loss, ClipNorm::new(black_box(1.0), Sgd::momentum(0.9)?)?)
}

fn train<L: Loss, O: Optimizer>(loss: L, optimizer: O) -> Result<(), Error> {
    // Adam has the largest state.
    let mut memory = memory!(Features::NET, Adam, 1);
    let state = Features::NET.optimizer_state::<O>();
    memory.optimizer_state = memory.optimizer_state.get_mut(..state).unwrap_or_default();
    let mut trainer = Trainer::new(Features, loss, optimizer, memory)?;
    trainer.initialize(black_box(1))?;
    black_box(trainer.step(&mut Samples, [1, 2].into_iter(), black_box(0.1))?);
    Ok(())
}
