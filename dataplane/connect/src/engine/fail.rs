//! How a set-up ends without a flow: the next route, an honest answer, or a reset.

use wire::tcp::Flags;

use super::Work;
use crate::head::{Status, write_answer};
use crate::limits::{ANSWER_LEN_MAX, ROUTES_MAX};
use crate::options::Offer;
use crate::outcome::{Dropped, Ended, Verdict, Why, World};
use crate::segment::{Arrived, before};
use crate::setup::Phase;

impl<W: World> Work<'_, W> {
    /// The far end is of no use: the next route is tried if there is one and time for it.
    pub(super) fn far_failed(&mut self, why: Why, is_told: bool) -> Verdict {
        let limits = &self.shared.limits;
        let has_time = self.now.since(self.setup.times.begun) < limits.setup_time;
        if has_time && self.has_next_route() {
            self.abandon_far(is_told);
            self.setup.route = (self.setup.route + 1).min(ROUTES_MAX);
            return self.dial_or_give_up();
        }
        let is_origin = self.setup.far.is_some_and(|far| !far.is_asked);
        self.give_up(why, status_of(why, is_origin), is_told)
    }

    pub(super) fn dial_or_give_up(&mut self) -> Verdict {
        if self.dial_next().is_err() {
            return self.give_up(Why::PortsExhausted, Status::ServiceUnavailable, false);
        }
        Verdict::Taken
    }

    /// No flow will come of it: the near end is told why, a client by a reset.
    pub(super) fn give_up(&mut self, why: Why, status: Status, is_far_told: bool) -> Verdict {
        self.tell_ended(why);
        self.abandon_far(is_far_told);
        self.shared.buffers.give(self.setup.buffer.take());
        if self.setup.is_ingress() {
            self.setup.near.send_reset(self.world, false);
            self.is_over = true;
            return Verdict::Taken;
        }
        self.setup.status = Some(status);
        self.setup.phase = Phase::Failing;
        if self.setup.near.is_held {
            let iss = self.world.random();
            self.setup.near.iss = iss;
            self.setup.near.acknowledged = iss.wrapping_add(1);
            self.setup.near.answer = Offer { mss: self.setup.near.offer.mss, ..Offer::default() };
        }
        self.setup.times.enter(self.now, self.shared.limits.rto_unknown);
        self.send_failure();
        Verdict::Taken
    }

    /// The answer of a set-up that has failed, in the SYN-ACK when the request came in the SYN.
    pub(super) fn send_failure(&mut self) {
        let mut text = [0; ANSWER_LEN_MAX];
        let Some(status) = self.setup.status else { return };
        let hint = self.setup.hint.filter(|_| status == Status::MisdirectedRequest);
        let len = write_answer(&mut text, status, hint).unwrap_or_default();
        let text = text.get(..len).unwrap_or_default();
        let near = &mut self.setup.near;
        near.answer_len = u32::try_from(len).unwrap_or_default();
        let is_opening = near.is_held && !near.is_open;
        let first = near.iss.wrapping_add(1);
        if is_opening {
            self.setup.send_syn_ack(self.world, text);
        } else {
            let flags = Flags::ACK | Flags::PSH | Flags::FIN;
            self.setup.send_near(self.world, flags, first, text);
        }
    }

    /// A segment of who is told why not.
    pub(super) fn failing(&mut self, arrived: &Arrived<'_>) -> Verdict {
        let near = &mut self.setup.near;
        if arrived.has(Flags::RST) {
            self.is_over = true;
            return Verdict::Taken;
        }
        if arrived.has(Flags::SYN) {
            if arrived.header.sequence_number == near.irs {
                self.send_failure();
                return Verdict::Dropped(Dropped::Repeated);
            }
            self.is_over = true;
            return Verdict::Unknown;
        }
        let ack = arrived.header.acknowledgment_number;
        let was_open = core::mem::replace(&mut near.is_open, true);
        let end = arrived.payload_end().wrapping_add(u32::from(arrived.has(Flags::FIN)));
        if before(near.next, end) {
            // Whatever it still says is acknowledged and read by nobody.
            near.next = end;
        }
        let fin = near.answer_end();
        if before(fin, ack) {
            let at = fin.wrapping_add(1);
            if arrived.has(Flags::FIN) {
                self.setup.send_near(self.world, Flags::ACK, at, &[]);
            }
            self.is_over = true;
        } else if !was_open {
            self.send_failure();
        }
        Verdict::Taken
    }

    pub(super) fn tell_ended(&mut self, why: Why) {
        let setup = &*self.setup;
        self.world.ended(&Ended {
            tag: setup.tag,
            near: setup.near.leg,
            far: setup.far.map(|far| far.leg),
            why,
            was_spliced: setup.is_spliced(),
        });
    }

    /// Ends it without a word to the near end, which has gone; the far end is reset.
    pub(super) fn near_gone(&mut self, why: Why) {
        self.tell_ended(why);
        self.leave_far();
        self.is_over = true;
    }

    /// Ends it with resets to both ends.
    pub(super) fn abort(&mut self, why: Why) {
        if self.setup.phase != Phase::Failing {
            self.tell_ended(why);
        }
        let is_answered = !matches!(self.setup.phase, Phase::Dialling | Phase::Asking)
            || !self.setup.near.is_held;
        self.setup.near.send_reset(self.world, is_answered);
        self.leave_far();
        self.is_over = true;
    }

    /// Resets the far end. The port of a flow that was told is the caller's.
    fn leave_far(&mut self) {
        let Some(far) = self.setup.far else { return };
        if !self.setup.is_spliced() {
            return self.abandon_far(true);
        }
        let sequence = self
            .setup
            .near
            .next
            .wrapping_add(far.request_end().wrapping_sub(self.setup.near.payload_start()));
        far.send_reset(self.world, true, sequence);
    }
}

/// What is answered to who asked, when the far end is of no use. What a next hop says of the origin is passed on; what is
/// wrong with the next hop itself says nothing of the origin.
const fn status_of(why: Why, is_origin: bool) -> Status {
    match why {
        Why::FarRefused | Why::FarReset | Why::FarOptions if is_origin => Status::BadGateway,
        Why::Answered(502) => Status::BadGateway,
        Why::FarSilent | Why::Answered(504) => Status::GatewayTimeout,
        Why::HopsUsedUp | Why::Answered(403) => Status::Forbidden,
        Why::Answered(421) => Status::MisdirectedRequest,
        Why::NearReset
        | Why::NearRestarted
        | Why::NearClosed
        | Why::NearSilent
        | Why::RequestLate
        | Why::RequestWrong
        | Why::RequestTooLong
        | Why::Forbidden
        | Why::FarRefused
        | Why::FarReset
        | Why::FarChallenges
        | Why::FarOptions
        | Why::Promised
        | Why::AnswerWrong
        | Why::AnswerTooLong
        | Why::Answered(_)
        | Why::PortsExhausted
        | Why::FlowsFull
        | Why::OtherFamily
        | Why::ClientGone => Status::ServiceUnavailable,
    }
}
