//! millrace-bench: what the dataplane costs, measured on the machine at hand. README.md has the method.

mod aead;
mod again;
mod all;
mod allocator;
mod among;
mod ceiling;
mod control;
mod counts;
mod dos;
mod examples;
mod fib;
mod folder;
mod gre;
mod handshakes;
mod latency;
mod load;
mod machine;
mod nat;
mod ndr;
mod overload;
mod peers;
mod programs;
mod publish;
mod quick;
mod realtime;
mod reconf;
mod report;
mod ring;
mod routes;
mod rules;
mod scale;
mod service;
mod signatures;
mod sketch;
mod splice;
mod steer;
mod syn;
mod turns;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use results::{Record, aims, sample};

/// Measures millrace's dataplane.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    #[command(subcommand)]
    measure: Measure,
    /// Write everything measured, and the record of the machine, to this file as JSON.
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Let DPDK log to standard error.
    #[arg(long, global = true)]
    verbose: bool,
}

/// What to measure.
#[derive(Debug, Subcommand)]
enum Measure {
    /// Cycles per packet of a worker's turn, stage by stage, against plain forwarding and the bare AEAD.
    Service(service::Plan),
    /// Nanoseconds per packet of the AEAD alone, each implementation of ours against every library at hand.
    Aead(aead::Plan),
    /// The routes: time to build, to change and to look up, and memory, with a table as large as the Internet's.
    Routes(routes::Plan),
    /// IPv4 lookups in bulk beside DPDK's `rte_fib`, with a table as large as the Internet's.
    Fib(fib::Plan),
    /// The fleet: what it costs to pass packets on to other servers and other workers, and to take what they pass on.
    Steer(steer::Plan),
    /// Handshakes: what it costs to judge an initiation, and to answer it.
    Handshakes(handshakes::Plan),
    /// TCP to tenants: what SYN authentication and flow tracking cost per segment.
    Syn(syn::Plan),
    /// Signatures: nanoseconds per packet with up to 4000 rules, and what building a set of them takes.
    Signatures(signatures::Plan),
    /// The sketch of heavy hitters: what it costs workers per packet, and the keeper per round.
    Sketch(sketch::Plan),
    /// Control's changes: how soon workers have them, what turns cost meanwhile, and what a peer weighs.
    Control(control::Plan),
    /// The firewall: nanoseconds to find a packet's rule, beside DPDK's `rte_acl`, memory, and time to swap rules.
    Rules(rules::Plan),
    /// Tenants' packets through GRE: nanoseconds per packet of whole turns, stage by stage, against plain forwarding.
    Transit(gre::Plan),
    /// Translation: nanoseconds per packet each way among many flows, stage by stage, against plain forwarding.
    Nat(among::Plan),
    /// Splices: nanoseconds per packet both ways among many connections through data centres, and connections begun a second.
    Splice(among::Plan),
    /// The no-drop rate of each way in virtual time, found by `MLRsearch`.
    Ndr(ndr::Plan),
    /// The no-drop rate in real time: a generator on one core, a worker on another.
    Realtime(realtime::Plan),
    /// The generator of `realtime` in a process of its own, which that starts.
    #[command(hide = true)]
    Generator(realtime::Meeting),
    /// Overload in virtual time: goodput against offered load, and beside attacks.
    Overload(overload::Plan),
    /// Latency of each way at several loads, from the moment that was planned for sending.
    Latency(latency::Plan),
    /// Cost and memory with more and more peers, routes, flows, tenants and rules.
    Scale(scale::Plan),
    /// Changes while packets come: for how long each blocks the worker.
    Reconf(reconf::Plan),
    /// The filter's tables: lookups in lists of millions of prefixes, buckets by source, memory, time to build.
    Dos(dos::Plan),
    /// The commands ring between two threads, and a whole table of routes through it.
    Ring(ring::Plan),
    /// The Argo table computed anew, at the size of the Internet, by control's own program.
    Argo(examples::Argo),
    /// `wg show` of very many peers, by control's own program.
    Wg(examples::Wg),
    /// How long `all --quick` takes.
    Quick(quick::Plan),
    /// What the generator can do on one core, and what its clients cost beside the AEAD.
    Ceiling(ceiling::Plan),
    /// `service` once more: how far two runs of the same program are apart.
    Again(again::Plan),
    /// The others beside us: libraries, DPDK's tables, WireGuard in Go, proxies; and what was measured elsewhere.
    Peers(peers::Plan),
    /// All of them, each for as long as it may take: a record for each, and a page of all.
    All(all::Plan),
    /// A page, or the tables of a document, of records that were kept.
    Report(publish::Report),
    /// Two runs side by side; fails when something got worse.
    Compare(publish::Compare),
    /// What does not depend on the machine's mood: memory and instructions, against what is written down.
    Counts(counts::Plan),
}

