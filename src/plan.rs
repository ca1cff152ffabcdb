//! The memory planner: where each tensor of a session lies in its workspace, worked out while compiling.
//!
//! Offsets are elements per sample; a session multiplies them by the samples that its workspace holds. Two tensors share a
//! place if they are never needed at the same time:
//!
//! - Layers that change one value at a time (activations, dropout) work in place where nobody else reads their input.
//! - In training, a layer's input is kept only if its own backward pass reads it. The gradients of its weights are computed first;
//!   then its input's gradient may take the input's place.
//! - Nothing is kept, and nothing flows back, below the lowest layer that learns.

use crate::layers::{Kinds, Op, Until, needs};
use crate::loss::Outputs;
use crate::network::{Layer, MAX_LAYERS, Network};
use crate::quant::layout::{self, WORD};
use crate::shape::Shape;
use crate::slices::{at, at_mut, first};

/// A network that is known while compiling.
///
/// The implementing type is a zero-sized name for the constant. Through it the compiler sees which layers the network uses, and the
/// code of all others is left out of the firmware.
///
/// ```
/// use lightlayers::{Inference, Model, Network};
///
/// struct Digits;
///
/// impl Model for Digits {
///     const NET: Network = Network::features(64).light_dense(10, 4);
/// }
///
/// let weights = [0.0; Digits::NET.weights()];
/// let mut workspace = [0.0; Digits::NET.inference_workspace()];
/// let inference = Inference::new(Digits, &weights, &mut workspace);
/// assert!(inference.is_ok());
/// ```
pub trait Model {
    /// The network.
    const NET: Network;
}

/// What a session runs: any [`Model`], or a `&`[`Plan`] that was made at run time.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be run: a session wants a `Model` or a `&Plan`",
    label = "neither a `Model` nor a `&Plan`",
    note = "name the network in an `impl Model`, or plan it at run time: `&Plan::new(&network)`"
)]
pub trait Graph: sealed::Graph {}

impl<T: sealed::Graph> Graph for T {}

pub(crate) mod sealed {
    use super::{BackwardSlot, ForwardSlot, Sizes};
    use crate::layers::Kinds;
    use crate::network::Layer;

    pub trait Graph {
        /// The kinds of layers whose code is linked.
        const USES: Kinds;
        /// False if no layer has an L2 penalty.
        const PENALIZES: bool;
        /// True if every layer reads the one before it, and nothing else.
        const IS_CHAIN: bool;
        /// True if a layer with weights is frozen.
        const FREEZES: bool;
        /// True if a layer's weights start normally distributed.
        const DRAWS_NORMAL: bool;

        fn layers(&self) -> &[Layer];
        fn inference_slots(&self) -> &[ForwardSlot];
        /// As those of inference, in bytes.
        fn quantized_slots(&self) -> &[ForwardSlot];
        fn training_slots(&self) -> &[ForwardSlot];
        fn backward_slots(&self) -> &[BackwardSlot];
        fn sizes(&self) -> Sizes;
    }
}

/// Marks a tensor that has no place in the workspace.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// Where a layer's forward pass writes.
#[derive(Clone, Copy, Debug)]
pub struct ForwardSlot {
    pub(crate) output: u32,
    /// What is kept for backward, or scratch, and its length.
    pub(crate) saved: u32,
    pub(crate) saved_len: u32,
}

/// Where a layer's backward pass reads and writes.
#[derive(Clone, Copy, Debug)]
pub struct BackwardSlot {
    /// The gradient of the layer's output; nowhere if nothing learns from it.
    pub(crate) gradient: u32,
    /// What the layer computes for its input; nowhere if nothing below learns. It is added to the input's gradient, unless it is it.
    pub(crate) input_gradient: u32,
}

