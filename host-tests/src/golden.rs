//! Vectors made with Keras: the folder `golden/` of this package, one file per case and a manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use ndarray::{Array, ArrayD, Dimension, IxDyn};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// One `f32` tensor of a case, row-major.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Sizes of the axes, outermost first.
    pub shape: Vec<usize>,
    /// The elements; the last axis runs fastest.
    pub values: Vec<f32>,
}

impl Tensor {
    /// The tensor in `f64`.
    pub fn to_array(&self) -> ArrayD<f64> {
        let values = self.values.iter().copied().map(f64::from).collect();
        ArrayD::from_shape_vec(IxDyn(&self.shape), values).expect("checked when the case was read")
    }
}

/// One case: its manifest entry and its tensors.
#[derive(Clone, Debug)]
pub struct Case {
    /// The case's name, such as `light_dense_0`.
    pub id: String,
    /// Everything the manifest says about the case: layer, hyper-parameters, notes.
    pub entry: Value,
    /// The tensors by name, such as `x` or `grad.kernel`; none if the case lives in the manifest
    /// alone.
    pub tensors: BTreeMap<String, Tensor>,
}

impl Case {
    /// The layer, loss or optimizer that the case is about, such as `LightDense`.
    pub fn layer(&self) -> &str {
        self.entry["layer"]
            .as_str()
            .expect("every case names its layer")
    }

    /// A hyper-parameter; JSON's null if the case does not state it.
    pub fn hyper(&self, name: &str) -> &Value {
        &self.entry["hyper"][name]
    }

    /// A numeric hyper-parameter. Panics if there is none of that name.
    pub fn number(&self, name: &str) -> f64 {
        let value = self.hyper(name);
        value
            .as_f64()
            .unwrap_or_else(|| panic!("{}: {name} is {value}, not a number", self.id))
    }

    /// A hyper-parameter with one entry for height and one for width. Panics if there is none of
    /// that name.
    pub fn pair(&self, name: &str) -> [usize; 2] {
        let value = self.hyper(name);
        let read = |index: usize| value.get(index)?.as_u64()?.try_into().ok();
        match (read(0), read(1)) {
            (Some(height), Some(width)) => [height, width],
            _ => panic!("{}: {name} is {value}, not a pair of sizes", self.id),
        }
    }

    /// A list of numbers of the manifest entry. Panics if there is none of that name.
    pub fn numbers(&self, name: &str) -> Vec<f64> {
        let value = &self.entry[name];
        let numbers = value
            .as_array()
            .map(|list| list.iter().filter_map(Value::as_f64).collect());
        numbers.unwrap_or_else(|| panic!("{}: {name} is {value}, not a list", self.id))
    }

    /// The names of the tensors that are results, not given.
    pub fn results(&self) -> BTreeSet<String> {
        const GIVEN: [&str; 4] = ["x", "dy", "logits", "target"];
        const GIVEN_GROUPS: [&str; 3] = ["param.", "init.", "grads."];
        let names = self.tensors.keys().filter(|name| {
            !GIVEN.contains(&name.as_str())
                && !GIVEN_GROUPS.iter().any(|group| name.starts_with(group))
        });
        names.cloned().collect()
    }

    /// A tensor by name. Panics if the case has none of that name.
    pub fn tensor(&self, name: &str) -> &Tensor {
        self.tensors.get(name).unwrap_or_else(|| {
            panic!(
                "{}: no tensor {name} among {:?}",
                self.id,
                self.tensors.keys()
            )
        })
    }

    /// A tensor in `f64`, with the number of axes that the caller asks for. Panics if the case has
    /// none of that name, or if it has another number of axes.
    pub fn array<D: Dimension>(&self, name: &str) -> Array<f64, D> {
        let array = self.tensor(name).to_array();
        array
            .into_dimensionality()
            .unwrap_or_else(|error| panic!("{}: {name}: {error}", self.id))
    }

    /// As [`array`](Self::array), but `None` if the case has no tensor of that name.
    pub fn optional_array<D: Dimension>(&self, name: &str) -> Option<Array<f64, D>> {
        self.tensors.contains_key(name).then(|| self.array(name))
    }
}

/// The manifest: `conventions`, and `cases` with one entry per case.
pub fn manifest() -> &'static Value {
    static MANIFEST: OnceLock<Value> = OnceLock::new();
    MANIFEST.get_or_init(|| {
        let path = folder().join("manifest.json");
        let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    })
}

/// The names of all cases, in the order of the manifest.
pub fn ids() -> Vec<&'static str> {
    entries()
        .iter()
        .map(|entry| entry["id"].as_str().expect("every case has an id"))
        .collect()
}

