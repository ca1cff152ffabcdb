//! Reading a model file where it lies.

use bytemuck::AnyBitPattern;

use super::error::{FileError, SectionKind};
use super::table::{ENTRY, Entry, Extent, Head, Table, u16_at, u32_at};
use super::{BLOCK, CHECKSUM, MAGIC, VERSION, rebuild};
use crate::network::{MAX_LAYERS, Network};
use crate::optim::Optimizer;
use crate::plan::Graph;
use crate::quant::check_heads;

/// A model file in bytes that lie elsewhere, in flash memory for example.
///
/// ```
/// use lightlayers::file::{self, Aligned, Reader, Writer};
/// use lightlayers::{Model, Network};
///
/// struct Sum;
/// struct Other;
///
/// impl Model for Sum {
///     const NET: Network = Network::features(2).dense(1).bias(false);
/// }
/// impl Model for Other {
///     const NET: Network = Network::features(2).dense(3);
/// }
///
/// let mut flash = Aligned([0; file::size(&Sum::NET, None)]);
/// for (place, block) in flash.0.chunks_exact_mut(16).zip(Writer::new(Sum, &[1.0, 1.0])?.blocks()) {
///     place.copy_from_slice(&block);
/// }
///
/// let file = Reader::new(&flash.0)?;
/// assert_eq!(file.weights(Sum)?, [1.0, 1.0]);
/// assert_eq!(
///     file.weights(Other).unwrap_err().to_string(),
///     "model file: layer 0 (dense): expected bias yes, found no"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    head: Head,
    entries: &'a [Entry],
    /// The section that `weights` are of.
    weights_kind: SectionKind,
    weights: &'a [u8],
    optimizer: Option<(u32, &'a [u8])>,
    gradients: Option<&'a [u8]>,
}

/// The state of an optimizer after some steps: with the weights, what training needs to go on.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct TrainingState<'a> {
    /// The steps so far, for [`Trainer::with_steps`](crate::Trainer::with_steps).
    pub steps: u32,
    /// The optimizer's buffer, for [`Memory::optimizer_state`](crate::Memory::optimizer_state).
    pub optimizer_state: &'a [f32],
}

impl<'a> Reader<'a> {
    /// Checks the header, the checksum and every length.
    ///
    /// Reads all bytes once, some 50 instructions for each of them on a microcontroller.
    ///
    /// # Errors
    ///
    /// A [`FileError`] that says what is not as the format asks for.
    pub const fn new(bytes: &'a [u8]) -> Result<Self, FileError> {
        let Some((header, content)) = bytes.split_first_chunk::<BLOCK>() else {
            return Err(FileError::Length {
                expected: BLOCK,
                found: bytes.len(),
            });
        };
        let (expected, checksum) = match file_header(header) {
            Ok((len, checksum)) => (len as usize, checksum),
            Err(error) => return Err(error),
        };
        if expected != bytes.len() {
            return Err(FileError::Length {
                expected,
                found: bytes.len(),
            });
        }
        if !expected.is_multiple_of(BLOCK) {
            return Err(section(None, "a length in blocks of", BLOCK, expected));
        }
        let (expected, found) = (checksum, CHECKSUM.checksum(content));
        if expected != found {
            return Err(FileError::Checksum { expected, found });
        }
        Self::of_sections(content)
    }

