//! The canvas: title, legend, axes, and the room that is left for what is drawn.

use std::fmt::{self, Write as _};

use super::scale::Span;
use super::{Mark, Plot, Shape, bars, boxes, lines, stacks};
use crate::text::escaped;

/// Units of a plot's width: so few that its words can be read on a phone.
const WIDTH: f64 = 460.0;
/// Height of what lines and stacks are drawn in.
const ROOM: f64 = 230.0;
/// From one line of words to the next.
pub(super) const LEADING: f64 = 18.0;
/// How wide a letter is, nearly enough to keep words apart.
const LETTER: f64 = 7.3;
/// Colours; series beyond begin with the first again.
pub(super) const COLOURS: usize = 8;

const STYLE: &str = include_str!("style.css");

/// Where something is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl Room {
    /// The place of a share of the width.
    pub(super) fn x(&self, share: f64) -> f64 {
        self.left + (self.right - self.left) * share
    }

    /// The place of a share of the height.
    pub(super) fn y(&self, share: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * share
    }
}

/// How wide a word is.
#[expect(clippy::cast_precision_loss, reason = "a word")]
pub(super) fn width(word: &str) -> f64 {
    word.chars().count() as f64 * LETTER
}

/// Writes what a row is called below `y`, on as many lines as it takes; gives where the last one stands.
pub(super) fn named(text: &mut String, name: &str, y: f64) -> Result<f64, fmt::Error> {
    let mut y = y + 4.0;
    for line in wrapped(name, letters(WIDTH - 16.0)) {
        y += LEADING;
        writeln!(text, "<text class=\"halo\" x=\"8\" y=\"{y:.1}\">{}</text>", escaped(&line))?;
    }
    Ok(y)
}

/// How many letters surely have room in this.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "letters of a line")]
fn letters(room: f64) -> usize {
    (room / LETTER) as usize
}

/// Lines of so many letters at most, as far as there are spaces.
fn wrapped(words: &str, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A whole plot.
pub(super) fn draw(plot: &Plot, name: &str, alone: bool) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, plot, (name, alone));
    text
}

fn write(text: &mut String, plot: &Plot, (name, alone): (&str, bool)) -> fmt::Result {
    let mut body = String::new();
    let mut top = 6.0;
    if alone {
        top += LEADING;
        writeln!(
            body,
            "<text class=\"title\" x=\"8\" y=\"{top}\">{}</text>",
            escaped(&plot.title)
        )?;
        top += 6.0;
    }
    let top = legend(&mut body, plot, top)?;
    let height = match plot.shape {
        Shape::Lines | Shape::Stacks => upright(&mut body, plot, top)?,
        Shape::Bars => bars::draw(&mut body, plot, (WIDTH, top))?,
        Shape::Boxes => boxes::draw(&mut body, plot, (WIDTH, top))?,
    };
    let (title, summary) = (escaped(&plot.title), escaped(&plot.summary));
    writeln!(
        text,
        "<svg class=\"plot\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-labelledby=\"{name}-title {name}-summary\">"
    )?;
    writeln!(
        text,
        "<title id=\"{name}-title\">{title}</title><desc id=\"{name}-summary\">{summary}</desc>"
    )?;
    if alone {
        writeln!(text, "<style>{STYLE}</style>")?;
        writeln!(text, "<rect width=\"100%\" height=\"100%\" style=\"fill:var(--ground)\"/>")?;
    }
    text.push_str(&body);
    writeln!(text, "</svg>")
}

/// The style of all plots in a page.
pub(crate) const fn style() -> &'static str {
    STYLE
}

/// The names of the series, as many in a line as fit; gives where it ends. A single series needs none: the axis says what it is.
fn legend(text: &mut String, plot: &Plot, top: f64) -> Result<f64, fmt::Error> {
    if plot.series.len() < 2 {
        return Ok(top);
    }
    let (mut x, mut y) = (8.0, top + 14.0);
    let mut colour = 0;
    for series in &plot.series {
        let wide = width(&series.name) + 36.0;
        if x > 8.0 && x + wide > WIDTH {
            (x, y) = (8.0, y + LEADING);
        }
        swatch(text, plot, (series.level, colour % COLOURS), (x, y))?;
        for (nth, line) in wrapped(&series.name, letters(WIDTH - 40.0)).iter().enumerate() {
            y += if nth > 0 { LEADING } else { 0.0 };
            writeln!(text, "<text x=\"{:.1}\" y=\"{y:.1}\">{}</text>", x + 22.0, escaped(line))?;
        }
        x += wide;
        colour += usize::from(!series.level);
    }
    Ok(y + 6.0)
}

fn swatch(
    text: &mut String,
    plot: &Plot,
    (level, colour): (bool, usize),
    (x, y): (f64, f64),
) -> fmt::Result {
    let middle = y - 4.5;
    match plot.shape {
        _ if level => {
            writeln!(text, "<path class=\"level\" d=\"M{x:.1} {middle:.1}h16\"/>")
        }
        Shape::Lines => {
            let dash = lines::dash(plot, colour);
            writeln!(text, "<path class=\"line s{colour}\"{dash} d=\"M{x:.1} {middle:.1}h16\"/>")?;
            lines::marker(text, plot, (colour, false), (x + 8.0, middle))
        }
        Shape::Stacks | Shape::Bars | Shape::Boxes => {
            let above = y - 10.5;
            writeln!(
                text,
                "<rect class=\"f{colour}\" x=\"{x:.1}\" y=\"{above:.1}\" width=\"14\" height=\"12\" rx=\"2\"/>"
            )
        }
    }
}

