//! No network: what every program costs, and a loop that shows that the clock counts instructions.
#![no_std]
#![no_main]

use cortex_m::asm;
use device_firmware::{Outputs, Work, measure, run};

struct Loop;

impl Work for Loop {
    fn run(&mut self) -> Outputs<'_> {
        // 10,001 times two instructions.
        asm::delay(10_000);
        Outputs::Reals(&[])
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    run(|| measure(&mut Loop))
}
