//! Every schedule.
#![no_std]
#![no_main]

use core::hint::black_box;

use lightlayers::Error;
use lightlayers::schedule::{
    Constant, Cosine, EarlyStopping, ReduceOnPlateau, Schedule, StepDecay,
};
use size_sessions::{any, any_mut, buffer, program};

program!(run);

fn run() -> Result<(), Error> {
    let step = black_box(7);
    let decay = StepDecay {
        initial: black_box(0.1),
        factor: black_box(0.5),
        every: black_box(3),
    };
    let cosine = Cosine {
        peak: black_box(0.1),
        warmup: black_box(5),
        decay: black_box(100),
        floor: black_box(0.0),
    };
    let mut plateau = ReduceOnPlateau::new(black_box(0.1), black_box(0.5), black_box(3), 0.0)
        .with_min_rate(black_box(1e-6))
        .with_cooldown(black_box(2));
    plateau.observe(black_box(1.0));
    black_box(Constant(black_box(0.1)).rate(step));
    black_box((decay.rate(step), cosine.rate(step), plateau.rate(step)));
    let mut stopping = EarlyStopping::new(black_box(3), black_box(0.0), any_mut(buffer!(f32, 30)));
    black_box(stopping.observe(black_box(1.0), any(buffer!(f32, 30)))?);
    black_box(stopping.best_loss());
    stopping.restore(any_mut(buffer!(f32, 30)))
}
