//! Text with numbers that can be built while compiling: `core::fmt` cannot format integers in a const panic.

use crate::shape::Shape;

const CAPACITY: usize = 160;

/// A short text; what does not fit is cut off.
pub(crate) struct Text {
    bytes: [u8; CAPACITY],
    len: usize,
}

impl Text {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: [0; CAPACITY],
            len: 0,
        }
    }

    pub(crate) const fn text(mut self, text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            self = self.byte(bytes[i]);
            i += 1;
        }
        self
    }

    const fn byte(mut self, byte: u8) -> Self {
        if self.len < CAPACITY {
            self.bytes[self.len] = byte;
            self.len += 1;
        }
        self
    }

    pub(crate) const fn number(self, number: usize) -> Self {
        let rest = if number >= 10 {
            self.number(number / 10)
        } else {
            self
        };
        const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
        rest.text(DIGITS[number % 10])
    }

    pub(crate) const fn hexadecimal(mut self, number: u32) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut shift = 32;
        while shift > 0 {
            shift -= 4;
            self = self.byte(DIGITS[(number >> shift & 15) as usize]);
        }
        self
    }

    /// At most 7 digits before and 6 behind the point; `e` where that is not enough.
    pub(crate) const fn decimal(self, number: f32) -> Self {
        let text = if number.is_sign_negative() {
            self.text("-")
        } else {
            self
        };
        if number.is_nan() {
            return text.text("NaN");
        }
        if number.is_infinite() {
            return text.text("infinity");
        }
        let mut rest = number.abs() as f64;
        let (mut tens, mut tenths) = (0, 0);
        while rest >= 1e7 {
            rest /= 10.0;
            tens += 1;
        }
        if rest > 0.0 && rest < 1e-3 {
            // One that is rounded up to 1 is 1.
            while rest < 0.999_999_5 {
                rest *= 10.0;
                tenths += 1;
            }
        }
        let mut millionths = (rest * 1e6 + 0.5) as u64;
        let mut text = text.number((millionths / 1_000_000) as usize);
        millionths %= 1_000_000;
        if millionths > 0 {
            text = text.text(".");
        }
        while millionths > 0 {
            millionths *= 10;
            text = text.number((millionths / 1_000_000) as usize);
            millionths %= 1_000_000;
        }
        match (tens, tenths) {
            (0, 0) => text,
            (0, _) => text.text("e-").number(tenths),
            _ => text.text("e").number(tens),
        }
    }

    /// Four bytes that should be letters.
    pub(crate) const fn letters(mut self, bytes: [u8; 4]) -> Self {
        let mut i = 0;
        while i < bytes.len() {
            let byte = bytes[i];
            self = self.byte(if byte.is_ascii_graphic() { byte } else { b'?' });
            i += 1;
        }
        self
    }

    pub(crate) const fn shape(self, shape: Shape) -> Self {
        if shape.is_flat() {
            self.number(shape.channels as usize)
        } else {
            self.image(shape)
        }
    }

    pub(crate) const fn image(self, shape: Shape) -> Self {
        self.number(shape.height as usize)
            .text("x")
            .number(shape.width as usize)
            .text("x")
            .number(shape.channels as usize)
    }

    pub(crate) const fn as_str(&self) -> &str {
        let Some((text, _)) = self.bytes.split_at_checked(self.len) else {
            return "";
        };
        match core::str::from_utf8(text) {
            Ok(text) => text,
            Err(_) => "",
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn numbers_read_as_core_fmt_writes_them() {
        for number in [0, 7, 10, 99, 100, 65_535, usize::MAX] {
            assert_eq!(Text::new().number(number).as_str(), number.to_string());
        }
    }

    #[test]
    fn hexadecimal_numbers_and_letters() {
        for number in [0, 0x1234_abcd, u32::MAX] {
            let text = Text::new().hexadecimal(number);
            assert_eq!(text.as_str(), std::format!("{number:08x}"));
        }
        assert_eq!(Text::new().letters(*b"WF32").as_str(), "WF32");
        assert_eq!(Text::new().letters(*b"\0a\xff ").as_str(), "?a??");
    }

    #[test]
    fn decimals() {
        let texts = [
            (0.0, "0"),
            (-0.0, "-0"),
            (0.99, "0.99"),
            (-12.5, "-12.5"),
            (0.001, "0.001"),
            (1e-5, "1e-5"),
            (2.5e-10, "2.5e-10"),
            (9_999_999.0, "9999999"),
            (1.25e9, "1250000e3"),
            (f32::INFINITY, "infinity"),
        ];
        for (number, text) in texts {
            assert_eq!(Text::new().decimal(number).as_str(), text);
        }
    }

    #[test]
    fn a_long_text_is_cut_off() {
        let text = (0..50).fold(Text::new(), |text, _| text.text("0123456789"));
        assert_eq!(text.as_str().len(), CAPACITY);
    }
}
