//! A record as Markdown, and tables of many records between the markers of a document.

use std::fmt;

use crate::record::{Record, Section};

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "# {}\n\n{}", self.title, self.conditions)?;
        writeln!(f, "- command: `{}`", self.command())?;
        for seed in &self.seeds {
            writeln!(f, "- seed of {}: {}", seed.what, seed.value)?;
        }
        for [name, version] in &self.peers {
            writeln!(f, "- beside {name}: {version}")?;
        }
        for anchor in &self.anchors {
            writeln!(f, "- anchor: {} was {}", anchor.name, anchor.words())?;
        }
        for voided in &self.voided {
            writeln!(f, "- **not counted:** {} {}: {}", voided.count, voided.what, voided.why)?;
        }
        for omission in &self.left_out {
            writeln!(f, "- **left out:** {}: {}", omission.what, omission.why)?;
        }
        if let Some(why) = &self.void {
            writeln!(f, "- **void:** {why}")?;
        }
        self.sections.iter().try_for_each(|section| write!(f, "{section}"))
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.title.is_empty() {
            writeln!(f, "\n## {}", self.title)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "\n{note}"))?;
        self.tables.iter().try_for_each(|table| write!(f, "\n{table}"))?;
        self.remarks.iter().try_for_each(|remark| writeln!(f, "\n{remark}"))
    }
}
