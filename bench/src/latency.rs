//! Latency in virtual time: from the moment that was planned for a packet to the turn with which it has left the worker, at several
//! loads.

mod report;

use clap::Args;
use pktgen::measure::Latency;
use serde::Serialize;

use crate::Failure;
use crate::load::course::{self, Offer};
use crate::load::goals::Goals;
use crate::load::way::Way;
use crate::load::{Place, Size};
use crate::machine::{Conditions, Weather};
use crate::ndr;
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
    goals: Goals,
    #[command(flatten)]
    #[serde(flatten)]
    place: Place,
}

impl Plan {
    fn checked(&self) -> Result<Self, Failure> {
        self.place.check()?;
        let mut plan = self.clone();
        plan.goals = plan.goals.checked(plan.place.quick)?;
        if plan.place.quick {
            plan.secs = 0.01;
            plan.ways.truncate(2);
            plan.sizes.truncate(1);
        }
        if !(0.001..=600.0).contains(&plan.secs) {
            return Err("--secs takes 0.001 to 600".into());
        }
        Ok(plan)
    }
}

/// Parts of the load at which half a percent is lost. The first is so little that packets are alone.
const LOADS: [(&str, f64); 4] =
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

/// Measures everything that the plan names.
pub(crate) fn run(plan: &Plan, verbose: bool) -> Result<Report, Failure> {
    let plan = plan.checked()?;
    let setting = plan.place.start(verbose)?;
    let mut lane = plan.place.lane(&setting)?;
    let (clock, rules) = (&setting.clock, plan.place.rules());
    let before = Weather::observe();
    let mut measured = Vec::new();
    for size in &plan.sizes {
        for way in &plan.ways {
            let found = ndr::find(&mut lane, (*way, size), &plan.goals, (clock, &plan.place))?;
            let pdr = found.pdr().ok_or_else(|| format!("{}: no load is carried", way.name()))?;
            let pace = course::pace(&mut lane, (*way, &size.sizes), clock)?;
            for (load, part) in LOADS {
                let rate = pdr * part;
                let offer = Offer::new(*way, &size.sizes, (rate, plan.secs));
                let offer = Offer { with_latency: true, ..offer };
                let tally = course::trial(&mut lane, offer, (clock, rules, pace))?;
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
    let after = Weather::observe();
    let conditions = Conditions::new(setting.machine, (before, after));
    Ok(Report::new(plan, conditions, measured))
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
