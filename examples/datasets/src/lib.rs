//! The data sets of the examples: MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100, from their own files into training.
//!
//! This crate is for hosts: it reads files and allocates. The library does not depend on it; only its examples and tests do.
//! The files come with `cargo run --release --example fetch_data -- mnist DIR`.
//!
//! | you want | here |
//! |---|---|
//! | a data set that lies in a folder | [`mnist`], [`fashion_mnist`], [`cifar10`], [`cifar100`] |
//! | a part of one: validation images, a quick trial | [`Subset`] |
//! | other images in every epoch | [`Augmented`] |
//! | the official files, downloaded and verified | [`Fetcher`], [`Set::archives`] |
//! | to read a file image by image, without holding all of it | [`idx`], [`cifar`] |
//!
//! ```no_run
//! use std::path::Path;
//!
//! use lightlayers_datasets::{Augmentation, Augmented, Subset};
//!
//! let mnist = lightlayers_datasets::mnist(Path::new("data"))?;
//! println!("{mnist}");
//!
//! // The last 5,000 training images are for validation; the others move by up to 2 pixels, differently in every epoch.
//! let images = &mnist.training;
//! let mut validation = Subset::last(images, 5000)?;
//! let shifts = Augmentation { shift: 2, flip: false, seed: 1 };
//! let mut training = Augmented::new(Subset::without_last(images, 5000)?, images.shape(), shifts)?;
//! for epoch in 0..20 {
//!     training.set_epoch(epoch);
//!     // trainer.epoch(&mut training, …)?; trainer.evaluate(&mut validation, …)?;
//! }
//! # Ok::<(), lightlayers_datasets::Error>(())
//! ```

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod augment;
pub mod cifar;
mod error;
mod fetch;
pub mod idx;
mod images;
mod load;
mod set;
mod source;
mod subset;

pub use augment::{Augmentation, Augmented};
pub use error::{Error, Expected};
pub use fetch::{Archive, FetchError, Fetched, Fetcher, Sha256};
pub use images::Images;
pub use load::{Cifar100Labels, cifar10, cifar100, fashion_mnist, mnist};
pub use set::{ImageSet, Set, UnknownSet};
pub use source::Source;
pub use subset::Subset;
