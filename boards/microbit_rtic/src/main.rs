//! A BBC micro:bit guesses digits and learns from what somebody says of its guesses, from nothing: with RTIC, in 16 KB of RAM.
//!
//! `cargo run --release` in this folder runs it in QEMU.

#![no_std]
#![no_main]

mod chip;

use core::panic::PanicInfo;

use boards_common::online::{FromScratch, Task};
use defmt_semihosting as _;
use lightlayers::{Model, Network};
use semihosting::process;

const NET: Network = <FromScratch as Task>::Learning::NET;
const GUESSING: usize = <FromScratch as Task>::Guessing::NET.inference_workspace();

/// Digits, microseconds of a tick, ticks for each digit, and what the demo must reach with them.
const DIGITS: u32 = 1_438;
const TICK: u32 = if cfg!(feature = "chip") { 10_000 } else { 60 };
const PERIOD: u32 = 40;
const LEAST_ACCURACY: f32 = 0.8;
const MOST_RAM: usize = 31 * 512;

#[rtic::app(device = nrf51_hal::pac, peripherals = true)]
mod app {
    use boards_common::memory::{self, Stack};
    use boards_common::online::{Buffers, Demo, Feed, FromScratch, PIXELS, Play, Stage};
    use defmt::info;
    use lightlayers::dataset::{ReplayBuffer, ReplayMemory, Selection};
    use lightlayers::{Error, Memory};
    use nrf51_hal::pac::TIMER1;
    use nrf51_hal::timer::{Periodic, Timer};

    use super::*;
    use crate::chip::{self, fail, instructions};

    static STAGE: Stage = Stage::new();

    #[shared]
    struct Shared {}

    #[local]
    struct Local {
        demo: Demo<'static, FromScratch, fn() -> u32>,
        play: Play<'static>,
        timer: Timer<TIMER1, Periodic>,
        stack: Stack,
    }

    #[init(local = [
        weights: [f32; NET.weights()] = [0.0; NET.weights()],
        gradients: [f32; NET.trainable_weights()] = [0.0; NET.trainable_weights()],
        workspace: [f32; NET.training_workspace(1)] = [0.0; NET.training_workspace(1)],
        guessing: [f32; GUESSING] = [0.0; GUESSING],
        input: [f32; PIXELS] = [0.0; PIXELS],
        old: ReplayMemory<u8, PIXELS, 30, 10> = ReplayMemory::new(),
        feed: Feed<PIXELS, 4> = Feed::new(),
    ])]
    fn init(cx: init::Context) -> (Shared, Local) {
        let stack = memory::paint_stack();
        chip::start(&cx.device.TIMER0);
        let buffers = Buffers {
            learning: Memory {
                weights: cx.local.weights,
                gradients: cx.local.gradients,
                optimizer_state: &mut [],
                workspace: cx.local.workspace,
            },
            guessing: cx.local.guessing,
            input: cx.local.input,
            replay: ReplayBuffer::new(cx.local.old, Selection::ClassBalanced, 1),
        };
        let started = Demo::new(buffers, cx.local.feed, &STAGE, instructions::<0> as _);
        let (demo, source) = started.unwrap_or_else(fail);
        let play = Play::new(&STAGE, source, PERIOD, DIGITS);
        let play = play.map_err(Error::widen).unwrap_or_else(fail);
        let mut timer = Timer::periodic(cx.device.TIMER1);
        timer.enable_interrupt();
        timer.start(TICK);
        let local = Local {
            demo,
            play,
            timer,
            stack,
        };
        (Shared {}, local)
    }

    /// Guesses and learns, when nothing else is to be done.
    #[idle(local = [demo, stack])]
    fn idle(cx: idle::Context) -> ! {
        while !STAGE.is_over() {
            while cx.local.demo.turn().unwrap_or_else(fail) {}
            cortex_m::asm::wfi();
        }
        let report = cx.local.demo.report().unwrap_or_else(fail);
        let usage = memory::usage(cx.local.stack);
        info!("{}\n{}", report, usage);
        let good = report.lost == 0 && report.accuracy[1] >= LEAST_ACCURACY;
        // What a layer takes depends on the numbers, where floats are software.
        let reached = good && report.hold <= report.guess && usage.ram() <= MOST_RAM;
        process::exit(i32::from(!reached))
    }

    /// The sensor, and the pin of the button.
    #[task(binds = TIMER1, local = [play, timer])]
    fn sense(cx: sense::Context) {
        cx.local.timer.reset_event();
        let acted = cx.local.play.tick(instructions::<1>);
        acted.map_err(Error::widen).unwrap_or_else(fail)
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    process::exit(101)
}
