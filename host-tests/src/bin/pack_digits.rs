//! Packs the UCI handwritten digits into the file that the repository ships:
//!
//! ```sh
//! cargo run -p host-tests --bin pack_digits -- digits.csv examples/data/digits.bin
//! ```
//!
//! `digits.csv` is the file of scikit-learn: 64 values `0..=16` and the label, no header. 16 levels fit 4 bits, so 16, ink all
//! over, is stored as 15.

use std::fs;

use anyhow::{Context, Result, ensure};

const PIXELS: usize = 64;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let source = arguments.next().context("expected the CSV file")?;
    let target = arguments.next().context("expected the file to write")?;

    let (mut images, mut labels) = (Vec::new(), Vec::new());
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_path(&source)
        .with_context(|| source.clone())?;
    for (row, record) in reader.deserialize().enumerate() {
        let values: Vec<u8> = record.with_context(|| format!("{source}, row {row}"))?;
        ensure!(
            values.len() == PIXELS + 1,
            "row {row}: expected 65 values, found {}",
            values.len()
        );
        let (pixels, label) = values.split_at(PIXELS);
        ensure!(
            pixels.iter().all(|v| *v <= 16) && label[0] < 10,
            "row {row}: a value is out of range"
        );
        images.extend(pixels.iter().map(|v| (*v).min(15)));
        labels.push(label[0]);
    }

    let mut bytes = b"LLP4".to_vec();
    bytes.extend((labels.len() as u32).to_le_bytes());
    for size in [8_u16, 8, 1] {
        bytes.extend(size.to_le_bytes());
    }
    bytes.extend([10, 0]);
    for nibbles in [labels, images] {
        bytes.extend(
            nibbles
                .chunks(2)
                .map(|pair| pair[0] | pair.get(1).unwrap_or(&0) << 4),
        );
    }
    lightlayers::dataset::PackedImages::new(&bytes)?;
    fs::write(&target, bytes).with_context(|| target.clone())
}
