//! Overload in virtual time: what comes through of a tenth to ten times what a worker can do, and of good traffic beside each kind
//! of attack; and whether clients still get their sessions in a flood of handshakes.

pub(crate) mod callers;
mod report;
pub(crate) mod scene;

use clap::Args;
use dpdk::clock::Clock;
use pktgen::attack::{Attack, Builder};
use pktgen::size::Sizes;
use serde::Serialize;

use crate::Failure;
use crate::load::course;
use crate::load::lane::{CALLERS, Lane};
use crate::load::offer::{Offer, Rules};
use crate::load::pace::{self, Pace};
use crate::load::tally::Tally;
use crate::load::way::Way;
use crate::load::{Search, Size};
use crate::machine::{Conditions, Weather};
use crate::ndr;
use callers::Callers;
pub(crate) use report::Report;

/// What to measure, and for how long.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// The ways of packets that come too often.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "pass,clients,out,encap")]
    ways: Vec<Way>,
    /// Octets of the inner packets.
    #[arg(long, value_delimiter = ',', default_value = "64")]
    sizes: Vec<Size>,
    /// How often they come, in parts of the no-drop rate.
    #[arg(long, value_delimiter = ',', default_value = "0.1,0.2,0.5,0.8,0.9,1,1.1,1.5,2,3,5,10")]
    factors: Vec<f64>,
    /// How often attacks come beside good traffic, in parts of its no-drop rate.
    #[arg(long, value_delimiter = ',', default_value = "1,2,5,10")]
    attack_factors: Vec<f64>,
    /// How often floods of handshakes come, in parts of the same.
    #[arg(long, value_delimiter = ',', default_value = "0.1,1,10")]
    flood_factors: Vec<f64>,
    /// The good traffic beside attacks, from client to client, as a part of its no-drop rate.
    #[arg(long, default_value_t = 0.5)]
    good: f64,
    /// Trials of each.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Milliseconds of each.
    #[arg(long, default_value_t = 100)]
    run_ms: u32,
    /// Seconds of a flood of handshakes: clients ask again after five.
    #[arg(long, default_value_t = 7.0)]
    flood_secs: f64,
    #[command(flatten)]
    #[serde(flatten)]
    search: Search,
}

impl Plan {
    fn checked(&self) -> Result<Self, Failure> {
        let mut plan = Self { search: self.search.checked()?, ..self.clone() };
        if plan.search.place.quick {
            (plan.runs, plan.run_ms, plan.flood_secs) = (1, 5, 0.02);
            plan.ways.truncate(2);
        }
        let factors = plan.factors.iter().chain(&plan.attack_factors).chain(&plan.flood_factors);
        if !factors.chain([&plan.good]).all(|factor| (0.01..=100.0).contains(factor)) {
            return Err("factors are 0.01 to 100".into());
        }
        if plan.runs == 0 || plan.run_ms == 0 || !(0.001..=100.0).contains(&plan.flood_secs) {
            return Err("--runs and --run-ms take 1 and more, --flood-secs up to 100".into());
        }
        Ok(plan)
    }

    fn seconds(&self) -> f64 {
        f64::from(self.run_ms) / 1_000.0
    }
}

/// Trials with so many times the no-drop rate.
#[derive(Debug, Serialize)]
pub(crate) struct Step {
    factor: f64,
    trials: Vec<Tally>,
}

/// A way, or an attack beside good traffic.
#[derive(Debug, Serialize)]
pub(crate) struct Curve {
    name: &'static str,
    size: String,
    /// The no-drop rate that factors are of.
    ndr: f64,
    steps: Vec<Step>,
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    ways: Vec<Curve>,
    attacks: Vec<Curve>,
    /// Floods of handshakes, with clients that call meanwhile.
    calls: Vec<Curve>,
}

/// What attacks beside good traffic, each dropped by name.
const ATTACKS: [Attack; 11] = [
    Attack::DosMessage,
    Attack::DosMac1,
    Attack::WireguardReplay,
    Attack::UnknownIndex,
    Attack::WireguardUnknownIndex,
    Attack::WireguardTag,
    Attack::InitiationFlood,
    Attack::HandshakeReplay,
    Attack::SpoofedUdp,
    Attack::SynFlood,
    Attack::MalformedHeaders,
];

/// What keeps clients from their handshakes.
const FLOODS: [Attack; 3] = [Attack::DosMac1, Attack::InitiationFlood, Attack::HandshakeReplay];

/// Whether it is the one before which clients call in peace.
fn attack_is_first(builder: &Builder) -> bool {
    FLOODS.first() == Some(&builder.attack())
}

