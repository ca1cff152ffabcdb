//! How well a network does: loss, accuracy, confusion matrix.

use core::fmt;

use heapless::Vec;

use crate::error::{Buffer, Error};

/// The index of the largest value, the first of equal ones; 0 for none.
///
/// ```
/// assert_eq!(lightlayers::metrics::arg_max(&[0.1, 0.7, 0.2]), 1);
/// ```
#[inline(never)]
pub fn arg_max(values: &[f32]) -> usize {
    let mut best = (0, f32::NEG_INFINITY);
    for (i, value) in values.iter().enumerate() {
        if *value > best.1 {
            best = (i, *value);
        }
    }
    best.0
}

/// Loss and accuracy over the samples so far, up to `u32::MAX` of them; later ones are left out.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Metrics {
    loss: f32,
    samples: u32,
    labelled: u32,
    correct: u32,
}

impl Metrics {
    /// Adds a sample. `correct` says whether its class was found; `None` for a target that is not a class.
    pub fn add(&mut self, loss: f32, correct: Option<bool>) {
        let Some(samples) = self.samples.checked_add(1) else {
            return;
        };
        self.samples = samples;
        // The mean so far, moved: a sum of many losses would lose the small ones.
        self.loss += (loss - self.loss) / self.samples as f32;
        if let Some(correct) = correct {
            self.labelled += 1;
            self.correct += u32::from(correct);
        }
    }

    /// Adds to the mean loss what does not come from a sample: the penalty on weights.
    pub(crate) fn add_penalty(&mut self, penalty: f32) {
        self.loss += penalty;
    }

    /// Adds the samples of `other`.
    pub(crate) fn merge(&mut self, other: &Self) {
        let Some(samples) = self.samples.checked_add(other.samples) else {
            return;
        };
        self.samples = samples;
        if self.samples > 0 {
            let share = other.samples as f32 / self.samples as f32;
            self.loss += (other.loss - self.loss) * share;
        }
        self.labelled += other.labelled;
        self.correct += other.correct;
    }

    /// The mean loss; 0 before the first sample.
    pub fn loss(&self) -> f32 {
        self.loss
    }

    /// The share of samples whose class was found; 0 if none had a class.
    pub fn accuracy(&self) -> f32 {
        if self.labelled == 0 {
            return 0.0;
        }
        self.correct as f32 / self.labelled as f32
    }

    /// The number of samples.
    pub fn samples(&self) -> u32 {
        self.samples
    }

    /// The number of samples whose class was found.
    pub fn correct(&self) -> u32 {
        self.correct
    }
}

/// Counts of true against predicted classes, for up to `MAX` of them.
///
/// ```
/// use lightlayers::metrics::ConfusionMatrix;
///
/// let mut matrix = ConfusionMatrix::<4>::new(2)?;
/// for (truth, predicted) in [(0, 0), (0, 1), (1, 1), (1, 1)] {
///     matrix.add(truth, predicted)?;
/// }
/// assert_eq!(matrix.recall(0), Some(0.5));
/// assert_eq!(matrix.precision(1), Some(2.0 / 3.0));
/// assert_eq!(matrix.accuracy(), Some(0.75));
/// # Ok::<(), lightlayers::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfusionMatrix<const MAX: usize> {
    rows: Vec<[u32; MAX], MAX>,
}

impl<const MAX: usize> ConfusionMatrix<MAX> {
    /// Without samples.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if `classes` is 0 or above `MAX`.
    pub fn new(classes: usize) -> Result<Self, Error> {
        let mut rows = Vec::new();
        match rows.resize(classes, [0; MAX]) {
            Ok(()) if classes > 0 => Ok(Self { rows }),
            _ => Err(Error::Length {
                buffer: Buffer::ConfusionMatrix,
                expected: MAX,
                found: classes,
            }),
        }
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.rows.len()
    }

    /// Counts one sample.
    ///
    /// # Errors
    ///
    /// [`Error::Label`] if a class is not below the number of classes; its sample is the number of samples so far.
    pub fn add(&mut self, truth: usize, predicted: usize) -> Result<(), Error> {
        let classes = self.classes();
        if predicted < classes
            && let Some(count) = self
                .rows
                .get_mut(truth)
                .and_then(|row| row.get_mut(predicted))
        {
            *count = count.saturating_add(1);
            return Ok(());
        }
        Err(Error::Label {
            sample: usize::try_from(self.total()).unwrap_or(usize::MAX),
            classes,
            found: if truth < classes { predicted } else { truth },
        })
    }

