//! The demo learns on the host as on a chip, with pins that must change when they should.

use boards_common::digits::{DIGITS, TEST_EVERY};
use boards_common::{Board, Clock, Course, Event, Failure, Outcome, learn};
use embedded_hal::delay::DelayNs;
use embedded_hal_mock::eh1::MockError;
use embedded_hal_mock::eh1::delay::{CheckedDelay, NoopDelay, Transaction as Wait};
use embedded_hal_mock::eh1::digital::{Mock as Pin, State, Transaction as Change};
use lightlayers::dataset::Holdout;
use lightlayers::optim::Sgd;
use lightlayers::{Error, Memory, Model, Network};

/// Every reading is 10 ns after the one before.
struct Ticks(u64);

impl Clock for Ticks {
    fn instructions(&mut self) -> u64 {
        self.0 += 10;
        self.0
    }
}

#[derive(Clone, Copy)]
struct Linear;

impl Model for Linear {
    const NET: Network = Network::input(8, 8, 1).flatten().dense(10);
}

const COURSE: Course = Course {
    seed: 1,
    epochs: 2,
    batch: 8,
    peak_rate: 0.2,
};

/// ⌈1,438 / 8⌉ minibatches of each of two epochs.
const STEPS: usize = 360;

fn run<L: embedded_hal::digital::OutputPin, D: DelayNs>(
    led: L,
    delay: D,
    log: impl FnMut(Event),
) -> Result<Outcome, Failure<Error, L::Error>> {
    const NET: Network = Linear::NET;
    let mut training = Holdout::training(DIGITS, TEST_EVERY).expect("at least 2");
    let mut testing = Holdout::testing(DIGITS, TEST_EVERY).expect("at least 2");
    let mut memory = Memory {
        weights: &mut [0.0; NET.weights()],
        gradients: &mut [0.0; NET.trainable_weights()],
        optimizer_state: &mut [],
        workspace: &mut [0.0; NET.training_workspace(1)],
    };
    let mut board = Board {
        led,
        delay,
        clock: Ticks(0),
    };
    let samples = [&mut training, &mut testing];
    learn(Linear, Sgd, &COURSE, samples, &mut memory, &mut board, log)
}

#[test]
fn it_learns_and_shows_it() {
    let change = |lit| Change::set(if lit { State::High } else { State::Low });
    let steps = (0..STEPS).map(|step| change(step % 2 == 0));
    let blinks = [true, false].repeat(3).into_iter().map(change);
    let mut led = Pin::new(&steps.chain(blinks).collect::<Vec<_>>());
    let mut delay = CheckedDelay::new(&vec![Wait::blocking_delay_ms(50); 6]);
    let mut events = Vec::new();
    let outcome = run(led.clone(), delay.clone(), |event| events.push(event));
    let outcome = outcome.expect("nothing fails");
    led.done();
    delay.done();

    assert_eq!(events[0], Event::Before(outcome.before));
    let numbers: Vec<_> = events[1..]
        .iter()
        .map(|event| match event {
            Event::Epoch { number, of, .. } => (*number, *of),
            Event::Before(_) => panic!("{event:?} twice"),
        })
        .collect();
    assert_eq!(numbers, [(1, 2), (2, 2)]);
    let [before, after] = [outcome.before, outcome.after];
    assert_eq!((before.samples(), after.samples()), (359, 359));
    assert!(before.accuracy() < 0.3, "{before:?}");
    assert!(after.accuracy() > 0.8, "{after:?}");
    assert!(events[1].metrics().loss() > events[2].metrics().loss());
    // Two readings of the clock around each inference, two around each epoch of 180 steps.
    assert_eq!((outcome.inference, outcome.step), (10, 0));
}

#[test]
fn a_broken_led_is_told_after_the_epoch() {
    let broken = MockError::Io(std::io::ErrorKind::NotConnected);
    let mut led = Pin::new(&[
        Change::set(State::High),
        Change::set(State::Low).with_error(broken.clone()),
    ]);
    let mut epochs = 0;
    let result = run(led.clone(), NoopDelay, |event| {
        epochs += u32::from(matches!(event, Event::Epoch { .. }));
    });
    led.done();
    assert_eq!(result, Err(Failure::Led(broken)));
    assert_eq!(epochs, 1);
}
