//! CIFAR's files: records, folders, archives.

use std::fs;

use anyhow::{Context, Result};
use lightlayers::Shape;
use lightlayers_datasets::cifar::{IMAGE_LEN, Kind, Reader};
use lightlayers_datasets::{Cifar100Labels, Error, Expected, ImageSet};

use crate::files::{CIFAR_10_MEMBERS, cifar_record, cifar10_archive, error, folder, gzip, tar};

#[test]
fn cifar_pixels_come_out_interleaved() -> Result<()> {
    let bytes = [cifar_record(&[3], 0), cifar_record(&[9], 7)].concat();
    let mut reader = Reader::new(&bytes[..], "file", Kind::Cifar10);
    let mut image = [0; IMAGE_LEN];
    let label = reader.next_image(&mut image)?.context("image 0")?;
    assert_eq!((label.fine, label.coarse), (3, 0));
    // Row 1, column 2 is pixel 34 of its plane.
    assert_eq!(image[(32 + 2) * 3..][..3], [34, 134, 234]);
    assert_eq!(image[1023 * 3..], [255, 99, 199]);
    let label = reader.next_image(&mut image)?.context("image 1")?;
    assert_eq!((label.fine, image[..3].to_vec()), (9, vec![7, 107, 207]));
    assert_eq!(reader.next_image(&mut image)?, None);
    assert_eq!(reader.images_read(), 2);
    Ok(())
}

#[test]
fn cifar_cut_off_within_a_record_is_an_error_that_counts() -> Result<()> {
    for (kind, labels) in [(Kind::Cifar10, &[3][..]), (Kind::Cifar100, &[19, 99])] {
        let bytes = [cifar_record(labels, 0), cifar_record(labels, 1)].concat();
        for cut in 0..=bytes.len() {
            let mut reader = Reader::new(&bytes[..cut], "file", kind);
            let mut read_all = || {
                while reader.next_image(&mut [0; IMAGE_LEN])?.is_some() {}
                Ok(())
            };
            let result = read_all();
            let (whole, rest) = (cut / kind.record_len(), cut % kind.record_len());
            assert_eq!(reader.images_read(), whole);
            if rest == 0 {
                result?;
            } else {
                let end = ((whole + 1) * kind.record_len()) as u64;
                assert!(
                    matches!(error(result)?, Error::Truncated { expected, found, .. } if expected == end && found == cut as u64)
                );
            }
        }
    }
    Ok(())
}

#[test]
fn cifar_labels_are_checked() -> Result<()> {
    for (kind, labels, sample_text) in [
        (
            Kind::Cifar10,
            &[10][..],
            "expected a label below 10, found 10",
        ),
        (
            Kind::Cifar100,
            &[20, 0],
            "expected a label below 20, found 20",
        ),
        (
            Kind::Cifar100,
            &[0, 100],
            "expected a label below 100, found 100",
        ),
    ] {
        let good = vec![0; labels.len()];
        let bytes = [cifar_record(&good, 0), cifar_record(labels, 0)].concat();
        let mut reader = Reader::new(&bytes[..], "file", kind);
        assert!(reader.next_image(&mut [0; IMAGE_LEN])?.is_some());
        assert_eq!(
            error(reader.next_image(&mut [0; IMAGE_LEN]))?.to_string(),
            format!("file: sample 1: {sample_text}")
        );
    }
    Ok(())
}

