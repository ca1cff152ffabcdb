//! Trains three networks, quantizes them, and prints the CRC-32 of their weights, of the quantized ones and of their answers, which must be
//! those of a desktop computer.
//!
//! It is built and run in QEMU, for three processors, by `host-tests/tests/firmware.rs`.

#![no_std]
#![no_main]

use boards_common::same_bits::{self, BLOCKS, DENSE, IMAGES};
use semihosting::{println, process};

#[cfg(target_arch = "arm")]
use cortex_m_rt::entry;
#[cfg(target_arch = "riscv32")]
use riscv_rt::entry;

const ELEMENTS: usize = {
    let larger = if DENSE > IMAGES { DENSE } else { IMAGES };
    if larger > BLOCKS { larger } else { BLOCKS }
};

static mut MEMORY: [f32; ELEMENTS] = [0.0; ELEMENTS];

#[entry]
fn main() -> ! {
    let memory = &raw mut MEMORY;
    // SAFETY: the only borrow, in a function that runs once.
    let memory = unsafe { &mut *memory };
    let networks = [same_bits::dense, same_bits::images, same_bits::blocks];
    for network in networks {
        match network(memory) {
            Ok(checksums) => println!("{checksums}"),
            Err(_) => process::exit(1),
        }
    }
    process::exit(0)
}
