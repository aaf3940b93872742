//! The no-drop rate in virtual time: the load at which a worker begins to lose packets of each way, found by `MLRsearch`; and the
//! load at which it loses half a percent.

mod report;

use clap::Args;
use serde::Serialize;

use crate::Failure;
use crate::load::course;
use crate::load::goals::{self, Found};
use crate::load::lane::Lane;
use crate::load::offer::Offer;
use crate::load::pace;
use crate::load::way::Way;
use crate::load::{Search, Size};
use crate::machine::{Conditions, Weather};
use crate::turns::check_calls;
use dpdk::clock::Clock;
pub(crate) use report::Report;

/// What to measure, and for how long.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// The ways of packets.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Way::ALL)]
    ways: Vec<Way>,
    /// Octets of the inner packets; IMIX is the mix of seven of 64, four of 576 and one of 1420.
    #[arg(long, value_delimiter = ',', default_value = "64,512,1420,imix")]
    sizes: Vec<Size>,
    #[command(flatten)]
    #[serde(flatten)]
    search: Search,
}

/// One way with packets of one size.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    way: Way,
    size: Size,
    /// Octets of an inner packet, the mean.
    octets: usize,
    found: Found,
}

impl Plan {
    fn checked(&self) -> Result<Self, Failure> {
        let mut plan = Self { search: self.search.checked()?, ..self.clone() };
        if plan.search.place.quick {
            plan.sizes.truncate(1);
        }
        Ok(plan)
    }
}

/// Measures everything that the plan names.
pub(crate) fn run(plan: &Plan, verbose: bool) -> Result<Report, Failure> {
    let plan = plan.checked()?;
    let setting = plan.search.place.start(verbose)?;
    let mut lane = plan.search.place.lane(&setting)?;
    let before = Weather::observe();
    let mut measured = Vec::new();
    for size in &plan.sizes {
        for way in &plan.ways {
            let found = find(&mut lane, (*way, size), &plan.search, &setting.clock)?;
            let octets = size.sizes.mean();
            measured.push(Measured { way: *way, size: size.clone(), octets, found });
        }
    }
    let after = Weather::observe();
    check_calls(lane.server.allocations)?;
    let conditions = Conditions::new(setting.machine, (before, after));
    Ok(Report::new(plan, conditions, measured))
}

/// Searches for the rates of one way.
pub(crate) fn find(
    lane: &mut Lane,
    (way, size): (Way, &Size),
    search: &Search,
    clock: &Clock,
) -> Result<Found, Failure> {
    lane.renew()?;
    let full = pace::pace(lane, (way, &size.sizes), clock)?;
    goals::search(&search.goals, full.range(), |ask| {
        let offer = Offer::new(way, &size.sizes, (ask.load, ask.duration));
        course::trial(lane, offer, (clock, search.place.rules(), full))
    })
}
