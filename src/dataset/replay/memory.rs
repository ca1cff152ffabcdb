//! The memory of a replay buffer.

use heapless::Vec;

use super::Element;

/// What is known of a class.
#[derive(Clone, Copy, Debug)]
pub(super) struct Class {
    /// Its samples that were offered.
    pub(super) offered: u32,
    /// Those of them that are kept.
    pub(super) kept: u32,
    /// It is a largest class of a buffer without room, or was one.
    pub(super) full: bool,
}

impl Class {
    pub(super) const NEW: Self = Self {
        offered: 0,
        kept: 0,
        full: false,
    };
}

/// Room for `CAPACITY` samples of `LEN` values, with labels below `CLASSES`: the memory of a [`ReplayBuffer`](super::ReplayBuffer).
///
/// It takes `CAPACITY · (LEN · size_of::<E>() + 1) + 12 · CLASSES` bytes, the length of a vector and a count. All of them are 0 at the
/// start: a static of it lies in `.bss`, and costs no flash.
///
/// That there are at most 256 classes, and room for a sample of each, is checked while compiling.
#[derive(Debug)]
pub struct ReplayMemory<E, const LEN: usize, const CAPACITY: usize, const CLASSES: usize> {
    pub(super) values: [[E; LEN]; CAPACITY],
    /// Of those that are kept: so many there are.
    pub(super) labels: Vec<u8, CAPACITY>,
    pub(super) classes: [Class; CLASSES],
    /// All samples that were offered.
    pub(super) offered: u32,
}

impl<E: Element, const LEN: usize, const CAPACITY: usize, const CLASSES: usize>
    ReplayMemory<E, LEN, CAPACITY, CLASSES>
{
    /// Memory without a sample. Large memory belongs into a static.
    ///
    /// ```
    /// use lightlayers::dataset::ReplayMemory;
    /// use static_cell::ConstStaticCell;
    ///
    /// static MEMORY: ConstStaticCell<ReplayMemory<u8, 784, 100, 10>> = ConstStaticCell::new(ReplayMemory::new());
    /// let memory = MEMORY.take();
    /// assert!(size_of_val(memory) <= 100 * (784 + 1) + 12 * 10 + 24);
    /// ```
    #[expect(
        clippy::new_without_default,
        reason = "a default would build it on the stack, and move it"
    )]
    pub const fn new() -> Self {
        const {
            assert!(LEN >= 1, "a sample has at least one value");
            assert!(CLASSES >= 1 && CLASSES <= 256, "there are 1 to 256 classes");
            assert!(
                CAPACITY >= CLASSES,
                "there must be room for a sample of each class"
            );
        }
        Self {
            values: [[E::ZERO; LEN]; CAPACITY],
            labels: Vec::new(),
            classes: [Class::NEW; CLASSES],
            offered: 0,
        }
    }
}
