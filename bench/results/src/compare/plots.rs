//! What changed, as plots: the values before and after, and the trials of both.

use std::collections::BTreeMap;

use super::{Change, Compared, Comparison};
use crate::plot::{Axis, Plot, Point, ROWS_MAX, Series};
use crate::text::short;

impl Comparison {
    /// Bars of both values for each unit, and boxes of both runs' trials; what changed most comes first.
    pub fn plots(&self) -> Vec<Plot> {
        let mut units: BTreeMap<&str, Vec<&Compared>> = BTreeMap::new();
        for one in &self.figures {
            if matches!(one.change, Change::Worse | Change::Better) {
                units.entry(&one.unit).or_default().push(one);
            }
        }
        let mut plots = Vec::new();
        for (unit, mut changed) in units {
            let count = changed.len();
            let size = |one: &Compared| one.ratio.value.ln().abs();
            changed.sort_by(|one, other| size(other).total_cmp(&size(one)));
            changed.truncate(ROWS_MAX);
            let of =
                if count > ROWS_MAX { format!(", {ROWS_MAX} of {count}") } else { String::new() };
            plots.push(bars(&changed, unit, &of));
            changed.retain(|one| one.spreads.iter().all(Option::is_some));
            if !changed.is_empty() {
                plots.push(boxes(&changed, unit, &of));
            }
        }
        plots
    }
}

fn names(changed: &[&Compared]) -> Axis {
    Axis::names("figure", changed.iter().map(|one| one.name.replace(" / ", ": ")))
}

fn bars(changed: &[&Compared], unit: &str, of: &str) -> Plot {
    let before = changed.iter().map(|one| Point::new(0.0, one.before));
    let after = changed.iter().map(|one| {
        let times = short(one.ratio.value);
        Point::new(0.0, one.after).noted(format!("{times} times, {}", one.change.name()))
    });
    let title = format!("Before and after, {unit}{of}");
    Plot::bars(&title, names(changed), Axis::linear(unit))
        .with(Series::in_order("before", before))
        .with(Series::in_order("after", after))
        .saying("Each figure that changed, before and after.")
}

fn boxes(changed: &[&Compared], unit: &str, of: &str) -> Plot {
    let side = |name: &str, place: usize| {
        let points = changed.iter().map(|one| {
            let spread = one.spreads.get(place).copied().flatten();
            let spread = spread.map(|all| all.map(|value| value / one.before));
            let middle = spread.map_or(1.0, |[_, _, middle, _, _]| middle);
            Point::new(0.0, middle).spread(spread)
        });
        Series::in_order(name, points)
    };
    let title = format!("Trials before and after, {unit}{of}");
    let axis = Axis::logarithmic("times the figure before: 5, 25, 50, 75 and 95 of 100 trials");
    Plot::boxes(&title, names(changed), axis)
        .with(side("before", 0))
        .with(side("after", 1))
        .level("as before", 1.0)
        .saying("The trials of both runs, each divided by the figure before: boxes that do not touch differ.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Interval;

    fn compared(name: &str, after: f64, change: Change) -> Compared {
        let ratio = Interval { value: after / 100.0, low: after / 101.0, high: after / 99.0 };
        let spread = |value: f64| Some([0.9, 0.95, 1.0, 1.05, 1.1].map(|part| part * value));
        Compared {
            name: name.to_owned(),
            unit: "ns".to_owned(),
            before: 100.0,
            after,
            ratio,
            change,
            spreads: [spread(100.0), spread(after)],
        }
    }

    #[test]
    fn what_changed_most_comes_first_and_what_did_not_is_not_drawn() {
        let figures = vec![
            compared("scale / a", 90.0, Change::Better),
            compared("scale / b", 101.0, Change::Same),
            compared("scale / c", 50.0, Change::Better),
            compared("scale / d", 150.0, Change::Void),
        ];
        let plots = Comparison { figures, ..Comparison::default() }.plots();
        let [bars, boxes] = &plots[..] else { panic!("{plots:?}") };
        assert_eq!(bars.across.names, ["scale: c", "scale: a"]);
        assert_eq!(bars.series[1].points[0].note, "0.5 times, better");
        let [low, .., high] = boxes.series[1].points[0].spread.unwrap();
        assert!((low - 0.45).abs() < 1e-9 && (high - 0.55).abs() < 1e-9, "{low} {high}");
    }

    #[test]
    fn nothing_is_drawn_where_nothing_changed() {
        let figures = vec![compared("scale / b", 101.0, Change::Same)];
        assert!(Comparison { figures, ..Comparison::default() }.plots().is_empty());
    }
}
