//! Pictures out of characters.

/// Five shades from nothing to a full block; two characters are about as wide as a line is high.
const SHADES: [&str; 5] = ["  ", "░░", "▒▒", "▓▓", "██"];

/// An image of values `0..=1` as lines of shades.
pub fn image(values: &[f32], width: usize) -> Vec<String> {
    let shade = |value: &f32| SHADES[((value * SHADES.len() as f32) as usize).min(4)];
    let rows = values.chunks(width);
    rows.map(|row| row.iter().map(shade).collect()).collect()
}

/// A share `0..=1` as a bar of at most `width` characters, in steps of an eighth of one.
pub fn bar(share: f32, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share * width as f32 * 8.0).round() as usize;
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

/// Texts beside each other, line by line; the left ones are padded to the same width.
pub fn beside(left: &[String], right: &[String]) -> String {
    let width = left.iter().map(|line| line.chars().count()).max();
    let width = width.unwrap_or(0);
    let lines = (0..left.len().max(right.len())).map(|i| {
        let [left, right] = [left, right].map(|text| text.get(i).map_or("", String::as_str));
        format!("  {left:<width$}   {right}").trim_end().to_owned() + "\n"
    });
    lines.collect()
}
