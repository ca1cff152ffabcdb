//! Model files in memory, and files that are wrong in one place only.

use lightlayers::file::Writer;
use lightlayers::quant::{Calibration, Quantization, RangeMethod, TensorRange, quantize};
use lightlayers::{Network, Plan};

use crate::session::values;

/// Bytes at a multiple of 16, or some bytes behind one.
#[derive(Clone, Debug)]
pub struct Placed {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl Placed {
    /// A copy of `bytes`, `behind` bytes behind a multiple of 16.
    pub fn new(bytes: &[u8], behind: usize) -> Self {
        let mut memory = vec![0; bytes.len() + 32];
        let start = memory.as_ptr().align_offset(16) + behind;
        memory[start..start + bytes.len()].copy_from_slice(bytes);
        let len = bytes.len();
        Placed { memory, start, len }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }

    /// The same bytes, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

/// A file of a network and its weights.
pub fn written(net: &Network, weights: &[f32]) -> Placed {
    let plan = Plan::new(net);
    let writer = Writer::new(&plan, weights).expect("as many weights as the network has");
    Placed::new(&writer.blocks().flatten().collect::<Vec<u8>>(), 0)
}

/// A file of a quantized network and its weights.
pub fn written_quantized(net: &Network, words: &[u32]) -> Placed {
    let plan = Plan::new(net);
    let writer = Writer::quantized(&plan, words).expect("as many words as the network has");
    Placed::new(&writer.blocks().flatten().collect::<Vec<u8>>(), 0)
}

/// The words of a network with these weights, quantized for some samples of random values.
pub fn quantized(net: &Network, weights: &[f32]) -> Vec<u32> {
    let plan = Plan::new(net);
    let mut workspace = vec![0.0; net.inference_workspace()];
    let mut ranges = vec![TensorRange::EMPTY; 1 + net.len()];
    let mut calibration = Calibration::new(&plan, weights, &mut workspace, &mut ranges, &mut [])
        .expect("a network that can be quantized");
    for seed in 0..4 {
        let sample = values(net.input_shape().len(), 1.0, seed);
        calibration.observe(&sample).expect("a sample");
    }
    let mut quantizations = vec![Quantization::PIXELS; 1 + net.len()];
    let chosen = calibration.choose(RangeMethod::MinMax, &mut quantizations);
    chosen.expect("samples were observed");
    let mut words = vec![0; net.quantized_weights()];
    quantize(&plan, weights, &quantizations, &mut words).expect("weights that can be quantized");
    words
}

/// Gives a header the length and the checksum of what there is.
pub fn seal(file: &mut [u8]) {
    let len = u32::try_from(file.len()).expect("a small file");
    file[8..12].copy_from_slice(&len.to_le_bytes());
    let checksum = crc32fast::hash(&file[16..]);
    file[12..16].copy_from_slice(&checksum.to_le_bytes());
}
