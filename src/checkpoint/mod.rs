//! Checkpoints of training in the chip's flash memory, which survive a power cut at any moment.
//!
//! A [`CheckpointStore`] keeps them through the traits of `embedded-storage`, which the drivers of most chips implement.
//! [`Trainer::save`](crate::Trainer::save) writes one, [`Trainer::restore`](crate::Trainer::restore) goes on from the newest to the bits
//! that training would have had without a break:
//!
//! ```
//! use lightlayers::checkpoint::{self, CheckpointError, CheckpointStore, USER_DATA};
//! use lightlayers::loss::SoftmaxCrossEntropy;
//! use lightlayers::optim::Adam;
//! use lightlayers::{Memory, Model, Network, Trainer};
//! # mod flash { include!("doc_flash.rs"); }
//! # use flash::Flash;
//!
//! struct Digits;
//!
//! impl Model for Digits {
//!     const NET: Network = Network::features(64).light_dense(16, 6).relu().dense(10);
//! }
//!
//! const NET: Network = Digits::NET;
//!
//! // The last 64 KB of the flash memory, in four slots. `Flash` is the type of the HAL's driver, `flash` the driver: here with pages of
//! // 4 KB and words of 4 bytes.
//! const SLOTS: u32 = 4;
//! const _: () = assert!(checkpoint::slot_size::<Flash, Adam>(&NET) <= 64 * 1024 / SLOTS);
//!
//! # let mut driver = Flash::new();
//! # for boot in 0..2_u8 {
//! # let flash = &mut driver;
//! # let memory = Memory {
//! #     weights: &mut [0.0; NET.weights()],
//! #     gradients: &mut [0.0; NET.trainable_weights()],
//! #     optimizer_state: &mut [0.0; NET.optimizer_state::<Adam>()],
//! #     workspace: &mut [0.0; NET.training_workspace(1)],
//! # };
//! let mut store = CheckpointStore::new(flash, 192 * 1024..256 * 1024, SLOTS)?;
//! let mut trainer = Trainer::new(Digits, SoftmaxCrossEntropy::new(), Adam::new(), memory)?;
//!
//! // After every start of the chip:
//! let mut epoch = 0;
//! match trainer.restore(&mut store) {
//!     Ok(Some(checkpoint)) => epoch = checkpoint.user_data[0],
//!     // Nothing was saved, or it is damaged, or of the network of other firmware: from the beginning.
//!     Ok(None) | Err(CheckpointError::Damaged { .. } | CheckpointError::Other(_)) => trainer.initialize(1)?,
//!     Err(error) => Err(error)?,
//! }
//! # assert_eq!(epoch, boot);
//!
//! // And after every epoch:
//! epoch += 1;
//! let mut user_data = [0; USER_DATA];
//! user_data[0] = epoch;
//! trainer.save(&mut store, user_data)?;
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is in a checkpoint
//!
//! All that the next steps depend on: the weights, with the moving statistics of batch normalization; the state of the optimizer, and the
//! gradients if it keeps its momentum in them; the steps so far, which Adam, a schedule and dropout count; dropout's seed. What else goes
//! on is the user's: [`USER_DATA`] bytes have room for the number of the epoch, from which [`Epoch::shuffled`](crate::Epoch::shuffled)
//! gets its seed, and for the sample in it. The samples of a [`ReplayBuffer`](crate::dataset::ReplayBuffer) are not in it:
//! after a start it fills anew, and steps that mix old samples in have other bits than without a break.
//!
//! A slot holds a [model file](mod@crate::file). Where the flash memory is mapped, a [`Reader`](crate::file::Reader) reads its weights in
//! place, at [`Checkpoint::file`]; on a host, the bytes of that range are a file that every tool for model files opens.
//!
//! # What is safe
//!
//! The slots are used in turn. A save erases the slot after the newest checkpoint's, writes the file, compares it with what is read back,
//! and does the same with a record of 64 bytes that commits it, and with a mark that says that the record was written to its end. So:
//!
//! - Power may fail at any moment. Until the record is complete, the newest checkpoint is the one before. A word in which the power failed
//!   may even read differently every time: no save touches the newest whole checkpoint whose save came to its end.
//! - A slot that does not hold what was written, or whose driver reports an error, is passed over for the next one; the save is an error
//!   only if none is left. With two slots, that is the first worn page; with more, training goes on.
//! - A checkpoint that was damaged later, by a worn page that forgets, is noticed by its checksum, and the one before is loaded.
//! - A read that fails is tried four times. A record that cannot be read even then counts as cut off, and the next save erases it.
//!
//! Two cases are not safe yet. A read error that outlasts the four tries can make the next save overwrite the newest checkpoint. And
//! after a save that passed over a slot, a power cut within the record in the next slot can leave a weak word: that record may read as
//! whole at a later start, and be taken for newer than a save that has returned `Ok` since.
//!
//! A checksum of 32 bits notices every change within 32 bits in a row, and every change of 2 bits, in files of up to 11 KB of 3 bits; of
//! other damage, one in 2³² passes. What a cut leaves behind meets two of them: the record has one of its own, and the one of the file
//! must be that in the record.
//!
//! # What it costs
//!
//! | | |
//! |---|---|
//! | flash memory | [`slot_size`] for each slot |
//! | a save | every page of the slot that is used erased once, every word written and read once; a checksum, some 50 instructions a byte |
//! | wear | with `n` slots, one erasure of a page every `n` saves: 4 slots of pages that endure 10,000 erasures take 40,000 saves |
//! | a load | the records read, the file read twice |
//! | stack | some 2.1 KB on a Cortex-M0, beside that of the driver; buffers of 256 bytes, whatever the network |
//! | code | on a Cortex-M0 some 9 KB to save alone or to restore alone, 16 KB for both |
//!
//! Slots, rather than a key-value store such as the crate `sequential-storage`: there an item must fit into one page with its header, and
//! lie in a buffer in RAM as a whole, which doubles the memory of the largest thing that training has. A checkpoint is many pages, is
//! always replaced as a whole, and is written here from where it lies.
#![doc = include_str!("format.md")]

