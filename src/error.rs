//! What can be wrong, with what was expected and what was found.

use core::convert::Infallible;
use core::fmt;

use crate::fmt::Text;
use crate::network::MAX_LAYERS;
use crate::shape::Shape;

/// Why a layer cannot be added to a network.
///
/// In a `const` network it is the compiler's error, at the line of the call; [`Network::try_push`](crate::Network::try_push) returns it.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum BuildError {
    /// A size that must be at least 1 is 0.
    Zero {
        /// The layer.
        layer: &'static str,
        /// The size.
        what: &'static str,
    },
    /// The layer takes a flat vector, and its input is an image: add `flatten` before it.
    NotFlat {
        /// The layer.
        layer: &'static str,
        /// Its input.
        input: Shape,
    },
    /// The layer takes an image, and its input is a flat vector.
    NotImage {
        /// The layer.
        layer: &'static str,
        /// Its input.
        input: Shape,
    },
    /// A window without padding is larger than its input.
    WindowTooLarge {
        /// The layer.
        layer: &'static str,
        /// Rows and columns of the window.
        window: (u8, u8),
        /// How far apart its elements are.
        dilation: u8,
        /// The input.
        input: Shape,
    },
    /// Two branches that are added have different shapes.
    BranchesDiffer {
        /// The shape of the body's output.
        body: Shape,
        /// The shape of the shortcut's output.
        shortcut: Shape,
    },
    /// The branches of a residual block do not start from the same network.
    BranchesStartApart,
    /// A size is above its limit: that of the number that holds it, or [`MAX_ELEMENTS`](crate::MAX_ELEMENTS).
    TooLarge {
        /// The layer.
        layer: &'static str,
        /// The size.
        what: &'static str,
        /// The limit.
        most: usize,
        /// What was asked for; `usize::MAX` if it is more than a `usize` counts.
        found: usize,
    },
    /// The network has its largest number of layers already.
    TooManyLayers,
    /// A number is outside its range.
    OutOfRange {
        /// The layer.
        layer: &'static str,
        /// The number.
        what: &'static str,
        /// The range.
        range: &'static str,
    },
    /// The call changes something that the layer before it does not have.
    HasNo {
        /// The layer; `network` where there is none yet.
        layer: &'static str,
        /// What it does not have.
        what: &'static str,
    },
}

impl BuildError {
    pub(crate) const fn text(self) -> Text {
        let text = Text::new();
        match self {
            Self::Zero { layer, what } => text
                .text(layer)
                .text(": ")
                .text(what)
                .text(" is 0, expected at least 1"),
            Self::NotFlat { layer, input } => text
                .text(layer)
                .text(": expected a flat input, found ")
                .shape(input)
                .text("; call flatten() before it"),
            Self::NotImage { layer, input } => text
                .text(layer)
                .text(": expected an image, found a vector of ")
                .shape(input),
            Self::WindowTooLarge {
                layer,
                window,
                dilation,
                input,
            } => {
                let text = text
                    .text(layer)
                    .text(": a ")
                    .number(window.0 as usize)
                    .text("x")
                    .number(window.1 as usize)
                    .text(" window ");
                let text = if dilation > 1 {
                    text.text("with dilation ").number(dilation as usize).text(" ")
                } else {
                    text
                };
                text.text("does not fit its ").image(input).text(" input")
            }
            Self::BranchesDiffer { body, shortcut } => text
                .text("residual: expected branches of the same shape, found a body of ")
                .image(body)
                .text(" and a shortcut of ")
                .image(shortcut),
            Self::BranchesStartApart => {
                text.text("residual: expected two branches, not both empty, that start from the network it is called on")
            }
            Self::TooLarge {
                layer,
                what,
                most,
                found,
            } => text
                .text(layer)
                .text(": ")
                .text(what)
                .text(if found == usize::MAX {
                    " is at least "
                } else {
                    " is "
                })
                .number(found)
                .text(", expected at most ")
                .number(most),
            Self::TooManyLayers => text
                .text("network: expected at most ")
                .number(MAX_LAYERS)
                .text(" layers"),
            Self::OutOfRange { layer, what, range } => text
                .text(layer)
                .text(": expected ")
                .text(what)
                .text(" in ")
                .text(range),
            Self::HasNo { layer, what } => text.text(layer).text(": has no ").text(what),
        }
    }

