//! THE PACKET'S WAY: one ordered list, for every burst and both directions. A frame that a stage does not
//! concern passes it untouched.

use std::sync::Arc;

use ::wireguard::time::Instant;

use crate::burst::Burst;
use crate::counters::Counters;
use crate::fleet::Fleet;
use crate::frame::Entry;
use crate::limiter::Limiter;
use crate::neighbours::Neighbours;
use crate::site::Site;
use crate::stages::dos::{self, Filter};
use crate::stages::egress;
use crate::stages::link;
use crate::stages::parse::{self, Home};
use crate::stages::route::{self, Limits, Router, Routes};
use crate::stages::steer::{self, Forwarding, Owner, Prompts, Steering};
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
    /// The limits of ICMP errors.
    pub limits: Limits,
    /// The limit of answers to clients' packets that do not fit the way to their server.
    pub too_big: Limiter,
    /// A secret of this worker's, for spreading what strangers choose.
    pub seed: u64,
}

/// Walks a burst through all stages. Afterwards every frame has a fate.
pub fn walk(burst: &mut Burst<'_>, state: &mut State, now: Instant) {
    let State { site, routes, counters, owner, fleet, filter, .. } = state;
    let worker = owner.worker;
    let prompts = &mut state.prompts;
    let mut steering = Steering { owner, fleet, prompts, site, counters };
    let mut router = Router { routes, site, worker, limits: &mut state.limits, counters };

    let is_new = !burst.is_handed();
    let home = Home { site, fleet, tenants: &filter.rules().tenants };
    burst.pass(|frame| {
        parse::locate(frame, &home)?;
        if is_new && frame.note.passage.is_some() && frame.note.entry != Entry::Own {
            counters.passed_here.add(1);
        }
        Ok(())
    });
    link::answer(burst, &mut state.neighbours, site, now);
    dos::admit(burst, filter, site, counters, now);
    steer::claim(burst, &mut steering, now);
    wireguard::open(burst, &mut state.sessions, routes, counters, now);
    steer::revive(burst, &mut steering, now);
    route::choose(burst, &mut router, now);
    egress::dress(burst, site);
    let limiter = &mut state.too_big;
    let listen_port = site.listen_port;
    let mut forwarding = Forwarding { fleet, listen_port, limiter, counters };
    wireguard::seal(burst, &mut state.sessions, site, counters, now);
    steer::pass_on(burst, &mut forwarding, now);
    link::address(burst, &mut state.neighbours, site, now);
}
