//! Latency by percentile: the share of slower packets falls to the right by decades, the latency rises by decades.

use std::fmt::Write as _;

use super::{BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, begin};
use crate::measure::Latency;

/// Decades on the horizontal axis: up to the slowest of a million.
const DECADES: u32 = 6;
/// Points in a decade.
const POINTS: u32 = 16;
/// Decades on the vertical axis: 100 ns to 10 s.
const LOWEST_EXPONENT: i32 = 2;
const HIGHEST_EXPONENT: i32 = 10;

/// The plot with a title, as a file of its own.
pub fn percentiles_svg(title: &str, latency: &Latency) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, title, latency);
    text
}

fn write(text: &mut String, title: &str, latency: &Latency) -> std::fmt::Result {
    let count = latency.count();
    begin(text, &format!("{title} ({count} packets)"))?;
    for decade in 0..=DECADES {
        let (x, share) = (across(f64::from(decade)), label(decade));
        writeln!(text, "<path d=\"M{x:.1} {TOP}V{:.1}\" stroke=\"#ccc\"/>", HEIGHT - BOTTOM)?;
        writeln!(
            text,
            "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{share} %</text>",
            HEIGHT - 20.0
        )?;
    }
    for exponent in LOWEST_EXPONENT..=HIGHEST_EXPONENT {
        let y = up(f64::from(exponent));
        writeln!(text, "<path d=\"M{LEFT} {y:.1}H{WIDTH}\" stroke=\"#ccc\"/>")?;
        writeln!(
            text,
            "<text x=\"{:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            unit(exponent)
        )?;
    }
    if count > 0 {
        writeln!(
            text,
            "<path d=\"{}\" fill=\"none\" stroke=\"#06c\" stroke-width=\"2\"/>",
            curve(latency)
        )?;
    }
    writeln!(text, "</svg>")
}

fn curve(latency: &Latency) -> String {
    let mut path = String::new();
    for step in 0..=DECADES * POINTS {
        let decades = f64::from(step) / f64::from(POINTS);
        let nanos = latency.quantile_ns(1.0 - 10_f64.powf(-decades)).max(1);
        let nanos = f64::from(u32::try_from(nanos / 1000).unwrap_or(u32::MAX)) * 1000.0
            + f64::from(u32::try_from(nanos % 1000).unwrap_or(0));
        let letter = if step == 0 { 'M' } else { 'L' };
        // Writing to a string does not fail.
        let _ = write!(path, "{letter}{:.1} {:.1}", across(decades), up(nanos.log10()));
    }
    path
}

fn across(decades: f64) -> f64 {
    LEFT + (WIDTH - LEFT - RIGHT) * decades / f64::from(DECADES)
}

fn up(exponent: f64) -> f64 {
    let (low, high) = (f64::from(LOWEST_EXPONENT), f64::from(HIGHEST_EXPONENT));
    let share = ((exponent - low) / (high - low)).clamp(0.0, 1.0);
    HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share
}

fn label(decade: u32) -> String {
    match decade {
        0 => "0".to_owned(),
        1 => "90".to_owned(),
        2 => "99".to_owned(),
        more => format!("99.{}", "9".repeat(more as usize - 2)),
    }
}

fn unit(exponent: i32) -> String {
    let names = ["ns", "us", "ms", "s"];
    let nth = usize::try_from(exponent / 3).unwrap_or(0);
    let zeros = usize::try_from(exponent % 3).unwrap_or(0);
    format!("1{} {}", "0".repeat(zeros), names.get(nth).unwrap_or(&"s"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_curve_falls_nowhere_and_the_title_is_escaped() {
        let mut latency = Latency::new();
        (1..=1000).for_each(|micros| latency.record(Duration::from_micros(micros)));
        let svg = percentiles_svg("a < b & c", &latency);
        assert!(svg.contains("a &lt; b &amp; c (1000 packets)"));
        let curve = curve(&latency);
        let heights: Vec<f64> = curve
            .split(['M', 'L'])
            .filter_map(|point| point.split(' ').nth(1)?.parse().ok())
            .collect();
        assert_eq!(heights.len(), 97);
        assert!(heights.windows(2).all(|two| two[1] <= two[0]), "{heights:?}");
        // 1 us is a third of a decade axis step above 100 ns; 1 ms is where it ends.
        assert!((heights[96] - up(6.0)).abs() < 0.2 && (heights[0] - up(3.0)).abs() < 0.2);
        assert_eq!((unit(2), unit(9), unit(10)), ("100 ns".into(), "1 s".into(), "10 s".into()));
    }

    #[test]
    fn without_packets_there_is_no_curve() {
        let svg = percentiles_svg("x", &Latency::new());
        assert!(svg.contains("(0 packets)") && !svg.contains("#06c"));
    }
}
