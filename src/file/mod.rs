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
//! No bytes make a reader panic. A wrong or hostile file is a [`FileError`].
#![doc = include_str!("format.md")]

mod error;
mod reader;
mod rebuild;
mod table;
mod writer;

pub use error::{FileError, SectionKind, Setting};
pub use reader::{Reader, TrainingState};
pub use writer::Writer;

use crc::{CRC_32_ISO_HDLC, Crc, NoTable};

use crate::network::Network;
use table::{ENTRY, Table};

/// Everything in a file starts at a multiple of this many bytes.
const BLOCK: usize = 16;

const MAGIC: [u8; 4] = *b"LLNN";
const VERSION: u16 = 1;

/// Bit by bit: a table would cost a kilobyte of flash, and a file is checked once.
const CHECKSUM: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);

/// The bytes of a file of the network, with the state of an optimizer of as many elements, or without one.
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
    size_of(net.len(), net.weights(), optimizer_state) as usize
}

/// In 64 bits, because a length that is not checked yet may be anything.
const fn size_of(layers: usize, weights: usize, optimizer_state: Option<usize>) -> u64 {
    const fn section(bytes: u64) -> u64 {
        BLOCK as u64 + bytes.next_multiple_of(BLOCK as u64)
    }
    let table = section((BLOCK + ENTRY * layers) as u64);
    let without = BLOCK as u64 + table + section(4 * weights as u64);
    match optimizer_state {
        Some(elements) => without + section(BLOCK as u64 + 4 * elements as u64),
        None => without,
    }
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
    let reader = match Reader::new(bytes) {
        Ok(reader) => reader,
        Err(error) => error.panic(),
    };
    let values = match reader.weight_bytes(&Table::of_network(net), N) {
        Ok(bytes) => bytes.as_chunks::<4>().0,
        Err(error) => error.panic(),
    };
    let mut weights = [0.0; N];
    let mut i = 0;
    while i < N {
        weights[i] = f32::from_le_bytes(values[i]);
        i += 1;
    }
    weights
}

/// Bytes at a multiple of 16, as the format wants them: `&Aligned(*include_bytes!(...))`, which `include_bytes!` alone may put anywhere.
#[derive(Debug)]
#[repr(C, align(16))]
pub struct Aligned<T: ?Sized>(pub T);
