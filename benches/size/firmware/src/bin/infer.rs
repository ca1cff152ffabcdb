//! Inference of one image.
#![no_std]
#![no_main]

use core::hint::black_box;

use size_firmware::{WEIGHTS, WORKSPACE, forward};

static mut WEIGHT_BUFFER: [f32; WEIGHTS] = [0.0; WEIGHTS];
static mut WORKSPACE_BUFFER: [f32; WORKSPACE] = [0.0; WORKSPACE];
static mut INPUT: [f32; 784] = [0.0; 784];
static mut OUTPUT: [f32; 10] = [0.0; 10];

#[unsafe(no_mangle)]
extern "C" fn Reset() -> ! {
    // SAFETY: this runs once, alone, and each buffer is borrowed once. The black boxes keep the compiler from knowing that
    // the buffers are zero.
    let (weights, workspace, input, output) = unsafe {
        (
            &*black_box(&raw mut WEIGHT_BUFFER),
            &mut *black_box(&raw mut WORKSPACE_BUFFER),
            &*black_box(&raw const INPUT),
            &mut *black_box(&raw mut OUTPUT),
        )
    };
    loop {
        forward(weights, workspace, input, output);
        black_box(&mut *output);
    }
}
