//! The files that the tests make.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use lightlayers_datasets::Error;

/// An empty folder of the test's own.
pub fn folder(test: &str) -> Result<PathBuf> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("datasets")
        .join(test);
    if path.exists() {
        fs::remove_dir_all(&path)?;
    }
    fs::create_dir_all(&path)?;
    Ok(path)
}

pub fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

pub fn idx(sizes: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, sizes.len() as u8];
    bytes.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
    bytes.extend(values);
    bytes
}

/// Image `i` has the value `i + 1` everywhere, but for its first pixel, 255.
pub fn digits(count: u8) -> Vec<u8> {
    let image = |i: u8| [vec![255], vec![i + 1; 783]].concat();
    idx(
        &[count.into(), 28, 28],
        &(0..count).flat_map(image).collect::<Vec<_>>(),
    )
}

pub fn digit_labels(labels: &[u8]) -> Vec<u8> {
    idx(&[labels.len() as u32], labels)
}

/// Three images to train on, two to test on.
pub fn write_digits(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("train-images-idx3-ubyte.gz"), gzip(&digits(3))?)?;
    fs::write(
        folder.join("train-labels-idx1-ubyte"),
        digit_labels(&[5, 0, 9]),
    )?;
    fs::write(folder.join("t10k-images-idx3-ubyte"), digits(2))?;
    fs::write(
        folder.join("t10k-labels-idx1-ubyte.gz"),
        gzip(&digit_labels(&[1, 2]))?,
    )?;
    Ok(())
}

/// Reds count up from `start`, greens are 100 more, blues 200 more; all wrap around.
pub fn cifar_record(labels: &[u8], start: u8) -> Vec<u8> {
    let plane = |offset: u8| {
        (0..1024).map(move |i: u32| (i as u8).wrapping_add(start).wrapping_add(offset))
    };
    [
        labels.to_vec(),
        [0, 100, 200].into_iter().flat_map(plane).collect(),
    ]
    .concat()
}

pub fn tar(members: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, *bytes)?;
    }
    Ok(archive.into_inner()?)
}

pub const CIFAR_10_MEMBERS: [&str; 6] = [
    "cifar-10-batches-bin/data_batch_3.bin",
    "cifar-10-batches-bin/data_batch_1.bin",
    "cifar-10-batches-bin/test_batch.bin",
    "cifar-10-batches-bin/data_batch_5.bin",
    "cifar-10-batches-bin/data_batch_2.bin",
    "cifar-10-batches-bin/data_batch_4.bin",
];

/// One image a file; the label is the batch's number, 0 for the test batch. The members are not in order, and not alone.
pub fn cifar10_archive() -> Result<Vec<u8>> {
    let number = |name: &str| {
        name.bytes().find(u8::is_ascii_digit).map_or(0, |_| {
            name.trim_end_matches(".bin")
                .chars()
                .last()
                .and_then(|digit| digit.to_digit(10))
                .unwrap_or(0) as u8
        })
    };
    let records = CIFAR_10_MEMBERS.map(|name| cifar_record(&[number(name)], number(name)));
    let mut members = vec![("cifar-10-batches-bin/readme.html", &b"<html>"[..])];
    members.extend(
        CIFAR_10_MEMBERS
            .into_iter()
            .zip(records.iter().map(Vec::as_slice)),
    );
    tar(&members)
}

pub fn error<T>(result: Result<T, Error>) -> Result<Error> {
    result.err().context("expected an error, found none")
}
