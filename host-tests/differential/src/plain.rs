//! The library without features.

use lightlayers_plain as library;

#[path = "run.rs"]
pub(crate) mod run;
