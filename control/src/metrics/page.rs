//! The dataplane's counters page as metrics: a family for each counter, a label for each thread.

use std::collections::HashSet;

use shm::counters::Table;

use super::text::{Kind, Text};

/// What begins the names of the page's families. No other family begins so.
const PREFIX: &str = "millrace_thread_";

/// The block of the thread that keeps the tables; the others move packets.
const KEEPER: &str = "keeper";

/// Counters that the keeper alone has.
const KEEPERS: [&str; 6] =
    ["transactions", "transactions_refused", "peers", "routes", "news", "events_lost"];

/// Counters that go down, too.
const GAUGES: [&str; 4] = ["flows", "held", "peers", "routes"];

/// Runs of counters `RUN.NAME` that are one family with a label.
const RUNS: [(&str, &str, &str, &str); 2] = [
    ("drop.", "millrace_drops", "reason", "Packets lost, by reason; the README says what to do."),
    (
        "refused.",
        "millrace_transactions_refused",
        "reason",
        "Transactions that the dataplane has refused, by reason.",
    ),
];

/// Writes all counters of a page.
pub(super) fn write(text: &mut Text, table: &Table) {
    for (run, family, label, help) in RUNS {
        let mut counters =
            distinct(&table.counters).filter(|(_, name)| name.starts_with(run)).peekable();
        if counters.peek().is_none() {
            continue;
        }
        text.family(family, Kind::Counter, help);
        for (at, name) in counters {
            let value = name.strip_prefix(run).unwrap_or(name);
            samples(text, table, at, Some((label, value)));
        }
    }
    let single = |name: &str| !RUNS.iter().any(|(run, ..)| name.starts_with(run));
    for (at, name) in distinct(&table.counters).filter(|(_, name)| single(name)) {
        let kind = if GAUGES.contains(&name) { Kind::Gauge } else { Kind::Counter };
        let family = format!("{PREFIX}{}", name.replace(['.', '-'], "_"));
        text.family(&family, kind, "A counter of the dataplane; its README says what it counts.");
        samples(text, table, at, None);
    }
}

/// A counter in all blocks that have it: every block has room for each, but the keeper and the others count different
/// things.
fn samples(text: &mut Text, table: &Table, counter: usize, label: Option<(&str, &str)>) {
    let name = table.counters.get(counter).map_or("", String::as_str);
    let of_keeper = KEEPERS.contains(&name) || name.starts_with("refused.");
    for (number, block) in distinct(&table.blocks) {
        let value = table.block(number).get(counter).copied().unwrap_or(0);
        // A number where none should be is shown all the same.
        if (block == KEEPER) != of_keeper && value == 0 {
            continue;
        }
        let labels = [("thread", block), label.unwrap_or_default()];
        let count = if label.is_some() { 2 } else { 1 };
        text.sample(labels.get(..count).unwrap_or_default(), value);
    }
}

/// Each name's first place: the page is not ours, and a series must not come twice.
fn distinct(names: &[String]) -> impl Iterator<Item = (usize, &str)> {
    let mut seen = HashSet::new();
    names.iter().map(String::as_str).enumerate().filter(move |(_, name)| seen.insert(*name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_says_things_twice_is_told_once() {
        let names = ["drop.a", "drop.a", "x.y", "x-y", "x_y_total", "peers"];
        let blocks = ["worker0", "worker0", "keeper"];
        let table = Table {
            epoch: 2,
            counters: names.map(str::to_owned).into(),
            blocks: blocks.map(str::to_owned).into(),
            values: (1..=18).collect(),
        };
        let mut text = Text::default();
        write(&mut text, &table);
        let text = text.end();
        let mut lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let count = lines.len();
        lines.sort_unstable();
        lines.dedup_by_key(|line| line.split(' ').next());
        assert_eq!(lines.len(), count, "{text}");
        assert!(
            text.contains("millrace_drops_total{thread=\"worker0\",reason=\"a\"} 1\n"),
            "{text}"
        );
        assert!(text.contains("millrace_thread_peers{thread=\"keeper\"} 18\n"), "{text}");
        assert_eq!(text.matches("# TYPE millrace_thread_x_y ").count(), 1, "{text}");
    }
}
