//! One wheel for the deadlines of all set-ups: lists through the slots, so that arming and disarming touch a few words.
//!
//! A deadline that lies further ahead than one turn of the wheel is looked at again once a turn, and one that has moved
//! on since it was armed is armed again when it fires: the owner compares.

use crate::time::Instant;

/// Nanoseconds of one tick as a power of two: 4.2 ms, a twelfth of the shortest time that is waited for.
const TICK_SHIFT: u32 = 22;
/// Lists of the wheel: one turn takes 4.3 s.
const LISTS: u64 = 1024;
/// No slot.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Link {
    next: u32,
    previous: u32,
    /// The list that the slot is in, if any.
    list: u32,
}

/// The wheel.
#[derive(Debug)]
pub(crate) struct Timers {
    heads: Vec<u32>,
    links: Vec<Link>,
    /// The tick whose list fires next.
    tick: u64,
    armed: usize,
}

impl Timers {
    pub(crate) fn new(slots: usize) -> Self {
        let free = Link { next: NONE, previous: NONE, list: NONE };
        let lists = usize::try_from(LISTS).unwrap_or(1);
        Self { heads: vec![NONE; lists], links: vec![free; slots], tick: 0, armed: 0 }
    }

    fn head(&mut self, list: u32) -> Option<&mut u32> {
        self.heads.get_mut(list as usize)
    }

    fn link(&mut self, slot: u32) -> Option<&mut Link> {
        self.links.get_mut(slot as usize)
    }

    /// Lets the slot fire at or soon after the moment, and at no other.
    pub(crate) fn arm(&mut self, slot: u32, at: Instant) {
        self.disarm(slot);
        // One tick later, so that what fires is due.
        let tick = (at.0 >> TICK_SHIFT).saturating_add(1).clamp(self.tick, self.tick + LISTS - 1);
        let list = u32::try_from(tick % LISTS).unwrap_or_default();
        let Some(head) = self.head(list) else { return };
        let next = core::mem::replace(head, slot);
        if let Some(link) = self.link(next) {
            link.previous = slot;
        }
        if let Some(link) = self.link(slot) {
            *link = Link { next, previous: NONE, list };
            self.armed += 1;
        }
    }

    /// Lets the slot fire at or before the moment: a deadline that has moved on is left where it was armed, as moving it
    /// with each segment would cost more than looking at it in vain.
    pub(crate) fn arm_earlier(&mut self, slot: u32, at: Instant) {
        let tick = (at.0 >> TICK_SHIFT).saturating_add(1);
        let armed = self.link(slot).map_or(NONE, |link| link.list);
        let ahead = (u64::from(armed) + LISTS - self.tick % LISTS) % LISTS;
        if armed == NONE || self.tick + ahead > tick {
            self.arm(slot, at);
        }
    }

    /// Lets the slot not fire.
    pub(crate) fn disarm(&mut self, slot: u32) {
        let Some(link) = self.link(slot) else { return };
        let Link { next, previous, list } = *link;
        if list == NONE {
            return;
        }
        link.list = NONE;
        self.armed -= 1;
        if let Some(link) = self.link(next) {
            link.previous = previous;
        }
        match self.link(previous) {
            Some(link) => link.next = next,
            None => {
                if let Some(head) = self.head(list) {
                    *head = next;
                }
            }
        }
    }

    /// The next slot that fires, disarmed.
    pub(crate) fn fire(&mut self, now: Instant) -> Option<u32> {
        let present = now.0 >> TICK_SHIFT;
        while self.tick <= present {
            if self.armed == 0 {
                self.tick = present;
            }
            let list = u32::try_from(self.tick % LISTS).unwrap_or_default();
            let slot = self.head(list).map_or(NONE, |head| *head);
            if slot != NONE {
                self.disarm(slot);
                return Some(slot);
            }
            if self.tick == present {
                return None;
            }
            self.tick += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn each_slot_fires_once_and_not_early() {
        for seed in 1..30_u64 {
            let mut state = seed;
            let mut below = |bound: u64| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state % bound
            };
            let start = below(1 << 40);
            let mut now = Instant(start);
            let mut timers = Timers::new(64);
            let mut due = BTreeMap::new();
            for _ in 0..3000 {
                let slot = u32::try_from(below(64)).unwrap();
                match below(4) {
                    0 => {
                        timers.disarm(slot);
                        due.remove(&slot);
                    }
                    1 | 2 => {
                        let at = Instant(now.0 + below(10_000_000_000));
                        timers.arm(slot, at);
                        due.insert(slot, at);
                    }
                    _ => now = Instant(now.0 + below(200_000_000)),
                }
                while let Some(slot) = timers.fire(now) {
                    let at = due[&slot];
                    if at > now {
                        timers.arm(slot, at);
                    } else {
                        due.remove(&slot);
                    }
                }
                let tick = 1 << TICK_SHIFT;
                let late = due.values().any(|at| at.0 + 2 * tick < now.0);
                assert!(!late, "seed {seed}: a deadline was missed");
            }
        }
    }
}
