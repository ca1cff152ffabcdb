//! The work that everyone does.

use lightlayers::paper::{Kind, mnist};
use lightlayers::{Network, Rng};

/// Images per step of training.
pub const BATCH: usize = 64;
/// Batches of noise; training takes another one each step, and more than fits the second-level cache.
pub const BATCHES: usize = 16;
/// Values of an image.
pub const PIXELS: usize = 28 * 28;
pub const CLASSES: usize = 10;
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

    pub fn network(self) -> Network {
        match self {
            Self::Light => mnist(Kind::Light { rank: 3 }),
            Self::Conv => mnist(Kind::Conv2d),
            Self::Mlp => Network::features(PIXELS).dense(128).relu().dense(CLASSES),
        }
    }
}

/// [`BATCHES`] batches of images, one after another.
pub fn noise() -> Vec<f32> {
    let mut rng = Rng::new(1);
    (0..BATCHES * BATCH * PIXELS)
        .map(|_| rng.uniform())
        .collect()
}

/// The label of an image of the noise.
pub fn label(image: usize) -> usize {
    image * 7 % CLASSES
}
