//! Shows what is in a model file.
//!
//! ```text
//! cargo run --release --example inspect -- FILE
//! ```

mod common;

use std::iter::once;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Parser;
use lightlayers::file::{Reader, SectionKind};
use lightlayers::quant::Int8Inference;
use lightlayers::{Network, Plan};

use common::model::ModelFile;

/// Check a model file, and print its network and the range of its weights, or how its tensors are quantized.
#[derive(Parser)]
#[command(name = "inspect")]
struct Arguments {
    /// What `01_train_digits` and other programs write
    file: PathBuf,
}

fn main() -> Result<()> {
    let Arguments { file: path } = Arguments::parse();
    show(&path).with_context(|| format!("cannot inspect {}", path.display()))
}

fn show(path: &Path) -> Result<()> {
    let file = ModelFile::read(path)?;
    let bytes = file.bytes();
    let file = Reader::new(bytes)?;
    println!(
        "{}: {} bytes, its checksum fits",
        path.display(),
        bytes.len()
    );
    let is_quantized = file.weights_kind() == SectionKind::QUANTIZED_WEIGHTS;
    match file.optimizer() {
        Some((steps, elements)) => {
            println!("with the state of an optimizer after {steps} steps, {elements} elements")
        }
        None if is_quantized => {
            println!("quantized to 8 bits; the table of layers counts bytes of f32")
        }
        None => println!("without the state of an optimizer"),
    }
    println!();

    let net = file.network()?;
    println!("{}", net.summary());
    let plan = Plan::new(&net);
    if is_quantized {
        quantizations(&plan, file.quantized_weights(&plan)?)
    } else {
        ranges(&net, file.weights(&plan)?);
        Ok(())
    }
}

/// Prints how each tensor is quantized, and the bytes of its values and of what its layer computes them with.
fn quantizations(plan: &Plan, words: &[u32]) -> Result<()> {
    let net = plan.network();
    let mut workspace = vec![0; net.quantized_workspace()];
    let inference = Int8Inference::new(plan, words, &mut workspace)?;
    println!(
        "{:<24}{:>12}{:>12}{:>12}{:>12}",
        "quantized", "scale", "zero point", "values", "weights"
    );
    let input = ("   input".to_owned(), net.input_shape());
    let layers = net.layers().iter().enumerate();
    let outputs = layers.map(|(index, layer)| {
        let name = format!("{index:>2} {}", layer.name());
        (name, layer.output_shape())
    });
    for (tensor, (name, shape)) in once(input).chain(outputs).enumerate() {
        let quantization = inference.quantization(tensor).context("no scale")?;
        let words = net.quantized_weights_range(tensor).context("no words")?;
        println!(
            "{name:<24}{:>12.4e}{:>12}{:>12}{:>12}",
            quantization.scale(),
            quantization.zero_point(),
            shape.len(),
            4 * words.len()
        );
    }
    println!(
        "{:<24}{:>12}{:>12}{:>12}{:>12}",
        "   workspace, weights",
        "",
        "",
        4 * workspace.len(),
        4 * words.len()
    );
    Ok(())
}

/// Prints where the weights of each layer lie between, and how many are not numbers.
fn ranges(net: &Network, weights: &[f32]) {
    println!(
        "{:<24}{:>12}{:>12}{:>14}",
        "weights", "least", "largest", "not finite"
    );
    let layers = net.layers().iter().enumerate();
    let layers = layers.filter(|(_, layer)| layer.weights() > 0);
    for (index, layer) in layers {
        let name = format!("{index:>2} {}", layer.name());
        range(&name, &weights[layer.weights_range()]);
    }
    let end = net
        .layers()
        .last()
        .map_or(0, |layer| layer.weights_range().end);
    if end < weights.len() {
        range("   moving statistics", &weights[end..]);
    }
}

fn range(name: &str, weights: &[f32]) {
    let least = weights.iter().copied().fold(f32::INFINITY, f32::min);
    let largest = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let not_finite = weights.iter().filter(|weight| !weight.is_finite()).count();
    println!("{name:<24}{least:>12.5}{largest:>12.5}{not_finite:>14}");
}
