//! What does not depend on the machine's mood: octets of tables, sessions, flows and routes, instructions of signatures, and those of
//! the packets' way. They come from quick runs of what measures them.

mod instructions;

use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use clap::{Args, Parser as _};
use dataplane::stages::wireguard::sessions::PEER_ROW_LEN;
use flows::{Config, Flows, Limits, Timeouts};
use results::counts::Counts;
use results::{Cell, Column, Conditions, Figure, Record, Section, Table};
use wireguard::session::Session;

use crate::{Failure, allocator, routes, signatures, syn};
use instructions::Counted;

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

/// Counts, and does what the plan says.
pub(crate) fn run(plan: &Plan) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    let before = plan.write.as_deref().filter(|path| path.exists());
    let written = plan.check.as_deref().or(before);
    let written = written.map(read).transpose()?.unwrap_or_default();
    let (made, counts) = match instructions::count()? {
        Counted::By(compiler, record) => {
            let records: Vec<_> = records()?.into_iter().chain([*record]).collect();
            let counts = Counts::of(&records).made_by(compiler);
            (counts.len(), counts)
        }
        Counted::Not(why) => {
            let hole = format!("left out: the instructions of the packets' way: {why}");
            writeln!(std::io::stderr(), "{hole}")?;
            let counts = Counts::of(&records()?);
            (counts.len(), counts.with_unmeasured(instructions::MEASURE, &written))
        }
    };
    if let Some(path) = &plan.write {
        return fs::write(path, counts.as_tolerant_as(&written).to_json()?)
            .map_err(|error| format!("{}: {error}", path.display()).into());
    }
    match &plan.check {
        Some(path) => check((made, &counts), &written, path),
        None => Ok(write!(out, "{}", counts.to_json()?)?),
    }
}

/// Tells what is not as it is written down in this file; so many of the counts have been made.
fn check((made, counts): (usize, &Counts), written: &Counts, path: &Path) -> Result<(), Failure> {
    let (mut out, path) = (std::io::stdout(), path.display());
    if let Some(other) = counts.other_compiler(written) {
        writeln!(out, "{other}; `millrace-bench counts --write {path}` writes these down.")?;
    }
    let departures = counts.departures(written);
    for departure in &departures {
        writeln!(out, "{departure}")?;
    }
    if departures.is_empty() {
        writeln!(out, "{made} counts are as {path} says.")?;
        return Ok(());
    }
    let advice = "when that is meant, write them down with `millrace-bench counts --write";
    Err(format!("{} counts are not as {path} says; {advice} {path}`", departures.len()).into())
}

fn read(path: &Path) -> Result<Counts, Failure> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Counts::from_json(&text).map_err(|error| format!("{}: {error}", path.display()))?)
}

/// The records of quick runs of what counts something in a second or two, without rings and without a clean machine.
fn records() -> Result<Vec<Record>, Failure> {
    Ok(vec![record(routes::run)?, record(syn::run)?, record(signatures::run)?, rows()?])
}

/// Flows of two tables, of which one is twice as large: what one flow more weighs.
const FLOWS: u32 = 1 << 16;

/// Octets of a flow with its places in the indices.
#[expect(clippy::cast_precision_loss, reason = "octets far below 2^52")]
pub(crate) fn flow() -> Result<f64, Failure> {
    let one = table(FLOWS)?;
    Ok((table(2 * FLOWS)? - one) as f64 / f64::from(FLOWS))
}

/// What a worker holds of a flow, of a session and of a peer.
#[expect(clippy::cast_precision_loss, reason = "octets far below 2^52")]
fn rows() -> Result<Record, Failure> {
    let flow = flow()?;
    let mut rows = Table::new("", [Column::label("what"), Column::of("octets", "octets", 0)]);
    for (what, octets) in [
        ("a flow, with its places in the indices", flow),
        ("a session", size_of::<Session>() as f64),
        ("a peer", PEER_ROW_LEN as f64),
    ] {
        rows.row([Cell::from(what), Figure::single(octets).lower().into()]);
    }
    let mut record = Record::new("rows", "What a worker holds", &(), Conditions::default());
    record.section(Section::default().table(rows));
    Ok(record)
}

/// Octets of a table of so many flows.
fn table(flows: u32) -> Result<usize, Failure> {
    let held = allocator::octets();
    let addresses = [IpAddr::V4(Ipv4Addr::LOCALHOST)];
    let flows = Flows::new(&Config {
        flows,
        clients: 1,
        fragments: 1,
        limits: Limits::default(),
        timeouts: Timeouts::default(),
        addresses: &addresses,
        ports: 1_024..=2_047,
        seed: 1,
    })
    .map_err(|wrong| format!("{wrong:?}"))?;
    let octets = allocator::octets() - held;
    drop(flows);
    Ok(octets)
}

/// A measurement's plan, as it is without a word but this one.
#[derive(clap::Parser, Debug)]
struct Quick<P: Args> {
    #[command(flatten)]
    plan: P,
}

fn record<P: Args, R>(run: impl Fn(&P) -> Result<R, Failure>) -> Result<Record, Failure>
where
    Record: for<'a> From<&'a R>,
{
    let Quick { plan } = Quick::try_parse_from(["millrace-bench", "--quick", "--core", "0"])?;
    Ok(Record::from(&run(&plan)?))
}
