//! Training.

#[cfg(feature = "embedded-storage")]
mod checkpoint;
mod epoch;
mod partial;
mod stages;

pub use epoch::{Epoch, Evaluated, Progress};
pub use partial::PartialStep;

use crate::dataset::Dataset;
use crate::error::{Buffer, Error};
use crate::infer::check_layers;
use crate::kernels::elementwise::all_finite;
use crate::layers::{self, Mode};
use crate::loss::Loss;
use crate::metrics::Metrics;
use crate::network::{Layer, Network};
use crate::optim::{Optimizer, Step};
use crate::plan::{Graph, Plan};
use crate::quant::{Exact, FakeQuantization, Quantization, Rounding};
use crate::rng::{Permutation, Rng};
use crate::schedule::Schedule;
use crate::workspace::Workspace;

/// The memory of a [`Trainer`], owned by the user.
#[derive(Debug)]
pub struct Memory<'m> {
    /// [`Network::weights`] elements: where training starts, and its result.
    pub weights: &'m mut [f32],
    /// [`Network::trainable_weights`] elements, of any values.
    pub gradients: &'m mut [f32],
    /// [`Network::optimizer_state`] elements, all 0 at the start.
    pub optimizer_state: &'m mut [f32],
    /// [`Network::training_workspace`] elements for the samples that are worked on at once. One sample is enough for minibatches
    /// of any size, at the same bits; but batch normalization knows no other samples than those that are worked on at once.
    pub workspace: &'m mut [f32],
}

impl Network {
    /// The elements of state of an optimizer. `usize::MAX`, which no buffer has, if they are more than a `usize` counts.
    pub const fn optimizer_state<O: Optimizer>(&self) -> usize {
        O::STATE.saturating_mul(self.trainable_weights())
    }

    /// Fills the weights with the starting values of each layer's initializer, a function of the network and the seed, and the moving
    /// statistics of batch normalization with means of 0 and variances of 1.
    ///
    /// In firmware, [`Trainer::initialize`] does the same with less code.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if `weights` is not as long as the network needs.
    pub fn initialize(&self, weights: &mut [f32], seed: u64) -> Result<(), Error> {
        Error::check_length(Buffer::Weights, self.weights(), weights.len())?;
        initialize::<&Plan>(self.layers(), weights, seed)
    }
}

/// Fills all weights of a graph with `layers`, as [`Network::initialize`] says.
fn initialize<G: Graph>(layers: &[Layer], weights: &mut [f32], seed: u64) -> Result<(), Error> {
    let mut rng = Rng::new(seed);
    let mut rest = weights;
    for layer in layers {
        let own = first_of(&mut rest, layer.weights()).ok_or(Error::Plan)?;
        layers::initialize::<G>(layer, own, &mut rng)?;
    }
    for layer in layers {
        let own = first_of(&mut rest, layer.moving_statistics()).ok_or(Error::Plan)?;
        let (mean, variance) = own.split_at_mut(own.len() / 2);
        mean.fill(0.0);
        variance.fill(1.0);
    }
    Ok(())
}

/// Trains a network in memory that the user owns.
///
/// A small handle over [`Memory`], for a graph (a [`Model`](crate::Model) or a `&`[`Plan`](crate::Plan)), a [`Loss`] and an
/// [`Optimizer`].
///
/// ```
/// use lightlayers::dataset::{Dataset, Holdout, PackedImages};
/// use lightlayers::loss::SoftmaxCrossEntropy;
/// use lightlayers::optim::Adam;
/// use lightlayers::schedule::Constant;
/// use lightlayers::{Epoch, Memory, Model, Network, Trainer};
///
/// struct Digits;
///
/// impl Model for Digits {
///     const NET: Network = Network::input(8, 8, 1).flatten().light_dense(16, 4).relu().dense(10);
/// }
///
/// const NET: Network = Digits::NET;
/// let mut weights = [0.0; NET.weights()];
/// let mut gradients = [0.0; NET.trainable_weights()];
/// let mut optimizer_state = [0.0; NET.optimizer_state::<Adam>()];
/// let mut workspace = [0.0; NET.training_workspace(1)];
///
/// let memory = Memory {
///     weights: &mut weights,
///     gradients: &mut gradients,
///     optimizer_state: &mut optimizer_state,
///     workspace: &mut workspace,
/// };
/// let mut trainer = Trainer::new(Digits, SoftmaxCrossEntropy::new(), Adam::new(), memory)?;
/// trainer.initialize(1)?;
///
/// # let bytes = include_bytes!("../../examples/data/digits.bin");
/// let digits = PackedImages::new(bytes)?;
/// let mut training = Holdout::training(digits, 5)?;
/// for epoch in 0..3 {
///     let metrics = trainer.epoch(&mut training, Epoch::shuffled(32, epoch), &Constant(0.01), |_| {})?;
///     println!("epoch {epoch}: loss {:.3}", metrics.loss());
/// }
/// let metrics = trainer.evaluate(&mut Holdout::testing(digits, 5)?, |_| {})?;
/// assert!(metrics.accuracy() > 0.8);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Trainer<'m, G, L, O, R = Exact> {
    graph: G,
    rounding: R,
    loss: L,
    optimizer: O,
    weights: &'m mut [f32],
    gradients: &'m mut [f32],
    optimizer_state: &'m mut [f32],
    workspace: Workspace<'m>,
    step: u32,
    dropout_seed: u64,
}

