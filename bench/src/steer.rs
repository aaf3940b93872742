//! Steering: what it costs to find the server of a packet and to pass it on, to take what another server has passed on, and
//! to hand a packet over to another worker. In blocks that take turns with plain forwarding, and on two cores at once.

pub(crate) mod cores;
mod frames;
mod hand_over;
mod report;
pub(crate) mod servers;
mod walks;

use clap::Args;
use serde::Serialize;

use crate::Failure;
use crate::machine::Weather;
use crate::turns::{self, Setting, Timing, check_calls};
use cores::Cores;
use hand_over::HandOver;
use report::{Measured, Report};
use servers::{Family, Landing};
use walks::{Set, Walks};

/// What to measure, and for how long.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Plan {
    #[command(flatten)]
    #[serde(flatten)]
    timing: Timing,
    /// A second core: one and two workers at the same time; without it that part is left out.
    #[arg(long)]
    second_core: Option<usize>,
}

impl Plan {
    fn checked(&self) -> Result<Self, Failure> {
        let plan = Self { timing: self.timing.checked()?, ..self.clone() };
        if plan.second_core == Some(plan.timing.core) {
            return Err("--second-core must be another core than --core".into());
        }
        Ok(plan)
    }
}

/// Everything that is measured on the one core.
struct Rig {
    landing: Landing,
    walks: Vec<Walks>,
    hand_over: HandOver,
    allocations: u64,
}

/// Measures everything that the plan names.
pub(crate) fn run(plan: &Plan, verbose: bool) -> Result<Report, Failure> {
    let plan = plan.checked()?;
    let setting = plan.timing.start(verbose)?;
    let Setting { eal, pool, .. } = &setting;
    let mut rig = Rig {
        landing: Landing::start(eal, pool, "land")?,
        walks: [Family::V4, Family::V6]
            .map(|family| Walks::new(family, pool))
            .into_iter()
            .collect::<Result<_, _>>()?,
        hand_over: HandOver::start(eal, pool)?,
        allocations: 0,
    };
    let before = Weather::observe();
    let least = plan.timing.least(&setting.clock);
    let measured = plan
        .timing
        .bursts
        .iter()
        .map(|burst| measure(&mut rig, &plan.timing, least, *burst))
        .collect::<Result<Vec<_>, _>>()?;
    let cores = plan.second_core.map(|second| Cores::measure(&setting, &plan.timing, second));
    let cores = cores.transpose()?;
    let after = Weather::observe();
    check(&rig)?;
    Ok(Report::new(plan, setting.machine, (before, after), (measured, cores)))
}

/// All ways of one length of burst, block by block in turn.
fn measure(rig: &mut Rig, timing: &Timing, least: u64, burst: usize) -> Result<Measured, Failure> {
    let mut measured = Measured::new(burst);
    let (warm_up, count) = timing.rounds();
    for block in 0..count {
        let mut add = |name: String, cycles: u64, bursts: u64| {
            if block >= warm_up {
                measured.add(name, cycles, bursts * burst as u64);
            }
        };
        let Rig { landing, walks, hand_over, allocations } = rig;
        for (name, round) in Landing::WAYS {
            let (cycles, bursts) = until(least, || round(landing, burst, allocations))
                .map_err(|error| format!("{name}: {error}\n{}", landing.totals()))?;
            add(name.to_owned(), cycles, bursts);
        }
        for walk in walks {
            for set in Set::ALL {
                walk.round(set, burst, &mut walks::Laps::default(), allocations)?;
                let mut laps = walks::Laps::default();
                let mut bursts = 0;
                while laps.iter().sum::<u64>() < least {
                    bursts += walk.round(set, burst, &mut laps, allocations)?;
                }
                for (lap, cycles) in walks::LAPS.into_iter().zip(laps) {
                    add(format!("{} | {set} | {lap}", walk.family()), cycles, bursts);
                }
            }
        }
        for (name, round) in HandOver::WAYS {
            let (cycles, bursts) = until(least, || round(hand_over, burst, allocations))
                .map_err(|error| format!("{name}: {error}\n{}", hand_over.totals()))?;
            add(name.to_owned(), cycles, bursts);
        }
    }
    Ok(measured)
}

/// Rounds until a block is long enough. The first round, which finds the caches as another way has left them, does not count.
fn until(
    least: u64,
    mut round: impl FnMut() -> Result<(u64, u64), Failure>,
) -> Result<(u64, u64), Failure> {
    round()?;
    turns::until(least, round)
}

/// Figures of a run that allocated, lost or dropped something are of no use.
fn check(rig: &Rig) -> Result<(), Failure> {
    check_calls(rig.allocations)?;
    for totals in [rig.landing.totals(), rig.hand_over.totals()] {
        if totals.dropped_all() > 0 || totals.unaccounted() != 0 {
            return Err(format!("packets were lost:\n{totals}").into());
        }
    }
    Ok(())
}
