//! Data sets: the shipped digits, bytes from anywhere, and the split.

use std::convert::Infallible;

use lightlayers::dataset::{Dataset, Holdout, PackedImages, Target};
use lightlayers::loss::MeanSquaredError;
use lightlayers::optim::Sgd;
use lightlayers::{Error, Network, Plan, Trainer};

use host_tests::session::{Buffers, message};

/// Three images of 3x1x1, so that labels and images end in half a byte; 3 classes.
const SMALL: &[u8] = b"LLP4\x03\0\0\0\x03\0\x01\0\x01\0\x03\0\x10\x02\x21\x03\x54\x06\x87\x09";

/// Reads all there is to read through the public calls; returns labels and levels.
fn read(images: &PackedImages) -> Vec<(usize, Vec<u8>)> {
    let mut read = Vec::new();
    for index in 0..images.len() {
        let label = images.label(index).expect("below the length");
        assert!(label < images.classes(), "{label}");
        let levels: Vec<u8> = images.levels(index).expect("below the length").collect();
        assert_eq!(levels.len(), images.shape().len());
        assert!(levels.iter().all(|level| *level < 16));
        read.push((label, levels));
    }
    assert_eq!(images.label(images.len()), None);
    assert!(images.levels(images.len()).is_none());
    read
}

#[test]
fn small_images_by_hand() {
    let images = PackedImages::new(SMALL).unwrap();
    let expected = [(0, vec![1, 2, 3]), (1, vec![4, 5, 6]), (2, vec![7, 8, 9])];
    assert_eq!(read(&images), expected);
    assert_eq!((images.shape().height, images.classes()), (3, 3));
}

#[test]
fn the_digits_are_the_published_ones() {
    let bytes = include_bytes!("../../examples/data/digits.bin");
    assert!(bytes.len() <= 60_000, "{}", bytes.len());
    let images = PackedImages::new(bytes).unwrap();
    let digits = read(&images);
    assert_eq!((digits.len(), images.classes()), (1797, 10));
    // Counts of classes as in scikit-learn's description.
    let counts: Vec<usize> = (0..10)
        .map(|class| digits.iter().filter(|(label, _)| *label == class).count())
        .collect();
    assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
    // The first image, a 0, as printed in scikit-learn's documentation, its 16s as 15.
    let first = [
        [0, 0, 5, 13, 9, 1, 0, 0],
        [0, 0, 13, 15, 10, 15, 5, 0],
        [0, 3, 15, 2, 0, 11, 8, 0],
        [0, 4, 12, 0, 0, 8, 8, 0],
        [0, 5, 8, 0, 0, 9, 8, 0],
        [0, 4, 11, 0, 1, 12, 7, 0],
        [0, 2, 14, 5, 10, 12, 0, 0],
        [0, 0, 6, 13, 10, 0, 0, 0],
    ];
    assert_eq!(digits[0], (0, first.concat()));
}

fn packed(what: &'static str, expected: usize, found: usize) -> Error {
    Error::Packed {
        what,
        expected,
        found,
    }
}

#[test]
fn headers_that_are_wrong() {
    let with = |place: usize, byte: u8| {
        let mut bytes = SMALL.to_vec();
        bytes[place] = byte;
        PackedImages::new(&bytes).map(|_| ()).unwrap_err()
    };
    let magic = |bytes: &[u8; 4]| u32::from_be_bytes(*bytes) as usize;
    let cases = [
        (
            with(3, b'5'),
            packed("magic", magic(b"LLP4"), magic(b"LLP5")),
        ),
        (with(4, 4), packed("bytes of samples", 10, 8)),
        (with(8, 5), packed("bytes of samples", 11, 8)),
        (with(8, 0), packed("values per image, at least", 1, 0)),
        (with(14, 0), packed("classes, at most", 16, 0)),
        (with(14, 17), packed("classes, at most", 16, 17)),
        (with(14, 2), packed("label, below", 2, 2)),
        (with(15, 1), packed("byte 15", 0, 1)),
        (with(16, 0x30), packed("label, below", 3, 3)),
    ];
    for (found, expected) in cases {
        assert_eq!(found, expected);
    }
    assert_eq!(
        message(&with(14, 17)),
        "packed images: classes, at most: expected 16, found 17"
    );
    // The largest header: 2³² images of 65,535 x 4,096 x 1 values, and labels.
    let mut bytes = SMALL.to_vec();
    bytes[4..14].copy_from_slice(b"\xff\xff\xff\xff\xff\xff\0\x10\x01\0");
    let found = PackedImages::new(&bytes).map(|_| ()).unwrap_err();
    let expected = u64::from(u32::MAX) * 65_535 * 2048 + (1 << 31);
    let expected = usize::try_from(expected).unwrap_or(usize::MAX);
    assert_eq!(found, packed("bytes of samples", expected, 8));
}

