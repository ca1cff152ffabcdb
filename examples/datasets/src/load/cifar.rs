//! CIFAR-10 and CIFAR-100: files, or the archive.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use lightlayers::Shape;

use super::{Folder, check};
use crate::cifar::{COARSE_CLASSES, IMAGE_LEN, Kind, Label, Reader};
use crate::error::{Error, Expected};
use crate::images::Images;
use crate::set::{ImageSet, Set};
use crate::source::Source;

/// Reads CIFAR-10: 50,000 training and 10,000 test images of 32x32x3 in 10 classes.
///
/// The archive `cifar-10-binary.tar.gz` is looked for in the folder `cifar-10` in `directory`, then in `directory` itself; after it, in
/// the same folders, the files `test_batch.bin` and `data_batch_1.bin` to `data_batch_5.bin`, each as it is or with `.gz`, also in the
/// folder `cifar-10-batches-bin` that the archive unpacks to. As many of the data batches as there are make up the training images, in the
/// order of their numbers; the archive must have all of them.
///
/// # Errors
///
/// [`Error::Missing`] says how to get a file that is not there; all others, what is wrong with one: no image or more than 10,000, a label
/// that is no class, too few or too many bytes.
pub fn cifar10(directory: &Path) -> Result<ImageSet, Error> {
    let layout = CifarLayout {
        set: Set::Cifar10,
        kind: Kind::Cifar10,
        archive: "cifar-10-binary.tar.gz",
        unpacked: "cifar-10-batches-bin",
        training: &[
            "data_batch_1.bin",
            "data_batch_2.bin",
            "data_batch_3.bin",
            "data_batch_4.bin",
            "data_batch_5.bin",
        ],
        testing: "test_batch.bin",
        images_per_training_file: 10_000,
        classes: 10,
        class: |label| label.fine,
    };
    layout.read(directory)
}

/// Which labels of CIFAR-100 are the classes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cifar100Labels {
    /// 100 classes.
    Fine,
    /// 20 groups of 5 classes.
    Coarse,
}

/// Reads CIFAR-100: 50,000 training and 10,000 test images of 32x32x3 in 100 classes or 20 groups.
///
/// The archive `cifar-100-binary.tar.gz` is looked for in the folder `cifar-100` in `directory`, then in `directory` itself; after it, in
/// the same folders, the files `train.bin` and `test.bin`, each as it is or with `.gz`, also in the folder `cifar-100-binary` that the
/// archive unpacks to.
///
/// # Errors
///
/// As [`cifar10`], with 50,000 images at most for training.
pub fn cifar100(directory: &Path, labels: Cifar100Labels) -> Result<ImageSet, Error> {
    let layout = CifarLayout {
        set: Set::Cifar100,
        kind: Kind::Cifar100,
        archive: "cifar-100-binary.tar.gz",
        unpacked: "cifar-100-binary",
        training: &["train.bin"],
        testing: "test.bin",
        images_per_training_file: 50_000,
        classes: match labels {
            Cifar100Labels::Fine => Kind::Cifar100.classes(),
            Cifar100Labels::Coarse => COARSE_CLASSES,
        },
        class: match labels {
            Cifar100Labels::Fine => |label| label.fine,
            Cifar100Labels::Coarse => |label| label.coarse,
        },
    };
    layout.read(directory)
}

/// How the files of one of the CIFAR sets are named and read.
struct CifarLayout {
    set: Set,
    kind: Kind,
    archive: &'static str,
    unpacked: &'static str,
    training: &'static [&'static str],
    testing: &'static str,
    images_per_training_file: usize,
    classes: usize,
    class: fn(Label) -> u8,
}

