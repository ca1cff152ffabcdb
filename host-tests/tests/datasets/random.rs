//! The readers on random bytes, and on random files that are right.

use std::fs;

use lightlayers_datasets::cifar::{COARSE_CLASSES, IMAGE_LEN, Kind};
use lightlayers_datasets::{Error, Set, cifar, idx};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use crate::files::{self, cifar10_archive, folder, gzip, write_digits};

/// A header that may promise anything, and a few bytes.
fn any_idx() -> impl Strategy<Value = Vec<u8>> {
    let size = prop_oneof![0..5_u32, any::<u32>()];
    let header = (0..4_u8, vec(size, 0..4)).prop_map(|(dimensions, sizes)| {
        let sizes = sizes.iter().flat_map(|size| size.to_be_bytes());
        [0, 0, 8, dimensions]
            .into_iter()
            .chain(sizes)
            .collect::<Vec<u8>>()
    });
    let header = prop_oneof![header, vec(any::<u8>(), 0..20)];
    (header, vec(any::<u8>(), 0..70)).prop_map(|(header, values)| [header, values].concat())
}

/// What a reader makes of it is what the header says, written down once more.
fn check_idx(bytes: &[u8], dimensions: u8) -> TestCaseResult {
    let header_len = 4 + 4 * usize::from(dimensions);
    let whole = bytes.len() >= header_len && bytes[..4] == [0, 0, 8, dimensions];
    let sizes: Vec<u128> = (1..=usize::from(dimensions))
        .filter_map(|i| bytes.get(4 * i..4 * i + 4))
        .map(|word| {
            word.iter()
                .fold(0, |size, byte| size * 256 + u128::from(*byte))
        })
        .collect();
    let right = whole
        && sizes.iter().skip(1).all(|size| *size > 0)
        && sizes
            .iter()
            .try_fold(1_u128, |product, size| product.checked_mul((*size).max(1)))
            .is_some_and(|most| most < 1 << 63)
        && sizes.iter().product::<u128>() == (bytes.len() - header_len) as u128;

    let read = idx::Reader::new(bytes, "file", dimensions).and_then(idx::Reader::read_rest);
    prop_assert_eq!(read.is_ok(), right, "{:?}", read);
    if let Ok(values) = read {
        prop_assert_eq!(&values, &bytes[header_len..]);
    }
    Ok(())
}

/// Most labels are right, and half of the files end with a whole record.
fn any_records(kind: Kind) -> impl Strategy<Value = Vec<u8>> {
    let label = |classes: usize| prop_oneof![9 => 0..classes as u8, 1 => any::<u8>()];
    let record = (label(COARSE_CLASSES), label(kind.classes()), any::<u64>());
    (vec(record, 0..4), 0..4000_usize).prop_map(move |(records, cut)| {
        let mut bytes = Vec::new();
        for (coarse, fine, seed) in records {
            if kind == Kind::Cifar100 {
                bytes.push(coarse);
            }
            bytes.push(fine);
            bytes.extend((0..IMAGE_LEN as u64).map(|i| pixel(seed, i)));
        }
        bytes.truncate(bytes.len() - cut.saturating_sub(2000).min(bytes.len()));
        bytes
    })
}

