//! What the dataplane tells of its filter: how often each rule has matched, and what is heavy in the traffic.

pub mod detection;
pub mod journal;
mod offender;
pub mod steward;

pub(crate) use offender::expression as pattern_text;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use shm::limits::RULES_MAX;
use shm::message::{Event, Heavy};

use crate::model::Book;

/// Sightings of a round that are kept; the dataplane tells 80 at most.
const SIGHTINGS_MAX: usize = 4096;

/// How often a rule has matched since it was added, on all workers together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Their octets.
    pub octets: u64,
    /// How many of the packets were dropped for it.
    pub dropped: u64,
}

/// Something that is heavy in the traffic, with rates per second that are estimated from samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Packets.
    pub packets: u64,
    /// Octets.
    pub octets: u64,
    /// Packets of them that are dropped.
    pub dropped: u64,
    /// What it is.
    pub what: Heavy,
}

/// All that was heavy at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Its number.
    pub number: u64,
    /// When it was complete, since the Unix epoch.
    pub at: Duration,
    /// What was heavy.
    pub sightings: Vec<Sighting>,
}

/// What was heard last.
#[derive(Debug, Default)]
pub struct Heard {
    counts: RwLock<HashMap<u32, Count>>,
    round: RwLock<Rounds>,
}

#[derive(Debug, Default)]
struct Rounds {
    gathering: Vec<Sighting>,
    last: Arc<Round>,
}

impl Heard {
    /// How often a rule has matched; nothing when it never did.
    pub fn count(&self, rule: u32) -> Count {
        let counts = self.counts.read().unwrap_or_else(PoisonError::into_inner);
        counts.get(&rule).copied().unwrap_or_default()
    }

    /// The last round that is complete.
    pub fn round(&self) -> Arc<Round> {
        Arc::clone(&self.round.read().unwrap_or_else(PoisonError::into_inner).last)
    }

    /// Takes in an event; whether it has completed a round.
    pub(crate) fn hear(&self, event: &Event, book: impl FnOnce() -> Book) -> bool {
        match *event {
            Event::RuleCount { rule, packets, octets, dropped, .. } => {
                self.count_of(rule, Count { packets, octets, dropped }, book);
                false
            }
            Event::Heavy { packets, octets, dropped, what, .. } => {
                let mut rounds = self.round.write().unwrap_or_else(PoisonError::into_inner);
                if rounds.gathering.len() < SIGHTINGS_MAX {
                    rounds.gathering.push(Sighting { packets, octets, dropped, what });
                }
                false
            }
            Event::Swept { at, round } => {
                let mut rounds = self.round.write().unwrap_or_else(PoisonError::into_inner);
                let sightings = std::mem::take(&mut rounds.gathering);
                rounds.last = Arc::new(Round { number: round, at, sightings });
                true
            }
            Event::Applied { .. }
            | Event::Refused { .. }
            | Event::Desynchronised
            | Event::Heartbeat { .. }
            | Event::Lost(_)
            | Event::Handshake { .. }
            | Event::EndpointMoved { .. }
            | Event::PeerExpired { .. }
            | Event::PeerState { .. }
            | Event::Surveyed { .. }
            | Event::Server { .. }
            | Event::Fleet { .. }
            | Event::Dials(_)
            | Event::Probed { .. }
            | Event::Paths { .. }
            | Event::Tunnel { .. }
            | Event::TunnelCount { .. }
            | Event::TenantCount { .. } => false,
        }
    }

    /// A dataplane that comes counts from 0, and has seen nothing yet.
    pub(crate) fn forget(&self) {
        self.counts.write().unwrap_or_else(PoisonError::into_inner).clear();
        *self.round.write().unwrap_or_else(PoisonError::into_inner) = Rounds::default();
    }

    fn count_of(&self, rule: u32, count: Count, book: impl FnOnce() -> Book) {
        let mut counts = self.counts.write().unwrap_or_else(PoisonError::into_inner);
        counts.insert(rule, count);
        // Those of rules that are gone go when there are many.
        if counts.len() > 2 * RULES_MAX {
            let book = book();
            counts.retain(|rule, _| book.rule(*rule).is_some());
        }
    }
}