mod error;
mod record;
mod slots;
mod store;

use core::ops::Range;

use embedded_storage::nor_flash::NorFlash;

pub use error::CheckpointError;
pub use store::CheckpointStore;

use crate::file;
use crate::network::Network;
use crate::optim::Optimizer;
use slots::Units;

/// The bytes of a checkpoint that are the user's.
pub const USER_DATA: usize = 32;

/// The bytes that a slot must have for the checkpoints of a network with an optimizer `O` in a flash memory `F`, in whole pages.
///
/// More does no harm, and leaves room for a larger network.
///
/// ```
/// # mod flash { include!("doc_flash.rs"); }
/// # use flash::Flash;
/// use lightlayers::Network;
/// use lightlayers::checkpoint::slot_size;
/// use lightlayers::optim::{Adam, Sgd};
///
/// const NET: Network = Network::features(64).dense(16).relu().dense(10);
/// // 1,210 weights, and for each of them two elements of Adam's state, in pages of 4 KB.
/// const _: () = assert!(slot_size::<Flash, Sgd>(&NET) == 2 * 4096);
/// const _: () = assert!(slot_size::<Flash, Adam>(&NET) == 4 * 4096);
/// ```
///
/// # Panics
///
/// If they are 4 GiB or more, or if the words of the flash memory are larger than 256 bytes: in a constant, the compiler's error.
#[track_caller]
pub const fn slot_size<F: NorFlash, O: Optimizer>(net: &Network) -> u32 {
    let state = Some(net.optimizer_state::<O>());
    let gradients = if O::KEEPS_GRADIENTS {
        Some(net.trainable_weights())
    } else {
        None
    };
    let file = file::size_of(net.len(), net.weights(), state, gradients);
    let bytes = Units::<F>::bytes(file).next_multiple_of(Units::<F>::PAGE as u64);
    assert!(bytes <= u32::MAX as u64, "a checkpoint has less than 4 GiB");
    bytes as u32
}

/// What [`CheckpointStore::save`] saves.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Snapshot<'a> {
    /// [`Network::weights`] elements.
    pub weights: &'a [f32],
    /// [`Network::optimizer_state`] elements.
    pub optimizer_state: &'a [f32],
    /// The gradients, [`Network::trainable_weights`] elements, of an optimizer that [goes on from them](Optimizer::KEEPS_GRADIENTS).
    pub gradients: Option<&'a [f32]>,
    /// The optimizer steps so far.
    pub steps: u32,
    /// The seed of dropout's random numbers.
    pub dropout_seed: u64,
    /// Whatever the user wants to find again.
    pub user_data: [u8; USER_DATA],
}

/// Where [`CheckpointStore::load`] writes to; the lengths are those of [`Snapshot`].
#[derive(Debug, Default)]
pub struct SnapshotMut<'a> {
    /// The weights.
    pub weights: &'a mut [f32],
    /// The state of the optimizer.
    pub optimizer_state: &'a mut [f32],
    /// The gradients, of an optimizer that [goes on from them](Optimizer::KEEPS_GRADIENTS).
    pub gradients: Option<&'a mut [f32]>,
}

/// A checkpoint that was saved or found.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Checkpoint {
    /// Its number: every save has a higher one than those before it. Numbers are left out where a save tried more than one slot.
    pub sequence: u32,
    /// The optimizer steps so far.
    pub steps: u32,
    /// The seed of dropout's random numbers.
    pub dropout_seed: u64,
    /// What the user gave.
    pub user_data: [u8; USER_DATA],
    /// Where its model file lies, in offsets of the flash memory. The next saves overwrite it in their turn.
    pub file: Range<u32>,
}
