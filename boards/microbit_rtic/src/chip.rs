//! The counter of the nRF51822, and the end of the program.

use defmt::error;
use lightlayers::Error;
use nrf51_hal::pac::TIMER0;
use semihosting::process;

/// Starts the timer that counts.
pub fn start(timer: &TIMER0) {
    timer.bitmode.write(|w| w.bitmode()._32bit());
    // Half of its 16 MHz.
    // SAFETY: it takes 0 to 9.
    timer.prescaler.write(|w| unsafe { w.prescaler().bits(1) });
    // SAFETY: a 1 starts it.
    timer.tasks_start.write(|w| unsafe { w.bits(1) });
}

/// Instructions, in QEMU: they take a nanosecond each. Who may interrupt another reads another channel.
pub fn instructions<const CHANNEL: usize>() -> u32 {
    /// Of a count.
    const NANOSECONDS: u32 = 125;
    // SAFETY: a channel's registers are only used by who reads it.
    let timer = unsafe { &*TIMER0::ptr() };
    // SAFETY: a 1 captures.
    timer.tasks_capture[CHANNEL].write(|w| unsafe { w.bits(1) });
    timer.cc[CHANNEL].read().bits().wrapping_mul(NANOSECONDS)
}

/// Ends the program with an error.
pub fn fail<T>(error: Error<Error>) -> T {
    error!("{}", error);
    process::exit(1)
}
