//! Plots as SVG, each a file of its own.

mod percentiles;
mod rates;

use std::fmt::Write as _;

pub use percentiles::percentiles_svg;
pub use rates::rates_svg;

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 480.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 40.0;
const BOTTOM: f64 = 40.0;
const TOP: f64 = 40.0;

/// The head of a plot: white ground and a title. The caller closes the `svg`.
fn begin(text: &mut String, title: &str) -> std::fmt::Result {
    writeln!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">"
    )?;
    writeln!(text, "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>")?;
    writeln!(text, "<text x=\"{LEFT}\" y=\"24\">{}</text>", escaped(title))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
