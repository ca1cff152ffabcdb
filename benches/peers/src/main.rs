//! Trains and runs the same three networks with lightlayers and with other frameworks, and prints how fast each is.
//!
//! ```sh
//! python3 -m venv benches/peers/.venv
//! benches/peers/.venv/bin/pip install --requirement benches/peers/requirements.txt
//! cargo run --release --manifest-path benches/peers/Cargo.toml
//! ```
//!
//! The first two lines are for PyTorch and onnxruntime, which are left out without them. PyTorch's compiler needs g++, and
//! minutes for its first run; `--no-compile` leaves it out. `--frameworks lightlayers,burn,candle` needs no Python.
//!
//! The networks are the paper's light one with K = 3 and its conv one, for images of 28x28x1, and an MLP 784-128-10. The work is a
//! step of Adam on 64 images, others each step, with everything that belongs to it: forward with batch statistics, softmax
//! cross-entropy, backward, update; and the inference of one image, with moving statistics. Before it is timed, everyone shows that its
//! networks have as many parameters as those of lightlayers, and that the loss falls.
//!
//! Every framework is a process of its own, with as many threads as asked for. In each round everyone does every task once, in turn,
//! so that a machine that is slow for a while is slow for all; the numbers are medians over the rounds. Everyone is built as it comes:
//! those that look at the processor at run time use what they find, and `RUSTFLAGS="-C target-cpu=native"` is for those that are told when
//! they are compiled, as candle is for all but its matrix products.

mod frameworks;
mod process;
mod work;

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use process::Process;
use work::{BATCH, Net};

/// Steps of training between the two losses that are compared.
const TRIAL_STEPS: usize = 64;
/// The loss after those steps, at most so much of the one before them.
const TRIAL_LOSS: f64 = 0.95;

/// Time training and inference of the same networks with lightlayers and other frameworks.
#[derive(Parser)]
struct Arguments {
    /// Threads of each framework; several counts, separated by commas, are timed one after another
    #[arg(long, default_value = "1,2", value_delimiter = ',', value_name = "COUNTS", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Vec<u16>,

    /// Times that everyone does every task
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,

    /// Seconds that a task should take in a round
    #[arg(long, default_value_t = 0.3)]
    seconds: f64,

    /// Only these, separated by commas; without it, all that can be started
    #[arg(long, value_delimiter = ',', value_name = "NAMES", value_parser = FRAMEWORKS)]
    frameworks: Vec<String>,

    /// Leave out PyTorch's compiler
    #[arg(long)]
    no_compile: bool,

    /// The Python that has PyTorch and onnxruntime
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/.venv/bin/python"), value_name = "FILE")]
    python: PathBuf,

    /// Answer tasks for this framework
    #[arg(long, hide = true)]
    serve: Option<String>,
}

/// A way to run a framework; of several, the fastest one counts.
struct Peer {
    framework: &'static str,
    variant: &'static str,
    trains: bool,
}

const FRAMEWORKS: [&str; 5] = ["lightlayers", "burn", "candle", "torch", "onnxruntime"];

const PEERS: [Peer; 7] = [
    Peer::new("lightlayers", "", true),
    Peer::new("burn", "", true),
    Peer::new("candle", "", true),
    Peer::new("torch", "", true),
    Peer::new("torch", "channels_last", true),
    Peer::new("torch", "compiled", true),
    Peer::new("onnxruntime", "", false),
];

impl Peer {
    const fn new(framework: &'static str, variant: &'static str, trains: bool) -> Self {
        Self {
            framework,
            variant,
            trains,
        }
    }

    fn is_python(&self) -> bool {
        matches!(self.framework, "torch" | "onnxruntime")
    }

    fn title(&self) -> String {
        match self.variant {
            "" => self.framework.to_owned(),
            variant => format!("{} ({variant})", self.framework),
        }
    }

    /// Whether its framework was asked for by name.
    fn is_named(&self, arguments: &Arguments) -> bool {
        arguments.frameworks.iter().any(|n| n == self.framework)
    }

