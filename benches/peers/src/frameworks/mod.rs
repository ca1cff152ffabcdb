//! The frameworks that are linked into this program. Each answers tasks in a process of its own, so that none shares its threads.

mod burn;
mod candle;
mod lightlayers;

use std::io::{Write, stdin, stdout};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::work::Net;

/// A network with what it needs to be trained and run.
trait Model {
    /// With the moving statistics of batch normalization.
    fn parameters(&self) -> usize;

    /// Takes steps of Adam, and returns the last loss.
    fn train(&mut self, steps: usize) -> Result<f32>;

    /// Runs images, one at a time, and returns some output of the last one.
    fn infer(&mut self, images: usize) -> Result<f32>;
}

/// A model that was asked for, and the loss of its last step.
struct Served {
    net: Net,
    model: Box<dyn Model>,
    loss: f32,
}

fn model(framework: &str, net: Net) -> Result<Box<dyn Model>> {
    match framework {
        "lightlayers" => lightlayers::model(net),
        "burn" => burn::model(net),
        "candle" => candle::model(net),
        _ => bail!("'{framework}' is not linked into this program"),
    }
}

/// The version that was linked, from the lock file.
fn version(framework: &str) -> &'static str {
    let package = match framework {
        "candle" => "candle-core",
        same => same,
    };
    let lock = include_str!("../../Cargo.lock");
    let entry = format!("name = \"{package}\"\nversion = \"");
    let rest = lock.split_once(&entry).map_or("", |(_, rest)| rest);
    rest.split('"').next().unwrap_or_default()
}

/// Answers tasks, as `peers.py` does, whose head describes them.
pub fn serve(framework: &str) -> Result<()> {
    println!("ready {}", version(framework));
    let mut models = Vec::new();
    for line in stdin().lines() {
        let line = line?;
        match answer(framework, &mut models, &line) {
            Ok(value) => println!("ok {value}"),
            Err(error) => println!("error {}", format!("{error:#}").replace('\n', " ")),
        }
        stdout().flush()?;
    }
    Ok(())
}

fn answer(framework: &str, models: &mut Vec<Served>, line: &str) -> Result<f64> {
    let mut words = line.split(' ');
    let task = words.next().unwrap_or_default();
    let name = words.next().unwrap_or_default();
    let net = Net::named(name).with_context(|| format!("unknown network '{name}'"))?;
    let count = words.next().map_or(Ok(0), str::parse)?;

    let known = models.iter().position(|served| served.net == net);
    let index = match known {
        Some(index) => index,
        None => {
            models.push(Served {
                net,
                model: model(framework, net)?,
                loss: f32::NAN,
            });
            models.len() - 1
        }
    };
    let Served { model, loss, .. } = &mut models[index];
    let start = Instant::now();
    let value = match task {
        "parameters" => return Ok(model.parameters() as f64),
        "loss" => return Ok(f64::from(*loss)),
        "train" => {
            *loss = model.train(count)?;
            *loss
        }
        "infer" => model.infer(count)?,
        _ => bail!("unknown task '{task}'"),
    };
    let seconds = start.elapsed().as_secs_f64();
    ensure!(value.is_finite(), "{task} {name} gave {value}");
    Ok(seconds)
}
