//! `OpenMetrics` text: families one after the other, each with its type, help and samples.

use std::collections::HashSet;
use std::fmt::{Display, Write as _};
use std::time::Duration;

use super::{microseconds, seconds};
use crate::dos::Count;

/// What a family's numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Info,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Info => "info",
        }
    }

    /// What a sample's name has behind the family's.
    fn suffix(self) -> &'static str {
        match self {
            Self::Counter => "_total",
            Self::Gauge => "",
            Self::Info => "_info",
        }
    }
}

/// A text under way.
#[derive(Debug, Default)]
pub(super) struct Text {
    written: String,
    /// The name that samples of the family at hand bear; empty when the family is left out.
    bearing: String,
    /// Names of families and of samples that are taken.
    names: HashSet<String>,
}

impl Text {
    /// Begins a family. One whose name, or whose samples' name, is taken is left out: names may come from a page that
    /// another process writes.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        self.begin(name, kind, None, help);
    }

    /// Begins a family of gauges whose name ends with its unit.
    pub(super) fn unit_family(&mut self, name: &str, unit: &str, help: &str) {
        self.begin(name, Kind::Gauge, Some(unit), help);
    }

    fn begin(&mut self, name: &str, kind: Kind, unit: Option<&str>, help: &str) {
        let sample = format!("{name}{}", kind.suffix());
        if self.names.contains(name) || self.names.contains(&sample) {
            self.bearing.clear();
            return;
        }
        self.names.insert(name.to_owned());
        self.names.insert(sample.clone());
        self.bearing = sample;
        self.line(format_args!("# TYPE {name} {}", kind.name()));
        if let Some(unit) = unit {
            self.line(format_args!("# UNIT {name} {unit}"));
        }
        self.line(format_args!("# HELP {name} {}", escape(help)));
    }

    /// A sample of the family at hand; each with other labels than those before.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: u64) {
        self.put(labels, value);
    }

    /// The same for a time.
    pub(super) fn seconds(&mut self, labels: &[(&str, &str)], value: Duration) {
        self.put(labels, seconds(value));
    }

    /// The same for a time that is short.
    pub(super) fn microseconds(&mut self, labels: &[(&str, &str)], value: Duration) {
        self.put(labels, microseconds(value));
    }

    /// Three families, of packets, octets and dropped packets, each by its name and help, with a sample for each thing.
    pub(super) fn counts<const LABELS: usize>(
        &mut self,
        families: [(&str, &str); 3],
        things: &[([(&str, &str); LABELS], Count)],
    ) {
        if things.is_empty() {
            return;
        }
        let values: [fn(&Count) -> u64; 3] =
            [|count| count.packets, |count| count.octets, |count| count.dropped];
        for ((name, help), value) in families.into_iter().zip(values) {
            self.family(name, Kind::Counter, help);
            for (labels, count) in things {
                self.sample(labels, value(count));
            }
        }
    }

    /// The text with its end mark.
    pub(super) fn end(mut self) -> String {
        self.line(format_args!("# EOF"));
        self.written
    }

    fn put(&mut self, labels: &[(&str, &str)], value: impl Display) {
        if self.bearing.is_empty() {
            return;
        }
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
        let name = std::mem::take(&mut self.bearing);
        if labels.is_empty() {
            self.line(format_args!("{name} {value}"));
        } else {
            self.line(format_args!("{name}{{{}}} {value}", labels.join(",")));
        }
        self.bearing = name;
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing into a string does not fail.
        let _ = writeln!(self.written, "{line}");
    }
}

/// The three characters that a label's value or a help text must not have as they are.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_each_name_once_and_escapes_what_labels_say() {
        let mut text = Text::default();
        text.family("a", Kind::Counter, "Two\nlines.");
        text.sample(&[("l", "x\"\\\n")], 7);
        text.family("a_total", Kind::Gauge, "Would be a sample of a.");
        text.sample(&[], 8);
        text.unit_family("b_seconds", "seconds", "A time.");
        text.seconds(&[], Duration::from_millis(1_005));
        let expected = "# TYPE a counter\n# HELP a Two\\nlines.\na_total{l=\"x\\\"\\\\\\n\"} 7\n\
            # TYPE b_seconds gauge\n# UNIT b_seconds seconds\n# HELP b_seconds A time.\nb_seconds 1.005\n# EOF\n";
        assert_eq!(text.end(), expected);
    }
}
