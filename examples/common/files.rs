//! Files that are whole at any time.

use std::fs::{File, Permissions, TryLockError};
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Writes a file under a name of its own, and then puts it in the place of an old one. Whatever happens, and however many processes do
/// the same, there is a whole file. A link is replaced, and what it leads to is left alone.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let written = || -> io::Result<()> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        if let Some(permissions) = readable_by_all() {
            builder.permissions(permissions);
        }
        let mut new = builder.tempfile_in(folder)?;
        new.write_all(bytes)?;
        new.as_file().sync_all()?;
        new.persist(path)?;
        Ok(())
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}

/// What other files have, as far as the user's mask allows; a temporary file is for its owner alone.
#[cfg(unix)]
fn readable_by_all() -> Option<Permissions> {
    use std::os::unix::fs::PermissionsExt;

    Some(Permissions::from_mode(0o666))
}

#[cfg(not(unix))]
fn readable_by_all() -> Option<Permissions> {
    None
}

/// Makes this process the only one that works in a folder, until what is returned is dropped.
pub fn lock(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let open = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path);
    let file = open.with_context(|| format!("cannot write {}", path.display()))?;
    // File systems without locks are as good as they can be.
    if let Err(TryLockError::WouldBlock) = file.try_lock() {
        bail!(
            "another run is working in {}; wait for it or choose another folder",
            folder.display()
        );
    }
    Ok(file)
}
