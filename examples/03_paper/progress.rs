//! Progress of a run in the terminal.

use std::time::{Duration, Instant};

use indicatif::{FormattedDuration, ProgressBar, ProgressStyle};

use crate::common::chart::EpochResult;

/// A bar that fills once per run, and a line that stays for every epoch.
///
/// Where the standard error stream is not a terminal there is no bar. The lines go to the standard output and hold no times, so the same
/// seed prints the same ones again.
pub struct RunBar {
    bar: ProgressBar,
    epochs: u32,
    images_per_epoch: usize,
    /// Images of earlier sessions, which say nothing about the speed of this one.
    before: usize,
    start: Instant,
}

impl RunBar {
    pub fn new(epochs: u32, images_per_epoch: usize, before: usize) -> Self {
        let bar = ProgressBar::new(epochs as u64 * images_per_epoch as u64);
        let style = ProgressStyle::with_template("{prefix} {bar:20.cyan/238} {msg}")
            .expect("the template is a constant")
            .progress_chars("━╸━");
        bar.set_style(style);
        Self {
            bar,
            epochs,
            images_per_epoch,
            before,
            start: Instant::now(),
        }
    }

    /// Shows where an epoch stands; epochs count from 1.
    pub fn show(&self, epoch: u32, images: usize, loss_sum: f64, correct: u32) {
        if self.bar.is_hidden() {
            return;
        }
        let done = (epoch - 1) as usize * self.images_per_epoch + images;
        let all = self.epochs as usize * self.images_per_epoch;
        let rate = (done - self.before) as f64 / self.start.elapsed().as_secs_f64().max(1e-3);
        let left = Duration::from_secs(((all - done) as f64 / rate.max(1e-3)) as u64);
        self.bar.set_prefix(self.name(epoch));
        self.bar.set_message(format!(
            "{rate:.0} images/s, {} left, loss {:.4}, accuracy {:.4}",
            FormattedDuration(left),
            loss_sum / images as f64,
            f64::from(correct) / images as f64
        ));
        self.bar.set_position(done as u64);
    }

    pub fn end_of_epoch(&self, epoch: u32, result: &EpochResult) {
        let EpochResult { training, test } = result;
        self.bar.suspend(|| {
            println!(
                "{}  training loss {:.4}, accuracy {:.4}   validation loss {:.4}, accuracy {:.4}",
                self.name(epoch),
                training.loss,
                training.accuracy,
                test.loss,
                test.accuracy
            );
        });
    }

    fn name(&self, epoch: u32) -> String {
        let width = self.epochs.to_string().len();
        format!("epoch {epoch:>width$}/{}", self.epochs)
    }
}

impl Drop for RunBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
