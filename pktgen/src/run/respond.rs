//! The responder of a run: it has the device in common with the clients, and the turn.

use std::time::Duration;

use super::{Run, Told, interval};
use crate::client::{Kind, Target};
use crate::report::{self, Interval, Pace};

/// Counts whose differences make the rates of an interval.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    received: u64,
    sent: u64,
    requests: u64,
}

impl Run<'_> {
    /// Whether the clients' one-way traffic ends at the responder, so that its streams are known.
    pub(super) fn ends_behind(&self) -> bool {
        self.profile.plan.traffic.as_ref().is_some_and(|traffic| {
            let ends_here = !traffic.is_measured_elsewhere && traffic.target != Target::Clients;
            traffic.kind == Kind::OneWay && ends_here
        })
    }

    /// Tells of an interval: of the clients and attacks if there are any, of the responder if there is one.
    pub(super) fn tell(
        &mut self,
        (interval, streams): (&Interval, &[Pace]),
        length: Duration,
        tell: &mut impl FnMut(Told<'_>),
    ) {
        let has_others = self.profile.plan.members() > 0 || !self.streams.barrages().is_empty();
        if self.responder.is_none() || has_others {
            tell(Told::Interval(interval, streams));
        }
        let Some(responder) = &self.responder else { return };
        let (tally, origin) = (responder.tally(), responder.origin());
        let counts = Counts {
            received: tally.frames_received,
            sent: tally.frames_sent,
            requests: origin.requests,
        };
        let rate = |now, before| interval::rate(now, before, length);
        tell(Told::Responder(&report::responder::Interval {
            at_secs: interval.at_secs,
            received_pps: rate(counts.received, self.told.received),
            sent_pps: rate(counts.sent, self.told.sent),
            requests_per_sec: rate(counts.requests, self.told.requests),
            connections: origin.live,
        }));
        self.told = counts;
    }
}
