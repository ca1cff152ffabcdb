//! The binary version of CIFAR-10 and CIFAR-100: records of one size, no header.
//!
//! | data set | a record |
//! |---|---|
//! | CIFAR-10 | the label, below 10; 3,072 bytes of pixels |
//! | CIFAR-100 | the coarse label, below 20; the fine label, below 100; 3,072 bytes of pixels |
//!
//! The pixels of 32x32 images: all reds, then all greens, then all blues, row by row. Here they come out interleaved,
//! `[height, width, channels]`, as networks take them. Described by its author at <https://www.cs.toronto.edu/~kriz/cifar.html>.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::source::{Source, fill};

/// The bytes of an image: 32x32 pixels of 3 channels.
pub const IMAGE_LEN: usize = 3 * PLANE;

const PLANE: usize = 32 * 32;

/// Which of the two data sets a file belongs to; nothing in the file tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// One label.
    Cifar10,
    /// A coarse and a fine label.
    Cifar100,
}

impl Kind {
    /// The bytes of a record.
    pub const fn record_len(self) -> usize {
        match self {
            Self::Cifar10 => 1 + IMAGE_LEN,
            Self::Cifar100 => 2 + IMAGE_LEN,
        }
    }

    /// The number of classes, fine ones for CIFAR-100.
    pub const fn classes(self) -> usize {
        match self {
            Self::Cifar10 => 10,
            Self::Cifar100 => 100,
        }
    }
}

/// The number of coarse classes of CIFAR-100.
pub const COARSE_CLASSES: usize = 20;

/// What an image shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Label {
    /// The class, below [`Kind::classes`].
    pub fine: u8,
    /// The group of classes, below [`COARSE_CLASSES`]; 0 for CIFAR-10, which has none.
    pub coarse: u8,
}

/// Reads a file record by record. It holds one of them.
///
/// ```
/// use lightlayers_datasets::cifar::{IMAGE_LEN, Kind, Reader};
///
/// // One record: class 3, all pixels red.
/// let mut record = vec![0; Kind::Cifar10.record_len()];
/// record[0] = 3;
/// record[1..1025].fill(255);
///
/// let mut reader = Reader::new(&record[..], "one.bin", Kind::Cifar10);
/// let mut image = [0; IMAGE_LEN];
/// let label = reader.next_image(&mut image)?;
/// assert_eq!(label.map(|label| label.fine), Some(3));
/// assert_eq!(image[..6], [255, 0, 0, 255, 0, 0]);
/// assert_eq!(reader.next_image(&mut image)?, None);
/// # Ok::<(), lightlayers_datasets::Error>(())
/// ```
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    file: PathBuf,
    kind: Kind,
    record: Vec<u8>,
    images_read: usize,
}

impl Reader<Source> {
    /// Opens a file, compressed or not.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be read.
    pub fn open(file: &Path, kind: Kind) -> Result<Self, Error> {
        Ok(Self::new(Source::open(file)?, file, kind))
    }
}

impl<R: Read> Reader<R> {
    /// Reads from any source. The name is for errors.
    pub fn new(source: R, file: impl Into<PathBuf>, kind: Kind) -> Self {
        Self {
            source,
            file: file.into(),
            kind,
            record: vec![0; kind.record_len()],
            images_read: 0,
        }
    }

    /// The images so far.
    pub fn images_read(&self) -> usize {
        self.images_read
    }

    /// Reads the next image, `[height, width, channels]`, and its label; none at the end of the file.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] if the file ends within a record, [`Error::Label`] for a label that is no class, [`Error::Io`].
    pub fn next_image(&mut self, image: &mut [u8; IMAGE_LEN]) -> Result<Option<Label>, Error> {
        let record_len = self.record.len();
        let found = fill(&mut self.source, &mut self.record).map_err(|cause| Error::Io {
            file: self.file.clone(),
            cause,
        })?;
        if found == 0 {
            return Ok(None);
        }
        if found < record_len {
            let before = self.images_read as u64 * record_len as u64;
            return Err(Error::Truncated {
                file: self.file.clone(),
                expected: before + record_len as u64,
                found: before + found as u64,
            });
        }

        let (labels, pixels) = self.record.split_at(record_len - IMAGE_LEN);
        let (coarse, fine) = match *labels {
            [coarse, fine] => (coarse, fine),
            [fine] => (0, fine),
            _ => (0, 0),
        };
        for (label, classes) in [(coarse, COARSE_CLASSES), (fine, self.kind.classes())] {
            if usize::from(label) >= classes {
                return Err(Error::Label {
                    file: self.file.clone(),
                    sample: self.images_read,
                    classes,
                    found: label,
                });
            }
        }
        let (reds, rest) = pixels.split_at(PLANE);
        let (greens, blues) = rest.split_at(PLANE);
        let (interleaved, _) = image.as_chunks_mut();
        for (pixel, ((red, green), blue)) in interleaved
            .iter_mut()
            .zip(reds.iter().zip(greens).zip(blues))
        {
            *pixel = [*red, *green, *blue];
        }
        self.images_read += 1;
        Ok(Some(Label { fine, coarse }))
    }
}
