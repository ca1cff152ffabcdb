#![no_std]
#![no_main]

use device_firmware::{infer, run};

#[cortex_m_rt::entry]
fn main() -> ! {
    run(|| infer!(Paper))
}
