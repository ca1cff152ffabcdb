//! Vectors made with TensorFlow Lite: the folder `tflite/` of this package, one file per case and a
//! manifest.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use lightlayers::quant::Quantization;
use lightlayers::{Op, Padding, WindowSize};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// The elements of a tensor, row-major.
#[derive(Clone, Debug)]
pub enum Values {
    /// Activations and kernels.
    I8(Vec<i8>),
    /// Biases.
    I32(Vec<i32>),
    /// Scales.
    F32(Vec<f32>),
}

/// A tensor of a case.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Sizes of the axes, outermost first.
    pub shape: Vec<usize>,
    /// The elements; the last axis runs fastest.
    pub values: Values,
}

/// One case: its manifest entry and its tensors.
#[derive(Clone, Debug)]
pub struct Case {
    /// The case's name, such as `conv2d_1x1`.
    pub id: String,
    /// Everything the manifest says about the case.
    pub entry: Value,
    tensors: BTreeMap<String, Tensor>,
}

impl Case {
    /// The operations, in order.
    pub fn operations(&self) -> Vec<Operation<'_>> {
        let entries = self.entry["ops"].as_array().expect("a list of operations");
        let operation = |entry| Operation { case: self, entry };
        entries.iter().map(operation).collect()
    }

    fn tensor(&self, name: &str) -> &Tensor {
        let tensor = self.tensors.get(name);
        tensor.unwrap_or_else(|| panic!("{}: no tensor {name}", self.id))
    }

    /// The sizes of a tensor's axes. Panics if there is none of that name.
    pub fn shape(&self, name: &str) -> &[usize] {
        &self.tensor(name).shape
    }

    /// The elements of an `i8` tensor. Panics if there is none of that name.
    pub fn bytes(&self, name: &str) -> &[i8] {
        match &self.tensor(name).values {
            Values::I8(values) => values,
            _ => panic!("{}: {name} is not of i8", self.id),
        }
    }

    /// How a tensor of activations is quantized. Panics if the manifest does not say.
    pub fn quantization(&self, name: &str) -> Quantization {
        let entry = &self.entry["tensors"][name];
        let number = |what: &str| {
            let value = entry[what].as_f64();
            value.unwrap_or_else(|| panic!("{}: {what} of {name}", self.id))
        };
        let scale = number("scale") as f32;
        Quantization::new(scale, number("zero_point") as i8).expect("a positive scale")
    }

    /// How many outputs of the whole graph real numbers, rounded once, give otherwise than the
    /// reference kernels.
    pub fn exact(&self) -> usize {
        count(&self.entry["y"])
    }
}

/// `exact.count`.
fn count(entry: &Value) -> usize {
    let count = entry["exact"]["count"].as_u64().expect("a count");
    usize::try_from(count).expect("fits the memory")
}

/// An operation of a case.
#[derive(Clone, Copy, Debug)]
pub struct Operation<'a> {
    /// Its case.
    pub case: &'a Case,
    entry: &'a Value,
}

