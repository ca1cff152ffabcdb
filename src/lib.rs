//! Train and run image-sized neural networks on microcontrollers: `no_std`, no allocator, a few kilobytes of static memory, and the
//! same bits on a desktop and on a Cortex-M0.
//!
//! # The idea: a network is a constant
//!
//! A [`Network`] is a `const` value that is built by `const fn` calls. Shapes are inferred and checked while compiling; the
//! length of every buffer is a constant; a repeated block is a function; layers that a network does not use are not linked.
//!
//! The crate's own layers are factored, after the paper LightLayers (Jha et al., arXiv 2101.02268): [`Network::light_dense`] is a fully
//! connected layer whose kernel is the product of two thin ones, and [`Network::light_conv2d`] two thin convolutions in a row, with 2
//! to 7 times fewer weights. [`paper`] has its networks; [`Network`] lists all layers.
//!
//! # A tour
//!
//! A network for the 8x8 handwritten digits that the repository ships, and its memory, checked while compiling:
//!
//! ```
//! use lightlayers::dataset::{Holdout, PackedImages};
//! use lightlayers::loss::SoftmaxCrossEntropy;
//! use lightlayers::optim::Adam;
//! use lightlayers::schedule::Constant;
//! use lightlayers::{Epoch, Inference, Memory, Model, Network, Trainer};
//!
//! struct Digits;
//!
//! impl Model for Digits {
//!     const NET: Network = Network::input(8, 8, 1).flatten().light_dense(16, 6).relu().dense(10);
//! }
//!
//! const NET: Network = Digits::NET;
//! const _: () = assert!(4 * (NET.training_workspace(1) + 4 * NET.weights()) <= 16 * 1024, "it trains in 16 KB");
//!
//! // All memory is yours: arrays here, statics in firmware.
//! let mut weights = [0.0; NET.weights()];
//! let mut gradients = [0.0; NET.trainable_weights()];
//! let mut optimizer_state = [0.0; NET.optimizer_state::<Adam>()];
//! let mut workspace = [0.0; NET.training_workspace(1)];
//!
//! // The samples lie in flash and are read in place; every fifth is for testing.
//! # let bytes = include_bytes!("../examples/data/digits.bin");
//! let digits = PackedImages::new(bytes)?;
//!
//! let memory = Memory {
//!     weights: &mut weights,
//!     gradients: &mut gradients,
//!     optimizer_state: &mut optimizer_state,
//!     workspace: &mut workspace,
//! };
//! let mut trainer = Trainer::new(Digits, SoftmaxCrossEntropy::new(), Adam::new(), memory)?;
//! trainer.initialize(1)?;
//! for seed in 0..10 {
//!     let epoch = Epoch::shuffled(32, seed);
//!     trainer.epoch(&mut Holdout::training(digits, 5)?, epoch, &Constant(0.03), |_| {})?;
//! }
//! let metrics = trainer.evaluate(&mut Holdout::testing(digits, 5)?, |_| {})?;
//! assert!(metrics.accuracy() > 0.9);
//!
//! // Inference needs the weights, which may lie in flash, and a smaller workspace.
//! let mut workspace = [0.0; NET.inference_workspace()];
//! let mut inference = Inference::new(Digits, &weights, &mut workspace)?;
//! let logits = inference.run(&[0.0; 64])?;
//! assert_eq!(logits.len(), 10);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! From the host that trained it to the chip that runs it a network goes in a model [`file`](mod@file). A chip that trains saves
//! checkpoints in its flash memory with the feature `embedded-storage`: after a power cut, training goes on to the same bits. A
//! network that is only known at run time, in a loop over ranks or from a file, runs through a [`Plan`]. A layer of your own is a
//! [`CustomLayer`]; samples of your own are a [`Dataset`](dataset::Dataset). A network that goes on learning keeps old ones in a
//! [`ReplayBuffer`](dataset::ReplayBuffer).
//!
//! # Memory
//!
//! | buffer | elements | lives |
//! |---|---|---|
//! | weights | [`Network::weights`] | RAM while training, else flash |
//! | workspace of inference | [`Network::inference_workspace`] | RAM |
//! | workspace of training | [`Network::training_workspace`], for as many samples as are worked on at once | RAM |
//! | gradients | [`Network::trainable_weights`] | RAM |
//! | state of the optimizer | [`Network::optimizer_state`] | RAM |
//!
//! Elements are `f32`. [`Network::summary`] prints all of them. Nothing else is needed: nothing allocates, sessions are small handles,
//! and those of a [`Model`] have no large stack frame; building or planning a network at run time has (see [`Plan`]). A minibatch
//! may have any number of samples with a workspace for one: they are worked on in parts, and the bits are the same.
//!
//! # The same bits
//!
//! With default features, `std` and `parallel`, the same seed, data and network give bit-identical weights on every target, with any
//! vector instructions and any number of threads: the terms of a sum are added one after another in a documented order, with separate
//! multiplications and additions, and transcendental functions come from `libm`.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | (none) | everything above: `no_std`, no allocator |
//! | `std` | kernels pick the widest vectors of the processor at run time (`Vectors`) |
//! | `parallel` | threads through rayon |
//! | `embedded-storage` | checkpoints of training in flash memory that survive power cuts (`checkpoint`) |
//! | `defmt` | `defmt::Format` on public types |
//! | `micromath` | smaller, less accurate transcendental functions; other bits than without it |

#![no_std]
#![cfg_attr(not(lightlayers_dsp), forbid(unsafe_code))]
#![deny(unsafe_code)]
#![deny(missing_docs)]

#[cfg(any(test, feature = "std"))]
extern crate std;

#[cfg(feature = "embedded-storage")]
pub mod checkpoint;
pub mod dataset;
mod error;
pub mod file;
mod fmt;
mod fold;
mod infer;
mod kernels;
mod layers;
pub mod loss;
pub mod math;
pub mod metrics;
mod network;
pub mod optim;
pub mod paper;
mod plan;
pub mod quant;
mod rng;
pub mod schedule;
mod shape;
mod slices;
mod split;
mod summary;
mod train;
mod workspace;

pub use error::{Buffer, BuildError, Error, Quantity};
pub use infer::Inference;
#[cfg(feature = "std")]
pub use kernels::Vectors;
pub use layers::{
    Border, CustomBackward, CustomForward, CustomLayer, CustomSizes, Initializer, Op, Padding,
    WindowSize,
};
pub use network::{Layer, MAX_ELEMENTS, MAX_LAYERS, Network};
pub use plan::{Graph, Model, Plan};
pub use rng::{Permutation, Rng};
pub use shape::Shape;
pub use summary::Summary;
pub use train::{Epoch, Evaluated, Memory, PartialStep, Progress, Trainer};