    /// Ends the constant's evaluation with the error as the compiler's message.
    #[track_caller]
    pub(crate) const fn panic(self) -> ! {
        panic!("{}", self.text().as_str())
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_str())
    }
}

impl core::error::Error for BuildError {}

/// A buffer that the user owns and hands to a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Buffer {
    /// The weights of the network.
    Weights,
    /// The gradients of its trainable weights.
    Gradients,
    /// The state of the optimizer.
    OptimizerState,
    /// The workspace of a session.
    Workspace,
    /// A copy of the best weights so far.
    Best,
    /// One or more input samples.
    Input,
    /// The bytes of stored weights.
    StoredWeights,
    /// The weights of a network without batch normalization.
    FoldedWeights,
    /// The classes of a confusion matrix.
    ConfusionMatrix,
    /// The weights of a quantized network, in words.
    QuantizedWeights,
    /// The quantizations, ranges or errors of the tensors of a network.
    Quantizations,
    /// The bins of histograms, an even number for each tensor.
    Histograms,
}

impl fmt::Display for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Weights => "weights",
            Self::Gradients => "gradients",
            Self::OptimizerState => "optimizer state",
            Self::Workspace => "workspace",
            Self::Best => "best weights",
            Self::Input => "input",
            Self::StoredWeights => "stored weights",
            Self::FoldedWeights => "folded weights",
            Self::ConfusionMatrix => "confusion matrix",
            Self::QuantizedWeights => "quantized weights",
            Self::Quantizations => "tensors of the network",
            Self::Histograms => "histograms",
        })
    }
}

/// What was not a finite number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Quantity {
    /// The mean loss of a minibatch: no step was taken.
    Loss,
    /// A gradient of a minibatch: no step was taken.
    Gradient,
    /// A weight after the step: it kept its value from before, and the others have moved.
    Weight,
}

