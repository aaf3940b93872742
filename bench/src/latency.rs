//! Latency at several loads, from the moment that was planned for a packet: in virtual time to the turn with which it has left the
//! worker, and in real time on two cores, where the generator can be late, until it is back.

mod report;

use clap::Args;
use dpdk::clock::Clock;
use pktgen::measure::Latency;
use serde::Serialize;

use crate::Failure;
use crate::load::course;
use crate::load::lane::Lane;
use crate::load::offer::Offer;
use crate::load::pace;
use crate::load::way::Way;
use crate::load::{Search, Size};
use crate::machine::{Conditions, Weather};
use crate::ndr;
use crate::realtime::latencies::{self, Latencies};
use crate::realtime::{self, Pair, Pairing};
pub(crate) use report::Report;

/// What to measure, and for how long.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// The ways of packets.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "pass,clients,out,encap")]
    ways: Vec<Way>,
    /// Octets of the inner packets.
    #[arg(long, value_delimiter = ',', default_value = "64,1420")]
    sizes: Vec<Size>,
    /// Seconds of each load.
    #[arg(long, default_value_t = 2.0)]
    secs: f64,
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
            plan.secs = 0.01;
            plan.ways.truncate(2);
            plan.sizes.truncate(1);
        }
        if !(0.001..=600.0).contains(&plan.secs) {
            return Err("--secs takes 0.001 to 600".into());
        }
        plan.pairing.check()?;
        Ok(plan)
    }
}

/// Parts of the load at which half a percent is lost. The first is so little that packets are alone.
pub(crate) const LOADS: [(&str, f64); 4] =
    [("no load", 0.01), ("10 % of PDR", 0.1), ("50 % of PDR", 0.5), ("90 % of PDR", 0.9)];

/// One load of one way.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    way: Way,
    size: Size,
    load: &'static str,
    /// Packets per second.
    rate: f64,
    packets: u64,
    lost: u64,
    clips: u64,
    /// Shares of the packets, and nanoseconds that they did not exceed.
    points: Vec<(f64, u64)>,
    max_ns: u64,
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct All {
    virtually: Vec<Measured>,
    really: Vec<Latencies>,
    /// What is not in it, and why.
    left_out: Vec<(String, String)>,
}

/// Measures everything that the plan names.
pub(crate) fn run(plan: &Plan, verbose: bool) -> Result<Report, Failure> {
    let plan = plan.checked()?;
    let cores = plan.pairing.cores(&plan.search);
    let setting = plan.search.place.start(verbose)?;
    let mut lane = plan.search.place.lane(&setting)?;
    let before = Weather::observe();
    let virtually = virtually(&plan, &mut lane, &setting.clock)?;
    let mut all = All { virtually, really: Vec::new(), left_out: Vec::new() };
    match cores {
        Ok(cores) => {
            let mut pair = Pair::new(lane, (&setting.eal, &setting.clock), cores);
            really(&plan, &mut pair, &mut all)?;
        }
        Err(why) => all.left_out.push((REALLY.to_owned(), why.to_string())),
    }
    let conditions = Conditions::new(setting.machine, (before, Weather::observe()));
    Ok(Report::new(plan, conditions, vec![all]))
}

const REALLY: &str = "latency in real time";

/// On two cores, every way whose packets come back unsealed: of the others the generator cannot read when they were planned.
fn really(plan: &Plan, pair: &mut Pair<'_>, all: &mut All) -> Result<(), Failure> {
    for size in &plan.sizes {
        let ceiling = pair.ceiling(size, plan.search.place.quick)?;
        for way in &plan.ways {
            let what = format!("{REALLY}: {}, {}", way.name(), size.name);
            if way.is_sealed() {
                let why = "the generator does not open what the server seals";
                all.left_out.push((what, why.to_owned()));
                continue;
            }
            let asked = (&plan.search, plan.pairing.tries);
            let measured = realtime::measure(pair, (*way, size), asked, ceiling)?;
            let Some(pdr) = measured.pdr() else {
                all.left_out.push((what, measured.why_not()));
                continue;
            };
            let timing =
                (plan.secs, f64::from(plan.search.goals.trial_ms) / 1_000.0, plan.pairing.tries);
            all.really.extend(latencies::measure(pair, (*way, size), pdr, timing)?);
        }
    }
    Ok(())
}

fn virtually(plan: &Plan, lane: &mut Lane, clock: &Clock) -> Result<Vec<Measured>, Failure> {
    let rules = plan.search.place.rules();
    let mut measured = Vec::new();
    for size in &plan.sizes {
        for way in &plan.ways {
            let found = ndr::find(lane, (*way, size), &plan.search, clock)?;
            let pdr = found.pdr().ok_or_else(|| format!("{}: no load is carried", way.name()))?;
            let pace = pace::pace(lane, (*way, &size.sizes), clock)?;
            for (load, part) in LOADS {
                let rate = pdr * part;
                let offer = Offer::new(*way, &size.sizes, (rate, plan.secs));
                let offer = Offer { with_latency: true, ..offer };
                let tally = course::trial(lane, offer, (clock, rules, pace))?;
                let latency = tally.latency.unwrap_or_default();
                measured.push(Measured {
                    way: *way,
                    size: size.clone(),
                    load,
                    rate,
                    packets: latency.count(),
                    lost: tally.offered - tally.delivered,
                    clips: tally.clips,
                    points: points(&latency),
                    max_ns: latency.quantile_ns(1.0),
                });
            }
        }
    }
    Ok(measured)
}

/// The shares whose latency is told.
pub(crate) const SHARES: [f64; 7] = [0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999_999];
/// Packets that have to lie beyond a percentile for it to be one.
const BEYOND: f64 = 5.0;

/// The percentiles that there were enough packets for.
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 packets")]
pub(crate) fn points(latency: &Latency) -> Vec<(f64, u64)> {
    let count = latency.count() as f64;
    let is_known = |share: &f64| count * (1.0 - share) >= BEYOND;
    let shares = SHARES.into_iter().filter(is_known);
    shares.map(|share| (share, latency.quantile_ns(share))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn percentiles_without_packets_beyond_them_are_not_told() {
        let mut latency = Latency::new();
        (1..=1000).for_each(|micros| latency.record(Duration::from_micros(micros)));
        let shares: Vec<f64> = points(&latency).iter().map(|(share, _)| *share).collect();
        assert_eq!(shares, [0.5, 0.9, 0.99]);
    }
}
