//! A page of HTML of many records: targets, plots, tables, the machine, and what is missing. It needs nothing from elsewhere.

mod body;
mod overview;
mod tables;

use std::fmt::Write as _;

use crate::compare::Comparison;
use crate::plot;
use crate::record::Record;
use crate::text::{anchor, escaped};
use crate::trend;

const STYLE: &str = include_str!("page/style.css");

/// The whole page. With a comparison it shows what is better and worse than before.
pub fn page(title: &str, records: &[Record], comparison: Option<&Comparison>) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, title, records, comparison);
    text
}

fn write(
    text: &mut String,
    title: &str,
    records: &[Record],
    comparison: Option<&Comparison>,
) -> std::fmt::Result {
    let title = escaped(title);
    writeln!(text, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">")?;
    writeln!(text, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")?;
    writeln!(text, "<meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>")?;
    writeln!(text, "<style>\n{STYLE}{}</style>\n</head>\n<body>", plot::style())?;
    writeln!(text, "<a class=\"skip\" href=\"#main\">To the figures</a>\n<header>")?;
    writeln!(text, "<h1>{title}</h1>")?;
    overview::head(text, records)?;
    navigation(text, records, comparison.is_some())?;
    writeln!(text, "</header>\n<main id=\"main\">")?;
    overview::targets(text, records)?;
    if let Some(comparison) = comparison {
        overview::before_and_after(text, comparison)?;
    }
    overview::trends(text, records)?;
    for (place, record) in records.iter().enumerate() {
        body::record(text, record, place)?;
    }
    overview::missing(text, records)?;
    overview::method(text)?;
    writeln!(text, "</main>\n</body>\n</html>")
}

fn navigation(text: &mut String, records: &[Record], compared: bool) -> std::fmt::Result {
    writeln!(text, "<nav aria-label=\"Measurements\"><ul>")?;
    writeln!(text, "<li><a href=\"#targets\">Targets</a></li>")?;
    if compared {
        writeln!(text, "<li><a href=\"#before\">Before and after</a></li>")?;
    }
    if !trend::plots(records).is_empty() {
        writeln!(text, "<li><a href=\"#trends\">From run to run</a></li>")?;
    }
    for (place, record) in records.iter().enumerate() {
        let (id, title) = (place_of(record, place), escaped(&record.title));
        writeln!(text, "<li><a href=\"#{id}\">{title}</a></li>")?;
    }
    writeln!(text, "<li><a href=\"#missing\">What is missing</a></li>\n</ul></nav>")
}

/// The name of a record's place in the page: there may be several runs of a measurement.
fn place_of(record: &Record, place: usize) -> String {
    format!("{}-{place}", anchor(&record.measure))
}
