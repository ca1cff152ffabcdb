//! Train and run image-sized neural networks on microcontrollers.

#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[cfg(any(test, feature = "std"))]
extern crate std;

pub mod dataset;
mod error;
mod fmt;
mod infer;
mod kernels;
mod layers;
pub mod loss;
pub mod math;
pub mod metrics;
mod network;
pub mod optim;
mod plan;
mod rng;
pub mod schedule;
mod shape;
mod summary;
mod train;
mod workspace;

pub use error::{Buffer, BuildError, Error, Quantity};
pub use infer::Inference;
pub use layers::{CustomBackward, CustomForward, CustomLayer, CustomSizes, Initializer, Op};
pub use network::{Layer, MAX_LAYERS, Network};
pub use plan::{Graph, Model, Plan};
pub use rng::{Permutation, Rng};
pub use shape::Shape;
pub use summary::Summary;
pub use train::{Epoch, Evaluated, Memory, Progress, Trainer};
