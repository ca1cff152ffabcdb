//! The enlarged digits against a hand calculation, and networks that learn from them with a chip's bits.

use std::convert::Infallible;

use boards_common::Clock;
use boards_common::digits::{DIGITS, TEST_EVERY};
use boards_common::enlarge::{Enlarged, SIDE};
use boards_common::personal::{
    ALL, Base, Buffers, Demo, HEAD, IMAGE, LAST_BLOCK, Learner, TRAINED, WEIGHTS,
};
use embedded_hal::digital::{ErrorType, OutputPin};
use lightlayers::dataset::{Dataset, Holdout, PackedImages, Target};
use lightlayers::metrics::arg_max;
use lightlayers::paper::{self, Kind};
use lightlayers::{Error, Inference, Model, Network, Plan};

/// Every reading is 10 ns after the one before.
struct Ticks(u64);

impl Clock for Ticks {
    fn instructions(&mut self) -> u64 {
        self.0 += 10;
        self.0
    }
}

/// The times that a LED was lit.
struct Lit(u32);

impl ErrorType for Lit {
    type Error = Infallible;
}

impl OutputPin for Lit {
    fn set_low(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.0 += 1;
        Ok(())
    }
}

fn samples() -> [Enlarged<Holdout<PackedImages<'static>>>; 2] {
    [
        Enlarged(Holdout::training(DIGITS, TEST_EVERY).expect("at least 2")),
        Enlarged(Holdout::testing(DIGITS, TEST_EVERY).expect("at least 2")),
    ]
}

/// An image of 8x8 pixels that are black but for the first and the last one.
struct Corners;

impl Dataset for Corners {
    type Error = Error;

    fn len(&self) -> usize {
        1
    }

    fn read(&mut self, _: usize, input: &mut [f32], target: &mut Target<'_>) -> Result<(), Error> {
        input.fill(0.0);
        (input[0], input[63]) = (1.0, 0.5);
        target.set_class(3);
        Ok(())
    }
}

#[test]
fn pixels_are_interpolated() {
    let (mut image, mut target) = ([0.0; IMAGE], [0.0; 10]);
    let mut target = Target::new(&mut target);
    let read = Enlarged(Corners).read(0, &mut image, &mut target);
    assert_eq!((read, target.class()), (Ok(()), Some(3)));
    // Row 3 lies at 0.4 · (3 - 13.5) + 3.5 = -0.7 in the small image, rows 4 to 7 at -0.3, 0.1, 0.5 and 0.9: so far from its row 0
    // that of it 0.3, 0.7, 0.9, 0.5 and 0.1 are seen. The last rows are the mirror image.
    let mut shares = [0.0; SIDE];
    shares[3..8].copy_from_slice(&[0.3, 0.7, 0.9, 0.5, 0.1]);
    for y in 0..SIDE {
        for x in 0..SIDE {
            let (first, last) = (shares[y] * shares[x], shares[27 - y] * shares[27 - x]);
            let expected = first + 0.5 * last;
            let found: f32 = image[y * SIDE + x];
            assert!(
                (found - expected).abs() < 1e-6,
                "{y} {x}: {found}, not {expected}"
            );
        }
    }
}

#[test]
fn a_base_has_the_bits_of_light_convolutions() {
    const KIND: Kind = Kind::Light { rank: 3 };
    const LIGHT: Network = {
        let block = paper::block(Network::input(SIDE, SIDE, 1), KIND, 8);
        paper::block(block, KIND, 16)
    };
    let factored = Base::<2>::NET;
    let mut weights = vec![0.0; LIGHT.weights()];
    LIGHT.initialize(&mut weights, 1).expect("lengths");
    let mut image = [0.0; IMAGE];
    let read = Enlarged(Corners).read(0, &mut image, &mut Target::new(&mut [0.0; 10]));
    read.expect("there");
    let [light, factored] = [LIGHT, factored].map(|net| {
        let plan = Plan::new(&net);
        let mut workspace = vec![0.0; net.inference_workspace()];
        let inference = Inference::new(&plan, &weights, &mut workspace);
        let mut inference = inference.expect("the same weights");
        let outputs = inference.run(&image).expect("one image");
        outputs.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
    });
    assert_eq!(light, factored);
}

