//! The arithmetic of two legs that become one flow.
//!
//! With `L` octets of request and `H` octets of heads, our initial sequence number towards the next hop is the client's less
//! `L`, and that towards the client is the next hop's plus `H`: the first octets of payload coincide, and nothing but
//! addresses is rewritten. Who has answered the SYN before it knew the other side's number has a constant difference in
//! one direction. All of it is modulo 2^32.

use core::time::Duration;

use wire::checksum::{Delta, Sum};

use crate::segment::Leg;

/// How segments that go one way are rewritten, besides their addresses and ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// Added to the sequence number.
    pub sequence: u32,
    /// Added to the acknowledgment number, and to the edges of selective acknowledgments.
    pub acknowledgment: u32,
    /// By how many bits the window is shifted: to the left when positive, and no further than 65,535.
    pub window_shift: i8,
    /// Whether segments may have selective acknowledgments that are to be shifted.
    pub shifts_sack: bool,
    /// Octets of payload that the receiver takes in one segment, as the sender was told.
    pub mss: u16,
}

impl Rewrite {
    /// The sequence number as the receiver knows it.
    #[inline]
    pub const fn sequence(&self, number: u32) -> u32 {
        number.wrapping_add(self.sequence)
    }

    /// The acknowledgment number as the receiver knows it.
    #[inline]
    pub const fn acknowledgment(&self, number: u32) -> u32 {
        number.wrapping_add(self.acknowledgment)
    }

    /// The window as the receiver reads it. A shift to the right rounds up: a window that is open stays open.
    #[inline]
    pub fn window(&self, window: u16) -> u16 {
        let shift = u32::from(self.window_shift.unsigned_abs());
        if self.window_shift >= 0 {
            u16::try_from(u32::from(window) << shift).unwrap_or(u16::MAX)
        } else {
            let up = (u32::from(window) + (1 << shift) - 1) >> shift;
            u16::try_from(up).unwrap_or(u16::MAX)
        }
    }

    /// The difference that a new number makes to the checksum: constant, less one where adding the delta wraps, as 2^32
    /// is 1 modulo 2^16 - 1.
    #[inline]
    pub fn checksum(old: u32, new: u32) -> Delta {
        let sum = |number: u32| {
            let [a, b, c, d] = number.to_be_bytes();
            Sum::ZERO.plus_word(u16::from_be_bytes([a, b])).plus_word(u16::from_be_bytes([c, d]))
        };
        Delta::between(sum(old), sum(new))
    }

    /// Whether only addresses and ports change.
    pub const fn is_aligned(&self) -> bool {
        self.sequence == 0 && self.acknowledgment == 0 && self.window_shift == 0
    }
}

/// Where the numbers of one end stand when both legs become one flow, in its own count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Of its first octet of payload.
    pub next: u32,
    /// Behind the last octet that it may send before it hears more.
    pub edge: u32,
    /// By how many bits its windows are shifted.
    pub scale: u8,
}

/// How a flow came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The request came or went in the SYN.
    Borne,
    /// A request of its own, after the SYN.
    Plain,
}

/// Two legs that are one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Splice {
    /// The caller's word.
    pub tag: u64,
    /// The leg of who opened it.
    pub near: Leg,
    /// The leg that we opened.
    pub far: Leg,
    /// How the near leg was opened at an exit or relay, the far leg at an ingress.
    pub mode: Mode,
    /// What comes from the near leg and goes to the far one.
    pub to_far: Rewrite,
    /// What comes from the far leg and goes to the near one.
    pub to_near: Rewrite,
    /// Where the near end's numbers stand, and where the far end's.
    pub numbers: [Numbers; 2],
    /// Whether segments have timestamps, which pass unchanged.
    pub has_timestamps: bool,
    /// What the near end's clock said last, and the far end's, where segments have timestamps.
    pub timestamps: Option<(u32, u32)>,
    /// After so much silence the far end is to be probed.
    pub keepalive: Option<Duration>,
    /// Which of the routes that were given was taken.
    pub route: u8,
    /// From our SYN to the answer, or from our request where that followed the SYN, if it was sent once: a measure of the path.
    pub answer_time: Option<Duration>,
    /// A hint that was learnt, to be kept for the destination.
    pub hint: Option<crate::head::TcpOptions>,
}
