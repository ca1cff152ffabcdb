//! A Raspberry Pi Pico trains a network on handwritten digits from scratch: a Cortex-M0+ without floats, at 125 MHz.
//!
//! `cargo run --release` in this folder flashes it, and prints what it logs.

#![no_std]
#![no_main]

use core::convert::Infallible;

use boards_common::digits::{COURSE, Digits, OPTIMIZER, Side};
use boards_common::{Board, Clock, Failure, Outcome, learn, memory};
use cortex_m_rt::entry;
use defmt::{error, info};
use defmt_rtt as _;
use embassy_rp::gpio::{Level, Output};
use embassy_time::{Delay, Instant};
use lightlayers::optim::Momentum;
use lightlayers::{Error, Memory, Model, Network};
use panic_probe as _;
use semihosting::process;
use static_cell::ConstStaticCell;

const NET: Network = Digits::NET;

static WEIGHTS: ConstStaticCell<[f32; NET.weights()]> = ConstStaticCell::new([0.0; _]);
static GRADIENTS: ConstStaticCell<[f32; NET.trainable_weights()]> = ConstStaticCell::new([0.0; _]);
static VELOCITY: ConstStaticCell<[f32; NET.optimizer_state::<Momentum>()]> =
    ConstStaticCell::new([0.0; _]);
static WORKSPACE: ConstStaticCell<[f32; NET.training_workspace(1)]> =
    ConstStaticCell::new([0.0; _]);

/// A Cortex-M0+ does not count its cycles: the chip's timer counts microseconds.
struct Micros;

impl Clock for Micros {
    fn instructions(&mut self) -> u64 {
        Instant::now().as_micros()
    }
}

/// What the demo must reach, checked at its end.
const LEAST_ACCURACY: f32 = 0.94;

#[entry]
fn main() -> ! {
    let stack = memory::paint_stack();
    let reached = match train() {
        Ok(outcome) => {
            let (accuracy, loss) = (outcome.after.accuracy(), outcome.after.loss());
            info!("after training: accuracy {}, loss {}", accuracy, loss);
            info!(
                "microseconds per inference {}, per training step {}",
                outcome.inference, outcome.step
            );
            info!("{}", memory::usage(&stack));
            accuracy >= LEAST_ACCURACY
        }
        Err(failure) => {
            error!("{}", failure);
            false
        }
    };
    defmt::flush();
    // Ends `cargo run`. With no debugger to answer, the chip waits here.
    process::exit(if reached { 0 } else { 1 })
}

fn train() -> Result<Outcome, Failure<Error, Infallible>> {
    let pins = embassy_rp::init(Default::default());
    let mut board = Board {
        led: Output::new(pins.PIN_25, Level::Low),
        delay: Delay,
        clock: Micros,
    };

    let [mut training, mut testing] = Side::both().map_err(Error::widen)?;
    let mut memory = Memory {
        weights: WEIGHTS.take(),
        gradients: GRADIENTS.take(),
        optimizer_state: VELOCITY.take(),
        workspace: WORKSPACE.take(),
    };
    let samples = [&mut training, &mut testing];
    learn(
        Digits,
        OPTIMIZER,
        &COURSE,
        samples,
        &mut memory,
        &mut board,
        |event| {
            info!("{}", event);
        },
    )
}
