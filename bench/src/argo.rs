//! The Argo table at the size of the Internet, computed anew: control's own program tells the times, and what it says becomes a
//! record. It lies beside this one where it was built with it.

use std::path::PathBuf;
use std::process::Command;

use clap::Args;
use dpdk::clock::Clock;
use results::{Cell, Column, Figure, Record, Section, Table};
use serde::Serialize;

use crate::Failure;
use crate::all::last_words;
use crate::machine::{Conditions, Machine, Weather};

/// What to measure.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// Prefixes that are drawn; some are drawn twice and count once.
    #[arg(long, default_value_t = 1_350_000)]
    prefixes: u32,
    /// Rounds, each over all prefixes.
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// The core that is named in the record; the program runs where the kernel puts it.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Few prefixes, to see that it works; the figures mean little.
    #[arg(long)]
    quick: bool,
}

const QUICK_PREFIXES: u32 = 20_000;
/// How the program is made.
const BUILD: &str = "cargo build --release -p control --example argo";

/// A line that says `NAME: best 1.0 ms, middle 2.0 ms, worst 3.0 ms`.
#[derive(Debug, PartialEq)]
struct Times {
    name: String,
    best: f64,
    middle: f64,
    worst: f64,
}

/// Runs the program.
pub(crate) fn run(plan: &Plan) -> Result<Record, Failure> {
    let prefixes = if plan.quick { plan.prefixes.min(QUICK_PREFIXES) } else { plan.prefixes };
    let plan = Plan { prefixes, ..plan.clone() };
    let program = program()?;
    let clock = Clock::calibrate();
    let before = Weather::observe();
    let output = Command::new(&program)
        .args([plan.prefixes, plan.rounds].map(|number| number.to_string()))
        .output()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    if !output.status.success() {
        return Err(last_words(&output.stderr, &output.status.to_string()).into());
    }
    let after = Weather::observe();
    let said = String::from_utf8_lossy(&output.stdout);
    let times: Vec<Times> = said.lines().filter_map(times).collect();
    if times.is_empty() {
        return Err(format!("{} told no times", program.display()).into());
    }
    let machine = Machine::observe(&clock, "no DPDK in it".to_owned(), false, plan.core);
    let conditions = Conditions::new(machine, (before, after));
    let mut record = Record::new("argo", "The Argo table", &plan, conditions);
    let mut section = Section::default();
    if let Some(first) = said.lines().next() {
        section = section.note(format!("{first}."));
    }
    record.section(section.table(table(&times)));
    Ok(record)
}

/// Where the program is.
fn program() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()?;
    let folder = own.parent().ok_or("this program has no folder")?;
    let path = folder.join("examples/argo");
    if path.exists() {
        Ok(path)
    } else {
        Err(format!("{} is not there; `{BUILD}` makes it", path.display()).into())
    }
}

fn times(line: &str) -> Option<Times> {
    let (name, rest) = line.split_once(": best ")?;
    let (best, rest) = rest.split_once(" ms, middle ")?;
    let (middle, rest) = rest.split_once(" ms, worst ")?;
    let worst = rest.strip_suffix(" ms")?;
    let [best, middle, worst] = [best, middle, worst].map(|text| text.parse().ok());
    let (name, ending) = name.split_once(" on the ").or_else(|| name.split_once(" by the "))?;
    let name = format!("{name}, {} the {ending}", if ending == "core" { "on" } else { "by" });
    Some(Times { name, best: best?, middle: middle?, worst: worst? })
}

fn table(times: &[Times]) -> Table {
    let columns = [
        Column::label("what"),
        Column::of("ms", "ms", 1),
        Column::of("best", "ms", 1),
        Column::of("worst", "ms", 1),
    ];
    let mut table = Table::new("", columns);
    for Times { name, best, middle, worst } in times {
        let [best, worst] = [best, worst].map(|ms| Figure::single(*ms));
        let middle = Figure::single(*middle).lower();
        table.row([Cell::from(name.as_str()), middle.into(), best.into(), worst.into()]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_program_says_and_nothing_else() {
        let line = "a round on the core: best 1.0 ms, middle 2.5 ms, worst 3.0 ms";
        let wanted =
            Times { name: "a round, on the core".to_owned(), best: 1.0, middle: 2.5, worst: 3.0 };
        assert_eq!(times(line), Some(wanted));
        assert_eq!(times("follow a new table: 3.0 ms"), None);
        assert_eq!(times("a round on the core: best 1.0 ms, middle x ms, worst 3.0 ms"), None);
    }
}
