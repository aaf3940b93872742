//! The no-drop rate in real time: a generator on one core, a worker on another, rings between them, or the shared memory of two
//! processes. A trial says nothing of the worker when the generator was late, or when its loss may be that of a core that others took: it is counted and
//! made again.

mod ceiling;
mod frames;
mod generator;
pub(crate) mod latencies;
mod over;
mod process;
pub(crate) mod remote;
mod report;
mod trial;

use clap::Args;
use dpdk::lcore;
use serde::Serialize;

use crate::Failure;
use crate::load::goals::{self, Found};
use crate::load::tally::Tally;
use crate::load::way::Way;
use crate::load::{Search, Size};
use crate::machine::{Conditions, Weather};
use crate::steer::cores::round_trip;
use over::Over;
pub(crate) use process::Meeting;
pub(crate) use report::Report;
pub(crate) use trial::Pair;

/// What to measure, and for how long.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// The ways of packets.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "open,clients,out,encap")]
    ways: Vec<Way>,
    /// Octets of the inner packets.
    #[arg(long, value_delimiter = ',', default_value = "64,1420")]
    sizes: Vec<Size>,
    /// What is between the generator and the worker.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "rings,memif")]
    over: Vec<Over>,
    #[command(flatten)]
    #[serde(flatten)]
    pairing: Pairing,
    #[command(flatten)]
    #[serde(flatten)]
    search: Search,
}

impl Plan {
    fn checked(&self) -> Result<Self, Failure> {
        let mut plan = Self { search: self.search.checked()?, ..self.clone() };
        if plan.search.place.quick {
            plan.ways.truncate(2);
            plan.sizes.truncate(1);
        }
        plan.pairing.check()?;
        Ok(plan)
    }
}

/// The other core, and patience with what disturbs trials on both.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Pairing {
    /// The worker's core in real time, another than the generator's, which has `--core`.
    #[arg(long)]
    second_core: Option<usize>,
    /// How often a trial in real time is made again that was disturbed.
    #[arg(long, default_value_t = 10)]
    pub(crate) tries: u32,
}

impl Pairing {
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.tries == 0 { Err("--tries takes 1 and more".into()) } else { Ok(()) }
    }

    /// Both cores of a measurement, if trials of this search can be made on them. To be asked before DPDK starts.
    pub(crate) fn cores(&self, search: &Search) -> Result<[usize; 2], Failure> {
        if search.goals.is_strict() {
            let what = "frames are sealed before a trial, and no memory holds those of a minute: \
                        --strict is for ndr";
            return Err(what.into());
        }
        two_cores(search.place.core, self.second_core)
    }
}

/// Both, if there are two and this process may run on them.
fn two_cores(generator: usize, worker: Option<usize>) -> Result<[usize; 2], Failure> {
    let allowed = lcore::allowed()?;
    let another = allowed.iter().copied().find(|core| *core != generator);
    let Some(another) = another else {
        return Err("a generator and a worker need a core each, and this process has one".into());
    };
    let worker = worker.unwrap_or(another);
    if generator == worker || ![generator, worker].iter().all(|core| allowed.contains(core)) {
        let what = format!("--core and --second-core are two of the cores {allowed:?}");
        return Err(what.into());
    }
    Ok([generator, worker])
}

/// One way with packets of one size.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    over: Over,
    way: Way,
    size: Size,
    /// Packets per second that the generator sends and takes back when nobody works between.
    ceiling: f64,
    /// Those of full bursts through the worker.
    pace: f64,
    /// Why there is nothing else.
    refused: Option<String>,
    found: Option<Found>,
    /// Trials that were disturbed, and by what first.
    voided: u64,
    voids: Vec<Tally>,
    why: Option<String>,
}

impl Measured {
    /// Packets per second of which half a percent is lost.
    pub(crate) fn pdr(&self) -> Option<f64> {
        self.found.as_ref().and_then(Found::pdr)
    }

