//! Paint is found where the stack has not been.

use boards_common::memory::Stack;

#[test]
fn the_deepest_word_counts() {
    let mut memory = [7_u32; 100];
    let range = memory.as_mut_ptr_range();
    // SAFETY: all of it is the array's.
    let stack = unsafe { Stack::paint(range.start, range.start.add(90), range.end) };
    assert_eq!(stack.deepest(), 10 * 4, "what was in use before");
    for (depth, deepest) in [(20, 20), (60, 60), (30, 60), (100, 100)] {
        // SAFETY: as a stack that has grown to this depth.
        unsafe { range.end.sub(depth).write_volatile(0) };
        assert_eq!(stack.deepest(), deepest * 4);
    }
}