impl CifarLayout {
    fn read(&self, directory: &Path) -> Result<ImageSet, Error> {
        let folders = Folder::candidates(self.set, directory, &[self.unpacked]);
        if let Some(archive) = folders
            .iter()
            .map(|folder| folder.path.join(self.archive))
            .find(|path| path.is_file())
        {
            return self.read_archive(&archive);
        }
        let has_any = |folder: &&Folder<'_>| self.members().any(|name| folder.find(name).is_some());
        let Some(folder) = folders.iter().find(has_any) else {
            return Err(Error::Missing {
                set: self.set,
                file: self.archive.into(),
                folder: directory.join(self.set.key()),
                directory: directory.into(),
            });
        };

        let mut files: Vec<PathBuf> = self
            .training
            .iter()
            .filter_map(|name| folder.find(name))
            .collect();
        if files.is_empty() {
            return Err(folder.missing(&self.training.join(", ")));
        }
        let testing_file = folder.require(self.testing)?;
        let mut training = self.empty();
        for file in &files {
            let images =
                self.read_file(Source::open(file)?, file, self.images_per_training_file)?;
            training.append(images);
        }
        let most = self.set.test_images();
        let testing = self.read_file(Source::open(&testing_file)?, &testing_file, most)?;
        files.push(testing_file);
        Ok(ImageSet {
            set: self.set,
            training,
            testing,
            files,
        })
    }

    /// The names of all files.
    fn members(&self) -> impl Iterator<Item = &'static str> {
        self.training.iter().copied().chain([self.testing])
    }

    fn read_archive(&self, path: &Path) -> Result<ImageSet, Error> {
        let io_error = |cause| Error::Io {
            file: path.into(),
            cause,
        };
        let mut source = Source::open(path)?;
        let mut images = HashMap::new();
        let mut archive = tar::Archive::new(&mut source);
        // `raw`: the extensions for long names, which are read into memory whatever their size, are members like others. No member that
        // is wanted has one.
        for entry in archive.entries().map_err(io_error)?.raw(true) {
            let entry = entry.map_err(io_error)?;
            let name = entry.path().map_err(io_error)?;
            let wanted = self
                .members()
                .find(|member| name.file_name() == Some(member.as_ref()));
            let (Some(member), true) = (wanted, entry.header().entry_type().is_file()) else {
                continue;
            };
            let most = if member == self.testing {
                self.set.test_images()
            } else {
                self.images_per_training_file
            };
            let (file, size) = (path.join(member), entry.size());
            let read = self.read_file(entry, &file, most)?;
            // An archive that ends within a member reads as a shorter member.
            let found = read.len() as u64 * self.kind.record_len() as u64;
            if found < size {
                return Err(Error::Truncated {
                    file,
                    expected: size,
                    found,
                });
            }
            // As for `tar`, of a member that comes twice the last one holds.
            images.insert(member, read);
        }
        // The checksum of gzip data is at its very end.
        io::copy(&mut source, &mut io::sink()).map_err(io_error)?;

        let mut take = |member| {
            images.remove(member).ok_or_else(|| Error::Member {
                archive: path.into(),
                member,
            })
        };
        let mut training = self.empty();
        for member in self.training {
            training.append(take(member)?);
        }
        Ok(ImageSet {
            set: self.set,
            training,
            testing: take(self.testing)?,
            files: self.members().map(|member| path.join(member)).collect(),
        })
    }

    fn empty(&self) -> Images {
        Images::empty(Shape::image(32, 32, 3), self.classes)
    }

    fn read_file(&self, source: impl io::Read, file: &Path, most: usize) -> Result<Images, Error> {
        let mut reader = Reader::new(source, file, self.kind);
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        let mut image = [0; IMAGE_LEN];
        while let Some(label) = reader.next_image(&mut image)? {
            check(
                file,
                "images",
                Expected::AtMost(most as u64),
                reader.images_read() as u64,
            )?;
            pixels.extend_from_slice(&image);
            labels.push((self.class)(label));
        }
        check(file, "images", Expected::AtLeast(1), labels.len() as u64)?;
        Images::new(Shape::image(32, 32, 3), self.classes, pixels, labels)
    }
}
