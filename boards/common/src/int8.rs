//! The network that has learned, in 8-bit integers: calibrated, quantized and measured on the chip, beside the one of `f32`.

use core::marker::PhantomData;

use lightlayers::dataset::{Dataset, Target};
use lightlayers::quant::{
    self, Calibration, Int8Inference, Quantization, RangeMethod, TensorRange,
};
use lightlayers::{Buffer, Error, Memory, Model, Network};

use crate::Clock;

/// Samples that a network is calibrated with: the first ones for training.
pub const SAMPLES: usize = 100;

/// The most tensors of a quantized network.
const TENSORS: usize = 16;

/// A data set whose inputs are bytes where they come from: integers take them as they are.
pub trait Camera: Dataset {
    /// Reads the input of a sample, 0 to 255 for what [`Dataset::read`] gives as 0 to 1, and returns its class.
    ///
    /// # Errors
    ///
    /// As [`Dataset::read`].
    fn photograph(&mut self, index: usize, pixels: &mut [u8]) -> Result<usize, Self::Error>;
}

/// What inference takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Costs {
    /// Instructions for one sample, reading it excluded: the mean of the samples for testing.
    pub inference: u64,
    /// Bytes of the weights with all that belongs to them, of one input, and of the workspace.
    pub ram: usize,
}

/// What came out, beside the same of `f32`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Outcome {
    /// The share of the samples for testing whose class was found.
    pub accuracy: f32,
    /// What the network of integers takes.
    pub int8: Costs,
    /// What the network took before.
    pub f32: Costs,
}

impl Outcome {
    /// How many times as many instructions `f32` takes, in tenths, rounded down.
    pub fn times_in_tenths(&self) -> u64 {
        10 * self.f32.inference / self.int8.inference.max(1)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Outcome {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "int8: accuracy {}, instructions per inference {} (f32: {}, {}.{} times as many); weights, input and workspace {} B (f32: {} B)",
            self.accuracy,
            self.int8.inference,
            self.f32.inference,
            self.times_in_tenths() / 10,
            self.times_in_tenths() % 10,
            self.int8.ram,
            self.f32.ram
        );
    }
}

/// What is quantized of a network: two layers in place of one of two factors.
#[derive(Clone, Copy)]
struct Split<M>(PhantomData<M>);

impl<M: Model> Model for Split<M> {
    const NET: Network = M::NET.split_factors();
}

/// Bytes of a model's weights, of one input and of the workspace: in integers, and in `f32`.
pub const fn ram<M: Model>() -> (usize, usize) {
    let (split, net) = (const { &Split::<M>::NET }, const { &M::NET });
    let input = net.input_shape().len();
    let words = split.quantized_weights() + split.quantized_workspace();
    let reals = net.weights() + input + net.inference_workspace();
    (size_of::<u32>() * words + input, size_of::<f32>() * reals)
}

/// Quantizes what [`learn`](crate::learn) has learned, and measures it as `learn` measured the network of `f32`, which took
/// `f32_inference` instructions.
///
/// It needs no memory of its own: all of it lies where the gradients were. `memory.weights` are then those of
/// [`Network::split_factors`].
///
/// # Errors
///
/// [`Error::Unquantizable`] of a network with batch normalization, [`Error::Length`] if there are too few gradients or more than 15 layers;
/// and the data set's own.
// Not inlined, so that its stack and that of learning do not add up; nor are its parts.
#[inline(never)]
pub fn quantize<M: Model + Copy, T: Camera>(
    _: M,
    [training, testing]: [&mut T; 2],
    memory: &mut Memory<'_>,
    f32_inference: u64,
    clock: &mut impl Clock,
) -> Result<Outcome, Error<T::Error>> {
    let model = Split::<M>(PhantomData);
    let mut rest = &mut *memory.gradients;
    let mut buffers = Buffers::of(const { &Sizes::of(&Split::<M>::NET) }, &mut rest);
    let split = const { &M::NET }.split_factors_weights(memory.weights);
    split.map_err(Error::widen)?;
    calibrated(model, memory.weights, training, SAMPLES, &mut buffers)?;

    let workspace = bytemuck::must_cast_slice_mut(buffers.workspace);
    let samples = testing.len();
    let read = |index, input: &mut [i8]| {
        let pixels = bytemuck::must_cast_slice_mut(input);
        let class = testing.photograph(index, pixels).map_err(Error::Dataset)?;
        quant::signed(pixels);
        Ok(class)
    };
    let (words, input) = (buffers.words, buffers.integers);
    let (accuracy, inference) = measure(model, words, workspace, samples, input, read, clock)?;
    let (int8, f32) = const { ram::<M>() };
    Ok(Outcome {
        accuracy,
        int8: Costs {
            inference,
            ram: int8,
        },
        f32: Costs {
            inference: f32_inference,
            ram: f32,
        },
    })
}

