//! Networks of 8-bit integers: smaller and faster than those of `f32`, on every processor with the same bits.
//!
//! The law is TensorFlow Lite's 8-bit quantization specification: a real number is `scale · (q - zero_point)` with `q` an `i8`. Each tensor
//! of activations has one scale and one zero point; weights have a scale for each output channel, and no zero point; sums and biases are
//! `i32`.
//!
//! # From a trained network to firmware
//!
//! 1. What is quantized has no batch normalization and no layer of two factors: [`Network::fold_batch_norm`](crate::Network::fold_batch_norm) and
//!    [`Network::split_factors`](crate::Network::split_factors) make such a network, and their weights. The tensor between two
//!    factors is quantized like all others.
//! 2. A [`Calibration`] runs samples through it and watches the range of every tensor; a [`RangeMethod`] chooses what part of it the
//!    256 integers cover.
//! 3. [`quantize`] makes the weights. A [`Comparison`] says what that cost each layer.
//!    [`Trainer::quantization_aware`](crate::Trainer::quantization_aware) wins back what it loses.
//! 4. A model [`file`](crate::file) takes them into the firmware, where [`Int8Inference`] reads them in place.
//!
//! Nothing of it needs `std`: a chip can calibrate itself.
//!
//! ```
//! use lightlayers::quant::{Calibration, Int8Inference, Quantization, RangeMethod, TensorRange, quantize};
//! use lightlayers::{Model, Network};
//!
//! struct Xor;
//!
//! impl Model for Xor {
//!     const NET: Network = Network::features(2).dense(2).relu().dense(1);
//! }
//!
//! const NET: Network = Xor::NET;
//! let weights = [1.0, 1.0, 1.0, 1.0, 0.0, -1.0, 1.0, -2.0, 0.0];
//! let samples = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]];
//!
//! // The network's input, and the output of each layer.
//! let mut ranges = [TensorRange::EMPTY; 1 + NET.len()];
//! let mut workspace = [0.0; NET.inference_workspace()];
//! let mut calibration = Calibration::new(Xor, &weights, &mut workspace, &mut ranges, &mut [])?;
//! for sample in samples {
//!     calibration.observe(&sample)?;
//! }
//! let mut quantizations = [Quantization::PIXELS; 1 + NET.len()];
//! calibration.choose(RangeMethod::MinMax, &mut quantizations)?;
//!
//! let mut quantized = [0; NET.quantized_weights()];
//! quantize(Xor, &weights, &quantizations, &mut quantized)?;
//!
//! let mut workspace = [0; NET.quantized_workspace()];
//! let mut inference = Int8Inference::new(Xor, &quantized, &mut workspace)?;
//! let (input, output) = (inference.input_quantization(), inference.output_quantization());
//! for [a, b] in samples {
//!     let answer = inference.run(&[input.quantize(a), input.quantize(b)])?;
//!     assert!((output.dequantize(answer[0]) - (a - b).abs()).abs() < 0.03);
//! }
//! # Ok::<(), lightlayers::Error>(())
//! ```
//!
//! # Pixels and sensors
//!
//! A camera's bytes are the network's input if its [`Quantization`] is [`Quantization::PIXELS`], `0..=255` for 0 to 1:
//! [`signed`] makes `i8` of them in place.
//!
//! # What each layer does
//!
//! | layer | its output |
//! |---|---|
//! | dense, conv2d, depthwise_conv2d, add, global_average_pool | a scale and a zero point of its own; a ReLU behind it that alone reads it costs nothing |
//! | max_pool2d, average_pool2d, global_max_pool, zero_padding2d, flatten, dropout | those of its input |
//! | softmax, sigmoid; tanh | 1/256 and -128; 1/128 and 0 |
//! | sigmoid, tanh, leaky_relu, other ReLUs | a table of 256 bytes among the weights |
//! | batch_norm, layers of two factors, custom layers | [`Error::Unquantizable`] |

pub(crate) mod aware;
mod calibrate;
mod check;
mod compare;
mod infer;
pub(crate) mod layout;
mod quantize;

pub use aware::{Exact, FakeQuantization, Rounding};
pub use calibrate::{Calibration, Histogram, RangeMethod, TensorRange};
pub use compare::{Comparison, TensorError};
pub use infer::Int8Inference;
pub use quantize::quantize;

