//! The work that everyone does.

use lightlayers::paper::{Kind, mnist};
use lightlayers::{Network, Rng};

/// Images per step of training.
pub const BATCH: usize = 64;
/// Batches of noise; training takes another one each step, and more than fits the second-level cache.
pub const BATCHES: usize = 16;
/// Height and width of an image.
pub const SIDE: usize = 28;
pub const PIXELS: usize = SIDE * SIDE;
pub const CLASSES: usize = 10;
/// Filters of the convolutions in the paper's three blocks.
pub const FILTERS: [usize; 3] = [8, 16, 32];
/// The rank of the light network's head.
pub const HEAD_RANK: usize = 8;
pub const HIDDEN: usize = 128;
pub const BATCH_NORM_EPSILON: f64 = 1e-3;
/// How far a moving statistic of batch normalization goes to the one of a batch.
pub const BATCH_NORM_MOMENTUM: f64 = 0.01;
pub const RATE: f64 = 1e-3;
pub const ADAM_EPSILON: f64 = 1e-7;

/// A network that is trained and run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Net {
    Light,
    Conv,
    Mlp,
}

impl Net {
    pub const ALL: [Self; 3] = [Self::Light, Self::Conv, Self::Mlp];

    /// The name in tasks.
    pub fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Conv => "conv",
            Self::Mlp => "mlp",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Light => "light, K = 3",
            Self::Conv => "conv",
            Self::Mlp => "MLP 784-128-10",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|net| net.name() == name)
    }

    /// The rank of its convolutions, if they are light.
    pub fn rank(self) -> Option<usize> {
        (self == Self::Light).then_some(3)
    }

    pub fn network(self) -> Network {
        match (self, self.rank()) {
            (Self::Mlp, _) => Network::features(PIXELS)
                .dense(HIDDEN)
                .relu()
                .dense(CLASSES),
            (_, Some(rank)) => mnist(Kind::Light { rank }),
            (_, None) => mnist(Kind::Conv2d),
        }
    }
}

/// [`BATCHES`] batches of images, one after another: noise, brighter from class to class, so that there is something to learn.
pub fn images() -> Vec<f32> {
    let mut rng = Rng::new(1);
    (0..BATCHES * BATCH * PIXELS)
        .map(|i| rng.uniform() * (label(i / PIXELS) + 1) as f32 / CLASSES as f32)
        .collect()
}

pub fn label(image: usize) -> usize {
    image % CLASSES
}
