//! Claims about what goes into tunnels and comes out of them.

mod golden;

use std::net::IpAddr;
use std::path::Path;

use proptest::prelude::*;
use wire::ecn::Ecn;
use wire::ipv4;

use super::*;
use crate::config::Config;
use crate::limits::HEADROOM;
use crate::stages::dos::lists::Master;
use crate::stages::egress::tunnels::Spec;
use crate::stages::egress::tunnels::tests::{ends, spec};
use crate::stages::route::NextHop;
use crate::testing::packets;
use crate::testing::site::{Plan, SERVER_V4, SERVER_V6};

/// The far ends of the tunnels here; this server is [`SERVER_V4`] and [`SERVER_V6`].
pub(super) const ROUTER_V4: &str = "198.51.100.2";
pub(super) const ROUTER_V6: &str = "2001:db8:7::2";

/// The ends of a tunnel over this family.
pub(super) fn ends_over(family: u8, key: Option<u32>) -> Ends {
    if family == 4 {
        ends(&SERVER_V4.to_string(), ROUTER_V4, key)
    } else {
        ends(&SERVER_V6.to_string(), ROUTER_V6, key)
    }
}

pub(super) fn tunnel(family: u8, key: Option<u32>) -> Tunnel {
    Tunnel::new(&spec(ends_over(family, key))).unwrap()
}

/// Tunnels whose numbers begin at 1.
pub(super) fn numbered(tunnels: impl IntoIterator<Item = Tunnel>) -> Tunnels {
    let all = std::iter::once(None).chain(tunnels.into_iter().map(Some)).collect();
    Tunnels::new(all, Vec::new(), 9)
}

