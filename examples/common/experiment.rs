//! An experiment with the shipped digits: training with some seeds, and what came out in the terminal and in files.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use lightlayers::dataset::{Dataset, Holdout};
use lightlayers::file::Writer;
use lightlayers::loss::SoftmaxCrossEntropy;
use lightlayers::metrics::{ConfusionMatrix, Metrics, arg_max};
use lightlayers::optim::{Adam, AdamW};
use lightlayers::schedule::Cosine;
use lightlayers::{Epoch, Graph, Inference, Memory, Network, Plan, Trainer};

use super::bar::TrainingBar;
use super::chart::{EpochResult, Legend, learning_curves};
use super::digits::{DIGITS, TEST_EVERY};
use super::files;
use super::shades;
use super::shifted::Shifted;

/// What every experiment can be asked for.
#[derive(Args)]
pub struct Options {
    /// Seed of the starting weights, the order of the images and their shifts
    #[arg(long, default_value_t = 1)]
    seed: u32,

    /// Train this many networks, with seeds one after another, and print their mean accuracy
    #[arg(long, default_value_t = 1, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1000))]
    seeds: u32,

    /// Times that every training image is seen
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    epochs: u32,
}

/// The settings of training: AdamW with a learning rate that rises for a fiftieth of the steps and then falls to 0 along a cosine.
pub struct Settings {
    /// Images per step.
    pub batch: usize,
    /// Images that are worked on at once; more of them need a larger workspace.
    pub at_once: usize,
    /// The highest learning rate.
    pub peak_rate: f32,
    /// The weight decay of AdamW.
    pub decay: f32,
    /// How far an image is moved at most, in pixels.
    pub shift: f32,
}

/// Trains with every seed, prints the results and writes the files of the first one into the folder `out`.
///
/// `train` is called with a seed and the number of epochs, and calls [`train()`] with a graph of `net`.
pub fn run(
    net: &Network,
    options: &Options,
    out: &Path,
    train: impl Fn(u64, u32) -> Result<Run>,
) -> Result<()> {
    fs::create_dir_all(out)
        .with_context(|| format!("cannot create the folder {}", out.display()))?;
    println!("{}", net.summary().training::<AdamW>(1));

    let start = Instant::now();
    let mut runs = Vec::new();
    for i in 0..options.seeds {
        let seed = u64::from(options.seed) + u64::from(i);
        println!("training with seed {seed}");
        runs.push(train(seed, options.epochs)?);
        println!();
    }
    let took = start.elapsed();

    let first = &runs[0];
    println!("{}", first.confusion);
    println!();
    for guess in first.wrong_guesses.iter().take(2) {
        println!("{}", describe(guess, net, &first.weights)?);
    }
    for run in &runs {
        println!(
            "seed {}: test accuracy {:.4} ({} of {}), test loss {:.4}",
            run.seed,
            run.test.accuracy(),
            run.test.correct(),
            run.test.samples(),
            run.test.loss()
        );
    }
    if runs.len() > 1 {
        let sum: f32 = runs.iter().map(|run| run.test.accuracy()).sum();
        println!("mean test accuracy {:.4}", sum / runs.len() as f32);
    }
    println!();
    write_files(first, net, out)?;
    eprintln!("took {:.1} s", took.as_secs_f32());
    Ok(())
}

/// What training with one seed gave.
pub struct Run {
    seed: u64,
    pub weights: Vec<f32>,
    epochs: Vec<EpochResult>,
    test: Metrics,
    confusion: ConfusionMatrix<10>,
    wrong_guesses: Vec<WrongGuess>,
}

struct WrongGuess {
    /// The image's index in `digits.bin`.
    image: usize,
    truth: usize,
}

