//! What the measured programs share.
#![no_std]

use core::convert::Infallible;
use core::hint::{black_box, spin_loop};
use core::panic::PanicInfo;

use lightlayers::dataset::{Dataset, Target};
use lightlayers::{Model, Network};

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    loop {
        spin_loop();
    }
}

/// A network of vectors.
pub struct Features;

impl Model for Features {
    const NET: Network = Network::features(784).light_dense(32, 4).relu().dense(10);
}

/// Every layer of images, and a shortcut.
pub struct Images;

impl Model for Images {
    const NET: Network = {
        let net = Network::input(16, 16, 1).conv2d(8, 3).batch_norm().relu();
        let body = net.light_conv2d(8, 3, 3).batch_norm().leaky_relu(0.1);
        let net = net.residual(body.depthwise_conv2d(3, 1), net).max_pool2d(2);
        let net = net.separable_conv2d(12, 3).relu6().zero_padding2d(1);
        let net = net
            .average_pool2d(2)
            .conv2d(8, 3)
            .stride(2)
            .tanh()
            .dropout(0.1);
        let body = net.conv2d(8, 1).sigmoid();
        net.residual(body, net)
            .global_average_pool()
            .light_dense(10, 4)
    };
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

/// A program that infers one image after another.
#[macro_export]
macro_rules! infer {
    ($model:ident) => {
        use core::hint::black_box;

        use lightlayers::{Inference, Model, Network};

        const NET: Network = $crate::$model::NET;

        static mut WEIGHTS: [f32; NET.weights()] = [0.0; NET.weights()];
        static mut WORKSPACE: [f32; NET.inference_workspace()] = [0.0; NET.inference_workspace()];
        static mut INPUT: [f32; NET.input_shape().len()] = [0.0; NET.input_shape().len()];

        #[unsafe(no_mangle)]
        extern "C" fn Reset() -> ! {
            // SAFETY: this runs once, alone, and each buffer is borrowed once. The black boxes keep the compiler from knowing that
            // the buffers are zero.
            let (weights, workspace, input) = unsafe {
                (
                    &*black_box(&raw const WEIGHTS),
                    &mut *black_box(&raw mut WORKSPACE),
                    &*black_box(&raw const INPUT),
                )
            };
            if let Ok(mut inference) = Inference::new($crate::$model, weights, workspace) {
                while let Ok(output) = inference.run(black_box(input)) {
                    black_box(output);
                }
            }
            loop {
                core::hint::spin_loop();
            }
        }
    };
}

/// A program that trains by stochastic gradient descent.
#[macro_export]
macro_rules! train {
    ($model:ident) => {
        use core::hint::black_box;

        use lightlayers::loss::SoftmaxCrossEntropy;
        use lightlayers::optim::Sgd;
        use lightlayers::schedule::Constant;
        use lightlayers::{Epoch, Memory, Model, Network, Trainer};

        const NET: Network = $crate::$model::NET;

        static mut WEIGHTS: [f32; NET.weights()] = [0.0; NET.weights()];
        static mut GRADIENTS: [f32; NET.trainable_weights()] = [0.0; NET.trainable_weights()];
        static mut WORKSPACE: [f32; NET.training_workspace(1)] = [0.0; NET.training_workspace(1)];

        #[unsafe(no_mangle)]
        extern "C" fn Reset() -> ! {
            // SAFETY: this runs once, alone, and each buffer is borrowed once. The black boxes keep the compiler from knowing that
            // the buffers are zero.
            let memory = unsafe {
                Memory {
                    weights: &mut *black_box(&raw mut WEIGHTS),
                    gradients: &mut *black_box(&raw mut GRADIENTS),
                    optimizer_state: &mut [],
                    workspace: &mut *black_box(&raw mut WORKSPACE),
                }
            };
            if let Ok(mut trainer) =
                Trainer::new($crate::$model, SoftmaxCrossEntropy::new(), Sgd, memory)
            {
                while let Ok(metrics) = trainer.epoch(
                    &mut $crate::Samples,
                    Epoch::in_order(32),
                    &Constant(0.01),
                    |_| {},
                ) {
                    black_box(metrics);
                }
            }
            loop {
                core::hint::spin_loop();
            }
        }
    };
}
