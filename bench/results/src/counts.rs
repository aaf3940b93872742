//! Counts that are the same on every machine, such as the memory of a table, held against what is written down: the one thing
//! about speed that a test can insist on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::record::Record;

/// What is written down.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// What has made the instructions that are counted; another one makes others.
    #[serde(default)]
    compiler: String,
    /// By the names of figures.
    counts: BTreeMap<String, Count>,
}

/// One count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Count {
    value: f64,
    unit: String,
    /// The share by which it may be more or less.
    #[serde(default = "tolerance")]
    tolerance: f64,
}

const fn tolerance() -> f64 {
    0.01
}

/// Units of what does not depend on the machine's mood.
const UNITS: [&str; 5] = ["octets", "KiB", "MiB", "instructions", COMPILED];

/// The unit of the processor's instructions: of one packet, one turn or whatever else the figure names.
pub const COMPILED: &str = "instructions each";

/// The share by which they may be more or less: where else code is laid out, a few come and go.
const COMPILED_TOLERANCE: f64 = 0.03;

/// The same when another compiler has made them. What is lost by a needless walk over a table is more than this.
const OTHER_COMPILER_TOLERANCE: f64 = 0.15;

/// Whether a unit is one of time or of rates, which the core's pace stretches.
pub(crate) fn is_time(unit: &str) -> bool {
    !is_count(unit) && !["ratio", "count", "%"].contains(&unit)
}

pub(crate) fn is_count(unit: &str) -> bool {
    UNITS.contains(&unit)
}

impl Counts {
    /// All counts of these records that are better one way.
    pub fn of(records: &[Record]) -> Self {
        let figures = records.iter().flat_map(Record::figures);
        let counts = figures.filter(|(_, unit, figure)| is_count(unit) && figure.better.is_some());
        let counts = counts.map(|(name, unit, figure)| {
            let (value, unit) = (figure.value, unit.to_owned());
            let tolerance = if unit == COMPILED { COMPILED_TOLERANCE } else { tolerance() };
            (name, Count { value, unit, tolerance })
        });
        Self { counts: counts.collect(), ..Self::default() }
    }

    /// The same, whose instructions this compiler has made.
    #[must_use]
    pub fn made_by(self, compiler: String) -> Self {
        Self { compiler, ..self }
    }

    /// What is to be said when different compilers have made the instructions of both.
    pub fn other_compiler(&self, written: &Self) -> Option<String> {
        let share = 100.0 * OTHER_COMPILER_TOLERANCE;
        let (found, written) = (&self.compiler, &written.compiler);
        (found != written).then(|| {
            format!("these are {found}'s instructions, and {written}'s are written down: up to {share:.0} % are let pass")
        })
    }

    /// Takes over what is written down of a measurement that has not been made, and its compiler.
    #[must_use]
    pub fn with_unmeasured(mut self, measure: &str, written: &Self) -> Self {
        let begin = format!("{measure} / ");
        let unmeasured = written.counts.iter().filter(|(name, _)| name.starts_with(&begin));
        self.counts.extend(unmeasured.map(|(name, count)| (name.clone(), count.clone())));
        self.made_by(written.compiler.clone())
    }

