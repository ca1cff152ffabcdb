//! The layer table: 32 bytes for each layer, and the comparison of two of them.

use super::BLOCK;
use super::error::{FileError, SectionKind, Setting};
use crate::layers::{Border, Initializer, Kind, Op, Padding, WindowSize};
use crate::network::{Layer, Network};
use crate::plan::Graph;
use crate::shape::Shape;

/// Bytes of a layer.
pub(super) const ENTRY: usize = 32;

/// A layer as the file has it.
pub(super) type Entry = [u8; ENTRY];

/// What a layer table is made of.
pub(super) struct Table<'a> {
    input: Shape,
    flat_input: bool,
    layers: &'a [Layer],
    weights: usize,
    moving_statistics: usize,
    quantized_weights: usize,
}

/// How much of two tables must agree.
#[derive(Clone, Copy)]
pub(super) enum Extent {
    /// What says what the weights mean.
    Weights,
    /// That, and which layers learn.
    Training,
    All,
}

impl<'a> Table<'a> {
    pub(super) const fn of_network(net: &'a Network) -> Self {
        Self {
            input: net.input_shape(),
            flat_input: net.has_flat_input(),
            layers: net.layers(),
            weights: net.weights(),
            moving_statistics: net.moving_statistics(),
            quantized_weights: net.quantized_weights(),
        }
    }

    /// Of a model, this reads the table that a session reads too: no other one is linked.
    pub(super) fn of_graph(graph: &'a impl Graph) -> Self {
        let sizes = graph.sizes();
        Self {
            input: match sizes.input_image {
                Some(shape) => shape,
                None => Shape::flat(sizes.input as u16),
            },
            flat_input: sizes.input_image.is_none(),
            layers: graph.layers(),
            weights: sizes.weights,
            moving_statistics: sizes.weights.saturating_sub(sizes.trained),
            quantized_weights: sizes.quantized_weights,
        }
    }

    /// How many numbers a section of weights has, and what they are called.
    pub(super) const fn numbers(&self, section: SectionKind) -> (&'static str, usize) {
        if section.is(SectionKind::WEIGHTS) {
            ("weights", self.weights)
        } else {
            ("words", self.quantized_weights)
        }
    }

    pub(super) const fn head(&self) -> [u8; BLOCK] {
        let mut head = [0; BLOCK];
        put(&mut head, 0, shape_bytes(self.input));
        put(
            &mut head,
            6,
            [self.flat_input as u8, self.layers.len() as u8],
        );
        put(&mut head, 8, (self.weights as u32).to_le_bytes());
        put(&mut head, 12, (self.moving_statistics as u32).to_le_bytes());
        head
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> + use<'a> {
        self.layers.iter().map(entry)
    }

    /// Says where a file's table differs first.
    pub(super) const fn compare(
        &self,
        head: &Head,
        entries: &[Entry],
        extent: Extent,
    ) -> Result<(), FileError> {
        if let Err(error) = self.compare_input(head) {
            return Err(error);
        }
        let mut i = 0;
        while i < entries.len() {
            if let Err(error) = self.compare_layer(i, &entries[i], extent) {
                return Err(error);
            }
            i += 1;
        }
        self.compare_numbers(head)
    }

    pub(super) const fn compare_input(&self, head: &Head) -> Result<(), FileError> {
        if head.flat_input != self.flat_input {
            let (expected, found) = (input_kind(self.flat_input), input_kind(head.flat_input));
            return Err(differ("input", expected, found));
        }
        if !head.input.same(self.input) {
            let (expected, found) = (Setting::Shape(self.input), Setting::Shape(head.input));
            return Err(differ("input", expected, found));
        }
        Ok(())
    }

    /// A layer that the network does not have differs in none; [`compare_numbers`](Self::compare_numbers) says that there are more.
    pub(super) const fn compare_layer(
        &self,
        index: usize,
        found: &Entry,
        extent: Extent,
    ) -> Result<(), FileError> {
        if index >= self.layers.len() {
            return Ok(());
        }
        let layer = &self.layers[index];
        let expected = entry(layer);
        if let Some(at) = first_difference(&expected, found, extent) {
            let (what, expected) = setting(&expected, at);
            return Err(FileError::Differs {
                layer: Some((index, layer.kind().name())),
                what,
                expected,
                found: setting(found, at).1,
            });
        }
        Ok(())
    }

