//! A spliced flow while it is young: the near end has not acknowledged the answer yet, or what was sent before the splice
//! may still come again.

use wire::tcp::Flags;

use super::Work;
use crate::options::first_block;
use crate::outcome::{Dropped, Verdict, Why, World};
use crate::segment::{Arrived, before, within};
use crate::setup::{Far, Phase};

impl<W: World> Work<'_, W> {
    /// From the near end to the far one.
    pub(super) fn young_near(&mut self, arrived: &Arrived<'_>) -> Verdict {
        if arrived.has(Flags::SYN) {
            return self.opened_again(arrived);
        }
        let is_answering = self.setup.phase == Phase::Answering;
        if arrived.has(Flags::RST) {
            if is_answering && !self.is_reset(arrived) {
                return Verdict::Dropped(Dropped::ResetElsewhere);
            }
            if is_answering && arrived.header.sequence_number != self.setup.near.next {
                // As it stands the far end would not believe it.
                self.near_gone(Why::NearReset);
                return Verdict::Taken;
            }
            self.is_over = true;
            return Verdict::Pass;
        }
        if !arrived.has(Flags::ACK) {
            return Verdict::Dropped(Dropped::Unasked);
        }
        let near = &self.setup.near;
        let (ack, first) = (arrived.header.acknowledgment_number, near.iss.wrapping_add(1));
        let end = near.answer_end();
        if is_answering && near.is_held && !within(ack, first, end) {
            self.world.send(&crate::setup::reset(near.leg, Flags::RST, ack, 0));
            return Verdict::Dropped(Dropped::Unacceptable);
        }
        if before(ack, end) {
            return self.below_head(arrived);
        }
        self.setup.near.is_open = true;
        self.setup.near.note(arrived);
        if is_answering {
            self.connected_near();
        }
        let is_old = !arrived.payload.is_empty()
            && !before(self.setup.near.payload_start(), arrived.payload_end());
        if is_old { Verdict::Dropped(Dropped::Stale) } else { Verdict::Pass }
    }

    /// It has not got the answer, or has not understood payload in a SYN-ACK and gets it again by itself.
    fn below_head(&mut self, arrived: &Arrived<'_>) -> Verdict {
        if self.setup.phase == Phase::Answering {
            let was_open = core::mem::replace(&mut self.setup.near.is_open, true);
            self.setup.near.note_window(arrived);
            if !was_open && self.setup.near.is_held {
                self.send_answer();
            }
        }
        Verdict::Dropped(Dropped::BelowHead)
    }

    /// A SYN on a flow: the answer to it was lost, or there is another connection now. A flow that has come further is
    /// left to its ends: the far one challenges, and the next SYN finds nothing (RFC 9293 3.10.7.4).
    fn opened_again(&mut self, arrived: &Arrived<'_>) -> Verdict {
        let near = &self.setup.near;
        let is_same = arrived.header.sequence_number == near.irs;
        if self.setup.phase == Phase::Lingering {
            return if is_same { Verdict::Dropped(Dropped::Repeated) } else { Verdict::Pass };
        }
        if is_same {
            if near.is_held {
                self.setup.near.note_again(arrived);
                self.send_answer();
            }
            return Verdict::Dropped(Dropped::Repeated);
        }
        if near.is_held {
            self.near_gone(Why::NearRestarted);
            return Verdict::Unknown;
        }
        Verdict::Pass
    }

    /// The near end has the answer: it gets what was held for it, and the set-up only lingers.
    fn connected_near(&mut self) {
        self.flush();
        self.setup.phase = Phase::Lingering;
        self.setup.times.phase_begun = self.now;
        self.shared.uncount(self.setup);
        self.shared.lingering.push(self.slot);
    }

    /// From the far end to the near one.
    pub(super) fn young_far(&mut self, arrived: &Arrived<'_>, far: Far) -> Verdict {
        let is_waiting = self.setup.phase == Phase::Answering && self.setup.near.is_held;
        if arrived.has(Flags::SYN) {
            // The far end's first octets are known: its SYN is too.
            if far.is_open || !is_waiting {
                self.setup.acknowledge_far(self.world);
            }
            return Verdict::Dropped(Dropped::Stale);
        }
        if arrived.has(Flags::RST) {
            return self.reset_by_far(arrived, &far, is_waiting);
        }
        if !arrived.has(Flags::ACK) {
            return Verdict::Dropped(Dropped::Unasked);
        }
        let mut noted = far;
        noted.note(arrived);
        self.setup.far = Some(noted);
        let is_data = !arrived.payload.is_empty();
        if is_data && !before(far.payload_start(), arrived.payload_end()) {
            self.setup.acknowledge_far(self.world);
            return Verdict::Dropped(Dropped::Stale);
        }
        if is_waiting {
            return self.hold_segment(arrived, &far);
        }
        let old_block = |edge| before(edge, far.request_end());
        if !is_data && first_block(arrived.options).is_some_and(old_block) {
            return Verdict::Dropped(Dropped::OldBlock);
        }
        Verdict::Pass
    }

    /// A reset goes on. Who has not got our answer yet would not believe it, and still gets the answer.
    fn reset_by_far(&mut self, arrived: &Arrived<'_>, far: &Far, is_waiting: bool) -> Verdict {
        if is_waiting && arrived.header.sequence_number != self.held_end(far) {
            return Verdict::Dropped(Dropped::ResetElsewhere);
        }
        self.is_over = is_waiting || self.setup.phase == Phase::Lingering;
        Verdict::Pass
    }

    /// The sequence number behind what is held.
    fn held_end(&self, far: &Far) -> u32 {
        let held = self.setup.buffer.as_ref().map_or(0, crate::buffers::Buffer::len);
        far.payload_start().wrapping_add(u32::try_from(held).unwrap_or_default())
    }

    fn hold_segment(&mut self, arrived: &Arrived<'_>, far: &Far) -> Verdict {
        let has_fin = arrived.has(Flags::FIN);
        if arrived.payload.is_empty() && !has_fin {
            return Verdict::Taken;
        }
        let (end, start) = (self.held_end(far), arrived.payload_start());
        if before(end, start) || self.setup.holds_fin {
            return Verdict::Dropped(Dropped::OutOfOrder);
        }
        let known = end.wrapping_sub(start) as usize;
        match arrived.payload.get(known..) {
            Some(new) => self.hold(new, has_fin),
            None => Verdict::Dropped(Dropped::Stale),
        }
    }

    /// Keeps payload until the near end is connected. It is not acknowledged, so what finds no room comes again.
    pub(super) fn hold(&mut self, new: &[u8], has_fin: bool) -> Verdict {
        if new.is_empty() {
            self.setup.holds_fin |= has_fin;
            return Verdict::Taken;
        }
        if self.setup.buffer.is_none() {
            self.setup.buffer = self.shared.buffers.take();
        }
        let Some(buffer) = self.setup.buffer.as_mut() else {
            return Verdict::Dropped(Dropped::BuffersFull);
        };
        let kept = self.shared.buffers.append(buffer, new);
        if kept < new.len() {
            return Verdict::Dropped(Dropped::HoldFull);
        }
        self.setup.holds_fin |= has_fin;
        Verdict::Taken
    }

    /// Sends what was held, once: should it get lost, the far end sends it again.
    fn flush(&mut self) {
        let buffer = self.setup.buffer.take();
        let text = buffer.as_ref().map_or(&[][..], |buffer| self.shared.buffers.text(buffer));
        let mss = usize::from(self.setup.near.mss().min(self.setup.near.mss_max));
        let mut at = self.setup.near.answer_end();
        let mut pieces = text.chunks(mss).peekable();
        while let Some(piece) = pieces.next() {
            let is_last = pieces.peek().is_none();
            let fin = if is_last && self.setup.holds_fin { Flags::FIN } else { Flags(0) };
            self.setup.send_near(self.world, Flags::ACK | Flags::PSH | fin, at, piece);
            at = at.wrapping_add(crate::segment::len(piece));
        }
        if text.is_empty() && self.setup.holds_fin {
            self.setup.send_near(self.world, Flags::ACK | Flags::FIN, at, &[]);
        }
        self.shared.buffers.give(buffer);
    }
}
