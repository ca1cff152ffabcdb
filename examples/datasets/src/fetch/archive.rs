//! The official files of every data set: where they are, and how to know them.

use std::fmt;

use crate::Set;

/// A file that can be downloaded, and what it must be to be kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Archive<'a> {
    /// The name of the file.
    pub name: &'a str,
    /// Where it is.
    pub url: &'a str,
    /// Its size in bytes.
    pub size: u64,
    /// Its hash.
    pub sha256: Sha256,
}

/// A SHA-256 hash, displayed as 64 lower-case hexadecimal digits.
///
/// ```
/// use lightlayers_datasets::Sha256;
///
/// // Of "abc", from FIPS 180-4's examples.
/// let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
/// assert_eq!(Sha256::of(b"abc").to_string(), text);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// The hash of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest;

        Self(sha2::Sha256::digest(bytes).into())
    }

    /// From its digits, for constants: other text does not compile.
    const fn from_hex(text: &str) -> Self {
        let (digits, rest) = text.as_bytes().as_chunks::<2>();
        assert!(digits.len() == 32 && rest.is_empty(), "64 digits");
        let mut hash = [0; 32];
        let mut i = 0;
        while i < hash.len() {
            let [high, low] = digits[i];
            hash[i] = Self::nibble(high) << 4 | Self::nibble(low);
            i += 1;
        }
        Self(hash)
    }

    const fn nibble(digit: u8) -> u8 {
        match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => panic!("a lower-case hexadecimal digit"),
        }
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Set {
    /// The official files.
    ///
    /// MNIST's first home, yann.lecun.com, no longer gives them out; they come from the mirror that torchvision uses. Fashion-MNIST and the
    /// two CIFAR sets come from their authors.
    pub const fn archives(self) -> &'static [Archive<'static>] {
        match self {
            Self::Mnist => &MNIST,
            Self::FashionMnist => &FASHION_MNIST,
            Self::Cifar10 => &CIFAR_10,
            Self::Cifar100 => &CIFAR_100,
        }
    }
}

macro_rules! archive {
    ($base:literal, $name:literal, $size:literal, $sha256:literal) => {
        Archive {
            name: $name,
            url: concat!($base, $name),
            size: $size,
            sha256: const { Sha256::from_hex($sha256) },
        }
    };
}

static MNIST: [Archive<'static>; 4] = [
    archive!(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "train-images-idx3-ubyte.gz",
        9_912_422,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
    ),
    archive!(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "train-labels-idx1-ubyte.gz",
        28_881,
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
    ),
    archive!(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "t10k-images-idx3-ubyte.gz",
        1_648_877,
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
    ),
    archive!(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "t10k-labels-idx1-ubyte.gz",
        4_542,
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
    ),
];

static FASHION_MNIST: [Archive<'static>; 4] = [
    archive!(
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "train-images-idx3-ubyte.gz",
        26_421_880,
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
    ),
    archive!(
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "train-labels-idx1-ubyte.gz",
        29_515,
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
    ),
    archive!(
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "t10k-images-idx3-ubyte.gz",
        4_422_102,
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
    ),
    archive!(
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "t10k-labels-idx1-ubyte.gz",
        5_148,
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
    ),
];

static CIFAR_10: [Archive<'static>; 1] = [archive!(
    "https://www.cs.toronto.edu/~kriz/",
    "cifar-10-binary.tar.gz",
    170_052_171,
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
)];

static CIFAR_100: [Archive<'static>; 1] = [archive!(
    "https://www.cs.toronto.edu/~kriz/",
    "cifar-100-binary.tar.gz",
    168_513_733,
    "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"
)];
