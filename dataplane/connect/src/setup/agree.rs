//! What is agreed with either end, given what the other one has said.

use core::time::Duration;

use wire::tcp::Flags;

use super::{Far, Near, Phase, Setup};
use crate::head::TcpOptions;
use crate::limits::HOLD_SEGMENTS;
use crate::options::{Offer, Stamps};
use crate::outcome::World;
use crate::segment::before;
use crate::splice::{Mode, Numbers, Rewrite, Splice};

/// Octets that an exit takes before the origin is connected. Origins take more, so the window need not shrink then.
pub(crate) const REQUEST_WINDOW: u32 = 4096;

impl Setup {
    /// What our SYN to the far end offers: what the near end has, less what the path and the destination lack.
    pub(crate) fn offer_far(&self, mss_max: u16) -> Offer {
        let near = &self.near;
        let mut offer = Offer { mss: Some(near.mss().min(mss_max)), ..near.offer };
        if !near.is_held {
            // Answered before the origin was known, so only what was answered is offered on.
            offer.stamps = None;
            offer.sack = near.answer.sack;
            offer.window_scale = near.answer.window_scale.and(near.offer.window_scale);
        }
        if let Some(stamps) = &mut offer.stamps {
            stamps.echo = 0;
        }
        if let Some(hint) = self.hint {
            offer.mss = offer.mss.map(|mss| mss.min(hint.mss));
            offer.sack &= hint.sack;
            offer.window_scale = hint.window_scale.and(offer.window_scale);
        }
        offer
    }

    /// What the held SYN is answered: what both ends have.
    pub(crate) fn answer_near(&self, far: &Far) -> Offer {
        let near = &self.near;
        let stamps = far.answer.stamps.and(near.offer.stamps);
        Offer {
            mss: Some(far.mss().min(near.mss_max)),
            window_scale: near.offer.window_scale.and(far.answer.window_scale),
            sack: near.offer.sack && far.answer.sack,
            stamps: stamps.map(|_| Stamps { value: far.stamp, echo: near.stamp }),
        }
    }

    /// Octets that the far end may send: until the near end is connected, what is held for it.
    pub(crate) fn far_window(&self) -> u32 {
        let octets = self.near.window_octets();
        let hold = u32::from(self.near.mss()) * u32::from(HOLD_SEGMENTS);
        let is_waiting = self.near.is_held && !self.near.is_open;
        if is_waiting { octets.min(hold) } else { octets }
    }

    /// Octets that the near end may send.
    pub(crate) fn near_window(&self) -> u32 {
        match (&self.far, self.is_spliced()) {
            (Some(far), true) => far.window_octets(),
            _ => REQUEST_WINDOW,
        }
    }

    /// The near end's answer to its SYN, for the first time or again.
    pub(crate) fn send_syn_ack(&self, world: &mut impl World, payload: &[u8]) {
        let ecn = self.far.is_some_and(|far| far.has_ecn) && self.is_spliced();
        self.near.send_syn_ack(world, self.near_window(), ecn, payload);
    }

    /// A segment to the near end.
    pub(crate) fn send_near(&self, world: &mut impl World, flags: Flags, at: u32, payload: &[u8]) {
        let stamp = self.far.map_or(0, |far| far.stamp);
        self.near.send(world, flags, (at, payload), (self.near_window(), stamp));
    }

    /// Tells the far end again what was received.
    pub(crate) fn acknowledge_far(&self, world: &mut impl World) {
        let Some(far) = self.far else { return };
        let near = &self.near;
        if !self.is_spliced() || !near.is_open {
            return far.send_ack(world, far.sent, self.far_window(), near.stamp);
        }
        // The near end's own numbers are further, and a segment that lies behind would not be believed.
        let mut far = far;
        let (to_far, _) = self.rewrites(&far);
        let is_below = before(near.acknowledged, near.answer_end());
        let known = if is_below { near.answer_end() } else { near.acknowledged };
        far.next = to_far.acknowledgment(known);
        far.send_ack(world, to_far.sequence(near.sent), self.far_window(), near.stamp);
    }

    fn rewrites(&self, far: &Far) -> (Rewrite, Rewrite) {
        let near = &self.near;
        let ahead = far.request_end().wrapping_sub(near.payload_start());
        let back = near.answer_end().wrapping_sub(far.payload_start());
        let to_far = Rewrite {
            sequence: ahead,
            acknowledgment: back.wrapping_neg(),
            window_shift: shift(near.their_shift(), far.our_shift()),
        };
        let to_near = Rewrite {
            sequence: back,
            acknowledgment: ahead.wrapping_neg(),
            window_shift: shift(far.their_shift(), near.our_shift()),
        };
        (to_far, to_near)
    }

    /// The flow that the two legs are.
    pub(crate) fn splice(&self, far: &Far) -> Splice {
        let (to_far, to_near) = self.rewrites(far);
        let is_borne = if self.is_ingress() { !far.is_open } else { self.near.is_held };
        Splice {
            tag: self.tag,
            near: self.near.leg,
            far: far.leg,
            mode: if is_borne { Mode::Borne } else { Mode::Plain },
            to_far,
            to_near,
            numbers: self.numbers(far),
            timestamps: self.near.answer.stamps.map(|_| (self.near.stamp, far.stamp)),
            keepalive: self
                .keepalive_secs
                .filter(|_| !far.is_asked)
                .map(|secs| Duration::from_secs(secs.into())),
            answer_time: far.answer_time,
        }
    }

    fn numbers(&self, far: &Far) -> [Numbers; 2] {
        let numbers = |next: u32, window: u32, scale| Numbers {
            next,
            edge: next.wrapping_add(window),
            scale,
        };
        let near = &self.near;
        [
            numbers(near.payload_start(), far.window_octets(), near.their_shift()),
            numbers(far.payload_start(), near.window_octets(), far.their_shift()),
        ]
    }

    /// What the far end understands, when that is less than the near end was promised.
    pub(crate) fn broken_promise(&self, far: &Far) -> Option<TcpOptions> {
        let Near { is_held, answer, .. } = self.near;
        let is_broken = answer.sack && !far.answer.sack
            || answer.mss.is_some_and(|promised| promised > far.mss());
        (!is_held && is_broken).then(|| far.understands())
    }

    /// Whether the far end has all of our request.
    pub(crate) fn is_asked(&self) -> bool {
        self.phase == Phase::Asking
            && self.far.is_some_and(|far| !before(far.unacknowledged, far.request_end()))
    }
}

/// From windows in units of 2^`from` to units of 2^`to`; neither is more than 14.
fn shift(from: u8, to: u8) -> i8 {
    from.cast_signed() - to.cast_signed()
}