    fn is_wanted(&self, arguments: &Arguments) -> bool {
        let left_out = arguments.no_compile && self.variant == "compiled";
        !left_out && (arguments.frameworks.is_empty() || self.is_named(arguments))
    }

    fn start(&self, arguments: &Arguments, threads: u16) -> Result<Process> {
        if !self.is_python() {
            return Process::linked(self.framework, threads);
        }
        let name = match self.variant {
            "" => self.framework.to_owned(),
            variant => format!("{}-{variant}", self.framework),
        };
        Process::python(&arguments.python, &name, threads).with_context(|| {
            let python = arguments.python.display();
            format!("{python} cannot run it; install what benches/peers/requirements.txt lists")
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Task {
    Train,
    Infer,
}

impl Task {
    fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Infer => "infer",
        }
    }
}

/// A task of a peer, and its seconds for one step or one image in each round.
struct Measured {
    peer: usize,
    task: Task,
    net: Net,
    count: usize,
    seconds: Vec<f64>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(framework) = &arguments.serve {
        return frameworks::serve(framework);
    }
    ensure!(
        arguments.seconds > 0.0 && arguments.seconds <= 60.0,
        "a task takes more than 0 and at most 60 seconds, not {}",
        arguments.seconds
    );
    let needs_python = PEERS
        .iter()
        .any(|peer| peer.is_python() && peer.is_wanted(&arguments));
    if needs_python && !arguments.python.exists() {
        let folder = env!("CARGO_MANIFEST_DIR");
        eprintln!(
            "{} is missing, which PyTorch and onnxruntime need. To make it:\n    \
             python3 -m venv {folder}/.venv\n    \
             {folder}/.venv/bin/pip install --requirement {folder}/requirements.txt\n",
            arguments.python.display()
        );
    }
    for &threads in &arguments.threads {
        compare(&arguments, threads)?;
    }
    Ok(())
}

/// Times everyone with so many threads, and prints the tables.
fn compare(arguments: &Arguments, threads: u16) -> Result<()> {
    let plural = if threads == 1 { "" } else { "s" };
    eprintln!("{threads} thread{plural}");
    let mut processes = Vec::new();
    let mut measured = Vec::new();
    for (index, peer) in PEERS.iter().enumerate() {
        let mut process = None;
        if peer.is_wanted(arguments) {
            match prepare(index, arguments, threads).with_context(|| peer.title()) {
                Ok((started, tasks)) => {
                    process = Some(started);
                    measured.extend(tasks);
                }
                // Only Python may lack something, and only if it was not asked for.
                Err(error) if peer.is_python() && !peer.is_named(arguments) => {
                    eprintln!("  left out: {error:#}");
                }
                Err(error) => return Err(error),
            }
        }
        processes.push(process);
    }
    ensure!(!measured.is_empty(), "there is nobody to time");

    for round in 1..=arguments.rounds {
        eprint!("\r  round {round} of {}", arguments.rounds);
        for net in Net::ALL {
            for task in [Task::Train, Task::Infer] {
                let same = measured
                    .iter_mut()
                    .filter(|m| m.net == net && m.task == task);
                for entry in same {
                    let process = processes[entry.peer].as_mut();
                    let process = process.context("a task has no process")?;
                    // The threads of some frameworks spin for a while after their work; the next one should not pay for it.
                    thread::sleep(Duration::from_millis(50));
                    let seconds = process
                        .seconds(task.name(), net, entry.count)
                        .with_context(|| PEERS[entry.peer].title())?;
                    entry.seconds.push(seconds / entry.count as f64);
                }
            }
        }
    }
    eprintln!();
    println!(
        "{threads} thread{plural}, medians over {} rounds; in brackets, how many times as fast lightlayers is",
        arguments.rounds
    );
    print_table(Task::Train, &measured, &processes);
    print_table(Task::Infer, &measured, &processes);
    println!();
    Ok(())
}

/// Starts a peer, checks its networks, warms it up and finds out how often it can do each task in the time of a round.
fn prepare(index: usize, arguments: &Arguments, threads: u16) -> Result<(Process, Vec<Measured>)> {
    let peer = &PEERS[index];
    let mut process = peer.start(arguments, threads)?;
    eprintln!("  {} {}", peer.title(), process.version);
    let mut tasks = Vec::new();
    for net in Net::ALL {
        let found = check(peer, &mut process, net).with_context(|| net.title())?;
        eprintln!("    {}: {found}", net.title());
        for task in [Task::Train, Task::Infer] {
            if task == Task::Train && !peer.trains {
                continue;
            }
            // The first call also compiles, and fills caches.
            process.seconds(task.name(), net, 3)?;
            let once = process.seconds(task.name(), net, 3)? / 3.0;
            tasks.push(Measured {
                peer: index,
                task,
                net,
                count: (arguments.seconds / once).clamp(1.0, 1e6) as usize,
                seconds: Vec::new(),
            });
        }
    }
    Ok((process, tasks))
}

/// That a peer has the network it should have, and learns with it.
fn check(peer: &Peer, process: &mut Process, net: Net) -> Result<String> {
    let (expected, found) = (net.network().weights(), process.parameters(net)?);
    ensure!(
        found == expected,
        "expected {expected} parameters, found {found}"
    );
    if !peer.trains {
        return Ok(format!("{found} parameters"));
    }
    process.seconds(Task::Train.name(), net, 1)?;
    let first = process.loss(net)?;
    process.seconds(Task::Train.name(), net, TRIAL_STEPS)?;
    let last = process.loss(net)?;
    ensure!(
        last <= first * TRIAL_LOSS,
        "the loss was {first:.3}, and is {last:.3} after {TRIAL_STEPS} steps more: it does not learn"
    );
    Ok(format!(
        "{found} parameters, loss {first:.3}, after {TRIAL_STEPS} steps more {last:.3}"
    ))
}

/// A line for each framework, with its fastest variant for each network.
fn print_table(task: Task, measured: &[Measured], processes: &[Option<Process>]) {
    println!();
    match task {
        Task::Train => println!("Training, batch {BATCH}, images/s:"),
        Task::Infer => println!("Inference, one image, µs:"),
    }
    println!();
    let titles = Net::ALL.map(Net::title).join(" | ");
    println!("| | {titles} |");
    println!("|---|--:|--:|--:|");
    let of = |net, framework: &str| {
        let those = measured.iter().filter(move |m| {
            m.task == task && m.net == net && PEERS[m.peer].framework == framework
        });
        those.min_by(|a, b| median(&a.seconds).total_cmp(&median(&b.seconds)))
    };
    for (index, peer) in PEERS.iter().enumerate() {
        let first = PEERS.iter().position(|p| p.framework == peer.framework);
        let cells: Vec<String> = Net::ALL
            .into_iter()
            .filter_map(|net| Some(cell(of(net, peer.framework)?, of(net, "lightlayers"))))
            .collect();
        if first == Some(index) && !cells.is_empty() {
            let mut versions = PEERS.iter().zip(processes).filter_map(|(p, process)| {
                (p.framework == peer.framework).then_some(process.as_ref()?.version.as_str())
            });
            let version = versions.next().unwrap_or_default();
            println!("| {} {version} | {} |", peer.framework, cells.join(" | "));
        }
    }
}

fn cell(entry: &Measured, ours: Option<&Measured>) -> String {
    let seconds = median(&entry.seconds);
    let mut text = match entry.task {
        Task::Train => format!("{:.0}", BATCH as f64 / seconds),
        Task::Infer => format!("{:.1}", seconds * 1e6),
    };
    let peer = &PEERS[entry.peer];
    if !peer.variant.is_empty() {
        text = format!("{text} {}", peer.variant);
    }
    if let Some(ours) = ours.filter(|ours| ours.peer != entry.peer) {
        // Of the same round, as the machine's speed may change from one to the next.
        let rounds = entry.seconds.iter().zip(&ours.seconds);
        let ratios: Vec<f64> = rounds.map(|(theirs, ours)| theirs / ours).collect();
        text = format!("{text} ({:.2})", median(&ratios));
    }
    text
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.as_slice() {
        [] => f64::NAN,
        values if values.len() % 2 == 1 => values[middle],
        values => (values[middle - 1] + values[middle]) / 2.0,
    }
}