impl<'m, G: Graph, L: Loss, O: Optimizer> Trainer<'m, G, L, O> {
    /// A session that goes on from the weights in `memory`.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if a buffer does not have the length that the network and the optimizer need,
    /// [`Error::UnsuitableLoss`] if the loss [cannot learn](Loss::check) from the network's output,
    /// [`Error::SingleValue`] if the workspace holds one sample and a batch normalization needs two.
    pub fn new(graph: G, loss: L, optimizer: O, memory: Memory<'m>) -> Result<Self, Error> {
        let sizes = graph.sizes();
        check_layers(&graph)?;
        loss.check(sizes.outputs)?;
        Error::check_length(Buffer::Weights, sizes.weights, memory.weights.len())?;
        Error::check_length(Buffer::Gradients, sizes.trainable, memory.gradients.len())?;
        Error::check_length(
            Buffer::OptimizerState,
            O::STATE.saturating_mul(sizes.trainable),
            memory.optimizer_state.len(),
        )?;
        if const { O::KEEPS_GRADIENTS } {
            memory.gradients.fill(0.0);
        }
        let trainer = Self {
            graph,
            rounding: Exact,
            loss,
            optimizer,
            weights: memory.weights,
            gradients: memory.gradients,
            optimizer_state: memory.optimizer_state,
            workspace: Workspace::new(memory.workspace, sizes.training)?,
            step: 0,
            dropout_seed: 0,
        };
        trainer.check_parts(trainer.workspace.capacity())?;
        Ok(trainer)
    }

    /// The same session, which goes on with the numbers that a quantized network computes with, to win back what rounding loses.
    ///
    /// `quantizations` are those of the network's input and of each layer's output, as a [`Calibration`](crate::quant::Calibration)
    /// chooses them; `rounded` is memory for the weights as they are used, [`Network::weights`] elements. The weights that training
    /// changes are not rounded; [`quantize`](crate::quant::quantize) them afterwards with the same quantizations.
    ///
    /// ```
    /// use lightlayers::dataset::{Dataset, PackedImages, Target};
    /// use lightlayers::loss::SoftmaxCrossEntropy;
    /// use lightlayers::optim::Adam;
    /// use lightlayers::quant::{Calibration, Quantization, RangeMethod, TensorRange};
    /// use lightlayers::schedule::Constant;
    /// use lightlayers::{Epoch, Memory, Model, Network, Trainer};
    ///
    /// #[derive(Clone, Copy)]
    /// struct Digits;
    ///
    /// impl Model for Digits {
    ///     const NET: Network = Network::input(8, 8, 1).flatten().dense(12).relu().dense(10);
    /// }
    ///
    /// const NET: Network = Digits::NET;
    /// let mut weights = [0.0; NET.weights()];
    /// NET.initialize(&mut weights, 1)?;
    ///
    /// let mut ranges = [TensorRange::EMPTY; NET.len() + 1];
    /// let mut workspace = [0.0; NET.inference_workspace()];
    /// let mut calibration = Calibration::new(Digits, &weights, &mut workspace, &mut ranges, &mut [])?;
    /// # let bytes = include_bytes!("../../examples/data/digits.bin");
    /// let mut digits = PackedImages::new(bytes)?;
    /// let mut sample = [0.0; 64];
    /// for index in 0..20 {
    ///     digits.read(index, &mut sample, &mut Target::new(&mut [0.0; 10]))?;
    ///     calibration.observe(&sample)?;
    /// }
    /// let mut quantizations = [Quantization::PIXELS; NET.len() + 1];
    /// calibration.choose(RangeMethod::MinMax, &mut quantizations)?;
    ///
    /// let memory = Memory {
    ///     weights: &mut weights,
    ///     gradients: &mut [0.0; NET.trainable_weights()],
    ///     optimizer_state: &mut [0.0; NET.optimizer_state::<Adam>()],
    ///     workspace: &mut [0.0; NET.training_workspace(1)],
    /// };
    /// let trainer = Trainer::new(Digits, SoftmaxCrossEntropy::new(), Adam::new(), memory)?;
    /// let mut rounded = [0.0; NET.weights()];
    /// let mut trainer = trainer.quantization_aware(&quantizations, &mut rounded)?;
    /// trainer.epoch(&mut digits, Epoch::shuffled(32, 1), &Constant(1e-3), |_| {})?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if a buffer does not have the length that the network needs, [`Error::Unquantizable`] if it has a layer that
    /// cannot be quantized.
    pub fn quantization_aware(
        self,
        quantizations: &'m [Quantization],
        rounded: &'m mut [f32],
    ) -> Result<Trainer<'m, G, L, O, FakeQuantization<'m>>, Error> {
        Ok(Trainer {
            rounding: FakeQuantization::new(&self.graph, quantizations, rounded)?,
            graph: self.graph,
            loss: self.loss,
            optimizer: self.optimizer,
            weights: self.weights,
            gradients: self.gradients,
            optimizer_state: self.optimizer_state,
            workspace: self.workspace,
            step: self.step,
            dropout_seed: self.dropout_seed,
        })
    }
}

