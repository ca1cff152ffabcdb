//! A NOR flash memory in which power fails, reads fail and pages wear out.
//!
//! It is strict: a read, write or erasure that is not aligned, or a word that is written twice between two erasures, is a panic.

use std::ops::Range;

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_erase, check_read,
    check_write,
};
use lightlayers::Rng;

/// What the driver reports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FlashError {
    /// The power failed.
    Power,
    /// The chip says that a word could not be written or a page not be erased.
    Worn,
    /// The chip says that a word is damaged beyond repair.
    Unreadable,
}

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

/// What is left of the operation in which the power failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Torn {
    /// Nothing of it was done.
    Before,
    /// The first bytes were written or erased, the others were not.
    Prefix,
    /// Each bit has the old or the new value.
    Bits,
    /// Each bit has any value.
    Undefined,
    /// All of it was done, but one of the bits that it changed is so weak that it reads as either value, another one every time.
    Weak,
    /// All of it was done.
    After,
}

/// How a page fails after its last good erasure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wear {
    /// Some bits stay erased when they are written.
    StaysErased,
    /// Some bits do not erase.
    StaysWritten,
    /// The chip reports every write.
    RefusesWrites,
    /// The chip reports every erasure.
    RefusesErasures,
    /// Bits change between being verified and the next start.
    Forgets,
}

/// A page's end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Endurance {
    /// The erasures until then.
    pub erasures: u32,
    /// What happens afterwards.
    pub wear: Wear,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Word {
    Erased,
    Written,
    /// An erasure or a write was cut off.
    Torn,
}

/// `WRITE` bytes of a word, `ERASE` bytes of a page.
#[derive(Clone, Debug)]
pub struct SimulatedFlash<const WRITE: usize, const ERASE: usize> {
    bytes: Vec<u8>,
    words: Vec<Word>,
    /// The bits of each byte that read as either value.
    weak: Vec<u8>,
    erasures: Vec<u32>,
    endurance: Vec<Option<Endurance>>,
    /// Words written and pages erased.
    operations: u64,
    cut: Option<(u64, Torn)>,
    is_off: bool,
    reports_torn_words: bool,
    /// Calls of `read` so far.
    reads: u64,
    /// The calls that fail.
    failing_reads: Range<u64>,
    /// The bytes that cannot be read.
    unreadable: Range<u32>,
    rng: Rng,
}

impl<const WRITE: usize, const ERASE: usize> SimulatedFlash<WRITE, ERASE> {
    /// Full of bytes that nobody wrote.
    pub fn new(pages: usize, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let bytes = (0..pages * ERASE).map(|_| rng.next_u32() as u8).collect();
        SimulatedFlash {
            bytes,
            words: vec![Word::Written; pages * ERASE / WRITE],
            weak: vec![0; pages * ERASE],
            erasures: vec![0; pages],
            endurance: vec![None; pages],
            operations: 0,
            cut: None,
            is_off: false,
            reports_torn_words: false,
            reads: 0,
            failing_reads: 0..0,
            unreadable: 0..0,
            rng,
        }
    }

    /// Where the first page of this memory fails.
    pub fn wears(&mut self, page: usize, endurance: Endurance) {
        self.endurance[page] = Some(endurance);
    }

    /// Reading a word whose write or erasure was cut off is an error, as in memories that correct errors.
    pub fn report_torn_words(&mut self) {
        self.reports_torn_words = true;
    }

    /// So many reads fail after `reads` more of them, as on a bus that is disturbed.
    pub fn fail_reads(&mut self, reads: u64, times: u64) {
        let first = self.reads + reads;
        self.failing_reads = first..first + times;
    }

    /// From now on, no read of these bytes succeeds.
    pub fn refuse_reads_of(&mut self, bytes: Range<u32>) {
        self.unreadable = bytes;
    }

    /// Calls of `read` so far.
    pub fn reads(&self) -> u64 {
        self.reads
    }

    /// The power fails in the operation that comes after `operations` more of them.
    pub fn cut_after(&mut self, operations: u64, torn: Torn) {
        self.cut = Some((self.operations + operations, torn));
    }

    /// The chip starts again.
    pub fn power_on(&mut self) {
        self.is_off = false;
        self.cut = None;
        for page in 0..self.erasures.len() {
            if self.worn(page) == Some(Wear::Forgets) {
                let byte = page * ERASE + self.rng.next_u32() as usize % ERASE;
                self.bytes[byte] ^= 1 << (self.rng.next_u32() % 8);
            }
        }
    }

    /// Words written and pages erased so far.
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// The erasures of each page so far.
    pub fn erasures(&self) -> &[u32] {
        &self.erasures
    }

