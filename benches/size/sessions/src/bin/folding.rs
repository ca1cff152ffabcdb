//! Folding of batch normalization and splitting of factors, of a network that is read at run time.
#![no_std]
#![no_main]

use core::hint::black_box;

use lightlayers::{Error, Model, Network};
use size_sessions::{Images, any, any_mut, buffer, program};

program!(run);

static NET: Network = Images::NET;
const FOLDED: Network = Images::NET.fold_batch_norm();

fn run() -> Result<(), Error> {
    let net = black_box(&NET);
    let folded = net.fold_batch_norm();
    let weights = any(buffer!(f32, Images::NET.weights()));
    let own = any_mut(buffer!(f32, FOLDED.weights()));
    net.fold_batch_norm_weights(weights, own)?;
    black_box(folded.try_split_factors().map_err(Error::Build)?);
    folded.split_factors_weights(own)
}
