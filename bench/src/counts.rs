//! What does not depend on the machine's mood: octets of tables, sessions, flows and routes, and instructions of signatures. They
//! come from quick runs of what measures them.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Parser as _};
use results::Record;
use results::counts::Counts;

use crate::{Failure, Measure, Options, control, dos, routes, rules, signatures, sketch, syn};

/// What to do with the counts.
#[derive(Args, Debug)]
pub(crate) struct Plan {
    /// Hold them against this file; fails when one is more or less than it says.
    #[arg(long, value_name = "FILE", conflicts_with = "write")]
    check: Option<PathBuf>,
    /// Write them to this file.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// Measurements that count something, with what makes the counts the same everywhere.
const COUNTED: [&[&str]; 7] = [
    &["routes", "--quick"],
    &["control", "--quick"],
    &["syn", "--quick"],
    &["signatures", "--quick"],
    &["sketch", "--quick"],
    &["dos", "--quick"],
    &["rules", "--quick"],
];

/// Counts, and does what the plan says.
pub(crate) fn run(plan: &Plan) -> Result<(), Failure> {
    let records = COUNTED.into_iter().map(record).collect::<Result<Vec<_>, _>>()?;
    let counts = Counts::of(&records);
    if let Some(path) = &plan.write {
        let counts = if path.exists() { counts.as_tolerant_as(&read(path)?) } else { counts };
        return fs::write(path, counts.to_json()?)
            .map_err(|error| format!("{}: {error}", path.display()).into());
    }
    let mut out = std::io::stdout();
    let Some(path) = &plan.check else {
        return Ok(write!(out, "{}", counts.to_json()?)?);
    };
    let departures = counts.departures(&read(path)?);
    for departure in &departures {
        writeln!(out, "{departure}")?;
    }
    if departures.is_empty() {
        writeln!(out, "{} counts are as {} says.", counts.len(), path.display())?;
        return Ok(());
    }
    let advice = "when that is meant, write them down with `counts --write`";
    Err(format!("{} counts are not as {} says; {advice}", departures.len(), path.display()).into())
}

fn read(path: &Path) -> Result<Counts, Failure> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Counts::from_json(&text).map_err(|error| format!("{}: {error}", path.display()))?)
}

/// The record of a measurement that needs neither DPDK's rings nor a clean machine.
fn record(arguments: &[&str]) -> Result<Record, Failure> {
    let name = std::iter::once("millrace-bench");
    let options = Options::try_parse_from(name.chain(arguments.iter().copied()))?;
    match &options.measure {
        Measure::Routes(plan) => Ok((&routes::run(plan)?).into()),
        Measure::Control(plan) => Ok((&control::run(plan)?).into()),
        Measure::Syn(plan) => Ok((&syn::run(plan)?).into()),
        Measure::Signatures(plan) => Ok((&signatures::run(plan)?).into()),
        Measure::Sketch(plan) => Ok((&sketch::run(plan)?).into()),
        Measure::Dos(plan) => Ok((&dos::run(plan)?).into()),
        Measure::Rules(plan) => Ok((&rules::run(plan, false)?).into()),
        _ => Err(format!("{} counts nothing", arguments.join(" ")).into()),
    }
}
