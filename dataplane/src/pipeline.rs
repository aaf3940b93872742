//! THE PACKET'S WAY: one ordered list, for every burst and both directions. A frame that a stage does not
//! concern passes it untouched.

use std::sync::Arc;

use ::wireguard::aead;
use ::wireguard::time::Instant;

use crate::burst::Burst;
use crate::counters::Counters;
use crate::fleet::Fleet;
use crate::frame::Entry;
use crate::limiter::Limiter;
use crate::neighbours::Neighbours;
use crate::site::Site;
use crate::stages::dos::{self, Filter};
use crate::stages::egress::nat::{self, Outside, Translator};
use crate::stages::egress::path_mtus::PathMtus;
use crate::stages::egress::probing::Probing;
use crate::stages::egress::{self, Transit};
use crate::stages::link;
use crate::stages::parse::{self, Home};
use crate::stages::route::{self, Limits, Router, Routes};
use crate::stages::steer::{self, Forwarding, Owner, Prompts, Steering};
use crate::stages::tenant::{self, Settled, Tenancy};
use crate::stages::wireguard::{self, sessions::Sessions};

/// What one worker's stages know. Everything is its own, or shared and read-only.
#[derive(Debug)]
pub struct State {
    /// The server.
    pub site: Arc<Site>,
    /// Routes of inner packets.
    pub routes: Arc<Routes>,
    /// This worker's counters.
    pub counters: Arc<Counters>,
    /// Which worker this is.
    pub owner: Owner,
    /// The other servers.
    pub fleet: Fleet,
    /// Calls to clients whose server is gone.
    pub prompts: Prompts,
    /// Link addresses of next hops.
    pub neighbours: Neighbours,
    /// What of all that comes is let in.
    pub filter: Filter,
    /// This worker's sessions and peers.
    pub sessions: Sessions,
    /// What tenants' packets are judged with.
    pub tenancy: Tenancy,
    /// What was heard of the ways of tunnels.
    pub path_mtus: PathMtus,
    /// How answers to probes of tunnels are known.
    pub probing: Probing,
    /// What clients' IPv4 is translated with, if it is.
    pub translator: Option<Translator>,
    /// The limits of ICMP errors.
    pub limits: Limits,
    /// The limit of answers to clients' packets that do not fit the way to their server.
    pub too_big: Limiter,
    /// A secret of this worker's, for spreading what strangers choose.
    pub seed: u64,
}

impl State {
    /// What waits for the first piece of its datagram under this id need not wait any more: that has come, or never will.
    pub fn next_pieces(&mut self, now: Instant) -> Option<(u32, bool)> {
        self.translator.as_mut()?.next_pieces(now)
    }

    /// The next datagram to a tenant whose waiting pieces are to be let go or lost.
    pub fn next_settled(&mut self, now: Instant) -> Option<Settled> {
        self.tenancy.next_settled(self.filter.rules(), now)
    }
}

/// Walks a burst through all stages. Afterwards every frame has a fate.
pub fn walk(burst: &mut Burst<'_>, state: &mut State, now: Instant) {
    walk_by(burst, state, now, || ());
}

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

/// [`walk`] with `lap` at the end of every lap but the first and the last, which the caller's own work belongs to: for whoever
/// measures stages alone.
#[inline]
pub fn walk_by(burst: &mut Burst<'_>, state: &mut State, now: Instant, mut lap: impl FnMut()) {
    let State { site, routes, counters, owner, fleet, filter, .. } = state;
    let worker = owner.worker;
    let prompts = &mut state.prompts;
    let mut steering = Steering { owner, fleet, prompts, site, counters };

    let is_new = !burst.is_handed();
    let home = Home::new(site, fleet, filter.rules());
    burst.pass(|frame| {
        parse::locate(frame, &home)?;
        if is_new && frame.note.passage.is_some() && frame.note.entry != Entry::Own {
            counters.passed_here.add(1);
        }
        Ok(())
    });
    burst.take_stock();
    lap();
    link::answer(burst, &mut state.neighbours, site, now);
    lap();
    dos::admit(burst, filter, site, counters, now);
    lap();
    steer::claim(burst, &mut steering, now);
    lap();
    wireguard::open(burst, &mut state.sessions, routes, (counters, now), |jobs| {
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
    let tallies = state.tenancy.tallies();
    let mut router = Router { routes, site, rules, worker, limits, path_mtus, tallies, counters };
    route::choose(burst, &mut router, now);
    lap();
    egress::dress(burst, site, rules, tallies);
    lap();
    nat::dress(burst, state.translator.as_mut(), outside);
    burst.take_stock();
    lap();
    let limiter = &mut state.too_big;
    let listen_port = site.listen_port;
    let mut forwarding = Forwarding { fleet, listen_port, limiter, counters };
    wireguard::seal(burst, &mut state.sessions, site, (counters, now), |jobs| {
        lap();
        aead::seal(jobs);
        lap();
    });
    lap();
    steer::pass_on(burst, &mut forwarding, now);
    lap();
    link::address(burst, &mut state.neighbours, site, now);
}
