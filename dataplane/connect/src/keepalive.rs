//! Whether an origin is still there: asked after so much silence, as no stack of ours keeps the connection.
//!
//! A probe is a segment of the connection itself, one octet before the next (RFC 9293 3.8.4), which every TCP answers.
//! The caller keeps what [`Ends`] wants of a flow, and one [`Probing`] for each that is to be probed.

use core::time::Duration;

use wire::tcp::Flags;

use crate::options::{Stamps, Written};
use crate::segment::{Leg, Segment};
use crate::time::Instant;

/// Probes without an answer after which the connection is gone.
pub const MISSES_MAX: u8 = 3;

/// What is done when a deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing yet; ask again then.
    Wait(Instant),
    /// Send a probe, and ask again then.
    Probe(Instant),
    /// Nobody answers: reset the other end and forget the flow.
    Gone,
}

/// When an origin is asked next, and how often it was asked since it was heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probing {
    next: Instant,
    interval_secs: u16,
    misses: u8,
}

impl Probing {
    /// For a flow that was just spliced.
    pub fn new(interval: Duration, now: Instant) -> Self {
        let interval_secs = u16::try_from(interval.as_secs()).unwrap_or(u16::MAX).max(1);
        let mut probing = Self { next: now, interval_secs, misses: 0 };
        probing.heard(now);
        probing
    }

    /// Notes any segment of the origin.
    pub fn heard(&mut self, now: Instant) {
        self.misses = 0;
        self.next = now + Duration::from_secs(self.interval_secs.into());
    }

    /// What is due. However late somebody asks, the origin has its time to answer.
    pub fn expire(&mut self, now: Instant) -> Due {
        if self.next > now {
            return Due::Wait(self.next);
        }
        if self.misses >= MISSES_MAX {
            return Due::Gone;
        }
        self.misses += 1;
        self.next = now + Duration::from_secs(self.interval_secs.into());
        Due::Probe(self.next)
    }
}

/// What the flow's two ends have acknowledged, as the leg to the origin counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The leg to the origin.
    pub leg: Leg,
    /// The origin's last acknowledgment number: what it expects next.
    pub expected: u32,
    /// The last acknowledgment number that went to the origin.
    pub acknowledged: u32,
    /// The last window that went to it, not scaled.
    pub window: u16,
    /// A `TSval` that went to it and one that came, if the flow has timestamps. Both may be old: a newer one than the near end's
    /// would have what that end says next taken for older (RFC 7323 5).
    pub timestamps: Option<(u32, u32)>,
}

impl Ends {
    /// Sends a probe through `send`. With timestamps, which are old, it bears an octet that the other end has: not every TCP answers
    /// an old segment without one (RFC 9293 3.8.4, MAY-6).
    pub fn probe(&self, send: impl FnOnce(&Segment<'_>)) {
        let payload: &[u8] = if self.timestamps.is_some() { &[0] } else { &[] };
        self.segment(Flags::ACK, (self.expected.wrapping_sub(1), payload), send);
    }

    /// Sends the reset with which the flow ends through `send`.
    pub fn reset(&self, send: impl FnOnce(&Segment<'_>)) {
        self.segment(Flags::RST | Flags::ACK, (self.expected, &[]), send);
    }

    fn segment(
        &self,
        flags: Flags,
        (sequence_number, payload): (u32, &[u8]),
        send: impl FnOnce(&Segment<'_>),
    ) {
        let stamps = self.timestamps.map(|(value, echo)| Stamps { value, echo });
        send(&Segment {
            leg: self.leg,
            flags,
            sequence_number,
            acknowledgment_number: self.acknowledged,
            window: self.window,
            options: Written::stamps(stamps).octets(),
            payload,
        });
    }
}
