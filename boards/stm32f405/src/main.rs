//! A network that was trained on MNIST learns other writers' digits on an STM32F405: its head alone, its last block, or all of it.
//!
//! `cargo run --release` in this folder runs it in QEMU; with `--features small`, without the training of all layers, in 64 KB of RAM.

#![no_std]
#![no_main]

use core::convert::Infallible;
use core::mem::MaybeUninit;
use core::panic::PanicInfo;

use boards_common::personal::{ALL, Buffers, Demo, HEAD, IMAGE, LAST_BLOCK, Learner, Outcome};
use boards_common::{Counter, Failure, memory};
use cortex_m_rt::entry;
use defmt::{error, info};
use defmt_semihosting as _;
use embedded_hal::digital::{ErrorType, OutputPin};
use lightlayers::Error;
use semihosting::process;
use static_cell::ConstStaticCell;
use stm32f4::stm32f405::{GPIOA, Peripherals};

const SMALL: bool = cfg!(feature = "small");
type Largest = Learner<{ if SMALL { 2 } else { 0 } }>;

/// In the memory beside the core, which the start-up code does not clear: written before it is read.
#[unsafe(link_section = ".ccm")]
static mut WEIGHTS: MaybeUninit<[f32; Largest::WEIGHTS]> = MaybeUninit::uninit();
static DIGIT: ConstStaticCell<[f32; IMAGE]> = ConstStaticCell::new([0.0; _]);
static WORKSPACE: ConstStaticCell<[f32; Largest::WORKSPACE]> = ConstStaticCell::new([0.0; _]);

/// What the demo must reach, checked at its end.
const LEAST_ACCURACY: f32 = 0.93;
const MOST_RAM: usize = if SMALL { 64 * 1024 } else { 176 * 1024 };

/// The LED of the Netduino Plus 2, at PA10.
struct Led(GPIOA);

impl ErrorType for Led {
    type Error = Infallible;
}

impl OutputPin for Led {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.0.bsrr().write(|w| w.br10().set_bit());
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.0.bsrr().write(|w| w.bs10().set_bit());
        Ok(())
    }
}

#[entry]
fn main() -> ! {
    let stack = memory::paint_stack();
    let reached = match personalize() {
        Ok(reached) => {
            let mut usage = memory::usage(&stack);
            usage.statics += size_of::<[f32; Largest::WEIGHTS]>();
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

fn personalize() -> Result<bool, Failure<Infallible, Infallible>> {
    let peripherals = Peripherals::take().ok_or(Error::Empty)?;
    let (rcc, timer) = (peripherals.RCC, peripherals.TIM2);
    rcc.ahb1enr().modify(|_, w| w.gpioaen().set_bit());
    rcc.apb1enr().modify(|_, w| w.tim2en().set_bit());
    peripherals
        .GPIOA
        .moder()
        .modify(|_, w| w.moder10().output());
    timer.cr1().write(|w| w.cen().set_bit());

    let weights = &raw mut WEIGHTS;
    // SAFETY: the only borrow, since the peripherals are taken once.
    let weights = unsafe { &mut *weights };
    let mut demo = Demo {
        buffers: Buffers {
            weights: weights.write([0.0; _]),
            image: DIGIT.take(),
            workspace: WORKSPACE.take(),
        },
        led: Led(peripherals.GPIOA),
        clock: Counter::new(|| timer.cnt().read().bits()),
    };

    let before = demo.before()?;
    info!("before: accuracy {}", before.accuracy);
    info!("before, {}", demo.integers(&before)?);
    let head = demo.learn(&HEAD)?;
    info!("the head learns: {}", head);
    let last_block = demo.learn(&LAST_BLOCK)?;
    info!("the last block and the head learn: {}", last_block);
    let mut reached = is_good(&head) && is_good(&last_block);
    if !SMALL {
        let all = demo.learn(&ALL)?;
        info!("all layers learn: {}", all);
        reached &= is_good(&all);
    }
    Ok(reached)
}

fn is_good(outcome: &Outcome) -> bool {
    outcome.same_bits && outcome.after.accuracy >= LEAST_ACCURACY
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    process::exit(101)
}
