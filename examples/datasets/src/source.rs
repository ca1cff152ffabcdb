//! A file's content, whether it is compressed or not.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::Error;

/// The content of a file: unpacked as it is read if it starts as gzip data does, as it is otherwise. The name does not matter.
///
/// Reading fails where gzip data is damaged, cut off, or followed by something else.
#[derive(Debug)]
pub enum Source {
    /// Not compressed.
    Plain(BufReader<File>),
    /// Gzip, one member or several.
    Gzip(Box<MultiGzDecoder<BufReader<File>>>),
}

impl Source {
    const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

    /// Opens a file and looks at its first bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be read.
    pub fn open(file: &Path) -> Result<Self, Error> {
        File::open(file)
            .and_then(Self::from_file)
            .map_err(|cause| Error::Io {
                file: file.into(),
                cause,
            })
    }

    pub(crate) fn from_file(file: File) -> io::Result<Self> {
        let mut file = BufReader::with_capacity(1 << 16, file);
        Ok(if file.fill_buf()?.starts_with(&Self::GZIP_MAGIC) {
            Self::Gzip(Box::new(MultiGzDecoder::new(file)))
        } else {
            Self::Plain(file)
        })
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    io::Error::new(error.kind(), "the gzip data ends too early")
                }
                _ => error,
            }),
        }
    }
}

/// Fills the buffer as far as the source goes; the bytes that were read.
pub(crate) fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..)
        && !rest.is_empty()
    {
        match source.read(rest) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
