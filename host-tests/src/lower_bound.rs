//! How much memory a network needs at the least: the largest sum of tensors that are alive
//! together.
//!
//! Written from the layers' laws, not from the library's planner. A tensor lives from the pass that
//! makes it to the last one that reads it. Where a layer changes one value after the other, its
//! output takes its input's place, if nobody reads that again. No placement of whole tensors can do
//! with less, and a placement may need more, if tensors that die leave gaps.

use lightlayers::{Layer, Network, Op};

/// Changes one value after the other, or a pixel's channels.
fn in_place(layer: &Layer) -> bool {
    !matches!(
        layer.op(),
        Op::Dense { .. } | Op::LightDense { .. } | Op::Custom { .. }
    )
}

/// Bits of a ReLU, 32 to an element.
fn mask(layer: &Layer) -> usize {
    match layer.op() {
        Op::Relu | Op::Relu6 | Op::LeakyRelu { .. } => layer.output_shape().len().div_ceil(32),
        _ => 0,
    }
}

/// The vector between the factors of a LightDense.
fn between(layer: &Layer) -> usize {
    match *layer.op() {
        Op::LightDense { rank, .. } => usize::from(rank),
        _ => 0,
    }
}

fn custom_saved(layer: &Layer) -> usize {
    match *layer.op() {
        Op::Custom { saved, .. } => usize::from(saved),
        _ => 0,
    }
}

/// The elements for one sample's inference, whose input lies outside.
pub fn inference(net: &Network) -> usize {
    let (mut most, mut input) = (0, 0);
    for layer in net.layers() {
        let output = layer.output_shape().len();
        let alive = match in_place(layer) {
            true => output,
            false => input + between(layer) + custom_saved(layer) + output,
        };
        most = most.max(alive);
        input = output;
    }
    most
}

/// A tensor: its size, and its first and last pass.
struct Life {
    size: usize,
    first: usize,
    last: usize,
}

/// The elements for training with one sample at a time.
///
/// The passes: 0 reads the sample and its target, `1 + i` is layer `i`'s forward pass, then comes
/// the loss, then for each layer, last to first, the gradients of its weights and that of its
/// input.
pub fn training(net: &Network) -> usize {
    let layers = net.layers();
    let loss = 1 + layers.len();
    let forward = |i: usize| 1 + i;
    let weights_gradient = |i: usize| loss + 1 + 2 * (layers.len() - 1 - i);
    let input_gradient = |i: usize| weights_gradient(i) + 1;
    let learns = |layer: &Layer| layer.trainable_weights() > 0;
    let lowest = layers.iter().position(learns).unwrap_or(layers.len());

    let mut lives = vec![Life {
        size: net.output_shape().len(),
        first: 0,
        last: loss,
    }];

    // Values on the way forward. `value` is alive until its reader's pass, or taken over just
    // before.
    let mut value = Life {
        size: net.input_shape().len(),
        first: 0,
        last: 0,
    };
    for (i, layer) in layers.iter().enumerate() {
        let back_to = i >= lowest;
        let back_through = i > lowest;
        let mut keep = |size, first, last| lives.push(Life { size, first, last });

        // What is kept beside the values.
        let from = forward(i);
        if back_through {
            keep(mask(layer), from, input_gradient(i));
        }
        let h_until = match back_to && learns(layer) {
            true => weights_gradient(i),
            false => from,
        };
        keep(between(layer), from, h_until);
        let saved_until = match (back_through, back_to) {
            (true, _) => input_gradient(i),
            (false, true) => weights_gradient(i),
            (false, false) => from,
        };
        keep(custom_saved(layer), from, saved_until);

        // Its input, and its output.
        if matches!(layer.op(), Op::Flatten) {
            continue;
        }
        let input_is_read_last = match layer.op() {
            Op::Custom { .. } => saved_until,
            _ if back_to && learns(layer) => weights_gradient(i),
            _ if in_place(layer) => from - 1,
            _ => from,
        };
        value.last = value.last.max(input_is_read_last);
        let reads_its_output = matches!(layer.op(), Op::Sigmoid | Op::Tanh | Op::Softmax);
        let next = Life {
            size: layer.output_shape().len(),
            first: from,
            last: match reads_its_output && back_through {
                true => input_gradient(i),
                false => from,
            },
        };
        lives.push(std::mem::replace(&mut value, next));
    }
    // The loss turns the outputs into their gradient.
    value.last = value.last.max(loss - 1);
    lives.push(value);

    // Gradients on the way back.
    let mut gradient = Life {
        size: net.output_shape().len(),
        first: loss,
        last: loss,
    };
    for (i, layer) in layers.iter().enumerate().skip(lowest).rev() {
        let back_through = i > lowest;
        let dh_until = match back_through {
            true => input_gradient(i),
            false => weights_gradient(i),
        };
        lives.push(Life {
            size: between(layer),
            first: weights_gradient(i),
            last: dh_until,
        });
        if matches!(layer.op(), Op::Flatten) {
            continue;
        }
        gradient.last = match layer.op() {
            _ if !back_through => weights_gradient(i),
            _ if in_place(layer) => input_gradient(i) - 1,
            // Made from `dh`.
            Op::LightDense { .. } => weights_gradient(i),
            _ => input_gradient(i),
        };
        let next = Life {
            size: layer.input_shape().len(),
            first: input_gradient(i),
            last: input_gradient(i),
        };
        lives.push(std::mem::replace(&mut gradient, next));
    }
    if lowest == layers.len() {
        lives.push(gradient);
    }

    let passes = 0..=input_gradient(0);
    let alive = passes.map(|pass| {
        let alive = lives
            .iter()
            .filter(|life| (life.first..=life.last).contains(&pass));
        alive.map(|life| life.size).sum()
    });
    alive.max().unwrap_or(0)
}
