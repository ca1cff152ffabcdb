//! All quantized layers that have a program of their own, in its order.
#![no_std]
#![no_main]

use device_firmware::{infer_int8, run};

#[cortex_m_rt::entry]
fn main() -> ! {
    run(|| {
        infer_int8!(Conv28x28x8);
        infer_int8!(Conv14x14x16);
        infer_int8!(Conv28x28x1);
        infer_int8!(Int8LightConv14x14x16);
        infer_int8!(Dense784);
        infer_int8!(Dense32);
        infer_int8!(MaxPool28x28x8);
    })
}
