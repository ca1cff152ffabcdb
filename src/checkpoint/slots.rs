//! The slots in the flash memory: reading, erasing, writing and verifying in its units.

use core::ops::Range;

use embedded_storage::nor_flash::NorFlash;

use super::error::CheckpointError;
use super::record::{MARK, RECORD, Record};
use crate::file::{Aligned, BLOCK};

/// The bytes that are read or written at once: whole words of any flash memory, and little enough for the stack.
const CHUNK: usize = 256;

/// How often a read is tried before its error counts.
const READ_ATTEMPTS: u32 = 4;

/// A flash memory's units, checked while compiling.
pub(super) struct Units<F>(core::marker::PhantomData<F>);

impl<F: NorFlash> Units<F> {
    /// What can be both written and read. The sizes are powers of two, so the larger one is a multiple of the other.
    const WORD: u32 = {
        let (write, read, erase) = (F::WRITE_SIZE, F::READ_SIZE, F::ERASE_SIZE);
        let are_words = write.is_power_of_two() && read.is_power_of_two();
        assert!(
            are_words && write <= CHUNK && read <= CHUNK,
            "checkpoints want a flash memory whose WRITE_SIZE and READ_SIZE are powers of two up to 256"
        );
        let word = if write > read { write } else { read };
        assert!(
            erase > 0 && erase.is_multiple_of(word),
            "checkpoints want a flash memory whose ERASE_SIZE is a multiple of its WRITE_SIZE and READ_SIZE"
        );
        word as u32
    };
    pub(super) const PAGE: u32 = {
        assert!(Self::WORD > 0 && F::ERASE_SIZE <= 1 << 30);
        F::ERASE_SIZE as u32
    };
    /// The words of the mark, and those of the record and the mark.
    const MARK: u32 = (BLOCK as u32).next_multiple_of(Self::WORD);
    const END: u32 = (RECORD as u32).next_multiple_of(Self::WORD) + Self::MARK;

    /// The bytes of a file's words, of its record and of the mark; in 64 bits, because the length may be anything.
    pub(super) const fn bytes(file: u64) -> u64 {
        file.next_multiple_of(Self::WORD as u64) + Self::END as u64
    }
}

/// `count` slots of `len` bytes each: whole pages, with room for a record and a mark at the least.
#[derive(Debug)]
pub(super) struct Slots<F> {
    pub(super) flash: F,
    start: u32,
    pub(super) len: u32,
    pub(super) count: u32,
}

impl<F: NorFlash> Slots<F> {
    pub(super) fn new(
        flash: F,
        range: Range<u32>,
        count: u32,
    ) -> Result<Self, CheckpointError<F::Error>> {
        if count < 2 {
            return Err(CheckpointError::Slots { found: count });
        }
        let page = Units::<F>::PAGE;
        let misaligned = |what, expected, found| CheckpointError::Misaligned {
            what,
            expected,
            found,
        };
        if !range.start.is_multiple_of(page) {
            return Err(misaligned("a range with a start", page, range.start));
        }
        let bytes = range.end.saturating_sub(range.start);
        let (found, expected) = (bytes / count, page.max(Units::<F>::END));
        if found < expected {
            return Err(CheckpointError::TooSmall { expected, found });
        }
        // The range has a page for each slot, so this is no more than its length.
        let pages = page * count;
        if !bytes.is_multiple_of(pages) {
            return Err(misaligned("a range with a length", pages, bytes));
        }
        if u64::from(range.end) > flash.capacity() as u64 {
            return Err(CheckpointError::OutOfBounds {
                expected: flash.capacity(),
                found: range.end,
            });
        }
        Ok(Self {
            flash,
            start: range.start,
            len: bytes / count,
            count,
        })
    }

    /// The slot that follows in the ring.
    pub(super) fn after(&self, slot: u32) -> u32 {
        let next = slot + 1;
        if next < self.count { next } else { 0 }
    }

    /// Where a slot, and in it the file, starts.
    pub(super) fn start(&self, slot: u32) -> u32 {
        self.start + self.len * slot
    }

    fn record_start(&self, slot: u32) -> u32 {
        self.start(slot) + (self.len - Units::<F>::END)
    }

    /// The last words of a slot.
    fn mark_start(&self, slot: u32) -> u32 {
        self.start(slot) + (self.len - Units::<F>::MARK)
    }

    /// Whether a slot has room for a file, and so for its words: the place of the record starts at a word.
    pub(super) fn check_room(&self, file: u32) -> Result<(), CheckpointError<F::Error>> {
        let expected = Units::<F>::bytes(file.into());
        if expected <= self.len.into() {
            return Ok(());
        }
        Err(CheckpointError::TooSmall {
            expected: u32::try_from(expected).unwrap_or(u32::MAX),
            found: self.len,
        })
    }

    /// The record of a slot; none if nothing was committed there.
    #[inline(never)]
    pub(super) fn record(&mut self, slot: u32) -> Result<Option<Record>, F::Error> {
        let mut blocks = [[0; BLOCK]; RECORD / BLOCK];
        let mut places = blocks.iter_mut();
        self.read(self.record_start(slot), RECORD as u32, |block| {
            if let Some(place) = places.next() {
                *place = *block;
            }
        })?;
        // A length that no save writes is that of no record.
        let fits = |record: &Record| {
            (record.len as usize).is_multiple_of(BLOCK) && self.check_room(record.len).is_ok()
        };
        Ok(Record::read(&blocks).filter(fits))
    }

