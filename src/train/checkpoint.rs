//! Saving a session in flash memory, and going on from there.

use embedded_storage::nor_flash::NorFlash;

use super::Trainer;
use crate::checkpoint::{
    Checkpoint, CheckpointError, CheckpointStore, Snapshot, SnapshotMut, USER_DATA,
};
use crate::layers::Kinds;
use crate::loss::Loss;
use crate::network::Layer;
use crate::optim::Optimizer;
use crate::plan::{BackwardSlot, ForwardSlot, Graph, Sizes, sealed};
use crate::quant::Rounding;

impl<G: Graph, L: Loss, O: Optimizer, R: Rounding> Trainer<'_, G, L, O, R> {
    /// Saves all that the next steps depend on, and what the user wants to find again with it, in flash memory.
    ///
    /// See the module [`checkpoint`](crate::checkpoint) for an example, and for what it costs.
    ///
    /// # Errors
    ///
    /// As [`CheckpointStore::save`].
    pub fn save<F: NorFlash>(
        &self,
        store: &mut CheckpointStore<F>,
        user_data: [u8; USER_DATA],
    ) -> Result<Checkpoint, CheckpointError<F::Error>> {
        let snapshot = Snapshot {
            weights: self.weights,
            optimizer_state: self.optimizer_state,
            gradients: O::KEEPS_GRADIENTS.then_some(&*self.gradients),
            steps: self.step,
            dropout_seed: self.dropout_seed,
            user_data,
        };
        store.save(Lent(&self.graph), &snapshot)
    }

    /// Goes on from the newest checkpoint: with the same settings and data, the next steps have the bits that they would have had
    /// without a break. None if there is none; then nothing has changed.
    ///
    /// The seed of dropout becomes the saved one. Loss, optimizer and rounding are those of this session; a checkpoint only knows how much
    /// state its optimizer has.
    ///
    /// # Errors
    ///
    /// As [`CheckpointStore::load`]. After [`CheckpointError::Damaged`] and [`CheckpointError::Flash`] the weights may hold anything:
    /// [`initialize`](Self::initialize). After the others they are as they were.
    pub fn restore<F: NorFlash>(
        &mut self,
        store: &mut CheckpointStore<F>,
    ) -> Result<Option<Checkpoint>, CheckpointError<F::Error>> {
        let snapshot = SnapshotMut {
            weights: self.weights,
            optimizer_state: self.optimizer_state,
            gradients: O::KEEPS_GRADIENTS.then_some(&mut *self.gradients),
        };
        let found = store.load(Lent(&self.graph), snapshot)?;
        if let Some(checkpoint) = &found {
            self.step = checkpoint.steps;
            self.dropout_seed = checkpoint.dropout_seed;
        }
        Ok(found)
    }
}

/// A graph that belongs to a session.
struct Lent<'a, G>(&'a G);

impl<G: Graph> sealed::Graph for Lent<'_, G> {
    const USES: Kinds = G::USES;
    const PENALIZES: bool = G::PENALIZES;
    const IS_CHAIN: bool = G::IS_CHAIN;
    const FREEZES: bool = G::FREEZES;
    const DRAWS_NORMAL: bool = G::DRAWS_NORMAL;

    fn layers(&self) -> &[Layer] {
        self.0.layers()
    }

    fn inference_slots(&self) -> &[ForwardSlot] {
        self.0.inference_slots()
    }

    fn quantized_slots(&self) -> &[ForwardSlot] {
        self.0.quantized_slots()
    }

    fn training_slots(&self) -> &[ForwardSlot] {
        self.0.training_slots()
    }

    fn backward_slots(&self) -> &[BackwardSlot] {
        self.0.backward_slots()
    }

    fn sizes(&self) -> Sizes {
        self.0.sizes()
    }
}
