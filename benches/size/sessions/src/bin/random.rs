//! `Rng`, `Permutation` and the functions of `math`.
#![no_std]
#![no_main]

use core::hint::black_box;

use lightlayers::{Permutation, Rng, math};
use size_sessions::program;

program!(run);

fn run() {
    let mut rng = Rng::new(black_box(1));
    black_box((
        rng.next_u32(),
        rng.below(black_box(10)),
        rng.uniform(),
        rng.normal(),
    ));
    let permutation = Permutation::new(black_box(100), black_box(1));
    black_box(permutation.index(black_box(7)));
    let x = black_box(0.5);
    black_box((math::exp(x), math::ln(x), math::sqrt(x), math::tanh(x)));
    black_box(math::powi(x, black_box(9)));
}
