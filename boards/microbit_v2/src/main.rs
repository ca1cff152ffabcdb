//! A BBC micro:bit, version 2, trains a network on handwritten digits from scratch: a Cortex-M4F at 64 MHz.
//!
//! `cargo run --release` in this folder flashes it, and prints what it logs.

#![no_std]
#![no_main]

use core::convert::Infallible;

use boards_common::digits::{COURSE, Digits, OPTIMIZER, Side};
use boards_common::{Board, Counter, Failure, Outcome, learn, memory};
use cortex_m::delay::Delay;
use cortex_m::peripheral::DWT;
use cortex_m_rt::entry;
use defmt::{error, info};
use defmt_rtt as _;
use embassy_nrf::gpio::{Level, Output, OutputDrive};
use embassy_nrf::pac::NVMC;
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

/// Cycles per second, from the oscillator that the chip starts with.
const HERTZ: u32 = 64_000_000;

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
                "cycles per inference {}, per training step {}",
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
    let mut core = cortex_m::Peripherals::take().ok_or(Error::Empty)?;
    let pins = embassy_nrf::init(Default::default());
    // The cache of the flash, which is off after a reset.
    NVMC.icachecnf().modify(|w| w.set_cacheen(true));
    // The LED in the upper left lights between its row and its column.
    let _column = Output::new(pins.P0_28, Level::Low, OutputDrive::Standard);
    core.DCB.enable_trace();
    core.DWT.enable_cycle_counter();
    let mut board = Board {
        led: Output::new(pins.P0_21, Level::Low, OutputDrive::Standard),
        delay: Delay::new(core.SYST, HERTZ),
        clock: Counter::new(DWT::cycle_count),
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
