//! The SYN to the next hop or origin, and the choice of route and port.

use core::net::SocketAddr;
use core::time::Duration;

use super::Work;
use super::shared::Side;
use crate::head::{Ask, write_request};
use crate::limits::{Limits, PORTS_MAX, ROUTES_MAX};
use crate::options::Offer;
use crate::outcome::{NextHop, Refusal, World};
use crate::segment::{Leg, NO_CLIENT};
use crate::setup::{Far, Phase};

/// Why no SYN was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undialled {
    /// No port is left.
    Ports,
    /// The other version of IP.
    Family,
}

impl From<Undialled> for Refusal {
    fn from(undialled: Undialled) -> Self {
        match undialled {
            Undialled::Ports => Self::PortsExhausted,
            Undialled::Family => Self::OtherFamily,
        }
    }
}

impl<W: World> Work<'_, W> {
    /// Whether a further route was given.
    pub(super) fn has_next_route(&self) -> bool {
        let next = self.setup.routes.get(self.setup.route + 1);
        next.is_some_and(Option::is_some)
    }

    /// Tries routes from the present one on, until one can be dialled.
    pub(super) fn dial_next(&mut self) -> Result<(), Refusal> {
        let mut refusal = Refusal::PortsExhausted;
        while self.setup.route < ROUTES_MAX {
            let route = self.setup.routes.get(self.setup.route).copied().flatten();
            let Some(route) = route else { break };
            let target = self.setup.client_target();
            let keepalive_secs = self.setup.keepalive_secs.unwrap_or(0);
            let ask = Ask { target, keepalive_secs, hops: route.hops, site: route.site };
            self.write(&ask)?;
            self.setup.times.route_begun = self.now;
            self.setup.ports_tried = 0;
            match self.dial(route, true) {
                Ok(()) => return Ok(()),
                Err(undialled) => refusal = undialled.into(),
            }
            self.setup.route += 1;
        }
        Err(refusal)
    }

    pub(super) fn write(&mut self, ask: &Ask<'_>) -> Result<(), Refusal> {
        let len = write_request(self.request, ask);
        let len = len.ok().and_then(|len| u32::try_from(len).ok());
        self.setup.request_len = len.ok_or(Refusal::TargetTooLong)?;
        Ok(())
    }

    /// Sends a SYN from a port of its own. `is_asked` says whether the far end is asked to
    /// connect further, with the request that stands in the slot's text.
    pub(super) fn dial(&mut self, hop: NextHop, is_asked: bool) -> Result<(), Undialled> {
        if self.setup.near.leg.theirs.is_ipv4() != hop.address.is_ipv4() {
            return Err(Undialled::Family);
        }
        let leg = self.rested_leg(hop.address).ok_or(Undialled::Ports)?;
        let mut far = self.far(leg, hop, is_asked);
        self.shared.legs.insert(leg, (self.slot, Side::Far));
        self.setup.far = Some(far);
        self.setup.phase = Phase::Dialling;
        let window = self.setup.far_window();
        far.send_syn(self.world, window, text(self.request, self.setup.request_len));
        self.setup.far = Some(far);
        self.setup.ports_tried += 1;
        self.setup.times.enter(self.now, far.rto);
        Ok(())
    }

    /// A leg from a port that no set-up uses. One that still lingers here was given too early, and goes back.
    fn rested_leg(&mut self, theirs: SocketAddr) -> Option<Leg> {
        for _ in 0..PORTS_MAX {
            let ours = self.world.take_port(self.setup.tag, theirs)?;
            let leg = Leg { client: NO_CLIENT, ours, theirs };
            if self.shared.find(&leg).is_none() {
                return Some(leg);
            }
            self.world.return_port(ours, theirs);
        }
        None
    }

    fn far(&self, leg: Leg, hop: NextHop, is_asked: bool) -> Far {
        let setup = &*self.setup;
        let request_len = if is_asked { setup.request_len } else { 0 };
        // Our request ends where the near end's payload begins, so that both count it alike.
        let iss = setup.near.payload_start().wrapping_sub(request_len).wrapping_sub(1);
        let sent = iss.wrapping_add(1);
        Far {
            leg,
            is_asked,
            bears: is_asked && hop.takes_syn_payload,
            has_borne: false,
            is_open: false,
            iss,
            unacknowledged: sent,
            sent,
            irs: 0,
            next: 0,
            request_len,
            heads_len: 0,
            interims: 0,
            offered: setup.offer_far(hop.mss_max),
            answer: Offer::default(),
            offers_ecn: setup.near.has_ecn,
            has_ecn: false,
            window: 0,
            is_window_scaled: false,
            stamp: 0,
            mss_max: hop.mss_max,
            rto: rto(hop.rtt, &self.shared.limits),
            dialled_at: self.now,
            answer_time: None,
        }
    }

    /// Leaves the far leg: its port goes back, its end is told if it may know of us.
    pub(super) fn abandon_far(&mut self, is_told: bool) {
        let Some(far) = self.setup.far.take() else { return };
        self.shared.legs.remove(&far.leg);
        self.shared.buffers.give(self.setup.buffer.take());
        self.setup.holds_fin = false;
        if is_told {
            far.send_reset(self.world, self.setup.phase != Phase::Dialling, far.sent);
        }
        self.world.return_port(far.leg.ours, far.leg.theirs);
    }

    /// Dials the same far end from another port: an old connection is in the way of this one.
    pub(super) fn dial_again(&mut self) -> bool {
        let Some(far) = self.setup.far else { return false };
        if self.setup.ports_tried >= PORTS_MAX {
            return false;
        }
        let hop = NextHop {
            address: far.leg.theirs,
            rtt: Duration::ZERO,
            takes_syn_payload: far.bears,
            mss_max: far.mss_max,
            hops: None,
            site: None,
        };
        self.abandon_far(false);
        let is_dialled = self.dial(hop, far.is_asked).is_ok();
        if let (true, Some(new)) = (is_dialled, &mut self.setup.far) {
            new.rto = far.rto;
            self.setup.times.enter(self.now, far.rto);
        }
        is_dialled
    }
}

/// The first wait for an answer on a path with this round trip; zero when that is not known.
fn rto(rtt: Duration, limits: &Limits) -> Duration {
    if rtt.is_zero() { limits.rto_unknown } else { (rtt * 3).max(limits.rto_min) }
}

/// The request that stands in a slot's text.
pub(super) fn text(octets: &[u8], len: u32) -> &[u8] {
    octets.get(..len as usize).unwrap_or_default()
}