/// The lengths that a session checks its buffers against.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub(crate) weights: usize,
    /// The weights before the moving statistics.
    pub(crate) trained: usize,
    pub(crate) trainable: usize,
    pub(crate) input: usize,
    pub(crate) output: usize,
    /// What a loss may ask about the output.
    pub(crate) outputs: Outputs,
    /// The first batch normalization that learns from one value per channel of each sample.
    pub(crate) pixelwise_batch_norm: Option<u8>,
    /// The shape of the input, if it is an image.
    pub(crate) input_image: Option<Shape>,
    /// The shape of the output, if it is an image.
    pub(crate) output_image: Option<Shape>,
    /// Elements of workspace per sample.
    pub(crate) inference: usize,
    pub(crate) training: usize,
    /// Words of workspace, and of weights, of the quantized network.
    pub(crate) quantized: usize,
    pub(crate) quantized_weights: usize,
    /// Where the samples and their targets lie in the workspace of training.
    pub(crate) training_input: u32,
    pub(crate) training_target: u32,
}

/// A network with its memory plan: what a session needs of a network that is only known at run time.
///
/// It is made for hosts. A [`Network`] and a plan have room for [`MAX_LAYERS`] layers, some 3 and 6 kB; they are passed by value, so
/// building and planning a network at run time takes stack frames of 3 to 14 kB. Constants take none: firmware names its network in a
/// [`Model`], or holds its plan in a `static`.
///
/// ```
/// use lightlayers::{Network, Plan};
///
/// static PLAN: Plan = Plan::new(&Network::features(64).light_dense(10, 4));
///
/// assert!(size_of::<Network>() < 4 * 1024);
/// assert!((4 * 1024..7 * 1024).contains(&size_of::<Plan>()));
/// ```
///
/// ```
/// use lightlayers::{Inference, Network, Plan};
///
/// for rank in 1..=4 {
///     let net = Network::features(64).light_dense(10, rank);
///     let plan = Plan::new(&net);
///     let weights = vec![0.0; net.weights()];
///     let mut workspace = vec![0.0; net.inference_workspace()];
///     let mut inference = Inference::new(&plan, &weights, &mut workspace)?;
///     assert_eq!(inference.run(&[0.5; 64])?, [0.0; 10]);
/// }
/// # Ok::<(), lightlayers::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Plan {
    network: Network,
    inference: [ForwardSlot; MAX_LAYERS],
    quantized: [ForwardSlot; MAX_LAYERS],
    training: [ForwardSlot; MAX_LAYERS],
    backward: [BackwardSlot; MAX_LAYERS],
    sizes: Sizes,
}

impl Plan {
    /// Plans the memory of a network.
    pub const fn new(network: &Network) -> Self {
        let inference = Planner::inference(network, Elements::Floats);
        let quantized = Planner::inference(network, Elements::Bytes);
        let training = Planner::training(network);
        Self {
            network: *network,
            inference: inference.forward,
            quantized: quantized.forward,
            training: training.forward,
            backward: training.backward,
            sizes: Sizes {
                weights: network.weights(),
                trained: network.trained_weights(),
                trainable: network.trainable_weights(),
                input: network.input_shape().len(),
                output: network.output_shape().len(),
                outputs: outputs(network),
                pixelwise_batch_norm: pixelwise_batch_norm(network.layers()),
                input_image: image(network.has_flat_input(), network.input_shape()),
                output_image: image(network.has_flat_output(), network.output_shape()),
                inference: inference.peak as usize,
                quantized: quantized.peak as usize / WORD,
                quantized_weights: layout::total_words(network.layers()),
                training: training.peak as usize,
                training_input: training.input,
                training_target: training.target,
            },
        }
    }

    /// The network.
    pub const fn network(&self) -> &Network {
        &self.network
    }
}

const fn outputs(network: &Network) -> Outputs {
    let mut tensor = network.len();
    // Layers that change nothing about what the values mean.
    while tensor > 0
        && matches!(
            network.layer(tensor - 1).op,
            Op::Flatten | Op::Dropout { .. }
        )
    {
        tensor = network.layer(tensor - 1).source as usize;
    }
    Outputs {
        len: network.output_shape().len(),
        is_softmax: tensor > 0 && matches!(network.layer(tensor - 1).op, Op::Softmax),
    }
}

