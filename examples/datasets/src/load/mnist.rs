//! MNIST, and what has its format.

use std::path::Path;

use lightlayers::Shape;

use super::{Folder, check};
use crate::error::{Error, Expected};
use crate::idx::Reader;
use crate::images::Images;
use crate::set::{ImageSet, Set};

/// Reads MNIST: 60,000 training and 10,000 test images of 28x28x1 in 10 classes.
///
/// The files `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`, each as it is or
/// with `.gz` (compressed or not is seen from the content, not from the name), are looked for in the folder `mnist` in `directory`, and if
/// none of them is there, in `directory` itself.
///
/// # Errors
///
/// [`Error::Missing`] says how to get a file that is not there; all others, what is wrong with one: not 28x28, no image or more than a
/// million, a label that is no class, not a label for each image, too few or too many bytes.
pub fn mnist(directory: &Path) -> Result<ImageSet, Error> {
    mnist_like(Set::Mnist, directory)
}

/// Reads Fashion-MNIST, whose files have the names and the format of MNIST's, from the folder `fashion-mnist` in `directory` or from
/// `directory` itself.
///
/// # Errors
///
/// As [`mnist`].
pub fn fashion_mnist(directory: &Path) -> Result<ImageSet, Error> {
    mnist_like(Set::FashionMnist, directory)
}

fn mnist_like(set: Set, directory: &Path) -> Result<ImageSet, Error> {
    const PARTS: [[&str; 2]; 2] = [
        ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"],
        ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"],
    ];
    let mut folders = Folder::candidates(set, directory, &[]);
    let has_any = |folder: &Folder<'_>| {
        PARTS
            .iter()
            .flatten()
            .any(|name| folder.find(name).is_some())
    };
    let chosen = folders.iter().position(has_any).unwrap_or(0);
    let folder = folders.swap_remove(chosen);

    let mut files = Vec::new();
    for name in PARTS.iter().flatten() {
        files.push(folder.require(name)?);
    }
    let read = |[images, labels]: [&str; 2]| {
        read_idx_images(&folder.require(images)?, &folder.require(labels)?)
    };
    let [training, testing] = PARTS;
    Ok(ImageSet {
        set,
        training: read(training)?,
        testing: read(testing)?,
        files,
    })
}

fn read_idx_images(images_file: &Path, labels_file: &Path) -> Result<Images, Error> {
    const CLASSES: usize = 10;
    /// Extended sets in the same format have up to 814,255 images; a header that says far more is damaged or hostile.
    const MOST: u64 = 1_000_000;

    let images = Reader::open(images_file, 3)?;
    let count = u64::from(images.items());
    check(images_file, "images", Expected::AtLeast(1), count)?;
    check(images_file, "images", Expected::AtMost(MOST), count)?;
    for (what, size) in ["height", "width"]
        .into_iter()
        .zip(images.sizes().iter().skip(1))
    {
        check(images_file, what, Expected::Exactly(28), u64::from(*size))?;
    }

    let labels = Reader::open(labels_file, 1)?;
    if u64::from(labels.items()) != count {
        return Err(Error::Count {
            images_file: images_file.into(),
            labels_file: labels_file.into(),
            images: count,
            found: u64::from(labels.items()),
        });
    }
    let labels = labels.read_rest()?;
    if let Some((sample, found)) = labels
        .iter()
        .enumerate()
        .find(|(_, label)| usize::from(**label) >= CLASSES)
    {
        return Err(Error::Label {
            file: labels_file.into(),
            sample,
            classes: CLASSES,
            found: *found,
        });
    }
    Images::new(
        Shape::image(28, 28, 1),
        CLASSES,
        images.read_rest()?,
        labels,
    )
}
