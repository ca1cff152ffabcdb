//! A network of the library once more in `f64`: its list of layers, each of them computed by
//! [`reference`](mod@crate::reference).

use std::collections::BTreeMap;

use lightlayers::{Layer, Network, Op, Padding, Shape, WindowSize};
use ndarray::{Array, Array1, Array2, Array4, Dimension, IntoDimension};

use crate::reference::activation::{leaky_relu, relu, relu6, sigmoid, softmax, tanh};
use crate::reference::batch_norm::{self, MovingStatistics};
use crate::reference::window::{self, Window};
use crate::reference::{
    add, average_pool2d, conv2d, dense, depthwise_conv2d, global_pool2d, light_conv2d, light_dense,
    max_pool2d, mean_squared_error, penalty, separable_conv2d, softmax_cross_entropy,
    zero_padding2d,
};

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
    /// What each dropout layer multiplies its input with in training; nothing, unless it is set
    /// here.
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

/// What a network is run for: dropout and batch normalization differ.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Inference,
    Training,
}

/// The gradients of a layer's inputs, and of its weights.
type Backward = (Vec<Array2<f64>>, Vec<f64>);

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

    /// The outputs for the samples `x` at inference.
    pub fn outputs(&self, x: &Array2<f64>) -> Array2<f64> {
        let mut values = self.trace(x, Mode::Inference);
        values.pop().expect("at least the input")
    }

    /// The output of one layer at inference, from its inputs.
    pub fn layer_output(&self, index: usize, inputs: &[&Array2<f64>]) -> Array2<f64> {
        self.forward(index, inputs, Mode::Inference)
    }

    /// The loss of training, penalties included.
    pub fn loss(&self, objective: Objective, x: &Array2<f64>, target: &Array2<f64>) -> f64 {
        let outputs = self.trace(x, Mode::Training).pop();
        let (loss, _) = objective.of(&outputs.expect("at least the input"), target);
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
        let outputs = self.trace(x, Mode::Training).pop();
        let (_, dy) = objective.of(&outputs.expect("at least the input"), target);
        self.pass(x, &dy).gradients
    }

    /// A forward pass of training, and a backward pass for the gradient `dy` of the outputs.
    pub fn pass(&self, x: &Array2<f64>, dy: &Array2<f64>) -> Pass {
        let values = self.trace(x, Mode::Training);
        let layers = self.net.layers();
        let mut gradients: Vec<_> = values.iter().map(|value| value * 0.0).collect();
        *gradients.last_mut().expect("at least the input") = dy.clone();
        let mut parts = Vec::new();
        for (index, layer) in layers.iter().enumerate().rev() {
            let inputs = inputs(layer, &values);
            let (below, mut own) = self.backward(index, &inputs, &gradients[index + 1]);
            let penalties = Array1::from_vec(self.kernels(index));
            let penalties = penalty::l2_gradient(&penalties, self.l2[index]);
            for (gradient, penalty) in own.iter_mut().zip(penalties) {
                *gradient += penalty;
            }
            if !layer.is_frozen() {
                parts.push(own);
            }
            for (tensor, below) in layer.inputs().zip(below) {
                gradients[place(tensor)] += &below;
            }
        }
        parts.reverse();
        Pass {
            y: values.last().expect("at least the input").clone(),
            dx: gradients.swap_remove(0),
            gradients: parts.concat(),
        }
    }

    /// The places of the weights that learn, in the order of the gradients.
    pub fn trainable(&self) -> Vec<usize> {
        let learning = self.net.layers().iter().filter(|layer| !layer.is_frozen());
        learning.flat_map(Layer::weights_range).collect()
    }

    /// The network's input, and the output of every layer.
    fn trace(&self, x: &Array2<f64>, mode: Mode) -> Vec<Array2<f64>> {
        let mut values = vec![x.clone()];
        for (index, layer) in self.net.layers().iter().enumerate() {
            let y = self.forward(index, &inputs(layer, &values), mode);
            values.push(y);
        }
        values
    }

    fn layer(&self, index: usize) -> (&Layer, Weights<'_>) {
        let layer = &self.net.layers()[index];
        (layer, Weights(&self.weights[layer.weights_range()]))
    }

    /// The weights of a layer, but 0 where the penalty is not for them: biases, gamma and beta.
    fn kernels(&self, index: usize) -> Vec<f64> {
        let (layer, weights) = self.layer(index);
        let mut kernels = weights.0.to_vec();
        let [inputs, input, output] = [
            layer.input_shape().len(),
            usize::from(layer.input_shape().channels),
            usize::from(layer.output_shape().channels),
        ];
        let (len, inner_bias) = match *layer.op() {
            Op::Dense { units } => (inputs * usize::from(units), 0..0),
            Op::LightDense { units, rank } => {
                ((inputs + usize::from(units)) * usize::from(rank), 0..0)
            }
            Op::Conv2d { window, .. } => (area(window) * input * output, 0..0),
            Op::DepthwiseConv2d { window, .. } => (area(window) * output, 0..0),
            Op::SeparableConv2d {
                multiplier, window, ..
            } => {
                let middle = input * usize::from(multiplier);
                ((area(window) + output) * middle, 0..0)
            }
            Op::LightConv2d { rank, window, .. } => {
                let rank = usize::from(rank);
                let (w1, w2) = (area(window) * input * rank, area(window) * rank * output);
                let b1 = if kernels.len() > w1 + w2 { rank } else { 0 };
                (w1 + b1 + w2, w1..w1 + b1)
            }
            _ => (0, 0..0),
        };
        kernels[inner_bias].fill(0.0);
        kernels[len..].fill(0.0);
        kernels
    }

    /// The moving statistics of a batch normalization: they lie behind all other weights, layer by
    /// layer.
    fn moving(&self, index: usize) -> MovingStatistics {
        let layers = self.net.layers();
        let normalizing = |layer: &&Layer| matches!(layer.op(), Op::BatchNorm { .. });
        let statistics = |layer: &Layer| 2 * usize::from(layer.output_shape().channels);
        let from_here = layers[index..].iter().filter(normalizing).map(statistics);
        let start = self.weights.len() - from_here.sum::<usize>();
        let channels = statistics(&layers[index]) / 2;
        let mut rest = Weights(&self.weights[start..]);
        MovingStatistics {
            mean: rest.tensor(channels),
            variance: rest.tensor(channels),
        }
    }

    fn forward(&self, index: usize, inputs: &[&Array2<f64>], mode: Mode) -> Array2<f64> {
        let (layer, mut weights) = self.layer(index);
        let x = inputs[0];
        let input = layer.input_shape();
        let image = || image(input, x);
        match *layer.op() {
            Op::Dense { units } => {
                let kernel = weights.tensor((input.len(), usize::from(units)));
                dense::forward(x, &kernel, weights.bias().as_ref())
            }
            Op::LightDense { units, rank } => {
                let (units, rank) = (usize::from(units), usize::from(rank));
                let w1 = weights.tensor((input.len(), rank));
                let w2 = weights.tensor((rank, units));
                light_dense::forward(x, &w1, &w2, weights.bias().as_ref())
            }
            Op::Conv2d { filters, window } => {
                let kernel = weights.kernel(window, input.channels, filters);
                let bias = weights.bias();
                rows(conv2d::forward(
                    &image(),
                    &kernel,
                    bias.as_ref(),
                    &of(window),
                ))
            }
            Op::LightConv2d {
                filters,
                rank,
                window,
            } => {
                let factors = weights.light_conv2d(layer, window, rank, filters);
                rows(light_conv2d::forward(
                    &image(),
                    &factors.w1,
                    factors.b1.as_ref(),
                    &factors.w2,
                    factors.b2.as_ref(),
                    &of(window),
                ))
            }
            Op::DepthwiseConv2d { multiplier, window } => {
                let kernel = weights.kernel(window, input.channels, multiplier);
                let bias = weights.bias();
                let window = of(window);
                rows(depthwise_conv2d::forward(
                    &image(),
                    &kernel,
                    bias.as_ref(),
                    &window,
                ))
            }
            Op::SeparableConv2d {
                filters,
                multiplier,
                window,
            } => {
                let depthwise = weights.kernel(window, input.channels, multiplier);
                let pointwise = weights.pointwise(input.channels, multiplier, filters);
                let bias = weights.bias();
                rows(separable_conv2d::forward(
                    &image(),
                    &depthwise,
                    &pointwise,
                    bias.as_ref(),
                    &of(window),
                ))
            }
            Op::BatchNorm { epsilon, .. } => {
                let channels = usize::from(input.channels);
                let (gamma, beta) = (weights.tensor(channels), weights.tensor(channels));
                let moving = self.moving(index);
                let (x, epsilon) = (pixels(layer, x), f64::from(epsilon));
                let y = if mode == Mode::Inference || layer.is_frozen() {
                    batch_norm::forward_inference(&x, &gamma, &beta, &moving, epsilon)
                } else {
                    batch_norm::forward_training(&x, &gamma, &beta, &moving, 0.0, epsilon).y
                };
                in_rows(inputs[0], y)
            }
            Op::MaxPool2d { window } => rows(max_pool2d::forward(
                &image(),
                kernel_size(window),
                &of(window),
            )),
            Op::AveragePool2d { window } => rows(average_pool2d::forward(
                &image(),
                kernel_size(window),
                &of(window),
            )),
            Op::GlobalAveragePool => global_pool2d::average::forward(&image()),
            Op::GlobalMaxPool => global_pool2d::max::forward(&image()),
            Op::ZeroPadding2d { border } => {
                let [top, bottom, left, right] =
                    [border.top, border.bottom, border.left, border.right].map(usize::from);
                rows(zero_padding2d::forward(
                    &image(),
                    [[top, bottom], [left, right]],
                ))
            }
            Op::Add => add::forward(x, inputs[1]),
            Op::Custom { layer, .. } if layer.name() == "pairs" => {
                let w = weights.0;
                Array2::from_shape_fn((x.nrows(), w.len()), |(n, j)| {
                    w[j] * x[[n, 2 * j]] * x[[n, 2 * j + 1]]
                })
            }
            Op::Relu => relu::forward(x),
            Op::Relu6 => relu6::forward(x),
            Op::LeakyRelu { slope } => leaky_relu::forward(x, f64::from(slope)),
            Op::Sigmoid => sigmoid::forward(x),
            Op::Tanh => tanh::forward(x),
            Op::Softmax => in_rows(x, softmax::forward(&pixels(layer, x))),
            Op::Flatten => x.clone(),
            Op::Dropout { .. } if mode == Mode::Inference => x.clone(),
            Op::Dropout { .. } => self.drop_out(index, x),
            op => panic!("no twin of {op:?}"),
        }
    }

    fn backward(&self, index: usize, inputs: &[&Array2<f64>], dy: &Array2<f64>) -> Backward {
        let (layer, mut weights) = self.layer(index);
        let x = inputs[0];
        let (input, output) = (layer.input_shape(), layer.output_shape());
        let x4 = || image(input, x);
        let dy4 = || image(output, dy);
        let input_dim = || x4().dim();
        let dx = match *layer.op() {
            Op::Dense { units } => {
                let kernel = weights.tensor((input.len(), usize::from(units)));
                let found = dense::backward(x, &kernel, dy);
                return (
                    vec![found.dx],
                    [flat(found.kernel), weights.gradient_of_bias(found.bias)].concat(),
                );
            }
            Op::LightDense { units, rank } => {
                let (units, rank) = (usize::from(units), usize::from(rank));
                let w1 = weights.tensor((input.len(), rank));
                let w2 = weights.tensor((rank, units));
                let found = light_dense::backward(x, &w1, &w2, dy);
                let own = [
                    flat(found.w1),
                    flat(found.w2),
                    weights.gradient_of_bias(found.bias),
                ]
                .concat();
                return (vec![found.dx], own);
            }
            Op::Conv2d { filters, window } => {
                let kernel = weights.kernel(window, input.channels, filters);
                let found = conv2d::backward(&x4(), &kernel, &of(window), &dy4());
                let own = [flat(found.kernel), weights.gradient_of_bias(found.bias)].concat();
                return (vec![rows(found.dx)], own);
            }
            Op::LightConv2d {
                filters,
                rank,
                window,
            } => {
                let factors = weights.light_conv2d(layer, window, rank, filters);
                let found = light_conv2d::backward(
                    &x4(),
                    &factors.w1,
                    factors.b1.as_ref(),
                    &factors.w2,
                    &of(window),
                    &dy4(),
                );
                let own = [
                    flat(found.w1),
                    flat_bias(factors.b1.is_some().then_some(found.b1)),
                    flat(found.w2),
                    flat_bias(factors.b2.is_some().then_some(found.b2)),
                ];
                return (vec![rows(found.dx)], own.concat());
            }
            Op::DepthwiseConv2d { multiplier, window } => {
                let kernel = weights.kernel(window, input.channels, multiplier);
                let found = depthwise_conv2d::backward(&x4(), &kernel, &of(window), &dy4());
                let own = [flat(found.kernel), weights.gradient_of_bias(found.bias)].concat();
                return (vec![rows(found.dx)], own);
            }
            Op::SeparableConv2d {
                filters,
                multiplier,
                window,
            } => {
                let depthwise = weights.kernel(window, input.channels, multiplier);
                let pointwise = weights.pointwise(input.channels, multiplier, filters);
                let found =
                    separable_conv2d::backward(&x4(), &depthwise, &pointwise, &of(window), &dy4());
                let own = [
                    flat(found.depthwise_kernel),
                    flat(found.pointwise_kernel),
                    weights.gradient_of_bias(found.bias),
                ];
                return (vec![rows(found.dx)], own.concat());
            }
            Op::BatchNorm { epsilon, .. } => {
                let gamma = weights.tensor(usize::from(input.channels));
                let (x, dy) = (pixels(layer, x), pixels(layer, dy));
                let epsilon = f64::from(epsilon);
                let found = if layer.is_frozen() {
                    batch_norm::backward_inference(&x, &gamma, &self.moving(index), epsilon, &dy)
                } else {
                    batch_norm::backward_training(&x, &gamma, epsilon, &dy)
                };
                let own = [flat(found.gamma), flat(found.beta)].concat();
                return (vec![in_rows(inputs[0], found.dx)], own);
            }
            Op::Custom { layer, .. } if layer.name() == "pairs" => {
                let w = weights.0;
                let mut dx = Array2::zeros(x.dim());
                let mut own = vec![0.0; w.len()];
                for ((n, j), dy) in dy.indexed_iter() {
                    own[j] += dy * x[[n, 2 * j]] * x[[n, 2 * j + 1]];
                    dx[[n, 2 * j]] = dy * w[j] * x[[n, 2 * j + 1]];
                    dx[[n, 2 * j + 1]] = dy * w[j] * x[[n, 2 * j]];
                }
                return (vec![dx], own);
            }
            Op::Add => return (add::backward(dy).to_vec(), Vec::new()),
            Op::MaxPool2d { window } => rows(max_pool2d::backward(
                &x4(),
                kernel_size(window),
                &of(window),
                &dy4(),
            )),
            Op::AveragePool2d { window } => rows(average_pool2d::backward(
                input_dim(),
                kernel_size(window),
                &of(window),
                &dy4(),
            )),
            Op::GlobalAveragePool => rows(global_pool2d::average::backward(input_dim(), dy)),
            Op::GlobalMaxPool => rows(global_pool2d::max::backward(&x4(), dy)),
            Op::ZeroPadding2d { border } => {
                let [top, bottom, left, right] =
                    [border.top, border.bottom, border.left, border.right].map(usize::from);
                rows(zero_padding2d::backward(
                    &dy4(),
                    [[top, bottom], [left, right]],
                ))
            }
            Op::Relu => relu::backward(x, dy),
            Op::Relu6 => relu6::backward(x, dy),
            Op::LeakyRelu { slope } => leaky_relu::backward(x, f64::from(slope), dy),
            Op::Sigmoid => sigmoid::backward(x, dy),
            Op::Tanh => tanh::backward(x, dy),
            Op::Softmax => {
                let y = softmax::backward(&pixels(layer, x), &pixels(layer, dy));
                in_rows(x, y)
            }
            Op::Flatten => dy.clone(),
            Op::Dropout { .. } => self.drop_out(index, dy),
            op => panic!("no twin of {op:?}"),
        };
        (vec![dx], Vec::new())
    }

    fn drop_out(&self, index: usize, x: &Array2<f64>) -> Array2<f64> {
        match self.dropout.get(&index) {
            Some(factors) => x * factors,
            None => x.clone(),
        }
    }
}

