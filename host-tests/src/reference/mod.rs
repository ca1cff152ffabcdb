//! Every layer, loss and optimizer in `f64`, as plain loops over the textbook's formula.
//!
//! Written to be read and believed, not to be fast, and from the formulas alone: it shares nothing
//! with the library, so that the two agree only if both are right. It is itself held against
//! vectors made with Keras (`tests/reference_against_keras.rs`); what those do not cover is held
//! against finite differences and hand calculations in the files here.
//!
//! Conventions: activations `[batch, features]` or `[batch, height, width, channels]`, kernels
//! `[height, width, in, out]`, dense kernels `[in, out]`. `dy` is the gradient of a scalar loss `L`
//! with respect to a layer's output, `dx` with respect to its input; other gradients carry the name
//! of their parameter.

pub mod activation;
pub mod add;
pub mod average_pool2d;
pub mod batch_norm;
pub mod conv2d;
pub mod dense;
pub mod depthwise_conv2d;
pub mod early_stopping;
pub mod flatten;
pub mod global_pool2d;
pub mod light_conv2d;
pub mod light_dense;
pub mod max_pool2d;
pub mod mean_squared_error;
pub mod optimizer;
pub mod penalty;
pub mod plateau;
pub mod schedule;
pub mod separable_conv2d;
pub mod softmax_cross_entropy;
pub mod window;
pub mod zero_padding2d;
