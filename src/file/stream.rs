//! Reading a model file block by block, from a memory that is not mapped for reading.

use super::error::{FileError, SectionKind};
use super::reader::{section, section_header, table_head};
use super::table::{ENTRY, Extent, Head, Table};
use super::{BLOCK, MAGIC};
use crate::plan::Graph;

/// Where the numbers of a file go.
pub(crate) struct Destination<'a> {
    pub(crate) weights: &'a mut [f32],
    /// None for the weights alone.
    pub(crate) training: Option<TrainingDestination<'a>>,
}

/// Where the numbers of a file go that only training reads.
pub(crate) struct TrainingDestination<'a> {
    pub(crate) optimizer_state: &'a mut [f32],
    /// None if the optimizer does not go on from them.
    pub(crate) gradients: Option<&'a mut [f32]>,
}

/// Takes the sections of a file, and checks that they are those of a graph and of its buffers.
///
/// It knows nothing of the file's header and checksum.
pub(crate) struct BlockReader<'a, 'd> {
    table: Table<'a>,
    destination: &'a mut Destination<'d>,
    /// Without it, everything is checked and nothing is written.
    copies: bool,
    /// The section that the next block is in, if any blocks of it are left.
    kind: SectionKind,
    /// The bytes of its data, and how many of its blocks were read and are left.
    len: usize,
    read: usize,
    left: usize,
    head: Option<Head>,
    first_half: [u8; BLOCK],
    has_weights: bool,
    has_state: bool,
    has_gradients: bool,
}

impl<'a, 'd> BlockReader<'a, 'd> {
    pub(crate) fn new(
        graph: &'a impl Graph,
        destination: &'a mut Destination<'d>,
        copies: bool,
    ) -> Self {
        Self {
            table: Table::of_graph(graph),
            destination,
            copies,
            kind: SectionKind(MAGIC),
            len: 0,
            read: 0,
            left: 0,
            head: None,
            first_half: [0; BLOCK],
            has_weights: false,
            has_state: false,
            has_gradients: false,
        }
    }

    /// Takes the next block.
    pub(crate) fn block(&mut self, block: &[u8; BLOCK]) -> Result<(), FileError> {
        if self.left == 0 {
            return self.open(block);
        }
        let index = self.read;
        self.read += 1;
        self.left -= 1;
        if self.kind.is(SectionKind::LAYERS) {
            return self.layers(index, block);
        }
        if self.copies {
            let place = self.place(index);
            for (value, bytes) in place.iter_mut().zip(block.as_chunks().0) {
                *value = f32::from_le_bytes(*bytes);
            }
        }
        Ok(())
    }

    /// The elements that a block of numbers is for.
    fn place(&mut self, block: usize) -> &mut [f32] {
        const ELEMENTS: usize = BLOCK / size_of::<f32>();
        let training = self.destination.training.as_mut();
        let (values, block) = if self.kind.is(SectionKind::WEIGHTS) {
            (Some(&mut *self.destination.weights), Some(block))
        } else if self.kind.is(SectionKind::OPTIMIZER) {
            // The first block has the steps.
            let state = training.map(|training| &mut *training.optimizer_state);
            (state, block.checked_sub(1))
        } else if self.kind.is(SectionKind::GRADIENTS) {
            let gradients = training.and_then(|training| training.gradients.as_deref_mut());
            (gradients, Some(block))
        } else {
            (None, None)
        };
        let (values, block) = (values.unwrap_or_default(), block.unwrap_or(usize::MAX));
        let start = block.saturating_mul(ELEMENTS);
        values.get_mut(start..).unwrap_or_default()
    }

    /// The header of a section.
    fn open(&mut self, block: &[u8; BLOCK]) -> Result<(), FileError> {
        let (kind, required, len) = section_header(block)?;
        (self.kind, self.len, self.read) = (kind, len, 0);
        self.left = len.div_ceil(BLOCK);
        let bytes = |elements: usize| size_of::<f32>() * elements;
        let training = self.destination.training.as_ref();
        let (seen, expected) = if kind.is(SectionKind::LAYERS) {
            (self.head.is_some(), None)
        } else if kind.is(SectionKind::WEIGHTS) {
            let expected = bytes(self.destination.weights.len());
            (
                core::mem::replace(&mut self.has_weights, true),
                Some(expected),
            )
        } else if kind.is(SectionKind::OPTIMIZER) {
            let expected = training.map(|training| BLOCK + bytes(training.optimizer_state.len()));
            (core::mem::replace(&mut self.has_state, true), expected)
        } else if kind.is(SectionKind::GRADIENTS) {
            // Of another optimizer, if they are not expected.
            let expected = training.map(|training| match &training.gradients {
                Some(gradients) => bytes(gradients.len()),
                None => 0,
            });
            (core::mem::replace(&mut self.has_gradients, true), expected)
        } else if required {
            return Err(FileError::Unknown { section: kind });
        } else {
            (false, None)
        };
        if seen {
            return Err(FileError::Twice { section: kind });
        }
        match expected {
            Some(expected) if expected != len => Err(section(Some(kind), "bytes", expected, len)),
            _ => Ok(()),
        }
    }

    fn layers(&mut self, block: usize, bytes: &[u8; BLOCK]) -> Result<(), FileError> {
        let extent = match self.destination.training {
            Some(_) => Extent::Training,
            None => Extent::Weights,
        };
        match (block, self.head) {
            (0, _) => {
                let head = table_head(bytes, self.len.saturating_sub(BLOCK))?;
                self.head = Some(head);
                self.table.compare_input(&head)
            }
            (_, None) => Ok(()),
            (odd, Some(_)) if odd % 2 == 1 => {
                self.first_half = *bytes;
                Ok(())
            }
            (even, Some(head)) => {
                let mut entry = [0; ENTRY];
                let halves = [self.first_half, *bytes];
                entry.copy_from_slice(halves.as_flattened());
                let layer = even / 2 - 1;
                self.table.compare_layer(layer, &entry, extent)?;
                if self.left == 0 {
                    self.table.compare_numbers(&head)?;
                }
                Ok(())
            }
        }
    }

    /// After the last block: whether everything was there.
    pub(crate) fn finish(self) -> Result<(), FileError> {
        if self.left > 0 {
            let found = self.len.min(BLOCK * self.read);
            return Err(section(Some(self.kind), "bytes", self.len, found));
        }
        let trains = self.destination.training.as_ref();
        let gradients = trains.is_some_and(|training| training.gradients.is_some());
        let sections = [
            (SectionKind::LAYERS, true, self.head.is_some()),
            (SectionKind::WEIGHTS, true, self.has_weights),
            (SectionKind::OPTIMIZER, trains.is_some(), self.has_state),
            (SectionKind::GRADIENTS, gradients, self.has_gradients),
        ];
        for (section, wanted, found) in sections {
            if wanted && !found {
                return Err(FileError::Missing { section });
            }
        }
        Ok(())
    }
}
