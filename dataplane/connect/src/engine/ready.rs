//! The far end is connected to the origin, or is it: the near end is answered, and both legs are one flow.

use wire::tcp::Flags;

use super::Work;
use crate::head::{CONNECTED, Status};
use crate::outcome::{Verdict, Why, World};
use crate::segment::len;
use crate::setup::{Far, Phase};

impl<W: World> Work<'_, W> {
    /// Answers the near end. `early` is what the far end has said already behind its heads.
    pub(super) fn ready(&mut self, early: &[u8], has_fin: bool) -> Verdict {
        let Some(mut far) = self.setup.far else { return Verdict::Taken };
        far.next = far.payload_start();
        if far.is_open {
            let times = &self.setup.times;
            let is_first = !times.is_resent;
            far.answer_time = is_first.then(|| self.now.since(times.phase_begun));
        }
        self.setup.far = Some(far);
        if let Some(hint) = self.setup.broken_promise(&far) {
            self.setup.hint = Some(hint);
            return self.give_up(Why::Promised, Status::MisdirectedRequest, true);
        }
        let near = &mut self.setup.near;
        near.answer_len = if near.request_len == 0 { 0 } else { len(CONNECTED) };
        if near.is_held {
            self.answer_held(far, early, has_fin);
        } else {
            self.answer_open(far, early, has_fin);
        }
        Verdict::Taken
    }

    /// A SYN that was held is answered with the number that makes both legs count alike.
    fn answer_held(&mut self, far: Far, early: &[u8], has_fin: bool) {
        let near = &mut self.setup.near;
        near.iss = far.payload_start().wrapping_sub(near.answer_len).wrapping_sub(1);
        near.acknowledged = near.iss.wrapping_add(1);
        self.setup.near.answer = self.setup.answer_near(&far);
        if !self.splice(far) {
            return;
        }
        self.hold(early, has_fin);
        if far.is_open {
            self.setup.acknowledge_far(self.world);
        }
        self.send_answer();
    }

    /// Who was answered before gets the head; whatever the far end has said follows it.
    fn answer_open(&mut self, mut far: Far, early: &[u8], has_fin: bool) {
        far.is_open = true;
        self.setup.far = Some(far);
        if !self.splice(far) {
            return;
        }
        self.setup.acknowledge_far(self.world);
        self.send_answer();
        if !early.is_empty() || has_fin {
            let at = self.setup.near.answer_end();
            let fin = if has_fin { Flags::FIN } else { Flags(0) };
            self.setup.send_near(self.world, Flags::ACK | Flags::PSH | fin, at, early);
        }
    }

    /// Whether both legs are one flow now; if there is no room for it, neither end is left waiting.
    fn splice(&mut self, far: Far) -> bool {
        if !self.world.splice(&self.setup.splice(&far)) {
            self.give_up(Why::FlowsFull, Status::ServiceUnavailable, true);
            return false;
        }
        self.setup.phase = Phase::Answering;
        self.setup.times.enter(self.now, self.setup.near.rto);
        true
    }

    /// The answer to the near end, for the first time or again.
    pub(super) fn send_answer(&mut self) {
        let near = &self.setup.near;
        let head = CONNECTED.get(..near.answer_len as usize).unwrap_or_default();
        if near.is_held && !near.is_open {
            self.setup.send_syn_ack(self.world, head);
        } else {
            let first = near.iss.wrapping_add(1);
            self.setup.send_near(self.world, Flags::ACK | Flags::PSH, first, head);
        }
    }
}
