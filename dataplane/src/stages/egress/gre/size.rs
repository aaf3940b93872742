//! The size of what goes through a tunnel: segments are asked to fit, and packets that do not are split or refused.

use wire::tcp::{self, Flags};
use wire::{ipv4, ipv6};

use super::super::tunnels::Tunnel;
use crate::frame::Frame;
use crate::limits::MTU_MIN;

/// Octets of an IPv6 packet that every link carries (RFC 8200 5).
pub(super) const IPV6_MTU_MIN: u16 = 1280;

/// With the longest headers around it, IPv6 and GRE with checksum and key, it leaves by every port.
const _: () = assert!(IPV6_MTU_MIN + 40 + 12 <= MTU_MIN);

/// Lowers the MSS of a SYN or SYN-ACK so that segments sent by it fit into a tunnel as whole inner packets.
#[inline]
pub fn clamp(frame: &mut Frame<'_>, mtu: u16) {
    let ip = &frame.note.ip;
    if ip.protocol != tcp::PROTOCOL || ip.fragment && is_later_fragment(frame) {
        return;
    }
    let ip = &frame.note.ip;
    let headers = if ip.destination.is_v4() { ipv4::HEADER_LEN } else { ipv6::HEADER_LEN };
    let at = usize::from(ip.payload_offset);
    let segment = frame.data_mut().get_mut(at..).unwrap_or_default();
    if segment.get(FLAGS_AT).is_some_and(|flags| Flags(*flags).has(Flags::SYN)) {
        lower(segment, usize::from(mtu).saturating_sub(headers + tcp::HEADER_LEN));
    }
}

/// Where the flags are in a TCP header.
const FLAGS_AT: usize = 13;

/// Headers or options that cannot be are left as they are: their receiver judges them.
fn lower(segment: &mut [u8], mss_max: usize) {
    if let (Ok(located), Ok(mss_max)) = (tcp::parse(segment), u16::try_from(mss_max)) {
        let _is_lowered = tcp::clamp_mss(segment, &located, mss_max);
    }
}

#[cold]
fn is_later_fragment(frame: &Frame<'_>) -> bool {
    if frame.note.ip.destination.is_v4() {
        ipv4::parse_unverified(frame.data()).is_ok_and(|ip| ip.is_later_fragment())
    } else {
        ipv6::parse(frame.data()).is_ok_and(|ip| ip.is_later_fragment())
    }
}

/// What becomes of an inner packet by its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// It fits.
    Fits,
    /// It is to be sent in fragments of this size, even where it says otherwise.
    Split(u16),
    /// Its sender is to be told this size.
    Refuse(u16),
}

/// Measures an inner packet; `mtu` is the tunnel's, or less where an error about an outer packet has told so ([`translate`]).
///
/// [`translate`]: super::translate
#[inline]
pub fn fits(frame: &Frame<'_>, tunnel: &Tunnel, mtu: u16) -> Size {
    if frame.len() <= usize::from(mtu) { Size::Fits } else { exceeds(frame, tunnel, mtu) }
}

#[cold]
fn exceeds(frame: &Frame<'_>, tunnel: &Tunnel, mtu: u16) -> Size {
    if !frame.note.ip.destination.is_v4() {
        // Its sender need make none smaller.
        let mtu = mtu.max(IPV6_MTU_MIN);
        return if frame.len() <= usize::from(mtu) { Size::Fits } else { Size::Refuse(mtu) };
    }
    let dont_fragment = ipv4::parse_unverified(frame.data()).is_ok_and(|ip| ip.dont_fragment());
    if dont_fragment && !tunnel.clears_df { Size::Refuse(mtu) } else { Size::Split(mtu) }
}

#[cfg(test)]
mod tests;
