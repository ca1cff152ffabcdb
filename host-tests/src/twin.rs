//! A network of the library once more in `f64`: its list of layers, each of them computed by
//! [`reference`](mod@crate::reference).

use std::collections::BTreeMap;

use lightlayers::{Layer, Network, Op};
use ndarray::{Array1, Array2};

use crate::reference::activation::{leaky_relu, relu, relu6, sigmoid, softmax, tanh};
use crate::reference::{dense, light_dense, mean_squared_error, penalty, softmax_cross_entropy};

/// What training makes small.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Objective {
    /// Softmax and cross-entropy, with label smoothing.
    CrossEntropy(f64),
    /// The mean squared error.
    SquaredError,
}

impl Objective {
    /// The mean loss, and the gradient of the outputs.
    fn of(self, outputs: &Array2<f64>, target: &Array2<f64>) -> (f64, Array2<f64>) {
        match self {
            Objective::CrossEntropy(smoothing) => {
                let target = softmax_cross_entropy::smooth_labels(target, smoothing);
                let loss = softmax_cross_entropy::forward(outputs, &target).mean;
                (loss, softmax_cross_entropy::backward(outputs, &target))
            }
            Objective::SquaredError => {
                let loss = mean_squared_error::forward(outputs, target).mean;
                (loss, mean_squared_error::backward(outputs, target))
            }
        }
    }
}

/// A network in `f64`.
#[derive(Clone, Debug)]
pub struct Twin {
    net: Network,
    /// All weights, as they lie in the library's buffer.
    pub weights: Vec<f64>,
    /// The L2 penalty of each layer; none unless it is set here: the library shows it to nobody.
    pub l2: Vec<f64>,
    /// What each dropout layer multiplies its input with; nothing, unless it is set here.
    pub dropout: BTreeMap<usize, Array2<f64>>,
}

/// What [`Twin::pass`] returns.
pub struct Pass {
    /// The outputs.
    pub y: Array2<f64>,
    /// The gradient of the inputs.
    pub dx: Array2<f64>,
    /// The gradients of the weights that learn, those of the penalties included.
    pub gradients: Vec<f64>,
}

/// The weights of a layer.
enum Weights {
    None,
    Dense(Array2<f64>, Option<Array1<f64>>),
    LightDense(Array2<f64>, Array2<f64>, Option<Array1<f64>>),
    Pairs(Vec<f64>),
}

impl Twin {
    /// The twin of a network that has these weights.
    pub fn new(net: &Network, weights: &[f32]) -> Self {
        assert_eq!(weights.len(), net.weights());
        Twin {
            net: *net,
            weights: weights.iter().copied().map(f64::from).collect(),
            l2: vec![0.0; net.len()],
            dropout: BTreeMap::new(),
        }
    }

    /// The outputs for the samples `x`.
    pub fn outputs(&self, x: &Array2<f64>) -> Array2<f64> {
        self.trace(x).pop().expect("at least the input")
    }

    /// The loss, penalties included.
    pub fn loss(&self, objective: Objective, x: &Array2<f64>, target: &Array2<f64>) -> f64 {
        let (loss, _) = objective.of(&self.outputs(x), target);
        let penalties = (0..self.net.len()).map(|index| {
            let kernels = self.kernels(index);
            penalty::l2(&Array1::from_vec(kernels), self.l2[index])
        });
        loss + penalties.sum::<f64>()
    }

    /// The gradients of the weights that learn, those of the penalties included.
    pub fn gradients(
        &self,
        objective: Objective,
        x: &Array2<f64>,
        target: &Array2<f64>,
    ) -> Vec<f64> {
        let (_, dy) = objective.of(&self.outputs(x), target);
        self.pass(x, &dy).gradients
    }

    /// A forward pass, and a backward pass for the gradient `dy` of the outputs.
    pub fn pass(&self, x: &Array2<f64>, dy: &Array2<f64>) -> Pass {
        let mut values = self.trace(x);
        let y = values.pop().expect("at least the input");
        let mut dx = dy.clone();
        let mut parts = Vec::new();
        for (index, x) in values.iter().enumerate().rev() {
            let (below, mut own) = self.backward(index, x, &dx);
            let kernels = Array1::from_vec(self.kernels(index));
            let penalty = penalty::l2_gradient(&kernels, self.l2[index]);
            for (gradient, penalty) in own.iter_mut().zip(penalty) {
                *gradient += penalty;
            }
            if !self.net.layers()[index].is_frozen() {
                parts.push(own);
            }
            dx = below;
        }
        parts.reverse();
        let gradients = parts.concat();
        Pass { y, dx, gradients }
    }

    /// The places of the weights that learn, in the order of the gradients.
    pub fn trainable(&self) -> Vec<usize> {
        let learning = self.net.layers().iter().filter(|layer| !layer.is_frozen());
        learning.flat_map(Layer::weights_range).collect()
    }

    /// The input of every layer, and the outputs.
    fn trace(&self, x: &Array2<f64>) -> Vec<Array2<f64>> {
        let mut values = vec![x.clone()];
        for index in 0..self.net.len() {
            let y = self.forward(index, &values[index]);
            values.push(y);
        }
        values
    }

    fn own(&self, index: usize) -> (&Layer, &[f64]) {
        let layer = &self.net.layers()[index];
        (layer, &self.weights[layer.weights_range()])
    }

    /// The weights of a layer that are no biases; they lie before those.
    fn kernels(&self, index: usize) -> Vec<f64> {
        let (_, own) = self.own(index);
        let kernels = match self.weights(index) {
            Weights::Dense(kernel, _) => kernel.len(),
            Weights::LightDense(w1, w2, _) => w1.len() + w2.len(),
            Weights::None | Weights::Pairs(_) => 0,
        };
        own[..kernels].to_vec()
    }