impl<'a> Operation<'a> {
    fn text(&self, name: &str) -> Option<&'a str> {
        self.entry[name].as_str()
    }

    /// The layer, such as `Conv2D`.
    pub fn layer(&self) -> &'a str {
        self.text("layer").expect("every operation names its layer")
    }

    /// The names of the inputs.
    pub fn inputs(&self) -> Vec<&'a str> {
        let names = self.entry["inputs"].as_array().into_iter().flatten();
        names.filter_map(Value::as_str).collect()
    }

    /// The name of the output.
    pub fn output(&self) -> &'a str {
        self.text("output")
            .expect("every operation names its output")
    }

    /// The fused activation, `relu` or `relu6`.
    pub fn activation(&self) -> Option<&'a str> {
        self.entry["hyper"]["activation"].as_str()
    }

    /// The kernel, the scale of each output channel, and the biases, if there are any; none for a layer without weights.
    #[expect(clippy::type_complexity, reason = "three tensors")]
    pub fn weights(&self) -> Option<(&'a [i8], &'a [f32], Option<&'a [i32]>)> {
        let kernel = self.case.bytes(self.text("kernel")?);
        let scales = match &self.case.tensor(self.text("scale")?).values {
            Values::F32(values) => values,
            _ => panic!("{}: scales are f32", self.case.id),
        };
        let biases = self
            .text("bias")
            .map(|name| match &self.case.tensor(name).values {
                Values::I32(values) => values.as_slice(),
                _ => panic!("{}: biases are i32", self.case.id),
            });
        Some((kernel, scales, biases))
    }

    /// The largest difference that the manifest allows.
    pub fn tolerance(&self) -> i32 {
        let tolerance = self.entry["tolerance"].as_i64().expect("a tolerance");
        i32::try_from(tolerance).expect("it is 0 or 1")
    }

    /// How many outputs real numbers, rounded once, give otherwise than the reference kernels.
    pub fn exact(&self) -> usize {
        count(self.entry)
    }

    fn number(&self, name: &str) -> f64 {
        let value = &self.entry["hyper"][name];
        value
            .as_f64()
            .unwrap_or_else(|| panic!("{}: {name} is {value}", self.case.id))
    }

    fn window(&self, size: &str) -> WindowSize {
        let hyper = &self.entry["hyper"];
        let pair = |name: &str| {
            let at = |index: usize| hyper[name][index].as_u64().map(|size| size as u8);
            at(0).zip(at(1)).expect("two sizes")
        };
        let dilation = hyper["dilation_rate"][0].as_u64().unwrap_or(1);
        WindowSize {
            kernel: pair(size),
            stride: pair("strides"),
            dilation: dilation as u8,
            padding: match hyper["padding"].as_str() {
                Some("same") => Padding::Same,
                Some("valid") => Padding::Valid,
                other => panic!("{}: padding {other:?}", self.case.id),
            },
        }
    }

    /// The library's layer; none for an addition, which has two inputs.
    pub fn op(&self) -> Option<Op> {
        Some(match self.layer() {
            "Dense" => Op::Dense {
                units: self.number("units") as u16,
            },
            "Conv2D" => Op::Conv2d {
                filters: self.number("filters") as u16,
                window: self.window("kernel_size"),
            },
            "DepthwiseConv2D" => Op::DepthwiseConv2d {
                multiplier: self.number("depth_multiplier") as u16,
                window: self.window("kernel_size"),
            },
            "MaxPool2D" => Op::MaxPool2d {
                window: self.window("pool_size"),
            },
            "AveragePooling2D" => Op::AveragePool2d {
                window: self.window("pool_size"),
            },
            "GlobalAveragePooling2D" => Op::GlobalAveragePool,
            "GlobalMaxPooling2D" => Op::GlobalMaxPool,
            "ReLU" => Op::Relu,
            "ReLU6" => Op::Relu6,
            "LeakyReLU" => Op::LeakyRelu {
                slope: self.number("negative_slope") as f32,
            },
            "Sigmoid" => Op::Sigmoid,
            "Tanh" => Op::Tanh,
            "Softmax" => Op::Softmax,
            "Add" => return None,
            other => panic!("{}: no layer for {other}", self.case.id),
        })
    }
}

/// All cases, in the order of the manifest. Panics if a file is not what the manifest says.
pub fn cases() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(|| {
        let path = folder().join("manifest.json");
        let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let manifest: Value = serde_json::from_slice(&text).expect("a manifest");
        let entries = manifest["cases"].as_array().expect("a list of cases");
        entries.iter().map(case).collect()
    })
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tflite")
}

fn case(entry: &Value) -> Case {
    let id = entry["id"].as_str().expect("every case has an id");
    let path = folder().join(format!("{id}.safetensors"));
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let stored = SafeTensors::deserialize(&bytes).expect("tensors");
    let tensors: BTreeMap<String, Tensor> = stored
        .tensors()
        .into_iter()
        .map(|(name, view)| {
            let shape = view.shape().to_vec();
            let words = || view.data().as_chunks::<4>().0.iter();
            let values = match view.dtype() {
                Dtype::I8 => Values::I8(view.data().iter().map(|byte| *byte as i8).collect()),
                Dtype::I32 => Values::I32(words().map(|word| i32::from_le_bytes(*word)).collect()),
                Dtype::F32 => Values::F32(words().map(|word| f32::from_le_bytes(*word)).collect()),
                other => panic!("{id}: {name} is of {other:?}"),
            };
            (name, Tensor { shape, values })
        })
        .collect();
    let listed = entry["tensors"].as_object().expect("a list of tensors");
    assert!(listed.keys().eq(tensors.keys()), "{id}: tensors");
    for (name, tensor) in listed {
        let shape = tensor["shape"].as_array().into_iter().flatten();
        let shape: Vec<usize> = shape
            .filter_map(Value::as_u64)
            .map(|size| size as usize)
            .collect();
        assert_eq!(tensors[name].shape, shape, "{id}: {name}");
    }
    Case {
        id: id.to_owned(),
        entry: entry.clone(),
        tensors,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_reads() {
        assert_eq!(cases().len(), 65);
        for case in cases() {
            for operation in case.operations() {
                assert_eq!(operation.op().is_none(), operation.layer() == "Add");
            }
        }
    }
}
