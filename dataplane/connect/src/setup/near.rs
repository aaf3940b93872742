//! The near leg: who opened the connection.

use core::time::Duration;

use wire::tcp::Flags;

use super::{mss_default, window_field};
use crate::limits::MSS_MIN;
use crate::options::{Offer, Stamps, Written, stamps};
use crate::outcome::World;
use crate::segment::{Arrived, Leg, Segment, before};

/// What is known of it. `iss` is our initial sequence number, `irs` theirs (RFC 9293 3.3.1).
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about one leg")]
pub(crate) struct Near {
    pub(crate) leg: Leg,
    /// Whether its SYN is answered only when the far end is connected.
    pub(crate) is_held: bool,
    /// Whether it has acknowledged our SYN.
    pub(crate) is_open: bool,
    /// Whether the sender is one of ours.
    pub(crate) is_ours: bool,
    pub(crate) irs: u32,
    pub(crate) iss: u32,
    /// What it sends next.
    pub(crate) next: u32,
    /// Behind the last octet that it has sent; all of that goes on, and only the far end acknowledges it.
    pub(crate) sent: u32,
    /// What it has acknowledged.
    pub(crate) acknowledged: u32,
    /// Octets of its request, and of our answer.
    pub(crate) request_len: u32,
    pub(crate) answer_len: u32,
    /// The options of its SYN, and of our answer to it.
    pub(crate) offer: Offer,
    pub(crate) answer: Offer,
    /// Its last window, and whether it is to be shifted.
    pub(crate) window: u16,
    pub(crate) is_window_scaled: bool,
    /// Its last `TSval`.
    pub(crate) stamp: u32,
    /// Whether it offers ECN (RFC 3168 6.1.1).
    pub(crate) has_ecn: bool,
    /// What one packet to it carries.
    pub(crate) mss_max: u16,
    /// The first wait for it.
    pub(crate) rto: Duration,
}

impl Near {
    pub(crate) fn new(syn: &Arrived<'_>, offer: Offer, mss_max: u16, rto: Duration) -> Self {
        let irs = syn.header.sequence_number;
        Self {
            leg: syn.leg,
            is_held: false,
            is_open: false,
            is_ours: false,
            irs,
            iss: 0,
            next: irs.wrapping_add(1),
            sent: irs.wrapping_add(1),
            acknowledged: 0,
            request_len: 0,
            answer_len: 0,
            offer,
            answer: Offer::default(),
            window: syn.header.window,
            is_window_scaled: false,
            stamp: offer.stamps.map_or(0, |stamps| stamps.value),
            has_ecn: false,
            mss_max,
            rto,
        }
    }

    /// Leaves its SYN without an answer until the far end is connected.
    pub(crate) fn hold(&mut self, syn: &Arrived<'_>) {
        self.is_held = true;
        self.has_ecn = syn.has(Flags::ECE) && syn.has(Flags::CWR);
    }

    /// Octets that it takes in one segment.
    pub(crate) fn mss(&self) -> u16 {
        self.offer.mss.unwrap_or_else(|| mss_default(self.leg.theirs)).max(MSS_MIN)
    }

    /// The sequence number of its first octet of payload.
    pub(crate) const fn payload_start(&self) -> u32 {
        self.irs.wrapping_add(1).wrapping_add(self.request_len)
    }

    /// The sequence number behind our answer.
    pub(crate) const fn answer_end(&self) -> u32 {
        self.iss.wrapping_add(1).wrapping_add(self.answer_len)
    }

    /// By how many bits its windows are shifted: none, unless both sides have said so.
    pub(crate) fn their_shift(&self) -> u8 {
        self.answer.window_scale.and(self.offer.window_scale).unwrap_or(0)
    }

    /// By how many bits ours are.
    pub(crate) fn our_shift(&self) -> u8 {
        self.offer.window_scale.and(self.answer.window_scale).unwrap_or(0)
    }

    pub(crate) fn window_octets(&self) -> u32 {
        u32::from(self.window) << if self.is_window_scaled { self.their_shift() } else { 0 }
    }

    /// Takes in what a segment says besides its payload.
    pub(crate) fn note(&mut self, arrived: &Arrived<'_>) {
        let end = arrived.payload_end().wrapping_add(u32::from(arrived.has(Flags::FIN)));
        if !before(end, self.sent) {
            self.sent = end;
            if self.answer.stamps.is_some() {
                self.stamp = stamps(arrived.options).map_or(self.stamp, |stamps| stamps.value);
            }
        }
        self.note_window(arrived);
        if before(self.acknowledged, arrived.header.acknowledgment_number) {
            self.acknowledged = arrived.header.acknowledgment_number;
        }
    }

    /// Takes the clock of a SYN that comes again, which the answer echoes (RFC 7323 4.3): who hears the first one's takes the
    /// time that the SYN was held for the path's, and waits several times as long before it sends what is lost again.
    pub(crate) fn note_again(&mut self, syn: &Arrived<'_>) {
        let Some(Stamps { value, .. }) = self.offer.stamps.and_then(|_| stamps(syn.options)) else {
            return;
        };
        if before(value, self.stamp) {
            return;
        }
        self.stamp = value;
        if let Some(stamps) = &mut self.answer.stamps {
            stamps.echo = value;
        }
    }

    pub(crate) const fn note_window(&mut self, arrived: &Arrived<'_>) {
        self.window = arrived.header.window;
        self.is_window_scaled = true;
    }

    /// Sends a SYN-ACK, with payload when the answer to a request goes in it.
    pub(crate) fn send_syn_ack(
        &self,
        world: &mut impl World,
        window: u32,
        ecn: bool,
        payload: &[u8],
    ) {
        let flags = Flags::SYN | Flags::ACK | if ecn { Flags::ECE } else { Flags(0) };
        world.send(&Segment {
            leg: self.leg,
            flags,
            sequence_number: self.iss,
            acknowledgment_number: self.next,
            window: window_field(window, 0),
            options: Written::syn(&self.answer).octets(),
            payload,
        });
    }

    /// Sends any other segment; `stamp` is what the far end's clock said last.
    pub(crate) fn send(
        &self,
        world: &mut impl World,
        flags: Flags,
        (sequence_number, payload): (u32, &[u8]),
        (window, stamp): (u32, u32),
    ) {
        let stamps = self.answer.stamps.map(|_| Stamps { value: stamp, echo: self.stamp });
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

    /// Sends a reset that fits what it knows: of its SYN when that was not answered (RFC 9293 3.10.7.1).
    pub(crate) fn send_reset(&self, world: &mut impl World, is_answered: bool) {
        let sequence_number = match (is_answered, self.is_open) {
            (false, _) => 0,
            (true, false) => self.answer_end(),
            (true, true) => self.acknowledged,
        };
        world.send(&reset(self.leg, Flags::RST | Flags::ACK, sequence_number, self.next));
    }
}

/// A reset.
pub(crate) const fn reset(leg: Leg, flags: Flags, sequence: u32, ack: u32) -> Segment<'static> {
    Segment {
        leg,
        flags,
        sequence_number: sequence,
        acknowledgment_number: ack,
        window: 0,
        options: &[],
        payload: &[],
    }
}
