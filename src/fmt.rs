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
        while i < bytes.len() && self.len < CAPACITY {
            self.bytes[self.len] = bytes[i];
            self.len += 1;
            i += 1;
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
        match core::str::from_utf8(self.bytes.split_at(self.len).0) {
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
    fn a_long_text_is_cut_off() {
        let text = (0..50).fold(Text::new(), |text, _| text.text("0123456789"));
        assert_eq!(text.as_str().len(), CAPACITY);
    }
}
