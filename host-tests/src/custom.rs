//! Layers from outside the library, for its tests.

use lightlayers::{CustomBackward, CustomForward, CustomLayer, CustomSizes, Network, Shape};

/// `y = x + w`, with a weight for every value of every sample of a batch: the gradient of the
/// weights is the gradient `dx` of the layer above.
#[derive(Debug)]
pub struct Probe;

/// Adds a [`Probe`] for batches of `batch` samples.
pub fn probe(net: Network, batch: usize) -> Network {
    let output = net.output_shape();
    let weights = u16::try_from(output.len() * batch).expect("at most 65,535 values are probed");
    let sizes = CustomSizes {
        output,
        weights,
        saved: 0,
    };
    net.custom(&Probe, sizes)
}

impl CustomLayer for Probe {
    fn name(&self) -> &'static str {
        "probe"
    }

    fn forward(&self, pass: CustomForward<'_>) {
        let terms = pass.input.iter().zip(pass.weights);
        for (y, (x, w)) in pass.output.iter_mut().zip(terms) {
            *y = x + w;
        }
    }

    fn backward_weights(&self, pass: CustomBackward<'_>, gradients: &mut [f32]) {
        for (gradient, dy) in gradients.iter_mut().zip(pass.output_gradient) {
            *gradient += dy;
        }
    }

    fn backward_input(&self, pass: CustomBackward<'_>, gradient: &mut [f32]) {
        gradient.copy_from_slice(pass.output_gradient);
    }
}

/// `y[j] = w[j] · x[2j] · x[2j + 1]`: half as many outputs as inputs, an odd last input unused.
///
/// It reads everything that a layer can read on the way back: its input for the input's gradient,
/// and for the weights' gradients the products of the inputs, which it saves.
#[derive(Debug)]
pub struct Pairs;

/// Adds a layer of [`Pairs`]; its input has at least two values.
pub fn pairs(net: Network) -> Network {
    let outputs = u16::try_from(net.output_shape().len() / 2).expect("fits");
    let sizes = CustomSizes {
        output: Shape::flat(outputs),
        weights: outputs,
        saved: outputs,
    };
    net.custom(&Pairs, sizes)
}

impl CustomLayer for Pairs {
    fn name(&self) -> &'static str {
        "pairs"
    }

    fn forward(&self, pass: CustomForward<'_>) {
        let (inputs, outputs) = (pass.input.len() / pass.batch, pass.weights.len());
        for (n, x) in pass.input.chunks(inputs).enumerate() {
            for j in 0..outputs {
                let product = x[2 * j] * x[2 * j + 1];
                pass.saved[n * outputs + j] = product;
                pass.output[n * outputs + j] = pass.weights[j] * product;
            }
        }
    }

    fn backward_weights(&self, pass: CustomBackward<'_>, gradients: &mut [f32]) {
        let outputs = pass.weights.len();
        let samples = pass.output_gradient.chunks(outputs);
        for (dy, products) in samples.zip(pass.saved.chunks(outputs)) {
            let terms = dy.iter().zip(products);
            for (gradient, (dy, product)) in gradients.iter_mut().zip(terms) {
                *gradient += dy * product;
            }
        }
    }

    fn backward_input(&self, pass: CustomBackward<'_>, gradient: &mut [f32]) {
        let (inputs, outputs) = (pass.input.len() / pass.batch, pass.weights.len());
        gradient.fill(0.0);
        for n in 0..pass.batch {
            let x = &pass.input[n * inputs..][..inputs];
            let dx = &mut gradient[n * inputs..][..inputs];
            for j in 0..outputs {
                let dproduct = pass.output_gradient[n * outputs + j] * pass.weights[j];
                dx[2 * j] = dproduct * x[2 * j + 1];
                dx[2 * j + 1] = dproduct * x[2 * j];
            }
        }
    }
}
