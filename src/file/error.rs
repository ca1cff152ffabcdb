//! What can be wrong with a model file.

use core::fmt;

use crate::error::BuildError;
use crate::fmt::Text;
use crate::quant::BadHead;
use crate::shape::Shape;

/// The kind of a section of a model file: four letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SectionKind(pub [u8; 4]);

impl SectionKind {
    /// The layer table.
    pub const LAYERS: Self = Self(*b"LAYR");
    /// The weights in `f32`.
    pub const WEIGHTS: Self = Self(*b"WF32");
    /// The weights of a quantized network.
    pub const QUANTIZED_WEIGHTS: Self = Self(*b"WQI8");
    /// The state of an optimizer.
    pub const OPTIMIZER: Self = Self(*b"OPTS");
    /// The gradients that an optimizer goes on from.
    pub const GRADIENTS: Self = Self(*b"GRAD");

    pub(super) const fn is(self, other: Self) -> bool {
        u32::from_ne_bytes(self.0) == u32::from_ne_bytes(other.0)
    }
}

impl fmt::Display for SectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(Text::new().letters(self.0).as_str())
    }
}

/// A setting of a layer or of a network, as an error shows it.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Setting {
    /// A number.
    Number(u32),
    /// A number with a fraction.
    Decimal(f32),
    /// The name of a layer, or of one of a few ways.
    Name(&'static str),
    /// A shape.
    Shape(Shape),
}

/// Why bytes cannot be used as a model file.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FileError {
    /// The bytes are not as many as the header says, or not even a header, or no whole blocks: cut off, or with something behind them.
    Length {
        /// The bytes that were expected.
        expected: usize,
        /// The bytes that there are.
        found: usize,
    },
    /// The first bytes are not a model file's.
    Magic {
        /// The first bytes.
        found: [u8; 4],
    },
    /// The file has a version that this reader does not know.
    Version {
        /// The version.
        found: u16,
    },
    /// The checksum does not fit: the file is damaged.
    Checksum {
        /// The CRC-32 in the header.
        expected: u32,
        /// The CRC-32 of the bytes.
        found: u32,
    },
    /// A number in the header or in a section is not what the format asks for.
    Section {
        /// The section; none for the header.
        section: Option<SectionKind>,
        /// The number.
        what: &'static str,
        /// What the format asks for.
        expected: usize,
        /// What was found.
        found: usize,
    },
    /// A section that this reader does not know and must not skip.
    Unknown {
        /// Its kind.
        section: SectionKind,
    },
    /// A section that must be there is not.
    Missing {
        /// Its kind.
        section: SectionKind,
    },
    /// A section is there a second time.
    Twice {
        /// Its kind.
        section: SectionKind,
    },
    /// There are no weights, neither in `f32` nor quantized.
    NoWeights,
    /// Two sections are there of which a file has one: two kinds of weights, or the state of an optimizer or its gradients beside
    /// quantized ones.
    Together {
        /// The kind of one.
        section: SectionKind,
        /// The kind of the other.
        other: SectionKind,
    },
    /// A number of a quantized tensor is none that [`quantize`](crate::quant::quantize) writes.
    Tensor {
        /// The tensor: 0 is the network's input, `i + 1` the output of layer `i`.
        tensor: usize,
        /// The number.
        what: &'static str,
        /// What it must be in.
        range: &'static str,
        /// What was found.
        found: f32,
    },
    /// A setting in the layer table is none that a network has.
    Table {
        /// The layer's index.
        layer: usize,
        /// The setting.
        what: &'static str,
        /// What was found.
        found: Setting,
    },
    /// A layer in the table reads a tensor that is not before it, or an addition the same one twice.
    Reads {
        /// The layer's index.
        layer: usize,
        /// The tensor: 0 is the network's input, `i + 1` the output of layer `i`.
        found: usize,
    },
    /// Nobody reads the output of a layer in the table, which is not the last.
    Unread {
        /// The layer's index.
        layer: usize,
    },
    /// A layer in the table cannot be added to those before it.
    Build {
        /// The layer's index.
        layer: usize,
        /// Why not.
        error: BuildError,
    },
    /// A layer of the user's own: its code is not in the file, so no network can be made of it. Its weights can be read for the network
    /// that has it.
    Custom {
        /// The layer's index.
        layer: usize,
    },
    /// The file is of another network than the one it was read for.
    Differs {
        /// The index and the name of the first layer that differs, in the network it was read for; none if it is none of the layers.
        layer: Option<(usize, &'static str)>,
        /// The setting.
        what: &'static str,
        /// The network's.
        expected: Setting,
        /// The file's.
        found: Setting,
    },
    /// The file lies at an address where its numbers cannot be read in place; see [`Aligned`](super::Aligned).
    Alignment {
        /// The bytes that the address must be a multiple of.
        expected: usize,
        /// How many bytes it lies behind one.
        found: usize,
    },
    /// The file's numbers are little-endian, and this target's are not: they cannot be read in place.
    BigEndian,
}