const fn pixelwise_batch_norm(layers: &[Layer]) -> Option<u8> {
    let mut i = 0;
    while i < layers.len() {
        let layer = &layers[i];
        if matches!(layer.op, Op::BatchNorm { .. }) && layer.learns() && layer.output.is_flat() {
            return Some(i as u8);
        }
        i += 1;
    }
    None
}

const fn image(flat: bool, shape: Shape) -> Option<Shape> {
    if flat { None } else { Some(shape) }
}

impl Network {
    /// The elements of workspace that inference of one sample needs; its bytes are 4 times as many.
    pub const fn inference_workspace(&self) -> usize {
        Planner::inference(self, Elements::Floats).peak as usize
    }

    /// The words of workspace that inference of one sample needs when the network is quantized (see [`quant`](crate::quant)); its bytes are 4
    /// times as many. The scratch of its layers is part of it.
    pub const fn quantized_workspace(&self) -> usize {
        Planner::inference(self, Elements::Bytes).peak as usize / WORD
    }

    /// The elements of workspace that training needs for `batch` samples at a time; its bytes are 4 times as many.
    ///
    /// The samples, their targets, activations, gradients of activations and what backward needs; not the weights, their
    /// gradients and the optimizer's state. `usize::MAX`, which no buffer has, if they are more than a `usize` counts.
    pub const fn training_workspace(&self, batch: usize) -> usize {
        (Planner::training(self).peak as usize).saturating_mul(batch)
    }

    /// The workspace of one sample for inference, for training, and in words for int8 inference, of a network that is not checked yet.
    #[cold]
    #[inline(never)]
    pub(crate) const fn workspaces(&self) -> [u64; 3] {
        [
            Planner::inference(self, Elements::Floats).peak,
            Planner::training(self).peak,
            Planner::inference(self, Elements::Bytes).peak / WORD as u64,
        ]
    }
}

struct Planned<M>(core::marker::PhantomData<M>);

impl<M: Model> Planned<M> {
    const PLAN: Plan = Plan::new(&M::NET);
}

impl sealed::Graph for &Plan {
    const USES: Kinds = Kinds::ALL;
    const PENALIZES: bool = true;
    const IS_CHAIN: bool = false;
    const FREEZES: bool = true;
    const DRAWS_NORMAL: bool = true;

    fn layers(&self) -> &[Layer] {
        self.network.layers()
    }

    fn inference_slots(&self) -> &[ForwardSlot] {
        first(&self.inference, self.network.len())
    }

    fn quantized_slots(&self) -> &[ForwardSlot] {
        first(&self.quantized, self.network.len())
    }

    fn training_slots(&self) -> &[ForwardSlot] {
        first(&self.training, self.network.len())
    }

    fn backward_slots(&self) -> &[BackwardSlot] {
        first(&self.backward, self.network.len())
    }

    fn sizes(&self) -> Sizes {
        self.sizes
    }
}

/// A table with exactly as many entries as the network has layers: an array's length cannot be a generic constant, but the
/// choice of one among all lengths can be, and the others are not linked.
macro_rules! exact_table {
    ($model:ty, $all:expr, $($len:literal)*) => {
        match const { <$model>::NET.len() } {
            $($len => const { &truncated::<_, $len>($all) },)*
            _ => &[],
        }
    };
}

macro_rules! exact {
    ($model:ty, $all:expr) => {
        exact_table!($model, $all,
            1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32
            33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64)
    };
}

const fn truncated<T: Copy, const LEN: usize>(all: &[T; MAX_LAYERS]) -> [T; LEN] {
    match all.first_chunk::<LEN>() {
        Some(table) => *table,
        None => panic!("no table is longer than a network"),
    }
}

