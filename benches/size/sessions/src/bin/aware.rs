//! Training that knows that its network will be quantized.
#![no_std]
#![no_main]

use core::hint::black_box;

use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::optim::Adam;
use lightlayers::quant::Quantization;
use lightlayers::schedule::Constant;
use lightlayers::{Epoch, Error, Model, Network, Trainer};
use size_sessions::{Quantizable, Samples, any, any_mut, buffer, memory, program};

program!(run);

const NET: Network = Quantizable::NET;

fn run() -> Result<(), Error> {
    let quantizations = any(buffer!(Quantization, NET.len() + 1, Quantization::PIXELS));
    let rounded = any_mut(buffer!(f32, NET.weights()));
    let memory = memory!(NET, Adam, 1);
    let trainer = Trainer::new(Quantizable, SoftmaxCrossEntropy::new(), Adam::new(), memory)?;
    let mut trainer = trainer.quantization_aware(quantizations, rounded)?;
    black_box(trainer.epoch(&mut Samples, Epoch::in_order(8), &Constant(0.01), |_| {})?);
    Ok(())
}
