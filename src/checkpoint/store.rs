//! Saving into the slots, and finding the newest checkpoint in them.

use core::ops::Range;

use embedded_storage::nor_flash::NorFlash;

use super::error::CheckpointError;
use super::record::Record;
use super::slots::Slots;
use super::{Checkpoint, Snapshot, SnapshotMut};
use crate::error::{Buffer, Error};
use crate::file::{
    BLOCK, BlockReader, CHECKSUM, Destination, TrainingDestination, TrainingState, Writer,
    file_header,
};
use crate::plan::Graph;

/// Checkpoints in slots of a flash memory, which are used in turn.
///
/// It owns the driver of the flash memory; `&mut` to a driver is one too. See the [module](super) for what it does when; a session saves
/// and restores itself, and here is what it calls:
///
/// ```
/// # mod flash { include!("doc_flash.rs"); }
/// # use flash::Flash;
/// use lightlayers::checkpoint::{CheckpointError, CheckpointStore, Snapshot, SnapshotMut};
/// use lightlayers::{Model, Network};
///
/// struct Sum;
///
/// impl Model for Sum {
///     const NET: Network = Network::features(2).dense(1).bias(false);
/// }
///
/// let mut store = CheckpointStore::new(Flash::new(), 0..8192, 2)?;
/// assert_eq!(store.newest()?, None);
///
/// let velocities = [0.5, 0.25];
/// let snapshot = Snapshot { weights: &[1.0, -1.0], optimizer_state: &velocities, steps: 7, ..Snapshot::default() };
/// let saved = store.save(Sum, &snapshot)?;
/// assert_eq!((saved.sequence, saved.steps, saved.file.start), (0, 7, 0));
/// assert_eq!(store.newest()?, Some(saved));
///
/// let (mut weights, mut optimizer_state) = ([0.0; 2], [0.0; 2]);
/// let into = SnapshotMut { weights: &mut weights, optimizer_state: &mut optimizer_state, gradients: None };
/// let found = store.load(Sum, into)?.expect("a checkpoint");
/// assert_eq!((found.steps, weights, optimizer_state), (7, [1.0, -1.0], velocities));
///
/// // For inference.
/// let mut weights = [0.0; 2];
/// assert_eq!(store.load_weights(Sum, &mut weights)?, Some(found));
/// assert_eq!(weights, [1.0, -1.0]);
///
/// store.clear()?;
/// assert_eq!(store.newest()?, None);
///
/// // With one slot, a power cut would leave nothing.
/// let error = CheckpointStore::new(store.release(), 0..8192, 1).unwrap_err();
/// assert_eq!(error, CheckpointError::Slots { found: 1 });
/// assert_eq!(error.to_string(), "checkpoint: expected at least 2 slots, found 1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct CheckpointStore<F> {
    slots: Slots<F>,
    /// What the last look at the slots found, as long as nothing has changed since.
    survey: Option<Survey>,
}

/// What is in the slots.
#[derive(Clone, Copy, Debug)]
struct Survey {
    /// The newest whole checkpoint, and its slot.
    newest: Option<(Record, u32)>,
    /// Checkpoints that are newer and damaged.
    damaged: u32,
    /// The slot that the next save must not touch.
    kept: Option<u32>,
    /// Where the next save tries first, and its number.
    next_slot: u32,
    next_sequence: Option<u32>,
    /// The record of a slot could not be read: its number may be higher than all others.
    hides: bool,
}

impl<F: NorFlash> CheckpointStore<F> {
    /// Checkpoints in `slots` slots of equal size, which fill the `range` of the flash memory.
    ///
    /// It reads nothing. Range and slots must stay the same over the life of a product, whatever its network: in other slots nothing
    /// would be found.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Slots`] if there are fewer than two. [`CheckpointError::Misaligned`] if the range does not start at a page, or
    /// its length is not as many whole pages for each slot; [`CheckpointError::TooSmall`] if it has none, and
    /// [`CheckpointError::OutOfBounds`] if it ends behind the end of the flash memory.
    ///
    /// A flash memory with words of more than 256 bytes, or with pages that are not whole words, is an error of the compiler.
    pub fn new(flash: F, range: Range<u32>, slots: u32) -> Result<Self, CheckpointError<F::Error>> {
        Ok(Self {
            slots: Slots::new(flash, range, slots)?,
            survey: None,
        })
    }

    /// The driver.
    pub fn release(self) -> F {
        self.slots.flash
    }