impl<M: Model> sealed::Graph for M {
    const USES: Kinds = M::NET.kinds();
    const PENALIZES: bool = M::NET.penalizes();
    const IS_CHAIN: bool = M::NET.is_chain();
    const FREEZES: bool = M::NET.freezes();
    const DRAWS_NORMAL: bool = M::NET.draws_normal();

    fn layers(&self) -> &[Layer] {
        exact!(M, &Planned::<M>::PLAN.network.layers)
    }

    fn inference_slots(&self) -> &[ForwardSlot] {
        exact!(M, &Planned::<M>::PLAN.inference)
    }

    fn quantized_slots(&self) -> &[ForwardSlot] {
        exact!(M, &Planned::<M>::PLAN.quantized)
    }

    fn training_slots(&self) -> &[ForwardSlot] {
        exact!(M, &Planned::<M>::PLAN.training)
    }

    fn backward_slots(&self) -> &[BackwardSlot] {
        exact!(M, &Planned::<M>::PLAN.backward)
    }

    fn sizes(&self) -> Sizes {
        const { Planned::<M>::PLAN.sizes }
    }
}

/// A tensor's need for memory: elements per sample, from its first to its last tick. In 64 bits, which sums of them do not overflow
/// however large a layer is that is about to be refused.
#[derive(Clone, Copy)]
struct Lifetime {
    size: u64,
    offset: u64,
    first: u16,
    last: u16,
    placed: bool,
}

/// Value, gradient, a second gradient and kept elements for each layer, and the samples and their targets.
const MAX_LIFETIMES: usize = 4 * MAX_LAYERS + 2;

/// The network's input, and the output of each layer.
const MAX_TENSORS: usize = MAX_LAYERS + 1;

/// Stands for "no lifetime" among their indices.
const NONE: usize = usize::MAX;

/// Lifetimes, and then their places.
///
/// Time is counted in ticks: in inference one per layer; in training one to read the samples, one per layer forward, one for the
/// loss, and two per layer backward (see [`Schedule`]).
struct Planner {
    lifetimes: [Lifetime; MAX_LIFETIMES],
    len: usize,
}

/// What a plan of inference counts.
#[derive(Clone, Copy)]
enum Elements {
    /// `f32`.
    Floats,
    /// Bytes, of tensors of `i8` that start at whole words.
    Bytes,
}

impl Elements {
    const fn size(self, len: u64) -> u64 {
        match self {
            Self::Floats => len,
            Self::Bytes => len.next_multiple_of(WORD as u64),
        }
    }

    const fn scratch(self, layer: &Layer) -> u64 {
        match self {
            Self::Floats => needs(layer).forward_scratch,
            Self::Bytes => layout::scratch(layer).next_multiple_of(WORD as u64),
        }
    }
}

/// The result of planning.
struct Places {
    forward: [ForwardSlot; MAX_LAYERS],
    backward: [BackwardSlot; MAX_LAYERS],
    input: u32,
    target: u32,
    peak: u64,
}

/// The ticks of training a network.
#[derive(Clone, Copy)]
struct Schedule {
    layers: usize,
    /// The tensors from which something below learns.
    learns: [bool; MAX_TENSORS],
}

impl Schedule {
    const READ: usize = 0;

    const fn of(network: &Network) -> Self {
        let layers = network.layers();
        let mut learns = [false; MAX_TENSORS];
        let mut i = 0;
        while i < layers.len() {
            *at_mut(&mut learns, i + 1) = layers[i].learns()
                || *at(&learns, layers[i].source as usize)
                || matches!(layers[i].op, Op::Add) && *at(&learns, layers[i].second as usize);
            i += 1;
        }
        Self {
            layers: layers.len(),
            learns,
        }
    }

    const fn forward(&self, layer: usize) -> usize {
        1 + layer
    }

    const fn loss(&self) -> usize {
        1 + self.layers
    }

    const fn weight_gradients(&self, layer: usize) -> usize {
        self.loss() + 1 + 2 * (self.layers - 1 - layer)
    }

