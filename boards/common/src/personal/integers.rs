//! The trained network in 8-bit integers, as a host quantized it.

use lightlayers::dataset::{Dataset, Target};
use lightlayers::quant::Quantization;
use lightlayers::{Buffer, Error, Model, Network, file};

use super::networks::{Base, CLASSES, TRAINED};
use super::session::{Buffers, IMAGE, first};
use crate::Clock;
use crate::int8::{Costs, Outcome, measure};

#[derive(Clone, Copy)]
struct Integers;

impl Model for Integers {
    const NET: Network = TRAINED.fold_batch_norm().split_factors();
}

/// Its weights, calibrated with images of MNIST; they stay in flash.
static WORDS: [u32; Integers::NET.quantized_weights()] = file::quantized_weights(
    &Integers::NET,
    include_bytes!("../../mnist-light-k3-int8.model"),
);

const WORKSPACE: usize = Integers::NET.quantized_workspace();

/// Bytes of weights, image and workspace.
const INT8_RAM: usize = size_of_val(&WORDS) + IMAGE + size_of::<u32>() * WORKSPACE;

/// The same of `f32`, with each light convolution as its two factors, and the layers after the base in the same workspace.
const F32_RAM: usize =
    size_of::<f32>() * (TRAINED.weights() + IMAGE + Base::<3>::NET.inference_workspace());

/// Measures it on every sample, in the first [`WORKSPACE`] and [`IMAGE`] elements of the buffers.
pub(super) fn measured<T: Dataset<Error = Error>>(
    testing: &mut T,
    buffers: &mut Buffers<'_>,
    f32_inference: u64,
    clock: &mut impl Clock,
) -> Result<Outcome, Error> {
    const INTEGERS: usize = IMAGE.div_ceil(size_of::<f32>());
    let memory = first(buffers.workspace, WORKSPACE + INTEGERS, Buffer::Workspace)?;
    let (workspace, integers) = bytemuck::must_cast_slice_mut(memory).split_at_mut(WORKSPACE);
    let integers = bytemuck::must_cast_slice_mut::<u32, i8>(integers);
    let image = first(buffers.image, IMAGE, Buffer::Input)?;
    let samples = testing.len();
    let read = |index, integers: &mut [i8]| {
        let mut target = [0.0; CLASSES];
        let mut target = Target::new(&mut target);
        testing.read(index, image, &mut target)?;
        for (integer, pixel) in integers.iter_mut().zip(image.iter()) {
            *integer = Quantization::PIXELS.quantize(*pixel);
        }
        Ok(target.class().unwrap_or(CLASSES))
    };
    let (accuracy, inference) =
        measure(Integers, &WORDS, workspace, samples, integers, read, clock)?;
    Ok(Outcome {
        accuracy,
        int8: Costs {
            inference,
            ram: INT8_RAM,
        },
        f32: Costs {
            inference: f32_inference,
            ram: F32_RAM,
        },
    })
}
