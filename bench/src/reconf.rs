//! Changes while packets come: for how long each of them blocks the worker, which is what was lost by the rate at which packets came.
//! In virtual time, at a part of the no-drop rate.

mod change;
mod drain;
mod ground;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use dataplane::testing::internet;
use dpdk::clock::Clock;
use serde::Serialize;

use crate::Failure;
use crate::load::beside::Beside;
use crate::load::course;
use crate::load::offer::Offer;
use crate::load::pace::{self, Pace};
use crate::load::tally::Tally;
use crate::load::way::Way;
use crate::load::{Search, Size};
use crate::machine::{Conditions, Weather};
use crate::ndr;
use crate::overload::callers::Callers;
use change::Change;
use ground::Ground;
pub(crate) use report::Report;

/// What to change, how often, and under which load.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// Octets of the inner packets.
    #[arg(long, default_value = "64")]
    size: Size,
    /// How often packets come, in parts of the no-drop rate.
    #[arg(long, default_value_t = 0.8)]
    load: f64,
    /// Peers that renew their sessions.
    #[arg(long, default_value_t = 1_000)]
    wave: u32,
    /// Within so many seconds they begin.
    #[arg(long, default_value_t = 1.0)]
    wave_secs: f64,
    /// Peers that come all at once, and go.
    #[arg(long, default_value_t = 10_000)]
    storm: u32,
    /// Rules of the tenant that gets others.
    #[arg(long, default_value_t = 10_000)]
    rules: u32,
    /// The prefixes: a location database of version 1 (Debian's package libloc-database).
    #[arg(long, value_name = "FILE", default_value = internet::DATABASE)]
    table: PathBuf,
    /// How often each change is made.
    #[arg(long, default_value_t = 5)]
    trials: usize,
    #[command(flatten)]
    #[serde(flatten)]
    search: Search,
}

impl Plan {
    fn checked(&self) -> Result<Self, Failure> {
        let mut plan = Self { search: self.search.checked()?, ..self.clone() };
        if plan.search.place.quick {
            plan.trials = 1;
            (plan.wave, plan.wave_secs) = (plan.wave.min(32), 0.2);
            plan.storm = plan.storm.min(500);
            plan.rules = plan.rules.min(200);
        }
        if !(0.01..=1.0).contains(&plan.load) || plan.trials == 0 {
            return Err("--load takes 0.01 to 1, --trials 1 and more".into());
        }
        if !(0.001..=5.0).contains(&plan.wave_secs) {
            return Err("--wave-secs takes 0.001 to 5".into());
        }
        if !(1..=100_000).contains(&plan.wave) || !(1..=1_000_000).contains(&plan.storm) {
            return Err("--wave takes 1 to 100000, --storm 1 to 1000000".into());
        }
        if !(1..=firewall::rules::RULES_MAX).contains(&(plan.rules as usize)) {
            return Err(format!("--rules takes 1 to {}", firewall::rules::RULES_MAX).into());
        }
        Ok(plan)
    }
}

/// What happens while packets come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event {
    Nothing,
    Rekey,
    PeersCome,
    PeersGo,
    Table,
    Restart,
    Rules,
    Drain,
}

/// Ways of packets, and what happens while they come.
const SCENES: [(Way, &[Event]); 3] = [
    (Way::Clients, &[Event::Nothing, Event::Rekey, Event::PeersCome, Event::PeersGo]),
    (Way::Decap, &[Event::Nothing, Event::Table, Event::Restart]),
    (Way::Encap, &[Event::Nothing, Event::Rules]),
];

impl Event {
    const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Rekey => "peers renew their sessions",
            Self::PeersCome => "peers are added",
            Self::PeersGo => "peers are removed",
            Self::Table => "all routes change",
            Self::Restart => "control restarts and tells everything again",
            Self::Rules => "a tenant's rules are replaced",
            Self::Drain => "one server of two is drained",
        }
    }
}

/// One change, made once.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Trial {
    tally: Tally,
    /// Seconds from the first message to when the change was in force.
    in_force: Option<f64>,
}

/// One change with all its trials.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    event: Event,
    way: Way,
    /// Packets per second that came.
    rate: f64,
    trials: Vec<Trial>,
}

