//! Whether words can be the weights of a quantized network.

use super::Quantization;
use super::infer::Head;
use super::layout::{self, HEAD};
use crate::network::{Layer, MAX_LAYERS};
use crate::slices::{get, get_mut};

/// A number in the head of a tensor that [`quantize`](super::quantize) does not write.
pub(crate) struct BadHead {
    /// 0 is the network's input, `i + 1` the output of layer `i`.
    pub(crate) tensor: usize,
    pub(crate) what: &'static str,
    pub(crate) range: &'static str,
    pub(crate) found: f32,
}

/// Looks at the heads of all tensors. `words` are as many as the layers need.
///
/// All other words may be anything: sums of wrong ones are wrong numbers, and nothing worse.
pub(crate) const fn check_heads(layers: &[Layer], words: &[u32]) -> Result<(), BadHead> {
    let mut zero_points = [0; MAX_LAYERS + 1];
    let mut rest = words;
    let mut tensor = 0;
    loop {
        let head = Head::of(rest);
        let (scale, exponent) = (head.quantization.scale, head.exponent);
        if !Quantization::is_scale(scale) {
            return Err(BadHead {
                tensor,
                what: "the scale of a tensor",
                range: "the positive numbers",
                found: scale,
            });
        }
        if exponent > 31 {
            return Err(BadHead {
                tensor,
                what: "the exponent of a layer",
                range: "0..=31",
                found: exponent as f32,
            });
        }
        let (mut len, mut source_zero) = (HEAD, 0);
        if let Some(index) = tensor.checked_sub(1) {
            len = layout::words(layers, index);
            if let Some(layer) = get(layers, index)
                && let Some(zero_point) = get(&zero_points, layer.source as usize)
            {
                source_zero = *zero_point;
            }
        }
        if head.source_zero != source_zero {
            return Err(BadHead {
                tensor,
                what: "the same zero point of a layer's input",
                range: "both records that have it",
                found: head.source_zero as f32,
            });
        }
        if let Some(zero_point) = get_mut(&mut zero_points, tensor) {
            *zero_point = head.quantization.zero_point;
        }
        let (true, Some((_, after))) = (tensor < layers.len(), rest.split_at_checked(len)) else {
            return Ok(());
        };
        rest = after;
        tensor += 1;
    }
}
