//! Writing a model file.

use core::iter::once;

use super::error::SectionKind;
use super::reader::TrainingState;
use super::table::{ENTRY, Table};
use super::{BLOCK, CHECKSUM, MAGIC, VERSION, size_of};
use crate::error::{Buffer, Error};
use crate::infer::check_layers;
use crate::plan::Graph;
use crate::quant::{BadHead, check_heads, check_kinds};

/// Gives the bytes of a model file, 16 at a time.
///
/// It holds nothing but references, so a microcontroller can write what it learned into its flash memory; the size is
/// [`size`](super::size).
///
/// ```
/// use lightlayers::file::{self, Writer};
/// use lightlayers::{Model, Network};
///
/// struct Sum;
///
/// impl Model for Sum {
///     const NET: Network = Network::features(2).dense(1).bias(false);
/// }
///
/// let writer = Writer::new(Sum, &[1.0, 1.0])?;
/// assert_eq!(16 * writer.blocks().count(), file::size(&Sum::NET, None));
/// # Ok::<(), lightlayers::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a, G> {
    graph: G,
    weights_kind: SectionKind,
    /// The bits of the weights.
    weights: &'a [u32],
    state: Option<TrainingState<'a>>,
    gradients: Option<&'a [f32]>,
    size: u32,
    checksum: u32,
}

impl<'a, G: Graph> Writer<'a, G> {
    /// A file of a graph, a [`Model`](crate::Model) or a `&`[`Plan`](crate::Plan), and its weights.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if there are not as many weights as the network has; [`Error::OutOfRange`] if the file would have 4 GiB or more.
    pub fn new(graph: G, weights: &'a [f32]) -> Result<Self, Error> {
        Self::of_weights(graph, weights)?.sealed()
    }

    /// A file of all that training goes on from. As [`new`](Self::new) and the calls after it, but that the checksum, which reads every
    /// byte, is computed once.
    #[cfg(feature = "embedded-storage")]
    pub(crate) fn of_training(
        graph: G,
        weights: &'a [f32],
        state: TrainingState<'a>,
        gradients: Option<&'a [f32]>,
    ) -> Result<Self, Error> {
        let mut writer = Self::of_weights(graph, weights)?;
        writer.add_state(state)?;
        if let Some(gradients) = gradients {
            writer.add_gradients(gradients)?;
        }
        writer.sealed()
    }

    fn of_weights(graph: G, weights: &'a [f32]) -> Result<Self, Error> {
        check_layers(&graph)?;
        Error::check_length(Buffer::Weights, graph.sizes().weights, weights.len())?;
        let weights = bytemuck::must_cast_slice(weights);
        Ok(Self::of_words(graph, SectionKind::WEIGHTS, weights))
    }

    /// A file of a quantized network: a graph, and what [`quantize`](crate::quant::quantize) made of its weights.
    ///
    /// ```
    /// use lightlayers::file::{self, Writer};
    /// use lightlayers::quant::{Quantization, quantize};
    /// use lightlayers::{Model, Network};
    ///
    /// struct Sum;
    ///
    /// impl Model for Sum {
    ///     const NET: Network = Network::features(2).dense(1).bias(false);
    /// }
    ///
    /// let quantizations = [Quantization::PIXELS, Quantization::of_range(0.0, 2.0)?];
    /// let mut words = [0; Sum::NET.quantized_weights()];
    /// quantize(Sum, &[1.0, 1.0], &quantizations, &mut words)?;
    ///
    /// let writer = Writer::quantized(Sum, &words)?;
    /// assert_eq!(16 * writer.blocks().count(), file::quantized_size(&Sum::NET));
    /// # Ok::<(), lightlayers::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Unquantizable`] if the network has a layer that cannot be quantized, [`Error::Length`] if there are not as many words as the
    /// network has. [`Error::OutOfRange`] if a scale, an exponent or a zero point is none that `quantize` writes; if the file would have 4 GiB
    /// or more; on a big-endian target, where the words are others.
    pub fn quantized(graph: G, words: &'a [u32]) -> Result<Self, Error> {
        check_layers(&graph)?;
        check_kinds(&graph)?;
        let expected = graph.sizes().quantized_weights;
        Error::check_length(Buffer::QuantizedWeights, expected, words.len())?;
        if cfg!(target_endian = "big") {
            return Err(Error::OutOfRange {
                what: "quantized weights for a file",
                range: "little-endian memory",
            });
        }
        if let Err(BadHead { what, range, .. }) = check_heads(graph.layers(), words) {
            return Err(Error::OutOfRange { what, range });
        }
        Self::of_words(graph, SectionKind::QUANTIZED_WEIGHTS, words).sealed()
    }

    fn of_words(graph: G, weights_kind: SectionKind, weights: &'a [u32]) -> Self {
        Self {
            graph,
            weights_kind,
            weights,
            state: None,
            gradients: None,
            size: 0,
            checksum: 0,
        }
    }

    /// With the state of the optimizer, to go on with training.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if the state is not some elements for each of the weights that learn; [`Error::OutOfRange`] if the weights are
    /// quantized, and as with [`new`](Self::new).
    pub fn with_state(mut self, state: TrainingState<'a>) -> Result<Self, Error> {
        self.add_state(state)?;
        self.sealed()
    }

    fn add_state(&mut self, state: TrainingState<'a>) -> Result<(), Error> {
        self.check_learns("the state of an optimizer")?;
        let (trainable, found) = (self.graph.sizes().trainable, state.optimizer_state.len());
        let whole = found.checked_div(trainable).unwrap_or(0) * trainable;
        Error::check_length(Buffer::OptimizerState, whole, found)?;
        self.state = Some(state);
        Ok(())
    }

