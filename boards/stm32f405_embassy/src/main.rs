//! A network that was trained on MNIST goes on learning from other writers' digits on an STM32F405, beside another task of embassy's.
//!
//! `cargo run --release` in this folder runs it in QEMU.

#![no_std]
#![no_main]

mod chip;

use core::cell::RefCell;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU32, Ordering};

use boards_common::memory::{self, Stack};
use boards_common::online::{Demo, Feed, OtherHands, PIXELS, Play, Report, Stage};
use chip::{Led, fail, instructions};
use cortex_m_rt::exception;
use critical_section::Mutex;
use defmt::info;
use defmt_semihosting as _;
use embassy_executor::Spawner;
use embassy_futures::yield_now;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::signal::Signal;
use lightlayers::Error;
use semihosting::process;
use static_cell::ConstStaticCell;

static FEED: ConstStaticCell<Feed<PIXELS, 8>> = ConstStaticCell::new(Feed::new());
static STAGE: Stage = Stage::new();
static PLAY: Mutex<RefCell<Option<Play<'static>>>> = Mutex::new(RefCell::new(None));

/// From the interrupt to the tasks; to the one that blinks, with the time of the oldest tick that it has not seen.
static SENSED: Signal<CriticalSectionRawMutex, ()> = Signal::new();
static BLINK: Signal<CriticalSectionRawMutex, u32> = Signal::new();
/// How late the latest of its turns was.
static LATEST: AtomicU32 = AtomicU32::new(0);

/// Digits, ticks for each, and what the demo must reach with them.
const DIGITS: u32 = 200;
const PERIOD: u32 = 57;
const LEAST_ACCURACY: f32 = 0.955;
const MOST_RAM: usize = 188 * 1024;

type Learning = Demo<'static, OtherHands, fn() -> u32>;

/// The sensor, and the pin of the button.
#[exception]
fn SysTick() {
    let now = instructions();
    let acted = critical_section::with(|cs| match PLAY.borrow_ref_mut(cs).as_mut() {
        Some(play) => play.tick(instructions),
        None => Ok(()),
    });
    acted.map_err(Error::widen).unwrap_or_else(fail);
    SENSED.signal(());
    if !BLINK.signaled() {
        BLINK.signal(now);
    }
}

/// Guesses and learns until the play is over.
async fn run(demo: &mut Learning) -> Result<Report, Error<Error>> {
    while !STAGE.is_over() {
        while demo.turn()? {
            // The other task's turn.
            yield_now().await;
        }
        SENSED.wait().await;
    }
    let late = LATEST.load(Ordering::Relaxed);
    info!("another task waited for at most {} instructions", late);
    demo.report()
}

#[embassy_executor::task]
async fn learn(mut demo: Learning, stack: Stack) {
    let report = run(&mut demo).await.unwrap_or_else(fail);
    let usage = chip::usage(&stack);
    info!("{}\n{}", report, usage);
    let good = report.lost == 0 && report.accuracy[1] >= LEAST_ACCURACY;
    let reached = good && report.is_bounded() && usage.ram() <= MOST_RAM;
    process::exit(i32::from(!reached))
}

/// Another task, of a higher priority: it has the processor between two parts of a step.
#[embassy_executor::task]
async fn blink(mut led: Led) {
    for lit in [true, false].into_iter().cycle() {
        for _ in 0..10 {
            let ticked = BLINK.wait().await;
            LATEST.fetch_max(instructions().wrapping_sub(ticked), Ordering::Relaxed);
        }
        led.set(lit);
    }
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    start(spawner).unwrap_or_else(fail)
}

fn start(spawner: Spawner) -> Result<(), Error<Error>> {
    let stack = memory::paint_stack();
    let (buffers, led, timer) = chip::start().ok_or(Error::Empty)?;
    let (demo, source) = Demo::new(buffers, FEED.take(), &STAGE, instructions as _)?;
    let play = Play::new(&STAGE, source, PERIOD, DIGITS).map_err(Error::widen)?;
    critical_section::with(|cs| PLAY.replace(cs, Some(play)));
    spawner.spawn(learn(demo, stack).map_err(|_| Error::Empty)?);
    let blink = blink(led).map_err(|_| Error::Empty)?;
    blink.metadata().set_priority(1);
    spawner.spawn(blink);
    chip::start_ticks(timer);
    Ok(())
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    process::exit(101)
}
