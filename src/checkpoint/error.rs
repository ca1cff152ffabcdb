//! What can go wrong with checkpoints.

use core::fmt;

use crate::error::Error;
use crate::file::FileError;

/// Why a checkpoint was not saved or loaded; `E` is the error of the flash memory.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum CheckpointError<E> {
    /// The flash memory reported an error. From a save: in every slot that was tried, and this is that of the last one.
    Flash(E),
    /// There are fewer than two slots: the newest checkpoint would be overwritten by the next one.
    Slots {
        /// The slots.
        found: u32,
    },
    /// The range of the slots is not made of whole pages.
    Misaligned {
        /// The number.
        what: &'static str,
        /// What it must be a multiple of, in bytes.
        expected: u32,
        /// What it is.
        found: u32,
    },
    /// The range ends behind the flash memory's end.
    OutOfBounds {
        /// The bytes of the flash memory.
        expected: usize,
        /// Where the range ends.
        found: u32,
    },
    /// A slot is too small for a checkpoint.
    TooSmall {
        /// The bytes that a slot must have at least.
        expected: u32,
        /// The bytes that it has.
        found: u32,
    },
    /// A buffer does not have the length that the network needs.
    Buffer(Error),
    /// The newest checkpoint is whole, but of another network or of another optimizer.
    Other(FileError),
    /// Checkpoints were saved and are damaged, every one of them.
    Damaged {
        /// How many.
        found: u32,
    },
    /// The flash memory does not hold what was written, in any slot that was tried: its pages are worn out.
    Verify {
        /// Where, in the last of these slots: the offset in the flash memory of 16 bytes that differ.
        offset: u32,
    },
    /// The number of the newest checkpoint is the last one that there is. [`clear`](super::CheckpointStore::clear) starts again.
    Exhausted,
}

impl<E: fmt::Debug> fmt::Display for CheckpointError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("checkpoint: ")?;
        match self {
            Self::Flash(error) => write!(f, "flash memory: {error:?}"),
            Self::Slots { found } => write!(f, "expected at least 2 slots, found {found}"),
            Self::Misaligned {
                what,
                expected,
                found,
            } => write!(
                f,
                "expected {what} that is a multiple of {expected} bytes, found {found}"
            ),
            Self::OutOfBounds { expected, found } => write!(
                f,
                "expected a range in the {expected} bytes of the flash memory, found one that ends at {found}"
            ),
            Self::TooSmall { expected, found } => write!(
                f,
                "expected slots of at least {expected} bytes, found {found}"
            ),
            Self::Buffer(error) => error.fmt(f),
            Self::Other(error) => error.fmt(f),
            Self::Damaged { found } => {
                write!(f, "expected a whole one, found {found} damaged")
            }
            Self::Verify { offset } => write!(
                f,
                "expected at offset {offset} what was written, found other bytes: the page is worn out"
            ),
            Self::Exhausted => {
                write!(
                    f,
                    "expected a number that is free, found {} to be the newest checkpoint's: clear the slots",
                    u32::MAX
                )
            }
        }
    }
}

impl<E: fmt::Debug> core::error::Error for CheckpointError<E> {}
