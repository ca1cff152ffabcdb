//! Images that move a little, differently in every epoch.

use lightlayers::dataset::{Dataset, Target};
use lightlayers::{Rng, Shape};

use crate::error::Error;

/// How images change: a function of the seed, the epoch and the sample's index alone, so that a run can be repeated, and taken up in the
/// middle, to the same bits.
///
/// With `r` = `Rng::new(key ^ (epoch << 32 | index))`, where `key` is the first 64 bits of `Rng::new(seed)`, high word first, and `n` =
/// `2 · shift + 1`: the image moves down by `⌊r₀ · n / 2³²⌋ - shift` rows and right by `⌊r₁ · n / 2³²⌋ - shift` columns, zeros coming in
/// from outside, after it was mirrored left to right if `flip` is set and `r₂` is at least 2³¹. So every shift is as likely as any other to
/// within n / 2³².
///
/// ```
/// use lightlayers::Shape;
/// use lightlayers_datasets::Augmentation;
///
/// let shifts = Augmentation { shift: 1, flip: false, seed: 7 };
/// let mut image = [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0];
/// shifts.apply(0, 0, Shape::image(3, 3, 1), &mut image);
/// assert_eq!(image.iter().sum::<f32>(), 1.0);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Augmentation {
    /// The largest shift in either direction, in pixels.
    pub shift: u16,
    /// Whether half of the images are mirrored left to right.
    pub flip: bool,
    /// The seed.
    pub seed: u64,
}

impl Augmentation {
    /// Changes one image in place. A length that is not the shape's leaves it as it is.
    ///
    /// Moves every value once for the shift and once for the flip; no allocation.
    pub fn apply(&self, epoch: u32, index: usize, shape: Shape, image: &mut [f32]) {
        if image.len() != shape.len() || image.is_empty() {
            return;
        }
        let mut key = Rng::new(self.seed);
        let key = u64::from(key.next_u32()) << 32 | u64::from(key.next_u32());
        let mut rng = Rng::new(key ^ (u64::from(epoch) << 32 | index as u64));

        let span = 2 * u64::from(self.shift) + 1;
        // Below 2^32 · 2^17: no overflow.
        let mut draw = || ((u64::from(rng.next_u32()) * span) >> 32) as i64 - i64::from(self.shift);
        let (down, right) = (draw(), draw());
        if self.flip && rng.next_u32() >> 31 == 1 {
            mirror(shape, image);
        }
        translate(shape, image, down, right);
    }
}

/// Mirrors every row: pixels change places, the channels of a pixel stay in order.
fn mirror(shape: Shape, image: &mut [f32]) {
    let channels = usize::from(shape.channels);
    for row in image.chunks_exact_mut(usize::from(shape.width) * channels) {
        let (left, right) = row.split_at_mut(usize::from(shape.width / 2) * channels);
        // Of an odd width, the middle pixel is the one of `right` that is not reached.
        let right = right.rchunks_exact_mut(channels);
        for (left, right) in left.chunks_exact_mut(channels).zip(right) {
            left.swap_with_slice(right);
        }
    }
}

/// `image[y][x] = image[y - down][x - right]`, 0 where that is outside.
fn translate(shape: Shape, image: &mut [f32], down: i64, right: i64) {
    let (width, channels) = (i64::from(shape.width), i64::from(shape.channels));
    if down.unsigned_abs() >= u64::from(shape.height)
        || right.unsigned_abs() >= u64::from(shape.width)
    {
        image.fill(0.0);
        return;
    }
    // One move of the whole image as a flat slice; the values that came out of another row stand in columns that are zero anyway.
    let offset = (down * width + right) * channels;
    let distance = offset.unsigned_abs() as usize;
    let kept = image.len() - distance;
    if offset >= 0 {
        image.copy_within(..kept, distance);
        image[..distance].fill(0.0);
    } else {
        image.copy_within(distance.., 0);
        image[kept..].fill(0.0);
    }
    let zeros = (right.unsigned_abs() * u64::from(shape.channels)) as usize;
    if zeros > 0 {
        for row in image.chunks_exact_mut((width * channels) as usize) {
            let row = if right > 0 {
                &mut row[..zeros]
            } else {
                let start = row.len() - zeros;
                &mut row[start..]
            };
            row.fill(0.0);
        }
    }
}

/// A data set whose images are changed as they are read.
///
/// The index that counts is the one that this data set is asked for. Tell it the epoch: the same epoch gives the same images.
#[derive(Clone, Debug)]
pub struct Augmented<D> {
    data: D,
    shape: Shape,
    augmentation: Augmentation,
    epoch: u32,
}

impl<D: Dataset> Augmented<D> {
    /// Changes images of that shape, in epoch 0.
    ///
    /// # Errors
    ///
    /// [`Error::Shift`] if the shift is not below height and width.
    pub fn new(data: D, shape: Shape, augmentation: Augmentation) -> Result<Self, Error> {
        let below = shape.height.min(shape.width);
        if augmentation.shift >= below {
            return Err(Error::Shift {
                below,
                found: augmentation.shift,
            });
        }
        Ok(Self {
            data,
            shape,
            augmentation,
            epoch: 0,
        })
    }

    /// Starts an epoch.
    pub fn set_epoch(&mut self, epoch: u32) {
        self.epoch = epoch;
    }
}

impl<D: Dataset> Dataset for Augmented<D> {
    type Error = D::Error;

    fn len(&self) -> usize {
        self.data.len()
    }

    fn read(
        &mut self,
        index: usize,
        input: &mut [f32],
        target: &mut Target<'_>,
    ) -> Result<(), Self::Error> {
        self.data.read(index, input, target)?;
        self.augmentation
            .apply(self.epoch, index, self.shape, input);
        Ok(())
    }
}
