//! A tenant with a tunnel and rules of its own: what control says, packets to it, and what its router sends.
#![expect(
    clippy::wildcard_enum_match_arm,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "tests ask for reasons of these stages, with packets that fit"
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;
use shm::message::{DontFragment, Item, NextHop, Probe, ProbeStyle, SynGuard, Tunnel};
use wire::{gre, ipv4, ipv6};

use super::packets::{self, Ip};
use super::rules::{PROTECTED, STRANGER};
use super::site;
use crate::fate::DropReason as Why;

/// The tenant of [`super::rules::tenant`].
pub const TENANT: u32 = 9;
/// Its router, beyond the gateway.
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 77);
/// The same in IPv6.
pub const ROUTER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xb, 0, 0, 0, 0, 0x77);
/// Our address inside the tunnel.
pub const INSIDE: Ipv4Addr = Ipv4Addr::new(10, 255, 0, 0);
/// The router's.
pub const INSIDE_REMOTE: Ipv4Addr = Ipv4Addr::new(10, 255, 0, 1);

/// The tunnel to the router, without key or probe.
pub fn tunnel(id: u32) -> Tunnel {
    Tunnel {
        id,
        tenant: TENANT,
        local: site::SERVER_V4.into(),
        remote: ROUTER.into(),
        key: None,
        checksum: false,
        mtu: 0,
        dont_fragment: DontFragment::Honour,
        priority: 0,
        weight: 1,
        probe: None,
    }
}

/// A probe once a second.
pub fn probe() -> Probe {
    Probe {
        style: ProbeStyle::Request,
        local: INSIDE.into(),
        remote: INSIDE_REMOTE.into(),
        interval: Duration::from_secs(1),
    }
}

/// The tenant's rules.
pub fn ruleset(text: &str) -> Vec<Item> {
    let mut items = vec![Item::Ruleset(TENANT)];
    let pieces = text.as_bytes().chunks(100);
    items.extend(pieces.map(|text| Item::RulesetText { tenant: TENANT, text: text.into() }));
    items
}

/// The tenant, with a tunnel and these rules.
pub fn tenant(tunnel: Tunnel, rules: &str) -> Vec<Item> {
    let mut items = vec![super::rules::tenant(SynGuard::Off, false)];
    items.push(Item::Tunnel(Box::new(tunnel)));
    items.extend(ruleset(rules));
    items
}

/// The way to the Internet, for what comes out of the tunnel.
pub fn internet() -> Vec<Item> {
    let everywhere = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    let route = |address: IpAddr| Item::Route {
        prefix: IpNet::new(address, 0).expect("no prefix is shorter"),
        next_hop: 3,
    };
    let mut items = vec![Item::NextHop { id: 3, hop: NextHop::Direct }];
    items.extend(everywhere.map(route));
    items
}

/// What takes the tenant back.
pub fn undone() -> Vec<Item> {
    vec![Item::TunnelRemove(1), Item::TenantRemove(TENANT)]
}

/// An inner packet in GRE, from the router to the server, under these fields.
pub fn from_router(fields: &gre::Fields, inner: &[u8]) -> Vec<u8> {
    wrapped(Ip::new(ROUTER, site::SERVER_V4), fields, inner)
}

/// An inner packet in GRE under these fields, in an outer packet.
pub fn wrapped(outer: Ip, fields: &gre::Fields, inner: &[u8]) -> Vec<u8> {
    let mut payload = vec![0; fields.header_len()];
    payload.extend(inner);
    gre::emit(&mut payload, fields).expect("it fits");
    outer.packet(gre::PROTOCOL, &payload)
}

/// A GRE header without optional fields, for this inner packet.
pub fn plain(inner: &[u8]) -> gre::Fields {
    let is_v4 = inner.first().is_some_and(|octet| octet >> 4 == 4);
    let protocol = if is_v4 { ipv4::ETHERTYPE } else { ipv6::ETHERTYPE };
    gre::Fields { protocol, key: None, sequence: None, with_checksum: false }
}

