//! The handwritten digits that the repository ships.

use lightlayers::dataset::PackedImages;

/// 1,797 images of 8x8 pixels, checked while compiling; read in place, as from flash.
pub static DIGITS: PackedImages<'static> =
    match PackedImages::new(include_bytes!("../data/digits.bin")) {
        Ok(digits) => digits,
        Err(_) => panic!("digits.bin does not hold packed images"),
    };

/// Every fifth image is for testing, all others are for training.
pub const TEST_EVERY: usize = 5;
