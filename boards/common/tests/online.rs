//! Learning that goes on, on the host: buttons that bounce, queues that are full, and sessions whose weights are those of a trainer.

use std::cell::Cell;

use boards_common::digits::{Digits, Side};
use boards_common::int8::Camera;
use boards_common::online::{
    Buffers, Button, Demo, Feed, FromScratch, Heard, Learning, OtherHands, PIXELS, Pace, Parts,
    Play, Report, Session, Sink, Source, Stage, Task,
};
use boards_common::personal::{TRAINED, WEIGHTS};
use embedded_hal::digital::PinState;
use embedded_hal_mock::eh1::MockError;
use embedded_hal_mock::eh1::digital::{Mock as Pin, State, Transaction as Read};
use lightlayers::dataset::{Dataset, ReplayBuffer, ReplayMemory, Selection};
use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::optim::Sgd;
use lightlayers::paper::{Kind, mnist};
use lightlayers::{Error, Inference, Memory, Model, Network, Plan, Trainer};

/// A pin that reads as the letters say: `d` for down, which is low, `u` for up.
fn pin(readings: &str) -> Pin {
    let reads = readings.chars().map(|reading| {
        Read::get(match reading {
            'd' => State::Low,
            _ => State::High,
        })
    });
    Pin::new(&reads.collect::<Vec<_>>())
}

fn presses(readings: &str, polls: u8) -> Vec<bool> {
    let mut pin = pin(readings);
    let mut button = Button::new(pin.clone(), PinState::Low, polls);
    let pressed = readings.chars().map(|_| button.poll().expect("a reading"));
    let pressed = pressed.collect();
    pin.done();
    pressed
}

fn places(readings: &str, polls: u8) -> Vec<usize> {
    let pressed = presses(readings, polls).into_iter().enumerate();
    pressed
        .filter(|(_, pressed)| *pressed)
        .map(|(i, _)| i)
        .collect()
}

#[test]
fn a_press_is_told_once() {
    // It bounces when it goes down, and when it is let go.
    assert_eq!(places("uuuududdddddddduduuuuu", 3), [8]);
    assert_eq!(places("uuudddduuudddd", 3), [5, 12]);
    // Too short; and two presses with too short a pause are one.
    assert_eq!(places("uuudduuuddu", 3), []);
    assert_eq!(places("uuudddduudddduuu", 3), [5]);
    // Held down from the start, until it was let go.
    assert_eq!(places("dddddduuuddd", 3), [11]);
    assert_eq!(places("udu", 1), [1]);
    assert_eq!(places("udu", 0), [1]);
}

#[test]
fn a_button_may_read_high_and_fail() {
    let broken = MockError::Io(std::io::ErrorKind::NotConnected);
    let mut pin = Pin::new(&[
        Read::get(State::Low),
        Read::get(State::High).with_error(broken.clone()),
        Read::get(State::High),
    ]);
    let mut button = Button::new(pin.clone(), PinState::High, 1);
    let polls = [(); 3].map(|()| button.poll());
    assert_eq!(polls, [Ok(false), Err(broken), Ok(true)]);
    pin.done();
}

/// One pixel, two classes.
#[derive(Clone, Copy)]
struct Dot;

impl Model for Dot {
    const NET: Network = Network::features(1).dense(2);
}

struct Dots<const OLD: usize>;

impl<const OLD: usize> Task for Dots<OLD> {
    type Learning = Dot;
    type Guessing = Dot;

    const LEARNING: Dot = Dot;
    const GUESSING: Dot = Dot;
    const SEED: Option<u64> = None;
    const PACE: Pace = Pace {
        rate: 0.5,
        old: OLD,
    };

    fn inputs<D: Dataset>(samples: D) -> impl Dataset<Error = D::Error> {
        samples
    }
}

/// Bright is of class 0, dark of class 1, by `bright - 1/2`.
const START: [f32; 4] = [1.0, -1.0, -0.5, 0.5];
const BRIGHT: [u8; 1] = [204];
const DARK: [u8; 1] = [51];

