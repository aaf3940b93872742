//! The packet that a busy server meets most: a data message in a datagram to one of its addresses, with nothing unusual before
//! it. All of its headers are read at once; any other packet, and any doubt, is for the steps of the whole parser.

use std::net::Ipv4Addr;

use wire::checksum::Sum;
use wire::{ipv4, ipv6, udp};
use wireguard::message::{ClientId, DATA, DATA_LEN_MIN};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::Home;
use crate::frame::{Endpoint, Frame, Kind};
use crate::packet::{Address, Ip, is_no_source};

/// Everything before the message's receiver, over IPv4.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Front4 {
    ip: [u8; ipv4::HEADER_LEN],
    behind: Behind,
}

/// The same over IPv6.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Front6 {
    ip: ipv6::Header,
    behind: Behind,
}

/// What stands behind the IP header.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Behind {
    udp: udp::Header,
    kind: u8,
    reserved: [u8; 3],
}

impl Behind {
    /// Whether it may be a data message to `WireGuard`'s port, if the protocol is UDP.
    #[inline]
    fn is_message(&self, protocol: u8, home: &Home<'_>) -> bool {
        let port = self.udp.destination_port.get();
        protocol == udp::PROTOCOL && port == home.site.listen_port && self.kind == DATA
    }
}

const DATAGRAM_MIN: usize = udp::HEADER_LEN + DATA_LEN_MIN;

/// Reads such a packet over IPv4 and moves the frame's start to the message; leaves any other as it is, and says so.
#[inline]
pub(super) fn message4(frame: &mut Frame<'_>, home: &Home<'_>, port: u8) -> bool {
    let Ok((Front4 { ip: octets, behind }, _)) = Front4::ref_from_prefix(frame.data()) else {
        return false;
    };
    let header: &ipv4::Header = zerocopy::transmute_ref!(octets);
    if !behind.is_message(header.protocol, home) {
        return false;
    }
    let is_plain = header.is_plain() && Sum::of_header(octets).is_intact();
    let source = Ipv4Addr::from(header.source).into();
    is_plain && take(frame, (home, port), (Ip::plain_v4(header), source))
}

/// The same over IPv6.
#[inline]
pub(super) fn message6(frame: &mut Frame<'_>, home: &Home<'_>, port: u8) -> bool {
    let Ok((Front6 { ip: header, behind }, _)) = Front6::ref_from_prefix(frame.data()) else {
        return false;
    };
    if !behind.is_message(header.next_header, home) {
        return false;
    }
    let Some(ip) = Ip::plain_v6(header) else { return false };
    let source = Address::from(u128::from_be_bytes(header.source));
    // No IPv6 packet passes for one of the other family.
    let is_plain =
        header.version_class_flow.get() >> 28 == 6 && !source.is_v4() && !ip.destination.is_v4();
    is_plain && take(frame, (home, port), (ip, source))
}

/// Takes the message out of a packet whose headers were read, if what they say of lengths, addresses and checksum is in order.
#[expect(clippy::inline_always, reason = "what is called gets its arguments through memory")]
#[inline(always)]
fn take(frame: &mut Frame<'_>, (home, port): (&Home<'_>, u8), (ip, source): (Ip, Address)) -> bool {
    let (site, headers) = (home.site, usize::from(ip.payload_offset));
    let data = frame.data();
    let Some(datagram) = data.get(headers..usize::from(ip.len)) else { return false };
    let Ok((Behind { udp, reserved, .. }, _)) = Behind::ref_from_prefix(datagram) else {
        return false;
    };
    let is_right = datagram.len() >= DATAGRAM_MIN
        && usize::from(udp.length.get()) == datagram.len()
        && home.has_plain_port
        && !is_no_source(source);
    if !is_right || !site.owns(ip.destination) || site.owns(source) {
        return false;
    }
    if !frame.note.verified && !is_intact(&ip, source, datagram) {
        return false;
    }
    let (client_id, remote_port) = (ClientId(*reserved), udp.source_port.get());
    let is_moved = frame.set_len(ip.len.into()).is_ok();
    if !is_moved || frame.pull(headers + udp::HEADER_LEN).is_err() {
        return false;
    }
    if let Some(reserved) = frame.data_mut().get_mut(1..4) {
        reserved.fill(0);
    }
    let note = &mut *frame.note;
    note.endpoint = Endpoint { remote: source, local: ip.destination, remote_port, port };
    note.tos = ip.tos;
    note.client_id = client_id;
    note.kind = Kind::Sealed;
    note.ip = ip;
    true
}

