//! Trains two networks and prints the CRC-32 of their weights, which must be those of a desktop computer.
//!
//! It is built and run in QEMU, for three processors, by `host-tests/tests/firmware.rs`.

#![no_std]
#![no_main]

use boards_common::same_bits::{self, DENSE, IMAGES};
use semihosting::{println, process};

#[cfg(target_arch = "arm")]
use cortex_m_rt::entry;
#[cfg(target_arch = "riscv32")]
use riscv_rt::entry;

const ELEMENTS: usize = if DENSE > IMAGES { DENSE } else { IMAGES };

static mut MEMORY: [f32; ELEMENTS] = [0.0; ELEMENTS];

#[entry]
fn main() -> ! {
    let memory = &raw mut MEMORY;
    // SAFETY: the only borrow, in a function that runs once.
    let memory = unsafe { &mut *memory };
    match (same_bits::dense(memory), same_bits::images(memory)) {
        (Ok(dense), Ok(images)) => {
            println!("{dense:08x} {images:08x}");
            process::exit(0)
        }
        _ => process::exit(1),
    }
}
