//! What has become of connections, by next hop. Written by all sessions, read by who asks over a socket.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Connections that were let in.
    Accepted,
    /// Those of them that the next hop has connected.
    Opened,
    /// Opened ones that both ends have closed.
    Closed,
    /// Opened ones that one end has reset, or that ended in the middle of what TLS protects.
    Reset,
    /// Opened ones on which nobody has said anything for too long.
    Idle,
    /// Octets that went to the next hop.
    OctetsOut,
    /// Octets that came from it.
    OctetsIn,
    /// Not opened, for this reason.
    Refused(Refusal),
}

/// Why a connection was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It came from elsewhere than from the dataplane.
    Source,
    /// As many are served as may be.
    Full,
    /// The request did not come whole in time.
    RequestLate,
    /// The request is none that is served.
    RequestWrong,
    /// Something was said before the answer.
    RequestEarly,
    /// Who asked has gone before the answer.
    ClientGone,
    /// The next hop cannot be reached, or does not take connections.
    Unreachable,
    /// The next hop does not answer: neither its kernel nor its TLS.
    Silent,
    /// The next hop is not who it should be, or speaks another TLS.
    Tls,
    /// The next hop's answer is none to a request, or has no end.
    AnswerWrong,
    /// The next hop has taken the request and says nothing to it.
    AnswerLate,
    /// The next hop has said no.
    Denied,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Source,
        Self::Full,
        Self::RequestLate,
        Self::RequestWrong,
        Self::RequestEarly,
        Self::ClientGone,
        Self::Unreachable,
        Self::Silent,
        Self::Tls,
        Self::AnswerWrong,
        Self::AnswerLate,
        Self::Denied,
    ];

    /// Its name in metrics and documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Full => "full",
            Self::RequestLate => "request_late",
            Self::RequestWrong => "request_wrong",
            Self::RequestEarly => "request_early",
            Self::ClientGone => "client_gone",
            Self::Unreachable => "unreachable",
            Self::Silent => "silent",
            Self::Tls => "tls",
            Self::AnswerWrong => "answer_wrong",
            Self::AnswerLate => "answer_late",
            Self::Denied => "denied",
        }
    }
}

impl Count {
    /// Those that are no refusals.
    const PLAIN: [Self; 7] = [
        Self::Accepted,
        Self::Opened,
        Self::Closed,
        Self::Reset,
        Self::Idle,
        Self::OctetsOut,
        Self::OctetsIn,
    ];

    /// How many counts there are.
    const LEN: usize = Self::PLAIN.len() + Refusal::ALL.len();

    /// All of them.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        Self::PLAIN.into_iter().chain(Refusal::ALL.into_iter().map(Self::Refused))
    }

    fn place(self) -> Option<usize> {
        Self::all().position(|count| count == self)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Opened => "opened",
            Self::Closed => "closed",
            Self::Reset => "reset",
            Self::Idle => "idle",
            Self::OctetsOut => "octets_out",
            Self::OctetsIn => "octets_in",
            Self::Refused(refusal) => refusal.name(),
        }
    }
}

/// The counts of one next hop.
#[derive(Debug, Default)]
pub struct Counts([AtomicU64; Count::LEN]);

impl Counts {
    /// Adds to one of them.
    pub fn add(&self, count: Count, number: u64) {
        if let Some(value) = count.place().and_then(|place| self.0.get(place)) {
            value.fetch_add(number, Ordering::Relaxed);
        }
    }

    /// All of them, at one moment more or less.
    pub fn read(&self) -> Reading {
        Reading(core::array::from_fn(|place| {
            self.0.get(place).map_or(0, |value| value.load(Ordering::Relaxed))
        }))
    }
}

/// Counts as they were at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading([u64; Count::LEN]);

impl Reading {
    /// One of them.
    pub fn of(&self, count: Count) -> u64 {
        count.place().and_then(|place| self.0.get(place)).copied().unwrap_or(0)
    }

    /// How many were not opened.
    pub fn refused(&self) -> u64 {
        Refusal::ALL.iter().map(|refusal| self.of(Count::Refused(*refusal))).sum()
    }

    /// How many are open.
    pub fn open(&self) -> u64 {
        let over = [Count::Closed, Count::Reset, Count::Idle].map(|count| self.of(count));
        self.of(Count::Opened).saturating_sub(over.iter().sum())
    }

    /// Appends a line for each: whose, which, how many.
    pub fn write(&self, next_hop: &str, text: &mut String) {
        for count in Count::all() {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{next_hop} {} {}", count.name(), self.of(count));
        }
    }

    /// Takes in what such a line says; whether it says anything.
    pub(super) fn take(&mut self, name: &str, value: u64) -> bool {
        let place = Count::all().position(|count| count.name() == name);
        let place = place.and_then(|place| self.0.get_mut(place));
        place.map(|place| *place = value).is_some()
    }
}
