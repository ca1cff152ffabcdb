//! The data sets that there are, and what one of them is in memory.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::Error;
use crate::images::Images;
use crate::load::{Cifar100Labels, cifar10, cifar100, fashion_mnist, mnist};

/// A data set that can be read here.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Set {
    /// Handwritten digits, 28x28x1: LeCun, Cortes, Burges.
    Mnist,
    /// Pieces of clothing, 28x28x1: Xiao, Rasul, Vollgraf, <https://arxiv.org/abs/1708.07747>.
    FashionMnist,
    /// Photographs of 10 classes, 32x32x3: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
    Cifar10,
    /// Photographs of 100 classes in 20 groups, 32x32x3: Krizhevsky, 2009.
    Cifar100,
}

impl Set {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Mnist,
        Self::FashionMnist,
        Self::Cifar10,
        Self::Cifar100,
    ];

    /// The name on the command line, and of the folder.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Mnist => "mnist",
            Self::FashionMnist => "fashion-mnist",
            Self::Cifar10 => "cifar-10",
            Self::Cifar100 => "cifar-100",
        }
    }

    /// The training images of the whole data set; of CIFAR-10 there may be fewer in a folder.
    pub const fn training_images(self) -> usize {
        match self {
            Self::Mnist | Self::FashionMnist => 60_000,
            Self::Cifar10 | Self::Cifar100 => 50_000,
        }
    }

    /// The test images of the whole data set.
    pub const fn test_images(self) -> usize {
        10_000
    }

    /// Reads it from a folder, CIFAR-100 with its fine labels.
    ///
    /// # Errors
    ///
    /// As [`mnist`].
    pub fn read(self, directory: &Path) -> Result<ImageSet, Error> {
        match self {
            Self::Mnist => mnist(directory),
            Self::FashionMnist => fashion_mnist(directory),
            Self::Cifar10 => cifar10(directory),
            Self::Cifar100 => cifar100(directory, Cifar100Labels::Fine),
        }
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Mnist => "MNIST",
            Self::FashionMnist => "Fashion-MNIST",
            Self::Cifar10 => "CIFAR-10",
            Self::Cifar100 => "CIFAR-100",
        })
    }
}

/// A name that is no data set's.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected mnist, fashion-mnist, cifar-10 or cifar-100, found {0}")]
pub struct UnknownSet(String);

impl FromStr for Set {
    type Err = UnknownSet;

    /// The [key](Set::key), also without its hyphen: `cifar10`, as other libraries write it.
    fn from_str(key: &str) -> Result<Self, UnknownSet> {
        let mut sets = Self::ALL.into_iter();
        sets.find(|set| key == set.key() || key == set.key().replace('-', ""))
            .ok_or_else(|| UnknownSet(key.into()))
    }
}

/// The training and the test images of a data set.
///
/// Displayed, it says how many of each there are: `CIFAR-10: 10000 of 50000 training images, 10000 of 10000 test images`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImageSet {
    /// Which one it is.
    pub set: Set,
    /// The images to train on.
    pub training: Images,
    /// The images to test on.
    pub testing: Images,
    /// The files that were read; a file inside an archive is named as if the archive were a folder.
    pub files: Vec<PathBuf>,
}

impl fmt::Display for ImageSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} of {} training images, {} of {} test images",
            self.set,
            self.training.len(),
            self.set.training_images(),
            self.testing.len(),
            self.set.test_images()
        )
    }
}