impl<'m, G: Graph, L: Loss, O: Optimizer, R: Rounding> Trainer<'m, G, L, O, R> {
    /// Starts afresh: the weights of [`Network::initialize`], the state of the optimizer at 0, a velocity in the gradients too, and no step
    /// done.
    ///
    /// For a [`Model`](crate::Model), only the table of its own layers is linked, and the code of an [`Initializer`](crate::Initializer)
    /// only if a layer has it.
    ///
    /// # Errors
    ///
    /// [`Error::Plan`] as everywhere else; the lengths were checked by [`new`](Self::new).
    pub fn initialize(&mut self, seed: u64) -> Result<(), Error> {
        self.optimizer_state.fill(0.0);
        if const { O::KEEPS_GRADIENTS } {
            self.gradients.fill(0.0);
        }
        self.step = 0;
        initialize::<G>(self.graph.layers(), self.weights, seed)
    }

    /// The seed of dropout's random numbers; 0 unless it is set.
    pub fn with_dropout_seed(mut self, seed: u64) -> Self {
        self.dropout_seed = seed;
        self
    }

    /// The optimizer steps so far, to go on with a saved optimizer state: with the same weights, state and steps, the next steps have
    /// the bits that they would have had without a break.
    pub fn with_steps(mut self, steps: u32) -> Self {
        self.step = steps;
        self
    }

    /// The weights.
    pub fn weights(&self) -> &[f32] {
        self.weights
    }

    /// The weights, to load others or to go back to the best ones.
    pub fn weights_mut(&mut self) -> &mut [f32] {
        self.weights
    }

    /// The gradients of the last minibatch, those of the trainable layers in layer order. After [`Error::NonFinite`] they may be anything, but
    /// 0 where [`HeavyBall`](crate::optim::HeavyBall) keeps its velocity in them.
    pub fn gradients(&self) -> &[f32] {
        self.gradients
    }

    /// The gradients, to load the velocity that [`HeavyBall`](crate::optim::HeavyBall) keeps in them, and to go on from there. Other
    /// optimizers start every step from 0.
    pub fn gradients_mut(&mut self) -> &mut [f32] {
        self.gradients
    }

    /// The optimizer steps so far.
    pub fn steps(&self) -> u32 {
        self.step
    }

