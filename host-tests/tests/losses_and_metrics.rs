//! Losses against the reference, on logits of every size, and metrics against counting by hand.

use host_tests::golden::assert_close;
use host_tests::reference::activation::softmax;
use host_tests::reference::{mean_squared_error, softmax_cross_entropy};
use host_tests::sample;
use host_tests::session::{to_array, values};
use lightlayers::loss::{Loss, MeanSquaredError, SoftmaxCrossEntropy};
use lightlayers::metrics::{ConfusionMatrix, Metrics, arg_max};
use ndarray::Array2;

/// A share of the largest value.
const TOLERANCE: f64 = 1e-6;

const BATCH: usize = 6;

/// The losses of the samples and the gradient of their mean.
fn run(loss: impl Loss, outputs: &[f32], target: &Array2<f64>) -> (Vec<f32>, Vec<f32>) {
    let mut gradient = outputs.to_vec();
    let rows = gradient.chunks_mut(target.ncols()).zip(target.rows());
    let losses = rows.map(|(outputs, target)| {
        let target: Vec<f32> = target.iter().map(|value| *value as f32).collect();
        loss.gradient(outputs, &target, 1.0 / BATCH as f32)
    });
    (losses.collect(), gradient)
}

/// Probabilities that `f32` holds exactly.
fn soft_labels(classes: usize) -> Array2<f64> {
    let scores = sample::uniform((BATCH, classes), -2.0, 2.0, 9);
    softmax::forward(&scores).mapv(|value| f64::from(value as f32))
}

#[test]
fn cross_entropy() {
    for classes in [2, 3, 10, 33] {
        for size in [0.1, 1.0, 30.0, 1e3, 1e4] {
            let logits = values(BATCH * classes, size, classes as u64);
            let labels: Vec<usize> = (0..BATCH).map(|n| (n * 7) % classes).collect();
            let one_hot = softmax_cross_entropy::one_hot(&labels, classes);
            for (kind, target) in [("one-hot", one_hot), ("soft", soft_labels(classes))] {
                for smoothing in [0.0, 0.125, 0.5] {
                    let name = format!("{kind}, {classes} classes, ±{size}, {smoothing}");
                    let loss = SoftmaxCrossEntropy::with_label_smoothing(smoothing);
                    let (losses, gradient) = run(loss.expect("in range"), &logits, &target);

                    let logits = to_array(&logits, BATCH);
                    let smoothing = f64::from(smoothing);
                    let target = softmax_cross_entropy::smooth_labels(&target, smoothing);
                    let expected = softmax_cross_entropy::forward(&logits, &target).per_example;
                    assert_close(&name, &losses, &expected.to_vec(), TOLERANCE);
                    let expected = softmax_cross_entropy::backward(&logits, &target);
                    let expected = expected.into_raw_vec_and_offset().0;
                    assert_close(&name, &gradient, &expected, TOLERANCE);
                }
            }
        }
    }
}

#[test]
fn squared_error() {
    for outputs in [1, 2, 7, 40] {
        let (y, target) = (
            values(BATCH * outputs, 3.0, 1),
            values(BATCH * outputs, 3.0, 2),
        );
        let target = to_array(&target, BATCH);
        let (losses, gradient) = run(MeanSquaredError, &y, &target);
        let y = to_array(&y, BATCH);
        let expected = mean_squared_error::forward(&y, &target).per_example;
        assert_close("losses", &losses, &expected.to_vec(), TOLERANCE);
        let expected = mean_squared_error::backward(&y, &target);
        let expected = expected.into_raw_vec_and_offset().0;
        assert_close("gradient", &gradient, &expected, TOLERANCE);
    }
}

#[test]
fn the_largest_value_wins_and_the_first_of_equals() {
    assert_eq!(arg_max(&[-3.0, -1.0, -1.0, -2.0]), 1);
    assert_eq!(arg_max(&[f32::NEG_INFINITY, f32::MIN]), 1);
    assert_eq!(arg_max(&[0.0, f32::INFINITY, 9.0]), 1);
    assert_eq!(arg_max(&[]), 0);
}

/// A million losses of 0.1 and 0.3 in turn: a plain sum in `f32` would be off by 1 %.
#[test]
fn the_mean_of_many_losses() {
    let mut metrics = Metrics::default();
    for i in 0..1_000_000 {
        let odd = i % 2 == 1;
        metrics.add(if odd { 0.3 } else { 0.1 }, Some(odd));
    }
    assert!((metrics.loss() - 0.2).abs() < 1e-4, "{}", metrics.loss());
    assert_eq!((metrics.accuracy(), metrics.samples()), (0.5, 1_000_000));
}

/// Three classes; rows are true, columns predicted:
///
/// | | 0 | 1 | 2 | recall |
/// |---|---|---|---|---|
/// | 0 | 5 | 1 | 0 | 5/6 |
/// | 1 | 2 | 4 | 0 | 4/6 |
/// | 2 | 0 | 0 | 0 | none |
/// | precision | 5/7 | 4/5 | none | 9/12 |
#[test]
fn confusion_matrix_by_hand() {
    let counts = [[5, 1, 0], [2, 4, 0], [0, 0, 0]];
    let mut matrix = ConfusionMatrix::<8>::new(3).unwrap();
    assert_eq!((matrix.accuracy(), matrix.total()), (None, 0));
    for (truth, row) in counts.iter().enumerate() {
        for (predicted, count) in row.iter().enumerate() {
            for _ in 0..*count {
                matrix.add(truth, predicted).unwrap();
            }
            assert_eq!(matrix.count(truth, predicted), *count);
        }
    }
    let close = |found: Option<f32>, expected: Option<f32>| match (found, expected) {
        (Some(found), Some(expected)) => (found - expected).abs() < 1e-6,
        (found, expected) => found == expected,
    };
    let recall = [Some(5.0 / 6.0), Some(4.0 / 6.0), None];
    let precision = [Some(5.0 / 7.0), Some(0.8), None];
    for class in 0..3 {
        assert!(close(matrix.recall(class), recall[class]), "{class}");
        assert!(close(matrix.precision(class), precision[class]), "{class}");
    }
    assert!(close(matrix.accuracy(), Some(0.75)));
    let expected = "\
true\\pred    0    1    2  recall
        0    5    1    .    0.83
        1    2    4    .    0.67
        2    .    .    .       -
precision 0.71 0.80    -    0.75";
    assert_eq!(matrix.to_string(), expected);
}
