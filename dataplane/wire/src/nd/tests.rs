//! Claims about neighbour discovery.

use super::*;
use proptest::prelude::*;

const ASKER_LINK: Mac = [2, 0, 0, 0, 0, 1];
const OUR_LINK: Mac = [2, 0, 0, 0, 0, 2];

/// From fe80::1 to ff02::1:ff00:2, asking for fe80::2.
const SOLICITATION_OCTETS: [u8; 32] = [
    135, 0, 0x7a, 0x97, 0, 0, 0, 0, // type, code, checksum, reserved
    0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, // target
    1, 1, 2, 0, 0, 0, 0, 1, // source link-layer address
];
/// From fe80::2 to fe80::1: solicited, override.
const ADVERTISEMENT_OCTETS: [u8; 32] = [
    136, 0, 0x18, 0x1a, 0x60, 0, 0, 0, // type, code, checksum, flags
    0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, // target
    2, 1, 2, 0, 0, 0, 0, 2, // target link-layer address
];

fn asker() -> Ipv6Addr {
    "fe80::1".parse().unwrap()
}

fn ours() -> Ipv6Addr {
    "fe80::2".parse().unwrap()
}

fn ip(source: Ipv6Addr, destination: Ipv6Addr) -> ipv6::Located {
    let fields = ipv6::Fields {
        source,
        destination,
        protocol: PROTOCOL,
        hop_limit: HOP_LIMIT,
        traffic_class: 0,
        flow_label: 0,
        payload_len: 0,
    };
    let mut octets = [0; 40];
    ipv6::emit(&mut octets, &fields).unwrap();
    ipv6::parse(&octets).unwrap()
}

fn advertisement(is_solicited: bool) -> Message {
    Message::Advertisement {
        target: ours(),
        target_link: Some(OUR_LINK),
        is_router: false,
        is_solicited,
        is_override: true,
    }
}

/// `octets` with the checksum made right for the addresses.
fn mended(ip: &ipv6::Located, octets: &[u8]) -> Vec<u8> {
    let mut octets = octets.to_vec();
    octets[2..4].fill(0);
    let sum = pseudo(ip.source, ip.destination, octets.len()).unwrap().plus(Sum::of(&octets));
    octets[2..4].copy_from_slice(&sum.finish().to_be_bytes());
    octets
}

#[test]
fn a_golden_solicitation_goes_both_ways() {
    let message = Message::solicit(ours(), ASKER_LINK);
    let group = solicited_node(ours());
    assert_eq!(parse(&ip(asker(), group), &SOLICITATION_OCTETS), Ok(message));
    let mut out = [0; 32];
    assert_eq!(emit(&mut out, asker(), group, &message), Ok(32));
    assert_eq!(out, SOLICITATION_OCTETS);
}

#[test]
fn a_golden_advertisement_goes_both_ways() {
    let (to, message) = Message::answer(asker(), ours(), OUR_LINK, false);
    assert_eq!((to, message), (asker(), advertisement(true)));
    assert_eq!(parse(&ip(ours(), asker()), &ADVERTISEMENT_OCTETS), Ok(message));
    let mut out = [0; 32];
    assert_eq!(emit(&mut out, ours(), asker(), &message), Ok(32));
    assert_eq!(out, ADVERTISEMENT_OCTETS);
}

#[test]
fn answers_an_asker_without_an_address_at_all_nodes() {
    let answer = Message::answer(Ipv6Addr::UNSPECIFIED, ours(), OUR_LINK, false);
    assert_eq!(answer, (ALL_NODES, advertisement(false)));
}

#[test]
fn derives_the_group_and_its_ethernet_address() {
    let target: Ipv6Addr = "2001:db8::1234:5678".parse().unwrap();
    let group = solicited_node(target);
    assert_eq!(group, "ff02::1:ff34:5678".parse::<Ipv6Addr>().unwrap());
    assert_eq!(multicast_mac(group), [0x33, 0x33, 0xff, 0x34, 0x56, 0x78]);
}

#[test]
fn refuses_what_passed_a_router() {
    let far = ipv6::Located { hop_limit: 254, ..ip(asker(), ours()) };
    let octets = mended(&far, &SOLICITATION_OCTETS);
    assert_eq!(parse(&far, &octets), Err(Malformed::HopLimit));
}

#[test]
fn refuses_wrong_checksums_codes_and_kinds() {
    let ip = ip(asker(), ours());
    assert_eq!(parse(&ip, &SOLICITATION_OCTETS), Err(Malformed::Checksum));
    let mut octets = SOLICITATION_OCTETS;
    octets[1] = 1;
    assert_eq!(parse(&ip, &mended(&ip, &octets)), Err(Malformed::Reserved));
    octets[0] = 137;
    assert_eq!(parse(&ip, &mended(&ip, &octets)), Err(Malformed::Kind));
    let udp = ipv6::Located { protocol: 17, ..ip };
    assert_eq!(parse(&udp, &SOLICITATION_OCTETS), Err(Malformed::Kind));
}

