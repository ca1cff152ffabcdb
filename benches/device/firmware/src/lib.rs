//! What the measured programs share: sessions in static memory, the clock, and one printed line.
#![no_std]
#![forbid(unsafe_code)]

use core::hint::black_box;

use cortex_m::Peripherals;
use cortex_m::peripheral::{SYST, syst::SystClkSource};
use device_nets::{RUNS, Training};
use lightlayers::quant::Int8Inference;
use lightlayers::{Inference, Memory, Model};
use semihosting::{println, process};

#[doc(hidden)]
pub use {device_nets, lightlayers, static_cell};

/// Measures inference of a network whose weights lie in flash.
#[macro_export]
macro_rules! infer {
    ($model:ident) => {{
        use $crate::lightlayers::{Model, Network};
        use $crate::{device_nets, static_cell::ConstStaticCell};

        const NET: Network = device_nets::$model::NET;
        static WEIGHTS: [f32; NET.weights()] = device_nets::weights(&NET);
        static SAMPLE: [f32; NET.input_shape().len()] = device_nets::sample();
        static WORKSPACE: ConstStaticCell<[f32; NET.inference_workspace()]> =
            ConstStaticCell::new([0.0; _]);
        $crate::infer(device_nets::$model, &WEIGHTS, WORKSPACE.take(), &SAMPLE)
    }};
}

/// Measures training steps of a network.
#[macro_export]
macro_rules! train {
    ($model:ident) => {{
        use $crate::lightlayers::optim::HeavyBall;
        use $crate::lightlayers::{Memory, Model, Network};
        use $crate::{device_nets, static_cell::ConstStaticCell};

        const NET: Network = device_nets::$model::NET;
        static WEIGHTS: ConstStaticCell<[f32; NET.weights()]> = ConstStaticCell::new([0.0; _]);
        static GRADIENTS: ConstStaticCell<[f32; NET.trainable_weights()]> =
            ConstStaticCell::new([0.0; _]);
        static STATE: ConstStaticCell<[f32; NET.optimizer_state::<HeavyBall>()]> =
            ConstStaticCell::new([0.0; _]);
        static WORKSPACE: ConstStaticCell<[f32; NET.training_workspace(1)]> =
            ConstStaticCell::new([0.0; _]);
        static SAMPLE: [f32; NET.input_shape().len()] = device_nets::sample();
        let memory = Memory {
            weights: WEIGHTS.take(),
            gradients: GRADIENTS.take(),
            optimizer_state: STATE.take(),
            workspace: WORKSPACE.take(),
        };
        $crate::train(device_nets::$model, memory, &SAMPLE)
    }};
}

/// Measures inference of a quantized network whose weights lie in flash.
#[macro_export]
macro_rules! infer_int8 {
    ($model:ident) => {{
        use $crate::lightlayers::{Model, Network};
        use $crate::{device_nets, static_cell::ConstStaticCell};

        const NET: Network = device_nets::$model::NET;
        static WEIGHTS: [u32; NET.quantized_weights()] = device_nets::words_of(include_bytes!(
            concat!(env!("OUT_DIR"), "/", stringify!($model))
        ));
        static SAMPLE: [i8; NET.input_shape().len()] = device_nets::int8_sample();
        static WORKSPACE: ConstStaticCell<[u32; NET.quantized_workspace()]> =
            ConstStaticCell::new([0; _]);
        $crate::infer_int8(device_nets::$model, &WEIGHTS, WORKSPACE.take(), &SAMPLE)
    }};
}

/// What is measured.
///
/// Not a closure: the table of one has its code twice.
pub trait Work {
    /// Does it once, and returns what it computed.
    fn run(&mut self) -> Outputs<'_>;
}

/// What work computes.
pub enum Outputs<'a> {
    /// Real numbers.
    Reals(&'a [f32]),
    /// Those of a quantized network.
    Integers(&'a [i8]),
}

struct Infer<'a, M> {
    inference: Inference<'a, M>,
    sample: &'a [f32],
}

impl<M: Model> Work for Infer<'_, M> {
    fn run(&mut self) -> Outputs<'_> {
        match self.inference.run(self.sample) {
            Ok(outputs) => Outputs::Reals(outputs),
            Err(_) => fail("inference failed"),
        }
    }
}

