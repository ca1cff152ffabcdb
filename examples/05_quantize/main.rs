//! Quantizes a trained network to 8-bit integers, and shows what that saves and what it costs.
//!
//! ```text
//! cargo run --release --features std --example 05_quantize
//! cargo run --release --features std --example 05_quantize -- --method minmax --samples 50
//! cargo run --release --example fetch_data -- mnist data
//! cargo run --release --features std --example 05_quantize -- --data data
//! cargo run --release --features std --example 05_quantize -- --data data --fine-tune 1
//! ```
//!
//! Without `--data` it trains a small network on the digits that the repository ships. With it, it takes the paper's network of rank 3,
//! trained on MNIST, or another one that 03_paper wrote. With the feature `std` it is faster, and every number is the same.

#[path = "../common/mod.rs"]
mod common;

mod calibration;
mod fine_tune;
mod picture;
mod report;
mod samples;
mod trained;

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use lightlayers::dataset::Dataset;
use lightlayers::file::{Reader, Writer};
use lightlayers::metrics::arg_max;
use lightlayers::quant::{Comparison, Int8Inference, RangeMethod, TensorError, quantize};
use lightlayers::{Error, Inference, Plan};

use calibration::Calibrated;
use common::files;
use common::model::ModelFile;
use fine_tune::fine_tune;
use report::{Costs, Row, Score};
use samples::Samples;
use trained::Trained;

/// Quantize a trained network to 8-bit integers, and show what that costs.
#[derive(Parser)]
#[command(name = "05_quantize")]
struct Arguments {
    /// How the range that the integers cover is chosen
    #[arg(long, value_enum, default_value = "mse")]
    method: Method,

    /// For --method percentile: at each end, the share of the values that is not clipped
    #[arg(long, default_value_t = 0.9999, value_name = "SHARE")]
    percentile: f32,

    /// Training images to calibrate with
    #[arg(long, default_value_t = 500, value_name = "IMAGES", value_parser = clap::value_parser!(u32).range(1..))]
    samples: u32,

    /// Times that every training image is seen in training with the numbers of the integers
    #[arg(long, default_value_t = 0, value_name = "EPOCHS", value_parser = clap::value_parser!(u32).range(..=10_000))]
    fine_tune: u32,

    /// Folder with MNIST, as the example fetch_data fills it; without it, the digits that the repository ships
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// With --data: a model file that 03_paper wrote for MNIST
    #[arg(long, value_name = "FILE", requires = "data", default_value = trained::MNIST_WEIGHTS)]
    weights: PathBuf,

    /// Without --data: times that every training image is seen
    #[arg(long, default_value_t = 100, conflicts_with = "data", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    epochs: u32,

    /// Seed of training on the digits, and of the choice of images to calibrate with
    #[arg(long, default_value_t = 1)]
    seed: u32,

    /// Folder for the model file and the picture of the histograms
    #[arg(long, default_value = "target/05_quantize", value_name = "FOLDER")]
    out: PathBuf,
}

/// A way to choose a range, on the command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Method {
    /// From the smallest to the largest value that was observed
    Minmax,
    /// Without the share of the values that --percentile leaves at each end
    Percentile,
    /// Where the mean squared error is smallest
    Mse,
}

impl Arguments {
    fn range_method(&self) -> RangeMethod {
        match self.method {
            Method::Minmax => RangeMethod::MinMax,
            Method::Percentile => RangeMethod::Percentile(self.percentile),
            Method::Mse => RangeMethod::MeanSquaredError,
        }
    }

