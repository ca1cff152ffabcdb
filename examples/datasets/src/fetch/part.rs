//! The unfinished file of a download.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use sha2::Digest;

use super::{FetchError, Sha256};

/// `NAME.part`, what of it is there already, and the hash of that.
///
/// It is locked as long as it is open: a second process that writes to it would go on writing after it got its final name.
pub(super) struct Part {
    path: PathBuf,
    file: File,
    len: u64,
    hash: sha2::Sha256,
}

impl Part {
    /// Opens the file, or makes it, and hashes what is there. More than `most` bytes cannot be right: then it starts empty.
    pub(super) fn open(path: PathBuf, most: u64) -> Result<Self, FetchError> {
        let open = || {
            let mut options = File::options();
            options.read(true).write(true).create(true).truncate(false);
            open_regular(&mut options, &path)
        };
        let file = open().map_err(|cause| io_error(&path, cause))?;
        // File systems without locks are as good as they can be.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(FetchError::Busy { part: path });
        }
        let mut part = Self {
            path,
            file,
            len: 0,
            hash: sha2::Sha256::new(),
        };
        (part.len, part.hash) = read_all(&mut part.file).map_err(|cause| part.io_error(cause))?;
        if part.len > most {
            part.clear()?;
        }
        Ok(part)
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Starts again from nothing.
    pub(super) fn clear(&mut self) -> Result<(), FetchError> {
        let cleared = self.file.set_len(0).and_then(|()| self.file.rewind());
        cleared.map_err(|cause| self.io_error(cause))?;
        self.len = 0;
        self.hash.reset();
        Ok(())
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        self.file
            .write_all(bytes)
            .map_err(|cause| self.io_error(cause))?;
        self.len += bytes.len() as u64;
        self.hash.update(bytes);
        Ok(())
    }

    pub(super) fn sha256(&self) -> Sha256 {
        Sha256(self.hash.clone().finalize().into())
    }

    /// Gives the file its final name, after its bytes have reached the disk: a power failure leaves the whole file or none.
    pub(super) fn finish(self, path: &Path) -> Result<(), FetchError> {
        let renamed = self
            .file
            .sync_all()
            .and_then(|()| fs::rename(&self.path, path));
        renamed.map_err(|cause| self.io_error(cause))
    }

    pub(super) fn remove(self) -> Result<(), FetchError> {
        fs::remove_file(&self.path).map_err(|cause| self.io_error(cause))
    }

    fn io_error(&self, cause: io::Error) -> FetchError {
        io_error(&self.path, cause)
    }
}

/// Opens a file that is one: not what a link leads to, and not a pipe, which would be waited for.
fn open_regular(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;

        options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    }
    let file = options.open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("expected a regular file"))
    }
}

/// The size and the hash of a file.
pub(super) fn measure(path: &Path) -> Result<(u64, Sha256), FetchError> {
    // Where a link leads, there may be a file.
    let file = path.canonicalize();
    let file = file.and_then(|path| open_regular(File::options().read(true), &path));
    let measured = file.and_then(|mut file| read_all(&mut file));
    let (len, hash) = measured.map_err(|cause| io_error(path, cause))?;
    Ok((len, Sha256(hash.finalize().into())))
}

pub(super) fn io_error(path: &Path, cause: io::Error) -> FetchError {
    FetchError::Io {
        file: path.into(),
        cause,
    }
}

fn read_all(file: &mut File) -> io::Result<(u64, sha2::Sha256)> {
    let (mut len, mut hash) = (0, sha2::Sha256::new());
    let mut buffer = vec![0; super::BUFFER];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((len, hash)),
            Ok(bytes) => {
                len += bytes as u64;
                hash.update(buffer.get(..bytes).unwrap_or_default());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