    /// Saves a checkpoint of a graph, a [`Model`](crate::Model) or a `&`[`Plan`](crate::Plan).
    ///
    /// [`Trainer::save`](crate::Trainer::save) calls it. If a slot does not hold what is written, the next one is tried, but never the
    /// one with the newest checkpoint whose save came to its end.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Buffer`] if a slice does not have the length that the network needs, [`CheckpointError::TooSmall`] if the slots
    /// are too small; then nothing was written. [`CheckpointError::Flash`] or [`CheckpointError::Verify`] if no slot took it: what the
    /// last complete save wrote is still there, and the next one tries again. [`CheckpointError::Exhausted`] after 2³² saves, or if
    /// somebody wrote that number.
    pub fn save(
        &mut self,
        graph: impl Graph,
        snapshot: &Snapshot<'_>,
    ) -> Result<Checkpoint, CheckpointError<F::Error>> {
        let state = TrainingState {
            steps: snapshot.steps,
            optimizer_state: snapshot.optimizer_state,
        };
        let gradients = snapshot.gradients;
        let writer = Writer::of_training(graph, snapshot.weights, state, gradients)
            .map_err(CheckpointError::Buffer)?;
        self.slots.check_room(writer.size())?;
        let survey = self.survey()?;
        if survey.hides {
            self.forget_unreadable();
        }
        if survey
            .newest
            .is_some_and(|(_, slot)| slot == survey.next_slot)
        {
            self.forget_weak(&survey);
        }
        let mut result = Err(CheckpointError::Exhausted);
        let (mut following, mut next_sequence) = (survey.next_slot, survey.next_sequence);
        for _ in 0..self.slots.count {
            let slot = following;
            following = self.slots.after(slot);
            if survey.kept == Some(slot) {
                continue;
            }
            // Every attempt has a number of its own: what an attempt leaves behind is never as new as what comes later.
            let Some(sequence) = next_sequence else {
                return Err(CheckpointError::Exhausted);
            };
            next_sequence = sequence.checked_add(1);
            let record = Record {
                sequence,
                dropout_seed: snapshot.dropout_seed,
                steps: snapshot.steps,
                len: writer.size(),
                checksum: writer.checksum(),
                user_data: snapshot.user_data,
            };
            match self.write(slot, &record, &writer) {
                Ok(()) => {
                    self.survey = Some(Survey {
                        newest: Some((record, slot)),
                        damaged: 0,
                        kept: Some(slot),
                        next_slot: following,
                        next_sequence,
                        hides: false,
                    });
                    return Ok(self.checkpoint(&record, slot));
                }
                Err(error) => result = Err(error),
            }
        }
        self.survey = Some(Survey {
            next_sequence,
            hides: false,
            ..survey
        });
        result
    }

    /// Before a save, erases records that cannot be read: one that can be read at a later start might have a higher number than the save,
    /// and win.
    fn forget_unreadable(&mut self) {
        for slot in 0..self.slots.count {
            if self.slots.record(slot).is_err() {
                // A page that cannot be erased does not keep the save from going on.
                let _ = self.slots.erase_record(slot);
            }
        }
    }

    /// Before a save takes the place of the newest checkpoint, because it has no mark.
    ///
    /// The mark may have been there at another start, and then the slot after it was written, perhaps up to a weak word of its record, which
    /// could come back with a number that is given again now. At no time two records are weak.
    fn forget_weak(&mut self, survey: &Survey) {
        let slot = self.slots.after(survey.next_slot);
        if survey.kept != Some(slot) {
            // A page that cannot be erased does not keep the save from going on.
            let _ = self.slots.erase_record(slot);
        }
    }

    #[inline(never)]
    fn write(
        &mut self,
        slot: u32,
        record: &Record,
        writer: &Writer<'_, impl Graph>,
    ) -> Result<(), CheckpointError<F::Error>> {
        let erased = self.slots.erase(slot, record.len);
        erased.map_err(CheckpointError::Flash)?;
        self.slots.write_file(slot, || writer.blocks())?;
        self.slots.write_record(slot, record)
    }

