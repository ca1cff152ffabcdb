//! A session that is measured.

use lightlayers::dataset::ReplayBuffer;
use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::optim::Sgd;
use lightlayers::{Error, Memory, Model, Trainer};

use super::{Counts, Feed, Heard, Learner, PIXELS, Parts, Pin, Session, Source, Stage, Task};
use crate::digits::Side;

/// Digits with which the layers are measured.
const MEASURED: usize = 32;

/// What came out. A processor that does not count instructions has its time instead.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Report {
    /// The most instructions of a layer: forward or back with one sample, or to change its weights; with nothing else going on.
    pub layer: u32,
    /// The longest time that learning held the processor, in instructions without those of interrupts.
    pub hold: u32,
    /// The longest time from a sample's interrupt to the start of its guess.
    pub wait: u32,
    /// The longest guess.
    pub guess: u32,
    /// The share of the digits for testing whose class was found, before and after.
    pub accuracy: [f32; 2],
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
            "{} guesses, {} of them wrong, {} without a label; {} steps, {} samples without a step of their own, {} events lost\n",
            self.counts.guesses,
            self.counts.wrong,
            self.counts.unlabelled,
            self.counts.steps,
            self.counts.skipped,
            self.lost
        );
        let [before, after] = self.accuracy;
        defmt::write!(f, "accuracy {} before, {} after", before, after);
    }
}

/// What a demo works with.
#[derive(Debug)]
pub struct Buffers<'m> {
    /// Of the network that learns.
    pub learning: Memory<'m>,
    /// The workspace of the one that guesses.
    pub guessing: &'m mut [f32],
    /// The input of both.
    pub input: &'m mut [f32],
    /// Old samples.
    pub replay: ReplayBuffer<'m, u8>,
}

/// The most that a layer takes, forward, back or in the change of its weights, of a step in parts whose layers run with one sample at a time.
fn largest_layer<T: Task>(
    learner: &mut Learner<'_, T>,
    rate: f32,
    counter: impl Fn() -> u32,
) -> Result<u32, Error<Error>> {
    let [digits, _] = Side::both().map_err(Error::widen)?;
    let mut samples = T::inputs(digits);
    let step = learner.start_step(0..MEASURED, rate);
    let mut step = step.map_err(Error::widen)?;
    let mut part = || {
        let start = counter();
        let over = step.advance(&mut samples)?.is_some();
        Ok::<_, Error<Error>>((counter().wrapping_sub(start), over))
    };
    let mut largest = 0;
    // The gradients are cleared.
    part()?;
    for _ in 0..MEASURED {
        // Each sample is read before the layers, and its loss is computed between them.
        for _ in 0..2 {
            part()?;
            for _ in T::Learning::NET.layers() {
                largest = part()?.0.max(largest);
            }
        }
    }
    // The gradients are checked.
    part()?;
    loop {
        let (took, over) = part()?;
        largest = took.max(largest);
        if over {
            return Ok(largest);
        }
    }
}

/// A session with a screen, whose turns are measured.
pub struct Demo<'m, T: Task, C> {
    session: Session<'m, T, PIXELS>,
    stage: &'m Stage,
    counter: C,
    report: Report,
}

impl<'m, T: Task, C: Fn() -> u32> Demo<'m, T, C> {
    /// Measures the layers and the accuracy, and starts a session whose guesses go to the screen; its other end is for the interrupt. `counter` counts
    /// instructions.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if a buffer is too short.
    pub fn new<const CAPACITY: usize>(
        buffers: Buffers<'m>,
        feed: &'m mut Feed<PIXELS, CAPACITY>,
        stage: &'m Stage,
        counter: C,
    ) -> Result<(Self, Source<'m, Pin<'m>, PIXELS>), Error<Error>> {
        let loss = SoftmaxCrossEntropy::new();
        let learner = Trainer::new(T::LEARNING, loss, Sgd, buffers.learning);
        let mut learner = learner.map_err(Error::widen)?;
        let layer = if let Some(seed) = T::SEED {
            learner.initialize(seed).map_err(Error::widen)?;
            let layer = largest_layer::<T>(&mut learner, T::PACE.rate, &counter)?;
            learner.initialize(seed).map_err(Error::widen)?;
            layer
        } else {
            // The weights stay as they are.
            largest_layer::<T>(&mut learner, 0.0, &counter)?
        };
        let (source, sink) = feed.split(stage.button());
        let mut demo = Self {
            session: Session::new(Parts {
                learner,
                guessing: buffers.guessing,
                input: buffers.input,
                replay: buffers.replay,
                sink,
            }),
            stage,
            counter,
            report: Report {
                layer,
                ..Report::default()
            },
        };
        demo.report.accuracy = [demo.accuracy()?; 2];
        Ok((demo, source))
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

    /// What came out, with the accuracy that was reached.
    ///
    /// # Errors
    ///
    /// As [`Session::accuracy`].
    pub fn report(&mut self) -> Result<Report, Error<Error>> {
        let [before, _] = self.report.accuracy;
        Ok(Report {
            accuracy: [before, self.accuracy()?],
            counts: self.session.counts(),
            lost: self.session.lost(),
            ..self.report
        })
    }

    fn accuracy(&mut self) -> Result<f32, Error<Error>> {
        let [_, mut testing] = Side::both().map_err(Error::widen)?;
        self.session.accuracy(&mut testing)
    }
}
