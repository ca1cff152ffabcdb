//! What the measured programs share.
#![no_std]

use core::convert::Infallible;
use core::hint::{black_box, spin_loop};
use core::panic::PanicInfo;

use lightlayers::dataset::{Dataset, Target};
use lightlayers::{Model, Network};

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    loop {
        spin_loop();
    }
}

/// The measured network.
pub struct Net;

impl Model for Net {
    const NET: Network = Network::features(784).light_dense(32, 4).relu().dense(10);
}

pub const NET: Network = Net::NET;

/// Samples that cost no code of their own.
pub struct Samples;

impl Dataset for Samples {
    type Error = Infallible;

    fn len(&self) -> usize {
        black_box(100)
    }

    fn read(
        &mut self,
        index: usize,
        input: &mut [f32],
        target: &mut Target<'_>,
    ) -> Result<(), Infallible> {
        black_box(input);
        target.set_class(index & 7);
        Ok(())
    }
}
