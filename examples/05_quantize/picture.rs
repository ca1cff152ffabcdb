//! Histograms of weights and activations as a picture.

use std::error::Error;
use std::path::Path;

use anyhow::{Result, anyhow};
use lightlayers::Network;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::calibration::{Bins, Calibrated};
use crate::report::{Row, kernel_len};

/// As in the learning curves: blue and orange that colour-blind people can tell apart (Okabe and Ito).
const BARS: RGBColor = RGBColor(0, 114, 178);
const ENDS: RGBColor = RGBColor(213, 94, 0);
const CLIPPED: RGBColor = RGBColor(150, 150, 150);
const AXIS: RGBColor = RGBColor(190, 190, 190);
const FONT: &str = "sans-serif";

/// Cells beside each other, a tensor each.
const COLUMNS: usize = 2;
/// Of a panel: its bars and the space around it.
const WIDTH: i32 = 250;
const HEIGHT: i32 = 74;
const GAP: i32 = 40;
const NAME: i32 = 26;
const LABELS: i32 = 30;
const TOP: i32 = 108;
const LEFT: i32 = 40;
const CELL: (i32, i32) = (2 * (WIDTH + GAP), NAME + HEIGHT + LABELS);

/// Draws into an SVG file, for each tensor with a quantization of its own, the weights of its layer and its values.
pub fn draw(
    path: &Path,
    title: &str,
    net: &Network,
    weights: &[f32],
    rows: &[Row],
    calibrated: &Calibrated,
) -> Result<()> {
    let rows: Vec<&Row> = rows
        .iter()
        .filter(|row| row.has_own_quantization(calibrated))
        .collect();
    draw_svg(path, title, net, weights, &rows, calibrated)
        .map_err(|error| anyhow!("cannot draw {}: {error}", path.display()))
}

fn draw_svg(
    path: &Path,
    title: &str,
    net: &Network,
    weights: &[f32],
    rows: &[&Row],
    calibrated: &Calibrated,
) -> Result<(), Box<dyn Error>> {
    let lines = rows.len().div_ceil(COLUMNS);
    let size = (
        LEFT + COLUMNS as i32 * CELL.0,
        TOP + lines as i32 * CELL.1 + 10,
    );
    let picture = SVGBackend::new(path, (size.0 as u32, size.1 as u32)).into_drawing_area();
    picture.fill(&WHITE)?;
    picture.draw_text(title, &text(20, HPos::Left, &BLACK), (LEFT, 28))?;
    legend(&picture)?;
    for (i, row) in rows.iter().enumerate() {
        // Down the first column, then down the second.
        let x = LEFT + (i / lines) as i32 * CELL.0;
        let y = TOP + (i % lines) as i32 * CELL.1;
        let name = format!("{} → {}", row.name, row.shape);
        picture.draw_text(&name, &text(15, HPos::Left, &BLACK), (x, y + 12))?;
        if let Some(layer) = row.filters {
            let start = net.layers()[layer].weights_range().start;
            let kernel = &weights[start..start + kernel_len(net, layer)];
            let filters = usize::from(net.layers()[layer].output_shape().channels);
            let ends = ends_of_filters(kernel, filters);
            let most = ends.last().copied().unwrap_or_default();
            // An odd number, so that one bin is for weights around 0.
            let bins = Bins::of(kernel, (kernel.len() / 4).clamp(30, 100) / 2 * 2 + 1);
            let panel = Panel {
                corner: (x, y + NAME),
                from: -1.06 * most,
                to: 1.06 * most,
            };
            if let Some(least) = ends.first() {
                for sign in [-1.0, 1.0] {
                    let band = ENDS.mix(0.18);
                    panel.area(&picture, sign * least, sign * most, &band)?;
                }
            }
            panel.bars(&picture, &bins, (-most, most))?;
            panel.ends(&picture, (-most, most))?;
        }
        let range = calibrated.ranges[row.tensor];
        let covered = calibrated.quantizations[row.tensor].range();
        let (low, high) = (range.min().min(covered.0), range.max().max(covered.1));
        let margin = 0.03 * (high - low);
        let panel = Panel {
            corner: (x + WIDTH + GAP, y + NAME),
            from: low - margin,
            to: high + margin,
        };
        if let Some(bins) = &calibrated.histograms[row.tensor] {
            panel.bars(&picture, bins, covered)?;
        }
        panel.ends(&picture, covered)?;
    }
    picture.present()?;
    Ok(())
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

/// What stands in which column, and what the colours are.
fn legend<'a>(picture: &Area<'a>) -> Drawn<'a> {
    let style = text(14, HPos::Left, &BLACK);
    let mut x = LEFT;
    for (color, width, name, step) in [
        (BARS.mix(1.0), 14, "counts of values, logarithmic", 244),
        (ENDS.mix(1.0), 2, "ends of what the integers cover", 250),
        (CLIPPED.mix(1.0), 14, "clipped", 100),
        (ENDS.mix(0.18), 14, "where single filters' ranges end", 0),
    ] {
        let corners = [(x, 48), (x + width, 62)];
        picture.draw(&Rectangle::new(corners, color.filled()))?;
        picture.draw_text(name, &style, (x + width + 6, 55))?;
        x += step;
    }
    for column in 0..COLUMNS as i32 {
        let x = LEFT + column * CELL.0 + WIDTH / 2;
        let style = text(15, HPos::Center, &BLACK);
        picture.draw_text("weights", &style, (x, 94))?;
        picture.draw_text("activations", &style, (x + WIDTH + GAP, 94))?;
    }
    Ok(())
}

