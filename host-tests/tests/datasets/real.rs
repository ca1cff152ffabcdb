//! The real data sets, in the folder that `LIGHTLAYERS_DATA` names; without it these tests say that they skip.
//!
//! The sums, first labels and pixels were computed with Python's `gzip` module and nothing else, straight from the bytes of the files:
//! `sum(gzip.open(file).read()[16:])` and the like. They agree with what others publish: the means 0.1307 (MNIST) and 0.2860
//! (Fashion-MNIST) that torchvision's examples normalize with, the numbers of images per class in the papers.

use anyhow::{Result, ensure};
use host_tests::real::read_real;
use lightlayers_datasets::{Images, Set};

/// The sum of all values of each channel, over the first `count` images.
fn channel_sums(images: &Images, count: usize) -> Vec<u64> {
    let channels = usize::from(images.shape().channels);
    let mut sums = vec![0; channels];
    for image in (0..count).filter_map(|index| images.image(index)) {
        for pixel in image.chunks_exact(channels) {
            for (sum, value) in sums.iter_mut().zip(pixel) {
                *sum += u64::from(*value);
            }
        }
    }
    sums
}

/// What is known of the training or the test images.
struct Known<'a> {
    labels: &'a [u8],
    counts: &'a [usize],
    sums: &'a [u64],
}

fn check(images: &Images, known: &Known<'_>) {
    let count = known.counts.iter().sum();
    assert!(images.len() >= count);
    assert_eq!(images.labels()[..known.labels.len()], *known.labels);
    assert_eq!(channel_sums(images, count), known.sums);
    if images.len() == count {
        assert_eq!(images.class_counts(), known.counts);
    }
}

#[test]
fn real_mnist() -> Result<()> {
    let Some(mnist) = read_real(Set::Mnist)? else {
        return Ok(());
    };
    let training = Known {
        labels: &[5, 0, 4, 1, 9, 2, 1, 3, 1, 4],
        counts: &[5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
        sums: &[1_567_298_545],
    };
    let testing = Known {
        labels: &[7, 2, 1, 0, 4, 1, 4, 9, 5, 9],
        counts: &[980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
        sums: &[264_923_200],
    };
    check(&mnist.training, &training);
    check(&mnist.testing, &testing);
    Ok(())
}

#[test]
fn real_fashion_mnist() -> Result<()> {
    let Some(fashion) = read_real(Set::FashionMnist)? else {
        return Ok(());
    };
    let training = Known {
        labels: &[9, 0, 0, 3, 0, 2, 7, 2, 5, 5],
        counts: &[6000; 10],
        sums: &[3_431_114_169],
    };
    let testing = Known {
        labels: &[9, 2, 1, 1, 6, 1, 4, 6, 5, 7],
        counts: &[1000; 10],
        sums: &[573_469_082],
    };
    check(&fashion.training, &training);
    check(&fashion.testing, &testing);
    Ok(())
}

/// Of the training images the first batch is enough; with all of them, the numbers per class are checked too.
#[test]
fn real_cifar10() -> Result<()> {
    let Some(cifar) = read_real(Set::Cifar10)? else {
        return Ok(());
    };
    let first_batch = Known {
        labels: &[6, 9, 9, 4, 1, 1, 2, 7, 8, 3],
        counts: &[1005, 974, 1032, 1016, 999, 937, 1030, 1001, 1025, 981],
        sums: &[1_288_517_123, 1_262_189_222, 1_167_674_233],
    };
    let testing = Known {
        labels: &[3, 8, 8, 0, 6, 6, 1, 6, 3, 1],
        counts: &[1000; 10],
        sums: &[1_290_492_328, 1_266_775_083, 1_176_108_223],
    };
    ensure!(cifar.training.len() % 10_000 == 0, "batches are whole");
    if cifar
        .files
        .iter()
        .any(|file| file.to_string_lossy().contains("data_batch_1"))
    {
        check(&cifar.training, &first_batch);
        let last_pixel = cifar.training.image(0).map(|image| &image[1023 * 3..]);
        assert_eq!(last_pixel, Some(&[123, 92, 72][..]));
    }
    if cifar.training.len() == 50_000 {
        assert_eq!(cifar.training.class_counts(), [5000; 10]);
    }
    check(&cifar.testing, &testing);
    let last_pixel = cifar.testing.image(0).map(|image| &image[1023 * 3..]);
    assert_eq!(last_pixel, Some(&[21, 67, 110][..]));
    Ok(())
}

/// Its page says how many images each class has.
#[test]
fn real_cifar100() -> Result<()> {
    let Some(cifar) = read_real(Set::Cifar100)? else {
        return Ok(());
    };
    assert_eq!(
        (cifar.training.len(), cifar.testing.len()),
        (50_000, 10_000)
    );
    assert_eq!(cifar.training.class_counts(), [500; 100]);
    assert_eq!(cifar.testing.class_counts(), [100; 100]);
    Ok(())
}
