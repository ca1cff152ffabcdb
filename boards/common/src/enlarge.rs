//! The shipped digits at the size of MNIST's.

use lightlayers::dataset::{Dataset, Target};

/// Rows and columns of the images that are read.
const SMALL: usize = 8;

/// Rows and columns of the images that come out.
pub const SIDE: usize = 28;

/// A data set of images of 8x8 pixels, enlarged to 20x20 in the middle of 28x28: MNIST's digits stand in that box.
///
/// A pixel is interpolated from the four around its place; outside of the image it is 0.
#[derive(Clone, Copy, Debug)]
pub struct Enlarged<D>(pub D);

/// Where row or column `at` of the large image lies in the small one: after a whole pixel, which may be before the first, and tenths.
///
/// The middles of both images meet, and a step is 8 / 20 of a pixel: `0.4 · (at - 13.5) + 3.5`.
const fn place(at: usize) -> (isize, f32) {
    let tenths = 4 * at as isize - 19;
    (tenths.div_euclid(10), tenths.rem_euclid(10) as f32 / 10.0)
}

fn pixel(image: &[f32; SMALL * SMALL], y: isize, x: isize) -> f32 {
    match (usize::try_from(y), usize::try_from(x)) {
        (Ok(y), Ok(x)) if y < SMALL && x < SMALL => image[y * SMALL + x],
        _ => 0.0,
    }
}

impl<D: Dataset> Dataset for Enlarged<D> {
    type Error = D::Error;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn read(
        &mut self,
        index: usize,
        input: &mut [f32],
        target: &mut Target<'_>,
    ) -> Result<(), D::Error> {
        let mut image = [0.0; SMALL * SMALL];
        self.0.read(index, &mut image, target)?;
        for (y, row) in input.chunks_exact_mut(SIDE).enumerate() {
            let (y, down) = place(y);
            for (x, value) in row.iter_mut().enumerate() {
                let (x, right) = place(x);
                let between = |y| {
                    let left = pixel(&image, y, x);
                    left + right * (pixel(&image, y, x + 1) - left)
                };
                let upper = between(y);
                *value = upper + down * (between(y + 1) - upper);
            }
        }
        Ok(())
    }
}
