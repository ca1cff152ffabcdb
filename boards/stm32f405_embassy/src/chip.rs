//! What the demo wants of the STM32F405: memory, a counter, a timer and a LED.

use core::mem::MaybeUninit;

use boards_common::memory::{self, Stack, Usage};
use boards_common::online::{Buffers, Factored, OtherHands, PIXELS, Task};
use boards_common::personal::{IMAGE, WEIGHTS};
use cortex_m::peripheral::{SYST, syst::SystClkSource};
use defmt::error;
use lightlayers::dataset::{ReplayBuffer, ReplayMemory, Selection};
use lightlayers::{Error, Memory, Model, Network};
use semihosting::process;
use static_cell::ConstStaticCell;
use stm32f4::stm32f405::{GPIOA, Peripherals, TIM2};

const NET: Network = <OtherHands as Task>::Learning::NET;
const GUESSING: usize = Factored::NET.inference_workspace();

/// Bytes of memory beside the core.
const BESIDE_THE_CORE: usize = size_of::<[f32; NET.weights() + GUESSING + IMAGE]>();

// The start-up code does not clear them: they are written before they are read.
#[unsafe(link_section = ".ccm")]
static mut LEARNED: MaybeUninit<[f32; NET.weights()]> = MaybeUninit::uninit();
#[unsafe(link_section = ".ccm")]
static mut GUESS: MaybeUninit<[f32; GUESSING]> = MaybeUninit::uninit();
#[unsafe(link_section = ".ccm")]
static mut INPUT: MaybeUninit<[f32; IMAGE]> = MaybeUninit::uninit();

static GRADIENTS: ConstStaticCell<[f32; NET.trainable_weights()]> = ConstStaticCell::new([0.0; _]);
static WORKSPACE: ConstStaticCell<[f32; NET.training_workspace(1)]> =
    ConstStaticCell::new([0.0; _]);
static OLD: ConstStaticCell<ReplayMemory<u8, PIXELS, 60, 10>> =
    ConstStaticCell::new(ReplayMemory::new());

/// Starts the counter, and lends the memory: with the weights that were trained on MNIST.
pub fn start() -> Option<(Buffers<'static>, Led, SYST)> {
    let core = cortex_m::Peripherals::take()?;
    let peripherals = Peripherals::take()?;
    let rcc = peripherals.RCC;
    rcc.ahb1enr().modify(|_, w| w.gpioaen().set_bit());
    rcc.apb1enr().modify(|_, w| w.tim2en().set_bit());
    let gpio = peripherals.GPIOA;
    gpio.moder().modify(|_, w| w.moder10().output());
    peripherals.TIM2.cr1().write(|w| w.cen().set_bit());

    let (weights, guessing, input) = (&raw mut LEARNED, &raw mut GUESS, &raw mut INPUT);
    // SAFETY: the only borrows, since the peripherals are taken once.
    let (weights, guessing, input) = unsafe { (&mut *weights, &mut *guessing, &mut *input) };
    let buffers = Buffers {
        learning: Memory {
            weights: weights.write(WEIGHTS),
            gradients: GRADIENTS.take(),
            optimizer_state: &mut [],
            workspace: WORKSPACE.take(),
        },
        guessing: guessing.write([0.0; _]),
        input: input.write([0.0; _]),
        replay: ReplayBuffer::new(OLD.take(), Selection::ClassBalanced, 1),
    };
    Some((buffers, Led(gpio), core.SYST))
}

/// Nanoseconds in QEMU, where an instruction takes one; on the chip, the ticks of its clock.
pub fn instructions() -> u32 {
    // SAFETY: reading the counter changes nothing.
    unsafe { &*TIM2::ptr() }.cnt().read().bits()
}

/// An exception in every tick from now on: a millisecond in QEMU, whose chip runs at 168 MHz; a tenth of a second on the chip, which
/// starts with 16.
pub fn start_ticks(mut timer: SYST) {
    const CLOCKS: u32 = if cfg!(feature = "chip") {
        1_600_000
    } else {
        168_000
    };
    timer.set_clock_source(SystClkSource::Core);
    timer.set_reload(CLOCKS - 1);
    timer.clear_current();
    timer.enable_counter();
    timer.enable_interrupt();
}

/// The LED of the Netduino Plus 2, at PA10.
pub struct Led(GPIOA);

impl Led {
    pub fn set(&mut self, lit: bool) {
        self.0.bsrr().write(|w| {
            if lit {
                w.bs10().set_bit()
            } else {
                w.br10().set_bit()
            }
        });
    }
}

/// What the program takes, the memory beside the core included.
pub fn usage(stack: &Stack) -> Usage {
    let mut usage = memory::usage(stack);
    usage.statics += BESIDE_THE_CORE;
    usage
}

/// Ends the program with an error.
pub fn fail<T>(error: Error<Error>) -> T {
    error!("{}", error);
    process::exit(1)
}