    /// Whether the record of a slot was certainly written to its end.
    pub(super) fn is_settled(&mut self, slot: u32) -> bool {
        let mut is_marked = false;
        let read = self.read(self.mark_start(slot), BLOCK as u32, |block| {
            is_marked = *block == MARK;
        });
        read.is_ok() && is_marked
    }

    /// Reads whole blocks, within a slot. A read that fails is tried again: one error may be the bus's, and not the memory's.
    pub(super) fn read(
        &mut self,
        from: u32,
        len: u32,
        mut take: impl FnMut(&[u8; BLOCK]),
    ) -> Result<(), F::Error> {
        let mut chunk = Aligned([0; CHUNK]);
        let mut read = 0;
        while read < len {
            let bytes = (len - read).min(CHUNK as u32);
            let words = bytes.next_multiple_of(Units::<F>::WORD) as usize;
            let words = chunk.0.get_mut(..words).unwrap_or_default();
            let mut left = READ_ATTEMPTS;
            loop {
                left -= 1;
                match self.flash.read(from + read, words) {
                    Ok(()) => break,
                    Err(error) if left == 0 => return Err(error),
                    Err(_) => {}
                }
            }
            let blocks = words.get(..bytes as usize).unwrap_or_default();
            blocks.as_chunks().0.iter().for_each(&mut take);
            read += bytes;
        }
        Ok(())
    }

    /// Makes a slot ready for a file of `len` bytes.
    ///
    /// The record's pages come first: from then on the slot has no checkpoint, however much of the rest is still there.
    pub(super) fn erase(&mut self, slot: u32, len: u32) -> Result<(), F::Error> {
        self.erase_record(slot)?;
        let pages = len.next_multiple_of(Units::<F>::PAGE);
        let file = pages.min(self.len - self.record_pages());
        let start = self.start(slot);
        if file > 0 {
            self.flash.erase(start, start + file)?;
        }
        Ok(())
    }

    /// Erases the pages with the record and the mark.
    pub(super) fn erase_record(&mut self, slot: u32) -> Result<(), F::Error> {
        let end = self.start(slot) + self.len;
        self.flash.erase(end - self.record_pages(), end)
    }

    /// The bytes of the pages with the record and the mark: whole pages, as a slot has.
    fn record_pages(&self) -> u32 {
        Units::<F>::END.next_multiple_of(Units::<F>::PAGE)
    }

    /// Writes a file, and compares it with what is read back. `blocks` gives its blocks once more at every call.
    pub(super) fn write_file<I: Iterator<Item = [u8; BLOCK]>>(
        &mut self,
        slot: u32,
        blocks: impl Fn() -> I,
    ) -> Result<(), CheckpointError<F::Error>> {
        let start = self.start(slot);
        let len = self.write(start, blocks())?;
        self.verify(start, len, blocks())
    }

    /// What commits the file: the record, and then the mark.
    pub(super) fn write_record(
        &mut self,
        slot: u32,
        record: &Record,
    ) -> Result<(), CheckpointError<F::Error>> {
        let blocks = record.blocks();
        let parts = [
            (self.record_start(slot), &blocks[..]),
            (self.mark_start(slot), &[MARK]),
        ];
        for (start, blocks) in parts {
            let len = self.write(start, blocks.iter().copied())?;
            self.verify(start, len, blocks.iter().copied())?;
        }
        Ok(())
    }

    /// Writes each word once, and returns the bytes of the blocks.
    ///
    /// Like the functions beside it not inlined, so that their buffers are not on the stack together.
    #[inline(never)]
    fn write(
        &mut self,
        start: u32,
        mut blocks: impl Iterator<Item = [u8; BLOCK]>,
    ) -> Result<u32, CheckpointError<F::Error>> {
        let mut chunk = Aligned([0; CHUNK]);
        let mut len = 0;
        loop {
            chunk.0.fill(0xff);
            let mut bytes = 0;
            // The places come first: they end without taking a block.
            for (place, block) in chunk.0.as_chunks_mut().0.iter_mut().zip(&mut blocks) {
                *place = block;
                bytes += BLOCK as u32;
            }
            if bytes == 0 {
                break;
            }
            let words = bytes.next_multiple_of(F::WRITE_SIZE as u32);
            let words = chunk.0.get(..words as usize).unwrap_or_default();
            let written = self.flash.write(start + len, words);
            written.map_err(CheckpointError::Flash)?;
            len += bytes;
        }
        Ok(len)
    }

    #[inline(never)]
    fn verify(
        &mut self,
        start: u32,
        len: u32,
        mut expected: impl Iterator<Item = [u8; BLOCK]>,
    ) -> Result<(), CheckpointError<F::Error>> {
        let mut offset = start;
        let mut different = None;
        let read = self.read(start, len, |found| {
            if different.is_none() && expected.next() != Some(*found) {
                different = Some(offset);
            }
            offset += BLOCK as u32;
        });
        read.map_err(CheckpointError::Flash)?;
        match different {
            Some(offset) => Err(CheckpointError::Verify { offset }),
            None => Ok(()),
        }
    }
}
