//! A network from a layer table, by the calls that a user would make.

use super::error::{FileError, Setting};
use super::table::{self, Entry, Extent, Head, Request, Table};
use crate::layers::{Initializer, Op};
use crate::network::Network;
use crate::quant::layout::WORD;
use crate::shape::Shape;

/// The most weights of a layer and values of a tensor: so many that sums of sizes do not overflow, whatever the table says.
const MOST: u64 = if usize::BITS > 32 { 1 << 30 } else { 1 << 20 };

pub(super) fn network(head: &Head, entries: &[Entry]) -> Result<Network, FileError> {
    let Shape {
        height,
        width,
        channels,
    } = head.input;
    let input = Network::try_input(height.into(), width.into(), channels.into());
    let mut net = input.map_err(|error| FileError::Build { layer: 0, error })?;
    if head.flat_input && head.input.is_flat() {
        net = net.with_flat_input();
    }
    for (index, entry) in entries.iter().enumerate() {
        net = push(net, index, entry)?;
    }
    // The planner keeps a tensor for those who read it. Every network of builder calls has readers of all but the last.
    for layer in 0..entries.len().saturating_sub(1) {
        let tensor = layer as u8 + 1;
        if !net.layers().iter().any(|layer| layer.reads(tensor)) {
            return Err(FileError::Unread { layer });
        }
    }
    Table::of_network(&net).compare(head, entries, Extent::All)?;
    // Places in a workspace are 32-bit numbers: of elements, and of bytes of the quantized network.
    let words = (u32::MAX as usize) / WORD;
    if net.training_workspace(1) as u64 > u32::MAX as u64 || net.quantized_workspace() > words {
        let layer = entries.len().saturating_sub(1);
        return Err(FileError::TooLarge { layer });
    }
    Ok(net)
}

/// Not inlined: the networks on the way are gone from the stack before the workspace is planned.
#[inline(never)]
fn push(net: Network, layer: usize, entry: &Entry) -> Result<Network, FileError> {
    let build = |error| FileError::Build { layer, error };
    let Some(request) = table::request(entry) else {
        return Err(match table::setting(entry, 0) {
            (_, Setting::Name(_)) => FileError::Custom { layer },
            (what, found) => FileError::Table { layer, what, found },
        });
    };
    let Request { source, second, .. } = request;
    let second = matches!(request.op, Op::Add).then_some(second);
    for found in [Some(source), second].into_iter().flatten() {
        if found > layer {
            return Err(FileError::Reads { layer, found });
        }
    }
    if second == Some(source) {
        let found = source;
        return Err(FileError::Reads { layer, found });
    }
    if !fits(&request.op, net.tensor(source).0, request.output) {
        return Err(FileError::TooLarge { layer });
    }
    let net = match second {
        Some(second) => net.try_add(source, second),
        None => net.try_push_reading(request.op, source),
    };
    let mut net = net.map_err(build)?;
    if net
        .layers()
        .last()
        .is_some_and(|last| last.bias() != request.bias)
    {
        net = net.try_bias(request.bias).map_err(build)?;
    }
    if request.initializer != Initializer::GlorotUniform {
        net = net
            .try_kernel_initializer(request.initializer)
            .map_err(build)?;
    }
    if request.l2 != 0.0 {
        net = net.try_l2(request.l2).map_err(build)?;
    }
    if request.frozen {
        net = net.frozen();
    }
    // What no call asks for: the output, and bytes that mean nothing here.
    if let Some(last) = net.layers().last()
        && let Some(at) = table::first_difference(&table::entry(last), entry, Extent::All)
    {
        let (what, found) = table::setting(entry, at);
        return Err(FileError::Table { layer, what, found });
    }
    Ok(net)
}

/// No number of weights or values of the layer overflows, from its input to its output.
fn fits(op: &Op, input: Shape, output: Shape) -> bool {
    let (inputs, outputs) = (u64::from(input.channels), u64::from(output.channels));
    let window = op.window().map_or(1, |window| window.area() as u64);
    let (between, weights) = match *op {
        Op::Dense { .. } | Op::Conv2d { .. } => (0, inputs * outputs),
        Op::LightDense { rank, .. } | Op::LightConv2d { rank, .. } => {
            (u64::from(rank), u64::from(rank) * (inputs + outputs))
        }
        Op::DepthwiseConv2d { multiplier, .. } => (0, inputs * u64::from(multiplier)),
        Op::SeparableConv2d { multiplier, .. } => {
            let between = inputs * u64::from(multiplier);
            (between, between.saturating_mul(1 + outputs))
        }
        _ => (0, 0),
    };
    // The rows of its input that a quantized convolution keeps, as far as its window reaches.
    let reach =
        |kernel: u8, dilation: u8| u64::from(kernel).saturating_sub(1) * u64::from(dilation) + 1;
    let rows = match *op {
        Op::Conv2d { window, .. } => {
            let columns = u64::from(output.width) * u64::from(window.stride.1)
                + reach(window.kernel.1, window.dilation);
            reach(window.kernel.0, window.dilation) * columns * inputs
        }
        _ => 0,
    };
    let pixels = |shape: Shape| u64::from(shape.height) * u64::from(shape.width);
    let pixels = pixels(input).max(pixels(output));
    weights.saturating_mul(window) <= MOST
        && rows <= MOST
        && pixels.saturating_mul(inputs.max(between).max(outputs)) <= MOST
}
