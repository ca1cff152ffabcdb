//! A network from a layer table, by the calls that a user would make.

use super::error::{FileError, Setting};
use super::table::{self, Entry, Extent, Head, Request, Table};
use crate::layers::{Initializer, Op};
use crate::network::Network;
use crate::shape::Shape;

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
        net = net.try_frozen().map_err(build)?;
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
