//! ICMP errors about outer packets: what they say about a tunnel, and the same said to who has sent the inner packet
//! (RFC 2003 4 and 5.1, RFC 2473 8).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use wire::{gre, icmp, ipv4, ipv6};

use super::super::tunnels::{Ends, Tunnel, Tunnels};
use super::size::IPV6_MTU_MIN;
use crate::frame::{Frame, Kind};
use crate::packet::{Address, Ip};
use crate::stages::dos::Tenants;
use crate::stages::route::icmp as turn;

/// What an error tells about a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The tunnel's number.
    pub tunnel: u16,
    /// The largest inner packet that fits its path, when the error is about that and it is less than the tunnel's.
    pub mtu: Option<u16>,
    /// The frame is now the error about the inner packet, to be routed to who has sent it; else it is as it came.
    pub turned: bool,
}

/// Reads an ICMP packet from the network to one of our addresses; none when it is not an error about a packet in a tunnel.
/// Who can tell a tunnel's ends and key can forge one, so sizes are believed down to a floor only, and not at all where
/// the error is about a packet that was not one to the tunnel's tenant. Errors of routers that quote too little to see that
/// are believed (RFC 792: eight octets of what follows the IP header).
///
/// `source` is asked once all else is in order, and gives our address from which a sender is told; none tells nobody.
#[cold]
pub fn translate(
    frame: &mut Frame<'_>,
    (tunnels, tenants): (&Tunnels, &Tenants),
    source: impl FnOnce(Address) -> Option<IpAddr>,
) -> Option<Report> {
    let ip = frame.note.ip;
    if ip.fragment || tunnels.is_empty() {
        return None;
    }
    let error = read_error(frame, &ip)?;
    let quoted = read_quote(frame.data().get(error.quote.clone())?, ip.destination)?;
    let (number, tunnel) = tunnels.of(&quoted.ends)?;
    let at = error.quote.start;
    let range = at + quoted.inner.start..at + quoted.inner.end;
    let octets = frame.data().get(range.clone())?;
    let inner = Inner::read(octets, quoted.ethertype);
    if inner.is_some_and(|inner| tenants.of(inner.destination()) != tunnel.tenant) {
        return Some(Report { tunnel: number, mtu: None, turned: false });
    }
    let mtu = error.mtu.map(|mtu| inner_mtu(mtu, tunnel)).filter(|mtu| *mtu < tunnel.mtu);
    let notice = mtu.and_then(|mtu| inner?.notice(octets, mtu, source));
    let turned = notice.and_then(|notice| write(frame, range, &notice));
    Some(Report { tunnel: number, mtu, turned: turned.is_some() })
}

/// An ICMP error.
struct Error {
    /// The size that fits, when it is about that; 0 from routers that do not say.
    mtu: Option<u32>,
    /// Where the packet that it is about lies in the frame.
    quote: Range<usize>,
}

fn read_error(frame: &Frame<'_>, ip: &Ip) -> Option<Error> {
    let (at, end) = (usize::from(ip.payload_offset), usize::from(ip.len));
    let message = frame.data().get(at..end)?;
    let quote_at = at + icmp::HEADER_LEN;
    match (ip.protocol, ip.destination.v4()) {
        (icmp::v4::PROTOCOL, Some(_)) => {
            let error = icmp::v4::parse(message).ok().filter(icmp::Located::is_error_v4)?;
            // Where other things follow the packet, its length is told in words (RFC 4884 4.1).
            let [_, words, ..] = error.rest;
            let extended = quote_at + usize::from(words) * 4;
            let end = if words == 0 { end } else { end.min(extended) };
            Some(Error { mtu: error.mtu_v4().map(u32::from), quote: quote_at..end })
        }
        (icmp::v6::PROTOCOL, None) => {
            let from = frame.note.endpoint.remote.v6();
            let error = icmp::v6::parse(from, ip.destination.v6(), message).ok()?;
            error.is_error_v6().then(|| Error { mtu: error.mtu_v6(), quote: quote_at..end })
        }
        _ => None,
    }
}

/// An outer packet as an error quotes it.
struct Quoted {
    ends: Ends,
    /// Of the inner packet.
    ethertype: u16,
    /// Where that lies in the quote, as far as it does.
    inner: Range<usize>,
}

