//! `Inference` of networks that are constants.
#![no_std]
#![no_main]

use lightlayers::{Error, Graph, Inference, Model};
use size_sessions::{Features, Images, Others, any, any_mut, buffer, program};

program!(run);

fn run() -> Result<(), Error> {
    let (weights, workspace) = (
        buffer!(f32, Features::NET.weights()),
        buffer!(f32, Features::NET.inference_workspace()),
    );
    infer(Features, weights, workspace)?;
    let (weights, workspace) = (
        buffer!(f32, Images::NET.weights()),
        buffer!(f32, Images::NET.inference_workspace()),
    );
    infer(Images, weights, workspace)?;
    let (weights, workspace) = (
        buffer!(f32, Others::NET.weights()),
        buffer!(f32, Others::NET.inference_workspace()),
    );
    infer(Others, weights, workspace)
}

fn infer(graph: impl Graph, weights: &[f32], workspace: &mut [f32]) -> Result<(), Error> {
    let mut inference = Inference::new(graph, any(weights), any_mut(workspace))?;
    core::hint::black_box(inference.run(any(buffer!(f32, 256)))?);
    Ok(())
}