    /// Trains on every sample once. `on_step` is called after each minibatch.
    ///
    /// The metrics are means over the epoch, penalties included, each minibatch measured before its step. A sample counts for the
    /// accuracy if its target is one class among several: 1 there, 0 elsewhere.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`] if the data set or the minibatch has no samples, [`Error::OutOfRange`] if more than
    /// `u32::MAX` samples are to be shuffled; else as [`step`](Self::step).
    ///
    /// [`Error::SingleValue`] comes before the first step, also if only the last minibatch is too small.
    pub fn epoch<D: Dataset>(
        &mut self,
        data: &mut D,
        epoch: Epoch,
        schedule: &impl Schedule,
        mut on_step: impl FnMut(Progress),
    ) -> Result<Metrics, Error<D::Error>> {
        let len = data.len();
        if len == 0 || epoch.batch == 0 {
            return Err(Error::Empty);
        }
        self.check_parts(epoch.batch.min(len))
            .and_then(|()| self.check_parts(len % epoch.batch))
            .map_err(Error::widen)?;
        let order = match epoch.shuffle {
            Some(seed) => Permutation::new(
                u32::try_from(len).map_err(|_| Error::OutOfRange {
                    what: "the number of samples of a shuffled epoch",
                    range: "1..=4294967295",
                })?,
                seed,
            ),
            None => Permutation::identity(0),
        };
        let mut metrics = Metrics::default();
        let mut start = 0;
        while start < len {
            let end = len.min(start.saturating_add(epoch.batch));
            let rate = schedule.rate(self.step);
            let samples = (start..end).map(|position| order.index(position));
            metrics.merge(&self.step(data, samples, rate)?);
            on_step(Progress {
                samples: end,
                of: len,
                metrics,
                step: Step {
                    number: self.step,
                    rate,
                },
            });
            start = end;
        }
        Ok(metrics)
    }

    /// One optimizer step on the mean loss of a minibatch: the samples at `indices`, however many.
    ///
    /// If they do not fit the workspace at once, they are worked on in parts; the bits are the same, unless the network has
    /// [batch normalization](crate::Op::BatchNorm) that learns: its statistics are those of each part.
    ///
    /// # Errors
    ///
    /// [`Error::Dataset`] if a sample cannot be read, [`Error::Label`] and [`Error::NonFiniteSample`] if it is not usable,
    /// [`Error::NonFinite`] if the loss, a gradient or a new weight is NaN or infinite, [`Error::Empty`] without indices,
    /// [`Error::OutOfRange`] if `rate` is negative, NaN or infinite, [`Error::SingleValue`] if a batch normalization that learns would see
    /// one value per channel in a part of the minibatch.
    ///
    /// No weight becomes NaN or infinite. A new weight that is not finite keeps its value, and the others have moved; with every other
    /// error the weights are as before the step, but for moving statistics of batch normalization, which may have moved. No error leaves
    /// anything in the optimizer that stops the next step.
    pub fn step<D: Dataset>(
        &mut self,
        data: &mut D,
        mut indices: impl ExactSizeIterator<Item = usize>,
        rate: f32,
    ) -> Result<Metrics, Error<D::Error>> {
        let samples = indices.len();
        if samples == 0 {
            return Err(Error::Empty);
        }
        let layers = 0..self.graph.layers().len();
        let weight = 1.0 / samples as f32;
        let mut metrics = Metrics::default();
        self.begin(samples, rate).map_err(Error::widen)?;
        let mut done = 0;
        while done < samples {
            let mode = self.training_mode(done);
            let part = self.workspace.capacity().min(samples - done);
            if let Err(error) = self.read(data, &mut indices, 0..part, part) {
                // What the samples before added may have overflowed, and an optimizer may go on from there.
                if const { O::KEEPS_GRADIENTS } && !all_finite(self.gradients) {
                    self.gradients.fill(0.0);
                }
                return Err(error);
            }
            self.forward(layers.clone(), part, mode)
                .ok_or(Error::Plan)?;
            self.losses(0, part, weight, &mut metrics, |_| {})
                .ok_or(Error::Plan)?;
            self.backward(layers.clone(), part, mode)
                .ok_or(Error::Plan)?;
            done += part;
        }
        self.finish(rate, &mut metrics)?;
        Ok(metrics)
    }

