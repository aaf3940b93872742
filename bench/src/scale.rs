//! Scale: what a packet costs, and what memory a server takes, with more and more of what it may have: peers, routes, flows, tenants,
//! rules. Whole turns of a worker over packets that meet all of them at random, in blocks that take turns with plain forwarding.

mod field;
mod flows;
pub(crate) mod peers;
mod report;
pub(crate) mod routes;
mod tenants;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use dataplane::limits::BURST_LEN_MAX;
use dataplane::testing::internet;
use serde::Serialize;

use crate::machine::{Conditions, Weather, available};
use crate::service::server::{RING_LEN, Rings};
use crate::turns::{Setting, Timing};
use crate::{Failure, service};
use field::{Blocks, Field, Way};
pub(crate) use report::Report;

/// What to measure, and for how long.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// What grows.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Kind::ALL)]
    of: Vec<Kind>,
    /// Of each at most so many.
    #[arg(long, default_value_t = 2_000_000)]
    most: u32,
    /// The prefixes: a location database of version 1 (Debian's package libloc-database).
    #[arg(long, value_name = "FILE", default_value = internet::DATABASE)]
    table: PathBuf,
    #[command(flatten)]
    #[serde(flatten)]
    timing: Timing,
}

/// What a server may have many of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Peers with a session.
    Peers,
    /// Prefixes of the Internet.
    Routes,
    /// Translated flows.
    Flows,
    /// Tenants without rules, each behind a tunnel.
    Tenants,
    /// Rules of one tenant.
    Rules,
}

/// How many of each there are in turn; routes end with the whole table.
const PEERS: [u32; 5] = [100, 1_000, 10_000, 100_000, 1_000_000];
const FLOWS: [u32; 4] = [1_000, 10_000, 100_000, 1_000_000];
const TENANTS: [u32; 5] = [1, 10, 100, 1_000, 10_000];

/// With `--quick` there are at most so many.
const QUICK_MOST: u32 = 100_000;
/// The part of the memory that is free which a server may take.
const SHARE: f64 = 0.6;

impl Kind {
    const ALL: [Self; 5] = [Self::Peers, Self::Routes, Self::Flows, Self::Tenants, Self::Rules];

    const fn name(self) -> &'static str {
        match self {
            Self::Peers => "peers",
            Self::Routes => "routes",
            Self::Flows => "flows",
            Self::Tenants => "tenants",
            Self::Rules => "rules",
        }
    }

    const fn counts(self) -> &'static [u32] {
        match self {
            Self::Peers | Self::Routes => &PEERS,
            Self::Flows => &FLOWS,
            Self::Tenants | Self::Rules => &TENANTS,
        }
    }

    const fn ways(self) -> &'static [Way] {
        match self {
            Self::Peers => &[Way::Open, Way::Seal],
            Self::Routes => &[Way::Decap],
            Self::Flows => &[Way::Out, Way::Back],
            Self::Tenants => &[Way::Encap],
            Self::Rules => &[Way::Transit],
        }
    }

    /// As many as the dataplane takes.
    const fn limit(self) -> usize {
        match self {
            Self::Peers | Self::Flows => 4_000_000,
            Self::Routes => dataplane::limits::ROUTES_MAX as usize,
            Self::Tenants => shm::limits::TENANTS_MAX,
            Self::Rules => firewall::rules::RULES_MAX,
        }
    }
}

impl Plan {
    fn checked(&self) -> Result<Self, Failure> {
        let mut plan = Self { timing: self.timing.checked()?, ..self.clone() };
        if plan.timing.quick {
            plan.most = plan.most.min(QUICK_MOST);
        }
        // One length of burst: what differs here is how many there are.
        plan.timing.bursts = vec![BURST_LEN_MAX];
        Ok(plan)
    }
}

/// So many of a kind.
#[derive(Debug)]
pub(crate) struct Measured {
    kind: Kind,
    count: u32,
    /// What one weighs, beside a server that has one of them.
    octets_each: f64,
    blocks: Blocks,
}

/// A point that is missing, and why.
#[derive(Debug)]
pub(crate) struct Hole {
    what: String,
    why: String,
}

