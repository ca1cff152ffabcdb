//! How much memory a program takes: what the linker placed, and how deep the stack went.

use core::ptr;

/// A word that a program hardly writes by itself.
const PAINT: u32 = 0xcccc_cccc;

/// The memory of a stack that grows down, painted to see how deep it went.
///
/// The runtimes of Cortex-M can paint as well, those of RISC-V cannot: here it is the same on both.
#[derive(Debug)]
pub struct Stack {
    low: *mut u32,
    high: *mut u32,
}

impl Stack {
    /// Paints the words from `low` up to `pointer`, those that the stack does not use yet; it starts at `high`.
    ///
    /// # Safety
    ///
    /// `low <= pointer <= high` are of the same memory. Until the last call of [`deepest`](Self::deepest), it may be read as words,
    /// and nothing but the stack writes below `pointer`, which the stack has not reached yet.
    pub unsafe fn paint(low: *mut u32, pointer: *mut u32, high: *mut u32) -> Self {
        let mut word = low;
        while word < pointer {
            // SAFETY: a word below `pointer`, which nobody uses.
            unsafe {
                ptr::write_volatile(word, PAINT);
                word = word.add(1);
            }
        }
        Self { low, high }
    }

    /// The most bytes that were in use so far.
    pub fn deepest(&self) -> usize {
        let mut word = self.low;
        // SAFETY: the words from `low` to `high` may be read; volatile, since the compiler does not know who writes them.
        while word < self.high && unsafe { ptr::read_volatile(word) } == PAINT {
            word = word.wrapping_add(1);
        }
        self.high as usize - word as usize
    }
}

/// The bytes of a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Usage {
    /// Flash: code, constants and the initial values of variables.
    pub flash: usize,
    /// Variables that live from start to end, the network's buffers among them.
    pub statics: usize,
    /// The stack at its deepest.
    pub stack: usize,
}

impl Usage {
    /// All RAM that is in use.
    pub const fn ram(&self) -> usize {
        self.statics + self.stack
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Usage {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "flash {} B; RAM {} B: static {}, stack {}",
            self.flash,
            self.ram(),
            self.statics,
            self.stack
        );
    }
}

#[cfg(target_os = "none")]
pub use firmware::{paint_stack, usage};

/// The names that `cortex-m-rt` gives; a board with another runtime has them in its `memory.x`, as every board has `_flash_start`.
#[cfg(target_os = "none")]
mod firmware {
    use super::{Stack, Usage};

    unsafe extern "C" {
        static _flash_start: u32;
        static _stack_start: u32;
        static __sidata: u32;
        static __sdata: u32;
        static __edata: u32;
        static __euninit: u32;
    }

    /// Paints the stack, from the last variable up to the caller.
    #[inline(never)]
    pub fn paint_stack() -> Stack {
        // Below this frame, with room for the frame of the function that paints.
        const ROOM: usize = 128;
        let here = 0_u32;
        let low = (&raw const __euninit).cast_mut();
        let pointer = (&raw const here).wrapping_byte_sub(ROOM).cast_mut();
        let high = (&raw const _stack_start).cast_mut();
        // SAFETY: the linker gives everything from the last variable to the top of the memory to the stack; there is no heap.
        unsafe { Stack::paint(low, pointer, high) }
    }

    /// What the linker placed, and the stack so far.
    pub fn usage(stack: &Stack) -> Usage {
        let address = |symbol: *const u32| symbol as usize;
        let data = address(&raw const __edata) - address(&raw const __sdata);
        Usage {
            flash: address(&raw const __sidata) + data - address(&raw const _flash_start),
            statics: address(&raw const __euninit) - address(&raw const __sdata),
            stack: stack.deepest(),
        }
    }
}
