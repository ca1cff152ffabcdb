//! The model file: a network and its weights, from the host that trained it to the chip that runs it.
//!
//! # Writing
//!
//! A [`Writer`] gives blocks of 16 bytes, to a file, to a flash memory, to a serial line:
//!
//! ```
//! use lightlayers::file::Writer;
//! use lightlayers::{Model, Network};
//!
//! struct Xor;
//!
//! impl Model for Xor {
//!     const NET: Network = Network::features(2).dense(2).relu().dense(1);
//! }
//!
//! let weights = [1.0, 1.0, 1.0, 1.0, 0.0, -1.0, 1.0, -2.0, 0.0];
//! let bytes: Vec<u8> = Writer::new(Xor, &weights)?.blocks().flatten().collect();
//! # let path = std::env::temp_dir().join("xor.model");
//! std::fs::write(path, &bytes)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # In firmware
//!
//! One line puts the weights into flash, aligned, without the rest of the file. The compiler checks the file, and refuses it with the
//! layer and the setting that differ if it is not of this network:
//!
//! ```
//! use lightlayers::{Inference, Model, Network, file};
//!
//! struct Xor;
//!
//! impl Model for Xor {
//!     const NET: Network = Network::features(2).dense(2).relu().dense(1);
//! }
//!
//! static WEIGHTS: [f32; Xor::NET.weights()] = file::weights(&Xor::NET, include_bytes!("xor.model"));
//!
//! let mut workspace = [0.0; Xor::NET.inference_workspace()];
//! let mut inference = Inference::new(Xor, &WEIGHTS, &mut workspace)?;
//! assert_eq!(inference.run(&[1.0, 0.0])?, [1.0]);
//! # Ok::<(), lightlayers::Error>(())
//! ```
//!
//! # A file that arrives at run time
//!
//! A [`Reader`] checks the bytes and lends the weights from where they lie, without a copy. They must lie at a multiple of 4 bytes, as
//! flash memory mapped for reading does; [`Aligned`] sees to it for bytes that are included:
//!
//! ```
//! use lightlayers::file::{Aligned, Reader};
//! use lightlayers::{Inference, Plan};
//!
//! static FILE: &Aligned<[u8]> = &Aligned(*include_bytes!("xor.model"));
//!
//! let file = Reader::new(&FILE.0)?;
//! let plan = Plan::new(&file.network()?);
//! let mut workspace = vec![0.0; plan.network().inference_workspace()];
//! let mut inference = Inference::new(&plan, file.weights(&plan)?, &mut workspace)?;
//! assert_eq!(inference.run(&[1.0, 1.0])?, [0.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Firmware that knows its network passes its [`Model`](crate::Model) to [`Reader::weights`] and leaves out the plan: then the tables are
//! compared layer by layer where they lie, and no [`Network`] is built on the stack.
//!
//! # A quantized network
//!
//! The file of a network that [`quantize`](crate::quant::quantize) made small is written by [`Writer::quantized`]. Firmware includes its words in
//! the same way, a quarter of the flash:
//!
//! ```
//! use lightlayers::quant::Int8Inference;
//! use lightlayers::{Model, Network, file};
//!
//! struct Xor;
//!
//! impl Model for Xor {
//!     const NET: Network = Network::features(2).dense(2).relu().dense(1);
//! }
//!
//! static WEIGHTS: [u32; Xor::NET.quantized_weights()] =
//!     file::quantized_weights(&Xor::NET, include_bytes!("xor-int8.model"));
//!
//! let mut workspace = [0; Xor::NET.quantized_workspace()];
//! let mut inference = Int8Inference::new(Xor, &WEIGHTS, &mut workspace)?;
//! let mut input = [0; 2];
//! let output = inference.output_quantization();
//! let answer = inference.run_real(&[1.0, 0.0], &mut input)?;
//! assert!((output.dequantize(answer[0]) - 1.0).abs() < 0.02);
//! # Ok::<(), lightlayers::Error>(())
//! ```
//!
//! Of one that arrives at run time, [`Reader::quantized_weights`] lends them. A reader refuses the kind of weights that a file does not have.
//!
//! No bytes make a reader panic. A wrong or hostile file is a [`FileError`].
#![doc = include_str!("format.md")]

mod error;
mod reader;
mod rebuild;
#[cfg(feature = "embedded-storage")]
mod stream;
mod table;
mod writer;

pub use error::{FileError, SectionKind, Setting};
pub use reader::{Reader, TrainingState};
pub use writer::Writer;

pub(crate) use table::first_other_tensor;

#[cfg(feature = "embedded-storage")]
pub(crate) use reader::file_header;
#[cfg(feature = "embedded-storage")]
pub(crate) use stream::{BlockReader, Destination, TrainingDestination};

use crc::{CRC_32_ISO_HDLC, Crc, NoTable};

use crate::network::Network;
use crate::quant::check_heads;
use crate::shape::saturated;
use table::{ENTRY, Table};

/// Everything in a file starts at a multiple of this many bytes.
pub(crate) const BLOCK: usize = 16;

const MAGIC: [u8; 4] = *b"LLNN";
const VERSION: u16 = 1;

/// Bit by bit: a table would cost a kilobyte of flash, and a file is checked once.
pub(crate) const CHECKSUM: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);