/// Measures everything that the plan names.
pub(crate) fn run(plan: &Plan, verbose: bool) -> Result<Report, Failure> {
    let plan = plan.checked()?;
    let setting = plan.timing.start(verbose)?;
    let before = Weather::observe();
    let rings = Rings::open(&setting.eal, &setting.pool, ("scale", RING_LEN))?;
    let mut scale = Scale { plan, setting, rings: Some(rings), measured: vec![], holes: vec![] };
    for kind in scale.plan.of.clone() {
        scale.curve(kind)?;
    }
    let after = Weather::observe();
    let Scale { plan, setting, measured, holes, .. } = scale;
    let conditions = Conditions::new(setting.machine, (before, after));
    Ok(Report::new(plan, conditions, (measured, holes)))
}

/// A run under way.
struct Scale {
    plan: Plan,
    setting: Setting,
    /// Those of the server that is not there now.
    rings: Option<Rings>,
    measured: Vec<Measured>,
    holes: Vec<Hole>,
}

impl Scale {
    /// Fewer first, so that what one of them weighs is known before there are many.
    fn curve(&mut self, kind: Kind) -> Result<(), Failure> {
        let prefixes = if kind == Kind::Routes {
            match routes::read(&self.plan.table) {
                Ok(prefixes) => prefixes,
                Err(why) => {
                    self.leave_out(kind.name().to_owned(), why);
                    return Ok(());
                }
            }
        } else {
            Vec::new()
        };
        let all = u32::try_from(prefixes.len())?;
        let mut counts: Vec<u32> = kind.counts().to_vec();
        if kind == Kind::Routes {
            counts.retain(|count| *count < all);
            counts.push(all);
        }
        counts.retain(|count| *count <= self.plan.most);
        let base = self.weigh(kind, &prefixes)?;
        let mut each = 0.0;
        for mut count in counts {
            if count as usize > kind.limit() {
                let why = format!("the dataplane takes {} at most", kind.limit());
                self.leave_out(format!("{count} {}", kind.name()), why);
                count = u32::try_from(kind.limit())?;
            }
            let (wanted, free) = (each * f64::from(count), available() * SHARE);
            if wanted > free {
                let [wanted, free] = [wanted, free].map(|octets| octets / f64::from(1 << 20));
                let why = format!("it would take {wanted:.0} MiB, and {free:.0} may be taken");
                self.leave_out(format!("{count} {}", kind.name()), why);
                break;
            }
            each = self.point(kind, count, (&prefixes, base))?;
        }
        Ok(())
    }

    fn leave_out(&mut self, what: String, why: String) {
        self.holes.push(Hole { what, why });
    }

    /// What a server weighs that has one.
    fn weigh(&mut self, kind: Kind, prefixes: &routes::Prefixes) -> Result<usize, Failure> {
        let field = self.field(kind, 1, prefixes)?;
        let octets = field.octets;
        self.rings = Some(field.dismantle());
        Ok(octets)
    }

    /// Measures with so many; gives what one weighs.
    #[expect(clippy::cast_precision_loss, reason = "no server weighs 2^52 octets")]
    fn point(
        &mut self,
        kind: Kind,
        count: u32,
        (prefixes, base): (&routes::Prefixes, usize),
    ) -> Result<f64, Failure> {
        let mut field = self.field(kind, count, prefixes)?;
        let more = field.octets.saturating_sub(base) as f64;
        let octets_each = more / f64::from(count.saturating_sub(1).max(1));
        let least = self.plan.timing.least(&self.setting.clock);
        let blocks = field.measure(kind.ways(), &self.plan.timing, least)?;
        self.rings = Some(field.dismantle());
        self.measured.push(Measured { kind, count, octets_each, blocks });
        Ok(octets_each)
    }

    fn field(
        &mut self,
        kind: Kind,
        count: u32,
        prefixes: &routes::Prefixes,
    ) -> Result<Field, Failure> {
        let rings = self.rings.take().ok_or("the rings are in use")?;
        match kind {
            Kind::Peers => peers::field(rings, count),
            Kind::Routes => routes::field(rings, count, prefixes),
            Kind::Flows => flows::field(rings, count),
            Kind::Tenants => tenants::field(rings, count),
            Kind::Rules => tenants::field_with_rules(rings, count),
        }
    }
}

/// Octets inside of every packet.
const LEN: usize = 64;

/// The configuration of a server with room for so many peers and routes.
fn config(peers: u32, routes: u32) -> Result<dataplane::config::Config, Failure> {
    let key = wireguard::secret::Secret::new([7; 32]);
    let mut config = service::server::config(key, peers as usize)?;
    config.routes_max = routes;
    Ok(config)
}
