//! What training needs to go on, in a file.
//!
//! All numbers have their least significant byte first:
//!
//! | what | |
//! |---|---|
//! | magic | `LLPAPER1` |
//! | configuration | `u32` bytes of text, the text |
//! | weights, averaged weights, optimizer state | each a `u32` length, as many `f32` |
//! | steps, images of the unfinished epoch, correct ones of them | `u32` each |
//! | the sum of their losses | `f64` |
//! | finished epochs | `u32` count; for each five `f32`: rate, training loss and accuracy, validation loss and accuracy |
//! | CRC-32 of all before it | `u32` |

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::common::chart::{EpochResult, Measured};
use crate::common::files;
use crate::training::{EpochRecord, State};

const MAGIC: &[u8; 8] = b"LLPAPER1";
const CRC_LEN: usize = 4;

/// Writes the file; there is a whole one at any time.
pub fn write(path: &Path, configuration: &str, state: &State) -> Result<()> {
    let mut bytes = MAGIC.to_vec();
    let length = |len: usize| (len as u32).to_le_bytes();
    bytes.extend(length(configuration.len()));
    bytes.extend(configuration.as_bytes());
    for values in [&state.weights, &state.averaged, &state.optimizer_state] {
        bytes.extend(length(values.len()));
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }
    for count in [state.steps, state.images, state.correct] {
        bytes.extend(count.to_le_bytes());
    }
    bytes.extend(state.loss_sum.to_le_bytes());
    bytes.extend(length(state.epochs.len()));
    for EpochRecord { rate, result } in &state.epochs {
        let EpochResult { training, test } = result;
        for value in [
            *rate,
            training.loss,
            training.accuracy,
            test.loss,
            test.accuracy,
        ] {
            bytes.extend(value.to_le_bytes());
        }
    }
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());

    files::write(path, &bytes)
}

/// How far a run can be.
#[derive(Clone, Copy)]
pub struct Bounds {
    pub epochs: u32,
    /// Training images of an epoch.
    pub images: usize,
    /// Images of a minibatch.
    pub batch: usize,
}

/// Reads the state of a configuration into `state`, which has its lengths; false if there is no file.
pub fn read(path: &Path, configuration: &str, bounds: Bounds, state: &mut State) -> Result<bool> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => {
            return Err(error)
                .with_context(|| format!("cannot read the checkpoint {}", path.display()));
        }
    };
    let read = parse(&bytes, configuration, state).and_then(|()| check(state, bounds));
    read.with_context(|| {
        format!(
            "cannot go on from the checkpoint {}; --fresh starts over",
            path.display()
        )
    })?;
    Ok(true)
}

fn parse(bytes: &[u8], configuration: &str, state: &mut State) -> Result<()> {
    let end = bytes.len().saturating_sub(CRC_LEN);
    let (content, crc) = bytes.split_at(end);
    ensure!(
        content.starts_with(MAGIC),
        "expected the first bytes {:?}, found {:?}",
        MAGIC.escape_ascii().to_string(),
        bytes[..bytes.len().min(MAGIC.len())]
            .escape_ascii()
            .to_string()
    );
    let found = crc32fast::hash(content).to_le_bytes();
    ensure!(
        found == crc,
        "its checksum does not fit: it is damaged or cut off"
    );

    let mut fields = Fields(&content[MAGIC.len()..]);
    let len = fields.u32()? as usize;
    let of = String::from_utf8_lossy(fields.bytes(len)?);
    ensure!(
        of == configuration,
        "it is of another run\nexpected {configuration}\nfound {of}"
    );
    for values in [
        &mut state.weights,
        &mut state.averaged,
        &mut state.optimizer_state,
    ] {
        let found = fields.u32()? as usize;
        ensure!(
            found == values.len(),
            "expected {} numbers, found {found}",
            values.len()
        );
        for value in values.iter_mut() {
            *value = fields.f32()?;
        }
    }
    state.steps = fields.u32()?;
    state.images = fields.u32()?;
    state.correct = fields.u32()?;
    state.loss_sum = f64::from_le_bytes(fields.array()?);
    let epochs = fields.u32()?;
    state.epochs.clear();
    for _ in 0..epochs {
        let rate = fields.f32()?;
        let mut measured = || -> Result<Measured> {
            Ok(Measured {
                loss: fields.f32()?,
                accuracy: fields.f32()?,
            })
        };
        let result = EpochResult {
            training: measured()?,
            test: measured()?,
        };
        state.epochs.push(EpochRecord { rate, result });
    }
    if !fields.0.is_empty() {
        bail!("expected its end, found {} more bytes", fields.0.len());
    }
    Ok(())
}

