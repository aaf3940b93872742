//! The flows to tenants, followed by what their clients send alone: a segment of no flow is out of state, and of those
//! only so many are let through.

use wire::tcp::Flags;
use wireguard::prefetch::prefetch;
use wireguard::time::Instant;

use super::syn::{Place, Segment};
use crate::fate::DropReason;
use crate::limits::{
    FLOW_CLOSING, FLOW_IDLE, FLOW_OPENING, FLOW_RESET, FLOWS_REFUSED_SHARE, FLOWS_REST,
    FLOWS_WARM_UP,
};

/// Entries that one cache line holds: a tag in the high half; in the low one whether the flow closes, and the second at
/// which the entry ends.
const ENTRIES: usize = 8;
const CLOSING: u64 = 1 << 31;

/// A time that moves by less than this is not written: a busy flow would write its line with each packet.
const GRAIN: u32 = 4;

#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Set([u64; ENTRIES]);

/// What a tenant has chosen, as one worker keeps to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Whether its flows are tracked.
    pub tracked: bool,
    /// Segments of no flow that go on, per second and worker.
    pub out_of_state: u32,
    /// Since when they are tracked; for some time after it most flows cannot be known ([`FLOWS_WARM_UP`]).
    pub since: Instant,
}

impl Policy {
    #[inline]
    fn is_warming_up(&self, now: Instant) -> bool {
        now < self.since + FLOWS_WARM_UP
    }
}

/// What tracking has done; counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Flows that began with a SYN.
    pub opened: u64,
    /// Flows learned from another segment.
    pub learned: u64,
    /// Segments out of state that passed, whether they were learned or not.
    pub passed: u64,
    /// Segments out of state that did not.
    pub dropped: u64,
    /// Flows that found no room.
    pub refused: u64,
    /// How often tracking has switched itself off.
    pub rests: u64,
}

/// One worker's flows, a fixed number of them. An entry ends by its time alone; none is given up for another.
#[derive(Debug)]
pub struct Flows {
    sets: Box<[Set]>,
    tenants: Box<[Budget]>,
    load: Load,
    /// What it has done.
    pub tally: Tally,
}

impl Flows {
    /// Room for at least `capacity` flows of so many tenants.
    pub fn new(capacity: usize, tenants: usize) -> Self {
        let sets = (capacity / ENTRIES).next_power_of_two().max(1);
        Self {
            sets: vec![Set::default(); sets].into(),
            tenants: vec![Budget::default(); tenants].into(),
            load: Load::default(),
            tally: Tally::default(),
        }
    }

    /// Octets of the table.
    pub fn octets(&self) -> usize {
        size_of_val(&*self.sets)
    }

    /// A tenant's number stands for another.
    pub(super) fn forget(&mut self, tenant: usize) {
        if let Some(budget) = self.tenants.get_mut(tenant) {
            *budget = Budget::default();
        }
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the mask keeps the low bits only")]
    fn index(&self, place: Place) -> usize {
        place.flow as usize & (self.sets.len() - 1)
    }

    /// Begins to fetch what is known of a flow.
    #[inline]
    pub fn fetch(&self, place: Place) {
        if let Some(set) = self.sets.get(self.index(place)) {
            prefetch(set);
        }
    }

    /// Whether there is such a flow that does not close: its segments can be nothing else.
    #[inline]
    pub fn knows(&self, place: Place, now: Instant) -> bool {
        let set = self.sets.get(self.index(place));
        let found = set.and_then(|set| set.find(tag(place), seconds(now)));
        found.is_some_and(|entry| entry & CLOSING == 0)
    }

    /// Judges a segment to tenant number `tenant` that may otherwise pass.
    ///
    /// # Errors
    /// `DosState` for one that shall be dropped.
    #[inline]
    pub fn judge(
        &mut self,
        segment: &Segment,
        place: Place,
        (tenant, policy): (usize, Policy),
        now: Instant,
    ) -> Result<(), DropReason> {
        if !policy.tracked {
            return Ok(());
        }
        let index = self.index(place);
        let Some(set) = self.sets.get_mut(index) else { return Ok(()) };
        if let Some(entry) = set.find_mut(tag(place), seconds(now)) {
            follow(entry, segment, now);
            return Ok(());
        }
        if segment.is_syn() {
            self.tally.opened += u64::from(self.enter(place, now));
            return Ok(());
        }
        // Where there is no room the flow may be one that found none.
        if set.has_room(seconds(now)) && !self.may_pass((tenant, policy), now) {
            self.tally.dropped += 1;
            return Err(DropReason::DosState);
        }
        self.tally.passed += 1;
        // What ends a flow begins none.
        if !segment.tcp.flags.has(Flags::RST) {
            self.tally.learned += u64::from(self.enter(place, now));
        }
        Ok(())
    }

    /// Whether a segment out of state passes.
    #[inline]
    fn may_pass(&mut self, (tenant, policy): (usize, Policy), now: Instant) -> bool {
        let budget = self.tenants.get_mut(tenant);
        policy.is_warming_up(now)
            || budget.is_some_and(|budget| budget.take(policy.out_of_state, now))
            || self.load.rests(now)
    }

    /// Enters a flow; false when there is no room.
    fn enter(&mut self, place: Place, now: Instant) -> bool {
        let index = self.index(place);
        let second = seconds(now);
        let free = self
            .sets
            .get_mut(index)
            .and_then(|set| set.0.iter_mut().find(|entry| ends(**entry) <= second));
        let entered = free.is_some();
        if let Some(entry) = free {
            *entry = tag(place) << 32 | u64::from(seconds(now + FLOW_OPENING));
        }
        self.tally.refused += u64::from(!entered);
        self.tally.rests += u64::from(self.load.count(entered, now));
        entered
    }
}

impl Set {
    #[inline]
    fn has_room(&self, second: u32) -> bool {
        self.0.iter().any(|entry| ends(*entry) <= second)
    }

