//! `ReplayBuffer`, of every element and selection, and `Mixed`.
#![no_std]
#![no_main]

use core::hint::black_box;

use lightlayers::dataset::{Dataset, Mixed, ReplayBuffer, ReplayMemory, Sample, Selection, Target};
use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::optim::Sgd;
use lightlayers::quant::Quantization;
use lightlayers::{Error, Model, Trainer};
use size_sessions::{Features, any, any_mut, buffer, memory, program};

program!(run);

fn run() -> Result<(), Error<Error>> {
    let scale = Quantization::of_range(black_box(-1.0), black_box(2.0)).map_err(Error::Dataset)?;
    let mut bytes = ReplayMemory::<u8, 20, 10, 8>::new();
    let mut integers = ReplayMemory::<i8, 20, 10, 8>::new();
    let mut floats = ReplayMemory::<f32, 20, 10, 8>::new();
    let selection = black_box(Selection::ClassBalanced);
    let mut integers = ReplayBuffer::quantized(&mut integers, scale, selection, 1);
    let mut floats = ReplayBuffer::new(&mut floats, black_box(Selection::Reservoir), 1);
    let mut bytes = ReplayBuffer::new(&mut bytes, black_box(selection), 1);
    let input = any(buffer!(f32, 20));
    let label = black_box(3);
    integers.offer(input, label).map_err(Error::Dataset)?;
    integers
        .offer_raw(any(buffer!(i8, 20)), label)
        .map_err(Error::Dataset)?;
    floats.offer(input, label).map_err(Error::Dataset)?;
    bytes.offer(input, label).map_err(Error::Dataset)?;
    black_box((
        bytes.offered(),
        bytes.kept(label),
        bytes.label(label),
        bytes.elements(label),
    ));
    let mut target = Target::new(any_mut(buffer!(f32, 8)));
    integers
        .read(label, any_mut(buffer!(f32, 20)), &mut target)
        .map_err(Error::Dataset)?;
    bytes
        .read(label, any_mut(buffer!(f32, 20)), &mut target)
        .map_err(Error::Dataset)?;
    bytes.clear();

    let memory = memory!(Features::NET, Sgd, 1);
    let trainer = Trainer::new(Features, SoftmaxCrossEntropy::new(), Sgd, memory);
    let mut trainer = trainer.map_err(Error::widen)?;
    let mut mixed = Mixed::new(Sample { input, label }, &mut floats);
    let minibatch = mixed.minibatch([0], black_box(3));
    trainer
        .step(&mut mixed, minibatch, black_box(0.1))
        .map_err(|_| Error::Empty)?;
    Ok(())
}
