//! The library with its features.

use lightlayers as library;

#[path = "run.rs"]
pub(crate) mod run;
