//! IDX, the format of MNIST: a header of sizes, then the values of one array.
//!
//! | bytes | what |
//! |---|---|
//! | 0..2 | 0 |
//! | 2 | the type: 8 for unsigned bytes, the only one that is read here |
//! | 3 | the number of dimensions `d`: 3 for images, 1 for labels |
//! | 4..4 + 4d | the sizes, big-endian: items first, then for images height and width |
//! | then | the values, the last dimension fastest |
//!
//! Described by its authors at <http://yann.lecun.com/exdb/mnist/>.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::error::{Error, Expected};
use crate::source::{Source, fill};

/// Reads an IDX file of unsigned bytes item by item. It holds no more than the header.
///
/// ```
/// use lightlayers_datasets::idx::Reader;
///
/// // Two images of 1x2 pixels.
/// let bytes = b"\0\0\x08\x03\0\0\0\x02\0\0\0\x01\0\0\0\x02\x10\x20\x30\x40";
/// let mut reader = Reader::new(&bytes[..], "two.idx", 3)?;
/// assert_eq!(reader.sizes(), [2, 1, 2]);
/// let mut image = vec![0; reader.item_len()];
/// let mut sum = 0;
/// while reader.next_item(&mut image)? {
///     sum += u32::from(image[0]);
/// }
/// assert_eq!(sum, 0x40);
/// # Ok::<(), lightlayers_datasets::Error>(())
/// ```
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    file: PathBuf,
    sizes: Vec<u32>,
    item_len: usize,
    bytes: u64,
    items_read: u32,
}

impl Reader<Source> {
    /// Opens a file, compressed or not, and reads its header.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn open(file: &Path, dimensions: u8) -> Result<Self, Error> {
        Self::new(Source::open(file)?, file, dimensions)
    }
}

impl<R: Read> Reader<R> {
    /// Reads the header of a file with that many dimensions. The name is for errors.
    ///
    /// # Errors
    ///
    /// [`Error::Magic`] for another format, type or number of dimensions, [`Error::Truncated`] for less than a header,
    /// [`Error::Number`] if a size other than the first is 0 or the sizes multiply to more than 2⁶³ bytes.
    pub fn new(mut source: R, file: impl Into<PathBuf>, dimensions: u8) -> Result<Self, Error> {
        let file = file.into();
        let header_len = 4 + 4 * usize::from(dimensions);
        let mut header = vec![0; header_len];
        let found = fill(&mut source, &mut header).map_err(|error| io_error(&file, error))?;

        let expected = [0, 0, 8, dimensions];
        if let Some(magic) = header.first_chunk()
            && found >= 4
            && *magic != expected
        {
            return Err(Error::Magic {
                file,
                expected,
                found: *magic,
            });
        }
        if found < header_len {
            return Err(Error::Truncated {
                file,
                expected: header_len as u64,
                found: found as u64,
            });
        }

        let (words, _) = header.as_chunks();
        let sizes: Vec<u32> = words
            .iter()
            .skip(1)
            .copied()
            .map(u32::from_be_bytes)
            .collect();
        if sizes.iter().skip(1).any(|size| *size == 0) {
            return Err(Error::Number {
                file,
                what: "size of an item",
                expected: Expected::AtLeast(1),
                found: 0,
            });
        }
        // The count may be 0, which must not hide that the items are too large.
        let largest = |sizes: &[u32]| {
            sizes.iter().try_fold(1_u64, |product, size| {
                product.checked_mul(u64::from(*size).max(1))
            })
        };
        const MOST: u64 = i64::MAX as u64;
        let bytes = largest(&sizes).and_then(|values| values.checked_add(header_len as u64));
        let item_len = largest(sizes.get(1..).unwrap_or_default());
        let (Some(bytes @ ..=MOST), Some(Ok(item_len))) = (bytes, item_len.map(usize::try_from))
        else {
            return Err(Error::Number {
                file,
                what: "bytes",
                expected: Expected::AtMost(MOST),
                found: bytes.unwrap_or(u64::MAX),
            });
        };
        let empty = sizes.first() == Some(&0);
        Ok(Self {
            source,
            file,
            sizes,
            item_len,
            bytes: if empty { header_len as u64 } else { bytes },
            items_read: 0,
        })
    }

    /// The sizes in the header: items first.
    pub fn sizes(&self) -> &[u32] {
        &self.sizes
    }

    /// The number of items that the header promises.
    pub fn items(&self) -> u32 {
        self.sizes.first().copied().unwrap_or(1)
    }

    /// The bytes of one item.
    pub fn item_len(&self) -> usize {
        self.item_len
    }

    /// Reads the next item into `item`, [`item_len`](Self::item_len) bytes. False after the last one, where the file must end.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`], [`Error::Trailing`] or [`Error::Io`] for the file; [`Error::Memory`] if `item` has another length.
    pub fn next_item(&mut self, item: &mut [u8]) -> Result<bool, Error> {
        if item.len() != self.item_len {
            return Err(Error::Memory {
                what: "bytes of an item",
                expected: Expected::Exactly(self.item_len as u64),
                found: item.len() as u64,
            });
        }
        if self.items_read == self.items() {
            self.end()?;
            return Ok(false);
        }
        let found = fill(&mut self.source, item).map_err(|error| io_error(&self.file, error))?;
        if found < item.len() {
            return Err(
                self.truncated(u64::from(self.items_read) * item.len() as u64 + found as u64)
            );
        }
        self.items_read += 1;
        Ok(true)
    }

    /// Reads all items that are left, one after another, and checks that the file ends there.
    ///
    /// The memory grows with what is read, not with what the header promises.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`], [`Error::Trailing`] or [`Error::Io`].
    pub fn read_rest(mut self) -> Result<Vec<u8>, Error> {
        let before = u64::from(self.items_read) * self.item_len as u64;
        let left = u64::from(self.items() - self.items_read) * self.item_len as u64;
        let mut values = Vec::new();
        let found = (&mut self.source)
            .take(left)
            .read_to_end(&mut values)
            .map_err(|error| io_error(&self.file, error))?;
        if (found as u64) < left {
            return Err(self.truncated(before + found as u64));
        }
        self.end()?;
        Ok(values)
    }

    fn end(&mut self) -> Result<(), Error> {
        match fill(&mut self.source, &mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(Error::Trailing {
                file: self.file.clone(),
                expected: self.bytes,
            }),
            Err(error) => Err(io_error(&self.file, error)),
        }
    }

    fn truncated(&self, values: u64) -> Error {
        Error::Truncated {
            file: self.file.clone(),
            expected: self.bytes,
            found: 4 + 4 * self.sizes.len() as u64 + values,
        }
    }
}

fn io_error(file: &Path, cause: io::Error) -> Error {
    Error::Io {
        file: file.into(),
        cause,
    }
}