/// Reads the packet that an error to `local` is about: a GRE packet from there, whose header is all there.
fn read_quote(quote: &[u8], local: Address) -> Option<Quoted> {
    let (source, remote, protocol, at, len) = if local.is_v4() {
        let ip = ipv4::parse_quoted(quote).ok().filter(|ip| !ip.is_later_fragment())?;
        let (from, to) = (Address::from(ip.source), Address::from(ip.destination));
        (from, to, ip.protocol, ip.payload_offset, ip.payload_len)
    } else {
        let ip = ipv6::parse_quoted(quote).ok().filter(|ip| !ip.is_later_fragment())?;
        let (from, to) = (Address::from(ip.source), Address::from(ip.destination));
        (from, to, ip.protocol, ip.payload_offset, ip.payload_len)
    };
    if source != local || protocol != gre::PROTOCOL {
        return None;
    }
    let header = gre::parse_quoted(quote.get(at..at + len)?).ok()?;
    let ends = Ends { local, remote, key: header.key };
    let inner = at + header.payload_offset..at + len;
    Some(Quoted { ends, ethertype: header.protocol, inner })
}

/// Octets of an IPv4 packet that every host takes (RFC 791 3.1): no size below is believed.
const IPV4_MTU_MIN: u16 = 576;

/// The largest inner packet where an outer one may have so many octets.
fn inner_mtu(outer: u32, tunnel: &Tunnel) -> u16 {
    let outer = u16::try_from(outer).unwrap_or(u16::MAX);
    if tunnel.ends.remote.is_v4() {
        outer.saturating_sub(tunnel.overhead()).max(IPV4_MTU_MIN)
    } else {
        outer.max(IPV6_MTU_MIN) - tunnel.overhead()
    }
}

/// What the sender of an inner packet is told, and by whom.
enum Notice {
    V4 { error: icmp::v4::Error, source: Ipv4Addr, destination: Ipv4Addr },
    V6 { error: icmp::v6::Error, source: Ipv6Addr, destination: Ipv6Addr },
}

/// Octets behind the inner IP header that an error has to quote (RFC 792): by them its sender knows the flow.
const SHOWN: usize = 8;

/// The header of an inner packet as an error quotes it.
#[derive(Clone, Copy)]
enum Inner {
    V4(ipv4::Located),
    V6(ipv6::Located),
}

impl Inner {
    /// None when it is not all there.
    fn read(octets: &[u8], ethertype: u16) -> Option<Self> {
        match ethertype {
            ipv4::ETHERTYPE => ipv4::parse_quoted(octets).ok().map(Self::V4),
            ipv6::ETHERTYPE => ipv6::parse_quoted(octets).ok().map(Self::V6),
            _ => None,
        }
    }

    fn destination(&self) -> Address {
        match self {
            Self::V4(ip) => ip.destination.into(),
            Self::V6(ip) => ip.destination.into(),
        }
    }

    /// What is to be told to who has sent it; none when `octets` hold too little of it, or no error may be sent about it, or
    /// none is wanted because it may be fragmented.
    fn notice(
        &self,
        octets: &[u8],
        mtu: u16,
        source: impl FnOnce(Address) -> Option<IpAddr>,
    ) -> Option<Notice> {
        let shown = |at: usize| octets.get(at..).filter(|payload| payload.len() >= SHOWN);
        match self {
            Self::V4(ip) => {
                let payload = shown(ip.payload_offset)?;
                if !ip.dont_fragment() || !icmp::v4::may_answer(ip, payload, false) {
                    return None;
                }
                let error = icmp::v4::Error::FragmentationNeeded { mtu };
                let IpAddr::V4(source) = source(ip.source.into())? else { return None };
                Some(Notice::V4 { error, source, destination: ip.source })
            }
            Self::V6(ip) => {
                let payload = shown(ip.payload_offset)?;
                let error = icmp::v6::Error::PacketTooBig { mtu: mtu.max(IPV6_MTU_MIN).into() };
                if !icmp::v6::may_answer(error, ip, payload, false) {
                    return None;
                }
                let IpAddr::V6(source) = source(ip.source.into())? else { return None };
                Some(Notice::V6 { error, source, destination: ip.source })
            }
        }
    }
}

/// Puts the notice in the place of the error, about the inner packet that lies in it. It is never longer: what it is put
/// before was behind two IP headers.
fn write(frame: &mut Frame<'_>, inner: Range<usize>, notice: &Notice) -> Option<()> {
    frame.pull(inner.start).ok()?;
    frame.set_len(inner.len()).ok()?;
    match *notice {
        Notice::V4 { error, source, destination } => {
            turn::write_v4(frame, error, source, destination)?;
        }
        Notice::V6 { error, source, destination } => {
            turn::write_v6(frame, error, source, destination)?;
        }
    }
    frame.note.kind = Kind::Inner;
    frame.note.turned = true;
    Some(())
}

#[cfg(test)]
mod tests;
