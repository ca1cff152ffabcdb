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

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::common::chart::{EpochResult, Measured};
use crate::training::{EpochRecord, State};

const MAGIC: &[u8; 8] = b"LLPAPER1";
const CRC_LEN: usize = 4;

/// Writes a new file and then puts it in the place of the old one, so that there is a whole one at any time.
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

    let new = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().with_context(|| format!("cannot write the checkpoint {}", path.display()))
}

/// Reads the state of a configuration into `state`, which has its lengths; false if there is no file.
pub fn read(path: &Path, configuration: &str, state: &mut State) -> Result<bool> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => {
            return Err(error)
                .with_context(|| format!("cannot read the checkpoint {}", path.display()));
        }
    };
    parse(&bytes, configuration, state).with_context(|| {
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