/// Trains `net`, of which `graph` is a [`Model`](lightlayers::Model) or a [`Plan`].
pub fn train(
    graph: impl Graph,
    net: &Network,
    settings: &Settings,
    seed: u64,
    epochs: u32,
) -> Result<Run> {
    let training = Holdout::training(DIGITS, TEST_EVERY)?;
    let mut testing = Holdout::testing(DIGITS, TEST_EVERY)?;
    let steps_per_epoch = Epoch::in_order(settings.batch).steps(training.len());
    let mut shifted = Shifted::new(training, DIGITS.shape(), settings.shift, seed);

    // On a microcontroller these are statics whose lengths are constants; see 02_custom_layer.
    let mut weights = vec![0.0; net.weights()];
    let mut gradients = vec![0.0; net.trainable_weights()];
    let mut optimizer_state = vec![0.0; net.optimizer_state::<AdamW>()];
    let mut workspace = vec![0.0; net.training_workspace(settings.at_once)];
    net.initialize(&mut weights, seed)?;
    let memory = Memory {
        weights: &mut weights,
        gradients: &mut gradients,
        optimizer_state: &mut optimizer_state,
        workspace: &mut workspace,
    };

    let steps = epochs * steps_per_epoch;
    let warmup = steps / 50;
    let schedule = Cosine {
        peak: settings.peak_rate,
        warmup,
        decay: steps - warmup,
        floor: 0.0,
    };
    let optimizer = AdamW::new(settings.decay, Adam::new())?;
    let mut trainer = Trainer::new(graph, SoftmaxCrossEntropy::new(), optimizer, memory)?;

    let bar = TrainingBar::new(epochs);
    let mut results = Vec::new();
    for epoch in 1..=epochs {
        // Another order in every epoch of every seed.
        let order = Epoch::shuffled(settings.batch, seed << 16 | u64::from(epoch));
        let training = trainer.epoch(&mut shifted, order, &schedule, |progress| {
            bar.show(epoch, progress);
        })?;
        // Measured to be drawn; nothing is decided by it.
        let test = trainer.evaluate(&mut testing, |_| {})?;
        results.push(EpochResult {
            training: training.into(),
            test: test.into(),
        });
        bar.end_of_epoch(
            epoch,
            &format!(
                "loss {:.4}, accuracy {:.4}   test loss {:.4}, accuracy {:.4}",
                training.loss(),
                training.accuracy(),
                test.loss(),
                test.accuracy()
            ),
        );
    }
    drop(bar);

    let mut pairs = Vec::new();
    let test = trainer.evaluate(&mut testing, |sample| {
        pairs.push((arg_max(sample.target), arg_max(sample.outputs)));
    })?;
    let mut confusion = ConfusionMatrix::new(DIGITS.classes())?;
    let mut wrong_guesses = Vec::new();
    for (sample, (truth, guess)) in pairs.into_iter().enumerate() {
        confusion.add(truth, guess)?;
        if truth != guess {
            let image = testing.index_in_whole(sample);
            wrong_guesses.push(WrongGuess { image, truth });
        }
    }
    Ok(Run {
        seed,
        weights,
        epochs: results,
        test,
        confusion,
        wrong_guesses,
    })
}

/// The picture of a digit that was not recognised, beside what the network thought of it.
fn describe(guess: &WrongGuess, net: &Network, weights: &[f32]) -> Result<String> {
    let levels = DIGITS.levels(guess.image).context("no such image")?;
    let image: Vec<f32> = levels.map(|level| f32::from(level) / 15.0).collect();

    // Training works on logits; with a softmax behind them, which has no weights, the same weights give probabilities.
    let plan = Plan::new(&net.softmax());
    let mut workspace = vec![0.0; plan.network().inference_workspace()];
    let mut inference = Inference::new(&plan, weights, &mut workspace)?;
    let probabilities = inference.run(&image)?;

    let mut classes: Vec<usize> = (0..probabilities.len()).collect();
    classes.sort_by(|a, b| probabilities[*b].total_cmp(&probabilities[*a]));
    let mut text = vec![
        format!("image {} of digits.bin", guess.image),
        format!("truth {}, guess {}", guess.truth, classes[0]),
        String::new(),
    ];
    text.extend(classes.iter().take(4).map(|class| {
        let probability = probabilities[*class];
        format!("{class}  {probability:.3} {}", shades::bar(probability, 20))
    }));
    let picture = shades::image(&image, DIGITS.shape().width.into());
    Ok(shades::beside(&picture, &text))
}

/// Writes the model file, which firmware can include, and the learning curves.
fn write_files(run: &Run, net: &Network, out: &Path) -> Result<()> {
    let model = out.join("digits.model");
    let plan = Plan::new(net);
    let bytes: Vec<u8> = Writer::new(&plan, &run.weights)?
        .blocks()
        .flatten()
        .collect();
    files::write(&model, &bytes)?;

    let curves = out.join("learning_curves.svg");
    let legend = Legend {
        training: "training, on shifted images",
        test: "test, only measured",
    };
    let title = format!(
        "Digits, {} parameters, seed {}: test accuracy {:.3}",
        run.weights.len(),
        run.seed,
        run.test.accuracy()
    );
    learning_curves(&curves, &title, &legend, &run.epochs)?;

    println!("files of seed {}:", run.seed);
    println!(
        "  {}  {} bytes: the network and its {} weights",
        model.display(),
        bytes.len(),
        run.weights.len()
    );
    println!("  {}  loss and accuracy of every epoch", curves.display());
    Ok(())
}
