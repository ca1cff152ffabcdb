//! What the measured programs share.
#![no_std]

use core::hint::spin_loop;
use core::panic::PanicInfo;

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    loop {
        spin_loop();
    }
}

/// A stand-in for a network: `(inputs, outputs, rectified)` for each dense layer.
pub const NET: [(u16, u16, bool); 2] = [(784, 32, true), (32, 10, false)];

pub const WEIGHTS: usize = 784 * 32 + 32 + 32 * 10 + 10;
pub const WORKSPACE: usize = 32;

/// A stand-in for inference.
#[inline(never)]
pub fn forward(weights: &[f32], workspace: &mut [f32], input: &[f32], output: &mut [f32]) {
    let split = dense(NET[0], weights, input, workspace);
    dense(
        NET[1],
        weights.get(split..).unwrap_or_default(),
        workspace,
        output,
    );
}

/// A stand-in for a step of training: moves every weight against the input.
#[inline(never)]
pub fn train(weights: &mut [f32], workspace: &mut [f32], input: &[f32], output: &mut [f32]) {
    forward(weights, workspace, input, output);
    for (weight, x) in weights.iter_mut().zip(input) {
        *weight -= 0.01 * x;
    }
}

fn dense(layer: (u16, u16, bool), weights: &[f32], input: &[f32], output: &mut [f32]) -> usize {
    let (inputs, outputs, rectified) = (layer.0 as usize, layer.1 as usize, layer.2);
    for (unit, y) in output.iter_mut().enumerate().take(outputs) {
        let column = weights.iter().skip(unit).step_by(outputs);
        *y = column
            .zip(input)
            .take(inputs)
            .fold(0.0, |sum, (w, x)| sum + w * x);
        if rectified {
            *y = y.max(0.0);
        }
    }
    (inputs + 1) * outputs
}
