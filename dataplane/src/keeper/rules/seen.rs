//! What tenants' rules and tunnels have seen, as control is told it: since they were told, over all workers, and only what
//! has changed.

use std::collections::BTreeMap;

use ::firewall::rules::Verdict;
use shm::events::Teller;
use shm::memory::Memory;
use shm::message::{ALL_RULES, Event};
use wireguard::time::Instant;

use super::Book;
use crate::limits::{RULE_COUNTS_INTERVAL, SEEN_ROOM};
use crate::stages::tenant::tallies::AllTallies;

/// What is counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// What goes on to a tenant and what does not, by the tenant's id.
    Tenant(u32),
    /// A rule of a tenant, by its index.
    Rule(u32, u32),
    /// A tunnel, by its id.
    Tunnel(u32),
}

/// Packets and octets, of two kinds.
type Figures = [[u64; 2]; 2];

#[derive(Clone, Copy, Debug)]
struct Row {
    /// Its number, or its slot.
    place: u32,
    /// Whether what a rule matches is dropped.
    drops: bool,
    /// What the place had counted before it was this one's.
    base: Figures,
    told: Option<Figures>,
}

/// The counts of all of them.
#[derive(Debug)]
pub(in crate::keeper) struct Seen {
    tallies: AllTallies,
    rows: BTreeMap<What, Row>,
    due: Instant,
    waiting: Vec<What>,
}

impl Seen {
    pub(in crate::keeper) fn new(workers: usize, server: u8) -> Self {
        Self {
            tallies: AllTallies::new(workers, server),
            rows: BTreeMap::new(),
            due: Instant::ZERO,
            waiting: Vec::new(),
        }
    }

    /// What the workers count with.
    pub(in crate::keeper) fn tallies(&self) -> &AllTallies {
        &self.tallies
    }

    /// Tenants, rules and tunnels have come and gone.
    pub(in crate::keeper) fn follow(&mut self, book: &Book) {
        let mut places = BTreeMap::new();
        for (tenant, number, firewall) in book.counted() {
            places.insert(What::Tenant(tenant), (u32::from(number), false));
            // Rules that are others have places of their own.
            let rules = firewall.into_iter().flat_map(|firewall| firewall.counted());
            places.extend(rules.map(|(rule, slot, verdict)| {
                (What::Rule(tenant, rule), (slot, verdict == Some(Verdict::Drop)))
            }));
        }
        let tunnels = book.laid();
        places.extend(
            tunnels
                .map(|(laid, _)| (What::Tunnel(laid.tunnel.id), (u32::from(laid.number), false))),
        );
        self.rows
            .retain(|what, row| places.get(what).is_some_and(|(place, _)| *place == row.place));
        for (what, (place, drops)) in places {
            let tallies = &self.tallies;
            let base = || figures(tallies, what, place);
            let new = || Row { place, drops, base: base(), told: None };
            self.rows.entry(what).or_insert_with(new);
        }
    }

    /// A new control has been told nothing.
    pub(in crate::keeper) fn forget(&mut self) {
        self.rows.values_mut().for_each(|row| row.told = None);
        self.waiting.clear();
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
        while let Some(what) = self.waiting.pop_if(|_| events.room() > SEEN_ROOM) {
            let Some(row) = self.rows.get_mut(&what) else { continue };
            let mut seen = figures(&self.tallies, what, row.place);
            for (seen, base) in seen.iter_mut().flatten().zip(row.base.iter().flatten()) {
                *seen = seen.wrapping_sub(*base);
            }
            if row.told.replace(seen) != Some(seen) {
                events.tell(&event(what, seen, row.drops));
                done += 1;
            }
        }
        done
    }
}

fn figures(tallies: &AllTallies, what: What, place: u32) -> Figures {
    let number = u16::try_from(place).unwrap_or(u16::MAX);
    match what {
        What::Tenant(_) => tallies.tenant(number),
        What::Rule(..) => [tallies.rule(place), [0; 2]],
        What::Tunnel(_) => tallies.tunnel(number),
    }
}

fn event(what: What, [first, second]: Figures, drops: bool) -> Event {
    match what {
        What::Tenant(tenant) => {
            let ([passed, octets], [dropped, lost_octets]) = (first, second);
            let (packets, octets) = (passed + dropped, octets + lost_octets);
            Event::TenantCount { tenant, rule: ALL_RULES, packets, octets, dropped }
        }
        What::Rule(tenant, rule) => {
            let [packets, octets] = first;
            let dropped = if drops { packets } else { 0 };
            Event::TenantCount { tenant, rule, packets, octets, dropped }
        }
        What::Tunnel(id) => Event::TunnelCount { id, sent: first, received: second },
    }
}