/// Whether the datagram's checksum is right, or not there over IPv4.
fn is_intact(ip: &Ip, source: Address, datagram: &[u8]) -> bool {
    match (source.v4(), ip.destination.v4()) {
        (Some(from), Some(to)) => udp::verify_v4(from, to, datagram),
        _ => udp::verify_v6(source.v6(), ip.destination.v6(), datagram),
    }
    .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Entry, Note};
    use crate::pipeline::State;
    use crate::stages::parse::locate;
    use crate::testing::packets::{self, Ip as Header};
    use crate::testing::server::Server;
    use crate::testing::site::{LISTEN_PORT, Plan, SERVER_V4, SERVER_V6};
    use proptest::prelude::*;
    use std::net::Ipv6Addr;

    const CLIENT_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
    const CLIENT_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 9);

    /// A data message with so many octets behind its header, in a frame to the server.
    fn frame(is_v4: bool, len: usize) -> Vec<u8> {
        let mut message = vec![0x5a; 16 + len];
        message[..4].copy_from_slice(&[DATA, 1, 2, 3]);
        let header = if is_v4 {
            Header { tos: 0xb9, ..Header::new(CLIENT_V4, SERVER_V4) }
        } else {
            Header { tos: 0xb9, ..Header::new(CLIENT_V6, SERVER_V6) }
        };
        packets::from_gateway(&header.udp(40_000, LISTEN_PORT, &message))
    }

    /// What becomes of a frame, with the short way and without it.
    fn located(state: &State, octets: &[u8], verified: bool, has_plain_port: bool) -> String {
        let State { site, fleet, filter, .. } = state;
        let home = Home { has_plain_port, ..Home::new(site, fleet, filter.rules()) };
        let mut note = Note::new(Entry::Own);
        note.begin(Entry::Wire(0), verified);
        let mut buffer = octets.to_vec();
        let len = buffer.len();
        buffer.resize(len + 64, 0xee);
        let mut frame = Frame::new(&mut buffer, 0, len, &mut note);
        let fate = locate(&mut frame, &home);
        let outcome = (fate, frame.start(), frame.len());
        format!("{outcome:?} {note:?} {buffer:x?}")
    }

    fn state() -> State {
        Server::new(&Plan::new(1).text(), 1).keeper.state(0)
    }

    #[test]
    fn a_data_message_takes_the_short_way_and_nothing_else_does() {
        let state = state();
        let home = Home::new(&state.site, &state.fleet, state.filter.rules());
        let takes = |octets: &[u8]| {
            let mut note = Note::new(Entry::Wire(0));
            let (mut buffer, is_v4) = (octets[14..].to_vec(), octets[12] == 8);
            let len = buffer.len();
            let mut frame = Frame::new(&mut buffer, 0, len, &mut note);
            let message = if is_v4 { message4 } else { message6 };
            message(&mut frame, &home, 0)
        };
        for is_v4 in [true, false] {
            assert!(takes(&frame(is_v4, 16)) && takes(&frame(is_v4, 100)), "{is_v4}");
            assert!(!takes(&frame(is_v4, 15)), "too short for a tag: {is_v4}");
            let mut handshake = frame(is_v4, 132);
            let at = if is_v4 { 42 } else { 62 };
            handshake[at] = 1;
            assert!(!takes(&handshake), "{is_v4}");
        }
    }

    #[test]
    fn the_short_way_leads_where_the_long_one_does() {
        let state = state();
        let changes = prop::collection::vec((0..80_usize, any::<u8>()), 0..4);
        let cut = prop::option::weighted(0.1, 0..100_usize);
        let [without_sum, mended] = [0.2, 0.8].map(prop::bool::weighted);
        let mut config = ProptestConfig::with_cases(4096);
        config.failure_persistence = None;
        proptest!(config, |(
            (is_v4, verified) in any::<(bool, bool)>(),
            (len, padding) in (0..80_usize, 0..3_usize),
            (changes, cut) in (changes, cut),
            (without_sum, mended) in (without_sum, mended),
        )| {
            let mut octets = frame(is_v4, len);
            let sum_at = if is_v4 { 14 + 20 + 6 } else { 14 + 40 + 6 };
            if without_sum {
                octets[sum_at..sum_at + 2].fill(0);
            }
            for (at, value) in changes {
                if let Some(octet) = octets.get_mut(at) {
                    *octet = value;
                }
            }
            if is_v4 && mended {
                octets[24..26].fill(0);
                let header: &[u8; 20] = octets[14..34].first_chunk().unwrap();
                let sum = Sum::of_header(header).finish();
                octets[24..26].copy_from_slice(&sum.to_be_bytes());
            }
            octets.extend(vec![0; padding]);
            octets.truncate(cut.unwrap_or(usize::MAX));
            let [short, long] = [true, false].map(|way| located(&state, &octets, verified, way));
            prop_assert_eq!(short, long);
        });
    }
}
