#![no_std]
#![no_main]

use device_firmware::{infer_int8, run};

#[cortex_m_rt::entry]
fn main() -> ! {
    run(|| infer_int8!(Int8Paper))
}
