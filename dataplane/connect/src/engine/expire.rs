//! What happens when nothing comes: segments are sent again, the next route is tried, a set-up is given up.

use super::Work;
use crate::head::Status;
use crate::limits::Limits;
use crate::outcome::{Why, World};
use crate::setup::{Phase, Setup};
use crate::time::Instant;

/// When the set-up is to be looked at.
pub(super) fn deadline(setup: &Setup, limits: &Limits) -> Instant {
    let end = phase_end(setup, limits);
    if setup.phase == Phase::Lingering { end } else { end.min(setup.times.resend_at) }
}

/// When its phase has had its time.
fn phase_end(setup: &Setup, limits: &Limits) -> Instant {
    let times = &setup.times;
    match setup.phase {
        Phase::Reading if setup.near.is_open => times.begun + limits.request_time,
        Phase::Reading => times.begun + limits.syn_time,
        Phase::Dialling | Phase::Asking => route_end(setup, limits),
        Phase::Answering => times.phase_begun + limits.setup_time,
        Phase::Lingering => times.phase_begun + limits.young_time,
        Phase::Failing => times.phase_begun + limits.request_time,
    }
}

/// When this route has had its time: a next hop that has taken the request has longer, as it waits for others.
fn route_end(setup: &Setup, limits: &Limits) -> Instant {
    let times = &setup.times;
    let all = times.begun + setup.time_max(limits);
    let has_next = setup.routes.get(setup.route + 1).is_some_and(Option::is_some);
    let patience = if setup.is_asked() { limits.setup_time / 2 } else { limits.route_time };
    if has_next { all.min(times.route_begun + patience) } else { all }
}

impl<W: World> Work<'_, W> {
    pub(super) fn expire(&mut self) {
        if phase_end(self.setup, &self.shared.limits) <= self.now {
            self.too_late();
        } else if self.setup.times.resend_at <= self.now {
            self.resend();
        }
    }

    fn too_late(&mut self) {
        match self.setup.phase {
            Phase::Lingering => self.is_over = true,
            Phase::Failing | Phase::Answering => self.abort(Why::NearSilent),
            Phase::Dialling | Phase::Asking => {
                self.far_failed(Why::FarSilent, true);
            }
            Phase::Reading if self.setup.near.is_open => {
                self.give_up(Why::RequestLate, Status::RequestTimeout, false);
            }
            Phase::Reading => self.near_gone(Why::NearSilent),
        }
    }

    /// Sends what waits for an answer again.
    fn resend(&mut self) {
        match self.setup.phase {
            Phase::Reading => self.setup.send_syn_ack(self.world, &[]),
            Phase::Dialling => self.dial_plainly(),
            Phase::Asking if self.setup.is_asked() => {
                self.setup.times.resend_at = Instant::NEVER;
                return;
            }
            Phase::Asking => self.ask(true),
            Phase::Answering => self.send_answer(),
            Phase::Failing => self.send_failure(),
            Phase::Lingering => return,
        }
        self.setup.times.resent(self.now, self.shared.limits.rto_max);
    }

    /// The second SYN bears nothing: some middleboxes drop payload in a SYN, and a plain one is understood by all.
    fn dial_plainly(&mut self) {
        let Some(mut far) = self.setup.far else { return };
        far.bears = false;
        far.send_syn(self.world, self.setup.far_window(), &[]);
        self.setup.far = Some(far);
    }
}