    fn weights(&self, index: usize) -> Weights {
        let (layer, own) = self.own(index);
        let inputs = layer.input_shape().len();
        let matrix = |start: usize, rows: usize, columns: usize| {
            let values = own[start..start + rows * columns].to_vec();
            Array2::from_shape_vec((rows, columns), values).expect("whole rows")
        };
        let bias = |start: usize| {
            let values = own[start..].to_vec();
            (!values.is_empty()).then(|| Array1::from_vec(values))
        };
        match *layer.op() {
            Op::Dense { units } => {
                let units = usize::from(units);
                Weights::Dense(matrix(0, inputs, units), bias(inputs * units))
            }
            Op::LightDense { units, rank } => {
                let (units, rank) = (usize::from(units), usize::from(rank));
                Weights::LightDense(
                    matrix(0, inputs, rank),
                    matrix(inputs * rank, rank, units),
                    bias((inputs + units) * rank),
                )
            }
            Op::Custom { layer, .. } if layer.name() == "pairs" => Weights::Pairs(own.to_vec()),
            _ => Weights::None,
        }
    }

    fn forward(&self, index: usize, x: &Array2<f64>) -> Array2<f64> {
        let (layer, _) = self.own(index);
        match (layer.op(), self.weights(index)) {
            (_, Weights::Dense(kernel, bias)) => dense::forward(x, &kernel, bias.as_ref()),
            (_, Weights::LightDense(w1, w2, bias)) => {
                light_dense::forward(x, &w1, &w2, bias.as_ref())
            }
            (_, Weights::Pairs(w)) => Array2::from_shape_fn((x.nrows(), w.len()), |(n, j)| {
                w[j] * x[[n, 2 * j]] * x[[n, 2 * j + 1]]
            }),
            (Op::Relu, _) => relu::forward(x),
            (Op::Relu6, _) => relu6::forward(x),
            (Op::LeakyRelu { slope }, _) => leaky_relu::forward(x, f64::from(*slope)),
            (Op::Sigmoid, _) => sigmoid::forward(x),
            (Op::Tanh, _) => tanh::forward(x),
            (Op::Softmax, _) => in_pixels(layer, x, softmax::forward),
            (Op::Flatten, _) => x.clone(),
            (Op::Dropout { .. }, _) => self.drop_out(index, x),
            (op, _) => panic!("no twin of {op:?}"),
        }
    }

    /// The gradient of the input and the gradients of the weights.
    fn backward(&self, index: usize, x: &Array2<f64>, dy: &Array2<f64>) -> (Array2<f64>, Vec<f64>) {
        let (layer, _) = self.own(index);
        let dx = match (layer.op(), self.weights(index)) {
            (_, Weights::Dense(kernel, bias)) => {
                let gradients = dense::backward(x, &kernel, dy);
                let mut own = gradients.kernel.into_raw_vec_and_offset().0;
                own.extend(
                    gradients
                        .bias
                        .iter()
                        .take(bias.map_or(0, |bias| bias.len())),
                );
                return (gradients.dx, own);
            }
            (_, Weights::LightDense(w1, w2, bias)) => {
                let gradients = light_dense::backward(x, &w1, &w2, dy);
                let mut own = gradients.w1.into_raw_vec_and_offset().0;
                own.extend(gradients.w2);
                own.extend(
                    gradients
                        .bias
                        .iter()
                        .take(bias.map_or(0, |bias| bias.len())),
                );
                return (gradients.dx, own);
            }
            (_, Weights::Pairs(w)) => {
                let mut dx = Array2::zeros(x.dim());
                let mut own = vec![0.0; w.len()];
                for ((n, j), dy) in dy.indexed_iter() {
                    own[j] += dy * x[[n, 2 * j]] * x[[n, 2 * j + 1]];
                    dx[[n, 2 * j]] = dy * w[j] * x[[n, 2 * j + 1]];
                    dx[[n, 2 * j + 1]] = dy * w[j] * x[[n, 2 * j]];
                }
                return (dx, own);
            }
            (Op::Relu, _) => relu::backward(x, dy),
            (Op::Relu6, _) => relu6::backward(x, dy),
            (Op::LeakyRelu { slope }, _) => leaky_relu::backward(x, f64::from(*slope), dy),
            (Op::Sigmoid, _) => sigmoid::backward(x, dy),
            (Op::Tanh, _) => tanh::backward(x, dy),
            (Op::Softmax, _) => {
                let x = pixels(layer, x);
                in_pixels(layer, dy, |dy| softmax::backward(&x, dy))
            }
            (Op::Flatten, _) => dy.clone(),
            (Op::Dropout { .. }, _) => self.drop_out(index, dy),
            (op, _) => panic!("no twin of {op:?}"),
        };
        (dx, Vec::new())
    }

    fn drop_out(&self, index: usize, x: &Array2<f64>) -> Array2<f64> {
        match self.dropout.get(&index) {
            Some(factors) => x * factors,
            None => x.clone(),
        }
    }
}

/// One row for every pixel.
fn pixels(layer: &Layer, x: &Array2<f64>) -> Array2<f64> {
    let channels = usize::from(layer.output_shape().channels);
    let values = x.iter().copied().collect();
    Array2::from_shape_vec((x.len() / channels, channels), values).expect("whole pixels")
}

fn in_pixels(
    layer: &Layer,
    x: &Array2<f64>,
    law: impl Fn(&Array2<f64>) -> Array2<f64>,
) -> Array2<f64> {
    let values = law(&pixels(layer, x)).into_raw_vec_and_offset().0;
    Array2::from_shape_vec(x.dim(), values).expect("as many values as before")
}
