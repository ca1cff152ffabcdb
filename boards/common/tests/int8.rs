//! What has learned is quantized on the host as on a chip.

use boards_common::digits::{COURSE, Digits, OPTIMIZER, Side};
use boards_common::int8::{self, Camera, Outcome};
use boards_common::{Board, Clock, Course, learn};
use embedded_hal_mock::eh1::delay::NoopDelay;
use lightlayers::dataset::{Dataset, Target};
use lightlayers::optim::{Optimizer, Sgd};
use lightlayers::{Buffer, Error, Memory, Model, Network};

/// Every reading is 10 ns after the one before.
struct Ticks(u64);

impl Clock for Ticks {
    fn instructions(&mut self) -> u64 {
        self.0 += 10;
        self.0
    }
}

/// An LED that nobody looks at.
struct Dark;

impl embedded_hal::digital::ErrorType for Dark {
    type Error = core::convert::Infallible;
}

impl embedded_hal::digital::OutputPin for Dark {
    fn set_low(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// The accuracy of `f32`, and what comes of the integers in what is left of the memory.
fn run<M: Model + Copy, O: Optimizer>(
    model: M,
    optimizer: O,
    course: &Course,
) -> (f32, Result<Outcome, Error<Error>>) {
    let [mut training, mut testing] = Side::both().expect("a distance");
    let net = M::NET;
    let mut memory = Memory {
        weights: &mut vec![0.0; net.weights()],
        gradients: &mut vec![0.0; net.trainable_weights()],
        optimizer_state: &mut vec![0.0; net.optimizer_state::<O>()],
        workspace: &mut vec![0.0; net.training_workspace(1)],
    };
    let mut board = Board {
        led: Dark,
        delay: NoopDelay,
        clock: Ticks(0),
    };
    let samples = [&mut training, &mut testing];
    let learned = learn(
        model,
        optimizer,
        course,
        samples,
        &mut memory,
        &mut board,
        |_| {},
    )
    .expect("nothing fails");
    let samples = [&mut training, &mut testing];
    let integers = int8::quantize(model, samples, &mut memory, 187, &mut board.clock);
    (learned.after.accuracy(), integers)
}

#[test]
fn the_digits_lose_nothing() {
    let (accuracy, integers) = run(Digits, OPTIMIZER, &COURSE);
    let integers = integers.expect("it fits");
    // What the boards print, of 359 images.
    assert_eq!(accuracy, 345.0 / 359.0);
    assert_eq!(integers.accuracy, 345.0 / 359.0);
    // Two readings of the clock around each inference.
    assert_eq!((integers.int8.inference, integers.f32.inference), (10, 187));
    assert_eq!(integers.times_in_tenths(), 187);
}

#[test]
fn the_memory_is_a_third() {
    let (int8, f32) = int8::ram::<Digits>();
    // 978 weights, 64 pixels, and between the layers 64 + 32 numbers.
    assert_eq!(f32, 4 * (978 + 64 + 96));
    // Kernels of 64 · 8, 8 · 24 and 24 · 10 bytes, two words for each of 42 units and for each of 6 tensors; 64 pixels; at most 72 bytes
    // between the layers.
    assert_eq!(int8, (512 + 192 + 240) + 8 * (42 + 6) + 64 + 72);
    assert!(3 * int8 <= f32);
}

#[test]
fn the_bytes_are_the_real_numbers() {
    let [training, testing] = Side::both().expect("a distance");
    assert_eq!((training.len(), testing.len()), (1438, 359));
    for mut side in [training, testing] {
        for index in [0, 1, 100, side.len() - 1] {
            let (mut real, mut target, mut pixels) = ([0.0; 64], [0.0; 10], [0; 64]);
            let mut target = Target::new(&mut target);
            side.read(index, &mut real, &mut target).expect("a sample");
            let class = side.photograph(index, &mut pixels).expect("a sample");
            assert_eq!(target.class(), Some(class));
            for (pixel, real) in pixels.into_iter().zip(real) {
                assert_eq!(f32::from(pixel), (255.0 * real).round());
            }
        }
        let result = side.photograph(side.len(), &mut [0; 64]);
        assert!(matches!(result, Err(Error::Index { .. })), "{result:?}");
    }
}

#[derive(Clone, Copy)]
struct Normalized;

impl Model for Normalized {
    const NET: Network = Network::input(8, 8, 1).batch_norm().flatten().dense(10);
}

#[derive(Clone, Copy)]
struct Frozen;

impl Model for Frozen {
    const NET: Network = Network::input(8, 8, 1)
        .flatten()
        .dense(32)
        .frozen()
        .relu()
        .dense(10);
}

/// A short course: what it learns does not matter.
const SHORT: Course = Course {
    epochs: 1,
    ..COURSE
};

#[test]
fn what_cannot_be_quantized_is_told() {
    let (_, integers) = run(Normalized, Sgd, &SHORT);
    assert!(matches!(
        integers,
        Err(Error::Unquantizable {
            layer: 0,
            name: "batch_norm",
            ..
        })
    ));

    let (_, integers) = run(Frozen, Sgd, &SHORT);
    // Of 330 gradients, none is left for a network that takes more words.
    const WORDS: usize = Frozen::NET.quantized_weights();
    assert!(matches!(
        integers,
        Err(Error::Length {
            buffer: Buffer::QuantizedWeights,
            expected: WORDS,
            found: 0
        })
    ));
}
