//! Tunnels are probed, flows follow how the tunnels stand, and control hears of both.

use std::sync::Arc;
use std::time::Duration;

use shm::events::Teller;
use shm::memory::Memory;
use shm::message::{Event, ProbeStyle, TunnelState};
use wireguard::time::Instant;

use super::Keeper;
use super::health::{self, Health, State};
use super::install::{Installation, Versions};
use super::rules::Laid;
use crate::exchange::{Order, Probe};
use crate::limits::{SEEN_ROOM, TUNNELS_TOLD_PER_TURN};
use crate::stages::dos::Rules;
use crate::stages::egress::probe::{self, AllAnswers, Inside, Seal, Stamp, Style};
use crate::stages::egress::probing::Probing;
use crate::stages::egress::tunnels::Group;

/// What the keeper knows of tunnels' health.
#[derive(Debug)]
pub(super) struct Prober {
    health: Health,
    answers: AllAnswers,
    seal: Seal,
    /// This server among those of its fleet.
    server: u8,
    tunnels: Vec<health::Tunnel>,
    /// Of each tenant by its number: which tunnels its flows take.
    groups: Vec<Option<Group>>,
    /// Whether workers have other groups.
    is_stale: bool,
}

impl Prober {
    pub(super) fn new(workers: usize, server: u8, keys: ([u8; 16], [u8; 16], u64)) -> Self {
        let (seal, choice, seed) = keys;
        Self {
            health: Health::new(choice, seed),
            answers: AllAnswers::new(workers),
            seal: Seal::new(seal),
            server,
            tunnels: Vec::new(),
            groups: Vec::new(),
            is_stale: false,
        }
    }

    /// How a worker knows answers.
    pub(super) fn of_worker(&self, worker: usize) -> Probing {
        Probing::new(self.seal.clone(), self.server, self.answers.of_worker(worker))
    }

    /// These are the tunnels from now on.
    fn follow(&mut self, tunnels: Vec<health::Tunnel>, now: Instant) {
        if tunnels == self.tunnels {
            return;
        }
        self.health.follow(&tunnels, now);
        self.tunnels = tunnels;
        self.groups.clear();
        let tenants: Vec<u16> = self.health.tenants().collect();
        for tenant in tenants {
            self.regroup(tenant);
        }
    }

    fn regroup(&mut self, tenant: u16) {
        let place = usize::from(tenant);
        if self.groups.len() <= place {
            self.groups.resize(place + 1, None);
        }
        let group = self.health.group(tenant).map(|slots| Group::new(Box::new(slots)));
        if let Some(there) = self.groups.get_mut(place) {
            *there = group;
        }
    }

    /// Rules with tunnels to choose among as they stand.
    fn choosing(&mut self, rules: Arc<Rules>) -> Arc<Rules> {
        self.is_stale = false;
        if rules.tunnels.is_empty() {
            return rules;
        }
        let tunnels = Arc::new(rules.tunnels.with_groups(self.groups.clone()));
        Arc::new(Rules { tunnels, ..Rules::clone(&rules) })
    }
}

impl Keeper {
    /// Tunnels as the book has them now, and the rules with the choice among them.
    pub(super) fn chosen(&mut self, rules: Arc<Rules>, now: Instant) -> Arc<Rules> {
        let book = &self.tables.book;
        let tunnels = book.laid().map(|(laid, tenant)| tracked(laid, tenant)).collect();
        self.prober.follow(tunnels, now);
        self.prober.choosing(rules)
    }

    /// Sends the probes that are due, and lets flows follow what they have shown; gives how much was done.
    pub(super) fn probe(&mut self, now: Instant) -> usize {
        let Prober { health, answers, is_stale, .. } = &mut self.prober;
        if health.next_due() > now && !*is_stale {
            return 0;
        }
        let turn = health.turn(answers, now);
        for due in &turn.probes {
            if !self.send(due, now) {
                self.prober.health.withdraw(due);
            }
        }
        for tenant in &turn.changed {
            self.prober.regroup(*tenant);
            self.prober.is_stale = true;
        }
        if self.prober.is_stale && self.installation.is_none() {
            let rules = self.prober.choosing(Arc::clone(&self.rules));
            let former = std::mem::replace(&mut self.rules, Arc::clone(&rules));
            let versions = Versions { rules: Some((rules, former)), ..Versions::default() };
            self.installation =
                Some(Installation::new(Vec::new(), versions, Vec::new(), &self.exchange));
        }
        turn.probes.len() + turn.changed.len()
    }

    /// Whether there is a worker with room for a probe. The same one sends all of a tunnel.
    fn send(&self, due: &health::Probe, now: Instant) -> bool {
        let tunnel = self.rules.tunnels.get(due.number);
        let Some(inside) = tunnel.and_then(|tunnel| tunnel.inside) else { return false };
        let stamp = Stamp::new(self.prober.server, due.id, due.sequence, now);
        let mut octets = [0; probe::LEN_MAX];
        let Ok(len) = probe::write(&mut octets, due.style, &inside, &stamp, &self.prober.seal)
        else {
            return false;
        };
        let worker = usize::from(due.number) % self.exchange.workers().max(1);
        let Some(octets) = octets.get(..len) else { return false };
        self.exchange.mention(worker, Order::Probe(Box::new(Probe::new(due.number, octets))))
    }

    /// Tells control how tunnels stand, as fast as it hears; gives how much was told.
    pub(super) fn tell_tunnels<M: Memory>(&mut self, events: &mut Teller<M>) -> usize {
        for done in 0..TUNNELS_TOLD_PER_TURN {
            if events.room() <= SEEN_ROOM {
                return done;
            }
            let Some(standing) = self.prober.health.next_untold() else { return done };
            let health::Standing { id, state, round_trip, sent, answered, since } = standing;
            let since = Duration::from_secs(self.wall.unix(since).as_secs());
            let rtt = round_trip.unwrap_or_default();
            events.tell(&Event::Tunnel { id, state: told(state), rtt, sent, answered, since });
        }
        TUNNELS_TOLD_PER_TURN
    }

    /// A new control has been told nothing of tunnels.
    pub(super) fn tell_tunnels_anew(&mut self) {
        self.prober.health.tell_all();
    }
}

/// A tunnel as its health is followed.
fn tracked(Laid { tunnel, number }: &Laid, tenant: u16) -> health::Tunnel {
    let inside = |probe: &shm::message::Probe| Inside::new(probe.local.into(), probe.remote.into());
    health::Tunnel {
        id: tunnel.id,
        number: *number,
        tenant,
        priority: tunnel.priority,
        weight: tunnel.weight,
        probing: tunnel.probe.filter(|probe| inside(probe).is_some()).map(|probe| {
            health::Probing {
                style: match probe.style {
                    ProbeStyle::Request => Style::Request,
                    ProbeStyle::Reply => Style::Reply,
                },
                interval: probe.interval,
            }
        }),
    }
}

const fn told(state: State) -> TunnelState {
    match state {
        State::Unprobed => TunnelState::Unprobed,
        State::Up => TunnelState::Up,
        State::Degraded => TunnelState::Degraded,
        State::Down => TunnelState::Down,
    }
}
