//! Trains the networks of the paper's four tables, with the paper's recipe or with ours, and prints ours beside the paper's numbers.
//!
//! ```text
//! cargo run --release --example fetch_data -- mnist data
//! cargo run --release --features std --example 03_paper -- --table 1
//! cargo run --release --features std --example 03_paper -- --table 1 --rank 1,2,3,4 --seeds 3
//! cargo run --release --features std --example 03_paper -- --table 1 --method conv --recipe paper
//! ```
//!
//! Ctrl-C stops after a minibatch; the same command goes on from there, to the bits that a run without a break would have given.

#[path = "../common/mod.rs"]
mod common;

mod checkpoint;
mod confusion;
mod networks;
mod progress;
mod recipe;
mod report;
mod training;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;
use common::files;
use lightlayers::optim::Adam;
use lightlayers::paper::Kind;

use networks::{Method, Name};
use recipe::{Recipe, Settings};
use report::Row;
use training::{End, Run, STOP};

/// Train the networks of the paper LightLayers (arXiv 2101.02268).
#[derive(Parser)]
#[command(name = "03_paper")]
struct Arguments {
    /// Table of the paper: 1 MNIST, 2 Fashion-MNIST, 3 CIFAR-10, 4 CIFAR-100
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=4))]
    table: u8,

    /// Kinds of networks, one or several
    #[arg(long, value_enum, value_delimiter = ',', default_value = "light")]
    method: Vec<Method>,

    /// Ranks K of light convolutions, one or several [default: 3]
    #[arg(long, value_delimiter = ',', value_name = "K", value_parser = clap::value_parser!(u16).range(1..=64))]
    rank: Vec<u16>,

    /// How to train
    #[arg(long, value_enum, default_value = "tuned")]
    recipe: Recipe,

    /// Times that every training image is seen [default: 20; recipe paper: 10, CIFAR 20]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    epochs: Option<u32>,

    /// Folder with the data sets, as the example fetch_data fills it
    #[arg(long, default_value = "data", value_name = "DIR")]
    data: PathBuf,

    /// Seed of the starting weights, the order of the images and their shifts
    #[arg(long, default_value_t = 1)]
    seed: u32,

    /// Train every network with this many seeds, one after another, and print the mean
    #[arg(long, default_value_t = 1, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1000))]
    seeds: u32,

    /// For a quick trial: at most this many images for training, for validation and for testing
    #[arg(long, value_name = "IMAGES", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,

    /// Recipe paper: start the biases of light convolutions as a slip in the authors' code does, Glorot uniform instead of 0
    #[arg(long)]
    drawn_biases: bool,

    /// Start over, whatever was trained before
    #[arg(long)]
    fresh: bool,

    /// Folder for the table, and a folder for each run
    #[arg(long, default_value = "target/paper", value_name = "FOLDER")]
    out: PathBuf,
}

