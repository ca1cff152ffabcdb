//! Trains and runs the same three networks with lightlayers and with other frameworks, and prints how fast each is.
//!
//! ```sh
//! python3 -m venv benches/peers/.venv
//! benches/peers/.venv/bin/pip install --requirement benches/peers/requirements.txt
//! cargo run --release --manifest-path benches/peers/Cargo.toml
//! ```
//!
//! The first two lines are for PyTorch and onnxruntime, which are left out without them. PyTorch's compiler needs g++, and
//! minutes for its first run; `--no-compile` leaves it out.
//!
//! Every framework is a process of its own, with as many threads as asked for. In each round everyone does every task once, in turn,
//! so that a machine that is slow for a while is slow for all; the numbers are medians over the rounds. The work is a step of
//! Adam on 64 images of noise, others each step, and the inference of one image. Everyone's networks have the same number of parameters,
//! which is checked. Processors are used as each framework finds them at run time.

mod frameworks;
mod process;
mod work;

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;

use process::Process;
use work::{BATCH, Net};

/// Time lightlayers, PyTorch and onnxruntime on the same work.
#[derive(Parser)]
struct Arguments {
    /// Threads of each framework
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,

    /// Times that everyone does every task
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,

    /// Seconds that a task should take in a round
    #[arg(long, default_value_t = 0.3)]
    seconds: f64,

    /// Only these, separated by commas: lightlayers, torch, onnxruntime
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<String>,

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

const PEERS: [Peer; 5] = [
    Peer::new("lightlayers", "", true),
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

    fn start(&self, arguments: &Arguments) -> Result<Process> {
        let threads = arguments.threads.into();
        if !self.is_python() {
            return Process::linked(self.framework, threads);
        }
        let name = match self.variant {
            "" => self.framework.to_owned(),
            variant => format!("{}-{variant}", self.framework),
        };
        Process::python(&arguments.python, &name, threads).with_context(|| {
            let python = arguments.python.display();
            format!("{python} is missing, or has none; benches/peers/src/main.rs tells how to install it")
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
    for name in &arguments.only {
        if !PEERS.iter().any(|peer| peer.framework == name) {
            bail!("unknown framework '{name}': expected lightlayers, torch or onnxruntime");
        }
    }
    ensure!(
        arguments.seconds > 0.0 && arguments.seconds <= 60.0,
        "a task takes more than 0 and at most 60 seconds, not {}",
        arguments.seconds
    );

    let mut processes = Vec::new();
    let mut measured = Vec::new();
    for (index, peer) in PEERS.iter().enumerate() {
        let asked = arguments.only.is_empty() || arguments.only.iter().any(|n| n == peer.framework);
        let left_out = arguments.no_compile && peer.variant == "compiled";
        let mut process = None;
        if asked && !left_out {
            match prepare(index, peer, &arguments) {
                Ok((started, tasks)) => {
                    eprintln!("{} {}", peer.title(), started.version);
                    process = Some(started);
                    measured.extend(tasks);
                }
                Err(error) => eprintln!("without {}: {error:#}", peer.title()),
            }
        }
        processes.push(process);
    }
    ensure!(!measured.is_empty(), "there is nobody to time");

    for round in 1..=arguments.rounds {
        eprint!("\rround {round} of {}", arguments.rounds);
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
        "{} thread{}, medians over {} rounds; in brackets, how many times as fast lightlayers is",
        arguments.threads,
        if arguments.threads == 1 { "" } else { "s" },
        arguments.rounds
    );
    print_table(Task::Train, &measured, &processes);
    print_table(Task::Infer, &measured, &processes);
    Ok(())
}

/// Starts a peer, checks its networks, warms it up and finds out how often it can do each task in the time of a round.
fn prepare(index: usize, peer: &Peer, arguments: &Arguments) -> Result<(Process, Vec<Measured>)> {
    let mut process = peer.start(arguments)?;
    let mut tasks = Vec::new();
    for net in Net::ALL {
        let (expected, found) = (net.network().weights(), process.parameters(net)?);
        ensure!(
            found == expected,
            "{} should have {expected} parameters, found {found}",
            net.title()
        );
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
