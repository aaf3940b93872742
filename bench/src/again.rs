//! `service` once more, as a run before has made it: how far two runs of the same program on the same machine are apart.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use dpdk::clock::Clock;
use results::{Cell, Column, Figure, Record, Section, Table};
use serde::Serialize;

use crate::machine::{Conditions, Machine, Weather};
use crate::{Failure, all};

/// What to repeat.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// The folder with `service.json` of the first run.
    #[arg(long, value_name = "FOLDER")]
    records: PathBuf,
    /// The core that the first run was made on; it is in its record as well.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// A quick run is repeated as one; the figures mean little.
    #[arg(long)]
    quick: bool,
}

/// What is repeated, and for how long at most.
const MEASURE: &str = "service";
const LIMIT: Duration = Duration::from_mins(2);
/// The unit of what is compared: times differ with the core's pace.
const UNIT: &str = "ratio";
/// How many of those that are furthest apart are shown.
const SHOWN: usize = 10;

/// A ratio of both runs.
struct Pair {
    name: String,
    values: [f64; 2],
}

impl Pair {
    /// By how many percent they differ.
    fn apart(&self) -> f64 {
        let [one, other] = self.values;
        (one.max(other) / one.min(other).max(f64::MIN_POSITIVE) - 1.0) * 100.0
    }
}

/// Makes the second run and holds it against the first.
pub(crate) fn run(plan: &Plan) -> Result<Record, Failure> {
    let path = plan.records.join(format!("{MEASURE}.json"));
    let first = read(&path)?;
    if first.void.is_some() || first.is_trial() != plan.quick {
        return Err(format!("{}: it is void, or quick where this is not", path.display()).into());
    }
    let clock = Clock::calibrate();
    let before = Weather::observe();
    let second = again(&first)?;
    let machine =
        Machine::observe(&clock, second.conditions.machine.dpdk.clone(), false, plan.core);
    let conditions = Conditions::new(machine, (before, Weather::observe()));
    let mut record = Record::new("again", "Two runs of one program", plan, conditions);
    let mut pairs = pairs(&first, &second);
    pairs.sort_by(|one, other| other.apart().total_cmp(&one.apart()));
    let count = pairs.len();
    record.section(
        Section::default()
            .note(format!("All {count} ratios of two runs of `{MEASURE}`, and by how much the greater of a pair is above the less; those furthest apart."))
            .table(furthest(&pairs))
            .table(table(&pairs)),
    );
    Ok(record)
}

fn read(path: &Path) -> Result<Record, Failure> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Record::from_json(&text).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// The same command once more.
fn again(first: &Record) -> Result<Record, Failure> {
    let arguments = all::without_record(first.argv.iter().skip(1).cloned());
    let place = |end: &str| {
        std::env::temp_dir().join(format!("millrace-again-{}.{end}", std::process::id()))
    };
    let [json, said] = ["json", "md"].map(place);
    let found = all::child(&arguments, (&json, &said), LIMIT);
    for path in [&json, &said] {
        // The one is missing where the run has failed.
        drop(fs::remove_file(path));
    }
    let second = found?.map_err(|why| format!("the second run: {why}"))?;
    match &second.void {
        Some(why) => Err(format!("the second run is void: {why}").into()),
        None => Ok(second),
    }
}

/// The ratios that both have.
fn pairs(first: &Record, second: &Record) -> Vec<Pair> {
    let others = second.figures();
    let ratios = first.figures().into_iter().filter(|(_, unit, _)| *unit == UNIT);
    let pair = |(name, _, figure): (String, &str, &Figure)| {
        let (.., other) = others.iter().find(|(other, ..)| *other == name)?;
        Some(Pair { name, values: [figure.value, other.value] })
    };
    ratios.filter_map(pair).collect()
}

/// What is judged.
fn furthest(pairs: &[Pair]) -> Table {
    let mut table = Table::new("", [Column::label("ratios"), Column::of("apart", "%", 1)]);
    if let Some(pair) = pairs.first() {
        table.row([Cell::from("the furthest"), Figure::single(pair.apart()).lower().into()]);
    }
    table
}

fn table(pairs: &[Pair]) -> Table {
    let columns = [
        Column::label("ratio"),
        Column::of("first", UNIT, 3),
        Column::of("second", UNIT, 3),
        Column::of("apart", "%", 1),
    ];
    let mut table = Table::new("", columns);
    for pair in pairs.iter().take(SHOWN) {
        let [first, second] = pair.values.map(Figure::single);
        let apart = Figure::single(pair.apart());
        table.row([Cell::from(pair.name.as_str()), first.into(), second.into(), apart.into()]);
    }
    table
}
