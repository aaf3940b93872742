//! Ways of packets among many flows, of which each packet is of a random one: what `nat` and `splice` have in common.

use std::ops::RangeInclusive;

use clap::Args;
use results::Section;
use serde::Serialize;

use crate::Failure;
use crate::machine::{Conditions, Weather};
use crate::turns::{self, Setting, Timing, Ways};

/// What to measure, and for how long.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// Flows, of which each packet is of a random one.
    #[arg(long, value_delimiter = ',', default_value = "10000,1000000")]
    flows: Vec<u32>,
    /// Octets of the packets.
    #[arg(long, default_value_t = 64)]
    size: usize,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) timing: Timing,
}

/// Packets by each way before anything is measured: six for each small page that the lines of a million flows take, so that one
/// page in 400 is left out.
const WARM_UP: usize = 100_000;

/// The headers with some octets of payload, and what fits every client.
const SIZES: RangeInclusive<usize> = 48..=1_420;
const QUICK_FLOWS: u32 = 1_000;

/// What a run is made of: its server with so many flows, which end in no run, and what feeds it.
pub(crate) trait Among: turns::Rig + Sized {
    /// How many flows there can be.
    const FLOWS: RangeInclusive<u32>;

    /// With so many flows, and packets of this many octets.
    fn start(setting: &Setting, shape: (u32, usize)) -> Result<Self, Failure>;

    /// Figures of a run that allocated, lost or dropped something, or opened or ended flows, are of no use.
    fn check(&self) -> Result<(), Failure>;
}

/// One number of flows and length of burst.
#[derive(Debug)]
pub(crate) struct Measured<W> {
    flows: u32,
    burst: usize,
    size: usize,
    ways: Ways<W>,
}

impl Plan {
    /// The same with fewer flows if it shall be quick; refuses what cannot be.
    pub(crate) fn checked<R: Among>(&self) -> Result<Self, Failure> {
        let mut plan = Self { timing: self.timing.checked()?, ..self.clone() };
        if plan.timing.quick {
            plan.flows = vec![QUICK_FLOWS];
        }
        if !SIZES.contains(&plan.size) {
            let (least, most) = (SIZES.start(), SIZES.end());
            return Err(format!("--size takes {least}..={most}").into());
        }
        if !plan.flows.iter().all(|flows| R::FLOWS.contains(flows)) {
            let (least, most) = (R::FLOWS.start(), R::FLOWS.end());
            return Err(format!("--flows takes {least} to {most}").into());
        }
        Ok(plan)
    }

    /// Measures everything that a checked plan names.
    pub(crate) fn measure<R: Among>(
        &self,
        setting: &Setting,
    ) -> Result<Vec<Measured<R::Way>>, Failure> {
        let least = self.timing.least(&setting.clock);
        let mut measured = Vec::new();
        for flows in &self.flows {
            let mut rig = R::start(setting, (*flows, self.size))?;
            turns::warm(&mut rig, if self.timing.quick { 0 } else { WARM_UP })?;
            for burst in &self.timing.bursts {
                let ways = turns::measure(&mut rig, &self.timing, (least, *burst))?;
                measured.push(Measured { flows: *flows, burst: *burst, size: self.size, ways });
            }
            rig.check()?;
        }
        Ok(measured)
    }

    /// The same with the machine, and the weather before and after.
    pub(crate) fn run<T>(
        &self,
        verbose: bool,
        measure: impl FnOnce(&Setting) -> Result<T, Failure>,
    ) -> Result<(Conditions, T), Failure> {
        let setting = self.timing.start(verbose)?;
        let before = Weather::observe();
        let measured = measure(&setting)?;
        let after = Weather::observe();
        Ok((Conditions::new(setting.machine, (before, after)), measured))
    }
}

/// Nanoseconds of a packet that were wanted at most, while the caches hold the flows and when they do not.
const WANTED: [(u32, f64); 2] = [(10_000, 60.0), (1_000_000, 150.0)];
/// Octets of the packets of which they were wanted.
const WANTED_SIZE: usize = 64;

impl<W: turns::Way> Measured<W> {
    /// Its tables and its plot.
    pub(crate) fn section(&self, conditions: &Conditions) -> Section {
        let Self { flows, burst, size, ways } = self;
        let wanted = WANTED.into_iter().find(|(wanted, _)| wanted == flows && *size == WANTED_SIZE);
        let wanted = |way| wanted.filter(|_| way != W::FORWARD).map(|(_, ns)| ns);
        let [turns, laps] = ways.tables(conditions, wanted);
        Section::new(format!("{flows} flows, bursts of {burst}, {size} octets"))
            .table(turns)
            .table(laps)
            .plot(ways.plot(conditions))
    }
}