/// Leaves the readings of the button to the caller.
fn with_session<const OLD: usize>(
    readings: &str,
    act: impl FnOnce(&mut Source<'_, Pin, 1>, &mut Session<'_, Dots<OLD>, 1>),
) -> [f32; 4] {
    let mut pin = pin(readings);
    let mut feed = Feed::<1, 4>::new();
    let (mut source, sink): (_, Sink<'_, 1>) =
        feed.split(Button::new(pin.clone(), PinState::Low, 1));
    let mut weights = START;
    let memory = Memory {
        weights: &mut weights,
        gradients: &mut [0.0; 4],
        optimizer_state: &mut [],
        workspace: &mut [0.0; Dot::NET.training_workspace(1)],
    };
    let learner = Trainer::new(Dot, SoftmaxCrossEntropy::new(), Sgd, memory);
    let mut replay = ReplayMemory::<u8, 1, 8, 2>::new();
    let (mut guessing, mut input) = ([0.0; Dot::NET.inference_workspace()], [0.0]);
    let mut session = Session::new(Parts {
        learner: learner.expect("buffers fit"),
        guessing: &mut guessing,
        input: &mut input,
        replay: ReplayBuffer::new(&mut replay, Selection::ClassBalanced, 1),
        sink,
    });
    act(&mut source, &mut session);
    pin.done();
    weights
}

/// The weights after steps of a trainer on these samples alone.
fn learned(samples: &[(u8, usize)]) -> [f32; 4] {
    let mut weights = START;
    let memory = Memory {
        weights: &mut weights,
        gradients: &mut [0.0; 4],
        optimizer_state: &mut [],
        workspace: &mut [0.0; Dot::NET.training_workspace(1)],
    };
    let trainer = Trainer::new(Dot, SoftmaxCrossEntropy::new(), Sgd, memory);
    let mut trainer = trainer.expect("buffers fit");
    for (byte, label) in samples {
        let input = [f32::from(*byte) / 255.0];
        let mut sample = lightlayers::dataset::Sample {
            input: &input,
            label: *label,
        };
        let step = trainer.step(&mut sample, 0..1, 0.5);
        step.expect("finite");
    }
    weights
}

fn learn_all<const OLD: usize>(session: &mut Session<'_, Dots<OLD>, 1>) -> u32 {
    let mut parts = 0;
    while session.learn().expect("finite").is_some() {
        parts += 1;
    }
    parts
}

#[test]
fn a_full_queue_loses_what_it_counts() {
    with_session::<0>("ud", |source, session| {
        assert!(!session.is_called());
        // Room for three.
        assert_eq!(
            [(); 4].map(|()| source.sample(BRIGHT)),
            [true, true, true, false]
        );
        assert!(!source.label(1));
        assert_eq!([(); 2].map(|()| source.poll()), [Ok(false), Ok(true)]);
        assert_eq!(session.lost(), 3);
        assert!(session.is_called());
        for _ in 0..3 {
            assert_eq!(session.hear(), Ok(Some(Heard::Guess(0))));
        }
        assert_eq!(session.hear(), Ok(None));
        assert!(source.label(1));
        assert_eq!(
            (session.hear(), session.lost()),
            (Ok(Some(Heard::Nothing)), 3)
        );
    });
}

#[test]
fn a_guess_that_nobody_corrects_is_learned() {
    let weights = with_session::<0>("", |source, session| {
        for sample in [BRIGHT, DARK, BRIGHT] {
            assert!(source.sample(sample));
            let class = usize::from(sample == DARK);
            assert_eq!(session.hear(), Ok(Some(Heard::Guess(class))));
            learn_all(session);
        }
        // The last one may still be corrected.
        assert_eq!((session.counts().guesses, session.counts().steps), (3, 2));
        assert_eq!((session.replay().kept(0), session.replay().kept(1)), (1, 1));
    });
    assert_eq!(weights, learned(&[(204, 0), (51, 1)]));
}

#[test]
fn after_the_button_comes_the_label() {
    let weights = with_session::<0>("udud", |source, session| {
        source.sample(BRIGHT);
        for _ in 0..2 {
            source.poll().expect("a reading");
        }
        assert_eq!(session.hear(), Ok(Some(Heard::Guess(0))));
        assert_eq!(session.hear(), Ok(Some(Heard::Wrong)));
        // Another sample may come before the label.
        source.sample(DARK);
        source.label(2);
        source.label(1);
        assert_eq!(session.hear(), Ok(Some(Heard::Guess(1))));
        assert_eq!(learn_all(session), 0);
        let no_class = Error::Label {
            sample: 1,
            classes: 2,
            found: 2,
        };
        assert_eq!(session.hear(), Err(no_class));
        assert_eq!(session.hear(), Ok(Some(Heard::Label(1))));
        // Clearing, reading, the layer forward, the loss, the layer back, the check, the layer's weights.
        assert_eq!(learn_all(session), 7);
        // A second press without a label for the first: that of the later guess counts.
        for _ in 0..2 {
            source.poll().expect("a reading");
        }
        assert_eq!(session.hear(), Ok(Some(Heard::Wrong)));
        assert_eq!(session.counts().unlabelled, 0);
        source.label(0);
        assert_eq!(session.hear(), Ok(Some(Heard::Label(0))));
        learn_all(session);
        source.label(0);
        assert_eq!(session.hear(), Ok(Some(Heard::Nothing)));
        assert_eq!((session.counts().wrong, session.counts().steps), (2, 2));
    });
    assert_eq!(weights, learned(&[(204, 1), (51, 0)]));
}

#[test]
fn a_doubt_without_a_label_is_counted() {
    let weights = with_session::<0>("ududud", |source, session| {
        for press in 0..3 {
            if press < 2 {
                source.sample(BRIGHT);
                session.hear().expect("a guess");
            }
            for _ in 0..2 {
                source.poll().expect("a reading");
            }
            // At last, nothing was guessed since the last press.
            let heard = if press < 2 {
                Heard::Wrong
            } else {
                Heard::Nothing
            };
            assert_eq!(session.hear(), Ok(Some(heard)));
        }
        let counts = session.counts();
        assert_eq!((counts.wrong, counts.unlabelled), (2, 1));
        assert_eq!(session.learn(), Ok(None));
    });
    assert_eq!(weights, START);
}

#[test]
fn too_many_samples_are_kept_without_a_step() {
    with_session::<3>("", |source, session| {
        for _ in 0..7 {
            source.sample(DARK);
            session.hear().expect("a guess");
        }
        // Six are right, and four of them wait for their step.
        assert_eq!((session.counts().skipped, session.replay().len()), (2, 2));
        // A step on the first and two old ones, on the second and three, on three, on three.
        let parts: Vec<u32> = (0..4)
            .map(|_| {
                let mut parts = 1;
                while session.learn().map(|part| part == Some(Learning::Part)) == Ok(true) {
                    parts += 1;
                }
                parts
            })
            .collect();
        let of = |samples: u32| 1 + samples * 4 + 2;
        assert_eq!(parts, [of(3), of(4), of(4), of(4)]);
        assert_eq!(session.learn(), Ok(None));
        assert_eq!((session.counts().steps, session.replay().len()), (4, 6));
    });
}

#[test]
fn a_guess_between_two_parts_has_the_old_weights() {
    let weights = with_session::<0>("ud", |source, session| {
        source.sample(BRIGHT);
        session.hear().expect("a guess");
        for _ in 0..2 {
            source.poll().expect("a reading");
        }
        source.label(1);
        session.hear().expect("wrong");
        session.hear().expect("a label");
        // Its label is 1; until the weights have changed, it is taken for 0.
        for _ in 0..6 {
            assert_eq!(session.guess(&BRIGHT), Ok(0));
            assert_eq!(session.learn(), Ok(Some(Learning::Part)));
        }
        assert_eq!(session.guess(&BRIGHT), Ok(0));
        assert!(matches!(session.learn(), Ok(Some(Learning::Step(_)))));
        assert_eq!(session.guess(&BRIGHT), Ok(1));
    });
    assert_eq!(weights, learned(&[(204, 1)]));
}

/// A demo on the host, whose clock counts its readings.
fn play<T: Task>(weights: &[f32], digits: u32, period: u32, turns: usize) -> Report {
    let net = T::Learning::NET;
    let stage = Stage::new();
    let mut feed = Feed::<PIXELS, 4>::new();
    let mut replay = Box::new(ReplayMemory::<u8, PIXELS, 30, 10>::new());
    let mut weights = weights.to_vec();
    let buffers = Buffers {
        learning: Memory {
            weights: &mut weights,
            gradients: &mut vec![0.0; net.trainable_weights()],
            optimizer_state: &mut [],
            workspace: &mut vec![0.0; net.training_workspace(1)],
        },
        guessing: &mut vec![0.0; T::Guessing::NET.inference_workspace()],
        input: &mut vec![0.0; net.input_shape().len()],
        replay: ReplayBuffer::new(&mut replay, Selection::ClassBalanced, 1),
    };
    let now = Cell::new(0);
    let clock = || {
        now.set(now.get() + 1);
        now.get()
    };
    let started = Demo::<T, _>::new(buffers, &mut feed, &stage, clock);
    let (mut demo, source) = started.expect("buffers fit");
    let mut play = Play::new(&stage, source, period, digits).expect("digits");
    while !stage.is_over() {
        play.tick(clock).expect("a digit");
        for _ in 0..turns {
            demo.turn().expect("finite");
        }
    }
    demo.report().expect("digits")
}

#[test]
fn it_learns_from_nothing_what_somebody_says() {
    let report = play::<FromScratch>(&[0.0; Digits::NET.weights()], 1438, 40, 10);
    let [before, after] = report.accuracy;
    assert!(before < 0.2 && after > 0.85, "{report:?}");
    let counts = report.counts;
    assert_eq!((counts.guesses, counts.steps, report.lost), (1438, 1437, 0));
    assert!((100..500).contains(&counts.wrong), "{report:?}");
    assert_eq!((counts.unlabelled, counts.skipped), (0, 0));
    // Two readings of the clock around each part and each guess, of an interrupt none: they come between.
    assert_eq!((report.layer, report.hold), (1, 1));
    assert!(report.is_bounded() || report.wait > 1);
}

/// With one part in each tick, a step of 4 samples and 4 layers takes 43 ticks: it cannot keep up with a digit in 40.
#[test]
fn samples_that_come_too_fast_are_counted() {
    let report = play::<FromScratch>(&[0.0; Digits::NET.weights()], 300, 40, 1);
    let counts = report.counts;
    assert_eq!(report.lost, 0);
    assert!(counts.skipped > 0, "{report:?}");
    // The last digit is not yet learned, and up to five wait for their step or are in it.
    let seen = counts.steps + counts.skipped + counts.unlabelled + 1;
    assert!((295..=300).contains(&seen), "{report:?}");
}

#[test]
fn the_network_from_mnist_goes_on() {
    let report = play::<OtherHands>(&WEIGHTS, 200, 40, 400);
    let [before, after] = report.accuracy;
    assert_eq!(before, 340.0 / 359.0, "that of the other demos");
    assert!(after > 0.955, "{report:?}");
    assert_eq!((report.counts.guesses, report.counts.steps), (200, 199));
}

/// The network of one factor a layer is that of two, to the bit; a digit's bytes are its levels.
#[test]
fn the_guessing_network_is_the_learning_one() {
    let whole = Plan::new(&mnist(Kind::Light { rank: 3 }));
    assert_eq!(TRAINED.weights(), WEIGHTS.len());
    let factored = Plan::new(&<OtherHands as Task>::Guessing::NET);
    let mut workspaces = [(); 2].map(|()| vec![0.0; TRAINED.inference_workspace()]);
    let [first, second] = &mut workspaces;
    let mut whole = Inference::new(&whole, &WEIGHTS, first).expect("fits");
    let mut factored = Inference::new(&factored, &WEIGHTS, second).expect("fits");
    let [mut training, _] = Side::both().expect("digits");
    for index in 0..5 {
        let mut image = vec![0.0; 784];
        let mut classes = [0.0; 10];
        let mut target = lightlayers::dataset::Target::new(&mut classes);
        OtherHands::inputs(training)
            .read(index, &mut image, &mut target)
            .expect("a digit");
        assert_eq!(whole.run(&image), factored.run(&image));
        let mut bytes = [0; PIXELS];
        let class = training.photograph(index, &mut bytes).expect("a digit");
        assert_eq!(target.class(), Some(class));
        let mut pixels = [0.0; PIXELS];
        training
            .read(index, &mut pixels, &mut target)
            .expect("a digit");
        assert_eq!(pixels, bytes.map(|byte| f32::from(byte) / 255.0));
    }
}