    /// Loads the newest whole checkpoint of a graph; none if none was saved.
    ///
    /// [`Trainer::restore`](crate::Trainer::restore) calls it. The file is read twice, and nothing is copied before all of it was
    /// checked.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Buffer`] if a slice does not have the length that the network needs. [`CheckpointError::Other`] if the
    /// newest checkpoint is of another network or optimizer; an older one is not looked for. [`CheckpointError::Damaged`] if there are
    /// checkpoints, and none of them is whole; [`CheckpointError::Flash`] if none is, and a slot cannot be read. The next save goes on
    /// after `Other` and `Damaged`; after `Flash`, only if the slot can be read by then, or after [`clear`](Self::clear).
    ///
    /// The slices are as they were, unless the memory gave other bytes when it was read the second time: then, and only with `Damaged`
    /// and `Flash`, they may hold anything: initialize them.
    pub fn load(
        &mut self,
        graph: impl Graph,
        snapshot: SnapshotMut<'_>,
    ) -> Result<Option<Checkpoint>, CheckpointError<F::Error>> {
        let trainable = graph.sizes().trainable;
        let (state, gradients) = (snapshot.optimizer_state, snapshot.gradients);
        let whole = state.len().checked_div(trainable).unwrap_or(0) * trainable;
        Error::check_length(Buffer::OptimizerState, whole, state.len())
            .map_err(CheckpointError::Buffer)?;
        if let Some(gradients) = &gradients {
            Error::check_length(Buffer::Gradients, trainable, gradients.len())
                .map_err(CheckpointError::Buffer)?;
        }
        let training = Some(TrainingDestination {
            optimizer_state: state,
            gradients,
        });
        self.load_into(
            graph,
            Destination {
                weights: snapshot.weights,
                training,
            },
        )
    }

