//! A SYN to our own port: a request in it, or behind it.

use core::time::Duration;

use wire::tcp::Flags;

use super::Work;
use super::dial::Undialled;
use super::ingress::offer;
use crate::head::{Ask, Request, Status, Wrong, parse_request};
use crate::limits::{Limits, RELAYS_MAX};
use crate::options::Offer;
use crate::outcome::{Accepting, Decision, Dropped, NextHop, Refusal, Verdict, Why, World};
use crate::segment::{Arrived, before, len};
use crate::setup::{Near, Phase, Setup, Times};
use crate::time::Instant;

/// Seconds of silence that are asked for when a request says none.
const KEEPALIVE_SECS: u16 = 15;

/// The set-up of a SYN to our port.
pub(super) fn setup(
    accepting: &Accepting<'_>,
    limits: &Limits,
    now: Instant,
) -> Result<Setup, Refusal> {
    let offer = offer(accepting.syn)?;
    let mut near = Near::new(accepting.syn, offer, accepting.mss_max, limits.rto_unknown);
    near.is_ours = accepting.is_ours;
    let mut setup = Setup::new(accepting.tag, near, Times::new(now, limits.rto_unknown));
    setup.phase = Phase::Reading;
    Ok(setup)
}

/// Tells who has sent a request in the SYN that there is no room for it, so that it can ask another machine at once. Nothing is kept
/// of that: should it get lost, the next SYN bears no request and is not answered, as no stranger's is.
pub(super) fn turn_away(accepting: &Accepting<'_>, world: &mut impl World) {
    let request = accepting.syn.payload;
    if !accepting.is_ours || request.is_empty() {
        return;
    }
    let mut text = [0; crate::limits::ANSWER_LEN_MAX];
    let answer_len = crate::head::write_answer(&mut text, Status::ServiceUnavailable, None);
    let answer = text.get(..answer_len.unwrap_or_default()).unwrap_or_default();
    let mut near = Near::new(accepting.syn, Offer::default(), accepting.mss_max, Duration::ZERO);
    near.iss = world.random();
    near.next = near.next.wrapping_add(len(request));
    near.send_syn_ack(world, 0, false, answer);
}

/// What a request leads to.
#[derive(Clone, Copy)]
enum Ruling {
    Dial(NextHop),
    Relay(NextHop),
    Refuse(Why, Status),
}

impl<W: World> Work<'_, W> {
    /// Takes the request out of the SYN, or answers the SYN and waits for it.
    pub(super) fn greet(&mut self, syn: &Arrived<'_>) {
        let is_ours = self.setup.near.is_ours;
        let parsed = if is_ours { parse_request(syn.payload) } else { Ok(None) };
        let is_whole = match &parsed {
            Ok(Some(request)) => request.len == syn.payload.len(),
            Ok(None) => false,
            Err(_) => true,
        };
        if is_whole {
            self.setup.near.hold(syn);
            self.requested(parsed, len(syn.payload));
            return;
        }
        let limits = &self.shared.limits;
        let near = &mut self.setup.near;
        near.iss = self.world.random();
        near.acknowledged = near.iss.wrapping_add(1);
        near.answer = Offer {
            mss: Some(limits.exit_mss.min(near.mss_max).min(near.mss())),
            window_scale: near.offer.window_scale.map(|_| limits.exit_window_scale),
            sack: near.offer.sack && limits.exit_promises_sack,
            stamps: None,
        };
        self.setup.times.enter(self.now, limits.rto_unknown);
        self.setup.send_syn_ack(self.world, &[]);
    }

    /// A segment of who shall send a request.
    pub(super) fn read(&mut self, arrived: &Arrived<'_>) -> Verdict {
        let near = &mut self.setup.near;
        let ack = arrived.header.acknowledgment_number;
        if ack != near.iss.wrapping_add(1) {
            self.world.send(&crate::setup::reset(near.leg, Flags::RST, ack, 0));
            return Verdict::Dropped(Dropped::Unacceptable);
        }
        if !core::mem::replace(&mut near.is_open, true) {
            // The first wait for an acknowledgment of the answer is known from that of the SYN.
            let (times, limits) = (&mut self.setup.times, &self.shared.limits);
            if !times.is_resent {
                let trips = self.now.since(times.phase_begun) * 3;
                near.rto = trips.clamp(limits.rto_min, limits.rto_unknown);
            }
            times.resend_at = Instant::NEVER;
        }
        near.note_window(arrived);
        let start = arrived.payload_start();
        if before(near.next, start) {
            self.setup.send_near(self.world, Flags::ACK, ack, &[]);
            return Verdict::Dropped(Dropped::OutOfOrder);
        }
        let known = near.next.wrapping_sub(start) as usize;
        let new = arrived.payload.get(known..).unwrap_or_default();
        if new.is_empty() {
            return self.nothing_new(arrived, ack);
        }
        self.read_request(new, arrived.has(Flags::FIN))
    }

    fn nothing_new(&mut self, arrived: &Arrived<'_>, ack: u32) -> Verdict {
        if arrived.has(Flags::FIN) && arrived.payload_end() == self.setup.near.next {
            self.abort(Why::NearClosed);
            return Verdict::Taken;
        }
        if arrived.payload.is_empty() {
            return Verdict::Taken;
        }
        self.setup.send_near(self.world, Flags::ACK, ack, &[]);
        Verdict::Dropped(Dropped::Stale)
    }

    /// Reads the request, across segments if it must be.
    fn read_request(&mut self, new: &[u8], has_fin: bool) -> Verdict {
        let mut buffer = self.setup.buffer.take();
        if buffer.is_none() {
            match parse_request(new) {
                Ok(None) => buffer = self.shared.buffers.take(),
                parsed => return self.requested(parsed, len(new)),
            }
        }
        let Some(mut buffer) = buffer else { return Verdict::Dropped(Dropped::BuffersFull) };
        let had = buffer.len();
        let kept = self.shared.buffers.append(&mut buffer, new);
        self.setup.near.next = self.setup.near.next.wrapping_add(u32::try_from(kept).unwrap_or(0));
        if had == 0 || !new.contains(&b'\n') {
            let is_full = buffer.room() == 0;
            self.setup.buffer = Some(buffer);
            return self.goes_on(is_full, has_fin);
        }
        // The text is read where it stands while the rest of the set-up changes, so it is taken out for as long.
        let ruling = {
            let text = self.shared.buffers.text(&buffer);
            match parse_request(text) {
                Ok(None) => None,
                parsed => Some(rule(self.setup, self.request, self.world, parsed, len(text))),
            }
        };
        let is_full = buffer.room() == 0;
        let Some(ruling) = ruling else {
            self.setup.buffer = Some(buffer);
            return self.goes_on(is_full, has_fin);
        };
        self.shared.buffers.give(Some(buffer));
        self.follow(ruling)
    }

    /// The request is not whole yet.
    fn goes_on(&mut self, is_full: bool, has_fin: bool) -> Verdict {
        if is_full {
            return self.give_up(Why::RequestTooLong, Status::BadRequest, false);
        }
        if has_fin {
            self.abort(Why::NearClosed);
            return Verdict::Taken;
        }
        let at = self.setup.near.iss.wrapping_add(1);
        self.setup.send_near(self.world, Flags::ACK, at, &[]);
        Verdict::Taken
    }

    fn requested(&mut self, parsed: Result<Option<Request<'_>>, Wrong>, all: u32) -> Verdict {
        let ruling = rule(self.setup, self.request, self.world, parsed, all);
        self.follow(ruling)
    }

    fn follow(&mut self, ruling: Ruling) -> Verdict {
        let is_dialled = match ruling {
            Ruling::Refuse(why, status) => return self.give_up(why, status, false),
            Ruling::Dial(mut hop) => {
                if hop.rtt.is_zero() {
                    let known = self.shared.round_trips.get(&hop.address, self.now);
                    hop.rtt = known.unwrap_or_default();
                }
                self.dial(hop, false)
            }
            Ruling::Relay(hop) => self.dial(hop, true),
        };
        match is_dialled {
            Ok(()) => {}
            Err(Undialled::Ports) => {
                return self.give_up(Why::PortsExhausted, Status::ServiceUnavailable, false);
            }
            Err(Undialled::Family) => {
                return self.give_up(Why::OtherFamily, Status::ServiceUnavailable, false);
            }
        }
        self.setup.times.route_begun = self.now;
        if !self.setup.near.is_held {
            let at = self.setup.near.iss.wrapping_add(1);
            self.setup.send_near(self.world, Flags::ACK, at, &[]);
        }
        Verdict::Taken
    }
}

