//! More images than there are: the same ones, moved a little.

use lightlayers::dataset::{Dataset, Target};
use lightlayers::{Rng, Shape};

/// A data set whose images are moved in both directions by a random part of a pixel, another one each time they are read.
///
/// A value between pixels is interpolated from the four around it; outside the image it is 0.
pub struct Shifted<D> {
    images: D,
    shape: Shape,
    most: f32,
    rng: Rng,
    original: Vec<f32>,
}

impl<D: Dataset> Shifted<D> {
    /// Moves images of a shape by at most `most` pixels up, down, left and right.
    pub fn new(images: D, shape: Shape, most: f32, seed: u64) -> Self {
        Self {
            images,
            shape,
            most,
            rng: Rng::new(seed),
            original: vec![0.0; shape.len()],
        }
    }

    /// A random offset: whole pixels, and the part of a pixel beyond them.
    fn offset(&mut self) -> (isize, f32) {
        let offset = self.most * (2.0 * self.rng.uniform() - 1.0);
        let whole = offset.floor();
        (whole as isize, offset - whole)
    }

    fn value(&self, y: isize, x: isize, channel: usize) -> f32 {
        let (height, width) = (self.shape.height.into(), self.shape.width.into());
        match (usize::try_from(y), usize::try_from(x)) {
            (Ok(y), Ok(x)) if y < height && x < width => {
                self.original[(y * width + x) * usize::from(self.shape.channels) + channel]
            }
            _ => 0.0,
        }
    }
}

impl<D: Dataset> Dataset for Shifted<D> {
    type Error = D::Error;

    fn len(&self) -> usize {
        self.images.len()
    }

    fn read(
        &mut self,
        index: usize,
        input: &mut [f32],
        target: &mut Target<'_>,
    ) -> Result<(), D::Error> {
        self.images.read(index, &mut self.original, target)?;
        let ((down, part_down), (right, part_right)) = (self.offset(), self.offset());
        let width = usize::from(self.shape.width);
        let pixels = input.chunks_exact_mut(self.shape.channels.into());
        for (pixel, values) in pixels.enumerate() {
            let y = (pixel / width) as isize + down;
            let x = (pixel % width) as isize + right;
            for (channel, value) in values.iter_mut().enumerate() {
                let row = |y| {
                    let left = self.value(y, x, channel);
                    left + part_right * (self.value(y, x + 1, channel) - left)
                };
                let upper = row(y);
                *value = upper + part_down * (row(y + 1) - upper);
            }
        }
        Ok(())
    }
}
