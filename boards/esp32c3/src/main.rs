//! An ESP32-C3 trains a network on handwritten digits from scratch: a RISC-V without floats, at 160 MHz.
//!
//! `cargo run --release` in this folder flashes it, and prints what it logs.

#![no_std]
#![no_main]

use core::convert::Infallible;

use boards_common::digits::{COURSE, Digits, OPTIMIZER, Side};
use boards_common::{Board, Clock, Failure, Outcome, learn};
use defmt::{error, info};
use esp_backtrace as _;
use esp_hal::clock::CpuClock;
use esp_hal::delay::Delay;
use esp_hal::gpio::{Level, Output, OutputConfig};
use esp_hal::time::Instant;
use esp_println as _;
use lightlayers::optim::Momentum;
use lightlayers::{Error, Memory, Model, Network};
use static_cell::ConstStaticCell;

// What the boot loader and `espflash` read of the program.
esp_bootloader_esp_idf::esp_app_desc!();

const NET: Network = Digits::NET;

static WEIGHTS: ConstStaticCell<[f32; NET.weights()]> = ConstStaticCell::new([0.0; _]);
static GRADIENTS: ConstStaticCell<[f32; NET.trainable_weights()]> = ConstStaticCell::new([0.0; _]);
static VELOCITY: ConstStaticCell<[f32; NET.optimizer_state::<Momentum>()]> =
    ConstStaticCell::new([0.0; _]);
static WORKSPACE: ConstStaticCell<[f32; NET.training_workspace(1)]> =
    ConstStaticCell::new([0.0; _]);

/// The system timer.
struct Micros;

impl Clock for Micros {
    fn instructions(&mut self) -> u64 {
        Instant::now().duration_since_epoch().as_micros()
    }
}

/// What the demo must reach, checked at its end.
const LEAST_ACCURACY: f32 = 0.94;

#[esp_hal::main]
fn main() -> ! {
    match train() {
        Ok(outcome) => {
            let (accuracy, loss) = (outcome.after.accuracy(), outcome.after.loss());
            info!("after training: accuracy {}, loss {}", accuracy, loss);
            info!(
                "microseconds per inference {}, per training step {}",
                outcome.inference, outcome.step
            );
            if accuracy < LEAST_ACCURACY {
                error!("expected an accuracy of {}", LEAST_ACCURACY);
            }
        }
        Err(failure) => {
            error!("{}", failure);
        }
    }
    loop {
        core::hint::spin_loop();
    }
}

fn train() -> Result<Outcome, Failure<Error, Infallible>> {
    let pins = esp_hal::init(esp_hal::Config::default().with_cpu_clock(CpuClock::max()));
    let mut board = Board {
        led: Output::new(pins.GPIO10, Level::Low, OutputConfig::default()),
        delay: Delay::new(),
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
