//! Progress of training in the terminal.

use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use lightlayers::Progress;

/// A bar that fills with samples, one after another, under a name.
pub fn samples_bar(name: &'static str, samples: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {bar:20.cyan/238} {per_sec}, {eta} left")
        .expect("the template is a constant")
        .progress_chars("━╸━");
    ProgressBar::new(samples as u64)
        .with_style(style)
        .with_prefix(name)
}

/// A bar that fills once per epoch, and a line that stays for every tenth of the epochs.
///
/// Where the standard error stream is not a terminal there is no bar. The lines go to the standard output and hold no times, so the same
/// seed prints the same ones again.
pub struct TrainingBar {
    bar: ProgressBar,
    epochs: u32,
    start: Instant,
}

impl TrainingBar {
    pub fn new(epochs: u32) -> Self {
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template("{prefix} {bar:20.cyan/238} {msg}")
            .expect("the template is a constant")
            .progress_chars("━╸━");
        bar.set_style(style);
        Self {
            bar,
            epochs,
            start: Instant::now(),
        }
    }

    /// Shows where an epoch stands; epochs count from 1.
    pub fn show(&self, epoch: u32, progress: Progress) {
        if self.bar.is_hidden() {
            return;
        }
        let samples = (epoch - 1) as usize * progress.of + progress.samples;
        let rate = samples as f64 / self.start.elapsed().as_secs_f64();
        self.bar.set_length(progress.of as u64);
        self.bar.set_prefix(self.name(epoch));
        self.bar.set_message(format!(
            "{rate:.0} samples/s, loss {:.4}, accuracy {:.4}",
            progress.metrics.loss(),
            progress.metrics.accuracy()
        ));
        self.bar.set_position(progress.samples as u64);
    }

    /// Prints the result of the first epoch, and of the last one of every tenth.
    pub fn end_of_epoch(&self, epoch: u32, result: &str) {
        let tenth = (self.epochs / 10).max(1);
        if epoch == 1 || epoch.is_multiple_of(tenth) || epoch == self.epochs {
            self.bar
                .suspend(|| println!("{}  {result}", self.name(epoch)));
        }
    }

    fn name(&self, epoch: u32) -> String {
        let width = self.epochs.to_string().len();
        format!("epoch {epoch:>width$}/{}", self.epochs)
    }
}

impl Drop for TrainingBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
