//! Quantized networks against the same law in 64-bit integers: random networks, extreme scales, zero points at both ends, channels of
//! zeros, biases from nothing to much more than the products.

use std::collections::BTreeMap;

use host_tests::int8_law;
use host_tests::quantized::{infer, words};
use lightlayers::quant::{Calibration, Quantization, RangeMethod, TensorRange};
use lightlayers::{Border, Network, Op, Padding, Plan, Rng, WindowSize};

/// Inputs of each network.
const SAMPLES: usize = 5;

#[test]
fn random_networks_have_the_integers_of_the_law() {
    check(1000);
}

/// 50,000 samples: `cargo test -p host-tests --test quant_law -- --ignored --nocapture`.
#[test]
#[ignore = "takes ten seconds or more"]
fn many_random_networks_have_the_integers_of_the_law() {
    check(10_000);
}

fn check(networks: u64) {
    let (mut samples, mut values, mut inner) = (0, 0, 0);
    let mut layers = BTreeMap::new();
    for seed in 0..networks {
        let mut random = Random(Rng::new(seed));
        let net = random.network();
        let weights = random.weights(&net);
        let quantizations = random.quantizations(&net, &weights);
        let words = words(&net, &weights, &quantizations);
        for sample in 0..SAMPLES {
            let x = random.input(
                net.input_shape().len(),
                sample,
                quantizations[0].zero_point(),
            );
            let found = infer(&net, &words, &x);
            let expected = int8_law::outputs(&net, &words, &x);
            assert_eq!(
                found,
                expected,
                "network {seed}, sample {sample}, {} {:?} {quantizations:?}",
                net.input_shape(),
                net.layers()
                    .iter()
                    .map(|layer| layer.op())
                    .collect::<Vec<_>>()
            );
            samples += 1;
            values += found.len();
            inner += found
                .iter()
                .filter(|value| !matches!(value, -128 | 127))
                .count();
        }
        for layer in net.layers() {
            *layers.entry(layer.name()).or_insert(0) += 1;
        }
    }
    println!(
        "{samples} samples of {networks} networks, {values} values, {inner} of them between the ends: 0 differences"
    );
    println!("layers: {layers:?}");
    assert_eq!(layers.len(), 17, "kinds of layers that can be quantized");
    assert!(4 * inner > values, "what saturates shows little");
}

struct Random(Rng);

impl Random {
    fn below(&mut self, end: u32) -> u32 {
        self.0.next_u32() % end
    }