pub(crate) use check::{BadHead, check_heads};
pub(crate) use infer::check_kinds;
pub(crate) use quantize::resolved;

use crate::error::Error;

/// How a tensor's real numbers are integers: `real = scale · (q - zero_point)`.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Quantization {
    scale: f32,
    zero_point: i8,
}

impl Quantization {
    /// Bytes of an image, `0..=255` for 0 to 1, after [`signed`].
    pub const PIXELS: Self = Self {
        scale: 1.0 / 255.0,
        zero_point: i8::MIN,
    };

    /// Of softmax's and sigmoid's output.
    pub(crate) const SHARES: Self = Self {
        scale: 1.0 / 256.0,
        zero_point: i8::MIN,
    };

    /// Of tanh's output.
    pub(crate) const SIGNED_SHARES: Self = Self {
        scale: 1.0 / 128.0,
        zero_point: 0,
    };

    /// A scale and a zero point.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] if the scale is not a positive number, or if 1 divided by it or 255 times it are not finite.
    pub fn new(scale: f32, zero_point: i8) -> Result<Self, Error> {
        if Self::is_scale(scale) {
            Ok(Self { scale, zero_point })
        } else {
            Err(Error::OutOfRange {
                what: "the scale of a tensor",
                range: "the positive numbers",
            })
        }
    }

    const fn is_scale(scale: f32) -> bool {
        scale.is_normal() && scale > 0.0 && (1.0 / scale).is_normal() && (255.0 * scale).is_finite()
    }

    /// The finest one that covers the numbers from `low` to `high`, and 0 exactly.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] if one of them is not finite, if the first is above the second, or if they are too far apart.
    pub fn of_range(low: f32, high: f32) -> Result<Self, Error> {
        if !(low.is_finite() && high.is_finite() && low <= high) {
            return Err(Error::OutOfRange {
                what: "the ends of a tensor's range",
                range: "the finite numbers, the lower one first",
            });
        }
        let (low, high) = (low.min(0.0), high.max(0.0));
        let scale = (f64::from(high) - f64::from(low)) / 255.0;
        if scale < f64::from(SMALLEST_SCALE) {
            return Self::new(SMALLEST_SCALE, if low < 0.0 { 0 } else { i8::MIN });
        }
        let zero_point = round(f64::from(i8::MIN) - f64::from(low) / scale);
        Self::new(scale as f32, zero_point.clamp(-128, 127) as i8)
    }

    /// The real number of one step.
    pub const fn scale(&self) -> f32 {
        self.scale
    }

    /// The integer that stands for 0.
    pub const fn zero_point(&self) -> i8 {
        self.zero_point
    }

    /// The nearest integer; of NaN, the zero point.
    pub fn quantize(&self, real: f32) -> i8 {
        let steps = round(f64::from(real) / f64::from(self.scale));
        steps
            .saturating_add(self.zero_point.into())
            .clamp(-128, 127) as i8
    }

    /// The real number of an integer.
    pub fn dequantize(&self, quantized: i8) -> f32 {
        self.scale * (f32::from(quantized) - f32::from(self.zero_point))
    }

    /// The smallest and the largest real number.
    pub fn range(&self) -> (f32, f32) {
        (self.dequantize(i8::MIN), self.dequantize(i8::MAX))
    }
}

/// Of a tensor that is always 0.
const SMALLEST_SCALE: f32 = 1e-30;

/// The bytes of a camera or a sensor as input of a network whose input has a zero point 128 lower: 0 becomes -128, 255 becomes 127.
///
/// ```
/// use lightlayers::quant::{Quantization, signed};
///
/// let mut pixels = [0, 51, 255];
/// let pixels = signed(&mut pixels);
/// assert_eq!(pixels, [-128, -77, 127]);
/// assert!((Quantization::PIXELS.dequantize(pixels[1]) - 0.2).abs() < 1e-6);
/// ```
pub fn signed(bytes: &mut [u8]) -> &mut [i8] {
    for byte in bytes.iter_mut() {
        *byte ^= 1 << 7;
    }
    bytemuck::must_cast_slice_mut(bytes)
}

/// The nearest integer, halves away from zero.
fn round(x: f64) -> i64 {
    (x + if x < 0.0 { -0.5 } else { 0.5 }) as i64
}