/// The next elements of a memory; none if it is too short, which the library refuses.
pub(crate) fn buffer<'m>(rest: &mut &'m mut [f32], len: usize) -> &'m mut [f32] {
    rest.split_off_mut(..len).unwrap_or_default()
}

/// The lengths of [`Buffers`], worked out while compiling.
pub(crate) struct Sizes {
    words: usize,
    input: usize,
    output: usize,
    workspace: usize,
}

impl Sizes {
    /// Of what a network needs to be calibrated, quantized and run.
    pub(crate) const fn of(net: &Network) -> Self {
        let (reals, integers) = (net.inference_workspace(), net.quantized_workspace());
        Self {
            words: net.quantized_weights(),
            input: net.input_shape().len(),
            output: net.output_shape().len(),
            workspace: if reals > integers { reals } else { integers },
        }
    }
}

/// The memory of a network that is quantized, and of a sample.
pub(crate) struct Buffers<'m> {
    /// The quantized weights.
    pub(crate) words: &'m mut [u32],
    pub(crate) input: &'m mut [f32],
    /// The input as integers.
    pub(crate) integers: &'m mut [i8],
    pub(crate) target: &'m mut [f32],
    /// Of real numbers for calibration, then of integers for inference.
    pub(crate) workspace: &'m mut [f32],
}

impl<'m> Buffers<'m> {
    pub(crate) fn of(sizes: &Sizes, rest: &mut &'m mut [f32]) -> Self {
        let words = bytemuck::must_cast_slice_mut(buffer(rest, sizes.words));
        let input_words = buffer(rest, sizes.input.div_ceil(size_of::<f32>()));
        let integers: &mut [i8] = bytemuck::must_cast_slice_mut(input_words);
        Self {
            words,
            input: buffer(rest, sizes.input),
            integers: integers.get_mut(..sizes.input).unwrap_or_default(),
            target: buffer(rest, sizes.output),
            workspace: buffer(rest, sizes.workspace),
        }
    }
}

/// Calibrates with the first samples, whose inputs are pixels, and quantizes.
#[inline(never)]
pub(crate) fn calibrated<M: Model + Copy, T: Dataset>(
    model: M,
    weights: &[f32],
    training: &mut T,
    samples: usize,
    buffers: &mut Buffers<'_>,
) -> Result<(), Error<T::Error>> {
    let tensors = 1 + const { &M::NET }.len();
    let mut ranges = [TensorRange::EMPTY; TENSORS];
    let mut quantizations = [Quantization::PIXELS; TENSORS];
    let (Some(ranges), Some(quantizations)) =
        (ranges.get_mut(..tensors), quantizations.get_mut(..tensors))
    else {
        return Err(Error::Length {
            buffer: Buffer::Quantizations,
            expected: tensors,
            found: TENSORS,
        });
    };
    let Buffers {
        input,
        target,
        workspace,
        ..
    } = buffers;
    let calibration = Calibration::new(model, weights, workspace, ranges, &mut []);
    let mut calibration = calibration.map_err(Error::widen)?;
    for index in 0..samples.min(training.len()) {
        let read = training.read(index, input, &mut Target::new(target));
        read.map_err(Error::Dataset)?;
        calibration.observe(input).map_err(Error::widen)?;
    }
    let chosen = calibration.choose(RangeMethod::MinMax, quantizations);
    chosen.map_err(Error::widen)?;
    // Whatever part of their range the first samples have.
    if let Some(input) = quantizations.first_mut() {
        *input = Quantization::PIXELS;
    }
    quant::quantize(model, weights, quantizations, buffers.words).map_err(Error::widen)
}

/// The share of samples whose class is found, and the mean instructions of inference.
///
/// `read` gives a sample's input and its class, and is not counted.
#[inline(never)]
pub(crate) fn measure<M: Model, E>(
    model: M,
    words: &[u32],
    workspace: &mut [u32],
    samples: usize,
    input: &mut [i8],
    mut read: impl FnMut(usize, &mut [i8]) -> Result<usize, Error<E>>,
    clock: &mut impl Clock,
) -> Result<(f32, u64), Error<E>> {
    let inference = Int8Inference::new(model, words, workspace);
    let mut inference = inference.map_err(Error::widen)?;
    let (mut correct, mut instructions) = (0, 0);
    for index in 0..samples {
        let class = read(index, input)?;
        let (answer, count) = clock.count(|| inference.run(input));
        instructions += count;
        // All outputs have one scale, so that the largest integer is the largest number; of equal ones the first, as `arg_max` has it.
        let outputs = answer.map_err(Error::widen)?.iter().enumerate().rev();
        let found = outputs.max_by_key(|(_, output)| **output);
        correct += u32::from(found.is_some_and(|(found, _)| found == class));
    }
    let accuracy = correct as f32 / samples.max(1) as f32;
    Ok((accuracy, instructions / samples.max(1) as u64))
}
