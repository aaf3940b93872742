//! The arithmetic of two legs that become one flow.
//!
//! With `L` octets of request and `H` octets of heads, our initial sequence number towards the next hop is the client's less
//! `L`, and that towards the client is the next hop's plus `H`: the first octets of payload coincide, and nothing but
//! addresses is rewritten. Who has answered the SYN before it knew the other side's number has a constant difference in
//! one direction. All of it is modulo 2^32.

use core::time::Duration;

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
}

impl Rewrite {
    /// The sequence number as the receiver knows it.
    #[inline]
    pub(crate) const fn sequence(&self, number: u32) -> u32 {
        number.wrapping_add(self.sequence)
    }

    /// The acknowledgment number as the receiver knows it.
    #[inline]
    pub(crate) const fn acknowledgment(&self, number: u32) -> u32 {
        number.wrapping_add(self.acknowledgment)
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
    /// What the near end's clock said last, and the far end's, where segments have timestamps, which pass unchanged.
    pub timestamps: Option<(u32, u32)>,
    /// After so much silence the far end is to be probed.
    pub keepalive: Option<Duration>,
    /// From our SYN to the answer, or from our request where that followed the SYN, if it was sent once: a measure of the path.
    pub answer_time: Option<Duration>,
}
