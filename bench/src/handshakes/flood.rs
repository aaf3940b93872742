//! Known peers that renew their sessions while initiations of invented sources come, each with a right first MAC: in virtual time,
//! with the worker and the handshake thread on a core each.

use pktgen::attack::{Attack, Builder, Scene};
use pktgen::size::Sizes;
use serde::Serialize;

use super::Plan;
use crate::Failure;
use crate::load::Place;
use crate::load::course;
use crate::load::lane::Lane;
use crate::load::offer::{Offer, Rules};
use crate::load::pace::{self, Pace};
use crate::load::tally::Tally;
use crate::load::way::Way;
use crate::overload::callers::Callers;
use crate::overload::scene;
use crate::turns::Setting;

/// One strength of the flood.
#[derive(Debug, Serialize)]
pub(crate) struct Flood {
    /// In parts of what a thread answers.
    pub(super) factor: f64,
    /// Initiations a second.
    pub(super) rate: f64,
    pub(super) tally: Tally,
    /// Seconds until the last of those that got a session had it.
    pub(super) last: Option<f64>,
    /// Cookies that were sent meanwhile.
    pub(super) cookies: u64,
}

/// Data that goes on meanwhile, packets a second and octets of each.
const DATA_RATE: f64 = 10_000.0;
const DATA_LEN: usize = 64;
/// Peers begin within a second, a quarter of this.
const BEGINNING: f64 = 4.0;
/// Seconds of a flood at most. Who is sent a cookie asks again after five.
const SECONDS: f64 = 7.0;
/// Seconds between two looks of a worker that has nothing to do.
const REST: f64 = 5e-6;

/// Measures all strengths, after a round in peace in which peers become known.
pub(super) fn measure(
    (setting, place): (&Setting, &Place),
    plan: &Plan,
    answered: f64,
) -> Result<Vec<Flood>, Failure> {
    let pool = place.pool(setting)?;
    let mut lane = Lane::with_callers(setting, (&pool, place.ring), plan.peers)?;
    let sizes = Sizes::list(&[DATA_LEN]).ok_or("there is no such size")?;
    let full = pace::pace(&mut lane, (Way::Clients, &sizes), &setting.clock)?;
    let (rules, peers) = (place.rules(), plan.peers);
    let scene = scene::before(&mut lane)?;
    let mut arena = Arena { lane, scene, sizes, setting, rules, pace: full, peers };
    arena.renew(0.0, 0.0)?;
    plan.floods.iter().map(|factor| arena.renew(*factor, factor * answered)).collect()
}

struct Arena<'a> {
    lane: Lane,
    scene: Scene,
    sizes: Sizes,
    setting: &'a Setting,
    rules: Rules,
    pace: Pace,
    peers: u32,
}

impl Arena<'_> {
    /// Lets all peers renew in a flood.
    fn renew(&mut self, factor: f64, rate: f64) -> Result<Flood, Failure> {
        self.lane.rest();
        let mut builder = Builder::new(Attack::InitiationFlood, &self.scene)?;
        let mut callers = Callers::new(&mut self.lane, self.peers as usize, BEGINNING)?;
        let before = self.lane.server.totals().cookies;
        let flood = (rate > 0.0).then_some((&mut builder, rate));
        let offer = Offer::new(Way::Clients, &self.sizes, (DATA_RATE, SECONDS));
        let callers_now = Some(&mut callers);
        let offer =
            Offer { flood, callers: callers_now, until_answered: true, rest: REST, ..offer };
        let (clock, rules, pace) = (&self.setting.clock, self.rules, self.pace);
        let tally = course::trial(&mut self.lane, offer, (clock, rules, pace))?;
        let last = callers.answered_after().map(|after| after.as_secs_f64());
        let cookies = self.lane.server.totals().cookies - before;
        Ok(Flood { factor, rate, tally, last, cookies })
    }
}
