//! Guesses, corrections, and steps in parts.

use core::convert::Infallible;

use heapless::Deque;
use lightlayers::dataset::{Dataset, Minibatch, Mixed, ReplayBuffer, Target};
use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::metrics::{Metrics, arg_max};
use lightlayers::optim::Sgd;
use lightlayers::{Error, Inference, Model, PartialStep, Trainer};

use super::feed::{Event, Sink};
use crate::int8::Camera;

/// What is learned.
pub trait Task {
    /// The network that learns, one sample at a time. What batch normalization it has is frozen: one sample has no statistics.
    type Learning: Model + Copy;

    /// The network that guesses, with the weights of the one that learns: it may be the same, or one that takes less memory.
    type Guessing: Model + Copy;

    /// The first of these types.
    const LEARNING: Self::Learning;

    /// The second one.
    const GUESSING: Self::Guessing;

    /// The seed of the weights that it starts with; with none, it goes on from those that it is given.
    const SEED: Option<u64>;

    /// How it is learned.
    const PACE: Pace;

    /// Makes the networks' inputs of what the sensor gives.
    fn inputs<D: Dataset>(samples: D) -> impl Dataset<Error = D::Error>;
}

/// What trains the network of a task.
pub type Learner<'m, T> = Trainer<'m, <T as Task>::Learning, SoftmaxCrossEntropy, Sgd>;

type Step<'m, T> = PartialStep<Learner<'m, T>, Minibatch<core::array::IntoIter<usize, 1>>>;

/// How it is learned.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The learning rate.
    pub rate: f32,
    /// Old samples that are learned from together with each new one.
    pub old: usize,
}

/// Samples with labels that wait for their step.
const WAITING: usize = 4;

/// What a session works with.
pub struct Parts<'m, T: Task, const LEN: usize> {
    /// Goes on from its weights.
    pub learner: Learner<'m, T>,
    /// The workspace of the network that guesses.
    pub guessing: &'m mut [f32],
    /// Its input.
    pub input: &'m mut [f32],
    /// Old samples.
    pub replay: ReplayBuffer<'m, u8>,
    /// What comes from outside.
    pub sink: Sink<'m, LEN>,
}

/// One sample of the sensor, with a label.
#[derive(Clone, Copy, Debug)]
struct Labelled<const LEN: usize> {
    sample: [u8; LEN],
    label: usize,
}

enum State<'m, T: Task, const LEN: usize> {
    Waiting(Learner<'m, T>),
    Learning(Step<'m, T>, Labelled<LEN>),
}

/// What an event came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// A sample is of this class, as far as the network knows.
    Guess(usize),
    /// The last guess was wrong. Its sample waits for the label.
    Wrong,
    /// The label of that sample.
    Label(usize),
    /// A button without a guess, or a label that nobody waits for.
    Nothing,
}

/// What a part of the learning came to.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Learning {
    /// There is more of this step.
    Part,
    /// The step is over: the metrics of its minibatch.
    Step(Metrics),
}

/// What a session has seen.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Counts {
    /// Guesses.
    pub guesses: u32,
    /// Guesses that were said to be wrong.
    pub wrong: u32,
    /// Of these, the ones that got no label.
    pub unlabelled: u32,
    /// Steps of learning.
    pub steps: u32,
    /// Samples with labels that came while others waited already: old samples from the start, without a step of their own.
    pub skipped: u32,
}

/// A network that guesses what a sensor sees, and goes on learning.
///
/// Nothing is done unless the application says so: [`hear`](Self::hear) takes the next event, and a guess is one inference;
/// [`learn`](Self::learn) does a bounded part of a step, at most one layer of one sample. An application that needs the processor does
/// something else for as long as it likes, and then goes on.
///
/// A guess is taken for right when the next sample comes, and learned from, unless somebody pressed the button. Then the label is
/// next, and it is learned from that. Every new sample is learned from together with old ones, and becomes one of them.
pub struct Session<'m, T: Task, const LEN: usize> {
    /// Empty only within [`learn`](Self::learn).
    state: Option<State<'m, T, LEN>>,
    guessing: &'m mut [f32],
    input: &'m mut [f32],
    replay: ReplayBuffer<'m, u8>,
    sink: Sink<'m, LEN>,
    /// The last sample, with its guess, unless somebody pressed the button since.
    guessed: Option<Labelled<LEN>>,
    /// A sample whose guess was wrong.
    doubted: Option<[u8; LEN]>,
    waiting: Deque<Labelled<LEN>, WAITING>,
    counts: Counts,
}

impl<'m, T: Task, const LEN: usize> Session<'m, T, LEN> {
    /// Starts, with nothing guessed and nothing to learn.
    pub fn new(parts: Parts<'m, T, LEN>) -> Self {
        const {
            assert!(
                T::Learning::NET.weights() == T::Guessing::NET.weights(),
                "the network that guesses has the weights of the one that learns"
            );
        }
        Self {
            state: Some(State::Waiting(parts.learner)),
            guessing: parts.guessing,
            input: parts.input,
            replay: parts.replay,
            sink: parts.sink,
            guessed: None,
            doubted: None,
            waiting: Deque::new(),
            counts: Counts::default(),
        }
    }

