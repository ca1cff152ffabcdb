//! IDX files: whole, cut off, with flipped bits.

use std::fs;
use std::io::{self, Read};

use anyhow::Result;
use lightlayers_datasets::idx::Reader;
use lightlayers_datasets::{Error, Expected};

use crate::files::{error, folder, gzip, idx};

/// Two images of 3x2.
fn small_idx() -> Vec<u8> {
    idx(&[2, 3, 2], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
}

fn read_idx(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    Reader::new(bytes, "file", 3)?.read_rest()
}

#[test]
fn idx_is_read_item_by_item_and_as_a_whole() -> Result<()> {
    let bytes = small_idx();
    let mut reader = Reader::new(&bytes[..], "file", 3)?;
    assert_eq!(
        (reader.sizes(), reader.items(), reader.item_len()),
        (&[2, 3, 2][..], 2, 6)
    );
    let mut item = [0; 6];
    assert!(reader.next_item(&mut item)?);
    assert_eq!(item, [1, 2, 3, 4, 5, 6]);
    assert!(matches!(
        error(reader.next_item(&mut [0; 5]))?,
        Error::Memory {
            expected: Expected::Exactly(6),
            found: 5,
            ..
        }
    ));
    assert_eq!(reader.read_rest()?, [7, 8, 9, 10, 11, 12]);

    let mut reader = Reader::new(&bytes[..], "file", 3)?;
    assert!(reader.next_item(&mut item)? && reader.next_item(&mut item)?);
    assert_eq!(item, [7, 8, 9, 10, 11, 12]);
    assert!(!reader.next_item(&mut item)? && !reader.next_item(&mut item)?);
    Ok(())
}

#[test]
fn compression_is_seen_from_the_content() -> Result<()> {
    let folder = folder("compression")?;
    let plain = small_idx();
    let one_member = gzip(&plain)?;
    let two_members = [gzip(&plain[..20])?, gzip(&plain[20..])?].concat();
    for (name, bytes) in [("a.gz", &plain), ("b", &one_member), ("c.gz", &two_members)] {
        fs::write(folder.join(name), bytes)?;
        assert_eq!(
            Reader::open(&folder.join(name), 3)?.read_rest()?,
            plain[16..]
        );
    }
    let missing = error(Reader::open(&folder.join("d"), 3))?;
    assert!(matches!(&missing, Error::Io { file, .. } if file.ends_with("d")));
    Ok(())
}

#[test]
fn idx_cut_off_at_every_byte_is_an_error_that_counts() -> Result<()> {
    let bytes = small_idx();
    for cut in 0..bytes.len() {
        let expected_bytes = if cut < 16 { 16 } else { 28 };
        let found = error(read_idx(&bytes[..cut]))?;
        assert!(
            matches!(found, Error::Truncated { expected, found, .. } if expected == expected_bytes && found == cut as u64),
            "cut at {cut}: {found}"
        );
        let by_item = || {
            let mut reader = Reader::new(&bytes[..cut], "file", 3)?;
            while reader.next_item(&mut [0; 6])? {}
            Ok(())
        };
        assert_eq!(error(by_item())?.to_string(), found.to_string());
    }
    Ok(())
}

#[test]
fn compressed_idx_cut_off_at_every_byte_is_an_error() -> Result<()> {
    let folder = folder("compressed-cut")?;
    let bytes = gzip(&small_idx())?;
    for cut in 0..bytes.len() {
        fs::write(folder.join("cut.gz"), &bytes[..cut])?;
        let read = Reader::open(&folder.join("cut.gz"), 3).and_then(Reader::read_rest);
        assert!(read.is_err(), "cut at {cut}");
    }
    fs::write(folder.join("more.gz"), [&bytes[..], &[0]].concat())?;
    let read = Reader::open(&folder.join("more.gz"), 3).and_then(Reader::read_rest);
    assert!(matches!(error(read)?, Error::Io { .. }));
    Ok(())
}

/// A source that notes the largest buffer that it was asked to fill: memory that was taken before anything was read into it.
struct Watched<'a> {
    bytes: &'a [u8],
    largest: &'a mut usize,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        *self.largest = buffer.len().max(*self.largest);
        self.bytes.read(buffer)
    }
}

/// Of 2 items of 3x2 every other header promises another length, another magic or an empty item. None of them may take memory for what it
/// promises: up to 2⁶³ bytes.
#[test]
fn idx_with_any_bit_of_its_header_flipped_is_an_error() -> Result<()> {
    let whole = small_idx();
    for bit in 0..16 * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let mut largest = 0;
        let source = Watched {
            bytes: &bytes,
            largest: &mut largest,
        };
        let read = Reader::new(source, "file", 3).and_then(Reader::read_rest);
        let found = error(read)?;
        assert!(largest <= 1 << 16, "bit {bit}: a buffer of {largest} bytes");
        let fits = match bit / 8 {
            0..4 => matches!(
                found,
                Error::Magic {
                    expected: [0, 0, 8, 3],
                    ..
                }
            ),
            _ => matches!(
                found,
                Error::Truncated { found: 28, .. } | Error::Trailing { .. } | Error::Number { .. }
            ),
        };
        assert!(fits, "bit {bit}: {found}");
    }
    Ok(())
}

#[test]
fn compressed_idx_with_any_bit_flipped_is_an_error_or_the_same() -> Result<()> {
    let folder = folder("compressed-flip")?;
    let whole = small_idx();
    let compressed = gzip(&whole)?;
    let mut errors = 0;
    for bit in 0..compressed.len() * 8 {
        let mut bytes = compressed.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(folder.join("flip.gz"), bytes)?;
        match Reader::open(&folder.join("flip.gz"), 3).and_then(Reader::read_rest) {
            // The time, the operating system and the like, and bits between the end of the data and the next byte.
            Ok(values) => assert_eq!(values, whole[16..], "bit {bit}"),
            Err(_) => errors += 1,
        }
    }
    assert!(errors >= (compressed.len() - 11) * 8, "{errors}");
    Ok(())
}

#[test]
fn idx_errors_say_what_was_expected_and_found() -> Result<()> {
    let text = |bytes: &[u8]| Ok::<_, anyhow::Error>(error(read_idx(bytes))?.to_string());
    assert_eq!(
        text(&idx(&[12], &[0; 12]))?,
        "file: expected the first bytes [00, 00, 08, 03], found [00, 00, 08, 01]"
    );
    assert_eq!(
        text(&small_idx()[..27])?,
        "file: expected 28 bytes, found 27"
    );
    assert_eq!(
        text(&[small_idx(), vec![0]].concat())?,
        "file: expected the end after 28 bytes, found more"
    );
    assert_eq!(
        text(&idx(&[2, 0, 2], &[]))?,
        "file: size of an item: expected at least 1, found 0"
    );
    assert_eq!(
        text(&idx(&[u32::MAX, u32::MAX, 1 << 31], &[]))?,
        "file: bytes: expected at most 9223372036854775807, found 18446744073709551615"
    );
    // No item is a whole file, however large one would be.
    assert_eq!(read_idx(&idx(&[0, 3, 2], &[]))?, [0u8; 0]);
    assert_eq!(
        text(&idx(&[0, 3, 2], &[0]))?,
        "file: expected the end after 16 bytes, found more"
    );
    Ok(())
}
