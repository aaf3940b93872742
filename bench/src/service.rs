//! Service time: cycles per packet of a worker's turn on one core, in blocks that take turns with plain
//! forwarding on the same rings and with the bare AEAD.

mod boringtun;
pub(crate) mod client;
mod parts;
mod report;
pub(crate) mod server;
pub(crate) mod stages;
mod ways;

use std::path::PathBuf;

use clap::Args;
use dataplane::limits::BURST_LEN_MAX;
use serde::Serialize;

use crate::Failure;
use crate::machine::{Conditions, Weather};
use crate::turns::{Setting, Timing, until, walked};
use boringtun::Boringtun;
use report::{Measured, Report};
use server::{CLIENTS, Keys, Server};
use stages::Stages;
use ways::{Rig, Shape, Way};

/// What to measure, and for how long.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// Octets of the inner packets.
    #[arg(long, value_delimiter = ',', default_value = "64,512,1420")]
    sizes: Vec<usize>,
    /// Sessions that the walk through the stages takes its packets from. Whole turns and the bare AEAD keep their 16.
    #[arg(long, default_value_t = CLIENTS)]
    sessions: u32,
    /// Processes that share the blocks; a quick run is one.
    #[arg(long, default_value_t = 12)]
    processes: usize,
    /// Keep what a part of a run has measured in this file, and nothing else.
    #[arg(long, hide = true)]
    #[serde(skip)]
    part: Option<PathBuf>,
    #[command(flatten)]
    #[serde(flatten)]
    timing: Timing,
}

/// Sessions of one worker with room for renewals.
const SESSIONS_MAX: u32 = 200_000;

impl Plan {
    fn checked(&self) -> Result<Self, Failure> {
        let mut plan = Self { timing: self.timing.checked()?, ..self.clone() };
        if plan.timing.quick {
            plan.processes = 1;
        }
        if plan.processes == 0 {
            return Err("--processes takes 1 and more".into());
        }
        let clients = CLIENTS as usize;
        let burst_fits = |len: &usize| (1..=BURST_LEN_MAX / clients).any(|n| n * clients == *len);
        if !plan.timing.bursts.iter().all(burst_fits) {
            return Err(
                format!("--bursts takes multiples of {clients} up to {BURST_LEN_MAX}").into()
            );
        }
        if !plan.sizes.iter().all(|len| (28..=1420).contains(len)) {
            return Err("--sizes takes 28..=1420: the smallest UDP packet, and what the path to a client carries".into());
        }
        if !(CLIENTS..=SESSIONS_MAX).contains(&plan.sessions) {
            return Err(format!("--sessions takes {CLIENTS} to {SESSIONS_MAX}").into());
        }
        Ok(plan)
    }
}

/// Measures everything that the plan names.
pub(crate) fn run(plan: &Plan, verbose: bool) -> Result<Report, Failure> {
    let plan = plan.checked()?;
    let before = Weather::observe();
    let others = if plan.part.is_none() { parts::made(plan.processes - 1)? } else { Vec::new() };
    let setting = plan.timing.start(verbose)?;
    let mut measured = own(&setting, &plan)?;
    let after = Weather::observe();
    if let Some(path) = &plan.part {
        parts::keep(&measured, path)?;
    }
    for (whole, part) in others.into_iter().flat_map(|part| (0..).zip(part)) {
        measured.get_mut(whole).ok_or("a part has more shapes")?.add(part);
    }
    let conditions = Conditions::new(setting.machine, (before, after));
    Ok(Report::new(plan, conditions, measured))
}

/// This process's part of everything that the plan names.
fn own(setting: &Setting, plan: &Plan) -> Result<Vec<Measured>, Failure> {
    let mut rig = rig(setting, plan.sessions)?;
    let least = plan.timing.least(&setting.clock);
    let blocks = plan.timing.blocks.div_ceil(plan.processes);
    let mut timing = plan.timing.clone();
    timing.blocks = blocks;
    let mut measured = Vec::new();
    for len in &plan.sizes {
        for burst in &plan.timing.bursts {
            let shape = Shape { len: *len, burst: *burst };
            measured.push(measure(&mut rig, &timing, least, shape)?);
        }
    }
    rig.stages.check()?;
    rig.server.check()?;
    Ok(measured)
}

fn rig(Setting { eal, pool, .. }: &Setting, sessions: u32) -> Result<Rig, Failure> {
    let mut keys = Keys::draw(CLIENTS);
    let mut server = Server::start(eal, pool, &mut keys.keeper()?, "")?;
    let clients = server.connect(&mut keys)?;
    let mut many = Keys::draw(sessions);
    let stages = Stages::new(&server, &mut many.keeper()?, &mut many, sessions)?;
    let boringtun = Boringtun::new(&mut keys)?;
    let mut rig = Rig { server, clients, stages, boringtun };
    // The sessions of the walk prove themselves by their first packets, then they may send.
    let shape = Shape { len: 64, burst: CLIENTS as usize };
    for _ in 0..rig.stages.clients.len().div_ceil(shape.burst) {
        rig.open_laps(shape)?;
    }
    Ok(rig)
}

/// All ways and walks of one shape, block by block in turn.
fn measure(rig: &mut Rig, timing: &Timing, least: u64, shape: Shape) -> Result<Measured, Failure> {
    let mut measured = Measured::new(shape);
    let (warm_up, count) = timing.rounds();
    for block in 0..count {
        let counts = block >= warm_up;
        for (place, way) in Way::ALL.into_iter().enumerate() {
            let (taken, bursts) = until(least, || rig.round(way, shape))?;
            if counts {
                measured.way(place, taken, bursts);
            }
        }
        let open = walked(least, || rig.open_laps(shape))?;
        let seal = walked(least, || rig.seal_laps(shape))?;
        if counts {
            measured.walks(open, seal);
        }
    }
    Ok(measured)
}
