//! What all set-ups share: the ways to find them, their timers, their buffers.

use core::time::Duration;

use super::Counts;
use crate::buffers::Buffers;
use crate::head::TcpOptions;
use crate::limits::Limits;
use crate::recent::Recent;
use crate::segment::{Leg, NO_CLIENT};
use crate::setup::Setup;
use crate::table::{Holder, Table};
use crate::timers::Timers;

/// Which leg of a set-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Near,
    Far,
}

/// The set-ups that linger, the longest first: the caller's time for that is the same for all, so that they are freed in
/// this order, apart from those that are reset.
#[derive(Debug)]
pub(super) struct Lingering {
    links: Vec<(u32, u32)>,
    first: u32,
    last: u32,
}

const NONE: u32 = u32::MAX;

impl Lingering {
    fn new(slots: usize) -> Self {
        Self { links: vec![(NONE, NONE); slots], first: NONE, last: NONE }
    }

    /// Appends a slot that is not in the list.
    pub(super) fn push(&mut self, slot: u32) {
        let last = core::mem::replace(&mut self.last, slot);
        if let Some(link) = self.links.get_mut(slot as usize) {
            *link = (last, NONE);
        }
        match self.links.get_mut(last as usize) {
            Some(link) => link.1 = slot,
            None => self.first = slot,
        }
    }

    /// Takes a slot out, if it is in the list.
    fn remove(&mut self, slot: u32) {
        let Some(link) = self.links.get_mut(slot as usize) else { return };
        let (previous, next) = core::mem::replace(link, (NONE, NONE));
        if previous == NONE && self.first != slot {
            return;
        }
        match self.links.get_mut(previous as usize) {
            Some(link) => link.1 = next,
            None => self.first = next,
        }
        match self.links.get_mut(next as usize) {
            Some(link) => link.0 = previous,
            None => self.last = previous,
        }
    }

    /// Takes the first out.
    pub(super) fn pop(&mut self) -> Option<u32> {
        let first = self.first;
        self.remove(first);
        (first != NONE).then_some(first)
    }
}

/// What all share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) limits: Limits,
    pub(super) legs: Table<Leg, (u32, Side)>,
    holders: Table<Holder, u32>,
    pub(super) timers: Timers,
    pub(super) buffers: Buffers,
    pub(super) free: Vec<u32>,
    pub(super) lingering: Lingering,
    /// What exits have said that origins understand.
    pub(super) hints: Recent<TcpOptions>,
    /// How long origins took to answer our SYN.
    pub(super) round_trips: Recent<Duration>,
}

impl Shared {
    pub(super) fn new(limits: Limits, seed: u64) -> Self {
        let count = limits.setups as usize;
        Self {
            legs: Table::new(count * 2, seed),
            holders: Table::new(count, seed),
            timers: Timers::new(count),
            buffers: Buffers::new(limits.buffers),
            free: (0..limits.setups).rev().collect(),
            lingering: Lingering::new(count),
            hints: Recent::new(limits.remembered, limits.remembered_time, seed),
            round_trips: Recent::new(limits.remembered, limits.remembered_time, seed),
            limits,
        }
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            setups: self.limits.setups as usize - self.free.len(),
            legs: self.legs.len(),
            holders: self.holders.len(),
            buffers: self.buffers.used(),
        }
    }

    pub(super) fn find(&self, leg: &Leg) -> Option<(u32, Side)> {
        self.legs.get(leg)
    }

    fn holder(setup: &Setup) -> Holder {
        let Leg { client, theirs, .. } = setup.near.leg;
        Holder { client, address: (client == NO_CLIENT).then_some(theirs.ip()) }
    }

    pub(super) fn is_holder_full(&self, setup: &Setup) -> bool {
        let (limits, near) = (&self.limits, &setup.near);
        let count_max = match (near.leg.client, near.is_ours) {
            (NO_CLIENT, true) => limits.setups_per_peer,
            (NO_CLIENT, false) => limits.setups_per_stranger,
            _ => limits.setups_per_client,
        };
        self.holders.get(&Self::holder(setup)).unwrap_or(0) >= count_max
    }

    /// How many of a client's set-ups count against it.
    pub(super) fn count_of(&self, client: u32) -> u32 {
        self.holders.get(&Holder { client, address: None }).unwrap_or(0)
    }

    pub(super) fn enter(&mut self, slot: u32, setup: &Setup) {
        let holder = Self::holder(setup);
        let count = self.holders.get(&holder).unwrap_or(0);
        self.holders.insert(holder, count + 1);
        self.legs.insert(setup.near.leg, (slot, Side::Near));
    }

    /// No longer counts the set-up against who asked for it.
    pub(super) fn uncount(&mut self, setup: &mut Setup) {
        if !core::mem::take(&mut setup.is_counted) {
            return;
        }
        let holder = Self::holder(setup);
        match self.holders.get(&holder) {
            Some(count @ 2..) => self.holders.insert(holder, count - 1),
            Some(_) | None => self.holders.remove(&holder),
        }
    }

    /// Frees all that the set-up has.
    pub(super) fn leave(&mut self, slot: u32, setup: &mut Setup) {
        self.uncount(setup);
        self.legs.remove(&setup.near.leg);
        if let Some(far) = setup.far {
            self.legs.remove(&far.leg);
        }
        self.buffers.give(setup.buffer.take());
        self.timers.disarm(slot);
        self.lingering.remove(slot);
        self.free.push(slot);
    }
}
