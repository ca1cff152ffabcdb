//! Whole data sets, found in a folder and read into memory.

mod cifar;
mod mnist;

use std::path::{Path, PathBuf};

pub use cifar::{Cifar100Labels, cifar10, cifar100};
pub use mnist::{fashion_mnist, mnist};

use crate::Set;
use crate::error::{Error, Expected};

/// A folder that holds files of a data set, or would.
struct Folder<'a> {
    set: Set,
    directory: &'a Path,
    path: PathBuf,
}

impl<'a> Folder<'a> {
    /// The folders to look into, in this order: the set's own, then the one that was given, each with its subfolders.
    fn candidates(set: Set, directory: &'a Path, subfolders: &[&str]) -> Vec<Self> {
        let mut folders = Vec::new();
        for path in [directory.join(set.key()), directory.into()] {
            folders.extend(subfolders.iter().map(|name| path.join(name)));
            folders.push(path);
        }
        let folder = |path| Self {
            set,
            directory,
            path,
        };
        folders.into_iter().map(folder).collect()
    }

    /// The file in one of its forms.
    fn find(&self, name: &str) -> Option<PathBuf> {
        let forms = [String::from(name), format!("{name}.gz")];
        forms
            .iter()
            .map(|form| self.path.join(form))
            .find(|path| path.is_file())
    }

    fn require(&self, name: &str) -> Result<PathBuf, Error> {
        self.find(name).ok_or_else(|| self.missing(name))
    }

    fn missing(&self, name: &str) -> Error {
        Error::Missing {
            set: self.set,
            file: format!("{name} or {name}.gz"),
            folder: self.path.clone(),
            directory: self.directory.into(),
        }
    }
}

fn check(file: &Path, what: &'static str, expected: Expected, found: u64) -> Result<(), Error> {
    if expected.holds(found) {
        return Ok(());
    }
    Err(Error::Number {
        file: file.into(),
        what,
        expected,
        found,
    })
}