    const fn of_sections(content: &'a [u8]) -> Result<Self, FileError> {
        let mut sections = Sections { rest: content };
        let (mut layers, mut weights, mut quantized) = (None, None, None);
        let (mut optimizer, mut gradients) = (None, None);
        loop {
            let (kind, required, data) = match sections.next() {
                Ok(Some(section)) => section,
                Ok(None) => break,
                Err(error) => return Err(error),
            };
            let place = if kind.is(SectionKind::LAYERS) {
                &mut layers
            } else if kind.is(SectionKind::WEIGHTS) {
                &mut weights
            } else if kind.is(SectionKind::QUANTIZED_WEIGHTS) {
                &mut quantized
            } else if kind.is(SectionKind::OPTIMIZER) {
                &mut optimizer
            } else if kind.is(SectionKind::GRADIENTS) {
                &mut gradients
            } else if required {
                return Err(FileError::Unknown { section: kind });
            } else {
                continue;
            };
            if place.is_some() {
                return Err(FileError::Twice { section: kind });
            }
            *place = Some(data);
        }
        let (head, entries) = match layers {
            Some(data) => match table(data) {
                Ok(table) => table,
                Err(error) => return Err(error),
            },
            None => {
                return Err(FileError::Missing {
                    section: SectionKind::LAYERS,
                });
            }
        };
        let (weights_kind, weights, expected) = match (weights, quantized) {
            (Some(data), None) => {
                let expected = head.weights.saturating_mul(4);
                (SectionKind::WEIGHTS, data, expected)
            }
            (None, Some(data)) => {
                let expected = data.len().next_multiple_of(4);
                (SectionKind::QUANTIZED_WEIGHTS, data, expected)
            }
            (Some(_), Some(_)) => {
                return Err(together(SectionKind::WEIGHTS));
            }
            (None, None) => return Err(FileError::NoWeights),
        };
        if weights.len() != expected {
            return Err(section(
                Some(weights_kind),
                "bytes",
                expected,
                weights.len(),
            ));
        }
        if quantized.is_some() && optimizer.is_some() {
            return Err(together(SectionKind::OPTIMIZER));
        }
        if quantized.is_some() && gradients.is_some() {
            return Err(together(SectionKind::GRADIENTS));
        }
        let optimizer = match optimizer {
            Some(data) => match optimizer_state(data) {
                Ok(state) => Some(state),
                Err(error) => return Err(error),
            },
            None => None,
        };
        Ok(Self {
            head,
            entries,
            weights_kind,
            weights,
            optimizer,
            gradients,
        })
    }