#[test]
fn cifar10_takes_the_batches_that_are_there_in_order() -> Result<()> {
    let folder = folder("cifar-10-part")?;
    let own = folder.join("cifar-10");
    fs::create_dir_all(&own)?;
    fs::write(
        own.join("data_batch_4.bin"),
        [cifar_record(&[4], 0), cifar_record(&[6], 0)].concat(),
    )?;
    fs::write(
        own.join("data_batch_2.bin.gz"),
        gzip(&cifar_record(&[2], 0))?,
    )?;
    assert!(matches!(
        error(lightlayers_datasets::cifar10(&folder))?,
        Error::Missing { file, .. } if file.starts_with("test_batch.bin")
    ));
    fs::write(own.join("test_batch.bin"), cifar_record(&[7], 0))?;
    let cifar = lightlayers_datasets::cifar10(&folder)?;
    assert_eq!(cifar.training.labels(), [2, 4, 6]);
    assert_eq!(cifar.testing.labels(), [7]);
    assert_eq!(cifar.training.shape(), Shape::image(32, 32, 3));
    assert_eq!(
        cifar.to_string(),
        "CIFAR-10: 3 of 50000 training images, 1 of 10000 test images"
    );
    let names: Vec<_> = cifar
        .files
        .iter()
        .filter_map(|file| file.file_name())
        .collect();
    assert_eq!(
        names,
        ["data_batch_2.bin.gz", "data_batch_4.bin", "test_batch.bin"]
    );

    fs::write(own.join("data_batch_1.bin"), [])?;
    assert!(matches!(
        error(lightlayers_datasets::cifar10(&folder))?,
        Error::Number {
            what: "images",
            expected: Expected::AtLeast(1),
            found: 0,
            ..
        }
    ));
    fs::write(own.join("data_batch_1.bin"), gzip(&vec![0; 10_001 * 3073])?)?;
    assert!(matches!(
        error(lightlayers_datasets::cifar10(&folder))?,
        Error::Number {
            what: "images",
            expected: Expected::AtMost(10_000),
            found: 10_001,
            ..
        }
    ));

    // Only the test batch: no training images.
    for number in [1, 2, 4] {
        for form in ["", ".gz"] {
            let _ = fs::remove_file(own.join(format!("data_batch_{number}.bin{form}")));
        }
    }
    assert!(matches!(
        error(lightlayers_datasets::cifar10(&folder))?,
        Error::Missing { file, .. } if file.starts_with("data_batch_1.bin")
    ));
    Ok(())
}

#[test]
fn cifar10_is_read_from_its_archive_and_from_the_folder_that_it_unpacks_to() -> Result<()> {
    let folder = folder("cifar-10-archive")?;
    let archive = cifar10_archive()?;
    let check = |cifar: &ImageSet| {
        assert_eq!(cifar.training.labels(), [1, 2, 3, 4, 5]);
        assert_eq!(cifar.testing.labels(), [0]);
        assert_eq!(
            cifar.training.image(3).map(|image| &image[..3]),
            Some(&[4, 104, 204][..])
        );
        assert_eq!(cifar.files.len(), 6);
    };
    for (name, bytes) in [
        ("cifar-10/cifar-10-binary.tar.gz", gzip(&archive)?),
        ("cifar-10-binary.tar.gz", archive.clone()),
    ] {
        let inside = folder.join(name.len().to_string());
        let path = inside.join(name);
        fs::create_dir_all(path.parent().context("parent")?)?;
        fs::write(&path, bytes)?;
        let cifar = lightlayers_datasets::cifar10(&inside)?;
        check(&cifar);
        assert_eq!(cifar.files[0], path.join("data_batch_1.bin"));
    }
    tar::Archive::new(&archive[..]).unpack(folder.join("unpacked/cifar-10"))?;
    check(&lightlayers_datasets::cifar10(&folder.join("unpacked"))?);
    check(&lightlayers_datasets::cifar10(
        &folder.join("unpacked/cifar-10"),
    )?);
    check(&lightlayers_datasets::cifar10(
        &folder.join("unpacked/cifar-10/cifar-10-batches-bin"),
    )?);
    Ok(())
}