/// The largest absolute weight of each filter, in ascending order.
fn ends_of_filters(kernel: &[f32], filters: usize) -> Vec<f32> {
    let largest = |filter| {
        let weights = kernel.iter().skip(filter).step_by(filters);
        weights.fold(0.0_f32, |most, weight| most.max(weight.abs()))
    };
    let mut ends: Vec<f32> = (0..filters).map(largest).collect();
    ends.sort_by(f32::total_cmp);
    ends
}

/// A histogram's place, and the values at its left and right edge.
struct Panel {
    corner: (i32, i32),
    from: f32,
    to: f32,
}

impl Panel {
    fn x(&self, value: f32) -> i32 {
        let share = (value - self.from) / (self.to - self.from);
        self.corner.0 + (share.clamp(0.0, 1.0) * WIDTH as f32).round() as i32
    }

    fn bottom(&self) -> i32 {
        self.corner.1 + HEIGHT
    }

    /// From one value to another, over the whole height.
    fn area<'a>(&self, picture: &Area<'a>, from: f32, to: f32, color: &RGBAColor) -> Drawn<'a> {
        let corners = [(self.x(from), self.corner.1), (self.x(to), self.bottom())];
        picture.draw(&Rectangle::new(corners, color.filled()))
    }

    fn bars<'a>(&self, picture: &Area<'a>, bins: &Bins, covered: (f32, f32)) -> Drawn<'a> {
        let most = bins.counts.iter().copied().max().unwrap_or(0);
        let height = |count: u32| {
            let share = f64::from(count).ln_1p() / f64::from(most.max(1)).ln_1p();
            (share * f64::from(HEIGHT)).round().max(1.0) as i32
        };
        for (bin, count) in bins.counts.iter().enumerate() {
            let from = bins.start + bin as f32 * bins.width;
            let to = from + bins.width;
            if *count == 0 || to < self.from || from > self.to {
                continue;
            }
            // A bar that lies on both sides is not clipped.
            let is_clipped = to <= covered.0 || from >= covered.1;
            let color = if is_clipped { CLIPPED } else { BARS };
            let (left, right) = (self.x(from), self.x(to));
            let top = self.bottom() - height(*count);
            let corners = [(left, top), (right.max(left + 1), self.bottom())];
            picture.draw(&Rectangle::new(corners, color.filled()))?;
        }
        let base = [
            (self.corner.0, self.bottom()),
            (self.corner.0 + WIDTH, self.bottom()),
        ];
        picture.draw(&PathElement::new(base, AXIS))
    }

    /// Lines at both ends, with their values.
    fn ends<'a>(&self, picture: &Area<'a>, (low, high): (f32, f32)) -> Drawn<'a> {
        for value in [low, high] {
            let x = self.x(value);
            let line = [(x, self.corner.1 - 4), (x, self.bottom() + 5)];
            picture.draw(&PathElement::new(line, ENDS.stroke_width(2)))?;
            let label = match value.abs() {
                0.0 => "0".into(),
                size if size < 1.0 => format!("{value:.3}"),
                size if size < 10.0 => format!("{value:.2}"),
                _ => format!("{value:.1}"),
            };
            let style = text(13, HPos::Center, &ENDS);
            picture.draw_text(&label, &style, (x, self.bottom() + 14))?;
        }
        Ok(())
    }
}

fn text(size: i32, side: HPos, color: &RGBColor) -> TextStyle<'_> {
    let style = TextStyle::from((FONT, size).into_font()).color(color);
    style.pos(Pos::new(side, VPos::Center))
}