fn pixel(seed: u64, i: u64) -> u8 {
    ((seed ^ i).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

fn check_cifar(bytes: &[u8], kind: Kind) -> TestCaseResult {
    let mut reader = cifar::Reader::new(bytes, "file", kind);
    let mut image = [0; IMAGE_LEN];
    let labels = kind.record_len() - IMAGE_LEN;
    let classes = match kind {
        Kind::Cifar10 => &[10][..],
        Kind::Cifar100 => &[20, 100],
    };
    for (sample, record) in bytes.chunks(kind.record_len()).enumerate() {
        let read = reader.next_image(&mut image);
        if record.len() < kind.record_len() {
            let counted =
                matches!(read, Err(Error::Truncated { found, .. }) if found == bytes.len() as u64);
            prop_assert!(counted);
            return Ok(());
        }
        let wrong = record
            .iter()
            .zip(classes)
            .find(|(label, classes)| label >= classes);
        if let Some((label, _)) = wrong {
            let named = matches!(read, Err(Error::Label { sample: s, found, .. }) if (s, found) == (sample, *label));
            prop_assert!(named);
            return Ok(());
        }
        let fine = read.ok().flatten().map(|label| label.fine);
        prop_assert_eq!(fine, Some(record[labels - 1]));
        for place in 0..IMAGE_LEN {
            prop_assert_eq!(image[place], record[labels + place % 3 * 1024 + place / 3]);
        }
    }
    prop_assert!(matches!(reader.next_image(&mut image), Ok(None)));
    Ok(())
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Replaces bytes somewhere; then leaves the end away.
fn damage(mut bytes: Vec<u8>, place: usize, replacement: &[u8], cut: usize) -> Vec<u8> {
    let place = place % bytes.len();
    for (byte, new) in bytes.iter_mut().skip(place).zip(replacement) {
        *byte = *new;
    }
    bytes.truncate(bytes.len() - cut.min(bytes.len()));
    bytes
}

proptest! {
    #![proptest_config(config(2000))]

    #[test]
    fn any_bytes_are_an_idx_file_or_an_error(bytes in any_idx(), dimensions in 0..4_u8) {
        check_idx(&bytes, dimensions)?;
    }
}

/// Sizes, and as many values.
fn whole_idx() -> impl Strategy<Value = (Vec<u32>, Vec<u8>)> {
    vec(1..6_u32, 1..4).prop_flat_map(|sizes| {
        let values = sizes.iter().product::<u32>() as usize;
        (Just(sizes), vec(any::<u8>(), values))
    })
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn what_is_written_as_idx_is_read_compressed_or_not((sizes, values) in whole_idx()) {
        let any = |error: anyhow::Error| TestCaseError::fail(error.to_string());
        let bytes = files::idx(&sizes, &values);
        check_idx(&bytes, sizes.len() as u8)?;
        let path = folder("random-idx").map_err(any)?.join("file");
        for content in [gzip(&bytes).map_err(any)?, bytes] {
            fs::write(&path, content).map_err(|error| any(error.into()))?;
            let reader = idx::Reader::open(&path, sizes.len() as u8).map_err(|error| any(error.into()))?;
            prop_assert_eq!(reader.sizes(), &sizes[..]);
            prop_assert_eq!(&reader.read_rest().map_err(|error| any(error.into()))?, &values);
        }
    }
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn any_records_are_images_or_an_error(ten in any_records(Kind::Cifar10), hundred in any_records(Kind::Cifar100)) {
        check_cifar(&ten, Kind::Cifar10)?;
        check_cifar(&hundred, Kind::Cifar100)?;
    }
}

proptest! {
    #![proptest_config(config(100))]

    /// Damage anywhere in any file gives an error or a data set that holds what it promises; nothing panics.
    #[test]
    fn damaged_files_do_no_harm(
        file in 0..6_usize,
        place in any::<usize>(),
        replacement in vec(any::<u8>(), 0..40),
        cut in prop_oneof![Just(0), 0..3000_usize],
    ) {
        let root = folder("random").map_err(|error| TestCaseError::fail(error.to_string()))?;
        let io = |error: std::io::Error| TestCaseError::fail(error.to_string());
        let any = |error: anyhow::Error| TestCaseError::fail(error.to_string());
        let (set, path) = match file {
            0 => (Set::Mnist, "train-images-idx3-ubyte.gz"),
            1 => (Set::Mnist, "train-labels-idx1-ubyte"),
            2 => (Set::Mnist, "t10k-images-idx3-ubyte"),
            3 => (Set::Mnist, "t10k-labels-idx1-ubyte.gz"),
            _ => (Set::Cifar10, "cifar-10-binary.tar.gz"),
        };
        write_digits(&root).map_err(any)?;
        let archive = cifar10_archive().map_err(any)?;
        let archive = if file == 4 { gzip(&archive).map_err(any)? } else { archive };
        fs::write(root.join("cifar-10-binary.tar.gz"), archive).map_err(io)?;

        let whole = fs::read(root.join(path)).map_err(io)?;
        fs::write(root.join(path), damage(whole, place, &replacement, cut)).map_err(io)?;
        if let Ok(images) = set.read(&root) {
            for part in [&images.training, &images.testing] {
                prop_assert!(!part.is_empty());
                prop_assert!(part.image(part.len() - 1).is_some());
                prop_assert!(part.labels().iter().all(|label| usize::from(*label) < part.classes()));
            }
        }
    }
}
