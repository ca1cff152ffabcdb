//! Training that can stop after any minibatch and go on to the same bits.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use lightlayers::dataset::Dataset;
use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::metrics::{ConfusionMatrix, arg_max};
use lightlayers::optim::{Adam, Sgd};
use lightlayers::paper::Kind;
use lightlayers::schedule::Schedule;
use lightlayers::{Evaluated, Memory, Permutation, Plan, Trainer};
use lightlayers_datasets::{Augmentation, Augmented, ImageSet, Set, Subset};

use crate::checkpoint::{self, Bounds};
use crate::common::chart::{EpochResult, Measured};
use crate::networks;
use crate::progress::RunBar;
use crate::recipe::Settings;

/// Set by Ctrl-C.
pub static STOP: AtomicBool = AtomicBool::new(false);

/// The most classes that a data set has.
pub const MOST_CLASSES: usize = 100;

/// What a finished epoch gave.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct EpochRecord {
    /// The learning rate of its last step.
    pub rate: f32,
    pub result: EpochResult,
}

/// Everything that the next minibatch depends on.
pub struct State {
    pub weights: Vec<f32>,
    /// Of all weights, the moving statistics included; empty without averaging.
    pub averaged: Vec<f32>,
    pub optimizer_state: Vec<f32>,
    pub steps: u32,
    /// Images of the unfinished epoch so far.
    pub images: u32,
    /// Those of them whose class was found.
    pub correct: u32,
    pub loss_sum: f64,
    pub epochs: Vec<EpochRecord>,
}

/// One network to train.
pub struct Run<'a> {
    pub images: &'a ImageSet,
    /// Of the training images and their labels.
    pub images_crc: u32,
    pub kind: Kind,
    pub settings: Settings,
    pub seed: u64,
    /// At most so many images of each part.
    pub limit: Option<usize>,
    pub folder: PathBuf,
}

/// What came out of a run.
pub struct Outcome {
    pub weights: Vec<f32>,
    pub epochs: Vec<EpochRecord>,
    pub test: Measured,
    pub confusion: ConfusionMatrix<MOST_CLASSES>,
}

/// The end of a run.
pub enum End {
    Finished(Box<Outcome>),
    /// By Ctrl-C, after a minibatch.
    Stopped,
}

