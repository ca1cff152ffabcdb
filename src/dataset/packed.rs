//! Labelled grey images at 4 bits a pixel, read in place.

use super::{Dataset, Target};
use crate::error::Error;
use crate::network::MAX_ELEMENTS;
use crate::shape::{Shape, saturated};

/// Images of 16 grey levels with labels of up to 16 classes, in bytes that may lie in flash.
///
/// A pixel of level `v` is read as `v / 15`, the value `0..=1` that networks like. The bytes, numbers little-endian:
///
/// | bytes | what |
/// |---|---|
/// | 0..4 | `LLP4` |
/// | 4..8 | the number of images |
/// | 8..10, 10..12, 12..14 | height, width, channels |
/// | 14 | the number of classes, 1 to 16 |
/// | 15 | 0 |
/// | then | labels, 4 bits each, the first in the low half of its byte |
/// | then | images, 4 bits a value, each image starting a new byte, rows first, the first value in the low half of its byte |
///
/// ```
/// use lightlayers::Shape;
/// use lightlayers::dataset::PackedImages;
///
/// // Two images of one pixel: black, class 0, and white, class 1.
/// let images = PackedImages::new(b"LLP4\x02\0\0\0\x01\0\x01\0\x01\0\x02\0\x10\x00\x0f")?;
/// assert_eq!(images.shape(), Shape::image(1, 1, 1));
/// assert_eq!(images.label(1), Some(1));
/// # Ok::<(), lightlayers::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct PackedImages<'a> {
    shape: Shape,
    len: usize,
    classes: usize,
    labels: &'a [u8],
    images: &'a [u8],
}

const HEADER: usize = 16;

impl<'a> PackedImages<'a> {
    /// Checks the header, the length and every label.
    ///
    /// # Errors
    ///
    /// [`Error::Packed`] says what is not as the header promises.
    pub const fn new(bytes: &'a [u8]) -> Result<Self, Error> {
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else {
            return Err(Self::error("length", HEADER, bytes.len()));
        };
        let [
            m0,
            m1,
            m2,
            m3,
            n0,
            n1,
            n2,
            n3,
            h0,
            h1,
            w0,
            w1,
            c0,
            c1,
            classes,
            zero,
        ] = *header;
        const MAGIC: [u8; 4] = *b"LLP4";
        let (magic, expected) = (
            u32::from_be_bytes([m0, m1, m2, m3]),
            u32::from_be_bytes(MAGIC),
        );
        if magic != expected {
            return Err(Self::error("magic", expected as usize, magic as usize));
        }
        if zero != 0 {
            return Err(Self::error("byte 15", 0, zero as usize));
        }
        if classes == 0 || classes > 16 {
            return Err(Self::error("classes, at most", 16, classes as usize));
        }
        let shape = Shape::image(
            u16::from_le_bytes([h0, h1]),
            u16::from_le_bytes([w0, w1]),
            u16::from_le_bytes([c0, c1]),
        );
        let values = shape.values();
        if values == 0 {
            return Err(Self::error("values per image, at least", 1, 0));
        }
        if values > MAX_ELEMENTS as u64 {
            let (most, found) = (MAX_ELEMENTS, saturated(values));
            return Err(Self::error("values per image, at most", most, found));
        }
        let len = u32::from_le_bytes([n0, n1, n2, n3]);
        let label_bytes = (len as u64).div_ceil(2);
        // At most 2^32 · 2^27 + 2^31.
        let total = len as u64 * values.div_ceil(2) + label_bytes;
        if total != rest.len() as u64 {
            let (expected, found) = (saturated(total), rest.len());
            return Err(Self::error("bytes of samples", expected, found));
        }
        let Some((labels, images)) = rest.split_at_checked(label_bytes as usize) else {
            return Err(Self::error(
                "bytes of labels",
                label_bytes as usize,
                rest.len(),
            ));
        };
        let packed = Self {
            shape,
            len: len as usize,
            classes: classes as usize,
            labels,
            images,
        };
        let mut i = 0;
        while i < packed.len {
            match packed.label(i) {
                Some(label) if label < packed.classes => {}
                Some(label) => return Err(Self::error("label, below", packed.classes, label)),
                None => return Err(Self::error("labels", packed.len, i)),
            }
            i += 1;
        }
        Ok(packed)
    }

    const fn error(what: &'static str, expected: usize, found: usize) -> Error {
        Error::Packed {
            what,
            expected,
            found,
        }
    }

    /// The shape of every image.
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// The number of classes.
    pub const fn classes(&self) -> usize {
        self.classes
    }

    /// The label of an image; none past the end.
    pub const fn label(&self, index: usize) -> Option<usize> {
        if index < self.len && index / 2 < self.labels.len() {
            Some((self.labels[index / 2] >> (4 * (index % 2)) & 15) as usize)
        } else {
            None
        }
    }

    /// The grey levels of an image, `0..=15`, row by row; none past the end.
    pub fn levels(&self, index: usize) -> Option<impl Iterator<Item = u8> + use<'a>> {
        let values = self.shape.len();
        let image = self
            .images
            .chunks_exact(values.div_ceil(2).max(1))
            .nth(index)?;
        let levels = image.iter().flat_map(|pair| [pair & 15, pair >> 4]);
        Some(levels.take(values))
    }
}

impl Dataset for PackedImages<'_> {
    type Error = Error;

    fn len(&self) -> usize {
        self.len
    }

    fn read(
        &mut self,
        index: usize,
        input: &mut [f32],
        target: &mut Target<'_>,
    ) -> Result<(), Error> {
        let (Some(label), Some(levels)) = (self.label(index), self.levels(index)) else {
            return Err(Error::Index {
                len: self.len,
                found: index,
            });
        };
        Error::check_length(crate::error::Buffer::Input, self.shape.len(), input.len())?;
        for (value, level) in input.iter_mut().zip(levels) {
            *value = f32::from(level) / 15.0;
        }
        target.set_class(label);
        Ok(())
    }
}
