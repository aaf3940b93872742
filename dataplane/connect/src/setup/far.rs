//! The far leg: the next hop, or the origin.

use core::time::Duration;

use wire::tcp::Flags;

use super::near::reset;
use super::{mss_default, window_field};
use crate::head::TcpOptions;
use crate::limits::MSS_MIN;
use crate::options::{Offer, Stamps, Written, stamps};
use crate::outcome::World;
use crate::segment::{Arrived, Leg, Segment, before};
use crate::time::Instant;

/// What is known of it.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about one leg")]
pub(crate) struct Far {
    pub(crate) leg: Leg,
    /// Whether it is asked to connect further; an origin is not.
    pub(crate) is_asked: bool,
    /// Whether the next SYN bears the request.
    pub(crate) bears: bool,
    /// Whether one has.
    pub(crate) has_borne: bool,
    /// Whether we have acknowledged its SYN.
    pub(crate) is_open: bool,
    pub(crate) iss: u32,
    /// The first of our octets that it has not acknowledged.
    pub(crate) unacknowledged: u32,
    /// Behind the last octet that we have sent.
    pub(crate) sent: u32,
    pub(crate) irs: u32,
    /// What it sends next.
    pub(crate) next: u32,
    /// Octets of request and of heads.
    pub(crate) request_len: u32,
    pub(crate) heads_len: u32,
    pub(crate) interims: u8,
    /// The options of our SYN, and of its answer.
    pub(crate) offered: Offer,
    pub(crate) answer: Offer,
    /// Whether our SYN offered ECN, and whether its answer took it.
    pub(crate) offers_ecn: bool,
    pub(crate) has_ecn: bool,
    pub(crate) window: u16,
    pub(crate) is_window_scaled: bool,
    /// Its last `TSval`.
    pub(crate) stamp: u32,
    pub(crate) mss_max: u16,
    /// The first wait for it.
    pub(crate) rto: Duration,
    pub(crate) dialled_at: Instant,
    /// From the first SYN to the answer, when there was one SYN only.
    pub(crate) answer_time: Option<Duration>,
}

impl Far {
    /// Octets that it takes in one segment.
    pub(crate) fn mss(&self) -> u16 {
        let mss = self.answer.mss.unwrap_or_else(|| mss_default(self.leg.theirs));
        mss.min(self.mss_max).max(MSS_MIN)
    }

    /// What it understands, as far as it was asked: nobody is told that it lacks what it was not offered.
    pub(crate) fn understands(&self) -> TcpOptions {
        let Self { offered, answer, .. } = self;
        let unasked = offered.window_scale.is_none().then_some(0);
        TcpOptions {
            sack: answer.sack || !offered.sack,
            window_scale: answer.window_scale.or(unasked),
            mss: self.mss(),
        }
    }

    /// The sequence number behind our request, where the near end's payload begins.
    pub(crate) const fn request_end(&self) -> u32 {
        self.iss.wrapping_add(1).wrapping_add(self.request_len)
    }

    /// The sequence number behind its heads, where its payload begins.
    pub(crate) const fn payload_start(&self) -> u32 {
        self.irs.wrapping_add(1).wrapping_add(self.heads_len)
    }

    pub(crate) fn their_shift(&self) -> u8 {
        self.offered.window_scale.and(self.answer.window_scale).unwrap_or(0)
    }

    pub(crate) fn our_shift(&self) -> u8 {
        self.answer.window_scale.and(self.offered.window_scale).unwrap_or(0)
    }

    pub(crate) fn window_octets(&self) -> u32 {
        u32::from(self.window) << if self.is_window_scaled { self.their_shift() } else { 0 }
    }

    /// Takes in what a segment says besides its payload.
    pub(crate) fn note(&mut self, arrived: &Arrived<'_>) {
        self.window = arrived.header.window;
        self.is_window_scaled = !arrived.has(Flags::SYN);
        if self.answer.stamps.is_some() && !before(self.next, arrived.header.sequence_number) {
            self.stamp = stamps(arrived.options).map_or(self.stamp, |stamps| stamps.value);
        }
    }

    /// Sends the SYN, with the request in it if it is to bear it.
    pub(crate) fn send_syn(&mut self, world: &mut impl World, window: u32, request: &[u8]) {
        let ecn = if self.offers_ecn { Flags::ECE | Flags::CWR } else { Flags(0) };
        let payload = if self.bears { request } else { &[] };
        world.send(&Segment {
            leg: self.leg,
            flags: Flags::SYN | ecn,
            sequence_number: self.iss,
            acknowledgment_number: 0,
            window: window_field(window, 0),
            options: Written::syn(&self.offered).octets(),
            payload,
        });
        self.has_borne |= self.bears;
    }

    /// Sends a segment without payload; `stamp` is what the near end's clock said last.
    pub(crate) fn send_ack(&self, world: &mut impl World, sequence: u32, window: u32, stamp: u32) {
        self.send(world, Flags::ACK, (sequence, &[]), (window, stamp));
    }

    fn send(
        &self,
        world: &mut impl World,
        flags: Flags,
        (sequence_number, payload): (u32, &[u8]),
        (window, stamp): (u32, u32),
    ) {
        let stamps = self.offered.stamps.and(self.answer.stamps);
        let stamps = stamps.map(|_| Stamps { value: stamp, echo: self.stamp });
        world.send(&Segment {
            leg: self.leg,
            flags,
            sequence_number,
            acknowledgment_number: self.next,
            window: window_field(window, self.our_shift()),
            options: Written::stamps(stamps).octets(),
            payload,
        });
    }

    /// Sends the request from its first octet that was not acknowledged, as far as segments and the window allow; an
    /// acknowledgment when none is left. `is_probe` sends one octet into a closed window.
    pub(crate) fn send_request(
        &mut self,
        world: &mut impl World,
        request: &[u8],
        (window, stamp): (u32, u32),
        is_probe: bool,
    ) {
        let mut at = self.unacknowledged;
        let room = self.window_octets().max(u32::from(is_probe));
        let last = at.wrapping_add(room);
        let end = if before(last, self.request_end()) { last } else { self.request_end() };
        self.is_open = true;
        if at == end {
            return self.send_ack(world, at, window, stamp);
        }
        while before(at, end) {
            let stop = at.wrapping_add(u32::from(self.mss()));
            let stop = if before(stop, end) { stop } else { end };
            let base = self.iss.wrapping_add(1);
            let range = at.wrapping_sub(base) as usize..stop.wrapping_sub(base) as usize;
            let payload = request.get(range).unwrap_or_default();
            self.send(world, Flags::ACK | Flags::PSH, (at, payload), (window, stamp));
            at = stop;
        }
        if before(self.sent, at) {
            self.sent = at;
        }
    }

    /// Sends a reset that fits what it knows.
    pub(crate) fn send_reset(&self, world: &mut impl World, is_answered: bool, sequence: u32) {
        let segment = if is_answered {
            reset(self.leg, Flags::RST | Flags::ACK, sequence, self.next)
        } else {
            reset(self.leg, Flags::RST, self.iss.wrapping_add(1), 0)
        };
        world.send(&segment);
    }
}