    const fn input_gradient(&self, layer: usize) -> usize {
        self.weight_gradients(layer) + 1
    }

    const fn goes_back_to(&self, layer: usize) -> bool {
        *at(&self.learns, layer + 1)
    }

    const fn goes_back_through(&self, layer: &Layer) -> bool {
        *at(&self.learns, layer.source as usize)
            || matches!(layer.op, Op::Add) && *at(&self.learns, layer.second as usize)
    }

    /// The last tick of a layer's backward pass, or of its forward pass if it has none.
    const fn end_of(&self, index: usize, layer: &Layer) -> usize {
        if self.goes_back_through(layer) {
            self.input_gradient(index)
        } else if self.goes_back_to(index) {
            self.weight_gradients(index)
        } else {
            self.forward(index)
        }
    }

    /// The tick until which backward needs the input of a layer; 0 if it does not.
    const fn input_until(&self, index: usize, layer: &Layer) -> usize {
        match needs(layer).input {
            Until::WeightGradients if self.goes_back_to(index) => self.weight_gradients(index),
            Until::InputGradient if self.goes_back_to(index) => self.end_of(index, layer),
            _ => 0,
        }
    }

    /// The tick until which backward needs the output of a layer; 0 if it does not.
    const fn output_until(&self, index: usize, layer: &Layer) -> usize {
        if layer.op.keeps_output() && self.goes_back_through(layer) {
            self.input_gradient(index)
        } else {
            0
        }
    }
}

/// For each tensor the last layer that reads it.
const fn last_readers(layers: &[Layer]) -> [usize; MAX_TENSORS] {
    let mut readers = [0; MAX_TENSORS];
    let mut i = 0;
    while i < layers.len() {
        *at_mut(&mut readers, layers[i].source as usize) = i;
        if matches!(layers[i].op, Op::Add) {
            *at_mut(&mut readers, layers[i].second as usize) = i;
        }
        i += 1;
    }
    readers
}

impl Planner {
    const fn new() -> Self {
        let none = Lifetime {
            size: 0,
            offset: 0,
            first: 0,
            last: 0,
            placed: false,
        };
        Self {
            lifetimes: [none; MAX_LIFETIMES],
            len: 0,
        }
    }

    const fn add(&mut self, size: u64, first: usize, last: usize) -> usize {
        if size == 0 {
            return NONE;
        }
        *at_mut(&mut self.lifetimes, self.len) = Lifetime {
            size,
            offset: 0,
            first: first as u16,
            last: last as u16,
            placed: false,
        };
        self.len += 1;
        self.len - 1
    }

    const fn keep_until(&mut self, lifetime: usize, tick: usize) {
        if lifetime != NONE && (at(&self.lifetimes, lifetime).last as usize) < tick {
            at_mut(&mut self.lifetimes, lifetime).last = tick as u16;
        }
    }

    /// Gives every tensor its place, the largest first, each at the lowest offset that is free during its lifetime;
    /// returns the length of the workspace.
    const fn place(&mut self) -> u64 {
        let mut peak = 0;
        let mut count = 0;
        while count < self.len {
            let largest = self.largest_unplaced();
            let offset = self.lowest_free(*at(&self.lifetimes, largest));
            at_mut(&mut self.lifetimes, largest).offset = offset;
            at_mut(&mut self.lifetimes, largest).placed = true;
            let end = offset + at(&self.lifetimes, largest).size;
            if end > peak {
                peak = end;
            }
            count += 1;
        }
        peak
    }

    const fn largest_unplaced(&self) -> usize {
        let mut largest = NONE;
        let mut i = 0;
        while i < self.len {
            let lifetime = *at(&self.lifetimes, i);
            if !lifetime.placed
                && (largest == NONE || lifetime.size > at(&self.lifetimes, largest).size)
            {
                largest = i;
            }
            i += 1;
        }
        largest
    }