/// The base and what is above it, before anything is learned, are the network that was trained.
fn answers_as_the_whole<const BLOCKS: usize>(learner: &Learner<BLOCKS>) {
    let plan = Plan::new(&TRAINED);
    let mut workspace = vec![0.0; TRAINED.inference_workspace()];
    let mut whole = Inference::new(&plan, &WEIGHTS, &mut workspace).expect("lengths");
    let (mut image, mut target) = ([0.0; IMAGE], [0.0; 10]);
    let [_, mut testing] = samples();
    let mut correct = 0;
    for sample in 0..testing.len() {
        let mut target = Target::new(&mut target);
        testing
            .read(sample, &mut image, &mut target)
            .expect("there");
        let outputs = whole.run(&image).expect("one image");
        let guess = arg_max(outputs);
        correct += u32::from(Some(guess) == target.class());
    }
    let mut memory = Buffer::of::<BLOCKS>();
    let mut buffers = memory.buffers();
    let mut session = learner.start(&mut buffers).expect("lengths");
    let measured = session.measure(&mut testing, &mut Ticks(0)).expect("runs");
    assert_eq!(measured.accuracy, correct as f32 / 359.0);
    assert_eq!(measured.inference, 10);
}

struct Buffer([Vec<f32>; 3]);

impl Buffer {
    fn of<const BLOCKS: usize>() -> Self {
        Self(
            [
                Learner::<BLOCKS>::WEIGHTS,
                IMAGE,
                Learner::<BLOCKS>::WORKSPACE,
            ]
            .map(|len| vec![0.0; len]),
        )
    }

    fn buffers(&mut self) -> Buffers<'_> {
        let [weights, image, workspace] = &mut self.0;
        Buffers {
            weights,
            image,
            workspace,
        }
    }
}

fn learns<const BLOCKS: usize>(learner: &Learner<BLOCKS>) {
    answers_as_the_whole(learner);
    let mut memory = Buffer::of::<BLOCKS>();
    let mut demo = Demo {
        buffers: memory.buffers(),
        led: Lit(0),
        clock: Ticks(0),
    };
    let outcome = demo.learn(learner).expect("nothing fails");
    assert_eq!(demo.led.0, 300);
    assert_eq!((outcome.step, outcome.after.inference), (10, 10));
    assert!(outcome.after.accuracy >= 0.93, "{outcome:?}");
    assert!(outcome.same_bits, "{:#010x}", outcome.checksum);
}

#[test]
fn the_head_learns() {
    learns(&HEAD);
}

#[test]
fn the_last_block_learns() {
    learns(&LAST_BLOCK);
}

#[test]
fn all_layers_learn() {
    learns(&ALL);
}

#[test]
fn integers_answer_before_it_learns() {
    // As long as the head's learner needs them.
    let mut memory = Buffer::of::<3>();
    let mut demo = Demo {
        buffers: memory.buffers(),
        led: Lit(0),
        clock: Ticks(0),
    };
    let before = demo.before().expect("lengths");
    let integers = demo.integers(&before).expect("lengths");
    // What the board prints, of 359 images.
    assert_eq!(before.accuracy, 340.0 / 359.0);
    assert_eq!(integers.accuracy, 339.0 / 359.0);
    assert_eq!((integers.int8.inference, integers.f32.inference), (10, 10));
    // The sizes that 05_quantize prints of integers, and an image; of `f32` with the statistics of batch normalization, which it folds.
    assert_eq!(integers.int8.ram, 7_032 + 784 + 10_064);
    assert_eq!(integers.f32.ram, 24_540 + 4 * 784 + 34_496);
}
