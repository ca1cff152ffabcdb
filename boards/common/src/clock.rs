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
