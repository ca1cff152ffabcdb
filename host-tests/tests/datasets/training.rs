//! Data sets as training sees them: scaled, in parts, augmented.

use std::collections::HashSet;

use anyhow::Result;
use lightlayers::dataset::{Dataset, PackedImages, Target};
use lightlayers::{Rng, Shape};
use lightlayers_datasets::{Augmentation, Augmented, Error, Images, Subset};

use crate::files::error;

/// What is read of a sample: the input and the target.
type Sample = (Vec<f32>, Vec<f32>);

/// One sample of a data set of `classes` classes.
fn read<D: Dataset>(
    data: &mut D,
    index: usize,
    shape: Shape,
    classes: usize,
) -> Result<Sample, D::Error> {
    let (mut input, mut values) = (vec![f32::NAN; shape.len()], vec![f32::NAN; classes]);
    data.read(index, &mut input, &mut Target::new(&mut values))?;
    Ok((input, values))
}

/// All samples of a data set of 10 classes, or of 2 for a [`PAIR`].
fn seen<D: Dataset>(data: &mut D, shape: Shape) -> Result<Vec<Sample>, D::Error> {
    let classes = if shape == PAIR { 2 } else { 10 };
    (0..data.len())
        .map(|index| read(data, index, shape, classes))
        .collect()
}

/// Image `i` of 10 has the pixels `25 i` and `25 i + 1`, and is of class `i % 2`.
fn pairs() -> Result<Images> {
    let pixels = (0..10).flat_map(|i| [25 * i, 25 * i + 1]).collect();
    Ok(Images::new(
        PAIR,
        2,
        pixels,
        (0..10).map(|i| i % 2).collect(),
    )?)
}

const PAIR: Shape = Shape::image(1, 2, 1);

#[test]
fn images_are_read_as_fractions_of_255_and_one_hot_targets() -> Result<()> {
    let mut images = pairs()?;
    let expected: Vec<_> = (0..10)
        .map(|i| {
            let input = [25.0 * i as f32 / 255.0, (25.0 * i as f32 + 1.0) / 255.0];
            let target = if i % 2 == 0 { [1.0, 0.0] } else { [0.0, 1.0] };
            (input.to_vec(), target.to_vec())
        })
        .collect();
    assert_eq!(seen(&mut &images, PAIR)?, expected);
    assert_eq!(seen(&mut images, PAIR)?, expected);
    assert_eq!(Dataset::len(&&images), 10);

    assert_eq!(
        seen(&mut Subset::new(&images, 3..5)?, PAIR)?,
        expected[3..5]
    );
    assert_eq!(seen(&mut Subset::last(&images, 4)?, PAIR)?, expected[6..]);
    assert_eq!(
        seen(&mut Subset::without_last(&images, 4)?, PAIR)?,
        expected[..6]
    );
    assert_eq!(seen(&mut Subset::limit(&images, 2), PAIR)?, expected[..2]);
    assert_eq!(Subset::limit(&images, 11).len(), 10);
    // A part of a part, and of a data set that owns its images.
    let part = Subset::last(images, 8)?;
    assert_eq!(seen(&mut Subset::new(part, 1..3)?, PAIR)?, expected[3..5]);
    Ok(())
}

#[test]
fn what_is_out_of_range_is_an_error() -> Result<()> {
    let images = pairs()?;
    assert_eq!(
        images.read_scaled(10, &mut [0.0; 2]),
        Err(lightlayers::Error::Index { len: 10, found: 10 })
    );
    assert_eq!(
        images
            .read_scaled(0, &mut [0.0; 3])
            .map_err(|error| error.to_string()),
        Err("input: expected 2 elements, found 3".into())
    );
    // A part does not reach into the rest of the data set.
    let mut part = Subset::new(&images, 2..5)?;
    let past_its_end = lightlayers::Error::Index { len: 3, found: 3 };
    assert_eq!(read(&mut part, 3, PAIR, 2), Err(past_its_end));
    // The descending range is the point.
    #[expect(clippy::reversed_empty_ranges)]
    for range in [0..11, 11..11, 5..4] {
        let text = format!("expected a part of 10 samples, found {range:?}");
        assert_eq!(error(Subset::new(&images, range))?.to_string(), text);
    }
    assert!(matches!(
        error(Subset::last(&images, 11))?,
        Error::Part { len: 10, .. }
    ));
    assert!(matches!(
        error(Subset::without_last(&images, 11))?,
        Error::Part { len: 10, .. }
    ));

    for (classes, pixels, labels) in [(2, 3, vec![0, 1]), (2, 4, vec![0, 2]), (0, 0, vec![])] {
        let images = Images::new(PAIR, classes, vec![0; pixels], labels);
        assert!(matches!(error(images)?, Error::Memory { .. }));
    }
    let too_far = Augmentation {
        shift: 1,
        ..Augmentation::default()
    };
    assert_eq!(
        error(Augmented::new(&images, PAIR, too_far))?.to_string(),
        "expected a shift below 1 pixels, found 1"
    );
    Ok(())
}

