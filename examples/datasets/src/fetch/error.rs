//! What can go wrong with a download.

use std::io;
use std::path::PathBuf;

use super::Sha256;

/// Why a file was not downloaded. Nothing was put in its place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// A file could not be read or written.
    #[error("{}: {cause}", file.display())]
    Io {
        /// The file or folder.
        file: PathBuf,
        /// What happened.
        cause: io::Error,
    },
    /// Another process is downloading the same file.
    #[error("{}: expected to be the only download of this file, found another one that is running", part.display())]
    Busy {
        /// The unfinished file.
        part: PathBuf,
    },
    /// There is a file of this name already, but it is not the official one. It is left as it is.
    #[error("{}: expected the official file with SHA-256 {expected}, found {found}; move it away to download the official one", file.display())]
    Different {
        /// The file.
        file: PathBuf,
        /// The hash of the official file.
        expected: Sha256,
        /// The hash of the file.
        found: Sha256,
    },
    /// No answer came.
    #[error("{url}: {cause}")]
    Connection {
        /// The address.
        url: String,
        /// What happened.
        cause: io::Error,
    },
    /// The server answers that it does not have the file, or that it cannot send it now.
    #[error("{url}: expected HTTP status 200 or 206, found {found}")]
    Status {
        /// The address.
        url: String,
        /// The status.
        found: u16,
    },
    /// The server announces another size than the official file has.
    #[error("{url}: expected a file of {expected} bytes, found one of {found}")]
    Size {
        /// The address.
        url: String,
        /// The bytes of the official file.
        expected: u64,
        /// The bytes that the server announces.
        found: u64,
    },
    /// The server sends more than the official file has. What was downloaded is removed.
    #[error("{url}: expected the end after {expected} bytes, found more")]
    TooLong {
        /// The address.
        url: String,
        /// The bytes of the official file.
        expected: u64,
    },
    /// The server sends another part of the file than the one that was asked for.
    #[error("{url}: expected the bytes from {expected} on, found the range {found:?}")]
    Range {
        /// The address.
        url: String,
        /// The first byte that was asked for.
        expected: u64,
        /// The answer's `Content-Range`, empty if it has none.
        found: String,
    },
    /// The connection ended, or stalled, before the file did. What came is kept, and the next download goes on from there.
    #[error(
        "{url}: expected {expected} bytes, found {found} ({cause}); run it again to go on from there"
    )]
    Interrupted {
        /// The address.
        url: String,
        /// The bytes of the official file.
        expected: u64,
        /// The bytes that are there now.
        found: u64,
        /// What happened.
        cause: io::Error,
    },
    /// All bytes came, but they are not the official file's. What was downloaded is removed.
    #[error("{url}: expected SHA-256 {expected}, found {found}; the download is removed")]
    Checksum {
        /// The address.
        url: String,
        /// The hash of the official file.
        expected: Sha256,
        /// The hash of what came.
        found: Sha256,
    },
}