struct InferInt8<'a, M> {
    inference: Int8Inference<'a, M>,
    sample: &'a [i8],
}

impl<M: Model> Work for InferInt8<'_, M> {
    fn run(&mut self) -> Outputs<'_> {
        match self.inference.run(self.sample) {
            Ok(outputs) => Outputs::Integers(outputs),
            Err(_) => fail("inference failed"),
        }
    }
}

struct Train<'a, M> {
    training: Training<'a, M>,
    sample: &'a [f32],
}

impl<M: Model> Work for Train<'_, M> {
    fn run(&mut self) -> Outputs<'_> {
        match device_nets::step(&mut self.training, self.sample) {
            Ok(_) => Outputs::Reals(self.training.weights()),
            Err(_) => fail("training failed"),
        }
    }
}

/// For counting alone.
struct Nothing;

impl Work for Nothing {
    fn run(&mut self) -> Outputs<'_> {
        Outputs::Reals(&[])
    }
}

/// Measures inference.
pub fn infer<M: Model>(model: M, weights: &[f32], workspace: &mut [f32], sample: &[f32]) {
    let Ok(inference) = Inference::new(model, weights, workspace) else {
        fail("a buffer has a wrong length")
    };
    measure(&mut Infer { inference, sample });
}

/// Measures inference of a quantized network.
pub fn infer_int8<M: Model>(model: M, weights: &[u32], workspace: &mut [u32], sample: &[i8]) {
    let Ok(inference) = Int8Inference::new(model, weights, workspace) else {
        fail("a buffer has a wrong length")
    };
    measure(&mut InferInt8 { inference, sample });
}

/// Measures steps of training.
pub fn train<M: Model>(model: M, memory: Memory<'_>, sample: &[f32]) {
    device_nets::fill_weights(&M::NET, memory.weights);
    let Ok(training) = device_nets::training(model, memory) else {
        fail("a buffer has a wrong length")
    };
    measure(&mut Train { training, sample });
}

/// Starts the clock for measurements, and ends the program after them.
pub fn run(measurements: impl FnOnce()) -> ! {
    let Some(peripherals) = Peripherals::take() else {
        fail("the clock is in use")
    };
    let mut clock = peripherals.SYST;
    clock.set_clock_source(SystClkSource::Core);
    clock.set_reload(CLOCK_MASK);
    clock.clear_current();
    clock.enable_counter();
    measurements();
    process::exit(0)
}

/// Does the work several times and once more, and prints what the host reads.
pub fn measure(work: &mut dyn Work) {
    // The compiler shall know neither the values nor which work it is: it would have a copy for each call.
    let work = black_box(work);
    let counting = ticks(&mut Nothing);
    let instructions = ticks(work) - counting;
    let stack = cortex_m_stack::stack_size() - cortex_m_stack::stack_painted();
    let checksum = match work.run() {
        Outputs::Reals(values) => device_nets::checksum(values),
        Outputs::Integers(values) => {
            device_nets::checksum_of_bytes(values.iter().map(|value| *value as u8))
        }
    };
    print(instructions, stack, checksum);
}

/// The clock has 24 bits, and counts down.
const CLOCK_MASK: u32 = 0x00ff_ffff;

/// The ticks of all runs. One run may take as many as the clock has; all together may take more.
///
/// The same code for any work, so that what counting takes is the same, too.
#[inline(never)]
fn ticks(work: &mut dyn Work) -> u32 {
    let mut sum = 0;
    let mut last = SYST::get_current();
    for _ in 0..black_box(RUNS) {
        work.run();
        let now = SYST::get_current();
        sum += last.wrapping_sub(now) & CLOCK_MASK;
        last = now;
    }
    sum
}

// Not inlined, so that what printing has on the stack is not measured.

#[inline(never)]
fn print(instructions: u32, stack: u32, checksum: u32) {
    println!("instructions {instructions} stack {stack} checksum {checksum}");
}

#[inline(never)]
fn fail(why: &str) -> ! {
    println!("{why}");
    process::exit(1)
}
