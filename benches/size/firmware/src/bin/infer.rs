//! Inference of one image.
#![no_std]
#![no_main]

use core::hint::black_box;

use lightlayers::Inference;
use size_firmware::{NET, Net};

static mut WEIGHTS: [f32; NET.weights()] = [0.0; NET.weights()];
static mut WORKSPACE: [f32; NET.inference_workspace()] = [0.0; NET.inference_workspace()];
static mut INPUT: [f32; 784] = [0.0; 784];

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
    if let Ok(mut inference) = Inference::new(Net, weights, workspace) {
        while let Ok(output) = inference.run(black_box(input)) {
            black_box(output);
        }
    }
    loop {
        core::hint::spin_loop();
    }
}
