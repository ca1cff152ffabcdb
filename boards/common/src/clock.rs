//! What the work takes.

/// Counts instructions, from any start.
pub trait Clock {
    /// The instructions so far; never fewer than before.
    ///
    /// A processor that does not count them has its time instead: QEMU with `-icount shift=0` takes a nanosecond for each.
    fn instructions(&mut self) -> u64;

    /// What `work` returns, and the instructions that it took.
    fn count<T>(&mut self, work: impl FnOnce() -> T) -> (T, u64) {
        let start = self.instructions();
        let result = work();
        (result, self.instructions() - start)
    }
}

/// A counter of 32 bits as one of 64. It is read more often than it goes round.
#[derive(Debug)]
pub struct Counter<R> {
    read: R,
    last: u32,
    sum: u64,
}

impl<R: FnMut() -> u32> Counter<R> {
    /// Counts from 0 what `read` counts.
    pub fn new(mut read: R) -> Self {
        let last = read();
        Self { read, last, sum: 0 }
    }
}

impl<R: FnMut() -> u32> Clock for Counter<R> {
    fn instructions(&mut self) -> u64 {
        let now = (self.read)();
        self.sum += u64::from(now.wrapping_sub(self.last));
        self.last = now;
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, Counter};

    #[test]
    fn a_counter_goes_round() {
        let mut readings = [u32::MAX - 1, 3, 3, u32::MAX, 0].into_iter();
        let mut counter = Counter::new(|| readings.next().unwrap_or_default());
        let sums = [(); 4].map(|()| counter.instructions());
        assert_eq!(
            sums,
            [5, 5, u64::from(u32::MAX) + 2, u64::from(u32::MAX) + 3]
        );
    }
}