/// What is in a frame of GRE from the server: from which of its addresses, to whom, the header, and the inner packet.
pub fn in_gre(frame: &[u8]) -> Option<(IpAddr, IpAddr, gre::Located, Vec<u8>)> {
    let (outline, packet) = packets::packet_in(frame)?;
    let payload = packet.get(outline.payload_offset..outline.len)?;
    let header = (outline.protocol == gre::PROTOCOL).then(|| gre::parse(payload).ok())??;
    let inner = payload.get(header.payload_offset..)?.to_vec();
    Some((outline.source, outline.destination, header, inner))
}

/// Marks an IPv4 packet as a fragment: its identification, the octets of the datagram before it, whether others follow.
pub fn fragment(packet: &mut [u8], identification: u16, offset: u16, more: bool) {
    let header = packet.get_mut(..ipv4::HEADER_LEN).expect("it has a header");
    let word = (offset / 8) | if more { 0x2000 } else { 0 };
    for (at, value) in [(4, identification), (6, word)] {
        header.get_mut(at..at + 2).expect("it lies within").copy_from_slice(&value.to_be_bytes());
    }
    mend(packet);
}

/// What control says for a packet to be dropped for this reason.
pub fn rules(reason: Why) -> Vec<Item> {
    let rules = match reason {
        Why::TenantRule => "udp dport 53 drop",
        Why::TenantPolicy => "policy drop\ntcp dport 80 accept",
        _ => "",
    };
    let mut items = tenant(tunnel(1), rules);
    if reason == Why::EgressNoNat {
        let prefix = IpAddr::from(STRANGER).into();
        items.push(Item::NextHop { id: 3, hop: NextHop::Direct });
        items.push(Item::Route { prefix, next_hop: 3 });
    }
    items
}

/// The packets of which the last is dropped then, from their IP headers on.
pub fn packets(reason: Why) -> Vec<Vec<u8>> {
    let to_tenant = || Ip::new(STRANGER, PROTECTED).udp(4000, 53, b"a question");
    let reply = || Ip::new(PROTECTED, STRANGER).udp(53, 4000, b"an answer");
    let inner = |packet: Vec<u8>| from_router(&plain(&packet), &packet);
    let piece = |identification| {
        let mut packet = to_tenant();
        packet.truncate(ipv4::HEADER_LEN + 16);
        let len = u16::try_from(packet.len()).unwrap_or(0).to_be_bytes();
        packet.get_mut(2..4).expect("it has a header").copy_from_slice(&len);
        fragment(&mut packet, identification, 0, true);
        packet
    };
    match reason {
        Why::TenantFragment => vec![piece(1), piece(1)],
        Why::TenantFragmentLost => vec![piece(1)],
        Why::TenantFragmentsFull => (1..=257).map(piece).collect(),
        Why::EgressGreHeader => {
            let mut packet = inner(reply());
            // Version 1, which is another protocol's (RFC 2637).
            *packet.get_mut(ipv4::HEADER_LEN + 1).expect("it has a header") = 1;
            vec![packet]
        }
        Why::EgressGreTunnel => {
            let packet = reply();
            vec![from_router(&gre::Fields { key: Some(7), ..plain(&packet) }, &packet)]
        }
        Why::EgressGrePayload => vec![inner(vec![0x45; 10])],
        Why::EgressGreSource => vec![inner(Ip::new(STRANGER, PROTECTED).udp(1, 2, b"not his"))],
        Why::EgressGreRecursion => {
            vec![inner(Ip::new(PROTECTED, site::SERVER_V4).packet(gre::PROTOCOL, &[0; 4]))]
        }
        Why::EgressGreEcn => {
            let mut packet = inner(reply());
            // Congestion outside, and a transport inside that knows none (RFC 6040 4.2).
            *packet.get_mut(1).expect("it has a header") = 0b11;
            mend(&mut packet);
            vec![packet]
        }
        _ => vec![to_tenant()],
    }
}

/// Puts an IPv4 header's checksum right.
pub fn mend(packet: &mut [u8]) {
    let header = packet.get_mut(..ipv4::HEADER_LEN).expect("it has a header");
    header.get_mut(10..12).expect("it lies within").fill(0);
    let sum = wire::checksum::Sum::of(header).finish();
    header.get_mut(10..12).expect("it lies within").copy_from_slice(&sum.to_be_bytes());
}