/// Reads a case. Panics if the manifest does not list it, or if its file is not what the manifest
/// says.
pub fn case(id: &str) -> Case {
    let entry = entries().iter().find(|entry| entry["id"] == id);
    let entry = entry
        .unwrap_or_else(|| panic!("the manifest has no case {id}"))
        .clone();
    let tensors = match entry["file"].as_str() {
        Some(file) => read(file),
        None => BTreeMap::new(),
    };
    let listed = entry["tensors"].as_object().into_iter().flatten();
    let listed: BTreeMap<&str, Vec<usize>> = listed
        .map(|(name, tensor)| (name.as_str(), sizes(&tensor["shape"])))
        .collect();
    let stored: BTreeMap<&str, Vec<usize>> = tensors
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor.shape.clone()))
        .collect();
    assert_eq!(
        stored, listed,
        "{id}: tensors of the file, tensors of the manifest"
    );
    Case {
        id: id.to_owned(),
        entry,
        tensors,
    }
}

/// The manifest's measure of a tensor's error: `max|found - expected| / max|expected|`, and
/// `max|found|` where `expected` is all zero. A difference that is not a number counts as infinite.
/// Panics if the lengths differ.
pub fn relative_error<F, E>(found: &[F], expected: &[E]) -> f64
where
    F: Copy + Into<f64>,
    E: Copy + Into<f64>,
{
    let (_, worst) = worst_difference(found, expected);
    let largest = expected
        .iter()
        .fold(0.0_f64, |largest, &value| largest.max(value.into().abs()));
    if largest == 0.0 {
        worst
    } else {
        worst / largest
    }
}

/// Panics if the [`relative_error`] is above `tolerance`, and says where it is worst. Returns the
/// error.
pub fn assert_close<F, E>(name: &str, found: &[F], expected: &[E], tolerance: f64) -> f64
where
    F: Copy + Into<f64>,
    E: Copy + Into<f64>,
{
    assert_eq!(
        found.len(),
        expected.len(),
        "{name}: number of elements found, expected"
    );
    let error = relative_error(found, expected);
    let (index, _) = worst_difference(found, expected);
    assert!(
        error <= tolerance,
        "{name}[{index}]: expected {}, found {}; tensor error {error:e}, tolerance {tolerance:e}",
        expected[index].into(),
        found[index].into(),
    );
    error
}

/// Index and size of the largest absolute difference; index 0 of an empty tensor.
fn worst_difference<F, E>(found: &[F], expected: &[E]) -> (usize, f64)
where
    F: Copy + Into<f64>,
    E: Copy + Into<f64>,
{
    assert_eq!(
        found.len(),
        expected.len(),
        "number of elements found, expected"
    );
    let mut worst = (0, 0.0);
    for (index, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let difference = (found.into() - expected.into()).abs();
        let difference = if difference.is_nan() {
            f64::INFINITY
        } else {
            difference
        };
        if difference > worst.1 {
            worst = (index, difference);
        }
    }
    worst
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn entries() -> &'static [Value] {
    manifest()["cases"]
        .as_array()
        .expect("the manifest lists cases")
}

fn sizes(shape: &Value) -> Vec<usize> {
    let sizes = shape
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_u64);
    sizes
        .map(|size| usize::try_from(size).expect("fits the memory"))
        .collect()
}

fn read(file: &str) -> BTreeMap<String, Tensor> {
    let path = folder().join(file);
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let stored = SafeTensors::deserialize(&bytes)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let read_tensor = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        assert_eq!(view.dtype(), Dtype::F32, "{file}: {name}");
        let (words, rest) = view.data().as_chunks::<4>();
        assert!(rest.is_empty(), "{file}: {name}");
        let values = words.iter().map(|&word| f32::from_le_bytes(word)).collect();
        (
            name,
            Tensor {
                shape: view.shape().to_vec(),
                values,
            },
        )
    };
    stored.tensors().into_iter().map(read_tensor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_is_relative_to_the_largest_expected_element() {
        assert_eq!(relative_error(&[1.0_f64, -4.5], &[1.0_f32, -4.0]), 0.125);
        assert_eq!(relative_error(&[0.25_f32, -0.5], &[0.0_f32, 0.0]), 0.5);
        assert_eq!(relative_error::<f64, f32>(&[], &[]), 0.0);
    }

    #[test]
    fn not_a_number_is_an_infinite_error() {
        assert_eq!(
            relative_error(&[f64::NAN, 1.0], &[1.0_f32, 1.0]),
            f64::INFINITY
        );
    }

    #[test]
    #[should_panic = "bias[1]: expected 4, found 4.5; tensor error 1.25e-1, tolerance 1e-5"]
    fn message_names_the_worst_element() {
        assert_close("bias", &[1.0_f64, 4.5], &[1.0_f32, 4.0], 1e-5);
    }

    #[test]
    fn every_case_reads() {
        let ids = ids();
        assert_eq!(ids.len(), 100);
        for id in ids {
            assert_eq!(case(id).id, id);
        }
    }
}