    const fn lowest_free(&self, lifetime: Lifetime) -> u64 {
        let mut offset = 0;
        let mut i = 0;
        while i < self.len {
            let other = *at(&self.lifetimes, i);
            let together = other.first <= lifetime.last && lifetime.first <= other.last;
            let overlap =
                other.offset < offset + lifetime.size && offset < other.offset + other.size;
            if other.placed && together && overlap {
                offset = other.offset + other.size;
                i = 0;
            } else {
                i += 1;
            }
        }
        offset
    }

    /// The place of a lifetime, which fits: the workspace of a network has at most [`MAX_ELEMENTS`](crate::MAX_ELEMENTS).
    const fn offset(&self, lifetime: usize) -> u32 {
        if lifetime == NONE {
            NOWHERE
        } else {
            at(&self.lifetimes, lifetime).offset as u32
        }
    }

    const fn size(&self, lifetime: usize) -> u32 {
        if lifetime == NONE {
            0
        } else {
            at(&self.lifetimes, lifetime).size as u32
        }
    }

    /// Inference: the input lies outside the workspace.
    const fn inference(network: &Network, elements: Elements) -> Places {
        let layers = network.layers();
        let readers = last_readers(layers);
        let mut planner = Self::new();
        let mut values = [NONE; MAX_TENSORS];
        let mut saved = [NONE; MAX_LAYERS];
        let mut i = 0;
        while i < layers.len() {
            let layer = &layers[i];
            let source = layer.source as usize;
            planner.keep_until(*at(&values, source), i);
            if matches!(layer.op, Op::Add) {
                planner.keep_until(*at(&values, layer.second as usize), i);
            }
            let in_place = layer.op.is_in_place()
                && *at(&values, source) != NONE
                && *at(&readers, source) == i;
            *at_mut(&mut values, i + 1) = if in_place {
                *at(&values, source)
            } else {
                planner.add(elements.size(layer.output.values()), i, i)
            };
            *at_mut(&mut saved, i) = planner.add(elements.scratch(layer), i, i);
            i += 1;
        }
        planner.keep_until(*at(&values, layers.len()), layers.len());
        let none = [NONE; MAX_TENSORS];
        planner.finish(&values, &saved, &none, &[NONE; MAX_LAYERS])
    }

    const fn training(network: &Network) -> Places {
        let layers = network.layers();
        let schedule = Schedule::of(network);
        let readers = last_readers(layers);
        let mut planner = Self::new();
        let targets = planner.add(
            network.output_shape().values(),
            Schedule::READ,
            schedule.loss(),
        );
        let mut values = [NONE; MAX_TENSORS];
        let mut saved = [NONE; MAX_LAYERS];
        *at_mut(&mut values, 0) = planner.add(
            network.input_shape().values(),
            Schedule::READ,
            Schedule::READ,
        );

        // The tensors that backward reads: nothing may change them.
        let mut kept = [false; MAX_TENSORS];
        let mut i = 0;
        while i < layers.len() {
            if schedule.input_until(i, &layers[i]) > 0 {
                *at_mut(&mut kept, layers[i].source as usize) = true;
            }
            if schedule.output_until(i, &layers[i]) > 0 {
                *at_mut(&mut kept, i + 1) = true;
            }
            i += 1;
        }

        i = 0;
        while i < layers.len() {
            let layer = &layers[i];
            let forward = schedule.forward(i);
            let source = layer.source as usize;
            planner.keep_until(*at(&values, source), forward);
            planner.keep_until(*at(&values, source), schedule.input_until(i, layer));
            if matches!(layer.op, Op::Add) {
                planner.keep_until(*at(&values, layer.second as usize), forward);
            }
            let in_place =
                layer.op.is_in_place() && *at(&readers, source) == i && !*at(&kept, source);
            *at_mut(&mut values, i + 1) = if in_place {
                *at(&values, source)
            } else {
                planner.add(layer.output.values(), forward, forward)
            };
            planner.keep_until(*at(&values, i + 1), schedule.output_until(i, layer));
            let need = needs(layer);
            let kept_len = if schedule.goes_back_to(i) {
                need.saved
            } else {
                need.forward_scratch
            };
            *at_mut(&mut saved, i) = planner.add(kept_len, forward, schedule.end_of(i, layer));
            i += 1;
        }

        let (gradients, input_gradients) = planner.gradients(layers, &schedule, &values, &kept);
        let mut places = planner.finish(&values, &saved, &gradients, &input_gradients);
        places.input = planner.offset(*at(&values, 0));
        places.target = planner.offset(targets);
        places
    }

