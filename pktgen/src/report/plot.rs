//! Plots of a run as SVG, each a file of its own: latency by percentile, and rates over time.

use results::{Axis, Plot, Point, Series};

use super::Interval;
use crate::measure::Latency;

/// Decades of what is missing to all packets: up to the slowest of a million.
const DECADES: u32 = 6;
/// Points in a decade.
const POINTS: u32 = 16;

/// A curve: its name, and what it shows of an interval.
type Curve = (&'static str, fn(&Interval) -> f64);

const CURVES: [Curve; 5] = [
    ("intended", Interval::all_intended_pps),
    ("sent", |interval| interval.sent_pps),
    ("received", |interval| interval.received_pps),
    ("attacks", |interval| interval.attack_pps),
    ("streams", |interval| interval.stream_pps),
];

/// Latency by percentile, with a title.
pub fn percentiles_svg(title: &str, latency: &Latency) -> String {
    percentiles(title, latency).svg()
}

/// The rates of a run's intervals, second by second, with a title.
pub fn rates_svg(title: &str, intervals: &[Interval]) -> String {
    rates(title, intervals).svg()
}

fn percentiles(title: &str, latency: &Latency) -> Plot {
    let count = latency.count();
    let title = format!("{title} ({count} packets)");
    let plot = Plot::lines(&title, Axis::nines("percentile"), Axis::logarithmic("latency, us"))
        .saying("Latency by percentile, up to the slowest of a million packets.");
    if count == 0 {
        return plot;
    }
    let points = (0..=DECADES * POINTS).map(|step| {
        let missing = 10_f64.powf(-f64::from(step) / f64::from(POINTS));
        Point::new(1.0 - missing, micros(latency.quantile_ns(1.0 - missing).max(1)))
    });
    plot.with(Series::new("latency", points.collect()))
}

#[expect(clippy::cast_precision_loss, reason = "a latency below 2^52 nanoseconds")]
fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1000.0
}

fn rates(title: &str, intervals: &[Interval]) -> Plot {
    let plot = Plot::lines(title, Axis::linear("s"), Axis::linear("packets per second"))
        .saying("Packets per second that were planned, sent and received, second by second.");
    CURVES.into_iter().fold(plot, |plot, (name, pick)| plot.with(steps(name, intervals, pick)))
}

/// A step for each interval, as wide as it was long.
fn steps(name: &str, intervals: &[Interval], pick: fn(&Interval) -> f64) -> Series {
    let begins = std::iter::once(0.0).chain(intervals.iter().map(|interval| interval.at_secs));
    let points = begins.zip(intervals).flat_map(|(begin, interval)| {
        [begin, interval.at_secs].map(|secs| Point::new(secs, pick(interval)))
    });
    Series::new(name, points.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_curve_of_latency_falls_nowhere_and_the_title_is_escaped() {
        let mut latency = Latency::new();
        (1..=1000).for_each(|micros| latency.record(Duration::from_micros(micros)));
        let svg = percentiles_svg("a < b & c", &latency);
        assert!(svg.contains("a &lt; b &amp; c (1000 packets)"), "{svg}");
        let plot = percentiles("x", &latency);
        let points = &plot.series[0].points;
        assert_eq!(points.len(), 97);
        assert!(points.windows(2).all(|two| two[1].up >= two[0].up), "{points:?}");
        let near = |value: f64, wanted: f64| (value - wanted).abs() < 0.01 * wanted;
        assert!(near(points[0].up, 1.0) && near(points[96].up, 1000.0), "{points:?}");
    }

    #[test]
    fn without_packets_there_is_no_curve() {
        assert!(percentiles("x", &Latency::new()).series.is_empty());
        assert!(percentiles_svg("x", &Latency::new()).contains("(0 packets)"));
    }

    #[test]
    fn a_rate_has_a_step_for_each_interval() {
        let interval = |at_secs: f64, received_pps: f64| Interval {
            at_secs,
            intended_pps: 900.0,
            received_pps,
            ..Interval::default()
        };
        let plot = rates("a & b", &[interval(1.0, 900.0), interval(2.0, 0.0)]);
        let series = |name: &str| plot.series.iter().find(|series| series.name == name).unwrap();
        let received = series("received").points.iter().map(|point| (point.across, point.up));
        let wanted = [(0.0, 900.0), (1.0, 900.0), (1.0, 0.0), (2.0, 0.0)];
        assert!(received.eq(wanted), "{plot:?}");
        assert!(plot.svg().contains("a &amp; b"));
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
        let plot = rates("x", &[alone]);
        let up = |name: &str| {
            let found = plot.series.iter().find(|series| series.name == name).unwrap();
            found.points[0].up
        };
        assert!((up("intended") - 900.0).abs() < 1e-9 && (up("streams") - 700.0).abs() < 1e-9);
    }

    #[test]
    fn without_intervals_there_is_a_frame_and_no_line() {
        let svg = rates_svg("x", &[]);
        assert!(svg.contains(">intended</text>") && svg.contains("class=\"grid\""), "{svg}");
    }
}
