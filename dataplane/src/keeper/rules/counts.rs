//! What rules have matched, as control is told it: since a rule was added, over all workers, and only what has changed.

use std::collections::BTreeMap;
use std::time::Duration;

use shm::events::Teller;
use shm::memory::Memory;
use shm::message::Event;
use wireguard::time::Instant;

use super::Book;
use crate::limits::RULE_COUNTS_INTERVAL;
use crate::stages::dos::AllTallies;

/// The counts of all rules.
#[derive(Debug)]
pub(in crate::keeper) struct Counts {
    tallies: AllTallies,
    rows: BTreeMap<u32, Row>,
    due: Instant,
    /// Rules that are to be told in this round.
    waiting: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    slot: u16,
    /// What the slot had counted before it was this rule's.
    base: [u64; 3],
    told: Option<([u64; 3], bool)>,
    expired: bool,
}

impl Counts {
    pub(in crate::keeper) fn new(workers: usize) -> Self {
        Self {
            tallies: AllTallies::new(workers),
            rows: BTreeMap::new(),
            due: Instant::ZERO,
            waiting: Vec::new(),
        }
    }

    /// What the workers count with.
    pub(in crate::keeper) fn tallies(&self) -> &AllTallies {
        &self.tallies
    }

    /// Rules have come and gone.
    pub(in crate::keeper) fn follow(&mut self, book: &Book, unix: Duration) {
        let slots: BTreeMap<u32, u16> = book.slots().collect();
        self.rows.retain(|id, row| slots.get(id) == Some(&row.slot));
        for (id, slot) in slots {
            let tallies = &self.tallies;
            let new = || Row { slot, base: tallies.sums(slot), told: None, expired: false };
            let row = self.rows.entry(id).or_insert_with(new);
            let expires = book.rules.get(&id).and_then(|entry| entry.rule.expires);
            row.expired = expires.is_some_and(|time| time <= unix);
        }
    }

    /// A new control has been told nothing.
    pub(in crate::keeper) fn forget(&mut self) {
        self.rows.values_mut().for_each(|row| row.told = None);
        self.waiting.clear();
    }

    /// Whether rules are to be judged anew: one has expired since this was last asked, or has not, by a clock that went back.
    pub(in crate::keeper) fn expire(&mut self, book: &Book, unix: Duration) -> bool {
        let mut changed = false;
        for (id, entry) in &book.rules {
            let is_over = entry.rule.expires.is_some_and(|time| time <= unix);
            if let Some(row) = self.rows.get_mut(id).filter(|row| row.expired != is_over) {
                row.expired = is_over;
                changed = true;
            }
        }
        changed
    }

    /// Tells what has changed, as fast as control hears; gives how much was told.
    pub(in crate::keeper) fn tell<M: Memory>(
        &mut self,
        events: &mut Teller<M>,
        now: Instant,
    ) -> usize {
        if self.waiting.is_empty() && now >= self.due {
            self.due = now + RULE_COUNTS_INTERVAL;
            self.waiting = self.rows.keys().copied().collect();
        }
        let mut done = 0;
        while let Some(id) = self.waiting.pop_if(|_| events.room() > 0) {
            let Some(row) = self.rows.get_mut(&id) else { continue };
            let sums = self.tallies.sums(row.slot);
            let mut counts = [0; 3];
            for ((count, sum), base) in counts.iter_mut().zip(sums).zip(row.base) {
                *count = sum.wrapping_sub(base);
            }
            let told = (counts, row.expired);
            if row.told.replace(told) != Some(told) {
                let [packets, octets, dropped] = counts;
                let expired = row.expired;
                events.tell(&Event::RuleCount { rule: id, packets, octets, dropped, expired });
                done += 1;
            }
        }
        done
    }
}