    fn method_name(&self) -> String {
        match self.method {
            Method::Minmax => "minmax".into(),
            Method::Percentile => format!("percentile {}", self.percentile),
            Method::Mse => "mse".into(),
        }
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let Some(data) = &arguments.data else {
        let trained = trained::digits(arguments.seed.into(), arguments.epochs)?;
        return run(&arguments, trained);
    };
    let images = lightlayers_datasets::mnist(data)?;
    println!("{images}");
    run(&arguments, trained::mnist(&images, &arguments.weights)?)
}

fn run<D: Dataset<Error = Error>>(arguments: &Arguments, trained: Trained<D>) -> Result<()> {
    let out = &arguments.out;
    fs::create_dir_all(out)
        .with_context(|| format!("cannot create the folder {}", out.display()))?;
    let (net, mut weights) = trained.without_batch_norm_and_factors()?;
    let plan = Plan::new(&net);
    let mut training = Samples::new(trained.training, &net);
    let mut testing = Samples::new(trained.testing, &net);

    let chosen = training.choose(arguments.samples as usize, arguments.seed.into())?;
    let calibrated = Calibrated::new(
        &plan,
        &weights,
        &mut training,
        &chosen,
        arguments.range_method(),
    )?;
    let mut trained_score = None;
    if arguments.fine_tune > 0 {
        let mut workspace = vec![0.0; net.inference_workspace()];
        let mut inference = Inference::new(&plan, &weights, &mut workspace)?;
        trained_score = Some(score("f32", &mut testing, |image| {
            Ok(arg_max(inference.run(image)?))
        })?);
        fine_tune(
            &plan,
            &mut weights,
            &calibrated.quantizations,
            training.data_mut(),
            arguments.fine_tune,
            arguments.seed.into(),
        )?;
    }
    let mut quantized = vec![0; net.quantized_weights()];
    quantize(&plan, &weights, &calibrated.quantizations, &mut quantized)?;

    // Both networks side by side, which tells them apart layer by layer.
    let mut errors = vec![TensorError::default(); calibrated.quantizations.len()];
    let mut workspace = vec![0.0; net.inference_workspace()];
    let mut int8_workspace = vec![0; net.quantized_workspace()];
    let mut comparison = Comparison::new(
        Inference::new(&plan, &weights, &mut workspace)?,
        Int8Inference::new(&plan, &quantized, &mut int8_workspace)?,
        &mut errors,
    )?;
    let mut integers = vec![0; net.input_shape().len()];
    let f32_score = score("f32 and int8", &mut testing, |image| {
        let (outputs, _) = comparison.run(image, &mut integers)?;
        Ok(arg_max(outputs))
    })?;
    let rows = Row::all(&net, &errors);

    // The file has all that firmware needs: it is read again to be measured.
    let model = out.join(format!("{}.model", trained.name));
    let bytes: Vec<u8> = Writer::quantized(&plan, &quantized)?
        .blocks()
        .flatten()
        .collect();
    files::write(&model, &bytes)?;
    let file =
        ModelFile::read(&model).with_context(|| format!("cannot read {}", model.display()))?;
    let reader = Reader::new(file.bytes())?;
    let plan = Plan::new(&reader.network()?);
    let quantized = reader.quantized_weights(&plan)?;

    let start = Instant::now();
    let mut inference = Int8Inference::new(&plan, quantized, &mut int8_workspace)?;
    let output = inference.output_quantization();
    let int8_score = score("int8", &mut testing, |image| {
        let outputs = inference.run_real(image, &mut integers)?;
        let logits: Vec<f32> = outputs.iter().map(|x| output.dequantize(*x)).collect();
        Ok(arg_max(&logits))
    })?;
    let took = start.elapsed();

    println!(
        "calibrated with {} training images, method {}; over the {} test images:",
        chosen.len(),
        arguments.method_name(),
        f32_score.samples
    );
    println!();
    println!("{}", report::table(&rows, &calibrated, &errors));
    let costs = Costs {
        net: &net,
        trained_score,
        f32_score,
        int8_score,
    };
    println!("{costs}");

    let picture = out.join(format!("{}.svg", trained.name));
    let title = format!(
        "{}, method {}: test accuracy {:.4}, {:.4} in 8 bits",
        trained.title,
        arguments.method_name(),
        costs.f32_score.accuracy(),
        costs.int8_score.accuracy()
    );
    picture::draw(&picture, &title, &net, &weights, &rows, &calibrated)?;
    println!("files:");
    println!(
        "  {}  {} bytes: the network of integers",
        model.display(),
        bytes.len()
    );
    println!(
        "  {}  histograms of weights and activations",
        picture.display()
    );
    eprintln!(
        "int8 took {:.1} s for {} images",
        took.as_secs_f32(),
        costs.int8_score.samples
    );
    Ok(())
}

/// How many of the samples' classes are found.
fn score<D: Dataset<Error = Error>>(
    what: &'static str,
    samples: &mut Samples<D>,
    mut answer: impl FnMut(&[f32]) -> Result<usize>,
) -> Result<Score> {
    let all: Vec<usize> = (0..samples.len()).collect();
    let mut correct = 0;
    samples.each(what, &all, |image, class| {
        correct += usize::from(answer(image)? == class);
        Ok(())
    })?;
    Ok(Score {
        correct,
        samples: all.len(),
    })
}
