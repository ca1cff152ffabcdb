//! What the examples share on the host: the digits, a progress bar, pictures in the terminal and in files.

#![allow(dead_code, reason = "each example uses its own part")]

pub mod bar;
pub mod chart;
pub mod digits;
pub mod experiment;
pub mod files;
pub mod model;
pub mod shades;
pub mod shifted;
