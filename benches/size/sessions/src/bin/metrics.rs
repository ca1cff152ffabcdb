//! `Metrics` and `ConfusionMatrix`.
#![no_std]
#![no_main]

use core::hint::black_box;

use lightlayers::Error;
use lightlayers::metrics::{ConfusionMatrix, Metrics, arg_max};
use size_sessions::{any, buffer, program};

program!(run);

fn run() -> Result<(), Error> {
    let mut metrics = Metrics::default();
    metrics.add(black_box(0.5), black_box(Some(true)));
    black_box((
        metrics.loss(),
        metrics.accuracy(),
        metrics.samples(),
        metrics.correct(),
    ));
    let mut matrix = ConfusionMatrix::<10>::new(black_box(10))?;
    let predicted = arg_max(any(buffer!(f32, 10)));
    matrix.add(black_box(3), predicted)?;
    let class = black_box(2);
    black_box((matrix.count(class, class), matrix.total(), matrix.classes()));
    black_box((
        matrix.precision(class),
        matrix.recall(class),
        matrix.accuracy(),
    ));
    Ok(())
}
