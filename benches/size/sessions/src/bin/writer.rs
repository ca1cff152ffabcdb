//! `Writer` of a model file of floats.
#![no_std]
#![no_main]

use core::hint::black_box;

use lightlayers::file::{TrainingState, Writer};
use lightlayers::{Error, Graph, Model, Network};
use size_sessions::{Images, any, buffer, plan, program};

program!(run);

const NET: Network = Images::NET;

fn run() -> Result<(), Error> {
    write(Images)?;
    write(plan())
}

fn write(graph: impl Graph) -> Result<(), Error> {
    let state = TrainingState {
        steps: black_box(3),
        optimizer_state: any(buffer!(f32, 2 * NET.trainable_weights())),
    };
    let gradients = any(buffer!(f32, NET.trainable_weights()));
    let writer = Writer::new(graph, any(buffer!(f32, NET.weights())))?;
    for block in writer
        .with_state(state)?
        .with_gradients(gradients)?
        .blocks()
    {
        black_box(block);
    }
    Ok(())
}