    /// How many samples of class `truth` were taken for class `predicted`; 0 for a class that is not there.
    pub fn count(&self, truth: usize, predicted: usize) -> u32 {
        let row = self.rows.get(truth);
        row.and_then(|row| row.get(predicted)).copied().unwrap_or(0)
    }

    /// The samples so far.
    pub fn total(&self) -> u64 {
        sum(self.rows.iter().flatten().copied())
    }

    /// The share of the samples taken for a class that belong to it; none if there are none.
    pub fn precision(&self, class: usize) -> Option<f32> {
        let taken = sum((0..self.classes()).map(|truth| self.count(truth, class)));
        share(self.count(class, class).into(), taken)
    }

    /// The share of the samples of a class that were found; none if there are none.
    pub fn recall(&self, class: usize) -> Option<f32> {
        let there = sum((0..self.classes()).map(|predicted| self.count(class, predicted)));
        share(self.count(class, class).into(), there)
    }

    /// The share of samples whose class was found; none if there are none.
    pub fn accuracy(&self) -> Option<f32> {
        let found = sum((0..self.classes()).map(|class| self.count(class, class)));
        share(found, self.total())
    }
}

/// Wider than the counts: many of them do not fit one.
fn sum(counts: impl Iterator<Item = u32>) -> u64 {
    counts.map(u64::from).sum()
}

fn share(part: u64, whole: u64) -> Option<f32> {
    (whole > 0).then(|| part as f32 / whole as f32)
}

/// A table: a row for every true class, a column for every predicted one, then precision and recall.
impl<const MAX: usize> fmt::Display for ConfusionMatrix<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9}", "true\\pred")?;
        for class in 0..self.classes() {
            write!(f, "{class:>5}")?;
        }
        writeln!(f, "{:>8}", "recall")?;
        for truth in 0..self.classes() {
            write!(f, "{truth:>9}")?;
            for predicted in 0..self.classes() {
                match self.count(truth, predicted) {
                    0 => write!(f, "{:>5}", ".")?,
                    count => write!(f, "{count:>5}")?,
                }
            }
            write_share(f, 8, self.recall(truth))?;
            writeln!(f)?;
        }
        write!(f, "{:>9}", "precision")?;
        for class in 0..self.classes() {
            write_share(f, 5, self.precision(class))?;
        }
        write_share(f, 8, self.accuracy())
    }
}

/// Two decimals, as `{:.2}` writes them: halves become even. That itself would link panics of `core`.
fn write_share(f: &mut fmt::Formatter<'_>, width: usize, share: Option<f32>) -> fmt::Result {
    let Some(share) = share else {
        return write!(f, "{:>width$}", "-");
    };
    // In 64 bits, this product is exact.
    let share = f64::from(share) * 100.0;
    let below = share as u32;
    let rest = share - f64::from(below);
    let rounds_up = rest > 0.5 || rest == 0.5 && !below.is_multiple_of(2);
    let hundredths = below + u32::from(rounds_up);
    let width = width.saturating_sub(3);
    write!(f, "{:>width$}.{:02}", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    struct Share(f32);

    impl fmt::Display for Share {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write_share(f, 8, Some(self.0))
        }
    }

    #[test]
    fn shares_read_as_core_fmt_writes_them() {
        for whole in 1..=400 {
            for part in 0..=whole {
                let share = share(part, whole).unwrap_or_default();
                assert_eq!(Share(share).to_string(), std::format!("{share:>8.2}"));
            }
        }
    }

    fn metrics(samples: u32) -> Metrics {
        Metrics {
            loss: 2.0,
            samples,
            labelled: samples,
            correct: samples / 2,
        }
    }

    #[test]
    fn samples_beyond_the_count_are_left_out() {
        let full = metrics(u32::MAX);
        let mut more = full;
        more.add(100.0, Some(true));
        more.merge(&metrics(1));
        assert_eq!(more, full);
        let mut last = metrics(u32::MAX - 1);
        last.add(2.0, Some(true));
        assert_eq!(
            (last.samples(), last.correct()),
            (u32::MAX, u32::MAX / 2 + 1)
        );
    }

    #[test]
    fn the_total_of_full_counts_does_not_wrap() {
        let mut matrix = ConfusionMatrix::<2>::new(2).unwrap();
        for row in &mut matrix.rows {
            *row = [u32::MAX; 2];
        }
        assert_eq!(matrix.total(), 4 * u64::from(u32::MAX));
        assert_eq!(matrix.accuracy(), Some(0.5));
        assert_eq!(
            (matrix.recall(0), matrix.precision(1)),
            (Some(0.5), Some(0.5))
        );
        // One more stays within the count.
        assert!(matrix.add(0, 0).is_ok());
        assert_eq!(matrix.total(), 4 * u64::from(u32::MAX));
    }
}