/// Everything that can go wrong after a network is built.
///
/// `D` is the error of the [`Dataset`](crate::dataset::Dataset) that is read; a call that reads none keeps the default.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Error<D = Infallible> {
    /// The network cannot be built.
    Build(BuildError),
    /// A buffer does not have the length that the network needs.
    Length {
        /// The buffer.
        buffer: Buffer,
        /// The elements that it must have (at least, for a workspace).
        expected: usize,
        /// The elements that it has.
        found: usize,
    },
    /// A label is not below the number of the network's outputs.
    Label {
        /// The sample's index in the data set.
        sample: usize,
        /// The number of classes.
        classes: usize,
        /// The label.
        found: usize,
    },
    /// A data set or a minibatch has no samples.
    Empty,
    /// A sample's input or target is not a finite number, or [`Dataset::read`](crate::dataset::Dataset::read)
    /// did not write all of its values.
    NonFiniteSample {
        /// The sample's index in the data set.
        sample: usize,
    },
    /// A value of an input is not a finite number.
    NonFiniteInput {
        /// Its index in the input.
        index: usize,
    },
    /// Training met a NaN or an infinity and stopped. The weights are finite; whether they moved says the [`Quantity`].
    NonFinite {
        /// What was not finite.
        quantity: Quantity,
        /// The optimizer step, counted from 1.
        step: u32,
    },
    /// The network's answer is NaN or infinite: an input or a weight is, or a sum overflowed.
    NonFiniteOutput,
    /// The loss cannot teach this network anything: its gradients would be 0 or misleading forever.
    UnsuitableLoss {
        /// The loss.
        loss: &'static str,
        /// What is wrong with the network's output, and what to take instead.
        why: &'static str,
    },
    /// A batch normalization that learns would see one value per channel, whose variance is 0: samples
    /// that are vectors, or images of one pixel, are worked on one at a time.
    SingleValue {
        /// The layer's index in the network.
        layer: usize,
    },
    /// A setting is outside its range.
    OutOfRange {
        /// The setting.
        what: &'static str,
        /// The range.
        range: &'static str,
    },
    /// Packed samples are not what their header says.
    Packed {
        /// What is wrong.
        what: &'static str,
        /// What was expected.
        expected: usize,
        /// What was found.
        found: usize,
    },
    /// An index is past the end of a data set.
    Index {
        /// The data set's length.
        len: usize,
        /// The index.
        found: usize,
    },
    /// A layer cannot be quantized.
    Unquantizable {
        /// Its index in the network.
        layer: usize,
        /// The layer.
        name: &'static str,
        /// Why, or what to do.
        why: &'static str,
    },
    /// What a calibration observed of a tensor does not say how to quantize it.
    Calibration {
        /// 0 is the network's input, `i + 1` the output of layer `i`.
        tensor: usize,
        /// Why, and what to do.
        why: &'static str,
    },
    /// What was given belongs to another network.
    OtherNetwork {
        /// What was given.
        what: &'static str,
        /// The first tensor in which the networks differ: 0 is the network's input, `i + 1` the output of layer `i`.
        tensor: usize,
    },
    /// The memory plan does not fit its buffers: a custom layer changed its sizes.
    Plan,
    /// The data set could not be read.
    Dataset(D),
}

impl Error {
    pub(crate) const fn check_length(
        buffer: Buffer,
        expected: usize,
        found: usize,
    ) -> Result<(), Self> {
        if expected == found {
            Ok(())
        } else {
            Err(Self::Length {
                buffer,
                expected,
                found,
            })
        }
    }

    /// The same error for a data set whose own error is `D`: no data set was read, so it is none of that.
    ///
    /// ```
    /// use lightlayers::{Error, Inference, Network, Plan};
    ///
    /// struct SensorError;
    ///
    /// fn classify(plan: &Plan, weights: &[f32], workspace: &mut [f32]) -> Result<(), Error<SensorError>> {
    ///     let mut inference = Inference::new(plan, weights, workspace).map_err(Error::widen)?;
    ///     inference.run(&[1.0, 2.0]).map_err(Error::widen)?;
    ///     Ok(())
    /// }
    /// # let plan = Plan::new(&Network::features(2).dense(1));
    /// # assert!(classify(&plan, &[0.0; 3], &mut [0.0]).is_ok());
    /// ```
    pub const fn widen<D>(self) -> Error<D> {
        match self {
            Self::Build(error) => Error::Build(error),
            Self::Length {
                buffer,
                expected,
                found,
            } => Error::Length {
                buffer,
                expected,
                found,
            },
            Self::Label {
                sample,
                classes,
                found,
            } => Error::Label {
                sample,
                classes,
                found,
            },
            Self::Empty => Error::Empty,
            Self::NonFiniteSample { sample } => Error::NonFiniteSample { sample },
            Self::NonFiniteInput { index } => Error::NonFiniteInput { index },
            Self::NonFinite { quantity, step } => Error::NonFinite { quantity, step },
            Self::NonFiniteOutput => Error::NonFiniteOutput,
            Self::UnsuitableLoss { loss, why } => Error::UnsuitableLoss { loss, why },
            Self::SingleValue { layer } => Error::SingleValue { layer },
            Self::OutOfRange { what, range } => Error::OutOfRange { what, range },
            Self::Packed {
                what,
                expected,
                found,
            } => Error::Packed {
                what,
                expected,
                found,
            },
            Self::Index { len, found } => Error::Index { len, found },
            Self::Unquantizable { layer, name, why } => Error::Unquantizable { layer, name, why },
            Self::Calibration { tensor, why } => Error::Calibration { tensor, why },
            Self::OtherNetwork { what, tensor } => Error::OtherNetwork { what, tensor },
            Self::Plan => Error::Plan,
            Self::Dataset(none) => match none {},
        }
    }
}

