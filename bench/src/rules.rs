//! The firewall: how long it takes to find the first rule that holds, beside DPDK's `rte_acl` with the same rules and packets, with
//! one tenant and with many; what the rules weigh; and how soon a new text is in force.

mod acl;
mod contest;
pub(crate) mod packets;
mod report;
pub(crate) mod rulesets;
mod swap;
mod tenants;

use std::time::Duration;

use clap::Args;
use dataplane::limits::BURST_LEN_MAX;
use dpdk::Eal;
use dpdk::clock::Clock;
use dpdk::eal::{Memory, Options};
use firewall::rules::RULES_MAX;
use serde::Serialize;

use crate::Failure;
use crate::machine::{Machine, Weather};
use report::Contest;
pub(crate) use report::Report;
use rulesets::Kind;
use tenants::{Room, Tenants};

/// What to measure, and how large.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// Rules of a tenant.
    #[arg(long, value_delimiter = ',', default_value = "10,1000,10000")]
    rules: Vec<u32>,
    /// Packets that are looked up on end, up to 64.
    #[arg(long, value_delimiter = ',', default_value = "32,64")]
    bursts: Vec<usize>,
    /// Tenants, where there are many: as many of these as memory allows.
    #[arg(long, default_value_t = 10_000)]
    tenants: u32,
    /// MiB for all tenants' rules, half of them for each contestant.
    #[arg(long, default_value_t = 4_096)]
    megabytes: u32,
    /// Seconds of the core that `rte_acl` may take to build one tenant's rules.
    #[arg(long, default_value_t = 60)]
    patience: u64,
    /// How often each text is read and built.
    #[arg(long, default_value_t = 11)]
    builds: usize,
    /// Blocks of each contestant, 2,048 packets in each.
    #[arg(long, default_value_t = 200)]
    blocks: usize,
    /// The core to measure on.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Few rules, tenants and blocks, to see that it works; the figures mean little.
    #[arg(long)]
    quick: bool,
}

/// Blocks before the first that counts.
const WARM_UP: usize = 10;

/// Tenants whose rules are found at addresses from 11.0.0.0 on, a /16 each.
const TENANTS_MAX: u32 = 20_000;

impl Plan {
    fn checked(&self) -> Result<Self, Failure> {
        let mut plan = self.clone();
        if plan.quick {
            plan.rules = vec![10, 100];
            plan.tenants = plan.tenants.min(20);
            plan.megabytes = plan.megabytes.min(512);
            plan.patience = plan.patience.min(10);
            plan.builds = plan.builds.min(2);
            plan.blocks = plan.blocks.min(3);
        }
        if !plan.rules.iter().all(|count| (2..=RULES_MAX).contains(&(*count as usize))) {
            return Err(format!("--rules takes 2 to {RULES_MAX}").into());
        }
        if !plan.bursts.iter().all(|burst| (1..=BURST_LEN_MAX).contains(burst)) {
            return Err(format!("--bursts takes 1 to {BURST_LEN_MAX}").into());
        }
        if !(2..=TENANTS_MAX).contains(&plan.tenants) {
            return Err(format!("--tenants takes 2 to {TENANTS_MAX}").into());
        }
        if plan.megabytes < 64 || plan.builds == 0 || plan.blocks == 0 || plan.patience == 0 {
            let least =
                "--megabytes takes 64 and more, --builds, --blocks and --patience 1 and more";
            return Err(least.into());
        }
        Ok(plan)
    }

    /// For so many tenants. A quarter of the half is left to `rte_acl`'s lists of rules, and to what it takes only while it builds.
    fn room(&self, tenants: u32) -> Room {
        let octets = (self.megabytes as usize) << 20;
        let patience = Duration::from_secs(self.patience);
        Room { tenants, octets: octets / 2, octets_each: octets / 8 * 3, patience }
    }
}

/// Measures everything.
pub(crate) fn run(plan: &Plan, verbose: bool) -> Result<Report, Failure> {
    let plan = plan.checked()?;
    let memory = Memory::Ordinary { megabytes: plan.megabytes / 2 };
    // Without it rte_acl does not use the widest vectors.
    let extra = vec!["--force-max-simd-bitwidth=512".to_owned()];
    let main_core = Some(plan.core);
    let eal = Eal::start(&Options { main_core, memory, verbose, extra, ..Options::default() })?;
    let clock = Clock::calibrate();
    let machine = Machine::observe(&clock, eal.version(), false, plan.core);
    let before = Weather::observe();
    let shapes =
        || Kind::ALL.into_iter().flat_map(|kind| plan.rules.iter().map(move |n| (kind, *n)));
    let swaps = shapes()
        .map(|(kind, rules)| swap::measure(kind, rules, plan.builds))
        .collect::<Result<Vec<_>, _>>()?;
    let mut tables = Vec::new();
    for (kind, rules) in shapes() {
        tables.push(one_tenant(kind, rules, &plan)?);
    }
    for rules in &plan.rules {
        tables.push(many_tenants(Kind::Services, *rules, &plan)?);
    }
    let after = Weather::observe();
    Ok(Report::new(plan.clone(), machine, (before, after), (swaps, tables)))
}

fn one_tenant(kind: Kind, rules: u32, plan: &Plan) -> Result<Contest, Failure> {
    let tenants = Tenants::build(kind, rules, &plan.room(1))?;
    let measured = if tenants.ours.is_empty() {
        Vec::new()
    } else {
        contest::measure(&tenants, (1, &plan.bursts), plan)?
    };
    Ok(Contest::new(tenants, measured))
}

/// Packets of a random tenant on end, and of another one each: before as many as both have built, and then before all of ours.
fn many_tenants(kind: Kind, rules: u32, plan: &Plan) -> Result<Contest, Failure> {
    let tenants = Tenants::build(kind, rules, &plan.room(plan.tenants))?;
    let [ours, acl] = tenants.built.each_ref().map(|built| built.tenants);
    let runs: Vec<usize> = std::iter::once(1).chain(plan.bursts.iter().copied()).collect();
    let both = ours.min(acl);
    let mut measured = Vec::new();
    for count in [both, ours].into_iter().take(if ours > both { 2 } else { 1 }) {
        if count > 0 {
            measured.extend(contest::measure(&tenants, (count, &runs), plan)?);
        }
    }
    Ok(Contest::new(tenants, measured))
}
