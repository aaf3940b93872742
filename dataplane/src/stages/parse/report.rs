//! ICMP errors about WireGuard messages that this fleet has sent. They come to any of its servers, as everything does,
//! and concern the one that has the client.

use wire::{icmp, ipv4, ipv6, udp};
use wireguard::message::{ClientId, CookieReply, DataHeader};

use crate::fleet::{Fleet, Membership};
use crate::frame::{Frame, Kind};
use crate::packet::Address;
use crate::site::Site;

/// Notes what an ICMP error is about, when it quotes a message that bears a client id; whether it does.
pub(super) fn is_about_us(frame: &mut Frame<'_>, site: &Site, fleet: &Fleet) -> bool {
    let is_icmp = matches!(frame.note.ip.protocol, icmp::v4::PROTOCOL | icmp::v6::PROTOCOL);
    if !is_icmp || frame.note.ip.fragment || !matches!(fleet.membership, Membership::Told(_)) {
        return false;
    }
    let Some(id) = quoted_id(frame, site) else { return false };
    frame.note.client_id = id;
    frame.note.kind = Kind::Report;
    true
}

/// The octets of a message that name its kind and its client.
const SHOWN: usize = 4;

const _: () = assert!(size_of::<DataHeader>() >= SHOWN && size_of::<CookieReply>() >= SHOWN);

fn quoted_id(frame: &Frame<'_>, site: &Site) -> Option<ClientId> {
    let ip = &frame.note.ip;
    let message = frame.data().get(usize::from(ip.payload_offset)..usize::from(ip.len))?;
    let is_error = match (ip.protocol, message.first()?) {
        // Destination unreachable, time exceeded, parameter problem (RFC 792).
        (icmp::v4::PROTOCOL, kind) => matches!(kind, 3 | 11 | 12),
        // All errors have the high bit clear (RFC 4443 2.1).
        (_, kind) => *kind < 128,
    };
    if !is_error {
        return None;
    }
    let quote = message.get(icmp::HEADER_LEN..)?;
    let (source, at) = if ip.protocol == icmp::v4::PROTOCOL {
        let quoted = ipv4::parse_quoted(quote).ok()?;
        (Address::from(quoted.source), quoted.payload_offset)
    } else {
        let quoted = ipv6::parse_quoted(quote).ok()?;
        (Address::from(quoted.source), quoted.payload_offset)
    };
    let datagram = quote.get(at..)?;
    let ports = udp::parse_start(datagram).ok()?.ports;
    if source != ip.destination || ports.source != site.listen_port {
        return None;
    }
    let shown: &[u8; SHOWN] = datagram.get(udp::HEADER_LEN..)?.first_chunk()?;
    let [kind, a, b, c] = *shown;
    // Without an id nothing says whose it was.
    ((1..=4).contains(&kind) && [a, b, c] != [0; 3]).then_some(ClientId([a, b, c]))
}