/// The bytes of a file of the network, with the state of an optimizer of as many elements, or without one. `usize::MAX` if they are more
/// than a `usize` counts.
///
/// ```
/// use lightlayers::optim::Adam;
/// use lightlayers::{Network, file};
///
/// const NET: Network = Network::features(64).light_dense(32, 8).relu().dense(10);
/// const _: () = assert!(file::size(&NET, None) <= 5 * 1024, "a sector of the flash memory holds it");
/// assert!(file::size(&NET, Some(NET.optimizer_state::<Adam>())) <= 15 * 1024);
/// ```
pub const fn size(net: &Network, optimizer_state: Option<usize>) -> usize {
    // More elements than memory has: `size_of` would overflow.
    if matches!(optimizer_state, Some(elements) if elements > usize::MAX / 8) {
        return usize::MAX;
    }
    saturated(size_of(net.len(), net.weights(), optimizer_state, None))
}

/// The bytes of a file of the quantized network.
///
/// ```
/// use lightlayers::{Network, file};
///
/// const NET: Network = Network::features(64).dense(32).relu().dense(10);
/// assert!(3 * file::quantized_size(&NET) < file::size(&NET, None));
/// ```
pub const fn quantized_size(net: &Network) -> usize {
    size_of(net.len(), net.quantized_weights(), None, None) as usize
}

/// Of weights of 4 bytes each. In 64 bits, because a length that is not checked yet may be anything.
pub(crate) const fn size_of(
    layers: usize,
    weights: usize,
    optimizer_state: Option<usize>,
    gradients: Option<usize>,
) -> u64 {
    const fn section(bytes: u64) -> u64 {
        BLOCK as u64 + bytes.next_multiple_of(BLOCK as u64)
    }
    let table = section((BLOCK + ENTRY * layers) as u64);
    let state = match optimizer_state {
        Some(elements) => section(BLOCK as u64 + 4 * elements as u64),
        None => 0,
    };
    let gradients = match gradients {
        Some(elements) => section(4 * elements as u64),
        None => 0,
    };
    BLOCK as u64 + table + section(4 * weights as u64) + state + gradients
}

/// The weights in a file, for a constant: `static WEIGHTS: [f32; NET.weights()] = file::weights(&NET, include_bytes!(...))`.
///
/// The bytes may lie anywhere, on a target of either endianness. Evaluating a file of more than about 150 kB needs
/// `#[allow(long_running_const_eval)]`.
///
/// # Panics
///
/// With a [`FileError`]'s message where the bytes are no model file, or not of this network: in a constant, the compiler's error.
#[track_caller]
pub const fn weights<const N: usize>(net: &Network, bytes: &[u8]) -> [f32; N] {
    let numbers = match numbers::<N>(net, bytes, SectionKind::WEIGHTS) {
        Ok(numbers) => numbers,
        Err(error) => error.panic(),
    };
    let mut weights = [0.0; N];
    let mut i = 0;
    while i < N {
        weights[i] = f32::from_le_bytes(numbers[i]);
        i += 1;
    }
    weights
}

/// The weights of a quantized network in a file, for a constant:
/// `static WEIGHTS: [u32; NET.quantized_weights()] = file::quantized_weights(&NET, include_bytes!(...))`.
///
/// All else is as with [`weights`], but that the target must be little-endian.
///
/// # Panics
///
/// With a [`FileError`]'s message where the bytes are no model file, or not of this quantized network: in a constant, the compiler's error.
#[track_caller]
pub const fn quantized_weights<const N: usize>(net: &Network, bytes: &[u8]) -> [u32; N] {
    if cfg!(target_endian = "big") {
        FileError::BigEndian.panic()
    }
    let numbers = match numbers::<N>(net, bytes, SectionKind::QUANTIZED_WEIGHTS) {
        Ok(numbers) => numbers,
        Err(error) => error.panic(),
    };
    let mut words = [0; N];
    let mut i = 0;
    while i < N {
        words[i] = u32::from_le_bytes(numbers[i]);
        i += 1;
    }
    match check_heads(net.layers(), &words) {
        Ok(()) => words,
        Err(head) => FileError::of_head(head).panic(),
    }
}

/// The weights in a file of this network, `N` numbers.
const fn numbers<'a, const N: usize>(
    net: &Network,
    bytes: &'a [u8],
    kind: SectionKind,
) -> Result<&'a [[u8; 4]; N], FileError> {
    let reader = match Reader::new(bytes) {
        Ok(reader) => reader,
        Err(error) => return Err(error),
    };
    let table = Table::of_network(net);
    let numbers = match reader.weight_bytes(&table, kind) {
        Ok(bytes) => bytes.as_chunks::<4>().0,
        Err(error) => return Err(error),
    };
    match numbers.first_chunk() {
        Some(all) if numbers.len() == N => Ok(all),
        _ => {
            let (what, found) = table.numbers(kind);
            Err(reader::section(Some(kind), what, N, found))
        }
    }
}

/// Bytes at a multiple of 16, as the format wants them: `&Aligned(*include_bytes!(...))`, which `include_bytes!` alone may put anywhere.
#[derive(Debug)]
#[repr(C, align(16))]
pub struct Aligned<T: ?Sized>(pub T);
