//! How much memory a network needs at the least: the largest sum of tensors that are alive
//! together.
//!
//! Written from the layers' laws, not from the library's planner. A tensor lives from the pass that
//! makes it to the last one that reads it. Where a layer changes one value after the other, its
//! output takes its input's place, if nobody reads that again. Every tensor has a gradient of its
//! own, to which all that read it add. No placement of whole tensors can do with less, and a
//! placement may need more, if tensors that die leave gaps.

use lightlayers::{Layer, Network, Op, Shape, WindowSize};

/// Changes one value after the other, or a pixel's channels.
fn in_place(layer: &Layer) -> bool {
    matches!(
        layer.op(),
        Op::Relu
            | Op::Relu6
            | Op::LeakyRelu { .. }
            | Op::Sigmoid
            | Op::Tanh
            | Op::Softmax
            | Op::Flatten
            | Op::Dropout { .. }
            | Op::BatchNorm { .. }
            | Op::Add
    )
}

/// Bits of a ReLU, 32 to an element; places of max pooling, 4 to an element, of global max pooling
/// one.
fn marks(layer: &Layer) -> usize {
    let len = layer.output_shape().len();
    match layer.op() {
        Op::Relu | Op::Relu6 | Op::LeakyRelu { .. } => len.div_ceil(32),
        Op::MaxPool2d { .. } => len.div_ceil(4),
        Op::GlobalMaxPool => len,
        _ => 0,
    }
}

/// What lies between the factors of a layer.
fn between(layer: &Layer) -> usize {
    let (input, output) = (layer.input_shape(), layer.output_shape());
    match *layer.op() {
        Op::LightDense { rank, .. } => usize::from(rank),
        Op::LightConv2d { rank, window, .. } => pixels_of(input, window) * usize::from(rank),
        Op::SeparableConv2d { multiplier, .. } => {
            let pixels = usize::from(output.height) * usize::from(output.width);
            pixels * usize::from(input.channels) * usize::from(multiplier)
        }
        _ => 0,
    }
}

/// The pixels after the first of two convolutions: those of a network of the first alone.
fn pixels_of(input: Shape, window: WindowSize) -> usize {
    let [height, width, channels] = [input.height, input.width, input.channels].map(usize::from);
    let net = Network::input(height, width, channels);
    let net = net.try_push(Op::Conv2d { filters: 1, window });
    net.expect("fits").output_shape().len()
}

/// Vectors of channels of a batch normalization: mean, deviation and two sums, or the scale alone
/// where it is frozen.
fn statistics(layer: &Layer) -> usize {
    let channels = usize::from(layer.output_shape().channels);
    match layer.op() {
        Op::BatchNorm { .. } if layer.is_frozen() => channels,
        Op::BatchNorm { .. } => 4 * channels,
        _ => 0,
    }
}

fn custom_saved(layer: &Layer) -> usize {
    match *layer.op() {
        Op::Custom { saved, .. } => usize::from(saved),
        _ => 0,
    }
}

/// A tensor: its size, and its first and last pass; it may die before it is born, where another one
/// takes its place at once.
#[derive(Clone, Copy)]
struct Life {
    size: usize,
    first: usize,
    last: usize,
}

impl Life {
    fn read_at(&mut self, pass: usize) {
        self.last = self.last.max(pass);
    }
}

fn peak(lives: &[Life]) -> usize {
    let passes = 0..=lives.iter().map(|life| life.last).max().unwrap_or(0);
    let alive = passes.map(|pass| {
        let alive = lives
            .iter()
            .filter(|life| (life.first..=life.last).contains(&pass));
        alive.map(|life| life.size).sum()
    });
    alive.max().unwrap_or(0)
}

/// The places of a layer's inputs among the tensors: the network's input, then the layers' outputs.
fn inputs(layer: &Layer) -> Vec<usize> {
    let place = |tensor: Option<usize>| tensor.map_or(0, |layer| layer + 1);
    layer.inputs().map(place).collect()
}

/// The values on the way forward, of which layer `i` is computed in pass `1 + i`. `read_later` is the
/// last pass on the way back that reads a tensor; 0 if none does.
fn values(net: &Network, read_later: &[usize]) -> Vec<Life> {
    let layers = net.layers();
    let sizes = layers.iter().map(|layer| layer.output_shape().len());
    let sizes = std::iter::once(net.input_shape().len()).chain(sizes);
    let mut lives: Vec<Life> = sizes
        .enumerate()
        .map(|(tensor, size)| Life {
            size,
            first: tensor,
            last: read_later[tensor],
        })
        .collect();
    for (i, layer) in layers.iter().enumerate() {
        let pass = 1 + i;
        let read_again = |tensor: usize| {
            let mut above = layers[i + 1..].iter();
            read_later[tensor] > pass || above.any(|above| inputs(above).contains(&tensor))
        };
        let mut place_is_free = in_place(layer);
        for tensor in inputs(layer) {
            let taken_over = place_is_free && !read_again(tensor);
            place_is_free &= !taken_over;
            lives[tensor].read_at(if taken_over { pass - 1 } else { pass });
        }
    }
    lives
}