/// Measures everything that the plan names.
pub(crate) fn run(plan: &Plan, verbose: bool) -> Result<Report, Failure> {
    let plan = plan.checked()?;
    let setting = plan.search.place.start(verbose)?;
    let pool = plan.search.place.pool(&setting)?;
    let (mut ground, hole) = Ground::start((&setting, &pool), &plan)?;
    let before = Weather::observe();
    let mut measured = Vec::new();
    for (way, events) in SCENES {
        let (rate, pace) = found(&mut ground, way, &plan, &setting.clock)?;
        // One after the other in turn, as peers that are removed have to be there.
        let mut rows: Vec<Vec<Trial>> = vec![Vec::new(); events.len()];
        for _ in 0..plan.trials {
            for (event, trials) in events.iter().zip(&mut rows) {
                let trial = ground.trial((*event, way), (rate, pace), (&plan, &setting.clock))?;
                trials.push(trial);
            }
        }
        let rows = events.iter().zip(rows);
        measured.extend(rows.map(|(event, trials)| Measured { event: *event, way, rate, trials }));
    }
    measured.extend(drain::measure((&setting, &pool), &plan)?);
    let after = Weather::observe();
    let conditions = Conditions::new(setting.machine, (before, after));
    Ok(Report::new(plan, conditions, (measured, ground.routes.len(), hole)))
}

/// The rate at which packets of a way shall come, and the way's pace.
fn found(
    ground: &mut Ground,
    way: Way,
    plan: &Plan,
    clock: &Clock,
) -> Result<(f64, Pace), Failure> {
    let lane = &mut ground.lane;
    let found = ndr::find(lane, (way, &plan.size), &plan.search, clock)?;
    let ndr = found.ndr().ok_or_else(|| format!("{}: no load is carried", way.name()))?;
    let pace = pace::pace(lane, (way, &plan.size.sizes), clock)?;
    Ok((ndr * plan.load, pace))
}

/// Seconds of a trial that waits for nothing, and at most of one that waits for a change or for all peers to renew.
const CALM: f64 = 0.3;
const CALM_QUICK: f64 = 0.02;
const PATIENCE: f64 = 30.0;
const WAVE_PATIENCE: f64 = 8.0;
/// Callers begin in a quarter of the seconds that they are given.
const QUARTERS: f64 = 4.0;

impl Ground {
    fn trial(
        &mut self,
        (event, way): (Event, Way),
        (rate, pace): (f64, Pace),
        (plan, clock): (&Plan, &Clock),
    ) -> Result<Trial, Failure> {
        self.lane.renew()?;
        let seconds = match event {
            Event::Nothing if plan.search.place.quick => CALM_QUICK,
            Event::Nothing => CALM,
            Event::Rekey => WAVE_PATIENCE,
            Event::PeersCome
            | Event::PeersGo
            | Event::Table
            | Event::Restart
            | Event::Rules
            | Event::Drain => PATIENCE,
        };
        let mut callers = None;
        if event == Event::Rekey {
            callers =
                Some(Callers::new(&mut self.lane, plan.wave as usize, plan.wave_secs * QUARTERS)?);
        }
        let told = self.told(event);
        let mut change = Change::new(&mut self.keeping, told, (clock, self.lane.server.now()));
        let offer = Offer::new(way, &plan.size.sizes, (rate, seconds));
        let beside: Option<&mut dyn Beside> = Some(&mut change);
        let offer = Offer { callers: callers.as_mut(), beside, until_answered: true, ..offer };
        let tally = course::trial(&mut self.lane, offer, (clock, plan.search.place.rules(), pace))?;
        let mut in_force = change.taken().map(|taken: Duration| taken.as_secs_f64());
        if let Some(callers) = &callers {
            // It is not in force before the last of them has renewed.
            let all = callers.answered_after().filter(|_| tally.answered == u64::from(plan.wave));
            in_force = all.map(|taken| taken.as_secs_f64());
        } else if event != Event::Nothing && in_force.is_none() {
            return Err(format!("{}: not in force after {seconds} s", event.name()).into());
        }
        Ok(Trial { tally, in_force })
    }
}
