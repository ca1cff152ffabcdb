//! The readers of data sets against files that the tests make, whole and damaged, and against the real ones where there are any; downloads
//! from a server on loopback.
//!
//! ```sh
//! LIGHTLAYERS_DATA=/DIR cargo test --release -p host-tests --test datasets
//! ```

mod cifar;
mod fetch;
mod files;
mod idx;
mod mnist;
mod random;
mod real;
mod server;
mod training;
