//! What control's own programs measure: the Argo table at the size of the Internet, computed anew, and `WireGuard`'s own tool on
//! many peers. They tell times, of which records are made. They lie beside this program where they were built with it.

use std::process::Command;

use clap::Args;
use dpdk::clock::Clock;
use results::{Cell, Column, Figure, Record, Section, Table};
use serde::Serialize;

use crate::all::last_words;
use crate::machine::{Conditions, Machine, Weather};
use crate::{Failure, programs};

/// What to measure of the Argo table.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Argo {
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

/// What to measure of `wg`.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Wg {
    /// Peers that are shown.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    peers: u32,
    /// How often each way of showing them is timed.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    times: u32,
    /// The core that is named in the record; the programs run where the kernel puts them.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Few peers, to see that it works; the figures mean little.
    #[arg(long)]
    quick: bool,
}

const QUICK_PREFIXES: u32 = 20_000;
const QUICK_PEERS: u32 = 1_000;

/// Times the Argo table.
pub(crate) fn argo(plan: &Argo) -> Result<Record, Failure> {
    let prefixes = if plan.quick { plan.prefixes.min(QUICK_PREFIXES) } else { plan.prefixes };
    let plan = Argo { prefixes, ..plan.clone() };
    let told = Told::by("argo", [plan.prefixes, plan.rounds])?;
    Ok(told.record(("argo", "The Argo table"), &plan, plan.core))
}

/// Times `wg`.
pub(crate) fn wg(plan: &Wg) -> Result<Record, Failure> {
    let peers = if plan.quick { plan.peers.min(QUICK_PEERS) } else { plan.peers };
    let plan = Wg { peers, ..plan.clone() };
    let told = Told::by("wg", [plan.peers, plan.times])?;
    Ok(told.record(("wg", "WireGuard's own tool"), &plan, plan.core))
}

/// A line that says `NAME: best 1.0 ms, middle 2.0 ms, worst 3.0 ms`.
#[derive(Debug, PartialEq)]
struct Times {
    name: String,
    best: f64,
    middle: f64,
    worst: f64,
}

/// What a program has told.
struct Told {
    said: String,
    times: Vec<Times>,
    clock: Clock,
    weather: (Weather, Weather),
}

impl Told {
    /// Runs an example of control's with these numbers.
    fn by(name: &str, numbers: [u32; 2]) -> Result<Self, Failure> {
        let program = programs::example(name)?;
        let clock = Clock::calibrate();
        let before = Weather::observe();
        let output = Command::new(&program)
            .args(numbers.map(|number| number.to_string()))
            .output()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        if !output.status.success() {
            return Err(last_words(&output.stderr, &output.status.to_string()).into());
        }
        let weather = (before, Weather::observe());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let times: Vec<Times> = said.lines().filter_map(times).collect();
        if times.is_empty() {
            return Err(format!("{} told no times", program.display()).into());
        }
        Ok(Self { said, times, clock, weather })
    }

    /// The times, with what was said first.
    fn record(self, (measure, title): (&str, &str), plan: &impl Serialize, core: usize) -> Record {
        let machine = Machine::observe(&self.clock, "no DPDK in it".to_owned(), false, core);
        let conditions = Conditions::new(machine, self.weather);
        let mut record = Record::new(measure, title, plan, conditions);
        let mut section = Section::default();
        if let Some(first) = self.said.lines().next() {
            section = section.note(format!("{first}."));
        }
        record.section(section.table(table(&self.times)));
        record
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