/// The elements for one sample's inference, whose input lies outside.
pub fn inference(net: &Network) -> usize {
    let mut lives = values(net, &vec![0; net.len() + 1]);
    lives[0].size = 0;
    lives[net.len()].read_at(net.len());
    for (i, layer) in net.layers().iter().enumerate() {
        let channels = usize::from(layer.output_shape().channels);
        let scale = match layer.op() {
            Op::BatchNorm { .. } => channels,
            _ => 0,
        };
        lives.push(Life {
            size: between(layer) + custom_saved(layer) + scale,
            first: 1 + i,
            last: 1 + i,
        });
    }
    peak(&lives)
}

/// The elements for training with one sample at a time.
///
/// The passes: 0 reads the sample and its target, `1 + i` is layer `i`'s forward pass, then comes
/// the loss, then for each layer, last to first, the gradients of its weights and that of its
/// inputs.
pub fn training(net: &Network) -> usize {
    let layers = net.layers();
    let loss = 1 + layers.len();
    let weights_gradient = |i: usize| loss + 1 + 2 * (layers.len() - 1 - i);
    let input_gradient = |i: usize| weights_gradient(i) + 1;

    // Whether something learns below a tensor.
    let mut learns = vec![false];
    for layer in layers {
        let below = inputs(layer).iter().any(|tensor| learns[*tensor]);
        learns.push(below || layer.trainable_weights() > 0);
    }
    let back_to = |i: usize| learns[i + 1];
    let back_through = |i: usize| inputs(&layers[i]).iter().any(|tensor| learns[*tensor]);
    let last_pass = |i: usize| match (back_through(i), back_to(i)) {
        (true, _) => input_gradient(i),
        (false, true) => weights_gradient(i),
        (false, false) => 1 + i,
    };

    // What the way back reads of the values.
    let mut read_later = vec![0; layers.len() + 1];
    for (i, layer) in layers.iter().enumerate().filter(|(i, _)| back_to(*i)) {
        let own = layer.trainable_weights() > 0;
        let input_until = match layer.op() {
            Op::Custom { .. } => last_pass(i),
            Op::BatchNorm { .. } if own => last_pass(i),
            _ if own => weights_gradient(i),
            _ => 0,
        };
        let tensor = inputs(layer)[0];
        read_later[tensor] = read_later[tensor].max(input_until);
        let reads_its_output = matches!(layer.op(), Op::Sigmoid | Op::Tanh | Op::Softmax);
        if reads_its_output && back_through(i) {
            read_later[i + 1] = read_later[i + 1].max(input_gradient(i));
        }
    }
    let mut lives = values(net, &read_later);
    // The loss turns the outputs into their gradient.
    lives[layers.len()].read_at(loss - 1);
    lives.push(Life {
        size: net.output_shape().len(),
        first: 0,
        last: loss,
    });

    // What is kept beside the values.
    for (i, layer) in layers.iter().enumerate() {
        let from = 1 + i;
        let mut keep = |size, first, last| lives.push(Life { size, first, last });
        if back_through(i) {
            keep(marks(layer), from, input_gradient(i));
        }
        keep(custom_saved(layer), from, last_pass(i));
        keep(statistics(layer), from, last_pass(i));
        // `h`, and `dh`, which the input's gradient is made from, in the place of `h`.
        let own = layer.trainable_weights() > 0;
        let reads_h = own || matches!(layer.op(), Op::LightConv2d { .. });
        let h_until = match back_to(i) && reads_h {
            true => weights_gradient(i),
            false => from,
        };
        let dh_from = weights_gradient(i) + usize::from(h_until > from);
        keep(between(layer), from, h_until);
        if back_to(i) {
            keep(between(layer), dh_from, last_pass(i));
        }
    }

    // Gradients on the way back. That of the network's input is nobody's.
    let mut gradients: Vec<Option<Life>> = vec![None; layers.len() + 1];
    let begin = |size, first| Life {
        size,
        first,
        last: first,
    };
    gradients[layers.len()] = Some(begin(net.output_shape().len(), loss));
    for (i, layer) in layers.iter().enumerate().rev().filter(|(i, _)| back_to(*i)) {
        let pass = input_gradient(i);
        let gradient = gradients[i + 1].as_mut().expect("something reads it");
        gradient.read_at(match layer.op() {
            _ if !back_through(i) => weights_gradient(i),
            // Taken over.
            _ if in_place(layer) => pass - 1,
            // Made from `dh`.
            Op::LightDense { .. } | Op::LightConv2d { .. } | Op::SeparableConv2d { .. } => {
                weights_gradient(i)
            }
            _ => pass,
        });
        for tensor in inputs(layer) {
            if learns[tensor] {
                let size = layer.input_shape().len();
                let sum = gradients[tensor].get_or_insert(begin(size, pass));
                sum.read_at(pass);
            }
        }
    }
    lives.extend(gradients.into_iter().flatten());
    peak(&lives)
}
