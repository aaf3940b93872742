//! Segments of the far end before the flow is spliced.

use core::time::Duration;

use wire::tcp::Flags;

use super::Work;
use super::dial::text;
use super::heads::Heads;
use crate::head::TcpOptions;
use crate::options::Offer;
use crate::outcome::{Dropped, Verdict, Why, World};
use crate::segment::{Arrived, before, within};
use crate::setup::{Far, Phase};

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
        far.answer_time = self.answer_time(&far);
        self.setup.far = Some(far);
        self.setup.phase = Phase::Asking;
        self.setup.times.enter(self.now, far.rto);
        if !far.is_asked {
            self.remember(&far);
            return self.ready(&[], false);
        }
        let verdict = self.read_answer(arrived, arrived.payload);
        if self.setup.phase == Phase::Asking && !self.is_over {
            self.ask(false);
        }
        verdict
    }

    /// From our SYN to its answer, when it is sure which SYN that is to (RFC 6298 3): there was one only, or the answer
    /// acknowledges the request, which only the first one bore.
    fn answer_time(&self, far: &Far) -> Option<Duration> {
        let is_of_first = far.has_borne && far.unacknowledged == far.request_end();
        let is_sure = is_of_first || !self.setup.times.is_resent;
        is_sure.then(|| self.now.since(far.dialled_at))
    }

    /// Learns how far an origin is, smoothed (RFC 6298 2.3). One that has become so slow that its answer is to any of several SYNs
    /// is as good as unknown.
    fn remember(&mut self, far: &Far) {
        let (origin, round_trips) = (far.leg.theirs, &mut self.shared.round_trips);
        match far.answer_time {
            Some(time) => {
                let known = round_trips.get(&origin, self.now);
                let time = known.map_or(time, |known| known * 7 / 8 + time / 8);
                round_trips.learn(origin, time, self.now);
            }
            None => round_trips.forget(&origin),
        }
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
        let has_request =
            self.setup.far.is_some_and(|far| !before(far.unacknowledged, far.request_end()));
        match self.read_heads(octets) {
            Heads::More => Verdict::Taken,
            // Who says yes to what it has not got would miss the rest of it: it is not sent after the splice.
            Heads::Final { status: 200..300, .. } if !has_request => {
                self.far_failed(Why::AnswerWrong, true)
            }
            Heads::Final { status: 200..300, rest, .. } => {
                self.ready(rest, arrived.has(Flags::FIN))
            }
            Heads::Final { status, hint, .. } => self.answered(status, hint),
            Heads::Wrong(why) => self.far_failed(why, true),
            Heads::NoBuffer => Verdict::Dropped(Dropped::BuffersFull),
        }
    }

    /// An answer that opens no tunnel. With a hint it is asked again, once, for what the origin understands, and so are those that
    /// come after it from the first.
    fn answered(&mut self, status: u16, hint: Option<TcpOptions>) -> Verdict {
        let (421, Some(understood)) = (status, hint) else {
            return self.far_failed(Why::Answered(status), true);
        };
        self.setup.hint = hint;
        if self.setup.is_ingress() && !self.setup.is_asked_again {
            self.setup.is_asked_again = true;
            self.shared.hints.learn(self.setup.near.leg.ours, understood, self.now);
            self.abandon_far(true);
            return self.dial_or_give_up();
        }
        self.far_failed(Why::Answered(status), true)
    }
}
