//! A model file in memory.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::Result;

/// In words of 16 bytes, so that its numbers can be read where they lie.
pub struct ModelFile {
    words: Vec<u128>,
    len: usize,
}

impl ModelFile {
    /// Reads a whole file.
    pub fn read(path: &Path) -> Result<Self> {
        let mut file = File::open(path)?;
        let len = usize::try_from(file.metadata()?.len())?;
        let mut words = vec![0; len.div_ceil(size_of::<u128>())];
        file.read_exact(&mut bytemuck::cast_slice_mut(&mut words)[..len])?;
        Ok(Self { words, len })
    }

    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.len]
    }
}