/// Where a tensor lies in a trace: the network's input first, then the layers' outputs.
fn place(tensor: Option<usize>) -> usize {
    tensor.map_or(0, |layer| layer + 1)
}

fn inputs<'a>(layer: &Layer, values: &'a [Array2<f64>]) -> Vec<&'a Array2<f64>> {
    layer
        .inputs()
        .map(|tensor| &values[place(tensor)])
        .collect()
}

/// The weights of a layer that were not taken yet.
struct Weights<'a>(&'a [f64]);

/// The weights of a LightConv2D.
struct LightConv2d {
    w1: Array4<f64>,
    b1: Option<Array1<f64>>,
    w2: Array4<f64>,
    b2: Option<Array1<f64>>,
}

impl<'a> Weights<'a> {
    fn take(&mut self, len: usize) -> &'a [f64] {
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken
    }

    fn tensor<D: Dimension, S: IntoDimension<Dim = D>>(&mut self, shape: S) -> Array<f64, D> {
        let shape = shape.into_dimension();
        let values = self.take(shape.size()).to_vec();
        Array::from_shape_vec(shape, values).expect("as many as taken")
    }

    fn kernel(&mut self, window: WindowSize, channels: u16, filters: u16) -> Array4<f64> {
        let [rows, columns] = kernel_size(window);
        self.tensor((rows, columns, usize::from(channels), usize::from(filters)))
    }

    fn pointwise(&mut self, channels: u16, multiplier: u16, filters: u16) -> Array4<f64> {
        let middle = usize::from(channels) * usize::from(multiplier);
        self.tensor((1, 1, middle, usize::from(filters)))
    }

    /// The rest.
    fn bias(&mut self) -> Option<Array1<f64>> {
        let len = self.0.len();
        (len > 0).then(|| self.tensor(len))
    }

    /// What was found for the biases, if there are any.
    fn gradient_of_bias(&mut self, found: Array1<f64>) -> Vec<f64> {
        flat_bias(self.bias().map(|_| found))
    }

    fn light_conv2d(
        &mut self,
        layer: &Layer,
        window: WindowSize,
        rank: u16,
        filters: u16,
    ) -> LightConv2d {
        let w1 = self.kernel(window, layer.input_shape().channels, rank);
        let w2_len = area(window) * usize::from(rank) * usize::from(filters);
        let has_bias = self.0.len() > w2_len;
        let b1 = has_bias.then(|| self.tensor(usize::from(rank)));
        let w2 = self.kernel(window, rank, filters);
        LightConv2d {
            w1,
            b1,
            w2,
            b2: self.bias(),
        }
    }
}

