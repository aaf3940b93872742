//! A record as Markdown, and tables of many records between the markers of a document.

use std::fmt;

use crate::aims;
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

const BEGIN: &str = "<!-- measured: ";
const BEGIN_END: &str = " -->";
const END: &str = "<!-- end -->";

/// A document with what stands between its markers written anew from these records: `targets` is the table of all that something
/// was wanted of, and a measurement's name all that it has. What nothing was measured for stays as it is.
pub fn rewritten(document: &str, records: &[Record]) -> Result<String, String> {
    let mut text = String::new();
    let mut rest = document;
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (name, after) = after
            .split_once(BEGIN_END)
            .filter(|(name, _)| !name.contains('\n'))
            .ok_or_else(|| format!("a marker `{BEGIN}` has no end in its line"))?;
        let (kept, after) = after
            .split_once(END)
            .filter(|(kept, _)| !kept.contains(BEGIN))
            .ok_or_else(|| format!("`{BEGIN}{name}{BEGIN_END}` has no `{END}`"))?;
        text.push_str(before);
        text.push_str(BEGIN);
        text.push_str(name);
        text.push_str(BEGIN_END);
        match measured(name, records) {
            Some(tables) => text.extend(["\n\n", &tables, "\n"]),
            None => text.push_str(kept),
        }
        text.push_str(END);
        rest = after;
    }
    text.push_str(rest);
    Ok(text)
}

/// What stands between the markers of a name; none when no record has it.
fn measured(name: &str, records: &[Record]) -> Option<String> {
    if name == "targets" {
        let text = || format!("{}\n\n{}", aims::tally(records), aims::table(records));
        return (!records.is_empty()).then(text);
    }
    let found: Vec<String> = records
        .iter()
        .filter(|record| record.measure == name && record.void.is_none())
        .map(|record| {
            let machine = &record.conditions.machine;
            let sections: String = record.sections.iter().map(ToString::to_string).collect();
            // They stand below a heading of the document's own.
            let sections = sections.replace("\n## ", "\n#### ");
            format!("`{}`, {}, commit {}.\n{sections}", record.command(), machine.cpu, machine.git)
        })
        .collect();
    (!found.is_empty()).then(|| found.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_between_its_markers_alone() {
        let document = "a\n<!-- measured: nothing -->\nkept\n<!-- end -->\nb\n";
        assert_eq!(rewritten(document, &[]).unwrap(), document);
        let conditions = crate::Conditions::default();
        let mut record = Record::new("nothing", "Nothing", &(), conditions);
        record.argv = vec!["millrace-bench".into()];
        record.section(Section::default().note("measured"));
        let text = rewritten(document, &[record]).unwrap();
        assert!(text.starts_with("a\n<!-- measured: nothing -->\n\n`millrace-bench`"), "{text}");
        assert!(
            text.ends_with("\nmeasured\n\n<!-- end -->\nb\n") && !text.contains("kept"),
            "{text}"
        );
    }

    #[test]
    fn a_marker_without_its_end_is_told() {
        let error = rewritten("<!-- measured: nat -->\n<!-- measured: aead -->\n<!-- end -->", &[]);
        assert!(error.unwrap_err().contains("`<!-- measured: nat -->` has no"));
    }
}
