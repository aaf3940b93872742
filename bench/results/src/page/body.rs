//! One record in the page: its command, what disturbed it, its sections, and the machine.

use std::fmt::{self, Write as _};

use super::place_of;
use super::tables::{self, words};
use crate::others;
use crate::plot::Plot;
use crate::record::{Record, Section};
use crate::text::escaped;

/// Where in the page a record stands.
type Place<'a> = (&'a Record, &'a str);

pub(super) fn record(text: &mut String, record: &Record, place: usize) -> fmt::Result {
    let id = place_of(record, place);
    writeln!(text, "<section class=\"measure\" id=\"{id}\" aria-labelledby=\"{id}-title\">")?;
    writeln!(text, "<h2 id=\"{id}-title\">{}</h2>", escaped(&record.title))?;
    writeln!(text, "<p class=\"command\"><code>{}</code></p>", escaped(&record.command()))?;
    if let Some(why) = &record.void {
        writeln!(text, "<p class=\"hole\"><strong>Void:</strong> {}</p>", words(why))?;
    }
    for omission in &record.left_out {
        let (what, why) = (words(&omission.what), words(&omission.why));
        writeln!(text, "<p class=\"hole\"><strong>Left out: {what}.</strong> {why}</p>")?;
    }
    let others = others::plots([record]);
    if !others.is_empty() {
        writeln!(text, "<h3>Beside others</h3>")?;
        plots(text, &others, &format!("{id}-others"))?;
    }
    for (number, section) in record.sections.iter().enumerate() {
        write_section(text, section, (record, &format!("{id}-{number}")))?;
    }
    conditions(text, record)?;
    writeln!(text, "</section>")
}

fn write_section(text: &mut String, section: &Section, place: Place<'_>) -> fmt::Result {
    let (record, id) = place;
    if !section.title.is_empty() {
        writeln!(text, "<h3>{}</h3>", words(&section.title))?;
    }
    for note in &section.notes {
        writeln!(text, "<p>{}</p>", words(note))?;
    }
    plots(text, &section.plots, id)?;
    for table in &section.tables {
        let name = [&record.title, &section.title, &table.title];
        let name: Vec<&str> =
            name.into_iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        tables::table(text, table, &name.join(", "), Some(record))?;
    }
    for remark in &section.remarks {
        writeln!(text, "<p>{}</p>", words(remark))?;
    }
    Ok(())
}

/// Beside each other where there is room; `id` is unlike all others of the page.
pub(super) fn plots(text: &mut String, plots: &[Plot], id: &str) -> fmt::Result {
    if plots.is_empty() {
        return Ok(());
    }
    writeln!(text, "<div class=\"plots\">")?;
    for (number, plot) in plots.iter().enumerate() {
        let title = escaped(&plot.title);
        writeln!(text, "<figure><figcaption>{title}</figcaption>")?;
        text.push_str(&plot.inline(&format!("{id}-plot{number}")));
        writeln!(text, "<details><summary>The figures of this plot</summary>")?;
        tables::table(text, &plot.table(), &plot.title, None)?;
        writeln!(text, "</details></figure>")?;
    }
    writeln!(text, "</div>")
}

/// Where and when it was measured.
fn conditions(text: &mut String, record: &Record) -> fmt::Result {
    let conditions = &record.conditions;
    let calm = if conditions.disturbances.is_empty() { "calm" } else { "disturbed" };
    writeln!(
        text,
        "<details class=\"conditions\"><summary>Machine, seeds and weather: <strong>{calm}</strong></summary>\n<dl>"
    )?;
    let mut line = |name: &str, value: &str| {
        writeln!(text, "<div><dt>{}</dt><dd>{}</dd></div>", escaped(name), escaped(value))
    };
    for disturbance in &conditions.disturbances {
        line("disturbed", disturbance)?;
    }
    for (name, value) in conditions.machine.lines() {
        line(name, &value)?;
    }
    line("before", &conditions.before.to_string())?;
    line("after", &conditions.after.to_string())?;
    for anchor in &record.anchors {
        line("anchor", &format!("{}: {}", anchor.name, anchor.words()))?;
    }
    for seed in &record.seeds {
        line("seed", &format!("{} of {}", seed.value, seed.what))?;
    }
    for [name, version] in &record.peers {
        line("beside", &format!("{name}: {}", version.replace('`', "")))?;
    }
    for voided in &record.voided {
        line("not counted", &format!("{} {}: {}", voided.count, voided.what, voided.why))?;
    }
    writeln!(text, "</dl></details>")
}
