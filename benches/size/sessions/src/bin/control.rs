//! Not a session: a program that panics, which the scan must find.
#![no_std]
#![no_main]

use core::hint::black_box;

use size_sessions::{any, program};

program!(run);

fn run() -> u32 {
    any(&[1, 2, 3])[black_box(0)]
}