fn kernel_size(window: WindowSize) -> [usize; 2] {
    [window.kernel.0, window.kernel.1].map(usize::from)
}

fn area(window: WindowSize) -> usize {
    let [rows, columns] = kernel_size(window);
    rows * columns
}

/// The reference's window.
fn of(window: WindowSize) -> Window {
    Window {
        stride: [window.stride.0, window.stride.1].map(usize::from),
        dilation: [usize::from(window.dilation); 2],
        padding: match window.padding {
            Padding::Same => window::Padding::Same,
            Padding::Valid => window::Padding::Valid,
        },
    }
}

fn flat<D: Dimension>(array: Array<f64, D>) -> Vec<f64> {
    array.into_raw_vec_and_offset().0
}

fn flat_bias(bias: Option<Array1<f64>>) -> Vec<f64> {
    bias.map_or(Vec::new(), flat)
}

/// Rows of samples as images.
fn image(shape: Shape, rows: &Array2<f64>) -> Array4<f64> {
    let [height, width, channels] = [shape.height, shape.width, shape.channels].map(usize::from);
    let values = rows.iter().copied().collect();
    Array4::from_shape_vec((rows.nrows(), height, width, channels), values).expect("whole images")
}

/// Images as rows of samples.
fn rows(images: Array4<f64>) -> Array2<f64> {
    let (batch, height, width, channels) = images.dim();
    let values = images.iter().copied().collect();
    Array2::from_shape_vec((batch, height * width * channels), values).expect("whole images")
}

/// One row for every pixel.
fn pixels(layer: &Layer, x: &Array2<f64>) -> Array2<f64> {
    let channels = usize::from(layer.output_shape().channels);
    let values = x.iter().copied().collect();
    Array2::from_shape_vec((x.len() / channels, channels), values).expect("whole pixels")
}

/// The pixels as rows of samples, as many as `like` has.
fn in_rows(like: &Array2<f64>, pixels: Array2<f64>) -> Array2<f64> {
    Array2::from_shape_vec(like.dim(), flat(pixels)).expect("as many values as before")
}