impl From<Shape> for Setting {
    fn from(shape: Shape) -> Self {
        Self::Shape(shape)
    }
}

impl FileError {
    const fn text(self) -> Text {
        let text = Text::new().text("model file: ");
        match self {
            Self::Length { expected, found } => expected_found(text, "bytes", expected, found),
            Self::Magic { found } => text
                .text("expected the first bytes ")
                .letters(super::MAGIC)
                .text(", found ")
                .letters(found),
            Self::Version { found } => {
                expected_found(text, "version", super::VERSION as usize, found as usize)
            }
            Self::Checksum { expected, found } => text
                .text("expected the CRC-32 ")
                .hexadecimal(expected)
                .text(", found ")
                .hexadecimal(found)
                .text(": the file is damaged"),
            Self::Section {
                section,
                what,
                expected,
                found,
            } => {
                let text = match section {
                    Some(section) => text.text("section ").letters(section.0),
                    None => text.text("header"),
                };
                expected_found(text.text(": "), what, expected, found)
            }
            Self::Unknown { section } => text
                .text("section ")
                .letters(section.0)
                .text(": expected one that this version knows"),
            Self::Missing { section } => text
                .text("section ")
                .letters(section.0)
                .text(": expected one, found none"),
            Self::Twice { section } => text
                .text("section ")
                .letters(section.0)
                .text(": expected one, found two"),
            Self::NoWeights => text
                .text("expected a section ")
                .letters(SectionKind::WEIGHTS.0)
                .text(" or ")
                .letters(SectionKind::QUANTIZED_WEIGHTS.0)
                .text(", found neither"),
            Self::Together { section, other } => text
                .text("expected one of the sections ")
                .letters(section.0)
                .text(" and ")
                .letters(other.0)
                .text(", found both"),
            Self::Tensor {
                tensor,
                what,
                range,
                found,
            } => text
                .text("section ")
                .letters(SectionKind::QUANTIZED_WEIGHTS.0)
                .text(": tensor ")
                .number(tensor)
                .text(": expected ")
                .text(what)
                .text(" in ")
                .text(range)
                .text(", found ")
                .decimal(found),
            Self::Table { layer, what, found } => at(text, layer)
                .text("expected another ")
                .text(what)
                .text(" than ")
                .setting(found),
            Self::Reads { layer, found } => at(text, layer)
                .text("expected another tensor to read than ")
                .number(found),
            Self::Unread { layer } => {
                at(text, layer).text("expected a layer that reads its output, found none")
            }
            Self::Build { layer, error } => at(text, layer).text(error.text().as_str()),
            Self::Custom { layer } => at(text, layer).text(
                "expected a layer of this crate, found a custom one, whose code is not in the file",
            ),
            Self::Differs {
                layer,
                what,
                expected,
                found,
            } => {
                let text = match layer {
                    Some((index, name)) => text
                        .text("layer ")
                        .number(index)
                        .text(" (")
                        .text(name)
                        .text("): "),
                    None => text,
                };
                text.text("expected ")
                    .text(what)
                    .text(" ")
                    .setting(expected)
                    .text(", found ")
                    .setting(found)
            }
            Self::Alignment { expected, found } => text
                .text("expected an address that is a multiple of ")
                .number(expected)
                .text(" bytes, found one ")
                .number(found)
                .text(" bytes behind; file::Aligned aligns"),
            Self::BigEndian => text.text("expected a little-endian target to read it in place"),
        }
    }

    pub(super) const fn of_head(head: BadHead) -> Self {
        Self::Tensor {
            tensor: head.tensor,
            what: head.what,
            range: head.range,
            found: head.found,
        }
    }

    /// Ends the constant's evaluation with the error as the compiler's message.
    #[track_caller]
    pub(super) const fn panic(self) -> ! {
        panic!("{}", self.text().as_str())
    }
}

const fn expected_found(text: Text, what: &str, expected: usize, found: usize) -> Text {
    text.text("expected ")
        .text(what)
        .text(" ")
        .number(expected)
        .text(", found ")
        .number(found)
}

const fn at(text: Text, layer: usize) -> Text {
    text.text("layer ").number(layer).text(": ")
}

impl Text {
    const fn setting(self, setting: Setting) -> Self {
        match setting {
            Setting::Number(number) => self.number(number as usize),
            Setting::Decimal(number) => self.decimal(number),
            Setting::Name(name) => self.text(name),
            Setting::Shape(shape) => self.shape(shape),
        }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_str())
    }
}

impl core::error::Error for FileError {}
