#![no_std]
#![no_main]

use device_firmware::{run, train};

#[cortex_m_rt::entry]
fn main() -> ! {
    run(|| train!(CnnHead))
}
