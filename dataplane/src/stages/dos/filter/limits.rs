//! Limits of sources, of destinations, and of all together.

use arrayvec::ArrayVec;
use wireguard::time::Instant;

use super::super::buckets::{Buckets, Place, Verdict};
use super::super::rules::{Limit, Limits, Sharing};
use super::{Judge, Judged, Tables};
use crate::burst::Burst;
use crate::fate::{DropReason, Fate};
use crate::frame::Frame;
use crate::limits::BURST_LEN_MAX;
use crate::packet::Address;

/// A packet that meets a limit.
struct Meeting<'a> {
    frame: usize,
    limit: &'a Limit,
    place: Place,
}

/// Whose bucket a packet takes from.
#[derive(Clone, Copy)]
struct Whose {
    source: Address,
    destination: Address,
}

impl Whose {
    #[inline]
    fn of(frame: &Frame<'_>) -> Self {
        Self { source: frame.note.endpoint.remote, destination: frame.note.ip.destination }
    }

    #[inline]
    fn bucket(self, limit: &Limit, buckets: &Buckets) -> Place {
        match limit.sharing {
            Sharing::Source(scope) => buckets.place(scope.around(self.source), limit.slot),
            Sharing::Destination(scope) => {
                buckets.place(scope.around(self.destination), limit.slot)
            }
            Sharing::Whole => Place::default(),
        }
    }
}

/// Packets whose buckets are fetched together.
const MEETINGS: usize = 2 * BURST_LEN_MAX;

impl Tables {
    /// Holds packets to limits; the buckets of many are fetched before the first is looked at.
    #[inline]
    pub(super) fn limit(
        &mut self,
        judge: Judge<'_>,
        burst: &mut Burst<'_>,
        judged: &mut Judged,
        (limits, now): (&Limits, Instant),
    ) {
        let mut meetings = ArrayVec::<Meeting<'_>, MEETINGS>::new();
        for place in 0..burst.frames().len() {
            let Some(frame) = burst.frames().get(place).filter(|_| judged.has(place)) else {
                continue;
            };
            let (whose, tenant, class) = (Whose::of(frame), frame.note.tenant, frame.note.class);
            for limit in limits.of(tenant, class) {
                let bucket = whose.bucket(limit, &self.buckets);
                self.buckets.ahead(bucket);
                meetings.push(Meeting { frame: place, limit, place: bucket });
                if meetings.is_full() {
                    self.take(judge, burst, judged, (&mut meetings, now));
                }
            }
        }
        self.take(judge, burst, judged, (&mut meetings, now));
    }

    #[inline]
    fn take(
        &mut self,
        judge: Judge<'_>,
        burst: &mut Burst<'_>,
        judged: &mut Judged,
        (meetings, now): (&mut ArrayVec<Meeting<'_>, MEETINGS>, Instant),
    ) {
        for Meeting { frame: number, limit, place } in meetings.drain(..) {
            let Some(frame) = burst.frames().get_mut(number).filter(|_| judged.has(number)) else {
                continue;
            };
            let len = u32::from(frame.note.ip.len);
            let is_over = match limit.sharing {
                Sharing::Source(_) | Sharing::Destination(_) => {
                    let verdict = self.buckets.take(place, &limit.rate, len, now);
                    verdict == Verdict::Over
                }
                Sharing::Whole => match self.totals.get_mut(usize::from(limit.slot)) {
                    Some(Some(bucket)) => !bucket.take(len, now),
                    Some(None) | None => false,
                },
            };
            if is_over && judge.drops(frame, limit.slot) {
                frame.fate = Fate::Drop(match limit.sharing {
                    Sharing::Source(_) => DropReason::DosSourceLimit,
                    Sharing::Destination(_) => DropReason::DosDestinationLimit,
                    Sharing::Whole => DropReason::DosBudget,
                });
                judged.leave_out(number);
            }
        }
    }
}