/// Does something with a packet as the stages have it, with room before and behind, that came by port 5.
pub(super) fn with<T>(packet: &[u8], act: impl FnOnce(&mut Frame<'_>) -> T) -> T {
    let mut octets = vec![0xa5; HEADROOM + packet.len() + 64];
    octets[HEADROOM..][..packet.len()].copy_from_slice(packet);
    let mut note = Note::own(Kind::Unknown, Endpoint::NONE, NextHop::None);
    note.turned = true;
    let mut frame = Frame::new(&mut octets, HEADROOM, packet.len(), &mut note);
    let remote = frame.read_ip().unwrap();
    let local = frame.note.ip.destination;
    frame.note.endpoint = Endpoint { remote, local, remote_port: 0, port: 5 };
    act(&mut frame)
}

/// Octets that are written in hexadecimal digits.
pub(super) fn octets(hex: &str) -> Vec<u8> {
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    assert!(rest.is_empty());
    let octet = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.iter().map(|pair| octet(pair)).collect()
}

pub(super) fn site() -> Site {
    let config = Config::parse(&Plan::new(0).text(), Path::new("test.toml")).unwrap();
    Site::new(&config, &[[2, 0, 0, 0, 0, 1]], None)
}

/// What becomes of a packet from the network, and what is left of it.
fn taken_off(packet: &[u8], tunnels: &Tunnels) -> (Result<Decapped, Fate>, Vec<u8>) {
    let site = site();
    with(packet, |frame| (decap(frame, tunnels, &site), frame.data().to_vec()))
}

/// A packet from a router of this family to this server.
fn from_router(family: u8) -> packets::Ip {
    let Ends { local, remote, .. } = ends_over(family, None);
    packets::Ip::new(IpAddr::from(remote), IpAddr::from(local))
}

/// An inner packet of a tenant.
fn inner(family: u8) -> packets::Ip {
    let parse = |text: &str| text.parse::<IpAddr>().unwrap();
    if family == 4 {
        packets::Ip::new(parse("203.0.113.100"), parse("198.51.100.9"))
    } else {
        packets::Ip::new(parse("2001:db8:100::1"), parse("2001:db8:9::9"))
    }
}

const ETHERTYPE_V4: [u8; 4] = [0, 0, 8, 0];

/// What becomes of such a payload of GRE's protocol number over IPv4.
fn fate_of(payload: &[u8]) -> Result<Decapped, Fate> {
    let packet = from_router(4).packet(gre::PROTOCOL, payload);
    taken_off(&packet, &numbered([tunnel(4, None)])).0
}

fn dropped(reason: DropReason) -> Result<Decapped, Fate> {
    Err(Fate::Drop(reason))
}

#[test]
fn refuses_versions_reserved_bits_and_whatever_ends_within_the_header() {
    let inner = inner(4).udp(1, 2, b"hello");
    let full = [&[0xb0, 0, 8, 0], &[0; 12][..], &inner].concat();
    let refused = dropped(DropReason::EgressGreHeader);
    for len in 0..16 {
        assert_eq!(fate_of(&full[..len]), refused, "{len} octets");
    }
    assert_eq!(fate_of(&full), refused, "the checksum is wrong");
    for version in 1..8 {
        assert_eq!(fate_of(&[&[0, version, 8, 0], &inner[..]].concat()), refused);
    }
    for bits in [0x40, 0x08, 0x04] {
        assert_eq!(fate_of(&[&[bits, 0, 8, 0], &inner[..]].concat()), refused, "{bits:#x}");
    }
    assert!(fate_of(&[&[0x03, 0xf8, 8, 0], &inner[..]].concat()).is_ok(), "bits 6 to 12");
}

#[test]
fn refuses_fragments_of_outer_packets() {
    let whole = [&ETHERTYPE_V4, &inner(4).udp(1, 2, b"hello!!")[..]].concat();
    for (flags, is_refused) in [(0x4000_u16, false), (0x2000, true), (0x0001, true)] {
        let mut packet = from_router(4).packet(gre::PROTOCOL, &whole[..32]);
        packet[6..8].copy_from_slice(&flags.to_be_bytes());
        packet[10..12].fill(0);
        let checksum = wire::checksum::Sum::of(&packet[..20]).finish();
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        let fate = taken_off(&packet, &numbered([tunnel(4, None)])).0;
        assert_eq!(fate == dropped(DropReason::EgressGreHeader), is_refused, "{flags:#x}");
    }
}

#[test]
fn refuses_ends_and_keys_that_no_tunnel_has() {
    let inner = inner(4).udp(1, 2, b"hello");
    let keyed = |key: u32| [&[0x20, 0, 8, 0], &key.to_be_bytes()[..], &inner].concat();
    let plain = [&ETHERTYPE_V4, &inner[..]].concat();
    let of = |payload: &[u8], known: Option<u32>| {
        let packet = from_router(4).packet(gre::PROTOCOL, payload);
        let fate = taken_off(&packet, &numbered([tunnel(4, known)])).0;
        assert!(fate.is_ok() || fate == dropped(DropReason::EgressGreTunnel), "{fate:?}");
        fate.is_ok()
    };
    assert!(of(&plain, None) && of(&keyed(7), Some(7)) && of(&keyed(0), Some(0)));
    assert!(!of(&plain, Some(0)) && !of(&keyed(0), None), "no key is another than key 0");
    assert!(!of(&keyed(7), Some(8)));
    let tunnels = numbered([tunnel(4, None)]);
    let stranger = packets::Ip::new([198, 51, 100, 3], SERVER_V4).packet(gre::PROTOCOL, &plain);
    assert_eq!(taken_off(&stranger, &tunnels).0, dropped(DropReason::EgressGreTunnel));
    let other_end = packets::Ip::new([198, 51, 100, 2], [192, 0, 2, 2]);
    let other_end = other_end.packet(gre::PROTOCOL, &plain);
    assert_eq!(taken_off(&other_end, &tunnels).0, dropped(DropReason::EgressGreTunnel));
    let none = taken_off(&other_end, &Tunnels::default()).0;
    assert_eq!(none, dropped(DropReason::EgressGreTunnel));
}

#[test]
fn refuses_other_protocols_and_broken_inner_packets() {
    let refused = dropped(DropReason::EgressGrePayload);
    let (v4, v6) = (inner(4).udp(1, 2, b"hello"), inner(6).udp(1, 2, b"hello"));
    for (ethertype, inner) in [([8, 0], &v4), ([0x86, 0xdd], &v6)] {
        let of = |inner: &[u8]| fate_of(&[&[0, 0], &ethertype[..], inner].concat());
        assert!(of(inner).is_ok());
        for len in 0..inner.len() {
            assert_eq!(of(&inner[..len]), refused, "{len} octets");
        }
    }
    for (ethertype, inner) in
        [([0x86, 0xdd], &v4), ([8, 0], &v6), ([0x65, 0x58], &v4), ([0, 0], &v4), ([8, 6], &v4)]
    {
        assert_eq!(fate_of(&[&[0, 0], &ethertype[..], inner].concat()), refused, "{ethertype:x?}");
    }
    let mut damaged = v4;
    damaged[8] ^= 1;
    assert_eq!(fate_of(&[&ETHERTYPE_V4, &damaged[..]].concat()), refused);
}

#[test]
fn cuts_what_follows_the_outer_and_the_inner_packet() {
    let inner = inner(4).udp(1, 2, b"hello");
    let payload = [&ETHERTYPE_V4, &inner[..], b"trailer"].concat();
    let mut packet = from_router(4).packet(gre::PROTOCOL, &payload);
    packet.extend([0; 9]);
    let (fate, left) = taken_off(&packet, &numbered([tunnel(4, None)]));
    assert!(fate.is_ok());
    assert_eq!(left, inner);
}

#[test]
fn refuses_a_tunnel_to_this_server_inside_a_tunnel() {
    let from = ["203.0.113.100", "2001:db8:100::1"].map(|text| text.parse::<IpAddr>().unwrap());
    let (own_v4, own_v6) = (IpAddr::from(SERVER_V4), IpAddr::from(SERVER_V6));
    let (other_v4, other_v6) = (IpAddr::from([198, 51, 100, 9]), "2001:db8:9::9".parse().unwrap());
    for (from, to, is_refused) in [
        (from[0], own_v4, true),
        (from[1], own_v6, true),
        (from[0], other_v4, false),
        (from[1], other_v6, false),
    ] {
        let ethertype: u16 = if to.is_ipv4() { 0x0800 } else { 0x86dd };
        let of = |protocol| {
            let nested = packets::Ip::new(from, to).packet(protocol, &ETHERTYPE_V4);
            fate_of(&[&[0, 0], &ethertype.to_be_bytes()[..], &nested].concat())
        };
        assert_eq!(of(gre::PROTOCOL) == dropped(DropReason::EgressGreRecursion), is_refused);
        assert_eq!(of(gre::PROTOCOL).is_ok(), !is_refused);
        assert!(of(17).is_ok(), "anything else is for the routes to judge");
    }
}

#[test]
fn a_router_sends_from_its_tenants_prefixes_and_no_others() {
    let mut prefixes = Master::default();
    let net = |text: &str| text.parse().unwrap();
    prefixes.add(7, &[net("203.0.113.0/24"), net("2001:db8:100::/48")]);
    prefixes.add(8, &[net("203.0.114.0/24")]);
    let tenants = Tenants::new(prefixes.build().unwrap());
    let of = |tenant, source: &str| {
        let tunnel = Tunnel::new(&Spec { tenant, ..spec(ends_over(4, None)) }).unwrap();
        let source: IpAddr = source.parse().unwrap();
        let to = if source.is_ipv4() { "198.51.100.9" } else { "2001:db8:9::9" };
        let packet = packets::Ip::new(source, to.parse::<IpAddr>().unwrap()).packet(253, &[]);
        with(&packet, |frame| admit_source(frame, &tunnel, &tenants))
    };
    let refused = Err(Fate::Drop(DropReason::EgressGreSource));
    assert_eq!(of(7, "203.0.113.255"), Ok(()));
    assert_eq!(of(7, "2001:db8:100::1"), Ok(()));
    assert_eq!(of(8, "203.0.114.1"), Ok(()));
    for source in ["203.0.114.1", "203.0.115.1", "2001:db8:101::1", "192.0.2.1", "0.0.0.0"] {
        assert_eq!(of(7, source), refused, "{source}");
    }
    assert_eq!(of(OWN, "192.0.2.9"), refused, "what is no tenant's is nobody's");
}

/// Figure 4 of RFC 6040 by outer and inner field, Not-ECT, ECT(1), ECT(0), CE; `None` is a drop.
const FIGURE_4: [[Option<u8>; 4]; 4] = [
    [Some(0), Some(1), Some(2), Some(3)],
    [Some(0), Some(1), Some(1), Some(3)],
    [Some(0), Some(1), Some(2), Some(3)],
    [None, Some(3), Some(3), Some(3)],
];

fn families() -> impl Strategy<Value = u8> {
    prop_oneof![Just(4), Just(6)]
}

proptest! {
    #[test]
    fn what_goes_in_comes_out_with_what_the_way_says_of_congestion(
        (outer, within) in (families(), families()), key in any::<Option<u32>>(),
        (checksum, clears_df) in any::<(bool, bool)>(),
        (hash, identification) in any::<(u32, u16)>(), (tos, path) in (any::<u8>(), 0..4_u8),
 payload in prop::collection::vec(any::<u8>(), 0..1400),
    ) {
        let sent = packets::Ip { tos, ..inner(within) }.packet(253, &payload);
        let spec = Spec { checksum, clears_df, ..spec(ends_over(outer, key)) };
        // Seen from the other side, from where it is sent.
        let Ends { local, remote, .. } = spec.ends;
        let far = Spec { ends: Ends { local: remote, remote: local, key }, ..spec };
        let far = Tunnel::new(&far).unwrap();
        let mut packet = with(&sent, |frame| {
            encap(frame, &far, hash, identification).unwrap();
            frame.data().to_vec()
        });
        prop_assert_eq!(packet.len(), sent.len() + usize::from(far.overhead()));
        if outer == 4 {
            ipv4::Header::of(&mut packet).unwrap().set_ecn(Ecn::of(path));
        } else {
            ipv6::Header::of(&mut packet).unwrap().set_ecn(Ecn::of(path));
        }
        let tunnels = numbered([Tunnel::new(&spec).unwrap()]);
        let (fate, left) = taken_off(&packet, &tunnels);
        let ecn = FIGURE_4[usize::from(path)][usize::from(tos & 3)];
        let Some(ecn) = ecn else {
            prop_assert_eq!(fate, dropped(DropReason::EgressGreEcn));
            return Ok(());
        };
        let marked = packets::Ip { tos: tos & !3 | ecn, ..inner(within) };
        prop_assert_eq!(fate, Ok(Decapped::Inner(1)));
        prop_assert_eq!(left, marked.packet(253, &payload));
    }

    #[test]
    fn nothing_that_comes_stops_a_worker(
        payload in prop::collection::vec(any::<u8>(), 0..80),
        flags in prop::sample::select(vec![0_u8, 0x20, 0x10, 0x30]),
        ethertype in prop::sample::select(vec![0x0800_u16, 0x86dd, 0]),
        version in prop::sample::select(vec![0x45_u8, 0x46, 0x60]),
    ) {
        let mut likely = payload.clone();
        let header = [&[flags, 0], &ethertype.to_be_bytes()[..]].concat();
        for (octet, by) in likely.iter_mut().zip(header) {
            *octet = by;
        }
        let inner_at = 4 + 4 * usize::try_from(flags.count_ones()).unwrap();
        if let Some(octet) = likely.get_mut(inner_at) {
            *octet = version;
        }
        for payload in [payload, likely] {
            for family in [4, 6] {
                let packet = from_router(family).packet(gre::PROTOCOL, &payload);
                let _fate = taken_off(&packet, &numbered([tunnel(family, None)]));
            }
        }
    }
}
