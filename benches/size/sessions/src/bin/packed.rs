//! `PackedImages` and `Holdout`.
#![no_std]
#![no_main]

use core::hint::black_box;

use lightlayers::Error;
use lightlayers::dataset::{Dataset, Holdout, PackedImages, Target};
use size_sessions::{any, any_mut, buffer, program};

program!(run);

fn run() -> Result<(), Error> {
    let images = PackedImages::new(any(buffer!(u8, 4096)))?;
    black_box((images.shape(), images.classes(), images.label(black_box(3))));
    for level in images.levels(black_box(3)).into_iter().flatten() {
        black_box(level);
    }
    let mut target = Target::new(any_mut(buffer!(f32, 10)));
    let every = black_box(5);
    let mut training = Holdout::training(images, every)?;
    training
        .read(black_box(2), any_mut(buffer!(f32, 64)), &mut target)
        .map_err(Error::widen)?;
    let mut testing = Holdout::testing(images, every)?;
    testing
        .read(black_box(2), any_mut(buffer!(f32, 64)), &mut target)
        .map_err(Error::widen)?;
    black_box((testing.len(), testing.index_in_whole(black_box(9))));
    black_box((target.class(), target.values()));
    Ok(())
}
