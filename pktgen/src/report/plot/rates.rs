//! Rates over time: what was planned, sent and received, and the attacks, second by second.

use std::fmt::Write as _;

use super::{BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, begin};
use crate::report::Interval;

/// Lines of the grid above the ground line.
const STEPS: u32 = 5;

/// A curve: its name, its colour, and what it shows of an interval.
type Curve = (&'static str, &'static str, fn(&Interval) -> f64);

const CURVES: [Curve; 5] = [
    ("intended", "#999", Interval::all_intended_pps),
    ("sent", "#06c", |interval| interval.sent_pps),
    ("received", "#080", |interval| interval.received_pps),
    ("attacks", "#c00", |interval| interval.attack_pps),
    ("streams", "#90c", |interval| interval.stream_pps),
];

/// The plot of a run's intervals with a title, as a file of its own.
pub fn rates_svg(title: &str, intervals: &[Interval]) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, title, intervals);
    text
}

fn write(text: &mut String, title: &str, intervals: &[Interval]) -> std::fmt::Result {
    begin(text, title)?;
    let scale = Scale::of(intervals);
    for step in 0..=STEPS {
        let share = f64::from(step) / f64::from(STEPS);
        let (pps, secs) = (scale.pps * share, scale.secs * share);
        let (x, y) = (scale.across(secs), scale.up(pps));
        writeln!(text, "<path d=\"M{LEFT} {y:.1}H{:.1}\" stroke=\"#ccc\"/>", WIDTH - RIGHT)?;
        let (beside, below) = (LEFT - 6.0, HEIGHT - 20.0);
        writeln!(text, "<text x=\"{beside}\" y=\"{y:.1}\" text-anchor=\"end\">{pps:.0}</text>")?;
        writeln!(
            text,
            "<text x=\"{x:.1}\" y=\"{below}\" text-anchor=\"middle\">{secs:.1} s</text>"
        )?;
    }
    for (nth, (name, colour, pick)) in (0_u32..).zip(CURVES) {
        let x = LEFT + 100.0 * f64::from(nth);
        writeln!(text, "<text x=\"{x}\" y=\"36\" fill=\"{colour}\">{name} pps</text>")?;
        if !intervals.is_empty() {
            let path = scale.curve(intervals, pick);
            writeln!(
                text,
                "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
            )?;
        }
    }
    writeln!(text, "</svg>")
}

/// What the ends of the axes stand for.
struct Scale {
    secs: f64,
    pps: f64,
}

impl Scale {
    fn of(intervals: &[Interval]) -> Self {
        let most = |pick: fn(&Interval) -> f64| intervals.iter().map(pick).fold(0.0, f64::max);
        let pps = CURVES.iter().map(|(.., pick)| most(*pick)).fold(0.0, f64::max);
        Self { secs: most(|interval| interval.at_secs).max(1.0), pps: round_up(pps) }
    }

    fn across(&self, secs: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (secs / self.secs).clamp(0.0, 1.0)
    }

    fn up(&self, pps: f64) -> f64 {
        HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * (pps / self.pps).clamp(0.0, 1.0)
    }

    /// A step for each interval, as wide as it was long.
    fn curve(&self, intervals: &[Interval], pick: fn(&Interval) -> f64) -> String {
        let (mut path, mut begin) = (String::new(), 0.0);
        for interval in intervals {
            let letter = if path.is_empty() { 'M' } else { 'L' };
            let (from, to) = (self.across(begin), self.across(interval.at_secs));
            let height = self.up(pick(interval));
            // Writing to a string does not fail.
            let _ = write!(path, "{letter}{from:.1} {height:.1}L{to:.1} {height:.1}");
            begin = interval.at_secs;
        }
        path
    }
}

/// The next number of the form 1, 2 or 5 times a power of ten.
fn round_up(value: f64) -> f64 {
    let decade = 10_f64.powf(value.max(1.0).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * decade);
    steps.into_iter().find(|step| *step >= value).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(at_secs: f64, intended_pps: f64, received_pps: f64) -> Interval {
        Interval {
            at_secs,
            intended_pps,
            sent_pps: intended_pps,
            received_pps,
            ..Interval::default()
        }
    }

    #[test]
    fn a_curve_has_a_step_for_each_interval_and_the_axis_ends_above_the_highest() {
        let intervals = [interval(1.0, 900.0, 900.0), interval(2.0, 1500.0, 0.0)];
        let svg = rates_svg("a & b", &intervals);
        assert!(svg.contains("a &amp; b") && svg.contains(">2000</text>"), "{svg}");
        let scale = Scale::of(&intervals);
        let received = scale.curve(&intervals, CURVES[2].2);
        let ground = scale.up(0.0);
        assert!(received.ends_with(&format!("L760.0 {ground:.1}")), "{received}");
        assert_eq!(received.matches(['M', 'L']).count(), 4);
        assert!(scale.up(1500.0) < scale.up(900.0));
    }

    #[test]
    fn streams_and_attacks_without_clients_are_drawn_and_count_as_intended() {
        let stream_pps = 700.0;
        let (stream_intended_pps, attack_intended_pps) = (800.0, 100.0);
        let alone = Interval {
            at_secs: 1.0,
            stream_pps,
            stream_intended_pps,
            attack_intended_pps,
            ..Interval::default()
        };
        let scale = Scale::of(&[alone]);
        assert!((scale.pps - 1000.0).abs() < 1e-9, "{}", scale.pps);
        let height = format!("{:.1}", scale.up(900.0));
        assert!(scale.curve(&[alone], CURVES[0].2).contains(&height), "{height}");
        let svg = rates_svg("x", &[alone]);
        assert!(svg.contains("streams pps") && svg.contains(&format!("{:.1}", scale.up(700.0))));
    }

    #[test]
    fn without_intervals_there_is_a_frame_and_no_curve() {
        let svg = rates_svg("x", &[]);
        assert!(svg.contains("intended pps") && !svg.contains("stroke-width"), "{svg}");
        assert!(
            [(0.0, 1.0), (7.0, 10.0), (2000.0, 2000.0), (2001.0, 5000.0)]
                .into_iter()
                .all(|(value, wanted)| (round_up(value) - wanted).abs() < 1e-9)
        );
    }
}