/// Why a measurement failed: a sentence for the person who asked for it.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let options = Options::parse();
    if let Err(error) = dataplane::large_pages::ask() {
        writeln!(
            std::io::stderr(),
            "millrace-bench: small pages, as it could not begin anew: {error}"
        )
        .unwrap_or_default();
    }
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(std::io::stderr(), "millrace-bench: {error}").unwrap_or_default();
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    match &options.measure {
        Measure::Service(plan) => tell(&service::run(plan, options.verbose)?, options),
        Measure::Aead(plan) => tell(&aead::run(plan)?, options),
        Measure::Routes(plan) => tell(&routes::run(plan)?, options),
        Measure::Fib(plan) => tell(&fib::run(plan, options.verbose)?, options),
        Measure::Steer(plan) => tell(&steer::run(plan, options.verbose)?, options),
        Measure::Handshakes(plan) => tell(&handshakes::run(plan, options.verbose)?, options),
        Measure::Syn(plan) => tell(&syn::run(plan)?, options),
        Measure::Signatures(plan) => tell(&signatures::run(plan)?, options),
        Measure::Sketch(plan) => tell(&sketch::run(plan)?, options),
        Measure::Control(plan) => tell(&control::run(plan)?, options),
        Measure::Rules(plan) => tell(&rules::run(plan, options.verbose)?, options),
        Measure::Transit(plan) => tell(&gre::run(plan, options.verbose)?, options),
        Measure::Nat(plan) => tell(&nat::run(plan, options.verbose)?, options),
        Measure::Splice(plan) => tell(&splice::run(plan, options.verbose)?, options),
        Measure::Ndr(plan) => tell(&ndr::run(plan, options.verbose)?, options),
        Measure::Realtime(plan) => tell(&realtime::run(plan, options.verbose)?, options),
        Measure::Generator(meeting) => realtime::remote::run(meeting),
        Measure::Overload(plan) => tell(&overload::run(plan, options.verbose)?, options),
        Measure::Latency(plan) => tell(&latency::run(plan, options.verbose)?, options),
        Measure::Scale(plan) => tell(&scale::run(plan, options.verbose)?, options),
        Measure::Reconf(plan) => tell(&reconf::run(plan, options.verbose)?, options),
        Measure::Dos(plan) => tell(&dos::run(plan)?, options),
        Measure::Ring(plan) => tell(&ring::run(plan)?, options),
        Measure::Argo(plan) => tell(&examples::argo(plan)?, options),
        Measure::Wg(plan) => tell(&examples::wg(plan)?, options),
        Measure::Quick(plan) => tell(&quick::run(plan)?, options),
        Measure::Ceiling(plan) => tell(&ceiling::run(plan)?, options),
        Measure::Again(plan) => tell(&again::run(plan)?, options),
        Measure::Peers(plan) => tell(&peers::run(plan)?, options),
        Measure::All(plan) => all::run(plan),
        Measure::Report(report) => report.run(),
        Measure::Compare(compare) => compare.run(),
        Measure::Counts(plan) => counts::run(plan),
    }
}

/// Prints the report, and keeps it where the options say.
fn tell<'a, R>(report: &'a R, options: &Options) -> Result<(), Failure>
where
    Record: From<&'a R>,
{
    let mut record = Record::from(report);
    aims::judge(&mut record)?;
    write!(std::io::stdout(), "{record}")?;
    if let Some(path) = &options.json {
        std::fs::write(path, record.to_json()?)
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// Keeps this thread on one core.
fn pin(core: usize) -> Result<(), Failure> {
    let ids = core_affinity::get_core_ids().unwrap_or_default();
    let id = ids.into_iter().find(|id| id.id == core);
    match id.map(core_affinity::set_for_current) {
        Some(true) => Ok(()),
        _ => Err(format!("--core {core}: this process may not run there").into()),
    }
}

/// Keeps this thread off a core that something else is measured on, if there is another one.
fn keep_off(core: usize) -> Result<(), Failure> {
    let ids = core_affinity::get_core_ids().unwrap_or_default();
    ids.iter().rev().find(|id| id.id != core).map_or(Ok(()), |other| pin(other.id))
}