/// Lines and stacks with their axes; gives the height of the whole.
fn upright(text: &mut String, plot: &Plot, top: f64) -> Result<f64, fmt::Error> {
    let levels = |upright: bool| {
        plot.marks.iter().filter(move |mark| mark.upright == upright).map(|mark| mark.at)
    };
    let points = || plot.series.iter().flat_map(|series| &series.points);
    let across = Span::over(&plot.across, points().map(|point| point.across).chain(levels(true)));
    let heights: Vec<f64> = match plot.shape {
        Shape::Lines | Shape::Bars | Shape::Boxes => points().map(|point| point.up).collect(),
        Shape::Stacks => stacks::heights(plot),
    };
    let up = Span::over(&plot.up, heights.into_iter().chain(levels(false)));
    let beside = up.ticks().iter().map(|tick| width(&tick.1)).fold(0.0, f64::max);
    let top = top + LEADING;
    writeln!(
        text,
        "<text class=\"soft small\" x=\"8\" y=\"{top:.1}\">{}</text>",
        escaped(&plot.up.label)
    )?;
    let top = top + 12.0;
    let room = Room { left: beside + 14.0, right: WIDTH - 18.0, top, bottom: top + ROOM };
    grid(text, &room, (&across, &up))?;
    for mark in &plot.marks {
        write_mark(text, mark, &room, (&across, &up))?;
    }
    match plot.shape {
        Shape::Lines | Shape::Bars | Shape::Boxes => {
            lines::draw(text, plot, &room, (&across, &up))?;
        }
        Shape::Stacks => stacks::draw(text, plot, &room, (&across, &up))?,
    }
    for mark in &plot.marks {
        label_mark(text, mark, &room, (&across, &up))?;
    }
    let below = room.bottom + 38.0;
    writeln!(
        text,
        "<text class=\"soft small\" x=\"{:.1}\" y=\"{below:.1}\" text-anchor=\"end\">{}</text>",
        room.right,
        escaped(&plot.across.label)
    )?;
    Ok(below + 8.0)
}

fn grid(text: &mut String, room: &Room, (across, up): (&Span<'_>, &Span<'_>)) -> fmt::Result {
    for (value, word) in up.ticks() {
        let y = room.y(up.place(value));
        let class = if value == 0.0 { "ground" } else { "grid" };
        writeln!(
            text,
            "<path class=\"{class}\" d=\"M{:.1} {y:.1}H{:.1}\"/>",
            room.left, room.right
        )?;
        let (x, y) = (room.left - 6.0, y + 4.5);
        writeln!(
            text,
            "<text class=\"soft\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{word}</text>"
        )?;
    }
    let mut free = f64::NEG_INFINITY;
    for (value, word) in across.ticks() {
        let (place, half) = (room.x(across.place(value)), width(&word) / 2.0);
        writeln!(text, "<path class=\"grid\" d=\"M{place:.1} {:.1}v5\"/>", room.bottom)?;
        let x = place.min(WIDTH - half - 2.0);
        // Words that would run into the one before are left out.
        if x - half < free {
            continue;
        }
        free = x + half + 4.0;
        let word = escaped(&word);
        let y = room.bottom + 19.0;
        writeln!(
            text,
            "<text class=\"soft\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{word}</text>"
        )?;
    }
    Ok(())
}

fn write_mark(
    text: &mut String,
    mark: &Mark,
    room: &Room,
    (across, up): (&Span<'_>, &Span<'_>),
) -> fmt::Result {
    let Room { left, right, top, bottom } = room;
    if mark.upright {
        let x = room.x(across.place(mark.at));
        writeln!(text, "<path class=\"mark\" d=\"M{x:.1} {top:.1}V{bottom:.1}\"/>")
    } else {
        let y = room.y(up.place(mark.at));
        writeln!(text, "<path class=\"mark\" d=\"M{left:.1} {y:.1}H{right:.1}\"/>")
    }
}

/// On the ground beside an upright line, at the left end of a level one: curves mostly begin low and end high.
fn label_mark(
    text: &mut String,
    mark: &Mark,
    room: &Room,
    (across, up): (&Span<'_>, &Span<'_>),
) -> fmt::Result {
    let (x, y, anchor) = if mark.upright {
        let x = room.x(across.place(mark.at));
        let full = x + width(&mark.label) + 6.0 > room.right;
        let (anchor, beside) = if full { ("end", -5.0) } else { ("start", 5.0) };
        (x + beside, room.bottom - 6.0, anchor)
    } else {
        (room.left + 4.0, room.y(up.place(mark.at)) - 5.0, "start")
    };
    let label = escaped(&mark.label);
    writeln!(
        text,
        "<text class=\"halo small\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{label}</text>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_goes_on_in_the_next_line() {
        assert_eq!(wrapped("open, 64 octets", 20), ["open, 64 octets"]);
        assert_eq!(wrapped("open, 64 octets", 8), ["open, 64", "octets"]);
        assert_eq!(wrapped("wireguard::open of all", 8), ["wireguard::open", "of all"]);
    }
}
