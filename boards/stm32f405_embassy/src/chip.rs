//! What the demo wants of the STM32F405: memory, a counter, a timer and a LED.

use core::mem::MaybeUninit;

use boards_common::online::{Factored, OtherHands, Task};
use boards_common::personal::{IMAGE, WEIGHTS};
use cortex_m::peripheral::{SYST, syst::SystClkSource};
use lightlayers::Model;
use stm32f4::stm32f405::{GPIOA, Peripherals, TIM2};

const LEARNED: usize = <OtherHands as Task>::Learning::NET.weights();
const GUESSING: usize = Factored::NET.inference_workspace();

/// Bytes of memory beside the core.
pub const BESIDE_THE_CORE: usize = size_of::<[f32; LEARNED + GUESSING + IMAGE]>();

// The start-up code does not clear them: they are written before they are read.
#[unsafe(link_section = ".ccm")]
static mut WEIGHTS_IN_RAM: MaybeUninit<[f32; LEARNED]> = MaybeUninit::uninit();
#[unsafe(link_section = ".ccm")]
static mut WORKSPACE: MaybeUninit<[f32; GUESSING]> = MaybeUninit::uninit();
#[unsafe(link_section = ".ccm")]
static mut INPUT: MaybeUninit<[f32; IMAGE]> = MaybeUninit::uninit();

/// What `start` gives.
pub struct Chip {
    /// The weights that were trained on MNIST.
    pub weights: &'static mut [f32],
    /// For guesses.
    pub workspace: &'static mut [f32],
    /// For guesses, too.
    pub input: &'static mut [f32],
    pub led: Led,
}

/// Starts the counter.
pub fn start(peripherals: Peripherals) -> Chip {
    let rcc = peripherals.RCC;
    rcc.ahb1enr().modify(|_, w| w.gpioaen().set_bit());
    rcc.apb1enr().modify(|_, w| w.tim2en().set_bit());
    peripherals
        .GPIOA
        .moder()
        .modify(|_, w| w.moder10().output());
    peripherals.TIM2.cr1().write(|w| w.cen().set_bit());

    let (weights, workspace, input) = (&raw mut WEIGHTS_IN_RAM, &raw mut WORKSPACE, &raw mut INPUT);
    // SAFETY: the only borrows, since the peripherals are taken once.
    let (weights, workspace, input) = unsafe { (&mut *weights, &mut *workspace, &mut *input) };
    Chip {
        weights: weights.write(WEIGHTS),
        workspace: workspace.write([0.0; _]),
        input: input.write([0.0; _]),
        led: Led(peripherals.GPIOA),
    }
}

/// Nanoseconds in QEMU, where an instruction takes one; on the chip, the ticks of its clock.
pub fn instructions() -> u32 {
    // SAFETY: reading the counter changes nothing.
    unsafe { &*TIM2::ptr() }.cnt().read().bits()
}

/// An exception every millisecond from now on.
pub fn start_ticks(mut timer: SYST) {
    /// Clocks in a millisecond: QEMU's chip runs at 168 MHz, a real one starts with 16.
    const MILLISECOND: u32 = if cfg!(feature = "chip") {
        16_000
    } else {
        168_000
    };
    timer.set_clock_source(SystClkSource::Core);
    timer.set_reload(MILLISECOND - 1);
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