    /// The weights, if the file is of this graph's network: a [`Model`](crate::Model), or a `&`[`Plan`](crate::Plan).
    ///
    /// Nothing is copied. What only training reads may differ: frozen layers, initializers, momentum, dropout's rate, penalties.
    ///
    /// # Errors
    ///
    /// [`FileError::Missing`] if the file is of a quantized network. [`FileError::Differs`] says what differs first.
    /// [`FileError::Alignment`] or [`FileError::BigEndian`] if the numbers cannot be read where they lie.
    pub fn weights(&self, graph: impl Graph) -> Result<&'a [f32], FileError> {
        let table = Table::of_graph(&graph);
        in_place(self.weight_bytes(&table, SectionKind::WEIGHTS)?)
    }

    /// The weights of a quantized network, for [`Int8Inference`](crate::quant::Int8Inference), if the file is of this graph's.
    ///
    /// Nothing is copied. Scales, exponents and zero points are ones that [`quantize`](crate::quant::quantize) writes; of the other words
    /// nothing is known but the checksum.
    ///
    /// ```
    /// use lightlayers::file::{Aligned, Reader};
    /// use lightlayers::quant::Int8Inference;
    /// use lightlayers::{Model, Network};
    ///
    /// struct Xor;
    ///
    /// impl Model for Xor {
    ///     const NET: Network = Network::features(2).dense(2).relu().dense(1);
    /// }
    ///
    /// static FILE: &Aligned<[u8]> = &Aligned(*include_bytes!("xor-int8.model"));
    ///
    /// let weights = Reader::new(&FILE.0)?.quantized_weights(Xor)?;
    /// let mut workspace = [0; Xor::NET.quantized_workspace()];
    /// let mut inference = Int8Inference::new(Xor, weights, &mut workspace)?;
    /// let one = inference.input_quantization().quantize(1.0);
    /// let output = inference.output_quantization();
    /// assert!((output.dequantize(inference.run(&[one, one])?[0]) - 0.0).abs() < 0.02);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`FileError::Missing`] if the weights are not quantized, [`FileError::Section`] if they are not as many as those of the graph's network,
    /// [`FileError::Tensor`] if a scale, an exponent or a zero point is none; others as [`weights`](Self::weights).
    pub fn quantized_weights(&self, graph: impl Graph) -> Result<&'a [u32], FileError> {
        let table = Table::of_graph(&graph);
        let words = in_place(self.weight_bytes(&table, SectionKind::QUANTIZED_WEIGHTS)?)?;
        match check_heads(graph.layers(), words) {
            Ok(()) => Ok(words),
            Err(head) => Err(FileError::of_head(head)),
        }
    }

    /// The section of the weights: [`SectionKind::WEIGHTS`], or [`SectionKind::QUANTIZED_WEIGHTS`] of a quantized network.
    pub const fn weights_kind(&self) -> SectionKind {
        self.weights_kind
    }

    /// The bytes of the weights, if they are of this kind, and the file of this table's network.
    pub(super) const fn weight_bytes(
        &self,
        table: &Table<'_>,
        kind: SectionKind,
    ) -> Result<&'a [u8], FileError> {
        if !self.weights_kind.is(kind) {
            return Err(FileError::Missing { section: kind });
        }
        if let Err(error) = table.compare(&self.head, self.entries, Extent::Weights) {
            return Err(error);
        }
        let (what, expected) = table.numbers(kind);
        let found = self.weights.len() / 4;
        if found != expected {
            return Err(section(Some(kind), what, expected, found));
        }
        Ok(self.weights)
    }

    /// The state of the optimizer, if the file is of this graph's network with the same layers frozen; none if it was written without.
    ///
    /// Which optimizer it is of the file does not say, only how much state there is.
    ///
    /// ```
    /// use lightlayers::file::{self, Aligned, Reader, TrainingState, Writer};
    /// use lightlayers::optim::Momentum;
    /// use lightlayers::{Model, Network};
    ///
    /// struct Sum;
    ///
    /// impl Model for Sum {
    ///     const NET: Network = Network::features(2).dense(1).bias(false);
    /// }
    ///
    /// let state = TrainingState { steps: 7, optimizer_state: &[0.5, -0.5] };
    /// let writer = Writer::new(Sum, &[1.0, 1.0])?.with_state(state)?;
    ///
    /// let mut flash = Aligned([0; file::size(&Sum::NET, Some(2))]);
    /// for (place, block) in flash.0.chunks_exact_mut(16).zip(writer.blocks()) {
    ///     place.copy_from_slice(&block);
    /// }
    /// let file = Reader::new(&flash.0)?;
    /// assert_eq!(file.training_state::<Momentum>(Sum)?, Some(state));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`weights`](Self::weights), and [`FileError::Section`] if the state is not as long as that of `O`.
    pub fn training_state<O: Optimizer>(
        &self,
        graph: impl Graph,
    ) -> Result<Option<TrainingState<'a>>, FileError> {
        Table::of_graph(&graph).compare(&self.head, self.entries, Extent::Training)?;
        let Some((steps, bytes)) = self.optimizer else {
            return Ok(None);
        };
        let expected = O::STATE.saturating_mul(graph.sizes().trainable);
        let found = bytes.len() / size_of::<f32>();
        if found != expected {
            let kind = Some(SectionKind::OPTIMIZER);
            return Err(section(kind, "elements of state", expected, found));
        }
        Ok(Some(TrainingState {
            steps,
            optimizer_state: in_place(bytes)?,
        }))
    }

    /// The gradients of the last step, if the file is of this graph's network with the same layers frozen; none if it was written without.
    ///
    /// To resume, [`HeavyBall`](crate::optim::HeavyBall) wants a copy of them in
    /// [`Trainer::gradients_mut`](crate::Trainer::gradients_mut).
    ///
    /// # Errors
    ///
    /// As [`weights`](Self::weights), and [`FileError::Section`] if they are not as many as the weights that learn.
    pub fn gradients(&self, graph: impl Graph) -> Result<Option<&'a [f32]>, FileError> {
        Table::of_graph(&graph).compare(&self.head, self.entries, Extent::Training)?;
        let Some(bytes) = self.gradients else {
            return Ok(None);
        };
        let expected = size_of::<f32>() * graph.sizes().trainable;
        if bytes.len() != expected {
            let kind = Some(SectionKind::GRADIENTS);
            return Err(section(kind, "bytes", expected, bytes.len()));
        }
        in_place(bytes).map(Some)
    }

    /// The steps of training, and the elements of the optimizer's state, if the file has one.
    pub const fn optimizer(&self) -> Option<(u32, usize)> {
        match self.optimizer {
            Some((steps, bytes)) => Some((steps, bytes.len() / size_of::<f32>())),
            None => None,
        }
    }

    /// The network, for a [`Plan`](crate::Plan) to run it.
    ///
    /// It is built by the checked calls of [`Network`], on the stack as every network that is built at run time.
    ///
    /// # Errors
    ///
    /// A [`FileError`] that says which layer cannot be built. [`FileError::Custom`] for a layer of the user's own.
    pub fn network(&self) -> Result<Network, FileError> {
        rebuild::network(&self.head, self.entries)
    }
}

/// Cuts sections off.
struct Sections<'a> {
    rest: &'a [u8],
}

type Section<'a> = (SectionKind, bool, &'a [u8]);

impl<'a> Sections<'a> {
    const fn next(&mut self) -> Result<Option<Section<'a>>, FileError> {
        let Some((header, rest)) = self.rest.split_first_chunk::<BLOCK>() else {
            return Ok(None);
        };
        let (kind, required, len) = match section_header(header) {
            Ok(header) => header,
            Err(error) => return Err(error),
        };
        // What fills the last block up belongs to no section.
        if let Some((data, _)) = rest.split_at_checked(len)
            && let Some((_, rest)) = rest.split_at_checked(len.next_multiple_of(BLOCK))
        {
            self.rest = rest;
            return Ok(Some((kind, required, data)));
        }
        Err(section(Some(kind), "bytes", len, rest.len()))
    }
}

