//! A framework in a process of its own, which answers tasks line by line; `peers.py` describes them.

use std::env;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};

use crate::work::Net;

pub struct Process {
    child: Child,
    /// None only while it is told to end.
    tasks: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
    pub version: String,
}

impl Process {
    /// A framework that is linked into this program.
    pub fn linked(framework: &str, threads: u16) -> Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.args(["--serve", framework]);
        Self::start(command, threads)
    }

    /// A framework that `peers.py` knows.
    pub fn python(python: &Path, framework: &str, threads: u16) -> Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers.py");
        let mut command = Command::new(python);
        command.arg(script).arg(framework).arg(threads.to_string());
        Self::start(command, threads)
    }

    fn start(mut command: Command, threads: u16) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .env("RAYON_NUM_THREADS", threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // What frameworks warn of is not asked for; a failure is told in an answer, or seen when the script runs alone.
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        let output = child.stdout.take().context("no standard output")?;
        let mut process = Self {
            tasks: child.stdin.take(),
            child,
            answers: BufReader::new(output).lines(),
            version: String::new(),
        };
        let ready = process.line()?;
        let Some(version) = ready.strip_prefix("ready ") else {
            bail!("expected 'ready' and a version, found '{ready}'");
        };
        version.clone_into(&mut process.version);
        Ok(process)
    }

    fn line(&mut self) -> Result<String> {
        let line = self.answers.next();
        Ok(line.context("it ended before it answered")??)
    }

    fn ask(&mut self, task: &str) -> Result<f64> {
        let tasks = self.tasks.as_mut().context("it was told to end")?;
        writeln!(tasks, "{task}").with_context(|| format!("cannot ask for '{task}'"))?;
        let line = self.line().with_context(|| format!("'{task}'"))?;
        match line.split_once(' ') {
            Some(("ok", value)) => value
                .parse()
                .with_context(|| format!("'{task}' was answered by '{line}'")),
            Some(("error", message)) => Err(anyhow!("'{task}': {message}")),
            _ => bail!("'{task}' was answered by '{line}'"),
        }
    }

    pub fn parameters(&mut self, net: Net) -> Result<usize> {
        Ok(self.ask(&format!("parameters {}", net.name()))? as usize)
    }

    /// The loss of the last step of training.
    pub fn loss(&mut self, net: Net) -> Result<f64> {
        self.ask(&format!("loss {}", net.name()))
    }

    /// Seconds of a task, `train` or `infer`, done `count` times.
    pub fn seconds(&mut self, task: &str, net: Net, count: usize) -> Result<f64> {
        self.ask(&format!("{task} {} {count}", net.name()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The end of its input ends it; whether it ends well no longer matters.
        drop(self.tasks.take());
        let _ = self.child.wait();
    }
}
