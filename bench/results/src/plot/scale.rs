//! Where a value lies on an axis, and what is written along it.

use super::{Axis, Scale};
use crate::text::short;

/// The slowest of a million: where percentiles end.
const NINES: f64 = 6.0;

/// An axis with its ends.
#[derive(Debug)]
pub(super) struct Span<'a> {
    axis: &'a Axis,
    low: f64,
    high: f64,
}

impl<'a> Span<'a> {
    /// Wide enough for all of these.
    pub(super) fn over(axis: &'a Axis, values: impl Iterator<Item = f64>) -> Self {
        let usable =
            |value: &f64| value.is_finite() && (axis.scale != Scale::Logarithmic || *value > 0.0);
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(usable) {
            (least, most) = (least.min(value), most.max(value));
        }
        if least > most {
            (least, most) = (1.0, 1.0);
        }
        let (low, high) = match axis.scale {
            Scale::Linear => (least.min(0.0), ceiling(most.max(0.0))),
            Scale::Logarithmic => decades(least, most),
            Scale::Nines => (0.0, NINES),
            Scale::Names => (0.0, count(axis.names.len())),
        };
        Self { axis, low, high }
    }

    /// From 0 at its beginning to 1 at its end.
    pub(super) fn place(&self, value: f64) -> f64 {
        let value = match self.axis.scale {
            Scale::Linear => value,
            Scale::Logarithmic => value.max(f64::MIN_POSITIVE).log10(),
            Scale::Nines => -(1.0 - value.min(1.0)).max(10_f64.powf(-NINES)).log10(),
            Scale::Names => value + 0.5,
        };
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// What is written along it: values and words.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        match self.axis.scale {
            Scale::Linear => {
                let step = step(self.high - self.low);
                let first = (self.low / step).ceil();
                let numbers = (0..=20).map(|n| (first + f64::from(n)) * step);
                let within = numbers.take_while(|value| *value <= self.high + step / 1e6);
                within.map(|value| (value, short(value))).collect()
            }
            Scale::Logarithmic => self.decade_ticks(),
            Scale::Nines => (0..=6).map(nines).collect(),
            Scale::Names => {
                let names = (0_u32..).zip(&self.axis.names);
                names.map(|(n, name)| (f64::from(n), name.clone())).collect()
            }
        }
    }

    fn decade_ticks(&self) -> Vec<(f64, String)> {
        let few = self.high - self.low <= 2.5;
        let steps: &[f64] = if few { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let mut ticks = Vec::new();
        let mut exponent = self.low.floor();
        while exponent <= self.high {
            for step in steps {
                let value = step * 10_f64.powf(exponent);
                let inside = (self.low - 1e-9..=self.high + 1e-9).contains(&value.log10());
                if inside {
                    ticks.push((value, short(value)));
                }
            }
            exponent += 1.0;
        }
        ticks
    }
}

/// The share with so many nines, and how it is written.
fn nines(decades: u32) -> (f64, String) {
    let share = 1.0 - 10_f64.powi(-i32::try_from(decades).unwrap_or(0));
    let text = match decades {
        0 => "0".to_owned(),
        1 => "90".to_owned(),
        2 => "99".to_owned(),
        more => format!("99.{}", "9".repeat(more as usize - 2)),
    };
    (share, text)
}

/// The exponents between which the values lie, at the 1, 2 or 5 before and after them.
fn decades(least: f64, most: f64) -> (f64, f64) {
    let down = |value: f64| {
        let decade = 10_f64.powf(value.log10().floor());
        [5.0, 2.0, 1.0].into_iter().find(|step| step * decade <= value).unwrap_or(1.0) * decade
    };
    let (low, high) = (down(least), ceiling(most));
    if low < high { (low.log10(), high.log10()) } else { (low.log10() - 1.0, high.log10() + 1.0) }
}

/// The next number of the form 1, 2 or 5 times a power of ten; for linear axes with 15, 3, 4, 6 and 8 between, which waste less of the plot.
fn ceiling(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let decade = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0].map(|step| step * decade);
    // A value that is such a number but for its last bits is that number.
    steps.into_iter().find(|step| *step >= value * (1.0 - 1e-9)).unwrap_or(value)
}

/// A step that makes four to eight of this width.
fn step(width: f64) -> f64 {
    let rough = width / 5.0;
    let decade = 10_f64.powf(rough.max(f64::MIN_POSITIVE).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * decade);
    steps.into_iter().find(|step| *step >= rough * 0.8).unwrap_or(rough)
}

#[expect(clippy::cast_precision_loss, reason = "a count of names")]
fn count(names: usize) -> f64 {
    names.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(axis: &Axis, values: &[f64]) -> Vec<String> {
        Span::over(axis, values.iter().copied()).ticks().into_iter().map(|tick| tick.1).collect()
    }

    #[test]
    fn a_linear_axis_begins_at_nothing_and_ends_above_the_most() {
        let axis = Axis::linear("ns");
        assert_eq!(words(&axis, &[30.0, 98.0]), ["0", "20", "40", "60", "80", "100"]);
        let span = Span::over(&axis, [30.0, 98.0].into_iter());
        assert!((span.place(50.0) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_logarithmic_axis_leaves_out_what_it_cannot_show() {
        let axis = Axis::logarithmic("peers");
        assert_eq!(words(&axis, &[0.0, 100.0, 1e6]), ["100", "1000", "10 k", "100 k", "1 M"]);
        assert_eq!(words(&axis, &[0.1, 10.0]), ["0.1", "0.2", "0.5", "1", "2", "5", "10"]);
    }

    #[test]
    fn percentiles_end_at_the_slowest_of_a_million() {
        let axis = Axis::nines("packets");
        let span = Span::over(&axis, std::iter::empty());
        assert_eq!(span.ticks().last().unwrap().1, "99.9999");
        assert!((span.place(0.999) - 0.5).abs() < 1e-9);
        assert!((span.place(1.0) - 1.0).abs() < 1e-9 && span.place(0.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_to_show_is_an_axis_all_the_same() {
        for axis in [Axis::linear("x"), Axis::logarithmic("x"), Axis::names("x", ["a"])] {
            let span = Span::over(&axis, std::iter::empty());
            assert!(span.place(1.0).is_finite() && !span.ticks().is_empty(), "{axis:?}");
        }
    }
}
