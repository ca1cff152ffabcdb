//! Demos of lightlayers on a chip, for any board: they know it through the traits of `embedded-hal`, a [`Clock`] and a
//! [`Dataset`](lightlayers::dataset::Dataset).
//!
//! They hold no memory of their own: a board's `main` has it in statics, whose lengths are constants of the network.

#![cfg_attr(target_os = "none", no_std)]
#![deny(missing_docs)]

mod clock;
pub mod digits;
pub mod enlarge;
pub mod int8;
mod learn;
pub mod memory;
pub mod personal;
pub mod same_bits;

pub use clock::{Clock, Counter};
pub use learn::{Board, Course, Event, Failure, Outcome, learn};
