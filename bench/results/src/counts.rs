//! Counts that are the same on every machine, such as the memory of a table, held against what is written down: the one thing
//! about speed that a test can insist on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::record::Record;

/// What is written down: by the names of figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Counts(BTreeMap<String, Count>);

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
const UNITS: [&str; 4] = ["octets", "KiB", "MiB", "instructions"];

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
            (name, Count { value, unit, tolerance: tolerance() })
        });
        Self(counts.collect())
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
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// With the tolerances of what was written down before.
    #[must_use]
    pub fn as_tolerant_as(mut self, before: &Self) -> Self {
        for (name, count) in &mut self.0 {
            if let Some(before) = before.0.get(name) {
                count.tolerance = before.tolerance;
            }
        }
        self
    }

    /// What is not as it is written down, in sentences.
    pub fn departures(&self, written: &Self) -> Vec<String> {
        let mut found = Vec::new();
        for (name, Count { value: wanted, unit, tolerance }) in &written.0 {
            match self.0.get(name) {
                None => found.push(format!("{name}: is not counted any more")),
                Some(count) if count.value > wanted * (1.0 + tolerance) => {
                    found.push(format!(
                        "{name}: grew from {wanted:.1} to {:.1} {unit}",
                        count.value
                    ));
                }
                Some(count) if count.value < wanted * (1.0 - tolerance) => {
                    found.push(format!(
                        "{name}: shrank from {wanted:.1} to {:.1} {unit}, which nobody has written down",
                        count.value
                    ));
                }
                Some(_) => {}
            }
        }
        let new = self.0.keys().filter(|name| !written.0.contains_key(*name));
        found.extend(new.map(|name| format!("{name}: is not written down")));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(pairs: &[(&str, f64)]) -> Counts {
        let count = |value| Count { value, unit: "octets".into(), tolerance: 0.01 };
        Counts(pairs.iter().map(|(name, value)| ((*name).to_owned(), count(*value))).collect())
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
        before.0.get_mut("a").unwrap().tolerance = 0.5;
        let text = counts(&[("a", 140.0)]).as_tolerant_as(&before).to_json().unwrap();
        let read = Counts::from_json(&text).unwrap();
        assert!(counts(&[("a", 90.0)]).departures(&read).is_empty(), "{text}");
    }
}
