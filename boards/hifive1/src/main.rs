//! A HiFive1 trains the network of the micro:bit, from the same seed: a RISC-V without floats, in 16 KB of RAM.
//! Its bits are the same, and so are the accuracies and losses that it prints.
//!
//! `cargo run --release` in this folder runs it in QEMU.

#![no_std]
#![no_main]

use core::convert::Infallible;
use core::panic::PanicInfo;

use boards_common::digits::{COURSE, Digits, OPTIMIZER, Side};
use boards_common::{Board, Clock, Failure, int8, learn, memory};
use defmt::{error, info};
use defmt_semihosting as _;
use e310x_hal::DeviceResources;
use lightlayers::optim::Momentum;
use lightlayers::{Error, Memory, Model, Network};
use riscv::delay::McycleDelay;
use riscv::register::minstret;
use riscv_rt::entry;
use semihosting::process;
use static_cell::ConstStaticCell;

const NET: Network = Digits::NET;

static WEIGHTS: ConstStaticCell<[f32; NET.weights()]> = ConstStaticCell::new([0.0; _]);
static GRADIENTS: ConstStaticCell<[f32; NET.trainable_weights()]> = ConstStaticCell::new([0.0; _]);
static VELOCITY: ConstStaticCell<[f32; NET.optimizer_state::<Momentum>()]> =
    ConstStaticCell::new([0.0; _]);
static WORKSPACE: ConstStaticCell<[f32; NET.training_workspace(1)]> =
    ConstStaticCell::new([0.0; _]);

/// The processor counts its instructions.
struct Instructions;

impl Clock for Instructions {
    fn instructions(&mut self) -> u64 {
        minstret::read64() as u64
    }
}

/// Cycles per second from the oscillator that the board starts with.
const HERTZ: u32 = 13_800_000;

/// What the demo must reach, checked at its end.
const LEAST_ACCURACY: f32 = 0.94;
const LEAST_TIMES_IN_TENTHS: u64 = 80;
const MOST_RAM: usize = 15 * 1024;

#[entry]
fn main() -> ! {
    let stack = memory::paint_stack();
    let reached = match train() {
        Ok(reached) => {
            let usage = memory::usage(&stack);
            info!("{}", usage);
            reached && usage.ram() <= MOST_RAM
        }
        Err(failure) => {
            error!("{}", failure);
            false
        }
    };
    process::exit(if reached { 0 } else { 1 })
}

/// Learns in `f32`, and goes on in integers; true if both are good enough.
fn train() -> Result<bool, Failure<Error, Infallible>> {
    let peripherals = DeviceResources::take().ok_or(Error::Empty)?;
    let mut board = Board {
        led: peripherals.pins.pin19.into_output(),
        delay: McycleDelay::new(HERTZ),
        clock: Instructions,
    };

    let [mut training, mut testing] = Side::both().map_err(Error::widen)?;
    let mut memory = Memory {
        weights: WEIGHTS.take(),
        gradients: GRADIENTS.take(),
        optimizer_state: VELOCITY.take(),
        workspace: WORKSPACE.take(),
    };
    let learned = learn(
        Digits,
        OPTIMIZER,
        &COURSE,
        [&mut training, &mut testing],
        &mut memory,
        &mut board,
        |event| info!("{}", event),
    )?;
    info!("{}", learned);

    let samples = [&mut training, &mut testing];
    let clock = &mut board.clock;
    let integers = int8::quantize(Digits, samples, &mut memory, learned.inference, clock)?;
    info!("{}", integers);
    let accuracy = learned.after.accuracy().min(integers.accuracy);
    Ok(accuracy >= LEAST_ACCURACY && integers.times_in_tenths() >= LEAST_TIMES_IN_TENTHS)
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    process::exit(101)
}