    /// Loads the weights alone of the newest whole checkpoint, for inference; none if none was saved.
    ///
    /// What only training reads may differ: the optimizer, frozen layers, dropout's rate, penalties.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_weights(
        &mut self,
        graph: impl Graph,
        weights: &mut [f32],
    ) -> Result<Option<Checkpoint>, CheckpointError<F::Error>> {
        self.load_into(
            graph,
            Destination {
                weights,
                training: None,
            },
        )
    }

    fn load_into(
        &mut self,
        graph: impl Graph,
        mut destination: Destination<'_>,
    ) -> Result<Option<Checkpoint>, CheckpointError<F::Error>> {
        let weights = destination.weights.len();
        Error::check_length(Buffer::Weights, graph.sizes().weights, weights)
            .map_err(CheckpointError::Buffer)?;
        let survey = self.look(|slots, slot, record| {
            for copies in [false, true] {
                let mut reader = BlockReader::new(&graph, &mut destination, copies);
                let mut result = Ok(());
                let is_whole = read_file(slots, slot, record, |block| {
                    if result.is_ok() {
                        result = reader.block(block);
                    }
                })
                .map_err(CheckpointError::Flash)?;
                if !is_whole {
                    return Ok(false);
                }
                result
                    .and_then(|()| reader.finish())
                    .map_err(CheckpointError::Other)?;
            }
            Ok(true)
        })?;
        self.found(&survey)
    }

    /// The newest whole checkpoint, of whatever network; none if none was saved.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Damaged`] and [`CheckpointError::Flash`] as with [`load`](Self::load).
    pub fn newest(&mut self) -> Result<Option<Checkpoint>, CheckpointError<F::Error>> {
        let survey = self.look(is_whole)?;
        self.found(&survey)
    }

    /// Erases all slots: those of a network that is no longer used, or to start afresh.
    ///
    /// The newest checkpoint is the last to go.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Flash`] if a slot cannot be erased; those after it are erased all the same.
    pub fn clear(&mut self) -> Result<(), CheckpointError<F::Error>> {
        let newest = self.survey().ok().and_then(|survey| survey.newest);
        let mut slot = newest.map_or(0, |(_, slot)| self.slots.after(slot));
        let mut result = Ok(());
        self.survey = None;
        for _ in 0..self.slots.count {
            if let Err(error) = self.slots.erase(slot, self.slots.len) {
                result = Err(CheckpointError::Flash(error));
            }
            slot = self.slots.after(slot);
        }
        result
    }

    /// Where the next save goes. Damaged checkpoints are no error there. After a look that could not read all records, another one.
    fn survey(&mut self) -> Result<Survey, CheckpointError<F::Error>> {
        match self.survey {
            Some(survey) if !survey.hides => Ok(survey),
            _ => self.look(is_whole),
        }
    }

    /// Looks for the newest checkpoint that `is_usable`, from the newest record down, and remembers what it found.
    ///
    /// What cannot be read, however often it is tried, is as good as damaged if a usable checkpoint is found: some memories report an error
    /// where a write was cut off. If none is, it is an error, because the number of the newest is not known.
    #[inline(never)]
    fn look(
        &mut self,
        mut is_usable: impl FnMut(
            &mut Slots<F>,
            u32,
            &Record,
        ) -> Result<bool, CheckpointError<F::Error>>,
    ) -> Result<Survey, CheckpointError<F::Error>> {
        self.survey = None;
        let (mut next, mut unreadable) = self.highest(None);
        let mut survey = Survey {
            newest: None,
            damaged: 0,
            kept: None,
            next_slot: next.map_or(0, |(_, slot)| self.slots.after(slot)),
            next_sequence: Some(0),
            hides: unreadable.is_some(),
        };
        if let Some((highest, _)) = next {
            // Slots that cannot be read may have the numbers that would come next.
            let skipped = u32::from(unreadable.is_some()) * self.slots.count;
            survey.next_sequence = highest.sequence.checked_add(1 + skipped);
        }
        while let Some((record, slot)) = next {
            match is_usable(&mut self.slots, slot, &record) {
                Ok(true) => {
                    survey.newest = Some((record, slot));
                    // Where the power failed in the last word of a record, the word may read as if it were complete now, and as if it
                    // were not at the next start. So without a mark a checkpoint is loaded, but the next save keeps the one before,
                    // and takes the place of this one.
                    let older = match self.slots.is_settled(slot) {
                        true => None,
                        false => self.older(&record, slot),
                    };
                    survey.kept = Some(older.unwrap_or(slot));
                    survey.next_slot = match older {
                        Some(_) => slot,
                        None => self.slots.after(slot),
                    };
                    unreadable = None;
                    break;
                }
                Ok(false) => survey.damaged += 1,
                Err(CheckpointError::Flash(error)) => unreadable = Some(error),
                Err(error) => return Err(error),
            }
            next = self.highest(Some((record.sequence, slot))).0;
        }
        if let Some(error) = unreadable {
            return Err(CheckpointError::Flash(error));
        }
        self.survey = Some(survey);
        Ok(survey)
    }

    /// The slot of the newest whole checkpoint before one.
    fn older(&mut self, record: &Record, slot: u32) -> Option<u32> {
        let mut below = (record.sequence, slot);
        while let Some((record, slot)) = self.highest(Some(below)).0 {
            if matches!(is_whole(&mut self.slots, slot, &record), Ok(true)) {
                return Some(slot);
            }
            below = (record.sequence, slot);
        }
        None
    }

    /// The record with the highest number, of those below another, and its slot; and the error of a slot that cannot be read.
    fn highest(&mut self, below: Option<(u32, u32)>) -> (Option<(Record, u32)>, Option<F::Error>) {
        let order = |(record, slot): (Record, u32)| (record.sequence, slot);
        let (mut highest, mut unreadable) = (None, None);
        for slot in 0..self.slots.count {
            match self.slots.record(slot) {
                Ok(Some(record)) => {
                    let found = (record, slot);
                    let is_below = below.is_none_or(|below| order(found) < below);
                    if is_below && highest.is_none_or(|highest| order(highest) < order(found)) {
                        highest = Some(found);
                    }
                }
                Ok(None) => {}
                Err(error) => unreadable = Some(error),
            }
        }
        (highest, unreadable)
    }

    fn found(&self, survey: &Survey) -> Result<Option<Checkpoint>, CheckpointError<F::Error>> {
        match survey.newest {
            Some((record, slot)) => Ok(Some(self.checkpoint(&record, slot))),
            None if survey.damaged > 0 => Err(CheckpointError::Damaged {
                found: survey.damaged,
            }),
            None => Ok(None),
        }
    }

    fn checkpoint(&self, record: &Record, slot: u32) -> Checkpoint {
        let start = self.slots.start(slot);
        Checkpoint {
            sequence: record.sequence,
            steps: record.steps,
            dropout_seed: record.dropout_seed,
            user_data: record.user_data,
            file: start..start + record.len,
        }
    }
}

/// Whether the file of a slot is the one that its record was written for.
fn is_whole<F: NorFlash>(
    slots: &mut Slots<F>,
    slot: u32,
    record: &Record,
) -> Result<bool, CheckpointError<F::Error>> {
    read_file(slots, slot, record, |_| {}).map_err(CheckpointError::Flash)
}

/// Reads a slot's file, `take`s all blocks after its header, and says whether it is the one that its record was written for.
fn read_file<F: NorFlash>(
    slots: &mut Slots<F>,
    slot: u32,
    record: &Record,
    mut take: impl FnMut(&[u8; BLOCK]),
) -> Result<bool, F::Error> {
    let mut header = None;
    let mut digest = CHECKSUM.digest();
    slots.read(slots.start(slot), record.len, |block| {
        if header.is_none() {
            header = Some(file_header(block).ok());
        } else {
            digest.update(block);
            take(block);
        }
    })?;
    Ok(header == Some(Some((record.len, record.checksum))) && digest.finalize() == record.checksum)
}
