//! Segments of the near end before the flow is spliced.

use wire::tcp::Flags;

use super::Work;
use crate::outcome::{Dropped, Verdict, Why, World};
use crate::segment::{Arrived, within};
use crate::setup::Phase;

impl<W: World> Work<'_, W> {
    pub(super) fn near_segment(&mut self, arrived: &Arrived<'_>) -> Verdict {
        if self.setup.is_spliced() {
            return self.young_near(arrived);
        }
        if self.setup.phase == Phase::Failing {
            return self.failing(arrived);
        }
        if arrived.has(Flags::RST) {
            return self.reset_by_near(arrived);
        }
        if arrived.has(Flags::SYN) {
            return self.repeated(arrived);
        }
        if !arrived.has(Flags::ACK) {
            return Verdict::Dropped(Dropped::Unasked);
        }
        if self.setup.phase == Phase::Reading {
            self.read(arrived)
        } else if self.setup.near.is_held {
            let has_fin = arrived.has(Flags::FIN);
            Verdict::Dropped(if has_fin { Dropped::CloseElsewhere } else { Dropped::NotYet })
        } else {
            self.waits(arrived)
        }
    }

    /// A SYN on a set-up: the same one again, or a new connection from the same port.
    fn repeated(&mut self, arrived: &Arrived<'_>) -> Verdict {
        if !arrived.is_open() {
            return Verdict::Dropped(Dropped::Unasked);
        }
        if arrived.header.sequence_number != self.setup.near.irs {
            self.near_gone(Why::NearRestarted);
            return Verdict::Unknown;
        }
        self.setup.near.note_again(arrived);
        if self.setup.phase == Phase::Reading {
            self.setup.send_syn_ack(self.world, &[]);
        }
        Verdict::Dropped(Dropped::Repeated)
    }

    /// Whether a reset is where exactly the next octet would be (RFC 5961 3.2), or the request that was in the SYN: who has no
    /// answer yet does not know how much of it has come.
    pub(super) fn is_reset(&self, arrived: &Arrived<'_>) -> bool {
        let near = &self.setup.near;
        let is_unknown = near.is_held && !near.is_open;
        let first = if is_unknown { near.irs.wrapping_add(1) } else { near.next };
        within(arrived.header.sequence_number, first, near.next)
    }

    fn reset_by_near(&mut self, arrived: &Arrived<'_>) -> Verdict {
        if !self.is_reset(arrived) {
            return Verdict::Dropped(Dropped::ResetElsewhere);
        }
        self.near_gone(Why::NearReset);
        Verdict::Taken
    }

    /// A segment of who has sent a request and waits for the answer.
    fn waits(&mut self, arrived: &Arrived<'_>) -> Verdict {
        let near = &mut self.setup.near;
        near.note_window(arrived);
        let (first, next) = (near.iss.wrapping_add(1), near.next);
        let end = arrived.payload_end();
        if arrived.has(Flags::FIN) && end == next {
            self.abort(Why::NearClosed);
            return Verdict::Taken;
        }
        if arrived.payload.is_empty() {
            return Verdict::Taken;
        }
        let is_stale = within(end, next.wrapping_sub(u32::from(u16::MAX)), next);
        self.setup.send_near(self.world, Flags::ACK, first, &[]);
        Verdict::Dropped(if is_stale { Dropped::Stale } else { Dropped::TooEarly })
    }
}
