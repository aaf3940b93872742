//! A hierarchical timing wheel for a bounded set of keys, one entry per key, with intrusive lists in
//! arrays that are allocated once; memory of keys that were never scheduled is not touched. Scheduling and
//! cancelling cost O(1), expiry is bounded per call.
//!
//! A tick is 2^20 ns, about a millisecond. Level `l` has 64 slots of `64^l` ticks. An entry lies on
//! the level of the highest 6-bit group in which its tick differs from the present one, so it
//! moves down at most once per level before it fires. Eight levels cover all of [`Instant`].

use crate::time::Instant;

const TICK_SHIFT: u32 = 20;
const GROUP_BITS: u32 = 6;
const SLOTS: usize = 1 << GROUP_BITS;
const LEVELS: usize = 8;
const NONE: u32 = u32::MAX;
/// The list number of an entry that is in no list.
const IDLE: u16 = u16::MAX;

#[derive(Clone, Copy, Debug)]
struct Entry {
    tick: u64,
    next: u32,
    previous: u32,
    list: u16,
}

/// The wheel over keys `0..capacity`. It owns 24 octets per key.
#[derive(Debug)]
pub struct Wheel {
    /// Up to the greatest key that was ever scheduled.
    entries: Vec<Entry>,
    capacity: usize,
    heads: [u32; LEVELS * SLOTS],
    /// One bit per slot that is not empty.
    occupied: [u64; LEVELS],
    /// Everything due before this tick has fired or waits in its list.
    present: u64,
}

impl Wheel {
    /// An empty wheel whose time starts at `now`.
    ///
    /// # Panics
    /// When `capacity` is `u32::MAX` or more.
    pub fn new(capacity: usize, now: Instant) -> Self {
        assert!(u32::try_from(capacity).is_ok_and(|count| count != NONE), "keys are 32 bits");
        Self {
            entries: Vec::with_capacity(capacity),
            capacity,
            heads: [NONE; LEVELS * SLOTS],
            occupied: [0; LEVELS],
            present: now.0 >> TICK_SHIFT,
        }
    }

    /// Schedules `key` for `deadline`, instead of any earlier schedule of it. False when the key
    /// is not below the capacity.
    pub fn schedule(&mut self, key: u32, deadline: Instant) -> bool {
        if !self.cancel(key) {
            return false;
        }
        let idle = Entry { tick: 0, next: NONE, previous: NONE, list: IDLE };
        if self.entries.len() <= key as usize {
            // Within the capacity, so this does not allocate.
            self.entries.resize(key as usize + 1, idle);
        }
        // Rounded up, so that nothing fires early.
        let tick = deadline.0.div_ceil(1 << TICK_SHIFT);
        self.link(key, tick);
        true
    }

    /// Removes `key`, scheduled or not. False when the key is not below the capacity.
    pub fn cancel(&mut self, key: u32) -> bool {
        let Some(entry) = self.entries.get_mut(key as usize) else {
            return (key as usize) < self.capacity;
        };
        let Entry { next, previous, list, .. } = *entry;
        if list == IDLE {
            return true;
        }
        entry.list = IDLE;
        if let Some(next) = self.entries.get_mut(next as usize) {
            next.previous = previous;
        }
        if let Some(previous) = self.entries.get_mut(previous as usize) {
            previous.next = next;
        } else {
            self.set_head(usize::from(list), next);
        }
        true
    }

    /// Whether `key` is scheduled.
    pub fn is_scheduled(&self, key: u32) -> bool {
        self.entries.get(key as usize).is_some_and(|entry| entry.list != IDLE)
    }

    /// Calls `fire` for keys whose deadline is not after `now`, each unscheduled before. At most
    /// `max` entries are touched (fired or moved down a level); true when more remain to be done
    /// at `now`.
    pub fn expire(&mut self, now: Instant, max: usize, mut fire: impl FnMut(u32)) -> bool {
        let target = now.0 >> TICK_SHIFT;
        for _ in 0..max {
            let Some(key) = self.pull(target) else { return false };
            let tick = self.entries.get(key as usize).map_or(0, |entry| entry.tick);
            self.cancel(key);
            if tick <= self.present {
                fire(key);
            } else {
                self.link(key, tick);
            }
        }
        self.earliest(target).is_some()
    }

    /// An entry of the earliest list that begins by `target`, with the present moved there.
    /// Without one the present moves to `target`.
    fn pull(&mut self, target: u64) -> Option<u32> {
        let Some((list, begin)) = self.earliest(target) else {
            self.present = self.present.max(target);
            return None;
        };
        self.present = self.present.max(begin);
        self.heads.get(list).copied()
    }

    /// The list that begins first, the higher level first among equals (its entries may be due
    /// with those below), if it begins by `target`.
    fn earliest(&self, target: u64) -> Option<(usize, u64)> {
        let mut found: Option<(usize, u64)> = None;
        for (level, &occupied) in self.occupied.iter().enumerate() {
            if occupied == 0 {
                continue;
            }
            let slot = occupied.trailing_zeros();
            let shift = GROUP_BITS * level_shift(level);
            let above = self.present.checked_shr(shift + GROUP_BITS).unwrap_or(0);
            let begin = (above << GROUP_BITS | u64::from(slot)) << shift;
            if begin <= target && found.is_none_or(|(_, earliest)| begin <= earliest) {
                found = Some((level * SLOTS + slot as usize, begin));
            }
        }
        found
    }

