//! A network that is built at run time by calls that return errors, its plan, and its starting weights.
#![no_std]
#![no_main]

use core::hint::black_box;

use lightlayers::{BuildError, Error, Network, Op, Plan};
use size_sessions::{Images, any_mut, buffer, program};

program!(run);

static LAYERS: Network = <Images as lightlayers::Model>::NET;

fn run() -> Result<(), Error> {
    let net = build().map_err(Error::Build)?;
    net.initialize(any_mut(buffer!(f32, 100)), black_box(1))?;
    black_box(Plan::new(&net));
    Ok(())
}

fn build() -> Result<Network, BuildError> {
    let mut net = Network::try_input(black_box(8), black_box(8), black_box(3))?;
    for layer in black_box(&LAYERS).layers() {
        net = net.try_push(*layer.op())?;
    }
    let body = net.try_push(black_box(Op::Relu))?;
    net.try_residual(body, net)
}
