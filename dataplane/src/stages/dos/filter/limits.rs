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

/// A packet that meets a limit.
struct Meeting<'a> {
    frame: usize,
    limit: &'a Limit,
    place: Place,
}

/// The bucket that a packet takes from.
#[inline]
fn bucket(frame: &Frame<'_>, limit: &Limit, buckets: &Buckets) -> Place {
    let prefix = match limit.sharing {
        Sharing::Source(scope) => scope.around(frame.note.endpoint.remote),
        Sharing::Destination(scope) => scope.around(frame.note.ip.destination),
        Sharing::Whole => return Place::default(),
    };
    buckets.place(prefix, limit.rule)
}

impl Tables {
    /// Holds packets to limits, each to its first one before any to its second; the buckets of all are fetched before
    /// the first is looked at.
    pub(super) fn limit(
        &mut self,
        judge: Judge<'_>,
        burst: &mut Burst<'_>,
        judged: &mut Judged,
        (limits, now): (&Limits, Instant),
    ) {
        for rank in 0..limits.depth() {
            let mut meetings = ArrayVec::<Meeting<'_>, BURST_LEN_MAX>::new();
            for (place, frame) in burst.frames().iter().enumerate() {
                if judged.has(place)
                    && let Some(limit) = limits.nth(rank, frame.note.tenant, frame.note.class)
                {
                    let bucket = bucket(frame, limit, &self.buckets);
                    self.buckets.ahead(bucket);
                    meetings.push(Meeting { frame: place, limit, place: bucket });
                }
            }
            // Who has no limit of this rank has none of the next.
            if meetings.is_empty() {
                return;
            }
            self.take(judge, burst, judged, (&meetings, now));
        }
    }

    #[inline]
    fn take(
        &mut self,
        judge: Judge<'_>,
        burst: &mut Burst<'_>,
        judged: &mut Judged,
        (meetings, now): (&[Meeting<'_>], Instant),
    ) {
        for Meeting { frame: number, limit, place } in meetings {
            let Some(frame) = burst.frames().get_mut(*number) else { continue };
            let len = u32::from(frame.note.ip.len);
            let is_over = match limit.sharing {
                Sharing::Source(_) | Sharing::Destination(_) => {
                    self.buckets.take(*place, &limit.rate, len, now) == Verdict::Over
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
                judged.leave_out(*number);
            }
        }
    }
}
