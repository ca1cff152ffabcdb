//! A confusion matrix as a picture.

use std::error::Error;
use std::path::Path;

use anyhow::{Result, anyhow};
use lightlayers::metrics::ConfusionMatrix;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

const FONT: &str = "sans-serif";
const SIDE: i32 = 640;
const LEFT: i32 = 70;
const TOP: i32 = 60;
/// With more classes, a cell has no room for its count.
const MOST_WITH_COUNTS: usize = 20;

/// Draws a matrix into an SVG file: a row for every true class, a column for every guess; the darker, the larger the share of its row.
pub fn draw<const MAX: usize>(
    path: &Path,
    title: &str,
    matrix: &ConfusionMatrix<MAX>,
) -> Result<()> {
    draw_svg(path, title, matrix)
        .map_err(|error| anyhow!("cannot draw {}: {error}", path.display()))
}

fn draw_svg<const MAX: usize>(
    path: &Path,
    title: &str,
    matrix: &ConfusionMatrix<MAX>,
) -> Result<(), Box<dyn Error>> {
    let classes = matrix.classes();
    let size = ((LEFT + SIDE + 30) as u32, (TOP + SIDE + 70) as u32);
    let picture = SVGBackend::new(path, size).into_drawing_area();
    picture.fill(&WHITE)?;
    let middle = LEFT + SIDE / 2;
    picture.draw_text(title, &centred(16, &BLACK), (middle, TOP / 2))?;
    picture.draw_text("guess", &centred(16, &BLACK), (middle, TOP + SIDE + 48))?;
    picture.draw_text(
        "truth",
        &centred(16, &BLACK),
        (LEFT / 2 - 8, TOP + SIDE / 2),
    )?;

    // The edges of a row or column, in whole pixels that fill the side.
    let edge = |class: usize| (class as i32 * SIDE) / classes as i32;
    for truth in 0..classes {
        let of_class: u32 = (0..classes).map(|guess| matrix.count(truth, guess)).sum();
        for guess in 0..classes {
            let count = matrix.count(truth, guess);
            let share = f64::from(count) / f64::from(of_class.max(1));
            let (x, y) = (LEFT + edge(guess), TOP + edge(truth));
            let (right, below) = (LEFT + edge(guess + 1), TOP + edge(truth + 1));
            let color = shade(share);
            picture.draw(&Rectangle::new([(x, y), (right, below)], color.filled()))?;
            if classes <= MOST_WITH_COUNTS && count > 0 {
                let ink = if share > 0.5 { WHITE } else { BLACK };
                let centre = ((x + right) / 2, (y + below) / 2);
                picture.draw_text(&count.to_string(), &centred(15, &ink), centre)?;
            }
        }
    }
    let every = classes.div_ceil(MOST_WITH_COUNTS);
    for class in (0..classes).step_by(every) {
        let centre = (edge(class) + edge(class + 1)) / 2;
        let name = class.to_string();
        picture.draw_text(&name, &centred(14, &BLACK), (LEFT - 16, TOP + centre))?;
        picture.draw_text(
            &name,
            &centred(14, &BLACK),
            (LEFT + centre, TOP + SIDE + 18),
        )?;
    }
    picture.present()?;
    Ok(())
}

fn centred(size: i32, color: &RGBColor) -> TextStyle<'_> {
    let style = TextStyle::from((FONT, size).into_font()).color(color);
    style.pos(Pos::new(HPos::Center, VPos::Center))
}

/// White to the blue of the learning curves. By the square root, so that rare mistakes are seen beside the diagonal.
fn shade(share: f64) -> RGBColor {
    let part = share.sqrt();
    let mix = |full: f64| (255.0 + part * (full - 255.0)).round() as u8;
    RGBColor(mix(0.0), mix(114.0), mix(178.0))
}
