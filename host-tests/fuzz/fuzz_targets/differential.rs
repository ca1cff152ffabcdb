//! A random network, made from any bytes, has the same bits however it is run.

#![no_main]

use differential::{Choices, compare};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Err(difference) = compare(&mut Choices::Bytes(bytes)) {
        panic!("{difference}");
    }
});
