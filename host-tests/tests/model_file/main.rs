//! The model file: its bytes, what it gives back, and what is refused.

mod bytes;
mod hostile;
mod mismatch;
mod quantized;
mod round_trip;

use lightlayers::{Model, Network};

/// The network of `src/file/xor.model`.
struct Xor;

impl Model for Xor {
    const NET: Network = Network::features(2).dense(2).relu().dense(1);
}

/// `relu(a + b) - 2 · relu(a + b - 1)`.
const XOR_WEIGHTS: [f32; Xor::NET.weights()] = [1.0, 1.0, 1.0, 1.0, 0.0, -1.0, 1.0, -2.0, 0.0];
