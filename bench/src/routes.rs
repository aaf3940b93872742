//! The routes: building, changing, looking up, and what they weigh, with as many prefixes as the Internet has.

mod changes;
mod lookups;
mod report;
pub(crate) mod table;

use std::sync::Arc;

use clap::Args;
use dataplane::stages::route::{NextHop, Rib};
use dpdk::clock::{Clock, cycles};
use ipnet::IpNet;
use serde::Serialize;

use crate::machine::{Machine, Weather};
use crate::{Failure, allocator, pin};
use changes::Kind;
use lookups::Set;
pub(crate) use report::Report;
use report::{Figures, Weights};

/// What to measure, and with which routes.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Plan {
    #[command(flatten)]
    #[serde(flatten)]
    source: table::Source,
    /// Peers with one IPv4 and one IPv6 address each.
    #[arg(long, default_value_t = 1_000_000)]
    hosts: u32,
    /// How often the whole table is built.
    #[arg(long, default_value_t = 11)]
    builds: usize,
    /// How often each change is made.
    #[arg(long, default_value_t = 5_000)]
    changes: usize,
    /// Blocks of lookups, 65,536 in each.
    #[arg(long, default_value_t = 200)]
    blocks: usize,
    /// The core to measure on.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Few prefixes, hosts and blocks, to see that it works; the figures mean little.
    #[arg(long)]
    quick: bool,
}

/// Routes with their next hops.
type Snapshot = Vec<(IpNet, NextHop)>;

/// Prefixes of the transactions.
const TRANSACTIONS: [usize; 6] = [100, 1_000, 4_000, 10_000, 30_000, 100_000];

const SEED: u64 = 0x7ab1_e5ee;

impl Plan {
    fn checked(&self) -> Result<Self, Failure> {
        let mut plan = self.clone();
        if plan.quick {
            plan.source.synthetic.get_or_insert(20_000);
            plan.hosts = plan.hosts.min(10_000);
            plan.builds = plan.builds.min(2);
            plan.changes = plan.changes.min(50);
            plan.blocks = plan.blocks.min(3);
        }
        plan.source.check()?;
        if plan.hosts > table::HOSTS_MAX {
            return Err(format!("--hosts takes up to {}", table::HOSTS_MAX).into());
        }
        if plan.builds == 0 || plan.changes == 0 || plan.blocks == 0 {
            return Err("--builds, --changes and --blocks take 1 and more".into());
        }
        Ok(plan)
    }
}

/// Measures everything.
pub(crate) fn run(plan: &Plan) -> Result<Report, Failure> {
    let plan = plan.checked()?;
    let clock = Clock::calibrate();
    let machine = Machine::observe(&clock, "no DPDK in it".to_owned(), false, plan.core);
    pin(plan.core)?;
    let before = Weather::observe();
    let prefixes = table::prefixes(&plan.source)?;
    let mut figures = Figures::of(&prefixes, &plan);
    let mut with_hosts = prefixes.clone();
    with_hosts.extend(table::hosts4(plan.hosts).chain(table::hosts6(plan.hosts)));
    for _ in 0..plan.builds {
        figures.builds.push(build(&prefixes)?);
        figures.builds_with_hosts.push(build(&with_hosts)?);
    }
    drop(with_hosts);
    let (mut rib, weights) = weigh(&prefixes, &plan)?;
    figures.weights = weights;
    for kind in Kind::ALL {
        figures.changes.push(changes::measure(kind, &mut rib, &prefixes, &plan)?);
    }
    for count in TRANSACTIONS.into_iter().filter(|count| *count <= prefixes.len()) {
        let found = changes::transactions(count, &mut rib, &prefixes, &plan)?;
        figures.transactions.push(found);
    }
    for set in Set::ALL {
        figures.lookups.push(lookups::measure(set, &rib.publish(), &prefixes, &plan));
    }
    let after = Weather::observe();
    Ok(Report::new(plan, machine, (before, after), figures))
}

/// Cycles from the snapshot to the published version.
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 cycles")]
fn build(prefixes: &Snapshot) -> Result<f64, Failure> {
    let start = cycles();
    let mut rib = Rib::new(SEED);
    rib.load(prefixes).map_err(|error| format!("{error:?}"))?;
    let routes = rib.publish();
    let taken = (cycles() - start) as f64;
    drop(std::hint::black_box(routes));
    Ok(taken)
}

/// Loads the prefixes alone, then with hosts of one family, then of both, and looks at the allocator between.
fn weigh(prefixes: &Snapshot, plan: &Plan) -> Result<(Rib, Weights), Failure> {
    let mut weights = Weights::default();
    let mut snapshot = prefixes.clone();
    let load = |rib: &mut Rib, snapshot: &Snapshot| {
        *rib = Rib::new(SEED);
        let before = allocator::octets();
        rib.load(snapshot).map_err(|error| Failure::from(format!("{error:?}")))?;
        Ok::<_, Failure>(allocator::octets() - before)
    };
    let mut rib = Rib::new(SEED);
    let start = allocator::octets();
    let empty = Rib::new(SEED);
    weights.empty = allocator::octets() - start;
    drop(empty);
    weights.prefixes = load(&mut rib, &snapshot)?;
    snapshot.extend(table::hosts4(plan.hosts));
    let with_four = load(&mut rib, &snapshot)?;
    weights.hosts4 = with_four - weights.prefixes;
    snapshot.extend(table::hosts6(plan.hosts));
    weights.hosts6 = load(&mut rib, &snapshot)? - with_four;
    Ok((rib, weights))
}

/// A version as the keeper holds it: the one before stays until the next is there.
type Version = Arc<dataplane::stages::route::Routes>;