impl From<BuildError> for Error {
    fn from(error: BuildError) -> Self {
        Self::Build(error)
    }
}

impl<D: fmt::Display> fmt::Display for Error<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Build(error) => error.fmt(f),
            Self::Length {
                buffer: Buffer::Workspace,
                expected,
                found,
            } => write!(
                f,
                "workspace: expected at least {expected} elements, found {found}"
            ),
            Self::Length {
                buffer: Buffer::ConfusionMatrix,
                expected,
                found,
            } => write!(
                f,
                "confusion matrix: expected 1 to {expected} classes, found {found}"
            ),
            Self::Length {
                buffer,
                expected,
                found,
            } => write!(f, "{buffer}: expected {expected} elements, found {found}"),
            Self::Label {
                sample,
                classes,
                found,
            } => write!(
                f,
                "sample {sample}: expected a label below {classes}, found {found}"
            ),
            Self::Empty => f.write_str("expected at least 1 sample, found none"),
            Self::NonFiniteSample { sample } => {
                write!(
                    f,
                    "sample {sample}: expected finite values, found NaN, infinity or a value that was not written"
                )
            }
            Self::NonFiniteInput { index } => write!(
                f,
                "input value {index}: expected a finite number, found NaN or infinity"
            ),
            Self::NonFinite { quantity, step } => {
                let (quantity, weights) = match quantity {
                    Quantity::Loss => ("loss", "the step was not taken"),
                    Quantity::Gradient => ("gradient", "the step was not taken"),
                    Quantity::Weight => ("weight", "it kept its value, others have moved"),
                };
                write!(
                    f,
                    "step {step}: expected a finite {quantity}, found NaN or infinity; {weights}"
                )
            }
            Self::NonFiniteOutput => f.write_str(
                "expected finite outputs, found NaN or infinity; check the input and the weights",
            ),
            Self::UnsuitableLoss { loss, why } => write!(f, "{loss}: {why}"),
            Self::SingleValue { layer } => write!(
                f,
                "layer {layer}, batch_norm: expected at least 2 values per channel to learn from, found 1; \
                 give the workspace room for more samples, choose a minibatch that leaves no single \
                 sample over, or freeze the layer"
            ),
            Self::OutOfRange { what, range } => write!(f, "expected {what} in {range}"),
            Self::Packed {
                what,
                expected,
                found,
            } => write!(
                f,
                "packed images: {what}: expected {expected}, found {found}"
            ),
            Self::Index { len, found } => {
                write!(f, "expected a sample index below {len}, found {found}")
            }
            Self::Unquantizable { layer, name, why } => {
                write!(f, "layer {layer}, {name}: cannot be quantized; {why}")
            }
            Self::Calibration { tensor, why } => {
                write!(f, "calibration of {}: {why}", Tensor(*tensor))
            }
            Self::OtherNetwork { what, tensor } => write!(
                f,
                "{what}: expected this network's, found another's, which differs in {}",
                Tensor(*tensor)
            ),
            Self::Plan => f.write_str("a custom layer asked for other sizes than were planned"),
            Self::Dataset(error) => write!(f, "data set: {error}"),
        }
    }
}

impl<D: core::error::Error> core::error::Error for Error<D> {}

/// A tensor's name: 0 is the network's input, `i + 1` the output of layer `i`.
struct Tensor(usize);

impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.checked_sub(1) {
            None => f.write_str("the network's input"),
            Some(layer) => write!(f, "the output of layer {layer}"),
        }
    }
}