    /// The lifetimes of the tensors' gradients, and for each layer of what it computes for its input: that input's gradient itself, or
    /// something that is added to it because another layer reads the input too.
    const fn gradients(
        &mut self,
        layers: &[Layer],
        schedule: &Schedule,
        values: &[usize; MAX_TENSORS],
        kept: &[bool; MAX_TENSORS],
    ) -> ([usize; MAX_TENSORS], [usize; MAX_LAYERS]) {
        let mut gradients = [NONE; MAX_TENSORS];
        let mut input_gradients = [NONE; MAX_LAYERS];
        let mut i = layers.len();
        if i == 0 {
            return (gradients, input_gradients);
        }
        self.keep_until(*at(values, i), schedule.loss());
        *at_mut(&mut gradients, i) = if *at(kept, i) {
            let len = layers[i - 1].output.values();
            self.add(len, schedule.loss(), schedule.loss())
        } else {
            *at(values, i)
        };
        while i > 0 {
            i -= 1;
            let layer = &layers[i];
            if !schedule.goes_back_to(i) {
                continue;
            }
            let gradient = *at(&gradients, i + 1);
            self.keep_until(gradient, schedule.end_of(i, layer));
            if !schedule.goes_back_through(layer) {
                continue;
            }
            let tick = schedule.input_gradient(i);
            let source = layer.source as usize;
            *at_mut(&mut input_gradients, i) = if layer.op.is_in_place() {
                gradient
            } else {
                self.add(layer.input.values(), tick, tick)
            };
            if *at(&schedule.learns, source) && *at(&gradients, source) == NONE {
                *at_mut(&mut gradients, source) = *at(&input_gradients, i);
            }
            self.keep_until(*at(&gradients, source), tick);
            // A shortcut's gradient is a copy, since the body changes its own on its way back.
            if matches!(layer.op, Op::Add) && *at(&schedule.learns, layer.second as usize) {
                let second = layer.second as usize;
                if *at(&gradients, second) == NONE {
                    *at_mut(&mut gradients, second) = self.add(layer.output.values(), tick, tick);
                }
                self.keep_until(*at(&gradients, second), tick);
            }
        }
        (gradients, input_gradients)
    }

    const fn finish(
        &mut self,
        values: &[usize; MAX_TENSORS],
        saved: &[usize; MAX_LAYERS],
        gradients: &[usize; MAX_TENSORS],
        input_gradients: &[usize; MAX_LAYERS],
    ) -> Places {
        let mut places = Places {
            forward: [ForwardSlot {
                output: NOWHERE,
                saved: 0,
                saved_len: 0,
            }; MAX_LAYERS],
            backward: [BackwardSlot {
                gradient: NOWHERE,
                input_gradient: NOWHERE,
            }; MAX_LAYERS],
            input: 0,
            target: 0,
            peak: self.place(),
        };
        let mut i = 0;
        while i < MAX_LAYERS {
            *at_mut(&mut places.forward, i) = ForwardSlot {
                output: self.offset(*at(values, i + 1)),
                saved: self.offset(*at(saved, i)),
                saved_len: self.size(*at(saved, i)),
            };
            *at_mut(&mut places.backward, i) = BackwardSlot {
                gradient: self.offset(*at(gradients, i + 1)),
                input_gradient: self.offset(*at(input_gradients, i)),
            };
            i += 1;
        }
        places
    }
}
