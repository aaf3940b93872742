//! Columns of parts on top of each other, with levels that they are seen against.

use std::fmt::{self, Write as _};

use super::canvas::{COLOURS, Room};
use super::scale::Span;
use super::{Plot, same};
use crate::text::{escaped, short};

/// Share of a name's place that its column takes.
const SHARE: f64 = 0.64;
const COLUMN_MAX: f64 = 72.0;

/// The heights of all columns and levels.
pub(super) fn heights(plot: &Plot) -> Vec<f64> {
    let columns =
        (0_u32..).take(plot.across.names.len()).map(|place| total(plot, f64::from(place)));
    let levels = plot.series.iter().filter(|series| series.level);
    columns.chain(levels.flat_map(|series| series.points.iter().map(|point| point.up))).collect()
}

fn total(plot: &Plot, place: f64) -> f64 {
    let parts = plot.series.iter().filter(|series| !series.level);
    parts
        .flat_map(|series| &series.points)
        .filter(|point| same(point.across, place))
        .map(|point| point.up)
        .sum()
}

pub(super) fn draw(
    text: &mut String,
    plot: &Plot,
    room: &Room,
    (across, up): (&Span<'_>, &Span<'_>),
) -> fmt::Result {
    let names = (0_u32..).zip(&plot.across.names);
    let wide = (room.x(across.place(1.0)) - room.x(across.place(0.0))).abs();
    let wide = if plot.across.names.len() < 2 { room.right - room.left } else { wide };
    let wide = (wide * SHARE).min(COLUMN_MAX);
    for (place, name) in names {
        let left = room.x(across.place(f64::from(place))) - wide / 2.0;
        column(text, (plot, f64::from(place), name), (room, up), (left, wide))?;
    }
    Ok(())
}

fn column(
    text: &mut String,
    (plot, place, name): (&Plot, f64, &str),
    (room, up): (&Room, &Span<'_>),
    (left, wide): (f64, f64),
) -> fmt::Result {
    let mut below = 0.0;
    let mut colour = 0;
    for series in &plot.series {
        let Some(point) = series.points.iter().find(|point| same(point.across, place)) else {
            colour += usize::from(!series.level);
            continue;
        };
        let hint = format!("{name}: {} {}", series.name, short(point.up));
        let hint = escaped(&hint);
        if series.level {
            let y = room.y(up.place(point.up));
            let (from, to) = (left - 5.0, left + wide + 5.0);
            writeln!(
                text,
                "<path class=\"level\" d=\"M{from:.1} {y:.1}H{to:.1}\"><title>{hint}</title></path>"
            )?;
            continue;
        }
        let (bottom, top) = (room.y(up.place(below)), room.y(up.place(below + point.up)));
        let (nth, height) = (colour % COLOURS, (bottom - top).max(0.0));
        writeln!(
            text,
            "<rect class=\"segment f{nth}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"{height:.1}\"><title>{hint}</title></rect>"
        )?;
        below += point.up;
        colour += 1;
    }
    let (middle, above) = (left + wide / 2.0, room.y(up.place(below)) - 5.0);
    writeln!(
        text,
        "<text class=\"halo small\" x=\"{middle:.1}\" y=\"{above:.1}\" text-anchor=\"middle\">{}</text>",
        short(below)
    )
}
