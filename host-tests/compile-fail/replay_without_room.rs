//! A replay buffer has room for a sample of each class.

use lightlayers::dataset::ReplayMemory;

static MEMORY: ReplayMemory<u8, 64, 8, 10> = ReplayMemory::new();

fn main() {
    let _ = &MEMORY;
}