    /// Why there is no such rate.
    pub(crate) fn why_not(&self) -> String {
        let no_load = || "the search found no load that is carried".to_owned();
        self.refused.clone().unwrap_or_else(no_load)
    }
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct All {
    /// Nanoseconds of a cache line's way to the other core and back, before and after.
    round_trip_ns: [f64; 2],
    ways: Vec<Measured>,
    /// Between what nothing was measured, and why.
    refused: Vec<(Over, String)>,
}

/// How much quicker than the worker the generator has to be.
const MARGIN: f64 = 2.0;

/// Measures everything that the plan names.
pub(crate) fn run(plan: &Plan, verbose: bool) -> Result<Report, Failure> {
    let plan = plan.checked()?;
    let cores = plan.pairing.cores(&plan.search)?;
    let setting = plan.search.place.start(verbose)?;
    let lane = plan.search.place.lane(&setting)?;
    let mut pair = Pair::new(lane, (&setting.eal, &setting.clock), cores);
    let weather = Weather::observe();
    let before = round_trip(&setting.eal, cores, &setting.clock)?;
    let (mut ways, mut refused) = (Vec::new(), Vec::new());
    for over in &plan.over {
        if let Err(why) = pair.lead(*over, &plan.search.place) {
            refused.push((*over, why.to_string()));
            continue;
        }
        match (all_ways(&mut pair, &plan), over) {
            (Ok(measured), _) => ways.extend(measured),
            // The process may be gone, and the worker's queues with it. What was measured over rings stays.
            (Err(why), Over::Memif) => {
                refused.push((*over, why.to_string()));
                break;
            }
            (Err(why), Over::Rings) => return Err(why),
        }
    }
    let after = round_trip(&setting.eal, cores, &setting.clock)?;
    let conditions = Conditions::new(setting.machine, (weather, Weather::observe()));
    let all = All { round_trip_ns: [before, after], ways, refused };
    Ok(Report::new(plan, conditions, vec![all]))
}

/// Every way with packets of every size.
fn all_ways(pair: &mut Pair<'_>, plan: &Plan) -> Result<Vec<Measured>, Failure> {
    let mut ways = Vec::new();
    for size in &plan.sizes {
        let ceiling = pair.ceiling(size, plan.search.place.quick)?;
        for way in &plan.ways {
            let asked = (&plan.search, plan.pairing.tries);
            ways.push(measure(pair, (*way, size), asked, ceiling)?);
        }
    }
    Ok(ways)
}

/// Searches for the rates of one way, of which each trial is made so many times at most.
pub(crate) fn measure(
    pair: &mut Pair<'_>,
    (way, size): (Way, &Size),
    (search, tries): (&Search, u32),
    ceiling: f64,
) -> Result<Measured, Failure> {
    let pace = pair.pace((way, size), search.place.quick)?;
    let mut measured = Measured {
        over: pair.over(),
        way,
        size: size.clone(),
        ceiling,
        pace: pace.rate,
        refused: None,
        found: None,
        voided: 0,
        voids: Vec::new(),
        why: None,
    };
    if pace.rate <= 0.0 {
        measured.refused = Some("nothing came through when its pace was taken".to_owned());
        return Ok(measured);
    }
    if ceiling < MARGIN * pace.rate {
        let times = ceiling / pace.rate;
        measured.refused =
            Some(format!("the generator is only {times:.1} times as quick as the worker"));
        return Ok(measured);
    }
    let mut failure = None;
    let ratios = search.goals.goals().map(|goal| goal.loss_ratio);
    let found = goals::search(&search.goals, pace.range(), |ask| {
        for _ in 0..tries {
            let done = pair.trial((way, size), (ask.load, ask.duration, false))?;
            let Some(why) = done.why_not(&ratios) else { return Ok(done.tally) };
            measured.voided += 1;
            measured.voids.push(done.tally);
            measured.why.get_or_insert(why);
        }
        let why = measured.why.clone().unwrap_or_default();
        let what = format!("a trial was void {tries} times on end: {why}");
        failure = Some(what.clone());
        Err(what.into())
    });
    match (found, failure) {
        (Ok(found), _) => measured.found = Some(found),
        (Err(_), Some(what)) => measured.refused = Some(what),
        (Err(error), None) => return Err(error),
    }
    Ok(measured)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        pairing: Pairing,
        #[command(flatten)]
        search: Search,
    }

    fn refused(line: &[&str]) -> String {
        let Line { pairing, search } = Line::parse_from([&["bench"], line].concat());
        let cores = pairing.check().and_then(|()| pairing.cores(&search));
        cores.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn no_pair_makes_trials_of_a_minute_or_none_at_all() {
        assert!(refused(&["--strict"]).contains("no memory holds those of a minute"));
        assert_eq!(refused(&["--tries", "0"]), "--tries takes 1 and more");
    }
}
