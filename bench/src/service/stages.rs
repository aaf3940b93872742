//! The packet's way stage by stage: the list of `dataplane::pipeline`, with a look at the cycle counter
//! after every stage and on both sides of the AEAD.

use std::time::Duration;

use ::wireguard::aead::Key;
use ::wireguard::index::Place;
use ::wireguard::message::ClientId;
use ::wireguard::noise;
use ::wireguard::secret::Secret;
use ::wireguard::session::{Indices, Role};
use ::wireguard::time::Instant;
use arrayvec::ArrayVec;
use dataplane::burst::{self, Burst, Outcome};
use dataplane::exchange::Install;
use dataplane::fate::Fate;
use dataplane::frame::{Endpoint, Entry, Note};
use dataplane::keeper::Keeper;
use dataplane::limits::{BURST_LEN_MAX, OUTBOX_PACKET_LEN};
use dataplane::pipeline::{self, AEAD_OPEN, AEAD_SEAL, State};
use dataplane::port::Batch;
use dataplane::stages::egress::nat::Outside;
use dpdk::clock::cycles;
use dpdk::{Mbuf, mbuf};
use rand_chacha::rand_core::Rng;

pub(crate) use dataplane::pipeline::LAPS;

use super::client::{self, Client, Clients, SERVER};
use super::server::{Keys, ROUND, START, Server};
use crate::turns::{Round, check_calls};
use crate::{Failure, allocator};

/// Whether the AEAD is at this place.
pub(super) const fn is_aead(place: usize) -> bool {
    place == AEAD_OPEN || place == AEAD_SEAL
}

/// The stage that opens, and the one that seals, with their AEAD.
pub(super) const OPEN_STAGE: std::ops::RangeInclusive<usize> = AEAD_OPEN - 1..=AEAD_OPEN + 1;
pub(super) const SEAL_STAGE: std::ops::RangeInclusive<usize> = AEAD_SEAL - 1..=AEAD_SEAL + 1;

/// Cycles of every lap.
pub(crate) type Laps = [u64; LAPS.len()];

/// All laps but the AEAD's.
pub(super) fn without_aead(laps: &Laps) -> u64 {
    let aead = [AEAD_OPEN, AEAD_SEAL].iter().filter_map(|place| laps.get(*place)).sum::<u64>();
    laps.iter().sum::<u64>() - aead
}

/// A stop-watch with a running lap.
struct Watch<'a> {
    laps: std::slice::IterMut<'a, u64>,
    last: u64,
    /// What a look at the counter takes by itself.
    look: u64,
}

impl Watch<'_> {
    /// Ends a lap; the laps come in the order of [`LAPS`].
    #[inline]
    fn lap(&mut self) {
        let now = cycles();
        if let Some(lap) = self.laps.next() {
            *lap = (now - self.last).saturating_sub(self.look);
        }
        self.last = now;
    }
}

/// A worker's state and its clients, walked from outside.
pub(crate) struct Stages {
    state: State,
    pub(super) clients: Clients,
    notes: Box<[Note]>,
    now: Instant,
    look: u64,
    /// Calls of the allocator while time was taken.
    allocations: u64,
}

impl Stages {
    /// Sessions with keys drawn here, installed as a handshake thread would.
    pub(crate) fn new(
        server: &Server,
        keeper: &mut Keeper,
        keys: &mut Keys,
        count: u32,
    ) -> Result<Self, Failure> {
        let (mut state, now) = (keeper.state(0), START);
        state.filter.expect(ROUND);
        let mut greeting = [server.greeting()?];
        let mut notes = burst::notes();
        let mut burst = Burst::lend(&mut greeting, &mut notes, Entry::Wire(0));
        pipeline::walk(&mut burst, &mut state, now);
        drop(burst);
        let clients = sessions(&mut state, keeper, keys, count)?;
        let look = (0..1000).map(|_| cycles().abs_diff(cycles())).min().unwrap_or(0);
        let clients = Clients::new(clients);
        Ok(Self { state, clients, notes, now, look, allocations: 0 })
    }

    /// Walks the packets from `entry` to their fates, which shall all be `wanted`; gives the laps.
    pub(crate) fn walk(
        &mut self,
        packets: &mut Batch<Mbuf>,
        entry: Entry,
        wanted: Fate,
    ) -> Result<Laps, Failure> {
        let (laps, outcomes) = self.walked(packets, entry);
        match outcomes.iter().find(|outcome| outcome.fate != wanted) {
            Some(outcome) => {
                Err(format!("a packet's fate was {:?} and not {wanted:?}", outcome.fate).into())
            }
            None => Ok(laps),
        }
    }

