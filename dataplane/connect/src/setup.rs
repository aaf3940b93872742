//! One set-up: what is known of its two legs, and the segments that follow from it.

mod agree;
mod far;
mod near;

use core::net::SocketAddr;
use core::time::Duration;

use crate::buffers::Buffer;
use crate::head::TcpOptions;
use crate::limits::{Limits, MSS_DEFAULT_V4, MSS_DEFAULT_V6, ROUTES_MAX};
use crate::outcome::NextHop;
use crate::time::Instant;

pub(crate) use far::Far;
pub(crate) use near::{Near, reset};

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The near leg is open; its request is being read.
    Reading,
    /// A SYN has gone to the far end.
    Dialling,
    /// The far end is connected and is asked.
    Asking,
    /// Spliced; the near end has not acknowledged our answer yet.
    Answering,
    /// The near end has; what is sent twice is caught.
    Lingering,
    /// The near end is told why not.
    Failing,
}

/// Everything about it.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) phase: Phase,
    pub(crate) tag: u64,
    pub(crate) near: Near,
    pub(crate) far: Option<Far>,
    pub(crate) routes: [Option<NextHop>; ROUTES_MAX],
    pub(crate) route: usize,
    /// Octets of the request that we send, in the slot's text.
    pub(crate) request_len: u32,
    /// Seconds of silence after which the origin is probed: by us at an exit, and asked for in requests.
    pub(crate) keepalive_secs: Option<u16>,
    /// What the origin understands, once that was learnt: from this connection, or from an earlier one to it.
    pub(crate) hint: Option<TcpOptions>,
    /// Whether a next hop was asked again for that.
    pub(crate) is_asked_again: bool,
    pub(crate) ports_tried: u8,
    /// Part of a head, or early payload.
    pub(crate) buffer: Option<Buffer>,
    /// A FIN behind the early payload.
    pub(crate) holds_fin: bool,
    /// What is said in `Failing`.
    pub(crate) status: Option<crate::head::Status>,
    pub(crate) times: Times,
    /// Whether it counts against who asked for it.
    pub(crate) is_counted: bool,
}

/// The moments that decide what happens when nothing comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// The set-up's beginning.
    pub(crate) begun: Instant,
    /// When this route was taken.
    pub(crate) route_begun: Instant,
    /// When this phase was entered.
    pub(crate) phase_begun: Instant,
    /// When the last segment that waits for an answer is sent again.
    pub(crate) resend_at: Instant,
    /// How long is waited then.
    pub(crate) rto: Duration,
    /// Whether it was sent again in this phase: a round trip is measured only when it was not (RFC 6298 3).
    pub(crate) is_resent: bool,
}

impl Times {
    pub(crate) const fn new(now: Instant, rto: Duration) -> Self {
        Self {
            begun: now,
            route_begun: now,
            phase_begun: now,
            resend_at: Instant::NEVER,
            rto,
            is_resent: false,
        }
    }

    /// Enters a phase in which the first segment has just been sent.
    pub(crate) fn enter(&mut self, now: Instant, rto: Duration) {
        self.phase_begun = now;
        self.rto = rto;
        self.resend_at = now + rto;
        self.is_resent = false;
    }

    /// Notes that a segment was sent again; the next wait is twice as long.
    pub(crate) fn resent(&mut self, now: Instant, rto_max: Duration) {
        self.rto = self.rto.saturating_mul(2).min(rto_max);
        self.resend_at = now + self.rto;
        self.is_resent = true;
    }
}

impl Setup {
    pub(crate) const fn new(tag: u64, near: Near, times: Times) -> Self {
        Self {
            phase: Phase::Dialling,
            tag,
            near,
            far: None,
            routes: [None; ROUTES_MAX],
            route: 0,
            request_len: 0,
            keepalive_secs: None,
            hint: None,
            is_asked_again: false,
            ports_tried: 0,
            buffer: None,
            holds_fin: false,
            status: None,
            times,
            is_counted: true,
        }
    }

    /// Whether a client's SYN is held, so that nothing but the far end's words goes to it.
    pub(crate) const fn is_ingress(&self) -> bool {
        self.near.is_held && self.near.request_len == 0
    }

    /// How long it may take until the far end has connected.
    pub(crate) fn time_max(&self, limits: &Limits) -> Duration {
        match self.far {
            _ if self.is_ingress() => limits.setup_time,
            Some(far) if far.is_asked => limits.setup_time * 3 / 4,
            Some(_) | None => limits.setup_time / 2,
        }
    }

    /// Whether both legs are one flow already.
    pub(crate) const fn is_spliced(&self) -> bool {
        matches!(self.phase, Phase::Answering | Phase::Lingering)
    }
}

/// What a SYN without an option says that its sender takes (RFC 9293 3.7.1).
pub(crate) const fn mss_default(end: SocketAddr) -> u16 {
    if end.is_ipv4() { MSS_DEFAULT_V4 } else { MSS_DEFAULT_V6 }
}

/// Octets of a window as they stand in a header, a window that is open never as a closed one.
pub(crate) fn window_field(octets: u32, shift: u8) -> u16 {
    let field = (octets >> shift).max(u32::from(octets > 0));
    u16::try_from(field).unwrap_or(u16::MAX)
}