    /// From a file.
    pub fn from_json(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// For a file that a person reads and whose changes are looked at.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// With the tolerances of what was written down before.
    #[must_use]
    pub fn as_tolerant_as(mut self, before: &Self) -> Self {
        for (name, count) in &mut self.counts {
            if let Some(before) = before.counts.get(name) {
                count.tolerance = before.tolerance;
            }
        }
        self
    }

    /// What is not as it is written down, in sentences.
    pub fn departures(&self, written: &Self) -> Vec<String> {
        let is_other = self.compiler != written.compiler;
        let mut found = Vec::new();
        for (name, count) in &written.counts {
            match self.counts.get(name) {
                None => found.push(format!("{name}: is not counted any more")),
                Some(now) => found.extend(count.departure(name, now.value, is_other)),
            }
        }
        let new = self.counts.keys().filter(|name| !written.counts.contains_key(*name));
        found.extend(new.map(|name| format!("{name}: is not written down")));
        found
    }
}

impl Count {
    fn departure(&self, name: &str, now: f64, is_other: bool) -> Option<String> {
        let Self { value: wanted, unit, tolerance } = self;
        let compiled = if is_other && unit == COMPILED { OTHER_COMPILER_TOLERANCE } else { 0.0 };
        let tolerance = tolerance.max(compiled);
        if now > wanted * (1.0 + tolerance) {
            Some(format!("{name}: grew from {wanted:.1} to {now:.1} {unit}"))
        } else if now < wanted * (1.0 - tolerance) {
            let but = "which nobody has written down";
            Some(format!("{name}: shrank from {wanted:.1} to {now:.1} {unit}, {but}"))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(pairs: &[(&str, f64)]) -> Counts {
        let count = |value| Count { value, unit: "octets".into(), tolerance: 0.01 };
        let counts = pairs.iter().map(|(name, value)| ((*name).to_owned(), count(*value)));
        Counts { counts: counts.collect(), ..Counts::default() }
    }

    /// A stage of so many instructions, made by this compiler.
    fn stage(value: f64, compiler: &str) -> Counts {
        let count = Count { value, unit: COMPILED.into(), tolerance: COMPILED_TOLERANCE };
        let counts = BTreeMap::from([("instructions / a stage".to_owned(), count)]);
        Counts { compiler: compiler.into(), counts }
    }

    #[test]
    fn a_stage_that_does_more_is_told_and_another_compiler_is_let_pass_a_little() {
        let written = stage(500.0, "one");
        assert!(stage(514.0, "one").departures(&written).is_empty());
        let told = stage(516.0, "one").departures(&written);
        assert_eq!(told, ["instructions / a stage: grew from 500.0 to 516.0 instructions each"]);
        let other = stage(570.0, "another");
        assert!(other.departures(&written).is_empty());
        let told = other.other_compiler(&written).unwrap();
        assert!(told.contains("another") && told.contains("one's"), "{told}");
        assert_eq!(stage(580.0, "another").departures(&written).len(), 1);
        assert_eq!(written.other_compiler(&written), None);
    }

    #[test]
    fn what_could_not_be_measured_stays_as_it_is_written_down() {
        let written = stage(500.0, "one");
        let found = counts(&[("a", 1.0)]).with_unmeasured("instructions", &written);
        assert_eq!((found.len(), found.other_compiler(&written)), (2, None));
        assert_eq!(found.departures(&written), ["a: is not written down"]);
        assert_eq!(counts(&[]).with_unmeasured("other", &written).len(), 0);
    }

    #[test]
    fn what_grew_shrank_came_or_went_is_told_and_a_little_more_is_not() {
        let written = counts(&[("a", 100.0), ("b", 100.0), ("c", 100.0), ("gone", 1.0)]);
        let found = counts(&[("a", 100.9), ("b", 102.0), ("c", 98.0), ("new", 1.0)]);
        let told = found.departures(&written);
        assert_eq!(told.len(), 4, "{told:?}");
        for (told, wanted) in
            told.iter().zip(["b: grew", "c: shrank", "gone: is not", "new: is not"])
        {
            assert!(told.starts_with(wanted), "{told}");
        }
        assert!(written.departures(&written).is_empty());
    }

    #[test]
    fn a_wider_tolerance_stays_when_counts_are_written_anew() {
        let mut before = counts(&[("a", 100.0)]);
        before.counts.get_mut("a").unwrap().tolerance = 0.5;
        let text = counts(&[("a", 140.0)]).as_tolerant_as(&before).to_json().unwrap();
        let read = Counts::from_json(&text).unwrap();
        assert!(counts(&[("a", 90.0)]).departures(&read).is_empty(), "{text}");
    }
}
