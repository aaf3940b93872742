//! `all --quick`, timed: what somebody waits who only wants to see that everything works.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use dpdk::clock::Clock;
use results::{Cell, Column, Figure, Record, Section, Table};
use serde::Serialize;

use crate::Failure;
use crate::all::last_words;
use crate::folder::Folder;
use crate::machine::{Conditions, Machine, Weather};

/// What to time.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// The core to measure on.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Only one measurement, to see that it works; the figure means little.
    #[arg(long)]
    quick: bool,
}

/// Runs everything for a moment.
pub(crate) fn run(plan: &Plan) -> Result<Record, Failure> {
    let clock = Clock::calibrate();
    let before = Weather::observe();
    let folder = Folder::new("quick")?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["all", "--quick", "--core", &plan.core.to_string()]).arg("-o").arg(&folder.0);
    if plan.quick {
        command.args(["--only", "sketch"]);
    }
    let begun = Instant::now();
    let output = command.stdin(Stdio::null()).output()?;
    let taken = begun.elapsed();
    let said = String::from_utf8_lossy(&output.stdout);
    // A measurement that is void for a moment's disturbance has taken its time all the same.
    if !said.lines().any(|line| line.ends_with("index.html")) {
        return Err(last_words(&output.stderr, &output.status.to_string()).into());
    }
    let machine = Machine::observe(&clock, "no DPDK in it".to_owned(), false, plan.core);
    let conditions = Conditions::new(machine, (before, Weather::observe()));
    let mut record = Record::new("quick", "The whole run, quick", plan, conditions);
    record.section(Section::default().table(table(taken)));
    Ok(record)
}

fn table(taken: Duration) -> Table {
    let columns = [Column::label("the whole run, quick"), Column::of("minutes", "min", 1)];
    let mut table = Table::new("", columns);
    let minutes = Figure::single(taken.as_secs_f64() / 60.0).lower();
    table.row([Cell::from("everything"), minutes.into()]);
    table
}