    /// Takes the next event, if there is one.
    ///
    /// # Errors
    ///
    /// As [`Inference::new`] and [`Inference::run`]; [`Error::Label`] if the network has no such class: the sample goes on waiting.
    pub fn hear(&mut self) -> Result<Option<Heard>, Error<Error>> {
        let Some(event) = self.sink.take() else {
            return Ok(None);
        };
        let heard = match event {
            Event::Sample(sample) => {
                if let Some(right) = self.guessed.take() {
                    self.teach(right)?;
                }
                let label = self.guess(&sample)?;
                self.counts.guesses += 1;
                self.guessed = Some(Labelled { sample, label });
                Heard::Guess(label)
            }
            Event::Wrong => match self.guessed.take() {
                Some(Labelled { sample, .. }) => {
                    self.counts.wrong += 1;
                    let before = self.doubted.replace(sample);
                    self.counts.unlabelled += u32::from(before.is_some());
                    Heard::Wrong
                }
                None => Heard::Nothing,
            },
            Event::Label(label) => {
                let (label, classes) = (label.into(), T::Learning::NET.output_shape().len());
                if label >= classes {
                    return Err(Error::Label {
                        sample: self.counts.guesses.saturating_sub(1) as usize,
                        classes,
                        found: label,
                    });
                }
                match self.doubted.take() {
                    Some(sample) => {
                        self.teach(Labelled { sample, label })?;
                        Heard::Label(label)
                    }
                    None => Heard::Nothing,
                }
            }
        };
        Ok(Some(heard))
    }

    /// Does the next part of the learning, if there is something to learn.
    ///
    /// # Errors
    ///
    /// As [`PartialStep::advance`] and [`ReplayBuffer::offer`]. The step is then over, and its sample dropped; the session goes on with
    /// the next one.
    pub fn learn(&mut self) -> Result<Option<Learning>, Error<Error>> {
        let (mut step, new) = match self.state.take() {
            Some(State::Learning(step, new)) => (step, new),
            Some(State::Waiting(learner)) => {
                let Some(new) = self.waiting.pop_front() else {
                    self.state = Some(State::Waiting(learner));
                    return Ok(None);
                };
                let mut mixed = Mixed::new(Bytes(&new.sample, new.label), &mut self.replay);
                let minibatch = mixed.minibatch([0], T::PACE.old);
                (learner.into_step(minibatch, T::PACE.rate), new)
            }
            None => return Ok(None),
        };
        let mixed = Mixed::new(Bytes(&new.sample, new.label), &mut self.replay);
        let result = step.advance(&mut T::inputs(mixed));
        match result {
            Ok(None) => {
                self.state = Some(State::Learning(step, new));
                Ok(Some(Learning::Part))
            }
            Ok(Some(metrics)) => {
                self.state = Some(State::Waiting(step.into_trainer()));
                self.counts.steps += 1;
                self.remember(new)?;
                Ok(Some(Learning::Step(metrics)))
            }
            Err(error) => {
                self.state = Some(State::Waiting(step.into_trainer()));
                Err(error)
            }
        }
    }

    /// The class of a sample, without learning from it.
    ///
    /// # Errors
    ///
    /// As [`Inference::new`] and [`Inference::run`].
    pub fn guess(&mut self, sample: &[u8; LEN]) -> Result<usize, Error<Error>> {
        let Ok(()) = T::inputs(Bytes(sample, 0)).read(0, self.input, &mut Target::new(&mut []));
        let weights = match &self.state {
            Some(State::Waiting(learner)) => learner.weights(),
            Some(State::Learning(step, _)) => step.weights(),
            None => &[],
        };
        let inference = Inference::new(T::GUESSING, weights, self.guessing);
        let mut inference = inference.map_err(Error::widen)?;
        let outputs = inference.run(self.input).map_err(Error::widen)?;
        Ok(arg_max(outputs))
    }

    /// The share of the samples whose class is found, without learning from them.
    ///
    /// # Errors
    ///
    /// As [`guess`](Self::guess), and [`Error::Dataset`].
    pub fn accuracy<C: Camera<Error = Error>>(
        &mut self,
        samples: &mut C,
    ) -> Result<f32, Error<Error>> {
        let mut correct = 0;
        for index in 0..samples.len() {
            let mut sample = [0; LEN];
            let class = samples.photograph(index, &mut sample);
            let class = class.map_err(Error::Dataset)?;
            correct += u32::from(self.guess(&sample)? == class);
        }
        Ok(correct as f32 / samples.len() as f32)
    }

    /// Whether an event is waiting: a guess may be wanted.
    pub fn is_called(&self) -> bool {
        self.sink.ready()
    }

    /// What was seen.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The events that found no room in the queue.
    pub fn lost(&self) -> u32 {
        self.sink.lost()
    }

    /// The old samples.
    pub fn replay(&self) -> &ReplayBuffer<'m, u8> {
        &self.replay
    }

    /// A sample to learn from, when its turn comes.
    fn teach(&mut self, labelled: Labelled<LEN>) -> Result<(), Error<Error>> {
        if let Err(labelled) = self.waiting.push_back(labelled) {
            self.counts.skipped += 1;
            self.remember(labelled)?;
        }
        Ok(())
    }

    fn remember(&mut self, labelled: Labelled<LEN>) -> Result<(), Error<Error>> {
        let offered = self.replay.offer_raw(&labelled.sample, labelled.label);
        offered.map(|_| ()).map_err(Error::widen)
    }
}

/// One sample of the sensor as a data set: a byte is a 255th.
struct Bytes<'a>(&'a [u8], usize);

impl Dataset for Bytes<'_> {
    type Error = Infallible;

    fn len(&self) -> usize {
        1
    }

    fn read(
        &mut self,
        _: usize,
        input: &mut [f32],
        target: &mut Target<'_>,
    ) -> Result<(), Infallible> {
        for (value, byte) in input.iter_mut().zip(self.0) {
            *value = f32::from(*byte) / 255.0;
        }
        target.set_class(self.1);
        Ok(())
    }
}
