//! What can be wrong with the files of a data set.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::Set;

/// Why images cannot be read or used. A file inside an archive is named as if the archive were a folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system could not read the file, or its compressed data is damaged.
    #[error("{}: {cause}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What happened.
        cause: io::Error,
    },
    /// An IDX file does not start with the magic of the data that should be in it.
    #[error("{}: expected the first bytes {expected:02x?}, found {found:02x?}", file.display())]
    Magic {
        /// The file.
        file: PathBuf,
        /// Two zeros, the type (8 for unsigned bytes), the number of dimensions.
        expected: [u8; 4],
        /// What stands there.
        found: [u8; 4],
    },
    /// A number in or about the file is not what it must be.
    #[error("{}: {what}: expected {expected}, found {found}", file.display())]
    Number {
        /// The file.
        file: PathBuf,
        /// What is counted or measured.
        what: &'static str,
        /// What is allowed.
        expected: Expected,
        /// What was found.
        found: u64,
    },
    /// The file ends too early.
    #[error("{}: expected {expected} bytes, found {found}", file.display())]
    Truncated {
        /// The file.
        file: PathBuf,
        /// The bytes that its header or its last record promises, unpacked.
        expected: u64,
        /// The bytes that are there, unpacked.
        found: u64,
    },
    /// The file goes on after its last item.
    #[error("{}: expected the end after {expected} bytes, found more", file.display())]
    Trailing {
        /// The file.
        file: PathBuf,
        /// The bytes that its header promises, unpacked.
        expected: u64,
    },
    /// A label is not one of the classes.
    #[error("{}: sample {sample}: expected a label below {classes}, found {found}", file.display())]
    Label {
        /// The file.
        file: PathBuf,
        /// The sample's index in the file.
        sample: usize,
        /// The number of classes.
        classes: usize,
        /// The label.
        found: u8,
    },
    /// There are not as many labels as images.
    #[error("{}: expected a label for each of the {images} images in {}, found {found}", labels_file.display(), images_file.display())]
    Count {
        /// The file of the images.
        images_file: PathBuf,
        /// The file of the labels.
        labels_file: PathBuf,
        /// The images.
        images: u64,
        /// The labels.
        found: u64,
    },
    /// A file of the data set is not there.
    #[error(
        "{set}: expected {file} in {}, found no such file; get it with: cargo run --release --example fetch_data -- {} {}",
        folder.display(), set.key(), directory.display()
    )]
    Missing {
        /// The data set.
        set: Set,
        /// The file, in one of its forms.
        file: String,
        /// The folder that was searched last.
        folder: PathBuf,
        /// The folder that was given.
        directory: PathBuf,
    },
    /// An archive lacks one of its files.
    #[error("{}: expected {member} in the archive, found no such file", archive.display())]
    Member {
        /// The archive.
        archive: PathBuf,
        /// The file in it.
        member: &'static str,
    },
    /// Images in memory are not as many or as large as was said.
    #[error("images in memory: {what}: expected {expected}, found {found}")]
    Memory {
        /// What is counted.
        what: &'static str,
        /// What is allowed.
        expected: Expected,
        /// What was found.
        found: u64,
    },
    /// A part of a data set goes past its end.
    #[error("expected a part of {len} samples, found {start}..{end}")]
    Part {
        /// The samples that there are.
        len: usize,
        /// The first sample of the part.
        start: usize,
        /// The sample after its last.
        end: usize,
    },
    /// Images cannot move by that many pixels: nothing of them might be left.
    #[error("expected a shift below {below} pixels, found {found}")]
    Shift {
        /// The smaller of height and width.
        below: u16,
        /// The shift.
        found: u16,
    },
}

/// The numbers that are allowed where another one was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    /// This number alone.
    Exactly(u64),
    /// This number or a larger one.
    AtLeast(u64),
    /// This number or a smaller one.
    AtMost(u64),
}

impl Expected {
    pub(crate) fn holds(self, found: u64) -> bool {
        match self {
            Self::Exactly(number) => found == number,
            Self::AtLeast(number) => found >= number,
            Self::AtMost(number) => found <= number,
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(number) => write!(f, "{number}"),
            Self::AtLeast(number) => write!(f, "at least {number}"),
            Self::AtMost(number) => write!(f, "at most {number}"),
        }
    }
}