    pub(super) const fn compare_numbers(&self, head: &Head) -> Result<(), FileError> {
        let numbers = [
            ("number of layers", self.layers.len(), head.layers),
            ("number of weights", self.weights, head.weights),
            (
                "number of moving statistics",
                self.moving_statistics,
                head.moving_statistics,
            ),
        ];
        let mut i = 0;
        while i < numbers.len() {
            let (what, expected, found) = numbers[i];
            if expected != found {
                let (expected, found) = (expected as u32, found as u32);
                return Err(differ(
                    what,
                    Setting::Number(expected),
                    Setting::Number(found),
                ));
            }
            i += 1;
        }
        Ok(())
    }
}

const fn input_kind(flat: bool) -> Setting {
    Setting::Name(if flat { "vector" } else { "image" })
}

const fn differ(what: &'static str, expected: Setting, found: Setting) -> FileError {
    FileError::Differs {
        layer: None,
        what,
        expected,
        found,
    }
}

/// The head of a file's layer table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) input: Shape,
    pub(super) flat_input: bool,
    pub(super) layers: usize,
    pub(super) weights: usize,
    pub(super) moving_statistics: usize,
}

impl Head {
    pub(super) const fn read(bytes: &[u8; BLOCK]) -> Self {
        Self {
            input: shape_at(bytes, 0),
            flat_input: bytes[6] != 0,
            layers: bytes[7] as usize,
            weights: u32_at(bytes, 8) as usize,
            moving_statistics: u32_at(bytes, 12) as usize,
        }
    }
}

// Where an entry has what.
const KIND: usize = 0;
const BIAS: usize = 1;
const SOURCE: usize = 2;
const SECOND: usize = 3;
const OUTPUT: usize = 4;
const RANK: usize = 10;
const WINDOW: usize = 12;
const FROZEN: usize = 18;
const INITIALIZER: usize = 19;
const SLOPE: usize = 20;
const RATE: usize = 24;
const L2: usize = 28;

pub(super) const fn entry(layer: &Layer) -> Entry {
    let mut entry = [0; ENTRY];
    entry[KIND] = code(layer.kind());
    entry[BIAS] = layer.bias() as u8;
    entry[SOURCE] = layer.source;
    entry[SECOND] = layer.second;
    put(&mut entry, OUTPUT, shape_bytes(layer.output));
    let rank = match layer.op {
        Op::LightDense { rank, .. } | Op::LightConv2d { rank, .. } => rank,
        Op::DepthwiseConv2d { multiplier, .. } | Op::SeparableConv2d { multiplier, .. } => {
            multiplier
        }
        Op::Custom { saved, .. } => saved,
        _ => 0,
    };
    put(&mut entry, RANK, rank.to_le_bytes());
    if let Some(window) = layer.op.window() {
        let WindowSize {
            kernel,
            stride,
            dilation,
            padding,
        } = window;
        let same = matches!(padding, Padding::Same) as u8;
        let window = [kernel.0, kernel.1, stride.0, stride.1, dilation, same];
        put(&mut entry, WINDOW, window);
    }
    entry[FROZEN] = layer.is_frozen() as u8;
    entry[INITIALIZER] = match layer.kernel_initializer {
        Initializer::GlorotUniform => 0,
        Initializer::HeNormal => 1,
        Initializer::Zeros => 2,
        Initializer::Ones => 3,
    };
    let (slope, rate) = match layer.op {
        Op::LeakyRelu { slope } => (slope, 0.0),
        Op::BatchNorm { momentum, epsilon } => (epsilon, momentum),
        Op::Dropout { rate } => (0.0, rate),
        _ => (0.0, 0.0),
    };
    put(&mut entry, SLOPE, slope.to_le_bytes());
    put(&mut entry, RATE, rate.to_le_bytes());
    put(&mut entry, L2, layer.l2.to_le_bytes());
    match layer.op {
        Op::ZeroPadding2d { border } => {
            let border = [border.top, border.bottom, border.left, border.right];
            put(&mut entry, WINDOW, border);
        }
        Op::Custom { .. } => put(&mut entry, WINDOW, (layer.weights() as u16).to_le_bytes()),
        _ => {}
    }
    entry
}

/// What the builder is asked for to get the layer; whether it is what the entry says, the entry of the result shows.
pub(super) struct Request {
    pub(super) op: Op,
    pub(super) bias: bool,
    pub(super) source: usize,
    pub(super) second: usize,
    pub(super) frozen: bool,
    pub(super) initializer: Initializer,
    pub(super) l2: f32,
}

