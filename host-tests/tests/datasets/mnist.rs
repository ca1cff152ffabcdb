//! MNIST's files in a folder.

use std::fs;

use anyhow::{Context, Result};
use lightlayers::Shape;
use lightlayers_datasets::{Error, Set};

use crate::files::{digit_labels, digits, error, folder, idx, write_digits};

#[test]
fn mnist_is_found_in_its_own_folder_and_in_the_given_one() -> Result<()> {
    let folder = folder("mnist")?;
    write_digits(&folder.join("inside/mnist"))?;
    write_digits(&folder.join("flat"))?;
    for (given, holds) in [
        ("inside", "inside/mnist"),
        ("inside/mnist", "inside/mnist"),
        ("flat", "flat"),
    ] {
        let mnist = lightlayers_datasets::mnist(&folder.join(given))?;
        assert_eq!(
            (mnist.set, mnist.training.len(), mnist.testing.len()),
            (Set::Mnist, 3, 2)
        );
        assert_eq!(mnist.training.shape(), Shape::image(28, 28, 1));
        assert_eq!(mnist.training.labels(), [5, 0, 9]);
        assert_eq!(
            mnist.training.class_counts(),
            [1, 0, 0, 0, 0, 1, 0, 0, 0, 1]
        );
        assert_eq!(mnist.testing.labels(), [1, 2]);
        let image = mnist.training.image(2).context("image 2")?;
        assert_eq!(
            (image.len(), image[0], image[1], image[783]),
            (784, 255, 3, 3)
        );
        assert_eq!(mnist.training.image(3), None);
        assert_eq!(mnist.training.image(usize::MAX), None);
        assert_eq!(mnist.files.len(), 4);
        assert!(
            mnist
                .files
                .iter()
                .all(|file| file.parent() == Some(&folder.join(holds)))
        );
        assert_eq!(
            mnist.to_string(),
            "MNIST: 3 of 60000 training images, 2 of 10000 test images"
        );
    }
    // The name of the folder is what tells the two apart.
    assert!(matches!(
        error(lightlayers_datasets::fashion_mnist(&folder.join("inside")))?,
        Error::Missing {
            set: Set::FashionMnist,
            ..
        }
    ));
    write_digits(&folder.join("inside/fashion-mnist"))?;
    assert_eq!(
        lightlayers_datasets::fashion_mnist(&folder.join("inside"))?.set,
        Set::FashionMnist
    );
    Ok(())
}

#[test]
fn a_missing_data_set_says_how_to_get_it() -> Result<()> {
    let folder = folder("missing")?;
    let shown = folder.display();
    for set in Set::ALL {
        let file = match set {
            Set::Mnist | Set::FashionMnist => {
                "train-images-idx3-ubyte or train-images-idx3-ubyte.gz".into()
            }
            Set::Cifar10 | Set::Cifar100 => format!("{}-binary.tar.gz", set.key()),
        };
        assert_eq!(
            error(set.read(&folder))?.to_string(),
            format!(
                "{set}: expected {file} in {shown}/{key}, found no such file; \
                 get it with: cargo run --release --example fetch_data -- {key} {shown}",
                key = set.key()
            )
        );
        assert_eq!(set.key().parse(), Ok(set));
    }
    assert!("emnist".parse::<Set>().is_err());

    write_digits(&folder)?;
    fs::remove_file(folder.join("t10k-labels-idx1-ubyte.gz"))?;
    assert!(matches!(
        error(lightlayers_datasets::mnist(&folder))?,
        Error::Missing { file, folder: found, .. } if file.starts_with("t10k-labels-idx1-ubyte") && found == folder
    ));
    Ok(())
}

#[test]
fn damaged_mnist_files_are_named_with_what_is_wrong() -> Result<()> {
    let folder = folder("mnist-damaged")?;
    let million = idx(&[1_000_001, 28, 28], &[]);
    let cases: [(&str, Vec<u8>, &str); 10] = [
        (
            "train-labels-idx1-ubyte",
            digit_labels(&[5, 10, 9]),
            ": sample 1: expected a label below 10, found 10",
        ),
        (
            "train-labels-idx1-ubyte",
            digit_labels(&[5, 0]),
            ": expected a label for each of the 3 images in IMAGES, found 2",
        ),
        (
            "train-labels-idx1-ubyte",
            digit_labels(&[5, 0, 9])[..10].to_vec(),
            ": expected 11 bytes, found 10",
        ),
        (
            "train-labels-idx1-ubyte",
            digits(3),
            ": expected the first bytes [00, 00, 08, 01], found [00, 00, 08, 03]",
        ),
        (
            "t10k-images-idx3-ubyte",
            idx(&[2, 28, 27], &[0; 1512]),
            ": width: expected 28, found 27",
        ),
        (
            "t10k-images-idx3-ubyte",
            idx(&[2, 1, 784], &[0; 1568]),
            ": height: expected 28, found 1",
        ),
        (
            "t10k-images-idx3-ubyte",
            digits(0),
            ": images: expected at least 1, found 0",
        ),
        (
            "t10k-images-idx3-ubyte",
            million,
            ": images: expected at most 1000000, found 1000001",
        ),
        (
            "t10k-images-idx3-ubyte",
            [digits(2), vec![7]].concat(),
            ": expected the end after 1584 bytes, found more",
        ),
        (
            "t10k-images-idx3-ubyte",
            b"<html>404 Not Found</html>".to_vec(),
            ": expected the first bytes [00, 00, 08, 03], found [3c, 68, 74, 6d]",
        ),
    ];
    for (file, bytes, expected) in cases {
        write_digits(&folder)?;
        fs::write(folder.join(file), bytes)?;
        let images = folder
            .join("train-images-idx3-ubyte.gz")
            .display()
            .to_string();
        assert_eq!(
            error(lightlayers_datasets::mnist(&folder))?.to_string(),
            format!(
                "{}{}",
                folder.join(file).display(),
                expected.replace("IMAGES", &images)
            )
        );
    }
    Ok(())
}