    /// Puts an idle key into the list of its tick.
    fn link(&mut self, key: u32, tick: u64) {
        let place = tick.max(self.present);
        let differing = place ^ self.present;
        let level = (u64::BITS - (differing | 1).leading_zeros() - 1) / GROUP_BITS;
        let slot = place >> (level * GROUP_BITS) & (SLOTS as u64 - 1);
        let list = level as usize * SLOTS + usize::try_from(slot).unwrap_or(0);
        let head = self.heads.get(list).copied().unwrap_or(NONE);
        if let Some(first) = self.entries.get_mut(head as usize) {
            first.previous = key;
        }
        if let Some(entry) = self.entries.get_mut(key as usize) {
            let list = u16::try_from(list).unwrap_or(IDLE);
            *entry = Entry { tick, next: head, previous: NONE, list };
        }
        self.set_head(list, key);
    }

    /// Sets the first entry of a list and keeps the bit that says whether there is one.
    fn set_head(&mut self, list: usize, key: u32) {
        if let Some(head) = self.heads.get_mut(list) {
            *head = key;
        }
        if let Some(occupied) = self.occupied.get_mut(list / SLOTS) {
            let bit = 1 << (list % SLOTS);
            *occupied = if key == NONE { *occupied & !bit } else { *occupied | bit };
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a level is below LEVELS")]
const fn level_shift(level: usize) -> u32 {
    level as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const TICK: u64 = 1 << TICK_SHIFT;

    #[derive(Clone, Debug)]
    enum Step {
        Schedule(u32, u64),
        Cancel(u32),
        Advance(u64, usize),
    }

    fn delay() -> impl Strategy<Value = u64> {
        prop_oneof![
            0..4 * TICK,
            0..600_000_000_000_u64,
            Just(u64::MAX),
            (0_u32..64).prop_map(|shift| 1 << shift),
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0_u32..40, delay()).prop_map(|(key, delay)| Step::Schedule(key, delay)),
            1 => (0_u32..40).prop_map(Step::Cancel),
            3 => (delay(), 1_usize..8).prop_map(|(delay, max)| Step::Advance(delay, max)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn fires_what_a_sorted_map_fires(start in delay(), steps in prop::collection::vec(step(), 1..80)) {
            let mut now = Instant(start / 2);
            let mut wheel = Wheel::new(40, now);
            let mut naive: BTreeMap<u32, Instant> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Schedule(key, delay) => {
                        let deadline = Instant(now.0.saturating_add(delay));
                        prop_assert!(wheel.schedule(key, deadline));
                        naive.insert(key, deadline);
                    }
                    Step::Cancel(key) => {
                        prop_assert!(wheel.cancel(key));
                        naive.remove(&key);
                    }
                    Step::Advance(delay, max) => {
                        now = Instant(now.0.saturating_add(delay));
                        let mut more = true;
                        let mut turns = 0;
                        while more {
                            let mut fired = Vec::new();
                            more = wheel.expire(now, max, |key| fired.push(key));
                            prop_assert!(fired.len() <= max);
                            for key in fired {
                                let deadline = naive.remove(&key);
                                prop_assert!(deadline.is_some_and(|d| d <= now), "{} early", key);
                            }
                            turns += 1;
                            prop_assert!(turns <= 40 * LEVELS + 1, "no progress");
                        }
                        let late = naive.values().filter(|d| d.0.checked_add(TICK).is_some_and(|end| end <= now.0));
                        prop_assert_eq!(late.count(), 0);
                    }
                }
                for key in 0..40 {
                    prop_assert_eq!(wheel.is_scheduled(key), naive.contains_key(&key));
                }
            }
        }
    }

    #[test]
    fn a_bounded_call_leaves_the_rest_for_the_next() {
        let mut wheel = Wheel::new(100, Instant::ZERO);
        for key in 0..100 {
            assert!(wheel.schedule(key, Instant(TICK)));
        }
        let mut count = 0;
        assert!(wheel.expire(Instant(TICK), 30, |_| count += 1));
        assert_eq!(count, 30);
        assert!(!wheel.expire(Instant(TICK), 70, |_| count += 1));
        assert_eq!(count, 100);
    }

    #[test]
    fn a_key_past_the_capacity_is_refused() {
        let mut wheel = Wheel::new(1, Instant::ZERO);
        assert!(wheel.schedule(0, Instant::ZERO) && !wheel.schedule(1, Instant::ZERO));
        assert!(!wheel.cancel(u32::MAX) && !wheel.is_scheduled(u32::MAX));
    }

    #[test]
    fn keys_may_come_in_any_order() {
        let mut wheel = Wheel::new(9, Instant::ZERO);
        assert!(wheel.cancel(8) && !wheel.is_scheduled(8));
        assert!(wheel.schedule(7, Instant(TICK)) && wheel.schedule(2, Instant(TICK)));
        let mut fired = Vec::new();
        assert!(!wheel.expire(Instant(TICK), 9, |key| fired.push(key)));
        assert_eq!(fired, [2, 7]);
    }

    #[test]
    fn entries_of_a_partly_drained_slot_do_not_wait_for_a_turn_of_the_wheel() {
        let mut wheel = Wheel::new(3, Instant::ZERO);
        let far = Instant::ZERO + Duration::from_mins(2);
        for key in 0..3 {
            assert!(wheel.schedule(key, far));
        }
        let mut fired = Vec::new();
        let mut now = far - Duration::from_secs(1);
        while fired.len() < 3 {
            let _more = wheel.expire(now, 1, |key| fired.push(key));
            now = now + Duration::from_millis(200);
            assert!(now < far + Duration::from_secs(2), "late: {fired:?}");
        }
    }
}