#[test]
fn refuses_every_truncation() {
    let ip = ip(asker(), ours());
    for len in 0..32 {
        let want = if len < 24 { Malformed::Truncated } else { Malformed::Options };
        let octets = &SOLICITATION_OCTETS[..len];
        let octets = if len < 4 { octets.to_vec() } else { mended(&ip, octets) };
        let want = if len == 24 { Ok(None) } else { Err(want) };
        let got = parse(&ip, &octets).map(|message| match message {
            Message::Solicitation { source_link, .. } => source_link,
            Message::Advertisement { .. } => Some(ASKER_LINK),
        });
        assert_eq!(got, want, "len {len}");
    }
}

#[test]
fn refuses_impossible_options_and_skips_unknown_ones() {
    let ip = ip(asker(), ours());
    for (at, value) in [(25, 0), (25, 2)] {
        let mut octets = SOLICITATION_OCTETS;
        octets[at] = value;
        assert_eq!(parse(&ip, &mended(&ip, &octets)), Err(Malformed::Options));
    }
    let unknown = [14, 1, 0, 0, 0, 0, 0, 0];
    let octets = [&SOLICITATION_OCTETS[..24], &unknown, &SOLICITATION_OCTETS[24..]].concat();
    let message = parse(&ip, &mended(&ip, &octets));
    assert_eq!(message, Ok(Message::solicit(ours(), ASKER_LINK)));
}

#[test]
fn a_solicitation_from_nobody_asks_the_group_and_names_no_link() {
    let nobody = ip(Ipv6Addr::UNSPECIFIED, solicited_node(ours()));
    let octets = mended(&nobody, &SOLICITATION_OCTETS);
    assert_eq!(parse(&nobody, &octets), Err(Malformed::Address));
    assert!(parse(&nobody, &mended(&nobody, &octets[..24])).is_ok());
    let unicast = ip(Ipv6Addr::UNSPECIFIED, ours());
    assert_eq!(parse(&unicast, &mended(&unicast, &octets[..24])), Err(Malformed::Address));
}

#[test]
fn an_advertisement_to_many_is_not_solicited() {
    let many = ip(ours(), ALL_NODES);
    let octets = mended(&many, &ADVERTISEMENT_OCTETS);
    assert_eq!(parse(&many, &octets), Err(Malformed::Address));
    let mut out = [0; 32];
    emit(&mut out, ours(), ALL_NODES, &advertisement(false)).unwrap();
    assert_eq!(parse(&many, &out), Ok(advertisement(false)));
}

#[test]
fn no_group_is_a_neighbour() {
    let ip = ip(asker(), ours());
    for (at, value) in [(8, 0xff), (26, 0x33)] {
        let mut octets = SOLICITATION_OCTETS;
        octets[at] = value;
        assert_eq!(parse(&ip, &mended(&ip, &octets)), Err(Malformed::Address), "octet {at}");
    }
}

#[test]
fn refuses_to_emit_without_room() {
    for len in 0..32 {
        let message = Message::solicit(ours(), ASKER_LINK);
        assert_eq!(emit(&mut vec![0; len], asker(), ours(), &message), Err(NoRoom));
    }
}

proptest! {
    #[test]
    fn emit_and_parse_agree(target: [u8; 16], link in any::<Option<Mac>>(), flags in 0..8_u8) {
        let target = Ipv6Addr::from(target);
        let link = link.map(|link| [link[0] & 0xfe, link[1], link[2], link[3], link[4], link[5]]);
        prop_assume!(!target.is_multicast());
        let advertisement = Message::Advertisement {
            target,
            target_link: link,
            is_router: flags & 1 != 0,
            is_solicited: flags & 2 != 0,
            is_override: flags & 4 != 0,
        };
        for message in [advertisement, Message::Solicitation { target, source_link: link }] {
            let mut out = [0; LEN_MAX];
            let len = emit(&mut out, ours(), asker(), &message).unwrap();
            prop_assert_eq!(parse(&ip(ours(), asker()), &out[..len]), Ok(message));
        }
    }

    #[test]
    fn no_options_panic(options in prop::collection::vec(prop_oneof![0..3_u8, any::<u8>()], 0..64)) {
        let ip = ip(asker(), ours());
        let octets = [&SOLICITATION_OCTETS[..24], &options].concat();
        let message = parse(&ip, &mended(&ip, &octets));
        prop_assert!(matches!(message, Ok(_) | Err(Malformed::Options | Malformed::Address)));
    }
}
