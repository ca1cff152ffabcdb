//! Epochs of stochastic gradient descent.
#![no_std]
#![no_main]

use core::hint::black_box;

use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::optim::Sgd;
use lightlayers::schedule::Constant;
use lightlayers::{Epoch, Memory, Trainer};
use size_firmware::{NET, Net, Samples};

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
    if let Ok(mut trainer) = Trainer::new(Net, SoftmaxCrossEntropy::new(), Sgd, memory) {
        while let Ok(metrics) =
            trainer.epoch(&mut Samples, Epoch::in_order(32), &Constant(0.01), |_| {})
        {
            black_box(metrics);
        }
    }
    loop {
        core::hint::spin_loop();
    }
}
