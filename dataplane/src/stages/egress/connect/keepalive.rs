//! Origins of other data centres' connections, asked whether they are still there when nothing was said for a while: no stack
//! here keeps these connections. The sweep over all flows comes by each within seconds; packets pay nothing but the first one
//! after a silence.

use std::net::SocketAddr;
use std::time::Duration;

use arrayvec::ArrayVec;
use connect::keepalive::{Due, Ends, Probing};
use connect::{Leg, NO_CLIENT, Splice};
use flows::{End, FlowId, State};

use super::{Around, Outbox};
use crate::limits::KEPT_PER_TURN;
use crate::stages::route::NextHop;

/// What is kept of flows whose origins are probed.
#[derive(Debug)]
pub(super) struct Keepalives {
    /// By the flow's number, up to the highest that there ever was: there is room for all from the beginning, and memory that no
    /// flow has needed is not touched.
    kept: Vec<Option<Kept>>,
    /// Those that the sweep has come by in this turn.
    swept: ArrayVec<FlowId, KEPT_PER_TURN>,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
struct Kept {
    probing: Probing,
    interval_secs: u16,
    /// Whether the last probe has no answer yet: the flow is watched for one.
    is_asked: bool,
    timestamps: Option<(u32, u32)>,
}

const _: () = assert!(size_of::<Option<Kept>>() == 32);

impl Keepalives {
    /// Of a worker with room for so many flows.
    pub(super) fn new(flows: u32) -> Self {
        Self { kept: Vec::with_capacity(flows as usize), swept: ArrayVec::new() }
    }

    /// A flow begins; the number may have been another's.
    pub(super) fn begin(&mut self, flow: FlowId, splice: &Splice, now: flows::Instant) {
        let number = flow.number() as usize;
        let kept = splice.keepalive.map(|interval| Kept {
            probing: Probing::new(interval, connect::time::Instant(now.0)),
            interval_secs: u16::try_from(interval.as_secs()).unwrap_or(u16::MAX),
            is_asked: false,
            timestamps: splice.timestamps,
        });
        if kept.is_some() && self.kept.len() <= number {
            self.kept.resize(number + 1, None);
        }
        if let Some(place) = self.kept.get_mut(number) {
            *place = kept;
        }
    }

    /// A flow of another data centre's lives.
    #[inline]
    pub(super) fn swept(&mut self, flow: FlowId) {
        // More than there is room for come by in the next round.
        let _: Result<(), _> = self.swept.try_push(flow);
    }

    #[inline]
    pub(super) fn has_swept(&self) -> bool {
        !self.swept.is_empty()
    }

    /// Looks at those that were swept.
    pub(super) fn turn(&mut self, outbox: &mut Outbox, mut around: Around<'_>) {
        for flow in std::mem::take(&mut self.swept) {
            let place = self.kept.get_mut(flow.number() as usize);
            if let Some(kept) = place.and_then(Option::as_mut) {
                kept.visit(flow, outbox, &mut around);
            }
        }
    }
}

impl Kept {
    fn visit(&mut self, id: FlowId, outbox: &mut Outbox, around: &mut Around<'_>) {
        let now = around.time();
        let idle = around.flows.idle(id, now).unwrap_or_default();
        let Some(flow) = around.flows.flow(id).filter(|flow| is_open(flow.state())) else { return };
        if self.is_asked && !flow.is_watched() {
            self.is_asked = false;
            self.probing.heard(connect::time::Instant(now.0));
        } else if idle < Duration::from_secs(self.interval_secs.into()) {
            let quiet_since = now.0.saturating_sub(nanoseconds(idle));
            self.probing.heard(connect::time::Instant(quiet_since));
        }
        let before = self.probing;
        match self.probing.expire(connect::time::Instant(now.0)) {
            Due::Wait(_) => {}
            Due::Probe(_) => {
                let mut is_sent = false;
                self.ends(&flow, End::Far).probe(|segment| {
                    is_sent = outbox.push(segment, NextHop::None, around.site);
                });
                if !is_sent {
                    self.probing = before;
                    return around.counters.segments_unsent.add(1);
                }
                around.flows.watch(id);
                self.is_asked = true;
                around.counters.origins_probed.add(1);
            }
            Due::Gone => {
                for end in [End::Near, End::Far] {
                    self.ends(&flow, end).reset(|segment| {
                        outbox.push(segment, NextHop::None, around.site);
                    });
                }
                around.flows.remove(id, now);
                around.counters.origins_gone.add(1);
            }
        }
    }

    fn ends(&self, flow: &flows::Flow<'_>, end: End) -> Ends {
        let [theirs, ours] = flow.addresses(end).map(SocketAddr::from);
        let (expected, acknowledged) = flow.numbers_to(end);
        let timestamps = match end {
            End::Far => self.timestamps,
            // A reset needs none (RFC 7323 3.2).
            End::Near => None,
        };
        let leg = Leg { client: NO_CLIENT, ours, theirs };
        // No window is read in a segment that lies before the next (RFC 9293 3.10.7.4).
        Ends { leg, expected, acknowledged, window: 0, timestamps }
    }
}

/// Whether a connection is one at both its ends.
const fn is_open(state: State) -> bool {
    matches!(state, State::Established | State::NearFinished | State::FarFinished)
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