/// Whether a run can be where the checkpoint says that it is.
fn check(state: &State, bounds: Bounds) -> Result<()> {
    let finished = state.epochs.len();
    let (images, correct) = (state.images as usize, state.correct as usize);
    ensure!(
        finished <= bounds.epochs as usize,
        "expected at most {} finished epochs, found {finished}",
        bounds.epochs
    );
    ensure!(
        images == 0 || images < bounds.images && images.is_multiple_of(bounds.batch),
        "expected minibatches of {} of the {} images of an epoch, found {images} images",
        bounds.batch,
        bounds.images
    );
    ensure!(
        correct <= images,
        "expected at most {images} images whose class was found, found {correct}"
    );
    let steps = finished * bounds.images.div_ceil(bounds.batch) + images / bounds.batch;
    ensure!(
        state.steps as usize == steps,
        "expected {steps} steps, found {}",
        state.steps
    );
    let values = [&state.weights, &state.averaged, &state.optimizer_state];
    let measured = state
        .epochs
        .iter()
        .flat_map(|EpochRecord { rate, result }| {
            let EpochResult { training, test } = result;
            [
                *rate,
                training.loss,
                training.accuracy,
                test.loss,
                test.accuracy,
            ]
        });
    let finite = values
        .into_iter()
        .flatten()
        .copied()
        .chain(measured)
        .all(f32::is_finite);
    ensure!(
        finite && state.loss_sum.is_finite(),
        "expected finite numbers, found NaN or infinity"
    );
    Ok(())
}

/// The bytes that are still to be read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, len: usize) -> Result<&'a [u8]> {
        let (first, rest) = self
            .0
            .split_at_checked(len)
            .ok_or_else(|| anyhow!("expected {len} more bytes, found {}", self.0.len()))?;
        self.0 = rest;
        Ok(first)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.bytes(N)?.try_into()?)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn f32(&mut self) -> Result<f32> {
        Ok(f32::from_le_bytes(self.array()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        epochs: 3,
        images: 100,
        batch: 32,
    };

    fn measured() -> Measured {
        Measured {
            loss: 0.5,
            accuracy: 0.75,
        }
    }

    /// After one epoch of four minibatches, and two of the next.
    fn state() -> State {
        let result = EpochResult {
            training: measured(),
            test: measured(),
        };
        State {
            weights: vec![0.5; 4],
            averaged: Vec::new(),
            optimizer_state: vec![0.25; 8],
            steps: 6,
            images: 64,
            correct: 60,
            loss_sum: 12.5,
            epochs: vec![EpochRecord { rate: 0.1, result }],
        }
    }

    /// What reading gives after writing.
    fn resumed(written: &State) -> Result<State> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("run.checkpoint");
        write(&path, "a run", written)?;
        let mut read_back = state();
        read_back.weights.fill(0.0);
        assert!(read(&path, "a run", BOUNDS, &mut read_back)?);
        Ok(read_back)
    }

    #[test]
    fn what_was_written_is_read() {
        let read = resumed(&state()).expect("a possible state");
        assert_eq!(read.weights, state().weights);
        assert_eq!((read.steps, read.images), (6, 64));
    }

    #[test]
    fn impossible_checkpoints_are_not_resumed() {
        type Change = fn(&mut State);
        let changes: [(Change, &str); 9] = [
            (
                |state| {
                    state.epochs = vec![state.epochs[0]; 9];
                    state.steps = 38;
                },
                "expected at most 3 finished epochs, found 9",
            ),
            (|state| state.images = 65, "found 65 images"),
            (|state| state.images = 128, "found 128 images"),
            (|state| state.correct = 65, "found 65"),
            (|state| state.steps = 7, "expected 6 steps, found 7"),
            (
                |state| state.weights[3] = f32::NAN,
                "expected finite numbers",
            ),
            (
                |state| state.optimizer_state[0] = f32::INFINITY,
                "expected finite numbers",
            ),
            (|state| state.loss_sum = f64::NAN, "expected finite numbers"),
            (
                |state| state.epochs[0].rate = f32::NAN,
                "expected finite numbers",
            ),
        ];
        for (change, text) in changes {
            let mut impossible = state();
            change(&mut impossible);
            let error = resumed(&impossible).err().expect(text);
            assert!(format!("{error:#}").contains(text), "{error:#}");
        }
    }

    #[test]
    fn one_run_at_a_time_works_in_a_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = files::lock(folder.path()).expect("nobody else");
        let error = files::lock(folder.path()).expect_err("the first one works there");
        assert!(
            error.to_string().starts_with("another run is working in"),
            "{error}"
        );
        drop(first);
        files::lock(folder.path()).expect("nobody any more");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_replaced_and_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let [other, link] = ["other", "link"].map(|name| folder.path().join(name));
        fs::write(&other, b"of somebody else").expect("written");
        std::os::unix::fs::symlink(&other, &link).expect("a link");
        files::write(&link, b"new").expect("written");
        assert_eq!(fs::read(&other).expect("there"), b"of somebody else");
        assert_eq!(fs::read(&link).expect("there"), b"new");
        assert!(!fs::symlink_metadata(&link).expect("there").is_symlink());
    }
}
