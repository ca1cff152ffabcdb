//! A network that was trained on MNIST goes on learning from other writers' digits on an STM32F405, beside another task of embassy's.
//!
//! `cargo run --release` in this folder runs it in QEMU.

#![no_std]
#![no_main]

mod chip;

use core::cell::RefCell;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU32, Ordering};

use boards_common::digits::Side;
use boards_common::memory::{self, Stack};
use boards_common::online::{
    Demo, Feed, OTHER_HANDS, OtherHands, PIXELS, Parts, Play, Session, Stage, Task, largest_layer,
};
use chip::{Led, instructions};
use cortex_m::peripheral::SYST;
use cortex_m_rt::exception;
use critical_section::Mutex;
use defmt::{error, info};
use defmt_semihosting as _;
use embassy_executor::Spawner;
use embassy_futures::yield_now;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::signal::Signal;
use lightlayers::dataset::{ReplayBuffer, ReplayMemory, Selection};
use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::optim::Sgd;
use lightlayers::{Error, Memory, Model, Network, Trainer};
use semihosting::process;
use static_cell::ConstStaticCell;
use stm32f4::stm32f405::Peripherals;

const NET: Network = <OtherHands as Task>::Learning::NET;

static GRADIENTS: ConstStaticCell<[f32; NET.trainable_weights()]> = ConstStaticCell::new([0.0; _]);
static WORKSPACE: ConstStaticCell<[f32; NET.training_workspace(1)]> =
    ConstStaticCell::new([0.0; _]);
static OLD: ConstStaticCell<ReplayMemory<u8, PIXELS, 60, 10>> =
    ConstStaticCell::new(ReplayMemory::new());
static FEED: ConstStaticCell<Feed<PIXELS, 8>> = ConstStaticCell::new(Feed::new());
static STAGE: Stage = Stage::new();
static PLAY: Mutex<RefCell<Option<Play<'static>>>> = Mutex::new(RefCell::new(None));

/// From the interrupt to the tasks; to the one that blinks, with the time of the oldest tick that it has not seen.
static SENSED: Signal<CriticalSectionRawMutex, ()> = Signal::new();
static BLINK: Signal<CriticalSectionRawMutex, u32> = Signal::new();

/// How late the latest of its turns was.
static LATEST: AtomicU32 = AtomicU32::new(0);

/// Digits, milliseconds for each, and what the demo must reach with them.
const DIGITS: u32 = 300;
const PERIOD: u32 = if cfg!(feature = "chip") { 8_000 } else { 64 };
const LEAST_ACCURACY: f32 = 0.955;

type Learning = Demo<'static, OtherHands, fn() -> u32>;

/// The sensor, and the pin of the button.
#[exception]
fn SysTick() {
    let now = instructions();
    let acted = critical_section::with(|cs| match PLAY.borrow_ref_mut(cs).as_mut() {
        Some(play) => play.tick(instructions),
        None => Ok(()),
    });
    if let Err(error) = acted {
        error!("{}", error);
    }
    SENSED.signal(());
    if !BLINK.signaled() {
        BLINK.signal(now);
    }
}

/// A session with the network from MNIST, and the play that it will learn from.
fn prepare() -> Result<(Learning, SYST, Led), Error<Error>> {
    let core = cortex_m::Peripherals::take().ok_or(Error::Empty)?;
    let chip = chip::start(Peripherals::take().ok_or(Error::Empty)?);
    let memory = Memory {
        weights: chip.weights,
        gradients: GRADIENTS.take(),
        optimizer_state: &mut [],
        workspace: WORKSPACE.take(),
    };
    let learner = Trainer::new(
        OtherHands::LEARNING,
        SoftmaxCrossEntropy::new(),
        Sgd,
        memory,
    );
    let mut learner = learner.map_err(Error::widen)?;
    let [mut digits, _] = Side::both().map_err(Error::widen)?;
    let layer = largest_layer::<OtherHands>(&mut learner, &mut digits, instructions)?;
    let (source, sink) = FEED.take().split(STAGE.button());
    let play = Play::new(&STAGE, source, digits, PERIOD, DIGITS);
    critical_section::with(|cs| PLAY.replace(cs, Some(play)));
    let session = Session::new(Parts {
        learner,
        guessing: chip.workspace,
        input: chip.input,
        replay: ReplayBuffer::new(OLD.take(), Selection::ClassBalanced, 1),
        sink,
        pace: OTHER_HANDS,
    });
    let demo = Demo::new(session, &STAGE, instructions as fn() -> u32, layer);
    Ok((demo, core.SYST, chip.led))
}

/// Guesses and learns until the play is over; true if it was good enough.
async fn run(demo: &mut Learning, timer: SYST) -> Result<bool, Error<Error>> {
    let [_, mut testing] = Side::both().map_err(Error::widen)?;
    let before = demo.accuracy(&mut testing)?;
    chip::start_ticks(timer);
    while !STAGE.is_over() {
        while demo.turn()? {
            // The other task's turn.
            yield_now().await;
        }
        SENSED.wait().await;
    }
    let late = LATEST.load(Ordering::Relaxed);
    let report = demo.report();
    let after = demo.accuracy(&mut testing)?;
    info!("{}", report);
    info!("another task waited for at most {} instructions", late);
    info!("accuracy {} before, {} after", before, after);
    Ok(report.is_bounded() && report.lost == 0 && after >= LEAST_ACCURACY)
}

#[embassy_executor::task]
async fn learn(mut demo: Learning, timer: SYST, stack: Stack) {
    let reached = run(&mut demo, timer).await.unwrap_or_else(|error| {
        error!("{}", error);
        false
    });
    let mut usage = memory::usage(&stack);
    usage.statics += chip::BESIDE_THE_CORE;
    info!("{}", usage);
    process::exit(if reached { 0 } else { 1 })
}

/// Another task: it has the processor between two parts of a step.
#[embassy_executor::task]
async fn blink(mut led: Led) {
    for lit in [true, false].into_iter().cycle() {
        for _ in 0..500 {
            let ticked = BLINK.wait().await;
            LATEST.fetch_max(instructions().wrapping_sub(ticked), Ordering::Relaxed);
        }
        led.set(lit);
    }
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    let stack = memory::paint_stack();
    match prepare() {
        Ok((demo, timer, led)) => {
            if let (Ok(learn), Ok(blink)) = (learn(demo, timer, stack), blink(led)) {
                spawner.spawn(learn);
                spawner.spawn(blink);
            }
        }
        Err(error) => {
            error!("{}", error);
            process::exit(1)
        }
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    process::exit(101)
}