    #[inline]
    fn find(&self, tag: u64, second: u32) -> Option<u64> {
        self.0.iter().copied().find(|entry| entry >> 32 == tag && ends(*entry) > second)
    }

    #[inline]
    fn find_mut(&mut self, tag: u64, second: u32) -> Option<&mut u64> {
        self.0.iter_mut().find(|entry| **entry >> 32 == tag && ends(**entry) > second)
    }
}

/// Sets the time that a flow has left after a segment of it. A reset or a last segment may be forged: whatever comes
/// after it keeps the flow alive. A SYN may be as well: it opens what closes, and shortens nothing.
#[inline]
fn follow(entry: &mut u64, segment: &Segment, now: Instant) {
    let flags = segment.tcp.flags;
    let closing = flags.has(Flags::RST)
        || flags.has(Flags::FIN)
        || *entry & CLOSING != 0 && !segment.is_syn();
    let end = if segment.is_syn() {
        seconds(now + FLOW_OPENING).max(ends(*entry))
    } else if flags.has(Flags::RST) {
        seconds(now + FLOW_RESET)
    } else if closing {
        seconds(now + FLOW_CLOSING)
    } else {
        seconds(now + FLOW_IDLE)
    };
    let marked = closing == (*entry & CLOSING != 0);
    if marked && end.abs_diff(ends(*entry)) < GRAIN {
        return;
    }
    let closing = if closing { CLOSING } else { 0 };
    *entry = *entry >> 32 << 32 | closing | u64::from(end);
}

/// What a tenant still has of its segments out of state.
#[derive(Clone, Copy, Debug, Default)]
struct Budget {
    spent_until: Instant,
}

impl Budget {
    /// Takes one, if a second's worth is not spent.
    #[inline]
    fn take(&mut self, per_second: u32, now: Instant) -> bool {
        const SECOND: u64 = 1_000_000_000;
        let Some(cost) = SECOND.checked_div(per_second.into()) else { return false };
        let spent = self.spent_until.0.max(now.0.saturating_sub(SECOND)) + cost;
        if spent > now.0 {
            return false;
        }
        self.spent_until = Instant(spent);
        true
    }
}

/// How full the table is, told by the flows that find no room.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    second: u32,
    tried: u32,
    refused: u32,
    rests_until: Instant,
}

/// Flows of a second that must have been tried before their share means anything.
const TRIED_MIN: u32 = 64;

impl Load {
    #[inline]
    fn rests(&self, now: Instant) -> bool {
        now < self.rests_until
    }

    /// Counts a flow that was entered or not; whether tracking goes to rest by it.
    #[inline]
    fn count(&mut self, entered: bool, now: Instant) -> bool {
        if self.second != seconds(now) {
            (self.second, self.tried, self.refused) = (seconds(now), 0, 0);
        }
        self.tried = self.tried.saturating_add(1);
        self.refused = self.refused.saturating_add(u32::from(!entered));
        let too_full = self.tried >= TRIED_MIN && self.refused > self.tried / FLOWS_REFUSED_SHARE;
        if !too_full {
            return false;
        }
        let begins = !self.rests(now);
        self.rests_until = now + FLOWS_REST;
        begins
    }
}

#[inline]
const fn tag(place: Place) -> u64 {
    place.flow >> 32
}

/// Whole seconds in 31 bits, which last 68 years.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "they last longer than any server")]
const fn seconds(now: Instant) -> u32 {
    (now.0 / 1_000_000_000) as u32 & !(1 << 31)
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the low half without the mark is the time")]
const fn ends(entry: u64) -> u32 {
    (entry & !CLOSING) as u32
}

#[cfg(test)]
mod tests;