/// Measures everything that the plan names.
pub(crate) fn run(plan: &Plan, verbose: bool) -> Result<Report, Failure> {
    let plan = plan.checked()?;
    let setting = plan.search.place.start(verbose)?;
    let mut lane = plan.search.place.lane(&setting)?;
    let before = Weather::observe();
    let mut ways = Vec::new();
    let (mut attacks, mut calls) = (Vec::new(), Vec::new());
    for size in &plan.sizes {
        for way in &plan.ways {
            let mut arena = Arena::new(&mut lane, (*way, size), &plan, &setting.clock)?;
            ways.push(arena.curve(&plan)?);
        }
        let mut arena = Arena::new(&mut lane, (Way::Clients, size), &plan, &setting.clock)?;
        let scene = scene::before(arena.lane)?;
        for attack in ATTACKS {
            attacks.push(arena.siege(&plan, Builder::new(attack, &scene)?)?);
        }
        for attack in FLOODS {
            calls.push(arena.calls(&plan, Builder::new(attack, &scene)?)?);
        }
    }
    let after = Weather::observe();
    let conditions = Conditions::new(setting.machine, (before, after));
    Ok(Report::new(plan, conditions, vec![Measured { ways, attacks, calls }]))
}

/// One way of a lane, whose no-drop rate is known.
struct Arena<'a> {
    lane: &'a mut Lane,
    clock: &'a Clock,
    rules: Rules,
    way: Way,
    size: &'a Size,
    pace: Pace,
    ndr: f64,
}

impl<'a> Arena<'a> {
    fn new(
        lane: &'a mut Lane,
        (way, size): (Way, &'a Size),
        plan: &Plan,
        clock: &'a Clock,
    ) -> Result<Self, Failure> {
        let found = ndr::find(lane, (way, size), &plan.search, clock)?;
        let ndr = found.ndr().ok_or_else(|| format!("{}: no load is carried", way.name()))?;
        let pace = pace::pace(lane, (way, &size.sizes), clock)?;
        Ok(Self { lane, clock, rules: plan.search.place.rules(), way, size, pace, ndr })
    }

    fn sizes(&self) -> &'a Sizes {
        &self.size.sizes
    }

    fn trial(&mut self, offer: Offer<'_>) -> Result<Tally, Failure> {
        course::trial(self.lane, offer, (self.clock, self.rules, self.pace))
    }

    fn called(&self, name: &'static str, steps: Vec<Step>) -> Curve {
        Curve { name, size: self.size.name.clone(), ndr: self.ndr, steps }
    }

    /// The way alone, more and more of it.
    fn curve(&mut self, plan: &Plan) -> Result<Curve, Failure> {
        let mut steps = Vec::new();
        for factor in &plan.factors {
            let mut trials = Vec::new();
            for _ in 0..plan.runs {
                let rate = (self.ndr * factor, plan.seconds());
                trials.push(self.trial(Offer::new(self.way, self.sizes(), rate))?);
            }
            steps.push(Step { factor: *factor, trials });
        }
        Ok(self.called(self.way.name(), steps))
    }

    /// Good traffic, and more and more of an attack.
    fn siege(&mut self, plan: &Plan, mut builder: Builder) -> Result<Curve, Failure> {
        self.lane.rest();
        let mut steps = Vec::new();
        for factor in &plan.attack_factors {
            let mut trials = Vec::new();
            for _ in 0..plan.runs {
                let good = (self.ndr * plan.good, plan.seconds());
                let flood = Some((&mut builder, self.ndr * factor));
                let offer = Offer { flood, ..Offer::new(self.way, self.sizes(), good) };
                trials.push(self.trial(offer)?);
            }
            steps.push(Step { factor: *factor, trials });
        }
        Ok(self.called(builder.attack().name(), steps))
    }

    /// Clients that call in a flood, and before the first one in peace.
    fn calls(&mut self, plan: &Plan, mut builder: Builder) -> Result<Curve, Failure> {
        let mut steps = Vec::new();
        let mut factors = if attack_is_first(&builder) { vec![0.0] } else { Vec::new() };
        factors.extend(&plan.flood_factors);
        for factor in &factors {
            self.lane.rest();
            self.lane.renew()?;
            let callers = CALLERS as usize;
            let mut callers = Callers::new(self.lane, callers, plan.flood_secs)?;
            let good = (self.ndr * plan.good, plan.flood_secs);
            let flood = (*factor > 0.0).then_some((&mut builder, self.ndr * factor));
            let callers = Some(&mut callers);
            let offer = Offer { flood, callers, ..Offer::new(self.way, self.sizes(), good) };
            let trials = vec![self.trial(offer)?];
            steps.push(Step { factor: *factor, trials });
        }
        Ok(self.called(builder.attack().name(), steps))
    }
}
