//! A session that is measured.

use core::iter;

use lightlayers::{Error, Model};

use super::session::Bytes;
use super::{Counts, Heard, Learner, PIXELS, Session, Stage, Task};
use crate::digits::Side;
use crate::int8::Camera;

/// Digits with which the layers are measured.
const MEASURED: usize = 8;

/// What came out. A processor that does not count instructions has its time instead.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Report {
    /// The most instructions of a layer, forward or back with one sample, with nothing else going on.
    pub layer: u32,
    /// The longest time that learning held the processor, in instructions without those of interrupts.
    pub hold: u32,
    /// The longest time from a sample's interrupt to the start of its guess.
    pub wait: u32,
    /// The longest guess.
    pub guess: u32,
    /// What the session has seen.
    pub counts: Counts,
    /// Events that found no room in the queue.
    pub lost: u32,
}

impl Report {
    /// True if learning never held the processor for longer than a layer takes, nor let a sample wait longer; a hundredth is for what
    /// depends on the sample, and for the interrupts that a sample's wait has in it.
    pub fn is_bounded(&self) -> bool {
        self.hold.max(self.wait) <= self.layer.saturating_add(self.layer / 100)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Report {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "the trainer held the processor for at most {} instructions, a sample waited for at most {}; the largest layer of one sample takes {}, a guess {}\n",
            self.hold,
            self.wait,
            self.layer,
            self.guess
        );
        defmt::write!(
            f,
            "{} guesses, {} of them wrong, {} without a label; {} steps, {} samples without a step of their own, {} events lost",
            self.counts.guesses,
            self.counts.wrong,
            self.counts.unlabelled,
            self.counts.steps,
            self.counts.skipped,
            self.lost
        );
    }
}

/// The most that a layer takes, forward or back, of a step in parts on one sample; the weights stay as they are.
///
/// # Errors
///
/// As [`PartialStep::advance`](lightlayers::PartialStep::advance), and the data set's own.
pub fn largest_layer<T: Task>(
    learner: &mut Learner<'_, T>,
    digits: &mut Side,
    counter: impl Fn() -> u32,
) -> Result<u32, Error<Error>> {
    let layers = T::Learning::NET.layers().len();
    let mut largest = 0;
    for index in 0..MEASURED {
        let mut digit = [0; PIXELS];
        let class = digits.photograph(index, &mut digit);
        let class = class.map_err(Error::Dataset)?;
        let mut samples = T::inputs(Bytes(&digit, class));
        let step = learner.start_step(iter::once(0), 0.0);
        let mut step = step.map_err(Error::widen)?;
        let mut part = || {
            let start = counter();
            let result = step.advance(&mut samples);
            let took = counter().wrapping_sub(start);
            result.map(|_| took).map_err(|error| match error {
                Error::Dataset(none) => match none {},
                other => other.widen(),
            })
        };
        // The gradients are cleared, the sample is read.
        part()?;
        part()?;
        for _ in 0..layers {
            largest = part()?.max(largest);
        }
        // The loss.
        part()?;
        for _ in 0..layers {
            largest = part()?.max(largest);
        }
        // The optimizer's step is left out.
    }
    Ok(largest)
}

/// A session with a screen, whose turns are measured.
pub struct Demo<'m, T: Task, C> {
    session: Session<'m, T, PIXELS>,
    stage: &'m Stage,
    counter: C,
    report: Report,
}

impl<'m, T: Task, C: Fn() -> u32> Demo<'m, T, C> {
    /// A session whose guesses go to the screen; `layer` is that of [`largest_layer`], by the same counter.
    pub fn new(session: Session<'m, T, PIXELS>, stage: &'m Stage, counter: C, layer: u32) -> Self {
        Self {
            session,
            stage,
            counter,
            report: Report {
                layer,
                ..Report::default()
            },
        }
    }

    /// The application's turn if an event is there, else that of learning: one part. False if there was nothing to do.
    ///
    /// # Errors
    ///
    /// As [`Session::hear`] and [`Session::learn`].
    pub fn turn(&mut self) -> Result<bool, Error<Error>> {
        let (start, busy) = ((self.counter)(), self.stage.busy());
        let heard = self.session.hear()?;
        if let Some(heard) = heard {
            if let Heard::Guess(guess) = heard {
                self.stage.write(guess);
                // Below 0 for a sample that came since the start.
                let wait = start.wrapping_sub(self.stage.shown_at()).cast_signed();
                self.report.wait = self.report.wait.max(wait.max(0).cast_unsigned());
                let guess = (self.counter)().wrapping_sub(start);
                self.report.guess = self.report.guess.max(guess);
            }
            return Ok(true);
        }
        let learned = self.session.learn()?;
        let hold = (self.counter)().wrapping_sub(start);
        let interrupts = self.stage.busy().wrapping_sub(busy);
        self.report.hold = self.report.hold.max(hold.saturating_sub(interrupts));
        Ok(learned.is_some())
    }

    /// The share of the digits whose class is found, without learning from them.
    ///
    /// # Errors
    ///
    /// As [`Session::accuracy`].
    pub fn accuracy(&mut self, digits: &mut Side) -> Result<f32, Error<Error>> {
        self.session.accuracy(digits)
    }

    /// What was measured so far.
    pub fn report(&self) -> Report {
        Report {
            counts: self.session.counts(),
            lost: self.session.lost(),
            ..self.report
        }
    }
}