/// Judges a request, or what is no request, and notes what it asks for. `all` counts the octets that have come, those
/// behind a head that makes sense left out: they are sent again when the tunnel is there.
fn rule(
    setup: &mut Setup,
    text: &mut [u8],
    world: &mut impl World,
    parsed: Result<Option<Request<'_>>, Wrong>,
    all: u32,
) -> Ruling {
    let near = &mut setup.near;
    let request = match parsed {
        Ok(Some(request)) if request.has_host || near.is_ours => request,
        Ok(_) => {
            near.request_len = all;
            near.next = near.payload_start();
            return Ruling::Refuse(Why::RequestWrong, Wrong::Host.into());
        }
        Err(wrong) => {
            near.request_len = all;
            near.next = near.payload_start();
            return Ruling::Refuse(Why::RequestWrong, wrong.into());
        }
    };
    near.request_len = u32::try_from(request.len).unwrap_or_default();
    near.next = near.payload_start();
    near.sent = near.next;
    setup.keepalive_secs = request.keepalive_secs;
    match world.admit(&near.leg, setup.tag, &request) {
        Decision::Refuse(status) => Ruling::Refuse(Why::Forbidden, status),
        Decision::Dial { origin, rtt, mss_max } => Ruling::Dial(NextHop {
            address: origin,
            rtt: rtt.unwrap_or_default(),
            takes_syn_payload: false,
            mss_max,
            hops: None,
            site: None,
        }),
        Decision::Relay(hop) => relay(setup, text, &request, hop),
    }
}

/// The request as it goes on: the same but for the relays that may follow, of which there is one less. That is said to
/// every next hop, so that requests that go round come to an end; who says nothing of it may have one relay if it is ours.
fn relay(setup: &mut Setup, text: &mut [u8], request: &Request<'_>, hop: NextHop) -> Ruling {
    let hops = request.hops.unwrap_or_else(|| setup.near.is_ours.into());
    let Some(hops) = hops.min(RELAYS_MAX).checked_sub(1) else {
        return Ruling::Refuse(Why::HopsUsedUp, Status::Forbidden);
    };
    let ask = Ask {
        target: request.target,
        keepalive_secs: request.keepalive_secs.unwrap_or(KEEPALIVE_SECS),
        hops: Some(hops),
        site: request.site.or(hop.site),
    };
    match crate::head::write_request(text, &ask).ok().and_then(|len| u32::try_from(len).ok()) {
        Some(len) => {
            setup.request_len = len;
            Ruling::Relay(hop)
        }
        None => Ruling::Refuse(Why::RequestTooLong, Status::BadRequest),
    }
}
