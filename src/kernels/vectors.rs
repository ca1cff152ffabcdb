//! Which vector instructions the kernels use.

use core::sync::atomic::{AtomicU8, Ordering};

use fearless_simd::{Level, dispatch};

/// Vector instructions of the processor; the widest that it has are used unless [`limit`](Self::limit) says otherwise.
///
/// The results have the same bits with all of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Vectors {
    /// The plain code that microcontrollers run.
    Plain,
    /// What every processor of this architecture has: SSE2 on x86-64, Neon on AArch64.
    Baseline,
    /// 256 bits on x86-64.
    Avx2,
    /// 512 bits on x86-64.
    Avx512,
}

static LIMIT: AtomicU8 = AtomicU8::new(Vectors::Avx512 as u8);

impl Vectors {
    /// Those that this processor has, narrowest first.
    pub fn available() -> impl Iterator<Item = Self> {
        [Self::Plain, Self::Baseline, Self::Avx2, Self::Avx512]
            .into_iter()
            .filter(|vectors| vectors.level().is_some() || *vectors == Self::Plain)
    }

    /// From now on the whole process uses no wider ones: for comparing their results and their speed.
    pub fn limit(self) {
        LIMIT.store(self as u8, Ordering::Relaxed);
    }

    fn level(self) -> Option<Level> {
        let widest = Level::new();
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        let level = match self {
            Self::Plain => None,
            Self::Baseline => widest.as_sse2().map(Level::Sse2),
            Self::Avx2 => widest.as_avx2().map(Level::Avx2),
            Self::Avx512 => widest.as_avx512().map(Level::Avx512),
        };
        #[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
        let level = (self == Self::Baseline && !widest.is_fallback()).then_some(widest);
        level
    }
}

/// The level for the kernels; none for the plain code.
pub(super) fn level() -> Option<Level> {
    let limit = LIMIT.load(Ordering::Relaxed);
    [Vectors::Avx512, Vectors::Avx2, Vectors::Baseline]
        .into_iter()
        .filter(|vectors| *vectors as u8 <= limit)
        .find_map(Vectors::level)
}

/// Compiles plain loops for the widest vectors, and runs them. What is called has to be inlined.
#[inline(always)]
pub(crate) fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    match level() {
        Some(level) => dispatch!(level, _simd => work()),
        None => work(),
    }
}
