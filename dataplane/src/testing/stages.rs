//! The packet's way stage by stage: the list of [`crate::pipeline`], with something done after every stage and on both sides of the
//! AEAD. For whoever measures stages alone.

use ::wireguard::aead;
use ::wireguard::time::Instant;

use crate::burst::Burst;
use crate::pipeline::State;
use crate::stages::egress::Transit;
use crate::stages::egress::nat::{self, Outside};
use crate::stages::parse::{self, Home};
use crate::stages::route::{self, Router};
use crate::stages::steer::{Forwarding, Steering};
use crate::stages::{dos, egress, link, steer, tenant, wireguard};

/// The laps of a walk, in order. The first is over when packets have been lent and the walk begins; the last begins with the last
/// stage and ends when the burst does.
pub const LAPS: [&str; 20] = [
    "lend",
    "parse::locate",
    "link::answer",
    "dos::admit",
    "steer::claim",
    "wireguard::open, before the AEAD",
    "AEAD of open",
    "wireguard::open, after the AEAD",
    "steer::revive",
    "egress::undress",
    "nat::undress",
    "tenant::filter",
    "route::choose",
    "egress::dress",
    "nat::dress",
    "wireguard::seal, before the AEAD",
    "AEAD of seal",
    "wireguard::seal, after the AEAD",
    "steer::pass_on",
    "link::address, finish",
];
/// The place of opening's AEAD among them.
pub const AEAD_OPEN: usize = 6;
/// The place of sealing's.
pub const AEAD_SEAL: usize = 16;

/// `pipeline::walk` with `lap` at the end of every lap but the first and the last, which the caller's own work belongs to.
#[inline]
pub fn walk(burst: &mut Burst<'_>, state: &mut State, now: Instant, mut lap: impl FnMut()) {
    let State { site, routes, counters, owner, fleet, filter, .. } = state;
    let worker = owner.worker;
    let prompts = &mut state.prompts;
    let mut steering = Steering { owner, fleet, prompts, site, counters };

    let home = Home { site, fleet, rules: filter.rules() };
    burst.pass(|frame| parse::locate(frame, &home));
    burst.take_stock();
    lap();
    link::answer(burst, &mut state.neighbours, site, now);
    lap();
    dos::admit(burst, filter, site, counters, now);
    lap();
    steer::claim(burst, &mut steering, now);
    lap();
    wireguard::open_by(burst, &mut state.sessions, routes, (counters, now), |jobs| {
        lap();
        aead::open(jobs);
        lap();
    });
    lap();
    steer::revive(burst, &mut steering, now);
    lap();
    let rules = filter.rules();
    let tenancy = &mut state.tenancy;
    let (tallies, probing) = (tenancy.tallies(), &state.probing);
    let path_mtus = &mut state.path_mtus;
    let limits = &mut state.limits;
    let mut transit = Transit { rules, site, counters, tallies, probing, path_mtus, limits, now };
    egress::undress(burst, &mut transit);
    lap();
    let outside = Outside { site, routes, counters, now };
    nat::undress(burst, state.translator.as_mut(), outside);
    burst.take_stock();
    lap();
    tenant::filter(burst, tenancy, rules, now);
    lap();
    let (limits, path_mtus) = (&mut state.limits, &state.path_mtus);
    let mut router = Router { routes, site, rules, worker, limits, path_mtus, counters };
    route::choose(burst, &mut router, now);
    lap();
    egress::dress(burst, site, rules, state.tenancy.tallies());
    lap();
    nat::dress(burst, state.translator.as_mut(), outside);
    burst.take_stock();
    lap();
    let limiter = &mut state.too_big;
    let mut forwarding = Forwarding { fleet, listen_port: site.listen_port, limiter, counters };
    wireguard::seal_by(burst, &mut state.sessions, site, (counters, now), |jobs| {
        lap();
        aead::seal(jobs);
        lap();
    });
    lap();
    steer::pass_on(burst, &mut forwarding, now);
    lap();
    link::address(burst, &mut state.neighbours, site, now);
}