/// None for a layer that cannot be asked for, because its code is not in the file or its kind is unknown.
pub(super) const fn request(entry: &Entry) -> Option<Request> {
    let output = shape_at(entry, OUTPUT);
    let units = output.channels;
    let filters = output.channels;
    let rank = u16_at(entry, RANK);
    let multiplier = rank;
    let window = WindowSize {
        kernel: (entry[WINDOW], entry[WINDOW + 1]),
        stride: (entry[WINDOW + 2], entry[WINDOW + 3]),
        dilation: entry[WINDOW + 4],
        padding: if entry[WINDOW + 5] == 0 {
            Padding::Valid
        } else {
            Padding::Same
        },
    };
    let (slope, rate) = (f32_at(entry, SLOPE), f32_at(entry, RATE));
    let Some(kind) = kind(entry[KIND]) else {
        return None;
    };
    let op = match kind {
        Kind::Dense => Op::Dense { units },
        Kind::LightDense => Op::LightDense { units, rank },
        Kind::Relu => Op::Relu,
        Kind::Relu6 => Op::Relu6,
        Kind::LeakyRelu => Op::LeakyRelu { slope },
        Kind::Sigmoid => Op::Sigmoid,
        Kind::Tanh => Op::Tanh,
        Kind::Softmax => Op::Softmax,
        Kind::Flatten => Op::Flatten,
        Kind::Dropout => Op::Dropout { rate },
        Kind::Conv2d => Op::Conv2d { filters, window },
        Kind::LightConv2d => Op::LightConv2d {
            filters,
            rank,
            window,
        },
        Kind::DepthwiseConv2d => Op::DepthwiseConv2d { multiplier, window },
        Kind::SeparableConv2d => Op::SeparableConv2d {
            filters,
            multiplier,
            window,
        },
        Kind::BatchNorm => Op::BatchNorm {
            momentum: rate,
            epsilon: slope,
        },
        Kind::MaxPool2d => Op::MaxPool2d { window },
        Kind::AveragePool2d => Op::AveragePool2d { window },
        Kind::GlobalAveragePool => Op::GlobalAveragePool,
        Kind::GlobalMaxPool => Op::GlobalMaxPool,
        Kind::ZeroPadding2d => Op::ZeroPadding2d {
            border: Border {
                top: entry[WINDOW],
                bottom: entry[WINDOW + 1],
                left: entry[WINDOW + 2],
                right: entry[WINDOW + 3],
            },
        },
        Kind::Add => Op::Add,
        Kind::Custom => return None,
    };
    Some(Request {
        op,
        bias: entry[BIAS] != 0,
        source: entry[SOURCE] as usize,
        second: entry[SECOND] as usize,
        frozen: entry[FROZEN] != 0,
        initializer: match entry[INITIALIZER] {
            1 => Initializer::HeNormal,
            2 => Initializer::Zeros,
            3 => Initializer::Ones,
            _ => Initializer::GlorotUniform,
        },
        l2: f32_at(entry, L2),
    })
}

/// The kinds in the order of their numbers in a file, from 1. Never to be changed; new ones come last.
const KINDS: [Kind; 22] = [
    Kind::Dense,
    Kind::LightDense,
    Kind::Relu,
    Kind::Relu6,
    Kind::LeakyRelu,
    Kind::Sigmoid,
    Kind::Tanh,
    Kind::Softmax,
    Kind::Flatten,
    Kind::Dropout,
    Kind::Conv2d,
    Kind::LightConv2d,
    Kind::DepthwiseConv2d,
    Kind::SeparableConv2d,
    Kind::BatchNorm,
    Kind::MaxPool2d,
    Kind::AveragePool2d,
    Kind::GlobalAveragePool,
    Kind::GlobalMaxPool,
    Kind::ZeroPadding2d,
    Kind::Add,
    Kind::Custom,
];

const fn code(kind: Kind) -> u8 {
    let mut i = 0;
    while i < KINDS.len() && KINDS[i] as u8 != kind as u8 {
        i += 1;
    }
    i as u8 + 1
}

pub(super) const fn kind(code: u8) -> Option<Kind> {
    if code == 0 || code as usize > KINDS.len() {
        None
    } else {
        Some(KINDS[code as usize - 1])
    }
}

/// The first byte that differs.
pub(super) const fn first_difference(a: &Entry, b: &Entry, extent: Extent) -> Option<usize> {
    let mut i = 0;
    while i < ENTRY {
        let counts = match (extent, i) {
            (Extent::All, _) => true,
            (Extent::Training, FROZEN) => true,
            (_, FROZEN | INITIALIZER | RATE..) => false,
            _ => true,
        };
        if counts && a[i] != b[i] {
            return Some(i);
        }
        i += 1;
    }
    None
}

