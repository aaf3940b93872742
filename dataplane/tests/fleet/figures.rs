//! What a run has shown, in numbers.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use dataplane::counters::Totals;
use dataplane::fate::DropReason;
use wireguard::time::Instant;

use super::caller::Breach;
use super::roll::Moved;

#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// Sessions that ended before their time: when, whose, and how.
    pub(crate) broken_sessions: Vec<(Instant, usize, Breach)>,
    /// Flows whose packets came to a server that does not know them.
    pub(crate) broken_flows: Vec<(Instant, u64)>,
    /// Segments that did not arrive: from the client or to it, and their number.
    pub(crate) lost: Vec<(Instant, u64, bool, u32)>,
    /// Datagrams to where no client is.
    pub(crate) astray: Vec<Instant>,
    /// Segments that nobody sent, or that came too late.
    pub(crate) unexpected: usize,
    /// Flows that ended with their server.
    pub(crate) cut_flows: usize,
    /// Flows that a server took up.
    pub(crate) flows: usize,
    pub(crate) requests: u64,
    /// Initiations that clients sent.
    pub(crate) initiations: u64,
    /// Times that a client moved.
    pub(crate) moves: u64,
    /// Packets from server to server, by what the receiver shall do.
    pub(crate) forwarded: BTreeMap<&'static str, u64>,
    /// What each change of the fleet has done.
    pub(crate) changes: Vec<Moved>,
    /// Servers that have left it empty.
    pub(crate) departures: u64,
    /// How long requests took beyond the way to the nearest server.
    pub(crate) extra: Vec<Duration>,
    /// How long after they could have been, clients of a dead server were served again: with an id, and without.
    pub(crate) recovery: [Vec<Duration>; 2],
    /// What servers dropped.
    pub(crate) drops: BTreeMap<&'static str, u64>,
}

impl Figures {
    /// Adds what a server dropped.
    pub(crate) fn add_drops(&mut self, totals: &Totals) {
        for reason in DropReason::ALL {
            let count = totals.dropped(*reason);
            if count > 0 {
                *self.drops.entry(reason.name()).or_default() += count;
            }
        }
    }

    /// Clients, packets and flows that were harmed, and by how much.
    pub(crate) fn harm(&self) -> [usize; 5] {
        [
            self.unexpected,
            self.broken_sessions.len(),
            self.broken_flows.len(),
            self.lost.len(),
            self.astray.len(),
        ]
    }
}

/// Half of them, nine of ten, and all but one of a hundred are no longer than this; and the longest.
pub(crate) fn quantiles(durations: &[Duration]) -> String {
    let mut sorted = durations.to_vec();
    sorted.sort_unstable();
    let Some(longest) = sorted.last() else { return "none".to_owned() };
    let at = |share: usize| sorted[(sorted.len() - 1) * share / 100];
    format!("{:?} / {:?} / {:?} / {longest:?} of {}", at(50), at(90), at(99), sorted.len())
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [unexpected, sessions, flows, lost, astray] = self.harm();
        writeln!(
            f,
            "  broken: {sessions} sessions, {flows} flows; {lost} packets lost, {astray} astray, {unexpected} unexpected; {} flows cut",
            self.cut_flows
        )?;
        let (changes, departures) = (self.changes.len(), self.departures);
        writeln!(
            f,
            "  {} flows, {} requests, {} initiations, {} moves, {changes} changes, {departures} departures",
            self.flows, self.requests, self.initiations, self.moves
        )?;
        let moved: f64 = self.changes.iter().map(|change| change.share).sum();
        let least: f64 = self.changes.iter().map(|change| change.least).sum();
        let fullest = self.changes.iter().map(|change| change.fullest).fold(0.0, f64::max);
        writeln!(
            f,
            "  rows moved: {moved:.3} of the table, where {least:.3} had to; fullest server {fullest:.3} of its share"
        )?;
        let all: u64 = self.forwarded.values().sum();
        let per_request = to_f64(all) / to_f64(self.requests.max(1));
        writeln!(f, "  between servers: {:?}, {per_request:.2} a request", self.forwarded)?;
        let walked = all - self.forwarded.get("Direct").copied().unwrap_or(0);
        let steps = to_f64(walked) / to_f64(self.initiations.max(1));
        writeln!(f, "  steps of an initiation between servers: {steps:.2}")?;
        writeln!(f, "  extra latency (p50 / p90 / p99 / max): {}", quantiles(&self.extra))?;
        for (name, recovery) in ["with an id", "stock"].iter().zip(&self.recovery) {
            if !recovery.is_empty() {
                writeln!(f, "  served again, {name}: {}", quantiles(recovery))?;
            }
        }
        writeln!(f, "  dropped: {:?}", self.drops)
    }
}

/// Counts here are small.
pub(crate) fn to_f64(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}