    /// All bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All bytes, to be changed by hand.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    fn worn(&self, page: usize) -> Option<Wear> {
        let end = self.endurance[page]?;
        (self.erasures[page] > end.erasures).then_some(end.wear)
    }

    /// Whether the power fails in this operation, and how. Afterwards nothing is done any more.
    fn operate(&mut self) -> Result<Option<Torn>, FlashError> {
        if self.is_off {
            return Err(FlashError::Power);
        }
        let torn = self.cut.filter(|(at, _)| *at == self.operations);
        self.operations += 1;
        self.is_off = torn.is_some();
        Ok(torn.map(|(_, torn)| torn))
    }

    /// A mix of old and new bytes.
    fn tear(&mut self, start: usize, new: &[u8], torn: Torn) {
        let prefix = self.rng.next_u32() as usize % new.len();
        if torn == Torn::Weak {
            let changed = self.bytes[start + prefix] ^ new[prefix];
            self.weak[start + prefix] = changed & changed.wrapping_neg();
        }
        for (index, new) in new.iter().enumerate() {
            let random = self.rng.next_u32() as u8;
            let byte = &mut self.bytes[start + index];
            *byte = match torn {
                Torn::Before => *byte,
                Torn::Prefix if index < prefix => *new,
                Torn::Prefix => *byte,
                Torn::Bits => *byte & random | new & !random,
                Torn::Undefined => random,
                Torn::Weak | Torn::After => *new,
            };
        }
        if !matches!(torn, Torn::Before | Torn::After) {
            let words = start / WRITE..(start + new.len()) / WRITE;
            self.words[words].fill(Word::Torn);
        }
    }

    fn erase_page(&mut self, page: usize) -> Result<(), FlashError> {
        let start = page * ERASE;
        let torn = self.operate()?;
        self.erasures[page] += 1;
        if torn != Some(Torn::Before) {
            self.weak[start..start + ERASE].fill(0);
        }
        if let Some(torn) = torn {
            self.tear(start, &[0xff; ERASE], torn);
            return Err(FlashError::Power);
        }
        if self.worn(page) == Some(Wear::RefusesErasures) {
            return Err(FlashError::Worn);
        }
        let stays = self.worn(page) == Some(Wear::StaysWritten);
        for byte in &mut self.bytes[start..start + ERASE] {
            let stuck = stays && self.rng.next_u32().is_multiple_of(16);
            *byte |= if stuck { 0x7f } else { 0xff };
        }
        self.words[start / WRITE..(start + ERASE) / WRITE].fill(Word::Erased);
        Ok(())
    }

    fn write_word(&mut self, start: usize, new: &[u8]) -> Result<(), FlashError> {
        let word = start / WRITE;
        let is_ready = self.is_off || self.words[word] == Word::Erased;
        assert!(is_ready, "the word at {start}: {:?}", self.words[word]);
        if let Some(torn) = self.operate()? {
            self.tear(start, new, torn);
            return Err(FlashError::Power);
        }
        self.words[word] = Word::Written;
        let wear = self.worn(start / ERASE);
        if wear == Some(Wear::RefusesWrites) {
            return Err(FlashError::Worn);
        }
        for (index, new) in new.iter().enumerate() {
            let stuck = wear == Some(Wear::StaysErased) && self.rng.next_u32().is_multiple_of(16);
            self.bytes[start + index] &= new | if stuck { 0x10 } else { 0 };
        }
        Ok(())
    }
}

impl<const WRITE: usize, const ERASE: usize> ErrorType for SimulatedFlash<WRITE, ERASE> {
    type Error = FlashError;
}

impl<const WRITE: usize, const ERASE: usize> ReadNorFlash for SimulatedFlash<WRITE, ERASE> {
    // As coarse as a memory that is read in its words.
    const READ_SIZE: usize = if WRITE < 8 { WRITE } else { 8 };

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        check_read(self, offset, bytes.len()).expect("an aligned read");
        if self.is_off {
            return Err(FlashError::Power);
        }
        self.reads += 1;
        let end = offset + bytes.len() as u32;
        let refused = offset < self.unreadable.end && self.unreadable.start < end;
        if refused || self.failing_reads.contains(&(self.reads - 1)) {
            return Err(FlashError::Unreadable);
        }
        let start = offset as usize;
        let words = start / WRITE..(start + bytes.len()).div_ceil(WRITE);
        if self.reports_torn_words && self.words[words].contains(&Word::Torn) {
            return Err(FlashError::Unreadable);
        }
        bytes.copy_from_slice(&self.bytes[start..start + bytes.len()]);
        for (byte, weak) in bytes.iter_mut().zip(&self.weak[start..]) {
            if *weak != 0 {
                *byte ^= weak & self.rng.next_u32() as u8;
            }
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl<const WRITE: usize, const ERASE: usize> NorFlash for SimulatedFlash<WRITE, ERASE> {
    const WRITE_SIZE: usize = WRITE;
    const ERASE_SIZE: usize = ERASE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        check_erase(self, from, to).expect("an aligned erasure");
        let mut pages = from as usize / ERASE..to as usize / ERASE;
        pages.try_for_each(|page| self.erase_page(page))
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        check_write(self, offset, bytes.len()).expect("an aligned write");
        let mut words = bytes.chunks(WRITE).enumerate();
        words.try_for_each(|(word, new)| self.write_word(offset as usize + word * WRITE, new))
    }
}