    /// With the gradients of the last step, for an optimizer that keeps its momentum in them:
    /// [`HeavyBall`](crate::optim::HeavyBall).
    ///
    /// ```
    /// use lightlayers::file::{self, Aligned, Reader, Writer};
    /// use lightlayers::{Model, Network};
    ///
    /// struct Sum;
    ///
    /// impl Model for Sum {
    ///     const NET: Network = Network::features(2).dense(1).bias(false);
    /// }
    ///
    /// let writer = Writer::new(Sum, &[1.0, 1.0])?.with_gradients(&[0.5, -0.5])?;
    /// // A header of 16 bytes, and two numbers in a block of 16.
    /// let mut bytes = Aligned([0; file::size(&Sum::NET, None) + 32]);
    /// for (place, block) in bytes.0.chunks_exact_mut(16).zip(writer.blocks()) {
    ///     place.copy_from_slice(&block);
    /// }
    /// assert_eq!(Reader::new(&bytes.0)?.gradients(Sum)?, Some(&[0.5, -0.5][..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if they are not as many as the weights that learn; else as [`with_state`](Self::with_state).
    pub fn with_gradients(mut self, gradients: &'a [f32]) -> Result<Self, Error> {
        self.add_gradients(gradients)?;
        self.sealed()
    }

    fn add_gradients(&mut self, gradients: &'a [f32]) -> Result<(), Error> {
        self.check_learns("gradients")?;
        let trainable = self.graph.sizes().trainable;
        Error::check_length(Buffer::Gradients, trainable, gradients.len())?;
        self.gradients = Some(gradients);
        Ok(())
    }

    fn check_learns(&self, what: &'static str) -> Result<(), Error> {
        if self.weights_kind == SectionKind::WEIGHTS {
            return Ok(());
        }
        Err(Error::OutOfRange {
            what,
            range: "a file whose weights are f32",
        })
    }

    /// The bytes of the file.
    #[cfg(feature = "embedded-storage")]
    pub(crate) fn size(&self) -> u32 {
        self.size
    }

    /// The CRC-32 in the header.
    #[cfg(feature = "embedded-storage")]
    pub(crate) fn checksum(&self) -> u32 {
        self.checksum
    }

    /// The same with its size and its checksum.
    fn sealed(mut self) -> Result<Self, Error> {
        let state = self.state.map(|state| state.optimizer_state.len());
        let gradients = self.gradients.map(<[f32]>::len);
        let layers = self.graph.layers().len();
        let size = size_of(layers, self.weights.len(), state, gradients);
        self.size = u32::try_from(size).map_err(|_| Error::OutOfRange {
            what: "the size of a model file",
            range: "0..4 GiB",
        })?;
        let mut digest = CHECKSUM.digest();
        for block in self.sections() {
            digest.update(&block);
        }
        self.checksum = digest.finalize();
        Ok(self)
    }

    /// The file from its start to its end.
    pub fn blocks(&self) -> impl Iterator<Item = [u8; BLOCK]> {
        let header = block([
            MAGIC,
            u32::from(VERSION).to_le_bytes(),
            self.size.to_le_bytes(),
            self.checksum.to_le_bytes(),
        ]);
        once(header).chain(self.sections())
    }

    fn sections(&self) -> impl Iterator<Item = [u8; BLOCK]> {
        let table = Table::of_graph(&self.graph);
        let table_len = BLOCK + ENTRY * self.graph.layers().len();
        let layers = once(section(SectionKind::LAYERS, table_len, true))
            .chain(once(table.head()))
            .chain(table.entries().flat_map(|entry| {
                let mut halves = [[0; BLOCK]; ENTRY / BLOCK];
                halves.as_flattened_mut().copy_from_slice(&entry);
                halves
            }));
        let weights_len = size_of_val(self.weights);
        let weights =
            once(section(self.weights_kind, weights_len, true)).chain(numbers(self.weights));
        let optimizer = self.state.into_iter().flat_map(|state| {
            let len = BLOCK + size_of_val(state.optimizer_state);
            let head = block([state.steps.to_le_bytes(), [0; 4], [0; 4], [0; 4]]);
            once(section(SectionKind::OPTIMIZER, len, false))
                .chain(once(head))
                .chain(numbers(bytemuck::must_cast_slice(state.optimizer_state)))
        });
        let gradients = self.gradients.into_iter().flat_map(|gradients| {
            let len = size_of_val(gradients);
            once(section(SectionKind::GRADIENTS, len, false))
                .chain(numbers(bytemuck::must_cast_slice(gradients)))
        });
        layers.chain(weights).chain(optimizer).chain(gradients)
    }
}

fn block(fields: [[u8; 4]; BLOCK / 4]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block.as_chunks_mut().0.copy_from_slice(&fields);
    block
}

/// The header of a section.
fn section(kind: SectionKind, len: usize, required: bool) -> [u8; BLOCK] {
    let len = len as u32;
    block([
        kind.0,
        len.to_le_bytes(),
        u32::from(required).to_le_bytes(),
        [0; 4],
    ])
}

fn numbers(values: &[u32]) -> impl Iterator<Item = [u8; BLOCK]> {
    values.chunks(BLOCK / 4).map(|values| {
        let mut fields = [[0; 4]; BLOCK / 4];
        for (field, value) in fields.iter_mut().zip(values) {
            *field = value.to_le_bytes();
        }
        block(fields)
    })
}
