//! Nothing: what every program costs.
#![no_std]
#![no_main]

use core::hint::spin_loop;

use size_firmware as _;

#[unsafe(no_mangle)]
extern "C" fn Reset() -> ! {
    loop {
        spin_loop();
    }
}