    /// Walks the packets from `entry`; gives the laps and what becomes of each packet.
    #[inline]
    pub(crate) fn walked(
        &mut self,
        packets: &mut Batch<Mbuf>,
        entry: Entry,
    ) -> (Laps, ArrayVec<Outcome, BURST_LEN_MAX>) {
        let mut laps = Laps::default();
        let mut watch = Watch { laps: laps.iter_mut(), last: cycles(), look: self.look };
        let mut burst = Burst::lend(packets, &mut self.notes, entry);
        watch.lap();
        pipeline::walk_by(&mut burst, &mut self.state, self.now, || watch.lap());
        let outcomes = burst.finish();
        watch.lap();
        (laps, outcomes)
    }

    /// Packets of the worker's own, for connections, since the last call: from their IP headers on.
    pub(crate) fn own_packets(&mut self) -> Vec<Vec<u8>> {
        let mut octets = [0; OUTBOX_PACKET_LEN];
        let Some(translator) = &mut self.state.translator else { return Vec::new() };
        let next = || {
            let (_, len) = translator.take_packet(&mut octets)?;
            octets.get(..len).map(<[u8]>::to_vec)
        };
        std::iter::from_fn(next).collect()
    }

    /// Lets time pass, and what waits for it be served; gives how many connections are being opened yet.
    pub(crate) fn pass(&mut self, time: Duration) -> u64 {
        self.now = self.now + time;
        let State { site, routes, counters, translator, .. } = &mut self.state;
        if let Some(translator) = translator {
            let outside = Outside { site, routes, counters, now: self.now };
            translator.advance(outside, |_, _| ());
        }
        counters.connects_opening.value()
    }

    /// The same with a round of bursts, which are freed; gives the laps of all of them together.
    pub(crate) fn round(
        &mut self,
        mut bursts: Round,
        entry: Entry,
        wanted: Fate,
    ) -> Result<Laps, Failure> {
        let mut laps = Laps::default();
        for packets in &mut bursts {
            let before = allocator::calls();
            let walked = self.walk(packets, entry, wanted)?;
            self.allocations += allocator::calls() - before;
            laps.iter_mut().zip(walked).for_each(|(sum, lap)| *sum += lap);
        }
        bursts.iter_mut().for_each(mbuf::free_bulk);
        Ok(laps)
    }

    /// Figures of a run that allocated are of no use.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        check_calls(self.allocations)
    }
}

/// Sessions of the first so many clients, with keys drawn here, installed as a handshake thread would.
pub(crate) fn sessions(
    state: &mut State,
    keeper: &Keeper,
    keys: &mut Keys,
    count: u32,
) -> Result<Vec<Client>, Failure> {
    let exchange = keeper.exchange();
    let mut clients = Vec::with_capacity(count as usize);
    for number in 0..count {
        let slot = exchange.take_slot(0, 0).ok_or("no free slot")?;
        let index = state.owner.permutation.index(Place { server: 0, worker: 0, slot });
        let key = drawn(keys);
        let install = Install {
            peer: number,
            slot,
            indices: Indices { local: index, remote: number },
            role: Role::Responder,
            keys: noise::Keys { send: drawn(keys), receive: copy(&key) },
            reply: None,
            endpoint: Endpoint::new(client::outer_address(number), SERVER.into(), 0),
            client_id: ClientId::ZERO,
        };
        state.sessions.install(install, START);
        clients.push(Client::new(number, &key, index, 0));
    }
    Ok(clients)
}

fn drawn(keys: &mut Keys) -> Key {
    let mut secret = Secret::zero();
    keys.random.fill_bytes(secret.octets_mut());
    Key::new(secret)
}

fn copy(key: &Key) -> Key {
    let mut copy = Key::zero();
    copy.copy_from(key);
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_aead_and_nothing_else_is_left_out() {
        let mut laps = Laps::default();
        for (lap, name) in laps.iter_mut().zip(LAPS) {
            *lap = if name.starts_with("AEAD") { 1_000 } else { 1 };
        }
        assert_eq!(without_aead(&laps), LAPS.len() as u64 - 2);
    }
}
