//! A client's SYN that is held until a next hop has connected.

use crate::head::{Host, Target};
use crate::limits::{Limits, ROUTES_MAX};
use crate::options::{Offer, Unfit};
use crate::outcome::{Opening, Refusal};
use crate::segment::Arrived;
use crate::setup::{Near, Setup, Times};
use crate::time::Instant;

/// What a SYN offers, if it can be spliced.
pub(super) fn offer(syn: &Arrived<'_>) -> Result<Offer, Refusal> {
    if !syn.is_open() {
        return Err(Refusal::NotOpen);
    }
    Offer::of(syn.options).map_err(|unfit| match unfit {
        Unfit::Malformed => Refusal::Malformed,
        Unfit::Authenticated => Refusal::Authenticated,
    })
}

/// The set-up of a client's SYN. Payload in it is not acknowledged, so that the client sends it again (RFC 7413 4.2.2).
pub(super) fn setup(
    opening: &Opening<'_>,
    limits: &Limits,
    now: Instant,
) -> Result<Setup, Refusal> {
    let offer = offer(opening.syn)?;
    if opening.routes.is_empty() {
        return Err(Refusal::NoRoute);
    }
    let mut near = Near::new(opening.syn, offer, opening.mss_max, limits.rto_unknown);
    near.hold(opening.syn);
    let mut setup = Setup::new(opening.tag, near, Times::new(now, limits.rto_unknown));
    for (place, route) in setup.routes.iter_mut().zip(opening.routes.iter().take(ROUTES_MAX)) {
        *place = Some(*route);
    }
    setup.keepalive_secs = Some(opening.keepalive_secs);
    Ok(setup)
}

impl Setup {
    /// Where a client wants to go: the address to which it has sent its SYN.
    pub(super) fn client_target(&self) -> Target<'static> {
        let origin = self.near.leg.ours;
        Target { host: Host::Address(origin.ip()), port: origin.port() }
    }
}
