//! The commit record: what makes a slot's file a checkpoint.

use core::ops::Range;

use super::USER_DATA;
use crate::file::{BLOCK, CHECKSUM};

/// Bytes of a record.
pub(super) const RECORD: usize = 64;

const MAGIC: [u8; 4] = *b"LLC1";

/// What is behind a record that was written to its end.
pub(super) const MARK: [u8; BLOCK] = *b"LLC1 is complete";

/// What the record of a slot says; see the format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Record {
    pub(super) sequence: u32,
    pub(super) dropout_seed: u64,
    pub(super) steps: u32,
    /// The length and the checksum of the file.
    pub(super) len: u32,
    pub(super) checksum: u32,
    pub(super) user_data: [u8; USER_DATA],
}

impl Record {
    pub(super) fn blocks(&self) -> [[u8; BLOCK]; RECORD / BLOCK] {
        let mut blocks = [[0; BLOCK]; RECORD / BLOCK];
        let bytes = blocks.as_flattened_mut();
        put(bytes, 0..4, &MAGIC);
        put(bytes, 4..8, &self.sequence.to_le_bytes());
        put(bytes, 8..16, &self.dropout_seed.to_le_bytes());
        put(bytes, 16..20, &self.steps.to_le_bytes());
        put(bytes, 20..24, &self.len.to_le_bytes());
        put(bytes, 24..28, &self.checksum.to_le_bytes());
        put(bytes, 28..60, &self.user_data);
        let checksum = CHECKSUM.checksum(bytes.split_at(RECORD - 4).0);
        put(bytes, 60..64, &checksum.to_le_bytes());
        blocks
    }

    /// None if the bytes are no record: erased, written in part, damaged.
    pub(super) fn read(blocks: &[[u8; BLOCK]; RECORD / BLOCK]) -> Option<Self> {
        let bytes = blocks.as_flattened();
        let (content, checksum) = bytes.split_last_chunk::<4>()?;
        let is_record = bytes.starts_with(&MAGIC)
            && u32::from_le_bytes(*checksum) == CHECKSUM.checksum(content);
        if !is_record {
            return None;
        }
        let number = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        Some(Self {
            sequence: number(4)?,
            dropout_seed: u64::from_le_bytes(*bytes.get(8..)?.first_chunk()?),
            steps: number(16)?,
            len: number(20)?,
            checksum: number(24)?,
            user_data: *bytes.get(28..)?.first_chunk()?,
        })
    }
}

fn put(bytes: &mut [u8], place: Range<usize>, value: &[u8]) {
    if let Some(place) = bytes.get_mut(place) {
        place.copy_from_slice(value);
    }
}