    /// From 1 to `most`.
    fn size(&mut self, most: u32) -> u32 {
        1 + self.below(most)
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u32) as usize]
    }

    fn is_one_in(&mut self, count: u32) -> bool {
        self.below(count) == 0
    }

    /// From -1 to 1.
    fn unit(&mut self) -> f64 {
        f64::from(self.0.next_u32()) / f64::from(1_u32 << 31) - 1.0
    }

    /// A power of ten, of at most so many decades.
    fn power(&mut self, decades: f64) -> f64 {
        10.0_f64.powf(decades * self.unit())
    }

    fn network(&mut self) -> Network {
        let start = if self.is_one_in(4) {
            Network::features(self.size(40) as usize)
        } else {
            let [height, width, channels] = [9, 9, 9].map(|most| self.size(most) as usize);
            Network::input(height, width, channels)
        };
        let wanted = self.size(5) as usize;
        let mut net = start;
        while net.len() < wanted {
            // Where a layer does not fit its input, another one is drawn.
            net = self.longer(net).unwrap_or(net);
        }
        net
    }

    fn longer(&mut self, net: Network) -> Option<Network> {
        let (kernel, stride) = [(5, 5), (3, 3)]
            .map(|(rows, columns)| (self.size(rows) as u8, self.size(columns) as u8))
            .into();
        let is_dilated = self.is_one_in(4);
        let window = WindowSize {
            kernel,
            stride: if is_dilated { (1, 1) } else { stride },
            dilation: if is_dilated { self.size(3) as u8 } else { 1 },
            padding: self.one_of(&[Padding::Same, Padding::Valid]),
        };
        let pool = WindowSize {
            dilation: 1,
            ..window
        };
        let border = Border {
            top: 1,
            bottom: 0,
            left: 2,
            right: 1,
        };
        let bias = !self.is_one_in(4);
        let filters = self.size(9);
        let with_bias = |net: Network| net.bias(bias);
        let op = match self.below(20) {
            0..=3 => {
                let op = Op::Conv2d {
                    filters: filters as u16,
                    window,
                };
                return net.try_push(op).ok().map(with_bias);
            }
            4 | 5 => {
                let op = Op::DepthwiseConv2d {
                    multiplier: 1 + filters as u16 % 3,
                    window,
                };
                return net.try_push(op).ok().map(with_bias);
            }
            6 | 7 => {
                let flat = if net.has_flat_output() {
                    net
                } else {
                    net.flatten()
                };
                return Some(flat.dense(filters as usize).bias(bias));
            }
            8 => {
                let channels = usize::from(net.output_shape().channels);
                if net.has_flat_output() {
                    return None;
                }
                let body = net.conv2d(channels, 3).relu().conv2d(channels, 1);
                let shortcut = if bias {
                    net
                } else {
                    net.depthwise_conv2d(3, 1)
                };
                return net.try_residual(body, shortcut).ok();
            }
            9 | 10 => Op::MaxPool2d { window: pool },
            11 => Op::AveragePool2d { window: pool },
            12 => Op::GlobalAveragePool,
            13 => Op::GlobalMaxPool,
            14 => Op::ZeroPadding2d { border },
            15 => Op::Softmax,
            16 => self.one_of(&[Op::Flatten, Op::Dropout { rate: 0.5 }]),
            17 => self.one_of(&[Op::Sigmoid, Op::Tanh]),
            _ => self.one_of(&[Op::Relu, Op::Relu6, Op::LeakyRelu { slope: 0.1 }]),
        };
        net.try_push(op).ok()
    }

    /// Channels of one size or of many, some of zeros; biases of the weights' size, or up to a million times as large or as small.
    fn weights(&mut self, net: &Network) -> Vec<f32> {
        let mut weights = Vec::new();
        for layer in net.layers() {
            let filters = usize::from(layer.output_shape().channels);
            let decades = self.one_of(&[0.0, 0.0, 2.0]);
            let bias_decades = self.one_of(&[0.0, 6.0]);
            let sizes: Vec<_> = (0..filters)
                .map(|_| {
                    if self.is_one_in(8) {
                        0.0
                    } else {
                        self.power(decades)
                    }
                })
                .collect();
            let len = layer.weights_range().len();
            // Of layers with weights, those of a filter lie that far apart; what is left at the end are the biases.
            let kernel = len - len % filters;
            for at in 0..len {
                let is_bias = at + filters >= kernel && len > filters;
                let own = if is_bias {
                    self.power(bias_decades)
                } else {
                    1.0
                };
                weights.push((sizes[at % filters] * own * self.unit()) as f32);
            }
        }
        weights
    }

    /// What a calibration chooses, or tensors of other scales and zero points among them.
    fn quantizations(&mut self, net: &Network, weights: &[f32]) -> Vec<Quantization> {
        let plan = Plan::new(net);
        let tensors = net.len() + 1;
        let mut ranges = vec![TensorRange::EMPTY; tensors];
        let mut workspace = vec![0.0; net.inference_workspace()];
        let calibration = Calibration::new(&plan, weights, &mut workspace, &mut ranges, &mut []);
        let mut calibration = calibration.expect("buffers fit");
        for _ in 0..4 {
            let sample: Vec<_> = (0..net.input_shape().len())
                .map(|_| self.unit() as f32)
                .collect();
            calibration.observe(&sample).expect("finite");
        }
        let mut chosen = vec![Quantization::PIXELS; tensors];
        calibration
            .choose(RangeMethod::MinMax, &mut chosen)
            .expect("observed");
        let decades = self.one_of(&[0.0, 0.0, 0.5, 3.0, 20.0]);
        for own in &mut chosen {
            if decades == 0.0 || self.is_one_in(2) {
                continue;
            }
            let any = self.0.next_u32() as i8;
            let zero_point = self.one_of(&[-128, 127, 0, any]);
            let scale = f64::from(own.scale()) * self.power(decades);
            *own = Quantization::new(scale.clamp(1e-37, 1e35) as f32, zero_point).expect("a scale");
        }
        chosen
    }

    /// Both ends and the zero point alone, the ends mixed, and any integers.
    fn input(&mut self, len: usize, sample: usize, zero_point: i8) -> Vec<i8> {
        let mut draw = || match sample {
            0 => self.one_of(&[-128, 127]),
            1 => zero_point,
            _ => self.0.next_u32() as i8,
        };
        let mut x: Vec<i8> = (0..len).map(|_| draw()).collect();
        if sample == 2 {
            x.fill([-128, 127][len % 2]);
        }
        x
    }
}
