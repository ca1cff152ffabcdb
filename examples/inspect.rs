//! Shows what is in a model file.
//!
//! ```text
//! cargo run --release --example inspect -- FILE
//! ```

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Parser;
use lightlayers::file::Reader;
use lightlayers::{Network, Plan};

/// Check a model file, and print its network and the range of its weights.
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
    let (words, len) = read(path)?;
    let bytes = &bytemuck::cast_slice(&words)[..len];
    let file = Reader::new(bytes)?;
    println!("{}: {len} bytes, its checksum fits", path.display());
    match file.optimizer() {
        Some((steps, elements)) => {
            println!("with the state of an optimizer after {steps} steps, {elements} elements")
        }
        None => println!("without the state of an optimizer"),
    }
    println!();

    let net = file.network()?;
    println!("{}", net.summary());
    ranges(&net, file.weights(&Plan::new(&net))?);
    Ok(())
}

/// A file in words of 16 bytes, so that its numbers can be read where they lie, and its length.
fn read(path: &Path) -> Result<(Vec<u128>, usize)> {
    let mut file = File::open(path)?;
    let len = usize::try_from(file.metadata()?.len())?;
    let mut words = vec![0; len.div_ceil(size_of::<u128>())];
    file.read_exact(&mut bytemuck::cast_slice_mut(&mut words)[..len])?;
    Ok((words, len))
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
