//! What stands above and below the measurements: how many targets are met, all of them side by side, and what is missing.

use std::fmt::{self, Write as _};

use super::tables::{self, words};
use super::{body, place_of};
use crate::compare::{Change, Comparison};
use crate::figure::Verdict;
use crate::record::Record;
use crate::targets;
use crate::text::escaped;
use crate::trend;

/// The machine in a line, and the tally.
pub(super) fn head(text: &mut String, records: &[Record]) -> fmt::Result {
    if let Some(record) = records.first() {
        let machine = &record.conditions.machine;
        let parts = [
            machine.cpu.clone(),
            format!("{} cores", machine.cores),
            format!("Linux {}", machine.kernel),
            machine.dpdk.clone(),
            format!("commit {}", machine.git),
        ];
        let parts = parts.into_iter().filter(|part| !part.is_empty()).map(|part| escaped(&part));
        writeln!(text, "<p class=\"lede\">{}</p>", parts.collect::<Vec<_>>().join(" · "))?;
    }
    let count = |wanted: Verdict| {
        let all = records
            .iter()
            .flat_map(|record| record.figures().into_iter().map(move |found| (record, found)));
        all.filter(|(record, (_, _, figure))| record.verdict(figure) == Some(wanted)).count()
    };
    writeln!(text, "<ul class=\"tally\">")?;
    for (verdict, name) in
        [(Verdict::Met, "targets met"), (Verdict::Missed, "missed"), (Verdict::Void, "void")]
    {
        let class = verdict.name();
        writeln!(text, "<li class=\"{class}\"><strong>{}</strong> {name}</li>", count(verdict))?;
    }
    let holes = holes(records).len();
    writeln!(text, "<li class=\"gap\"><strong>{holes}</strong> left out</li>\n</ul>")
}

/// Everything that something was wanted of.
pub(super) fn targets(text: &mut String, records: &[Record]) -> fmt::Result {
    writeln!(
        text,
        "<section id=\"targets\" aria-labelledby=\"targets-title\"><h2 id=\"targets-title\">Targets</h2>"
    )?;
    let table = targets::table(records);
    if table.rows.is_empty() {
        writeln!(text, "<p class=\"hole\">Nothing that was measured here has a target.</p>")?;
    } else {
        writeln!(
            text,
            "<p>What was wanted, what was measured, and the best of the others in the same run. Ratios above 1 are in millrace’s favour.</p>"
        )?;
        tables::table(text, &table, "Targets", None)?;
    }
    writeln!(text, "</section>")
}

pub(super) fn before_and_after(text: &mut String, comparison: &Comparison) -> fmt::Result {
    writeln!(
        text,
        "<section id=\"before\" aria-labelledby=\"before-title\"><h2 id=\"before-title\">Before and after</h2>"
    )?;
    for warning in &comparison.warnings {
        writeln!(text, "<p class=\"hole\">{}</p>", words(warning))?;
    }
    let [worse, better, same, void] = [Change::Worse, Change::Better, Change::Same, Change::Void]
        .map(|change| comparison.count(change));
    writeln!(
        text,
        "<p>Better: {better}, worse: {worse}, without change: {same}; too disturbed to say: {void}.</p>"
    )?;
    body::plots(text, &comparison.plots(), "before")?;
    let table = comparison.table();
    if !table.rows.is_empty() {
        tables::table(text, &table, "Before and after", None)?;
    }
    writeln!(text, "</section>")
}

/// Ratios from run to run, if there are so many runs.
pub(super) fn trends(text: &mut String, records: &[Record]) -> fmt::Result {
    let plots = trend::plots(records);
    if plots.is_empty() {
        return Ok(());
    }
    writeln!(
        text,
        "<section id=\"trends\" aria-labelledby=\"trends-title\"><h2 id=\"trends-title\">From run to run</h2>"
    )?;
    body::plots(text, &plots, "trends")?;
    writeln!(text, "</section>")
}

/// What is missing, and why; by which record.
fn holes(records: &[Record]) -> Vec<(String, String, String)> {
    let mut holes = Vec::new();
    for (place, record) in records.iter().enumerate() {
        let id = place_of(record, place);
        if let Some(why) = &record.void {
            holes.push((id.clone(), record.title.clone(), why.clone()));
        }
        for omission in &record.left_out {
            let what = format!("{}: {}", record.title, omission.what);
            holes.push((id.clone(), what, omission.why.clone()));
        }
    }
    holes
}

pub(super) fn missing(text: &mut String, records: &[Record]) -> fmt::Result {
    writeln!(
        text,
        "<section id=\"missing\" aria-labelledby=\"missing-title\"><h2 id=\"missing-title\">What is missing, and why</h2>"
    )?;
    let holes = holes(records);
    if holes.is_empty() {
        writeln!(text, "<p>Nothing was left out.</p>")?;
    }
    for (id, what, why) in holes {
        let (what, why) = (words(&what), words(&why));
        writeln!(
            text,
            "<p class=\"hole\"><a href=\"#{id}\"><strong>{what}</strong></a> {why}</p>"
        )?;
    }
    writeln!(text, "</section>")
}

/// How to read it.
pub(super) fn method(text: &mut String) -> fmt::Result {
    writeln!(
        text,
        "<footer><p>Times are 10th percentiles of blocks that took turns, in one process on one core; intervals hold 95 of 100 bootstrap resamples. \
        Ratios within a run can be believed further than nanoseconds: a virtual machine’s core changes its pace. bench/README.md has the method.</p></footer>"
    )
}