    /// The same step in parts, between which the application can do something else: [`PartialStep::advance`] does one after another.
    ///
    /// ```
    /// # use lightlayers::dataset::PackedImages;
    /// # use lightlayers::loss::SoftmaxCrossEntropy;
    /// # use lightlayers::optim::Sgd;
    /// # use lightlayers::{Memory, Model, Network, Trainer};
    /// # struct Digits;
    /// # impl Model for Digits {
    /// #     const NET: Network = Network::input(8, 8, 1).flatten().light_dense(16, 4).relu().dense(10);
    /// # }
    /// # const NET: Network = Digits::NET;
    /// # let mut digits = PackedImages::new(include_bytes!("../../examples/data/digits.bin"))?;
    /// # let memory = Memory {
    /// #     weights: &mut [0.0; NET.weights()],
    /// #     gradients: &mut [0.0; NET.trainable_weights()],
    /// #     optimizer_state: &mut [],
    /// #     workspace: &mut [0.0; NET.training_workspace(1)],
    /// # };
    /// let mut trainer = Trainer::new(Digits, SoftmaxCrossEntropy::new(), Sgd, memory)?;
    /// trainer.initialize(1)?;
    ///
    /// let mut step = trainer.start_step([3, 14, 15].into_iter(), 0.1)?;
    /// let metrics = loop {
    ///     if let Some(metrics) = step.advance(&mut digits)? {
    ///         break metrics;
    ///     }
    ///     // The application's turn.
    /// };
    /// assert_eq!(metrics.samples(), 3);
    /// assert_eq!(trainer.steps(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Empty`] without indices. A rate or a number of samples that [`step`](Self::step) does not take is the error of the first
    /// [`PartialStep::advance`].
    pub fn start_step<I: ExactSizeIterator<Item = usize>>(
        &mut self,
        indices: I,
        rate: f32,
    ) -> Result<PartialStep<&mut Self, I>, Error> {
        if indices.len() == 0 {
            return Err(Error::Empty);
        }
        Ok(PartialStep::new(self, indices, rate))
    }

    /// As [`start_step`](Self::start_step), with the trainer moved into the step until [`PartialStep::into_trainer`] gives it back: for a
    /// state of the application that holds a step which is under way.
    ///
    /// ```
    /// use lightlayers::loss::SoftmaxCrossEntropy;
    /// use lightlayers::optim::Sgd;
    /// use lightlayers::{Model, PartialStep, Trainer};
    ///
    /// type Learner<M> = Trainer<'static, M, SoftmaxCrossEntropy, Sgd>;
    ///
    /// enum State<M> {
    ///     Waiting(Learner<M>),
    ///     Learning(PartialStep<Learner<M>, core::array::IntoIter<usize, 4>>),
    /// }
    ///
    /// impl<M: Model> State<M> {
    ///     fn learn(self, samples: [usize; 4]) -> Self {
    ///         match self {
    ///             Self::Waiting(trainer) => Self::Learning(trainer.into_step(samples.into_iter(), 0.1)),
    ///             learning => learning,
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// Without indices, there are no parts: [`PartialStep::advance`] gives [`Error::Empty`].
    pub fn into_step<I: ExactSizeIterator<Item = usize>>(
        self,
        indices: I,
        rate: f32,
    ) -> PartialStep<Self, I> {
        PartialStep::new(self, indices, rate)
    }

    /// Measures the network on every sample, as at inference. `on_sample` is called for each of them.
    ///
    /// The loss includes the penalties, as in training.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step), but for what only training can meet.
    pub fn evaluate<D: Dataset>(
        &mut self,
        data: &mut D,
        mut on_sample: impl FnMut(Evaluated<'_>),
    ) -> Result<Metrics, Error<D::Error>> {
        let len = data.len();
        if len == 0 {
            return Err(Error::Empty);
        }
        self.rounding
            .round_weights(self.graph.layers(), self.weights);
        let layers = 0..self.graph.layers().len();
        let mut metrics = Metrics::default();
        let mut indices = 0..len;
        while !indices.is_empty() {
            let (first, part) = (indices.start, self.workspace.capacity().min(indices.len()));
            self.read(data, &mut indices, 0..part, part)?;
            self.forward(layers.clone(), part, Mode::Inference)
                .ok_or(Error::Plan)?;
            self.losses(first, part, 0.0, &mut metrics, &mut on_sample)
                .ok_or(Error::Plan)?;
        }
        metrics.add_penalty(self.penalize(false));
        Ok(metrics)
    }
}

/// Takes the first `len` elements off.
fn first_of<'a>(rest: &mut &'a mut [f32], len: usize) -> Option<&'a mut [f32]> {
    let (first, after) = core::mem::take(rest).split_at_mut_checked(len)?;
    *rest = after;
    Some(first)
}
