//! What the programs share, each of which uses one session of the library.
#![no_std]

use core::convert::Infallible;
use core::fmt::{self, Display, Write};
use core::hint::{black_box, spin_loop};
use core::panic::PanicInfo;

use lightlayers::dataset::{Dataset, Target};
use lightlayers::{
    CustomBackward, CustomForward, CustomLayer, CustomSizes, Initializer, Model, Network, Padding,
    Plan,
};

/// Looks at where it comes from: otherwise the compiler leaves that out, and the scan cannot tell.
#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    black_box(info.location());
    loop {
        spin_loop();
    }
}

/// A program that calls a function for ever. Its error counts as used.
#[macro_export]
macro_rules! program {
    ($run:expr) => {
        #[unsafe(no_mangle)]
        extern "C" fn Reset() -> ! {
            loop {
                let _ = core::hint::black_box($run());
            }
        }
    };
}

/// A mutable buffer in static memory. The compiler does not know what it holds.
#[macro_export]
macro_rules! buffer {
    ($type:ty, $len:expr) => {
        $crate::buffer!($type, $len, 0 as $type)
    };
    ($type:ty, $len:expr, $value:expr) => {{
        static mut BUFFER: [$type; $len] = [$value; $len];
        // SAFETY: a program has one thread, and has dropped the session by the time it comes here again.
        unsafe { &mut *core::hint::black_box(&raw mut BUFFER) }
    }};
}

/// The memory of a trainer.
#[macro_export]
macro_rules! memory {
    ($net:expr, $optimizer:ty, $batch:expr) => {
        lightlayers::Memory {
            weights: $crate::buffer!(f32, $net.weights()),
            gradients: $crate::buffer!(f32, $net.trainable_weights()),
            optimizer_state: $crate::buffer!(f32, $net.optimizer_state::<$optimizer>()),
            workspace: $crate::buffer!(f32, $net.training_workspace($batch)),
        }
    };
}

/// A slice whose length the compiler does not know.
pub fn any<T>(slice: &[T]) -> &[T] {
    let len = black_box(slice.len());
    slice.get(..len).unwrap_or_default()
}

/// As [`any`], mutable.
pub fn any_mut<T>(slice: &mut [T]) -> &mut [T] {
    let len = black_box(slice.len());
    slice.get_mut(..len).unwrap_or_default()
}

/// A network of vectors.
#[derive(Clone, Copy)]
pub struct Features;

impl Model for Features {
    const NET: Network = Network::features(20)
        .light_dense(12, 4)
        .kernel_initializer(Initializer::HeNormal)
        .relu()
        .dense(8)
        .l2(1e-4);
}

/// Every layer of images, and shortcuts.
#[derive(Clone, Copy)]
pub struct Images;

impl Model for Images {
    const NET: Network = {
        let net = Network::input(16, 16, 1).conv2d(8, 3).batch_norm().relu();
        let body = net.light_conv2d(8, 3, 3).batch_norm().leaky_relu(0.1);
        let net = net.residual(body.depthwise_conv2d(3, 1), net).max_pool2d(2);
        let net = net.separable_conv2d(12, 3).relu6().zero_padding2d(1);
        let net = net.average_pool2d(2).conv2d(8, 3).stride(2);
        let net = net.padding(Padding::Valid).tanh().dropout(0.1);
        let net = net.conv2d(8, 2).dilation(2).padding(Padding::Same);
        let body = net.conv2d(8, 1).bias(false).sigmoid();
        let net = net.residual(body, net).depthwise_conv2d(2, 2);
        net.global_average_pool().light_dense(10, 4)
    };
}

/// Every layer that images do not have.
#[derive(Clone, Copy)]
pub struct Others;

impl Model for Others {
    const NET: Network = {
        let net = Network::input(6, 6, 2).conv2d(4, 3).frozen().max_pool2d(3);
        let net = net.dilation(1).flatten().dense(6).softmax().batch_norm();
        let sizes = CustomSizes {
            output: net.output_shape(),
            weights: 1,
            saved: 0,
        };
        net.custom(&Scale, sizes)
    };
}

/// A network that can be quantized, of every layer that can.
#[derive(Clone, Copy)]
pub struct Quantizable;

impl Model for Quantizable {
    const NET: Network = {
        let net = Images::NET.fold_batch_norm().split_factors();
        net.leaky_relu(0.1)
    };
}

/// The other half of the layers that can be quantized.
#[derive(Clone, Copy)]
pub struct QuantizableVectors;

impl Model for QuantizableVectors {
    const NET: Network = Network::input(4, 4, 3)
        .global_max_pool()
        .dense(6)
        .tanh()
        .dense(4)
        .softmax();
}

/// A plan that is in flash memory and read at run time.
pub fn plan() -> &'static Plan {
    static PLAN: Plan = Plan::new(&Images::NET);
    black_box(&PLAN)
}

/// As [`plan`], of a network that can be quantized.
pub fn quantizable_plan() -> &'static Plan {
    static PLAN: Plan = Plan::new(&Quantizable::NET);
    black_box(&PLAN)
}

/// `y = weight · x`.
#[derive(Debug)]
pub struct Scale;

impl CustomLayer for Scale {
    fn name(&self) -> &'static str {
        "scale"
    }

    fn forward(&self, pass: CustomForward<'_>) {
        let weight = pass.weights.first().copied().unwrap_or_default();
        for (y, x) in pass.output.iter_mut().zip(pass.input) {
            *y = weight * x;
        }
    }

    fn backward_weights(&self, pass: CustomBackward<'_>, gradients: &mut [f32]) {
        for gradient in gradients {
            for (x, dy) in pass.input.iter().zip(pass.output_gradient) {
                *gradient += x * dy;
            }
        }
    }

    fn backward_input(&self, pass: CustomBackward<'_>, gradient: &mut [f32]) {
        let weight = pass.weights.first().copied().unwrap_or_default();
        for (dx, dy) in gradient.iter_mut().zip(pass.output_gradient) {
            *dx = weight * dy;
        }
    }
}

/// Samples that cost no code of their own.
pub struct Samples;

impl Dataset for Samples {
    type Error = Infallible;

    fn len(&self) -> usize {
        black_box(100)
    }

    fn read(
        &mut self,
        index: usize,
        input: &mut [f32],
        target: &mut Target<'_>,
    ) -> Result<(), Infallible> {
        black_box(input);
        target.set_class(index & 7);
        Ok(())
    }
}

/// Formats a value, into nothing.
pub fn show(value: impl Display) -> fmt::Result {
    struct Nothing;

    impl Write for Nothing {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            black_box(text);
            Ok(())
        }
    }

    write!(Nothing, "{value}")
}