/// The first tensor in which two networks differ, so that the weights of one mean nothing in the other: 0 is the input, `i + 1` the output
/// of layer `i`.
pub(crate) fn first_other_tensor(a: &[Layer], b: &[Layer]) -> Option<usize> {
    let mut layers = a.iter().zip(b);
    if !layers.clone().take(1).all(|(a, b)| a.input.same(b.input)) {
        return Some(0);
    }
    let other =
        layers.position(|(a, b)| first_difference(&entry(a), &entry(b), Extent::Weights).is_some());
    let other = other.or((a.len() != b.len()).then_some(a.len().min(b.len())));
    other.map(|layer| layer + 1)
}

/// What an entry says with a byte and those that belong to it.
pub(super) const fn setting(entry: &Entry, at: usize) -> (&'static str, Setting) {
    let at = at % ENTRY;
    let kind = kind(entry[KIND]);
    let byte = Setting::Number(entry[at] as u32);
    let two = Setting::Number(u16_at(entry, at & !1) as u32);
    let four = Setting::Decimal(f32_at(entry, at & !3));
    match (at, kind) {
        (KIND, Some(kind)) => ("layer", Setting::Name(kind.name())),
        (KIND, None) => ("layer", byte),
        (BIAS, _) => ("bias", yes_or_no(entry[at])),
        (SOURCE, _) => ("source tensor", byte),
        (SECOND, _) => ("second tensor", byte),
        (OUTPUT..RANK, _) => ("output", Setting::Shape(shape_at(entry, OUTPUT))),
        (RANK..WINDOW, Some(Kind::DepthwiseConv2d | Kind::SeparableConv2d)) => ("multiplier", two),
        (RANK..WINDOW, Some(Kind::Custom)) => ("saved values", two),
        (RANK..WINDOW, _) => ("rank", two),
        (12 | 13, Some(Kind::Custom)) => ("weights", two),
        (WINDOW..FROZEN, Some(Kind::ZeroPadding2d)) => {
            let sides = ["top", "bottom", "left", "right", "byte 16", "byte 17"];
            (sides[at - WINDOW], byte)
        }
        (17, _) => match entry[at] {
            0 => ("padding", Setting::Name("valid")),
            1 => ("padding", Setting::Name("same")),
            _ => ("padding", byte),
        },
        (WINDOW..FROZEN, _) => {
            let window = [
                "kernel rows",
                "kernel columns",
                "stride of rows",
                "stride of columns",
                "dilation",
                "padding",
            ];
            (window[at - WINDOW], byte)
        }
        (FROZEN, _) => ("frozen", yes_or_no(entry[at])),
        (INITIALIZER, _) => ("initializer", byte),
        (SLOPE..RATE, Some(Kind::BatchNorm)) => ("epsilon", four),
        (SLOPE..RATE, _) => ("slope", four),
        (RATE..L2, Some(Kind::BatchNorm)) => ("momentum", four),
        (RATE..L2, _) => ("rate", four),
        _ => ("l2", four),
    }
}

const fn yes_or_no(byte: u8) -> Setting {
    match byte {
        0 => Setting::Name("no"),
        1 => Setting::Name("yes"),
        _ => Setting::Number(byte as u32),
    }
}

const fn put<const N: usize>(bytes: &mut [u8], at: usize, values: [u8; N]) {
    if let Some((_, rest)) = bytes.split_at_mut_checked(at)
        && let Some(place) = rest.first_chunk_mut()
    {
        *place = values;
    }
}

const fn shape_bytes(shape: Shape) -> [u8; 6] {
    let [h0, h1] = shape.height.to_le_bytes();
    let [w0, w1] = shape.width.to_le_bytes();
    let [c0, c1] = shape.channels.to_le_bytes();
    [h0, h1, w0, w1, c0, c1]
}

const fn shape_at(bytes: &[u8], at: usize) -> Shape {
    Shape::image(
        u16_at(bytes, at),
        u16_at(bytes, at + 2),
        u16_at(bytes, at + 4),
    )
}

pub(super) const fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes_at(bytes, at))
}

pub(super) const fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes_at(bytes, at))
}

/// Zeros behind the end, where nobody reads: without a panic, firmware links none.
const fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let Some((_, rest)) = bytes.split_at_checked(at) else {
        return [0; N];
    };
    match rest.first_chunk() {
        Some(found) => *found,
        None => [0; N],
    }
}

const fn f32_at(bytes: &[u8], at: usize) -> f32 {
    f32::from_bits(u32_at(bytes, at))
}
