//! `Calibration`, with every method.
#![no_std]
#![no_main]

use core::hint::black_box;

use lightlayers::quant::{Calibration, Quantization, RangeMethod, TensorRange};
use lightlayers::{Error, Model, Network};
use size_sessions::{Quantizable, any, any_mut, buffer, program};

program!(run);

const NET: Network = Quantizable::NET;
const TENSORS: usize = NET.len() + 1;

fn run() -> Result<(), Error> {
    let ranges = any_mut(buffer!(TensorRange, TENSORS, TensorRange::EMPTY));
    let histograms = any_mut(buffer!(u32, 512 * TENSORS));
    let weights = any(buffer!(f32, NET.weights()));
    let workspace = any_mut(buffer!(f32, NET.inference_workspace()));
    let mut calibration = Calibration::new(Quantizable, weights, workspace, ranges, histograms)?;
    calibration.observe(any(buffer!(f32, 256)))?;
    let quantizations = any_mut(buffer!(Quantization, TENSORS, Quantization::PIXELS));
    for method in [
        RangeMethod::MinMax,
        RangeMethod::Percentile(0.999),
        RangeMethod::MeanSquaredError,
    ] {
        calibration.choose(black_box(method), quantizations)?;
    }
    black_box(calibration.ranges());
    black_box(calibration.histogram(black_box(1)));
    Ok(())
}
