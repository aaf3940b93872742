//! Segments of the far end before the flow is spliced.

use wire::tcp::Flags;

use super::Work;
use super::dial::text;
use crate::head::{Answer, TcpOptions, parse_answer};
use crate::limits::INTERIMS_MAX;
use crate::options::Offer;
use crate::outcome::{Dropped, Verdict, Why, World};
use crate::segment::{Arrived, before, len, within};
use crate::setup::{Far, Phase};

/// What heads say as far as they have come.
enum Heads<'a> {
    /// The last one is not whole.
    More,
    /// The last one, and the payload behind it.
    Final {
        status: u16,
        hint: Option<TcpOptions>,
        rest: &'a [u8],
    },
    Wrong(Why),
    /// No buffer for a part of one.
    NoBuffer,
}

impl<W: World> Work<'_, W> {
    pub(super) fn far_segment(&mut self, arrived: &Arrived<'_>) -> Verdict {
        let Some(far) = self.setup.far else { return Verdict::Unknown };
        match self.setup.phase {
            Phase::Dialling => self.dialled(arrived, far),
            Phase::Asking => self.asked(arrived, far),
            Phase::Answering | Phase::Lingering => self.young_far(arrived, far),
            Phase::Reading | Phase::Failing => Verdict::Unknown,
        }
    }

    /// An answer to our SYN (RFC 9293 3.10.7.3).
    fn dialled(&mut self, arrived: &Arrived<'_>, far: Far) -> Verdict {
        let ack = arrived.header.acknowledgment_number;
        let last = if far.has_borne { far.request_end() } else { far.iss.wrapping_add(1) };
        let fits = arrived.has(Flags::ACK) && within(ack, far.iss.wrapping_add(1), last);
        if arrived.has(Flags::RST) {
            if !fits {
                return Verdict::Dropped(Dropped::ResetElsewhere);
            }
            return self.far_failed(Why::FarRefused, false);
        }
        if !arrived.has(Flags::ACK) {
            let is_syn = arrived.has(Flags::SYN);
            let dropped = if is_syn { Dropped::SimultaneousOpen } else { Dropped::Unasked };
            return Verdict::Dropped(dropped);
        }
        if !fits {
            return self.challenged(arrived, far);
        }
        if !arrived.has(Flags::SYN) {
            return Verdict::Dropped(Dropped::Unasked);
        }
        let Ok(answer) = Offer::of(arrived.options) else {
            return self.far_failed(Why::FarOptions, true);
        };
        self.connected(arrived, far, answer)
    }

    /// The far end knows another connection from our port: its challenge is answered as RFC 9293 3.10.7.3 says, and
    /// another port is tried at once.
    fn challenged(&mut self, arrived: &Arrived<'_>, far: Far) -> Verdict {
        let ack = arrived.header.acknowledgment_number;
        self.world.send(&crate::setup::reset(far.leg, Flags::RST, ack, 0));
        if arrived.has(Flags::SYN) {
            return Verdict::Dropped(Dropped::Unacceptable);
        }
        if self.dial_again() {
            return Verdict::Taken;
        }
        self.far_failed(Why::FarChallenges, false)
    }

    /// The SYN-ACK that fits.
    fn connected(&mut self, arrived: &Arrived<'_>, mut far: Far, answer: Offer) -> Verdict {
        far.irs = arrived.header.sequence_number;
        far.next = far.irs.wrapping_add(1);
        far.unacknowledged = arrived.header.acknowledgment_number;
        if before(far.sent, far.unacknowledged) {
            far.sent = far.unacknowledged;
        }
        far.answer = answer;
        far.stamp = answer.stamps.map_or(0, |stamps| stamps.value);
        far.has_ecn = far.offers_ecn && arrived.has(Flags::ECE) && !arrived.has(Flags::CWR);
        far.window = arrived.header.window;
        let is_first = !self.setup.times.is_resent;
        far.answer_time = is_first.then(|| self.now.since(far.dialled_at));
        self.setup.far = Some(far);
        self.setup.phase = Phase::Asking;
        self.setup.times.enter(self.now, far.rto);
        if !far.is_asked {
            return self.ready(&[], false);
        }
        let verdict = self.read_answer(arrived, arrived.payload);
        if self.setup.phase == Phase::Asking && !self.is_over {
            self.ask(false);
        }
        verdict
    }

    /// Sends what the far end does not have of our request, or an acknowledgment.
    pub(super) fn ask(&mut self, is_probe: bool) {
        let Some(mut far) = self.setup.far else { return };
        let says = (self.setup.far_window(), self.setup.near.stamp);
        let request = text(self.request, self.setup.request_len);
        far.send_request(self.world, request, says, is_probe);
        self.setup.far = Some(far);
    }

    /// A segment of a next hop that is asked.
    fn asked(&mut self, arrived: &Arrived<'_>, mut far: Far) -> Verdict {
        if arrived.has(Flags::RST) {
            if arrived.header.sequence_number == far.next {
                return self.far_failed(Why::FarReset, false);
            }
            return Verdict::Dropped(Dropped::ResetElsewhere);
        }
        if !arrived.has(Flags::ACK) {
            return Verdict::Dropped(Dropped::Unasked);
        }
        if arrived.has(Flags::SYN) {
            // Our acknowledgment of it was lost, or is late.
            self.ask(false);
            return Verdict::Dropped(Dropped::Stale);
        }
        let ack = arrived.header.acknowledgment_number;
        if before(far.sent, ack) {
            self.setup.acknowledge_far(self.world);
            return Verdict::Dropped(Dropped::Unacceptable);
        }
        let is_progress = before(far.unacknowledged, ack);
        if is_progress {
            far.unacknowledged = ack;
        }
        let was_closed = far.window_octets() == 0;
        far.note(arrived);
        self.setup.far = Some(far);
        let goes_on = is_progress || was_closed && far.window_octets() > 0;
        if goes_on && before(ack, far.request_end()) {
            self.ask(false);
        }
        self.take_octets(arrived, far)
    }

    /// What of a segment's payload is new, read in order.
    fn take_octets(&mut self, arrived: &Arrived<'_>, far: Far) -> Verdict {
        let start = arrived.payload_start();
        let known = far.next.wrapping_sub(start);
        if before(far.next, start) {
            self.setup.acknowledge_far(self.world);
            return Verdict::Dropped(Dropped::OutOfOrder);
        }
        let has_fin = arrived.has(Flags::FIN);
        if arrived.payload.is_empty() && !has_fin {
            return Verdict::Taken;
        }
        let Some(new) = arrived.payload.get(known as usize..) else {
            self.setup.acknowledge_far(self.world);
            return Verdict::Dropped(Dropped::Stale);
        };
        if new.is_empty() && !has_fin {
            self.setup.acknowledge_far(self.world);
            return Verdict::Dropped(Dropped::Stale);
        }
        let verdict = self.read_answer(arrived, new);
        if self.setup.phase == Phase::Asking && !self.is_over && verdict == Verdict::Taken {
            if has_fin {
                return self.far_failed(Why::FarReset, true);
            }
            self.setup.acknowledge_far(self.world);
        }
        verdict
    }

    /// Reads heads; the last one decides.
    fn read_answer(&mut self, arrived: &Arrived<'_>, octets: &[u8]) -> Verdict {
        match self.read_heads(octets) {
            Heads::More => Verdict::Taken,
            Heads::Final { status: 200..300, rest, .. } => {
                self.ready(rest, arrived.has(Flags::FIN))
            }
            Heads::Final { status, hint, .. } => self.answered(status, hint),
            Heads::Wrong(why) => self.far_failed(why, true),
            Heads::NoBuffer => Verdict::Dropped(Dropped::BuffersFull),
        }
    }

    /// An answer that opens no tunnel. With a hint it is asked again, once, for what the origin understands.
    fn answered(&mut self, status: u16, hint: Option<TcpOptions>) -> Verdict {
        let is_ingress = self.setup.is_ingress();
        if let (421, Some(_)) = (status, hint) {
            let is_first = !self.setup.is_hint_new;
            self.setup.hint = hint;
            self.setup.is_hint_new = true;
            if is_ingress && is_first {
                self.abandon_far(true);
                return self.dial_or_give_up();
            }
        }
        self.far_failed(Why::Answered(status), true)
    }

    fn read_heads<'a>(&mut self, octets: &'a [u8]) -> Heads<'a> {
        let Some(far) = self.setup.far.as_mut() else { return Heads::More };
        let Some(buffer) = self.setup.buffer.as_mut() else {
            let (heads, used) = walk(far, octets);
            let part = octets.get(used..).unwrap_or_default();
            if !matches!(heads, Heads::More) || part.is_empty() {
                return heads;
            }
            let Some(mut buffer) = self.shared.buffers.take() else { return Heads::NoBuffer };
            let kept = self.shared.buffers.append(&mut buffer, part);
            self.setup.buffer = Some(buffer);
            far.next = far.next.wrapping_add(u32::try_from(kept).unwrap_or_default());
            let is_whole = kept == part.len();
            return if is_whole { heads } else { Heads::Wrong(Why::AnswerTooLong) };
        };
        let had = buffer.len();
        let kept = self.shared.buffers.append(buffer, octets);
        far.next = far.next.wrapping_add(u32::try_from(kept).unwrap_or_default());
        if !octets.contains(&b'\n') {
            let is_full = buffer.room() == 0;
            return if is_full { Heads::Wrong(Why::AnswerTooLong) } else { Heads::More };
        }
        // What is in the buffer was counted when it came.
        far.next = far.next.wrapping_sub(u32::try_from(buffer.len()).unwrap_or_default());
        let text = self.shared.buffers.text(buffer);
        let all = len(text);
        let (heads, used) = walk(far, text);
        let is_final = match heads {
            Heads::Final { status, hint, .. } => Some((status, hint)),
            Heads::More => None,
            Heads::Wrong(why) => return Heads::Wrong(why),
            Heads::NoBuffer => return Heads::NoBuffer,
        };
        if let Some((status, hint)) = is_final {
            self.shared.buffers.give(self.setup.buffer.take());
            let rest = octets.get(used.saturating_sub(had)..).unwrap_or_default();
            return Heads::Final { status, hint, rest };
        }
        self.shared.buffers.consume(buffer, used);
        far.next = far.next.wrapping_add(all.wrapping_sub(u32::try_from(used).unwrap_or_default()));
        if buffer.room() == 0 { Heads::Wrong(Why::AnswerTooLong) } else { Heads::More }
    }
}

/// Reads heads from the start of what has come, counts the whole ones, and says how many octets those are.
fn walk<'a>(far: &mut Far, octets: &'a [u8]) -> (Heads<'a>, usize) {
    let mut used = 0;
    loop {
        let rest = octets.get(used..).unwrap_or_default();
        let (head_len, last) = match parse_answer(rest) {
            Ok(None) => return (Heads::More, used),
            Ok(Some(Answer::Interim { len })) => (len, None),
            Ok(Some(Answer::Final { status, len, hint })) => (len, Some((status, hint))),
            Err(_) => return (Heads::Wrong(Why::AnswerWrong), used),
        };
        used += head_len;
        let counted = u32::try_from(head_len).unwrap_or_default();
        far.heads_len = far.heads_len.wrapping_add(counted);
        far.next = far.next.wrapping_add(counted);
        if let Some((status, hint)) = last {
            let rest = octets.get(used..).unwrap_or_default();
            return (Heads::Final { status, hint, rest }, used);
        }
        far.interims += 1;
        if far.interims > INTERIMS_MAX {
            return (Heads::Wrong(Why::AnswerTooLong), used);
        }
    }
}
