//! All layers that have a program of their own, in its order: here they share the code of their kind.
#![no_std]
#![no_main]

use device_firmware::{infer, run};

#[cortex_m_rt::entry]
fn main() -> ! {
    run(|| {
        infer!(Conv28x28x8);
        infer!(Conv14x14x16);
        infer!(Conv28x28x1);
        infer!(LightConv14x14x16);
        infer!(Dense784);
        infer!(Dense32);
    })
}
