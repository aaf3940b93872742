//! Rows of bars: what is measured beside others, each with its name above and its value at its end.

use std::fmt::{self, Write as _};

use super::canvas::{COLOURS, LEADING, Room, named, width};
use super::scale::Span;
use super::{Plot, Point, same};
use crate::text::escaped;

const THICK: f64 = 14.0;
/// From one bar to the next of the same name.
const PITCH: f64 = 18.0;
/// Room for the words at the end of the longest bar.
const LETTERS_MAX: usize = 30;

/// Draws them from `top` down; gives the height of the whole.
pub(super) fn draw(
    text: &mut String,
    plot: &Plot,
    (wide, top): (f64, f64),
) -> Result<f64, fmt::Error> {
    let points = || plot.series.iter().flat_map(|series| &series.points);
    let ends = plot.marks.iter().map(|mark| mark.at);
    let up = Span::over(&plot.up, points().map(|point| point.up).chain(ends));
    let words = points().map(|point| width(&point.words())).fold(0.0, f64::max);
    let words = words.min(width(&"0".repeat(LETTERS_MAX)));
    let mut y = top + LEADING;
    writeln!(
        text,
        "<text class=\"soft small\" x=\"8\" y=\"{y:.1}\">{}</text>",
        escaped(&plot.up.label)
    )?;
    let room = Room { left: 8.0, right: wide - words - 14.0, top: y + 4.0, bottom: 0.0 };
    let mut bars = String::new();
    for (place, name) in (0_u32..).zip(&plot.across.names) {
        y = named(&mut bars, name, y)? + 6.0;
        for (nth, series) in plot.series.iter().enumerate() {
            for point in series.points.iter().filter(|point| same(point.across, f64::from(place))) {
                bar(&mut bars, point, (nth % COLOURS, room.x(up.place(point.up))), (room.left, y))?;
                y += PITCH;
            }
        }
    }
    for mark in &plot.marks {
        let x = room.x(up.place(mark.at));
        writeln!(text, "<path class=\"mark\" d=\"M{x:.1} {:.1}V{y:.1}\"/>", room.top)?;
        let (label, above) = (escaped(&mark.label), room.top + 8.0);
        writeln!(
            bars,
            "<text class=\"halo small\" x=\"{x:.1}\" y=\"{above:.1}\" text-anchor=\"middle\">{label}</text>"
        )?;
    }
    text.push_str(&bars);
    Ok(y + 8.0)
}

fn bar(
    text: &mut String,
    point: &Point,
    (colour, end): (usize, f64),
    (left, top): (f64, f64),
) -> fmt::Result {
    let (wide, words) = ((end - left).max(1.0), escaped(&point.words()));
    let class = if point.void { format!("hollow s{colour}") } else { format!("f{colour}") };
    writeln!(
        text,
        "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"{THICK}\" rx=\"2\"/>"
    )?;
    let (x, y) = (left + wide + 6.0, top + 11.5);
    writeln!(text, "<text class=\"halo small\" x=\"{x:.1}\" y=\"{y:.1}\">{words}</text>")
}