/// The documented law, written down once more: rows down, columns right, mirrored.
fn moves(augmentation: Augmentation, epoch: u32, index: usize) -> (i64, i64, bool) {
    let mut rng = Rng::new(augmentation.seed);
    let key = (u64::from(rng.next_u32()) << 32) + u64::from(rng.next_u32());
    let mut rng = Rng::new(key ^ ((u64::from(epoch) << 32) + index as u64));
    let shift = i64::from(augmentation.shift);
    let mut draw =
        || ((i128::from(rng.next_u32()) * i128::from(2 * shift + 1)) >> 32) as i64 - shift;
    let (down, right) = (draw(), draw());
    (down, right, augmentation.flip && rng.next_u32() >= 1 << 31)
}

#[test]
fn augmentation_moves_images_as_its_law_says() {
    let mut met = HashSet::new();
    for (height, width, channels) in [
        (1, 1, 1),
        (4, 4, 1),
        (3, 5, 3),
        (6, 3, 2),
        (28, 28, 1),
        (32, 32, 3),
    ] {
        let shape = Shape::image(height, width, channels);
        let image: Vec<f32> = (1..=shape.len()).map(|value| value as f32).collect();
        for (shift, flip) in [(0, false), (0, true), (2, false), (2, true), (7, true)] {
            for index in 0..200 {
                let augmentation = Augmentation {
                    shift,
                    flip,
                    seed: 3,
                };
                let (down, right, mirrored) = moves(augmentation, 5, index);
                met.insert((down.signum(), right.signum(), mirrored));
                let (h, w, c) = (i64::from(height), i64::from(width), i64::from(channels));
                let mut expected = Vec::new();
                for y in 0..h {
                    for x in 0..w {
                        for channel in 0..c {
                            let (from_y, from_x) = (y - down, x - right);
                            let inside = (0..h).contains(&from_y) && (0..w).contains(&from_x);
                            let from_x = if mirrored { w - 1 - from_x } else { from_x };
                            let place = (from_y * w + from_x) * c + channel;
                            expected.push(if inside { image[place as usize] } else { 0.0 });
                        }
                    }
                }
                let mut found = image.clone();
                augmentation.apply(5, index, shape, &mut found);
                assert_eq!(
                    found, expected,
                    "{shape} {augmentation:?} {index}: {down} {right} {mirrored}"
                );
            }
        }
    }
    assert_eq!(met.len(), 3 * 3 * 2);

    let mut other_length = [1.0; 5];
    Augmentation {
        shift: 1,
        flip: true,
        seed: 0,
    }
    .apply(0, 0, Shape::image(2, 2, 1), &mut other_length);
    assert_eq!(other_length, [1.0; 5]);
}

/// Binomial counts stay within 5 standard deviations of their mean.
#[test]
fn shifts_and_flips_are_equally_likely_and_independent() {
    let augmentation = Augmentation {
        shift: 2,
        flip: true,
        seed: 11,
    };
    let mut counts = [0_u32; 50];
    let samples = 100_000;
    for epoch in 0..10 {
        for index in 0..samples / 10 {
            let (down, right, mirrored) = moves(augmentation, epoch, index);
            counts[((down + 2) * 10 + (right + 2) * 2) as usize + usize::from(mirrored)] += 1;
        }
    }
    let mean = samples as f64 / 50.0;
    let deviation = (mean * (1.0 - 1.0 / 50.0)).sqrt();
    for count in counts {
        assert!(
            (f64::from(count) - mean).abs() < 5.0 * deviation,
            "{counts:?}"
        );
    }
    // Neighbouring epochs, samples and seeds agree as often as chance has it: 1 in 50.
    let next_seed = Augmentation {
        seed: 12,
        ..augmentation
    };
    let agreements = [
        (0..samples)
            .filter(|i| moves(augmentation, 0, *i) == moves(augmentation, 1, *i))
            .count(),
        (0..samples)
            .filter(|i| moves(augmentation, 0, *i) == moves(augmentation, 0, *i + 1))
            .count(),
        (0..samples)
            .filter(|i| moves(augmentation, 0, *i) == moves(next_seed, 0, *i))
            .count(),
    ];
    for agreements in agreements {
        assert!(
            (agreements as f64 - mean).abs() < 5.0 * deviation,
            "{agreements}"
        );
    }
}

#[test]
fn augmented_data_changes_with_the_epoch_and_repeats() -> Result<()> {
    let digits = PackedImages::new(include_bytes!("../../../examples/data/digits.bin"))?;
    let plain = seen(&mut Subset::limit(digits, 50), digits.shape())?;

    let augmentation = Augmentation {
        shift: 1,
        flip: true,
        seed: 9,
    };
    let mut data = Augmented::new(Subset::limit(digits, 50), digits.shape(), augmentation)?;
    assert_eq!(data.len(), 50);
    let first = seen(&mut data, digits.shape())?;
    data.set_epoch(1);
    let second = seen(&mut data, digits.shape())?;
    data.set_epoch(0);
    assert_eq!(seen(&mut data, digits.shape())?, first);

    for (index, ((plain, first), second)) in plain.iter().zip(&first).zip(&second).enumerate() {
        assert_eq!(
            (&first.1, &second.1),
            (&plain.1, &plain.1),
            "the label stays"
        );
        for (epoch, found) in [(0, first), (1, second)] {
            let mut expected = plain.0.clone();
            augmentation.apply(epoch, index, digits.shape(), &mut expected);
            assert_eq!(found.0, expected);
        }
    }
    let changed = first
        .iter()
        .zip(&second)
        .filter(|(first, second)| first.0 != second.0)
        .count();
    assert!(changed > 40, "{changed} of 50 differ between two epochs");
    Ok(())
}
