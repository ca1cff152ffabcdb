//! Checkpoints in flash memory: power cuts, worn pages, what is not a checkpoint, the bits after going on.

mod bytes;
mod hostile;
mod misuse;
mod power;
mod read_errors;
mod resume;
mod run;
mod wear;
