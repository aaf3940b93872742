//! Lines from point to point, each with a shape of its own for who cannot tell colours apart.

use std::fmt::{self, Write as _};

use super::canvas::{COLOURS, Room};
use super::scale::Span;
use super::{Plot, Point, Series};

/// With more points than these a line has no markers.
const MARKED_MAX: usize = 24;

const DASHES: [&str; COLOURS] = ["", "8 4", "2 4", "10 4 2 4", "5 3", "1 4", "12 5", "6 2 2 2"];

pub(super) fn draw(
    text: &mut String,
    plot: &Plot,
    room: &Room,
    (across, up): (&Span<'_>, &Span<'_>),
) -> fmt::Result {
    let place = |point: &Point| (room.x(across.place(point.across)), room.y(up.place(point.up)));
    for (nth, series) in plot.series.iter().enumerate() {
        let colour = nth % COLOURS;
        let dash = dash(plot, colour);
        let path = path(series, place);
        if !path.is_empty() {
            writeln!(text, "<path class=\"line s{colour}\"{dash} d=\"{path}\"/>")?;
        }
        for point in &series.points {
            let (x, y) = place(point);
            if let Some([low, high]) = point.interval {
                let (low, high) = (room.y(up.place(low)), room.y(up.place(high)));
                writeln!(
                    text,
                    "<path class=\"whisker s{colour}\" d=\"M{x:.1} {low:.1}V{high:.1}\"/>"
                )?;
            }
            marker(text, plot, (colour, point.void), (x, y))?;
        }
    }
    Ok(())
}

/// Points that do not count are no part of the line.
fn path(series: &Series, place: impl Fn(&Point) -> (f64, f64)) -> String {
    let mut path = String::new();
    for point in series.points.iter().filter(|point| !point.void) {
        let (x, y) = place(point);
        let letter = if path.is_empty() { 'M' } else { 'L' };
        // Writing to a string does not fail.
        let _ = write!(path, "{letter}{x:.1} {y:.1}");
    }
    path
}

fn marked(plot: &Plot) -> bool {
    plot.series.iter().all(|series| series.points.len() <= MARKED_MAX)
}

/// Where points are too many for markers, lines differ by their dashes.
pub(super) fn dash(plot: &Plot, colour: usize) -> String {
    match DASHES.get(colour) {
        Some(dash) if !dash.is_empty() && !marked(plot) => format!(" stroke-dasharray=\"{dash}\""),
        _ => String::new(),
    }
}

pub(super) fn marker(
    text: &mut String,
    plot: &Plot,
    (colour, void): (usize, bool),
    (x, y): (f64, f64),
) -> fmt::Result {
    if !marked(plot) && !void {
        return Ok(());
    }
    let class = if void { format!("hollow s{colour}") } else { format!("f{colour}") };
    match colour % 4 {
        0 => writeln!(text, "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.6\"/>"),
        1 => {
            let (x, y) = (x - 3.4, y - 3.4);
            writeln!(
                text,
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"6.8\" height=\"6.8\"/>"
            )
        }
        2 => {
            let y = y - 4.4;
            writeln!(text, "<path class=\"{class}\" d=\"M{x:.1} {y:.1}l4.4 7.6h-8.8z\"/>")
        }
        _ => {
            let y = y - 4.8;
            writeln!(
                text,
                "<path class=\"{class}\" d=\"M{x:.1} {y:.1}l4.8 4.8l-4.8 4.8l-4.8 -4.8z\"/>"
            )
        }
    }
}