impl Run<'_> {
    pub fn set(&self) -> Set {
        self.images.set
    }

    pub fn checkpoint(&self) -> PathBuf {
        self.folder.join("run.checkpoint")
    }

    /// What a checkpoint must agree with.
    fn configuration(&self, training_images: usize) -> String {
        format!(
            "{}, {}, seed {}, {training_images} training images of CRC-32 {:08x}, {:?}",
            self.set(),
            networks::Name(self.kind),
            self.seed,
            self.images_crc,
            self.settings
        )
    }

    /// Trains, or goes on, and measures the result on the test images.
    pub fn train(&self) -> Result<End> {
        let settings = &self.settings;
        let net = settings.network(self.set(), self.kind);
        let plan = Plan::new(&net);
        let held_back = settings.held_back.unwrap_or(0);
        let most = self.limit.unwrap_or(usize::MAX);
        let all = &self.images.training;
        let training = Subset::without_last(all, held_back).with_context(|| {
            format!("the recipe holds {held_back} training images back for validation")
        })?;
        let training = Subset::limit(training, most);
        let mut testing = Subset::limit(&self.images.testing, most);
        let mut validation = match settings.held_back {
            Some(images) => Subset::limit(Subset::last(all, images)?, most),
            // As in the paper's code: the recipe says so in its output.
            None => Subset::limit(
                Subset::last(&self.images.testing, self.images.testing.len())?,
                most,
            ),
        };
        let len = training.len();
        if len == 0 {
            bail!("no training images are left beside {held_back} for validation");
        }
        let augmentation = Augmentation {
            shift: settings.shift,
            flip: settings.flip,
            seed: self.seed,
        };
        let mut training = Augmented::new(training, all.shape(), augmentation)?;

        let mut state = State {
            weights: vec![0.0; net.weights()],
            averaged: vec![0.0; settings.averaging.map_or(0, |_| net.weights())],
            optimizer_state: vec![0.0; net.optimizer_state::<Adam>()],
            steps: 0,
            images: 0,
            correct: 0,
            loss_sum: 0.0,
            epochs: Vec::new(),
        };
        let configuration = self.configuration(len);
        let path = self.checkpoint();
        let bounds = Bounds {
            epochs: settings.epochs,
            images: len,
            batch: settings.batch,
        };
        if checkpoint::read(&path, &configuration, bounds, &mut state)? {
            let (done, of) = (state.epochs.len(), settings.epochs);
            if done as u32 == of {
                println!(
                    "trained before: {} holds all {of} epochs; --fresh trains again",
                    path.display()
                );
            } else {
                println!(
                    "going on from {}: {done} of {of} epochs are done, and {} images of the next",
                    path.display(),
                    state.images
                );
            }
        } else {
            net.initialize(&mut state.weights, self.seed)?;
            if settings.drawn_biases {
                networks::draw_biases(&net, &mut state.weights, self.seed);
            }
            if settings.averaging.is_some() {
                state.averaged.copy_from_slice(&state.weights);
            }
        }

        // Room for a whole minibatch: batch normalization knows no other samples than those that are worked on at once.
        let mut buffers = Buffers {
            gradients: vec![0.0; net.trainable_weights()],
            workspace: vec![0.0; net.training_workspace(settings.batch)],
        };
        let done = state.epochs.len() * len + state.images as usize;
        let bar = RunBar::new(settings.epochs, len, done);
        while (state.epochs.len() as u32) < settings.epochs
            && !settings.stops_after(&state.epochs)?
        {
            let Some((training, rate)) =
                self.train_epoch(&plan, &mut state, &mut buffers, &mut training, &bar)?
            else {
                checkpoint::write(&path, &configuration, &state)?;
                return Ok(End::Stopped);
            };
            let weights = measured_weights(&mut state);
            let test = buffers.evaluate(&plan, weights, &mut validation, |_| {})?;
            let result = EpochResult { training, test };
            state.epochs.push(EpochRecord { rate, result });
            (state.images, state.correct, state.loss_sum) = (0, 0, 0.0);
            checkpoint::write(&path, &configuration, &state)?;
            bar.end_of_epoch(state.epochs.len() as u32, &result);
        }
        drop(bar);

        let mut pairs = Vec::new();
        let weights = measured_weights(&mut state);
        let test = buffers.evaluate(&plan, weights, &mut testing, |sample| {
            pairs.push((arg_max(sample.target), arg_max(sample.outputs)));
        })?;
        let weights = weights.to_vec();
        let mut confusion = ConfusionMatrix::new(all.classes())?;
        for (truth, guess) in pairs {
            confusion.add(truth, guess)?;
        }
        Ok(End::Finished(Box::new(Outcome {
            weights,
            epochs: state.epochs,
            test,
            confusion,
        })))
    }

    /// The rest of an epoch: its mean loss and accuracy, and the last rate; none if it was stopped.
    fn train_epoch<D: Dataset<Error = lightlayers::Error>>(
        &self,
        plan: &Plan,
        state: &mut State,
        buffers: &mut Buffers,
        training: &mut Augmented<D>,
        bar: &RunBar,
    ) -> Result<Option<(Measured, f32)>> {
        let settings = &self.settings;
        let len = training.len();
        let epoch = state.epochs.len() as u32 + 1;
        let steps_per_epoch = len.div_ceil(settings.batch) as u32;
        let schedule = settings.schedule(steps_per_epoch, &state.epochs);
        // Order and shifts are functions of the seed and the epoch, so they need no place in a checkpoint.
        let order = if settings.shuffle {
            Permutation::new(len as u32, self.seed << 16 | u64::from(epoch))
        } else {
            Permutation::identity(len as u32)
        };
        training.set_epoch(epoch);

        let memory = Memory {
            weights: &mut state.weights,
            gradients: &mut buffers.gradients,
            optimizer_state: &mut state.optimizer_state,
            workspace: &mut buffers.workspace,
        };
        let loss = SoftmaxCrossEntropy::with_label_smoothing(settings.label_smoothing)?;
        let mut trainer = Trainer::new(plan, loss, Adam::new(), memory)?.with_steps(state.steps);
        let mut rate = schedule.rate(state.steps.saturating_sub(1));
        while (state.images as usize) < len {
            if STOP.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let start = state.images as usize;
            let end = len.min(start + settings.batch);
            rate = schedule.rate(state.steps);
            let samples = (start..end).map(|position| order.index(position));
            let metrics = trainer.step(training, samples, rate)?;
            state.steps = trainer.steps();
            state.images = end as u32;
            state.correct += metrics.correct();
            state.loss_sum += f64::from(metrics.loss()) * f64::from(metrics.samples());
            if let Some(most) = settings.averaging {
                // Shorter at the start, so that the first weights are soon forgotten.
                let step = state.steps as f32;
                let kept = most.min((1.0 + step) / (10.0 + step));
                for (averaged, weight) in state.averaged.iter_mut().zip(trainer.weights()) {
                    *averaged += (1.0 - kept) * (weight - *averaged);
                }
            }
            bar.show(epoch, end, state.loss_sum, state.correct);
        }
        let measured = Measured {
            loss: (state.loss_sum / len as f64) as f32,
            accuracy: state.correct as f32 / len as f32,
        };
        Ok(Some((measured, rate)))
    }
}

/// The weights that a run is about: the averaged ones, if there are any.
fn measured_weights(state: &mut State) -> &mut [f32] {
    if state.averaged.is_empty() {
        &mut state.weights
    } else {
        &mut state.averaged
    }
}

/// Memory that holds nothing from one step to the next.
struct Buffers {
    gradients: Vec<f32>,
    workspace: Vec<f32>,
}

impl Buffers {
    /// Without label smoothing, whatever the recipe trains with; penalties are part of the loss.
    fn evaluate<D: Dataset<Error = lightlayers::Error>>(
        &mut self,
        plan: &Plan,
        weights: &mut [f32],
        data: &mut D,
        on_sample: impl FnMut(Evaluated<'_>),
    ) -> Result<Measured> {
        let memory = Memory {
            weights,
            gradients: &mut self.gradients,
            optimizer_state: &mut [],
            workspace: &mut self.workspace,
        };
        let mut trainer = Trainer::new(plan, SoftmaxCrossEntropy::new(), Sgd, memory)?;
        Ok(trainer.evaluate(data, on_sample)?.into())
    }
}

/// The checksum of images and labels.
pub fn crc_of(images: &lightlayers_datasets::Images) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    for image in (0..images.len()).filter_map(|index| images.image(index)) {
        crc.update(image);
    }
    crc.update(images.labels());
    crc.finalize()
}

/// Removes the checkpoint of a run, if there is one.
pub fn forget(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
