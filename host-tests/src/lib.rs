//! What the host tests of `lightlayers` compare the library with.
//!
//! - [`reference`](mod@reference): every layer, loss and optimizer once more, in `f64`, as plain
//!   loops over the textbook's formula. Slow, short, and written without the library.
//! - [`golden`]: vectors made with Keras.
//! - [`finite_difference`]: derivatives from the definition, to check gradients with.
//! - [`sample`]: seeded test data.
//! - [`tflite`]: vectors made with TensorFlow Lite.
//! - [`quantized`]: quantized networks, run by the library, and once more with the reference.
//! - [`int8_law`]: quantized networks once more, in 64-bit integers from the words of their weights.
//! - [`real`]: MNIST and other data sets, where they are.
//! - [`session`]: runs networks of the library in buffers made to measure.
//! - [`twin`]: a network of the library once more, put together from the reference.
//! - [`lower_bound`]: the memory that a network needs at the least.
//! - [`custom`]: layers from outside the library.
//! - [`model_file`]: model files in memory.
//! - [`flash`]: a flash memory in which power fails and pages wear out.

#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod custom;
pub mod finite_difference;
pub mod flash;
pub mod golden;
pub mod int8_law;
pub mod lower_bound;
pub mod model_file;
pub mod quantized;
pub mod real;
pub mod reference;
pub mod sample;
pub mod session;
pub mod tflite;
pub mod twin;