/// The length and the checksum that the header of a file gives.
pub(crate) const fn file_header(header: &[u8; BLOCK]) -> Result<(u32, u32), FileError> {
    let [m0, m1, m2, m3, ..] = *header;
    let magic = [m0, m1, m2, m3];
    if u32::from_le_bytes(magic) != u32::from_le_bytes(MAGIC) {
        return Err(FileError::Magic { found: magic });
    }
    let version = u16_at(header, 4);
    if version != VERSION {
        return Err(FileError::Version { found: version });
    }
    if u16_at(header, 6) != 0 {
        let found = u16_at(header, 6) as usize;
        return Err(section(None, "bytes 6 and 7", 0, found));
    }
    Ok((u32_at(header, 8), u32_at(header, 12)))
}

/// The kind of a section, whether a reader must know it, and its length.
pub(super) const fn section_header(
    header: &[u8; BLOCK],
) -> Result<(SectionKind, bool, usize), FileError> {
    let [k0, k1, k2, k3, ..] = *header;
    let kind = SectionKind([k0, k1, k2, k3]);
    let required = u32_at(header, 8);
    if required > 1 {
        let found = required as usize;
        return Err(section(Some(kind), "bytes 8 to 11 at most", 1, found));
    }
    if u32_at(header, 12) != 0 {
        let found = u32_at(header, 12) as usize;
        return Err(section(Some(kind), "bytes 12 to 15", 0, found));
    }
    Ok((kind, required == 1, u32_at(header, 4) as usize))
}

pub(super) const fn section(
    section: Option<SectionKind>,
    what: &'static str,
    expected: usize,
    found: usize,
) -> FileError {
    FileError::Section {
        section,
        what,
        expected,
        found,
    }
}

/// A section that stands beside quantized weights.
const fn together(section: SectionKind) -> FileError {
    FileError::Together {
        section,
        other: SectionKind::QUANTIZED_WEIGHTS,
    }
}

/// The head and the entries of a layer table.
const fn table(data: &[u8]) -> Result<(Head, &[Entry]), FileError> {
    let Some((block, entries)) = data.split_first_chunk::<BLOCK>() else {
        let kind = Some(SectionKind::LAYERS);
        return Err(section(kind, "bytes", BLOCK, data.len()));
    };
    let head = match table_head(block, entries.len()) {
        Ok(head) => head,
        Err(error) => return Err(error),
    };
    Ok((head, entries.as_chunks::<ENTRY>().0))
}

/// The head of a layer table, with entries of as many bytes.
pub(super) const fn table_head(block: &[u8; BLOCK], entries: usize) -> Result<Head, FileError> {
    let kind = Some(SectionKind::LAYERS);
    if block[6] > 1 {
        return Err(section(kind, "byte 6 at most", 1, block[6] as usize));
    }
    let head = Head::read(block);
    if head.layers == 0 || head.layers > MAX_LAYERS {
        return Err(section(kind, "layers, 1 to", MAX_LAYERS, head.layers));
    }
    let bytes = ENTRY * head.layers;
    if entries != bytes {
        return Err(section(kind, "bytes of layers", bytes, entries));
    }
    Ok(head)
}

/// The steps and the buffer of an optimizer.
const fn optimizer_state(data: &[u8]) -> Result<(u32, &[u8]), FileError> {
    let kind = Some(SectionKind::OPTIMIZER);
    let Some((head, state)) = data.split_first_chunk::<BLOCK>() else {
        return Err(section(kind, "bytes", BLOCK, data.len()));
    };
    if !state.len().is_multiple_of(size_of::<f32>()) {
        let whole = state.len().next_multiple_of(size_of::<f32>());
        return Err(section(kind, "bytes of state", whole, state.len()));
    }
    Ok((u32_at(head, 0), state))
}

/// The numbers where they lie.
fn in_place<T: AnyBitPattern>(bytes: &[u8]) -> Result<&[T], FileError> {
    if cfg!(target_endian = "big") {
        return Err(FileError::BigEndian);
    }
    bytemuck::try_cast_slice(bytes).map_err(|_| FileError::Alignment {
        expected: align_of::<T>(),
        found: bytes.as_ptr().addr() % align_of::<T>(),
    })
}
