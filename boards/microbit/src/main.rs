//! A BBC micro:bit trains a network on handwritten digits from scratch: a Cortex-M0 without floats, in 16 KB of RAM.
//!
//! `cargo run --release` in this folder runs it in QEMU.

#![no_std]
#![no_main]

use core::convert::Infallible;
use core::panic::PanicInfo;

use boards_common::digits::{COURSE, Digits, OPTIMIZER, Side};
use boards_common::{Board, Clock, Failure, int8, learn, memory};
use cortex_m_rt::entry;
use defmt::{error, info};
use defmt_semihosting as _;
use embedded_hal::delay::DelayNs;
use lightlayers::optim::Momentum;
use lightlayers::{Error, Memory, Model, Network};
use nrf51_hal::gpio::{Level, p0};
use nrf51_hal::pac::{Peripherals, TIMER0};
use nrf51_hal::timer::{Periodic, Timer};
use semihosting::process;
use static_cell::ConstStaticCell;

const NET: Network = Digits::NET;

static WEIGHTS: ConstStaticCell<[f32; NET.weights()]> = ConstStaticCell::new([0.0; _]);
static GRADIENTS: ConstStaticCell<[f32; NET.trainable_weights()]> = ConstStaticCell::new([0.0; _]);
static VELOCITY: ConstStaticCell<[f32; NET.optimizer_state::<Momentum>()]> =
    ConstStaticCell::new([0.0; _]);
static WORKSPACE: ConstStaticCell<[f32; NET.training_workspace(1)]> =
    ConstStaticCell::new([0.0; _]);

/// A timer that counts microseconds, for 71 minutes.
#[derive(Clone, Copy)]
struct Micros<'t>(&'t Timer<TIMER0, Periodic>);

impl Clock for Micros<'_> {
    fn instructions(&mut self) -> u64 {
        1_000 * u64::from(self.0.read())
    }
}

impl DelayNs for Micros<'_> {
    fn delay_ns(&mut self, ns: u32) {
        let start = self.0.read();
        while self.0.read().wrapping_sub(start) < ns.div_ceil(1_000) {}
    }
}

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
    let peripherals = Peripherals::take().ok_or(Error::Empty)?;
    let pins = p0::Parts::new(peripherals.GPIO);
    // The LED in the upper left lights between its row and its column.
    let _column = pins.p0_04.into_push_pull_output(Level::Low);
    let mut timer = Timer::periodic(peripherals.TIMER0);
    timer.start(u32::MAX);
    let mut board = Board {
        led: pins.p0_13.into_push_pull_output(Level::Low),
        delay: Micros(&timer),
        clock: Micros(&timer),
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
