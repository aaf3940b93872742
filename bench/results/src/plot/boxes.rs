//! Rows of values with what they may be as well: an interval as a line with ends, trials as a box from quarter to quarter.

use std::fmt::{self, Write as _};

use super::canvas::{COLOURS, LEADING, Room, named, width};
use super::lines::marker;
use super::scale::Span;
use super::{Plot, Point, same};
use crate::text::escaped;

const THICK: f64 = 12.0;
/// From one box to the next of the same name.
const PITCH: f64 = 18.0;
/// Half of the line at the end of an interval.
const END: f64 = 4.0;
/// Room for the words behind the longest row.
const LETTERS_MAX: usize = 24;

/// Draws them from `top` down; gives the height of the whole.
pub(super) fn draw(
    text: &mut String,
    plot: &Plot,
    (wide, top): (f64, f64),
) -> Result<f64, fmt::Error> {
    let points = || plot.series.iter().flat_map(|series| &series.points);
    let marks = plot.marks.iter().map(|mark| mark.at);
    let up = Span::over(&plot.up, points().flat_map(reach).chain(marks));
    let words = points().map(|point| width(&point.words())).fold(0.0, f64::max);
    let words = words.min(width(&"0".repeat(LETTERS_MAX)));
    let mut y = top + LEADING;
    writeln!(
        text,
        "<text class=\"soft small\" x=\"8\" y=\"{y:.1}\">{}</text>",
        escaped(&plot.up.label)
    )?;
    // What marks are called stands above their lines.
    y += if plot.marks.is_empty() { 6.0 } else { LEADING + 4.0 };
    let room = Room { left: 14.0, right: wide - words - 14.0, top: y, bottom: 0.0 };
    let mut rows = String::new();
    for (place, name) in (0_u32..).zip(&plot.across.names) {
        y = named(&mut rows, name, y)? + 6.0;
        for (nth, series) in plot.series.iter().enumerate() {
            for point in series.points.iter().filter(|point| same(point.across, f64::from(place))) {
                row(&mut rows, plot, (point, nth % COLOURS), (&room, &up, y))?;
                y += PITCH;
            }
        }
    }
    let bottom = y + 4.0;
    grid(text, &room, (&up, bottom))?;
    for mark in &plot.marks {
        let (x, label) = (room.x(up.place(mark.at)), escaped(&mark.label));
        writeln!(text, "<path class=\"mark\" d=\"M{x:.1} {:.1}V{bottom:.1}\"/>", room.top)?;
        // None begins before the plot does.
        let (middle, above) = (x.max(width(&mark.label) / 2.0 + 4.0), room.top - 3.0);
        writeln!(
            rows,
            "<text class=\"halo small\" x=\"{middle:.1}\" y=\"{above:.1}\" text-anchor=\"middle\">{label}</text>"
        )?;
    }
    text.push_str(&rows);
    Ok(bottom + LEADING + 10.0)
}

/// Everything that a row shows.
fn reach(point: &Point) -> impl Iterator<Item = f64> {
    let interval = point.interval.into_iter().flatten();
    let spread = point.spread.into_iter().flatten();
    std::iter::once(point.up).chain(interval).chain(spread)
}

fn grid(text: &mut String, room: &Room, (up, bottom): (&Span<'_>, f64)) -> fmt::Result {
    let mut free = f64::NEG_INFINITY;
    for (value, word) in up.ticks() {
        let (x, half) = (room.x(up.place(value)), width(&word) / 2.0);
        writeln!(text, "<path class=\"grid\" d=\"M{x:.1} {:.1}V{bottom:.1}\"/>", room.top)?;
        // Words that would run into the one before are left out.
        if x - half < free {
            continue;
        }
        free = x + half + 4.0;
        let y = bottom + 15.0;
        writeln!(
            text,
            "<text class=\"soft small\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{word}</text>"
        )?;
    }
    Ok(())
}

fn row(
    text: &mut String,
    plot: &Plot,
    (point, colour): (&Point, usize),
    (room, up, top): (&Room, &Span<'_>, f64),
) -> fmt::Result {
    let x = |value: f64| room.x(up.place(value));
    let middle = top + THICK / 2.0;
    if let Some([least, quarter, half, quarters, most]) = point.spread.map(|all| all.map(x)) {
        let class = if point.void { "hollow" } else { "box" };
        let (wide, bottom) = ((quarters - quarter).max(1.0), top + THICK);
        writeln!(
            text,
            "<path class=\"whisker s{colour}\" d=\"M{least:.1} {middle:.1}H{quarter:.1}M{quarters:.1} {middle:.1}H{most:.1}\"/>\n\
             <rect class=\"{class} s{colour} f{colour}\" x=\"{quarter:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"{THICK}\"/>\n\
             <path class=\"line s{colour}\" d=\"M{half:.1} {top:.1}V{bottom:.1}\"/>"
        )?;
    }
    if let Some([low, high]) = point.interval.map(|ends| ends.map(x)) {
        let (above, below) = (middle - END, middle + END);
        writeln!(
            text,
            "<path class=\"whisker s{colour}\" d=\"M{low:.1} {middle:.1}H{high:.1}M{low:.1} {above:.1}V{below:.1}M{high:.1} {above:.1}V{below:.1}\"/>"
        )?;
    }
    if point.spread.is_none() {
        marker(text, plot, (colour, point.void), (x(point.up), middle))?;
    }
    let end = reach(point).map(x).fold(0.0, f64::max);
    let (x, y, words) = (end + 8.0, middle + 4.0, escaped(&point.words()));
    writeln!(text, "<text class=\"halo small\" x=\"{x:.1}\" y=\"{y:.1}\">{words}</text>")
}
