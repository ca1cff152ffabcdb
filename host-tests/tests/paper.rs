//! The networks of the paper (arXiv 2101.02268) have the sizes that its Tables 1 to 4 print.

use lightlayers::paper::{Kind, cifar, mnist};

/// A network, and its parameters for MNIST and Fashion-MNIST, CIFAR-10 and CIFAR-100; none where the
/// paper has no such row.
type Row = (Kind, usize, Option<[usize; 2]>);

const fn light(rank: usize) -> Kind {
    Kind::Light { rank }
}

const TABLES: [Row; 8] = [
    (Kind::Conv2d, 18_818, Some([76_794, 82_644])),
    (Kind::SeparableConv2d, 3_611, Some([14_440, 20_290])),
    (light(1), 2_649, Some([5_937, 6_747])),
    (light(2), 4_392, Some([9_592, 10_402])),
    (light(3), 6_135, Some([13_247, 14_057])),
    (light(4), 7_878, Some([16_902, 17_712])),
    (light(5), 9_621, Some([20_557, 21_367])),
    (light(6), 11_364, None),
];

#[test]
fn parameters_of_tables_1_to_4() {
    for (kind, of_mnist, of_cifar) in TABLES {
        assert_eq!(mnist(kind).weights(), of_mnist, "{kind:?}");
        if let Some([ten, hundred]) = of_cifar {
            assert_eq!(cifar(kind, 10).weights(), ten, "{kind:?}, CIFAR-10");
            assert_eq!(cifar(kind, 100).weights(), hundred, "{kind:?}, CIFAR-100");
        }
    }
}

/// By hand, for one image of MNIST. Both factors of a 3x3 convolution cost 9 · K for each pixel and
/// channel, in and out: `9 · (784 · (9 + 16) + 196 · (24 + 32) + 49 · (48 + 64)) = 324,576` for K = 1;
/// the head of rank 8 costs `32 · 8 + 8 · 10 = 336` for any K.
///
/// Convolutions without factors: `9 · (784 · (8 + 64) + 196 · (128 + 256) + 49 · (512 + 1024))` and a
/// head of `32 · 10`.
#[test]
fn multiply_accumulates_of_an_image() {
    for rank in 1..=6 {
        let expected = 324_576 * rank as u64 + 336;
        assert_eq!(mnist(light(rank)).multiply_accumulates(), expected);
    }
    assert_eq!(mnist(Kind::Conv2d).multiply_accumulates(), 1_863_104);
}