/// Each gives a typed error or a data set that can be read; nothing panics.
#[test]
fn every_truncation_and_every_flipped_bit() {
    for len in 0..SMALL.len() {
        let found = PackedImages::new(&SMALL[..len]).map(|_| ()).unwrap_err();
        let expected = match len {
            0..16 => packed("length", 16, len),
            _ => packed("bytes of samples", 8, len - 16),
        };
        assert_eq!(found, expected);
    }
    let longer = [SMALL, &[0]].concat();
    let found = PackedImages::new(&longer).map(|_| ()).unwrap_err();
    assert_eq!(found, packed("bytes of samples", 8, 9));

    let mut accepted = Vec::new();
    for bit in 0..SMALL.len() * 8 {
        let mut bytes = SMALL.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        match PackedImages::new(&bytes) {
            Ok(images) => {
                read(&images);
                accepted.push(bit);
            }
            Err(error) => {
                assert!(matches!(error, Error::Packed { .. }), "{error:?}");
                message(&error);
            }
        }
    }
    // 7 or 11 classes instead of 3; label 0 as 1 or 2, label 1 as 0, label 2 as 0; then the half of
    // a byte that no label uses, and every bit of the images.
    let good = [114, 115, 128, 129, 132, 137].into_iter().chain(140..192);
    assert_eq!(accepted, good.collect::<Vec<_>>());
}

/// The numbers `0..len`, each its own sample.
struct Numbers(usize);

impl Dataset for Numbers {
    type Error = Infallible;

    fn len(&self) -> usize {
        self.0
    }

    fn read(
        &mut self,
        index: usize,
        input: &mut [f32],
        target: &mut Target<'_>,
    ) -> Result<(), Infallible> {
        input[0] = index as f32;
        target.values_mut()[0] = 0.0;
        Ok(())
    }
}

/// The samples of a side, read through a trainer.
fn samples(mut side: Holdout<Numbers>) -> Vec<usize> {
    let indices: Vec<usize> = (0..side.len()).map(|i| side.index_in_whole(i)).collect();
    if !indices.is_empty() {
        let plan = Plan::new(&Network::features(1).flatten());
        let mut buffers = Buffers::new::<Sgd>(plan.network(), &[], 1);
        let trainer = Trainer::new(&plan, MeanSquaredError, Sgd, buffers.memory());
        let mut read = Vec::new();
        let evaluated = trainer
            .unwrap()
            .evaluate(&mut side, |result| read.push(result.outputs[0] as usize));
        evaluated.unwrap();
        assert_eq!(read, indices);
    }
    indices
}

#[test]
fn the_sides_of_a_split_are_a_partition() {
    for len in 0..40 {
        for every in 2..12 {
            let training = samples(Holdout::training(Numbers(len), every).unwrap());
            let testing = samples(Holdout::testing(Numbers(len), every).unwrap());
            let held_out = (0..len).filter(|index| index % every == every - 1);
            assert_eq!(testing, held_out.collect::<Vec<_>>(), "{len}, {every}");
            let others = (0..len).filter(|index| index % every != every - 1);
            assert_eq!(training, others.collect::<Vec<_>>(), "{len}, {every}");
        }
    }
}