/// As shells report a process that Ctrl-C ended.
const STOPPED: u8 = 130;

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let kinds = kinds(&arguments)?;
    let Some(set) = networks::set_of_table(arguments.table) else {
        bail!("expected a table from 1 to 4, found {}", arguments.table);
    };
    let settings = match arguments.recipe {
        Recipe::Paper => Settings::paper(set, arguments.epochs, arguments.drawn_biases),
        Recipe::Tuned if arguments.drawn_biases => bail!("--drawn-biases is for --recipe paper"),
        Recipe::Tuned => Settings::tuned(set, arguments.epochs),
    };
    let images = set.read(&arguments.data)?;
    println!("{images}");
    describe(&settings);
    ctrlc::set_handler(|| {
        // The second one does not wait for the minibatch.
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(STOPPED.into());
        }
    })
    .context("cannot listen to Ctrl-C")?;

    let start = Instant::now();
    let images_crc = training::crc_of(&images.training);
    let mut rows: Vec<Row> = Vec::new();
    for kind in kinds {
        let net = settings.network(set, kind);
        println!();
        println!(
            "{}: {} parameters, {} multiply-accumulates for an image, {} bytes to train it",
            Name(kind),
            net.weights(),
            net.multiply_accumulates(),
            size_of::<f32>()
                * (net.weights()
                    + net.trainable_weights()
                    + net.optimizer_state::<Adam>()
                    + net.training_workspace(settings.batch))
        );
        let mut row = Row {
            kind,
            parameters: net.weights(),
            test: Vec::new(),
        };
        for seed in 0..arguments.seeds {
            let seed = u64::from(arguments.seed) + u64::from(seed);
            let run = Run {
                images: &images,
                images_crc,
                kind,
                settings,
                seed,
                limit: arguments.limit.map(|limit| limit as usize),
                folder: arguments
                    .out
                    .join(run_name(&arguments, &settings, set.key(), kind, seed)),
            };
            fs::create_dir_all(&run.folder)
                .with_context(|| format!("cannot create the folder {}", run.folder.display()))?;
            let _alone = files::lock(&run.folder)?;
            if arguments.fresh {
                training::forget(&run.checkpoint())?;
            }
            println!("seed {seed}, files in {}", run.folder.display());
            let End::Finished(outcome) = run.train()? else {
                println!(
                    "stopped; {} keeps the state after the last minibatch, and the same command (without --fresh) goes on from it to the same \
                     bits",
                    run.checkpoint().display()
                );
                return Ok(ExitCode::from(STOPPED));
            };
            report::write_files(&run, &outcome)?;
            println!(
                "test accuracy {:.4}, loss {:.4}",
                outcome.test.accuracy, outcome.test.loss
            );
            row.test.push(outcome.test);
        }
        rows.push(row);
    }

    let table = report::table(set, &rows);
    let file = arguments.out.join(format!(
        "table-{}-{}.md",
        arguments.table,
        recipe_name(arguments.recipe)
    ));
    files::write(&file, table.as_bytes())?;
    println!("\n{table}\nwritten to {}", file.display());
    eprintln!("took {:.1} s", start.elapsed().as_secs_f32());
    Ok(ExitCode::SUCCESS)
}

/// The networks that were asked for.
fn kinds(arguments: &Arguments) -> Result<Vec<Kind>> {
    if !arguments.rank.is_empty() && !arguments.method.contains(&Method::Light) {
        bail!("--rank is for --method light");
    }
    let ranks = match arguments.rank.as_slice() {
        [] => &[3],
        ranks => ranks,
    };
    let mut kinds = Vec::new();
    for method in &arguments.method {
        match method {
            Method::Conv => kinds.push(Kind::Conv2d),
            Method::Separable => kinds.push(Kind::SeparableConv2d),
            Method::Light => kinds.extend(ranks.iter().map(|rank| Kind::Light {
                rank: usize::from(*rank),
            })),
        }
    }
    Ok(kinds)
}

/// Says what the recipe does, and what its numbers are worth.
fn describe(settings: &Settings) {
    match settings.held_back {
        Some(images) => println!(
            "recipe tuned: the last {images} training images are held back for validation; the test images are looked at once, at the end"
        ),
        None => println!(
            "recipe paper: as in the paper's code, the test images are the validation images, and their loss lowers the learning rate: its \
             test accuracy is not one on unseen images"
        ),
    }
    if settings.penalty {
        println!("losses of LightLayers include the penalty on their kernels, as in the paper");
    }
}

fn recipe_name(recipe: Recipe) -> &'static str {
    match recipe {
        Recipe::Paper => "paper",
        Recipe::Tuned => "tuned",
    }
}

/// The name of a run's folder: another run has another one.
fn run_name(
    arguments: &Arguments,
    settings: &Settings,
    set: &str,
    kind: Kind,
    seed: u64,
) -> String {
    let mut name = format!(
        "{set}-{}-{}-epochs{}-seed{seed}",
        networks::file_name(kind),
        recipe_name(arguments.recipe),
        settings.epochs
    );
    if let Some(limit) = arguments.limit {
        name += &format!("-limit{limit}");
    }
    if settings.drawn_biases {
        name += "-drawn-biases";
    }
    name
}
