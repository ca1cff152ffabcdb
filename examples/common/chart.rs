//! Learning curves as a picture.

use std::error::Error;
use std::ops::Range;
use std::path::Path;

use anyhow::{Result, anyhow};
use lightlayers::metrics::Metrics;
use plotters::coord::Shift;
use plotters::prelude::*;

/// Mean loss and accuracy over some samples.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Measured {
    pub loss: f32,
    pub accuracy: f32,
}

impl From<Metrics> for Measured {
    fn from(metrics: Metrics) -> Self {
        Self {
            loss: metrics.loss(),
            accuracy: metrics.accuracy(),
        }
    }
}

/// What was measured in one epoch.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct EpochResult {
    /// Over the training samples, each before the step that learned from it.
    pub training: Measured,
    /// Over the test or validation samples, after the epoch.
    pub test: Measured,
}

/// The names of the two curves, which say how they were measured.
pub struct Legend {
    pub training: &'static str,
    pub test: &'static str,
}

/// Blue and orange that colour-blind people can tell apart (Okabe and Ito).
const TRAINING: RGBColor = RGBColor(0, 114, 178);
const TEST: RGBColor = RGBColor(213, 94, 0);
const GRID: RGBColor = RGBColor(224, 224, 224);
const FONT: &str = "sans-serif";

/// Draws loss and accuracy over the epochs into an SVG file.
///
/// The axes span what the curves show after the first twentieth of the epochs; of the steep start, what does not fit is left out.
pub fn learning_curves(
    path: &Path,
    title: &str,
    legend: &Legend,
    epochs: &[EpochResult],
) -> Result<()> {
    draw(path, title, legend, epochs)
        .map_err(|error| anyhow!("cannot draw {}: {error}", path.display()))
}

fn draw(
    path: &Path,
    title: &str,
    legend: &Legend,
    epochs: &[EpochResult],
) -> Result<(), Box<dyn Error>> {
    let picture = SVGBackend::new(path, (1080, 450)).into_drawing_area();
    picture.fill(&WHITE)?;
    let picture = picture.titled(title, (FONT, 22))?;
    let (left, right) = picture.split_horizontally(540);

    let loss = Curves::of(epochs, |measured| measured.loss);
    let (_, highest) = loss.extremes();
    panel(&left, "loss", legend, &loss, 0.0..(1.1 * highest).max(0.01))?;

    let accuracy = Curves::of(epochs, |measured| measured.accuracy);
    let (lowest, _) = accuracy.extremes();
    let lowest = lowest - 0.1 * (1.0 - lowest) - 0.001;
    panel(&right, "accuracy", legend, &accuracy, lowest..1.0)?;

    picture.present()?;
    Ok(())
}

/// One metric's values, one per epoch.
struct Curves {
    training: Vec<f32>,
    test: Vec<f32>,
}

impl Curves {
    fn of(epochs: &[EpochResult], metric: impl Fn(&Measured) -> f32) -> Self {
        Self {
            training: epochs.iter().map(|epoch| metric(&epoch.training)).collect(),
            test: epochs.iter().map(|epoch| metric(&epoch.test)).collect(),
        }
    }

    /// The smallest and the largest value after the first twentieth of the epochs.
    fn extremes(&self) -> (f32, f32) {
        let first = self.training.len() / 20;
        let values = self.training.iter().skip(first);
        let values = values.chain(self.test.iter().skip(first));
        values.fold((f32::MAX, f32::MIN), |(low, high), value| {
            (low.min(*value), high.max(*value))
        })
    }
}

fn panel<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    metric: &str,
    legend: &Legend,
    curves: &Curves,
    range: Range<f32>,
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let epochs = curves.training.len() as u32;
    let mut chart = ChartBuilder::on(area)
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(0..epochs, range.clone())?;
    chart
        .configure_mesh()
        .x_desc("epoch")
        .y_desc(metric)
        .axis_desc_style((FONT, 17))
        .label_style((FONT, 15))
        .x_labels(6)
        .y_labels(8)
        .y_label_formatter(&|value| format!("{value:.2}"))
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .draw()?;

    let point_size = if epochs <= 20 { 3 } else { 0 };
    for (values, color, name) in [
        (&curves.training, TRAINING, legend.training),
        (&curves.test, TEST, legend.test),
    ] {
        let style = color.stroke_width(2).filled();
        let points = (1..=epochs).zip(values.iter().copied());
        let visible = points.filter(|(_, y)| range.contains(y) || *y == range.end);
        chart
            .draw_series(LineSeries::new(visible, style).point_size(point_size))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], style));
    }
    let position = if metric == "loss" {
        SeriesLabelPosition::UpperRight
    } else {
        SeriesLabelPosition::LowerRight
    };
    chart
        .configure_series_labels()
        .position(position)
        .legend_area_size(32)
        .margin(12)
        .label_font((FONT, 15))
        .background_style(WHITE.mix(0.9))
        .border_style(GRID)
        .draw()
}