#[test]
fn a_damaged_archive_is_an_error() -> Result<()> {
    let folder = folder("cifar-10-damaged")?;
    let path = folder.join("cifar-10-binary.tar.gz");
    let read = |bytes: &[u8]| {
        fs::write(&path, bytes)?;
        Ok::<_, anyhow::Error>(lightlayers_datasets::cifar10(&folder))
    };
    let archive = cifar10_archive()?;
    let whole = read(&archive)??;

    // What the last member's padding and the end of the archive take may be missing; nothing else.
    let end = 512 * (2 + 6 * (1 + 3073_usize.div_ceil(512)));
    let mut cuts = 0;
    for cut in (0..end - 512).step_by(61) {
        let found = read(&archive[..cut])?;
        assert!(found.is_err(), "cut at {cut}");
        cuts += 1;
    }
    assert!(cuts > 300);
    let last_record = end - 512 * 7 + 3073;
    assert!(matches!(
        error(read(&archive[..last_record - 1])?)?,
        Error::Truncated {
            expected: 3073,
            found: 3072,
            ..
        }
    ));

    let compressed = gzip(&archive)?;
    for cut in (0..compressed.len())
        .step_by(13)
        .chain([compressed.len() - 1])
    {
        assert!(read(&compressed[..cut])?.is_err(), "cut at {cut}");
    }
    for bit in (0..compressed.len() * 8).step_by(101) {
        let mut bytes = compressed.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(found) = read(&bytes)? {
            assert!(found == whole, "bit {bit}");
        }
    }

    let without = |lacking: &str| {
        let record = cifar_record(&[0], 0);
        let members = CIFAR_10_MEMBERS
            .into_iter()
            .filter(|name| !name.ends_with(lacking));
        tar(&members.map(|name| (name, &record[..])).collect::<Vec<_>>())
    };
    for lacking in ["data_batch_5.bin", "test_batch.bin"] {
        assert!(matches!(
            error(read(&without(lacking)?)?)?,
            Error::Member { member, .. } if member == lacking
        ));
    }
    let mut members = CIFAR_10_MEMBERS.map(|name| (name, cifar_record(&[0], 0)));
    // Cut off between two records of the last member, which leaves whole records.
    members[5].1.extend(cifar_record(&[0], 0));
    let two = tar(&members.each_ref().map(|(name, bytes)| (*name, &bytes[..])))?;
    let last_record = 512 * (5 * 8 + 1) + 3073;
    assert!(matches!(
        error(read(&two[..last_record])?)?,
        Error::Truncated {
            expected: 6146,
            found: 3073,
            ..
        }
    ));
    members[3].1.push(0);
    let uneven = tar(&members.each_ref().map(|(name, bytes)| (*name, &bytes[..])))?;
    assert_eq!(
        error(read(&uneven)?)?.to_string(),
        format!(
            "{}: expected 6146 bytes, found 3074",
            path.join("data_batch_5.bin").display()
        )
    );
    Ok(())
}

/// An extension for a long name is a member whose content archivers keep in memory. One that claims 8 GiB must not be.
#[test]
fn other_members_of_an_archive_are_passed_over() -> Result<()> {
    let folder = folder("cifar-10-extension")?;
    let path = folder.join("cifar-10-binary.tar.gz");
    let archive = cifar10_archive()?;

    let long_name = format!("cifar-10-batches-bin/{}.txt", "long".repeat(50));
    let with_long_name = tar(&[(&long_name, b"text")])?;
    // Without the two blocks of zeros that end an archive.
    let with_long_name = &with_long_name[..with_long_name.len() - 1024];
    fs::write(&path, [with_long_name, &archive].concat())?;
    let cifar = lightlayers_datasets::cifar10(&folder)?;
    assert_eq!(cifar.training.labels(), [1, 2, 3, 4, 5]);

    for kind in [
        tar::EntryType::GNULongName,
        tar::EntryType::XHeader,
        tar::EntryType::Regular,
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_path("././@LongLink")?;
        header.set_entry_type(kind);
        header.set_size(8 << 30);
        header.set_cksum();
        fs::write(&path, [header.as_bytes(), &archive[..]].concat())?;
        assert!(matches!(
            error(lightlayers_datasets::cifar10(&folder))?,
            Error::Io { .. }
        ));
    }
    Ok(())
}

#[test]
fn cifar100_has_fine_and_coarse_labels() -> Result<()> {
    let folder = folder("cifar-100")?;
    let train = [cifar_record(&[19, 99], 0), cifar_record(&[4, 30], 1)].concat();
    let test = cifar_record(&[11, 49], 2);
    let archive = tar(&[
        ("cifar-100-binary/train.bin", &train),
        ("cifar-100-binary/test.bin", &test),
    ])?;
    fs::write(folder.join("cifar-100-binary.tar.gz"), gzip(&archive)?)?;
    let loose = folder.join("loose");
    fs::create_dir_all(&loose)?;
    fs::write(loose.join("train.bin"), &train)?;
    fs::write(loose.join("test.bin.gz"), gzip(&test)?)?;
    for folder in [&folder, &loose] {
        let fine = lightlayers_datasets::cifar100(folder, Cifar100Labels::Fine)?;
        assert_eq!(
            (fine.training.classes(), fine.training.labels()),
            (100, &[99, 30][..])
        );
        assert_eq!(fine.testing.labels(), [49]);
        let coarse = lightlayers_datasets::cifar100(folder, Cifar100Labels::Coarse)?;
        assert_eq!(
            (coarse.training.classes(), coarse.training.labels()),
            (20, &[19, 4][..])
        );
        assert_eq!(coarse.testing.labels(), [11]);
        assert_eq!(fine.training.image(1), coarse.training.image(1));
    }
    Ok(())
}
