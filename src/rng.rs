//! The random numbers of initialisation, dropout and shuffling.

use core::f32::consts::TAU;

use crate::math;

/// xoshiro128++ 1.0 of Blackman and Vigna, seeded through SplitMix64: 16 bytes of state, 32-bit arithmetic.
///
/// It is not for secrets. The same seed gives the same numbers on every target.
///
/// ```
/// use lightlayers::Rng;
///
/// let mut rng = Rng::new(1);
/// let value = rng.uniform();
/// assert!((0.0..1.0).contains(&value));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rng {
    state: [u32; 4],
}

impl Rng {
    /// The generator of a seed: its state is two outputs of SplitMix64, low words first.
    pub const fn new(seed: u64) -> Self {
        let (first, seed) = split_mix(seed);
        let (second, _) = split_mix(seed);
        Self {
            state: [
                first as u32,
                (first >> 32) as u32,
                second as u32,
                (second >> 32) as u32,
            ],
        }
    }

    /// The generator of a seed and the place where its numbers are used: a stream of its own for every `place`.
    pub(crate) const fn keyed(seed: u64, place: [u32; 3]) -> Self {
        // Mixed twice: without the first, another seed would only exchange the streams of the places.
        let (mixed, _) = split_mix(seed);
        let (mixed, _) = split_mix(mixed ^ ((place[0] as u64) << 32 | place[1] as u64));
        Self::new(mixed ^ place[2] as u64)
    }

    /// The next 32 random bits.
    pub const fn next_u32(&mut self) -> u32 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(7).wrapping_add(a);
        let [c, d] = [c ^ a, d ^ b];
        self.state = [a ^ d, b ^ c, c ^ (b << 9), d.rotate_left(11)];
        result
    }

    /// Uniform among the integers of `0..end`, each as likely as the others; 0 if `end` is 0.
    ///
    /// The upper half of `end` times 32 random bits, drawn again where a result would have one draw more than the others (Lemire, "Fast
    /// random integer generation in an interval", 2019).
    ///
    /// ```
    /// use lightlayers::Rng;
    ///
    /// let mut rng = Rng::new(1);
    /// assert!((0..100).all(|_| rng.below(6) < 6));
    /// ```
    pub const fn below(&mut self, end: u32) -> u32 {
        if end == 0 {
            return 0;
        }
        // 2³² modulo `end`: without so many of the products, every result has as many.
        let rejected = end.wrapping_neg() % end;
        loop {
            let product = self.next_u32() as u64 * end as u64;
            if product as u32 >= rejected {
                return (product >> 32) as u32;
            }
        }
    }

    /// Uniform in `0..1`, a multiple of 2⁻²⁴.
    pub fn uniform(&mut self) -> f32 {
        (self.next_u32() >> 8) as f32 * (1.0 / 16_777_216.0)
    }

    /// Normal with mean 0 and variance 1, by the method of Box and Muller.
    pub fn normal(&mut self) -> f32 {
        let radius = math::sqrt(-2.0 * math::ln(1.0 - self.uniform()));
        radius * math::cos(TAU * self.uniform())
    }
}

/// One step of SplitMix64 (Steele, Lea, Flood): its output and the next state.
const fn split_mix(seed: u64) -> (u64, u64) {
    let state = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31), state)
}

/// A random order of `0..len` that needs no memory: a keyed bijection that is asked for one index at a time.
///
/// A Feistel network over the smallest even number of bits that holds `len`; results that are not below `len` are sent through it
/// again, which keeps it a bijection.
///
/// ```
/// use lightlayers::Permutation;
///
/// let order = Permutation::new(5, 42);
/// let mut indices: Vec<usize> = (0..5).map(|i| order.index(i)).collect();
/// indices.sort();
/// assert_eq!(indices, [0, 1, 2, 3, 4]);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Permutation {
    len: u32,
    half_bits: u32,
    keys: [u32; 6],
}

impl Permutation {
    /// The order of a seed.
    pub fn new(len: u32, seed: u64) -> Self {
        let bits = u32::BITS - len.saturating_sub(1).leading_zeros();
        let mut rng = Rng::new(seed);
        Self {
            len,
            half_bits: bits.div_ceil(2),
            keys: [(); 6].map(|()| rng.next_u32()),
        }
    }

    /// The order in which every element stands at its own position.
    pub const fn identity(len: u32) -> Self {
        Self {
            len,
            half_bits: 0,
            keys: [0; 6],
        }
    }

    /// The element at `position`; a position that is not below the length stands for itself.
    pub fn index(&self, position: usize) -> usize {
        if position >= self.len as usize || self.half_bits == 0 {
            return position;
        }
        let mask = (1_u64 << self.half_bits) as u32 - 1;
        let mut index = position as u32;
        loop {
            let (mut left, mut right) = ((index as u64 >> self.half_bits) as u32, index & mask);
            for key in self.keys {
                (left, right) = (right, left ^ mix(right ^ key) & mask);
            }
            index = ((left as u64) << self.half_bits) as u32 | right;
            if index < self.len {
                return index as usize;
            }
        }
    }
}

/// The finalizer of MurmurHash3.
fn mix(mut x: u32) -> u32 {
    x = (x ^ (x >> 16)).wrapping_mul(0x85eb_ca6b);
    x = (x ^ (x >> 13)).wrapping_mul(0xc2b2_ae35);
    x ^ (x >> 16)
}
