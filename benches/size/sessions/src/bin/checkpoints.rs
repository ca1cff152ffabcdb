//! Checkpoints of training in flash memory.
#![no_std]
#![no_main]

use core::hint::black_box;

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use lightlayers::checkpoint::{CheckpointError, CheckpointStore, USER_DATA};
use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::optim::{Adam, HeavyBall, Optimizer, Sgd};
use lightlayers::{Memory, Model, Trainer};
use size_sessions::{Features, buffer, memory, program};

program!(run);

/// The driver of a flash memory that the compiler knows nothing about.
struct Flash;

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        black_box((offset, bytes));
        black_box(Ok(()))
    }

    fn capacity(&self) -> usize {
        black_box(256 * 1024)
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 8;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        black_box((from, to));
        black_box(Ok(()))
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        black_box((offset, bytes));
        black_box(Ok(()))
    }
}

fn run() -> Result<(), CheckpointError<NorFlashErrorKind>> {
    let heavy_ball = Sgd::heavy_ball(black_box(0.9)).map_err(CheckpointError::Buffer)?;
    keep(heavy_ball, memory!(Features::NET, HeavyBall, 1))?;
    keep(Adam::new(), memory!(Features::NET, Adam, 1))
}

fn keep(
    optimizer: impl Optimizer,
    memory: Memory<'_>,
) -> Result<(), CheckpointError<NorFlashErrorKind>> {
    let range = black_box(128 * 1024)..black_box(256 * 1024);
    let mut store = CheckpointStore::new(Flash, range, black_box(4))?;
    let trainer = Trainer::new(Features, SoftmaxCrossEntropy::new(), optimizer, memory);
    let mut trainer = trainer.map_err(CheckpointError::Buffer)?;
    black_box(trainer.restore(&mut store)?);
    black_box(trainer.save(&mut store, black_box([0; USER_DATA]))?);
    black_box(store.newest()?);
    black_box(store.load_weights(Features, buffer!(f32, Features::NET.weights()))?);
    store.clear()?;
    black_box(store.release());
    Ok(())
}
