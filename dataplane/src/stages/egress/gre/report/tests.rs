//! Claims about errors that tell of outer packets, also with those that Scapy 2.8.0 has made.

use proptest::prelude::*;
use wire::checksum::Sum;

use super::super::tests::{ends_over, numbered, octets, tunnel, with};
use super::*;
use crate::stages::dos::lists::Master;
use crate::stages::egress::tunnels::Spec;
use crate::stages::egress::tunnels::tests::spec;
use crate::testing::packets;
use crate::testing::site::{SERVER_V4, SERVER_V6};

/// Families of the outer and the inner packet, key, a router's error that 1400 octets fit, and what the inner packet's
/// sender is told.
#[rustfmt::skip]
const GOLDEN: &[(u8, u8, Option<u32>, &str, &str)] = &[
    (4, 4, None, "45000060000700004001f281c6120001c00002010304672f00000578450005b800004000322f56e0c0000201c633640200000800450005a0000040003c11d2abc6336409cb0071640fa001bb058c12346d696c6c726163656d696c6c72616365", "450000480000400040014e77c0000201c633640903046f4700000560450005a0000040003c11d2abc6336409cb0071640fa001bb058c12346d696c6c726163656d696c6c72616365"),
    (4, 4, Some(9), "45000064000700004001f27dc6120001c00002010304472600000578450005bc00004000322f56dcc0000201c63364022000080000000009450005a0000040003c11d2abc6336409cb0071640fa001bb058c12346d696c6c726163656d696c6c72616365", "450000480000400040014e77c0000201c633640903046f4b0000055c450005a0000040003c11d2abc6336409cb0071640fa001bb058c12346d696c6c726163656d696c6c72616365"),
    (4, 6, None, "45000074000700004001f26dc6120001c00002010304152c00000578450005b800004000322f56e0c0000201c6336402000086dd600000000578113c20010db800090000000000000000000920010db80100000000000000000000010fa001bb057812346d696c6c726163656d696c6c72616365", "6000000000483a4020010db800000000000000000000000120010db80009000000000000000000090200411e00000560600000000578113c20010db800090000000000000000000920010db80100000000000000000000010fa001bb057812346d696c6c726163656d696c6c72616365"),
    (4, 6, Some(9), "45000078000700004001f269c6120001c00002010304f52200000578450005bc00004000322f56dcc0000201c6336402200086dd00000009600000000578113c20010db800090000000000000000000920010db80100000000000000000000010fa001bb057812346d696c6c726163656d696c6c72616365", "6000000000483a4020010db800000000000000000000000120010db8000900000000000000000009020041220000055c600000000578113c20010db800090000000000000000000920010db80100000000000000000000010fa001bb057812346d696c6c726163656d696c6c72616365"),
    (6, 4, None, "6000000000603a4020010db800050000000000000000000520010db800000000000000000000000102001bc9000005786000000005a42f3220010db800000000000000000000000120010db800070000000000000000000200000800450005a0000040003c11d2abc6336409cb0071640fa001bb058c12346d696c6c726163656d696c6c72616365", "450000480000400040014e77c0000201c633640903046f5b0000054c450005a0000040003c11d2abc6336409cb0071640fa001bb058c12346d696c6c726163656d696c6c72616365"),
    (6, 4, Some(9), "6000000000643a4020010db800050000000000000000000520010db80000000000000000000000010200fbb7000005786000000005a82f3220010db800000000000000000000000120010db80007000000000000000000022000080000000009450005a0000040003c11d2abc6336409cb0071640fa001bb058c12346d696c6c726163656d696c6c72616365", "450000480000400040014e77c0000201c633640903046f5f00000548450005a0000040003c11d2abc6336409cb0071640fa001bb058c12346d696c6c726163656d696c6c72616365"),
    (6, 6, None, "6000000000743a4020010db800050000000000000000000520010db80000000000000000000000010200c9b1000005786000000005a42f3220010db800000000000000000000000120010db8000700000000000000000002000086dd600000000578113c20010db800090000000000000000000920010db80100000000000000000000010fa001bb057812346d696c6c726163656d696c6c72616365", "6000000000483a4020010db800000000000000000000000120010db8000900000000000000000009020041320000054c600000000578113c20010db800090000000000000000000920010db80100000000000000000000010fa001bb057812346d696c6c726163656d696c6c72616365"),
    (6, 6, Some(9), "6000000000783a4020010db800050000000000000000000520010db80000000000000000000000010200a9a0000005786000000005a82f3220010db800000000000000000000000120010db8000700000000000000000002200086dd00000009600000000578113c20010db800090000000000000000000920010db80100000000000000000000010fa001bb057812346d696c6c726163656d696c6c72616365", "6000000000483a4020010db800000000000000000000000120010db80009000000000000000000090200413600000548600000000578113c20010db800090000000000000000000920010db80100000000000000000000010fa001bb057812346d696c6c726163656d696c6c72616365"),
];

/// Our addresses of each family, as far as there is one.
#[derive(Clone, Copy, Default)]
struct Sources {
    v4: Option<Ipv4Addr>,
    v6: Option<Ipv6Addr>,
}

const SOURCES: Sources = Sources { v4: Some(SERVER_V4), v6: Some(SERVER_V6) };

/// Tenant 7 has all inner destinations of the rows.
fn tenants() -> Tenants {
    let mut prefixes = Master::default();
    let nets = ["203.0.113.0/24", "2001:db8:100::/48"].map(|net| net.parse().unwrap());
    prefixes.add(7, &nets);
    Tenants::new(prefixes.build().unwrap())
}

/// What an error tells, and what the frame is afterwards.
fn translated(packet: &[u8], tunnels: &Tunnels, sources: Sources) -> (Option<Report>, Vec<u8>) {
    with(packet, |frame| {
        frame.note.turned = false;
        let source = |sender: Address| {
            let (v4, v6) = (sources.v4.map(IpAddr::from), sources.v6.map(IpAddr::from));
            if sender.is_v4() { v4 } else { v6 }
        };
        let report = translate(frame, (tunnels, &tenants()), source);
        let turned = report.is_some_and(|report| report.turned);
        assert_eq!(frame.note.turned, turned);
        assert_eq!(frame.note.kind == Kind::Inner, turned);
        (report, frame.data().to_vec())
    })
}

/// The octets of an ICMP header and of the IP header before it.
fn quote_at(family: u8) -> usize {
    if family == 4 { 28 } else { 48 }
}

/// The error of a row with another quote, of this type, code and rest.
fn error(family: u8, header: [u8; 8], quote: &[u8]) -> Vec<u8> {
    let (from, to) = if family == 4 {
        ([198, 18, 0, 1].into(), SERVER_V4.into())
    } else {
        ("2001:db8:5::5".parse().unwrap(), IpAddr::from(SERVER_V6))
    };
    let mut message = [&header, quote].concat();
    message[2..4].fill(0);
    let len = u16::try_from(message.len()).unwrap();
    let pseudo = match (from, to) {
        (IpAddr::V6(from), IpAddr::V6(to)) => Sum::pseudo_v6(from, to, icmp::v6::PROTOCOL, len),
        _ => Sum::ZERO,
    };
    let checksum = pseudo.plus(Sum::of(&message)).finish();
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    let protocol = if family == 4 { icmp::v4::PROTOCOL } else { icmp::v6::PROTOCOL };
    packets::Ip::new(from, to).packet(protocol, &message)
}

/// Type, code and MTU of "too big".
fn too_big(family: u8, mtu: u16) -> [u8; 8] {
    let [high, low] = mtu.to_be_bytes();
    if family == 4 { [3, 4, 0, 0, 0, 0, high, low] } else { [2, 0, 0, 0, 0, 0, high, low] }
}

#[test]
fn tells_a_golden_error_to_who_has_sent_the_inner_packet() {
    for (outer, inner, key, error, told) in GOLDEN {
        let tunnels = numbered([tunnel(*outer, Some(1)), tunnel(*outer, *key)]);
        let mtu = 1400 - tunnels.get(2).unwrap().overhead();
        let (report, left) = translated(&octets(error), &tunnels, SOURCES);
        let want = Report { tunnel: 2, mtu: Some(mtu), turned: true };
        assert_eq!((report, left), (Some(want), octets(told)), "{outer}, {inner}, {key:?}");
    }
}

#[test]
fn a_quote_of_eight_octets_of_the_inner_payload_is_enough_and_less_tells_the_size_alone() {
    for (outer, inner, key, whole, told) in GOLDEN {
        let (whole, told) = (octets(whole), octets(told));
        let tunnels = numbered([tunnel(*outer, *key)]);
        let overhead = usize::from(tunnels.get(1).unwrap().overhead());
        let headers = overhead + if *inner == 4 { 20 } else { 40 };
        let quote = &whole[quote_at(*outer)..];
        for len in 0..quote.len() {
            let packet = error(*outer, too_big(*outer, 1400), &quote[..len]);
            let (report, left) = translated(&packet, &tunnels, SOURCES);
            assert_eq!(report.is_some(), len >= overhead, "{len} octets");
            let turned = report.is_some_and(|report| report.turned);
            assert_eq!(turned, len >= headers + 8, "{len} octets");
            if turned {
                let at = quote_at(*inner);
                assert_eq!(left[at..], told[at..][..len - overhead], "{len} octets");
            } else {
                assert_eq!(left, packet, "it is as it came");
            }
        }
    }
}

/// A whole quote over this family, around this family, without a key.
fn quote(outer: u8, inner: u8) -> Vec<u8> {
    let row = GOLDEN.iter().find(|row| (row.0, row.1, row.2) == (outer, inner, None)).unwrap();
    octets(row.3)[quote_at(outer)..].to_vec()
}

#[test]
fn believes_sizes_down_to_a_floor_only() {
    let of = |family, mtu| {
        let packet = error(family, too_big(family, mtu), &quote(family, 6));
        let (report, left) = translated(&packet, &numbered([tunnel(family, None)]), SOURCES);
        (report.unwrap().mtu, report.unwrap().turned.then(|| left[46..48].try_into().unwrap()))
    };
    let told = |mtu: u16| Some(mtu.to_be_bytes());
    assert_eq!(of(4, 1499), (Some(1475), told(1475)));
    assert_eq!(of(4, 601), (Some(577), told(1280)), "IPv6 is told no less than 1280");
    assert_eq!(of(4, 599), (Some(576), told(1280)));
    assert_eq!(of(4, 0), (Some(576), told(1280)), "a router that does not say");
    assert_eq!(of(6, 1300), (Some(1256), told(1280)));
    assert_eq!(of(6, 1280), (Some(1236), told(1280)));
    assert_eq!(of(6, 68), (Some(1236), told(1280)));
    assert_eq!((of(4, 1500), of(6, 1500)), ((None, None), (None, None)), "it is no news");
    assert_eq!((of(4, u16::MAX), of(6, u16::MAX)), ((None, None), (None, None)));
}

#[test]
fn other_errors_tell_which_tunnel_and_nothing_else() {
    let want = Some(Report { tunnel: 1, mtu: None, turned: false });
    for (family, kinds) in
        [(4, &[(3, 1), (3, 2), (11, 0), (12, 0)][..]), (6, &[(1, 3), (3, 0), (4, 1)])]
    {
        for (kind, code) in kinds {
            let packet = error(family, [*kind, *code, 0, 0, 0, 0, 0, 0], &quote(family, 4));
            let (report, left) = translated(&packet, &numbered([tunnel(family, None)]), SOURCES);
            assert_eq!((report, left), (want, packet), "type {kind}");
        }
    }
}

#[test]
fn what_is_no_error_about_a_tunnel_is_left_alone() {
    for family in [4, 6] {
        let known = numbered([tunnel(family, None)]);
        let whole = error(family, too_big(family, 1400), &quote(family, 4));
        assert!(translated(&whole, &known, SOURCES).0.is_some());
        assert!(translated(&whole, &numbered([tunnel(family, Some(0))]), SOURCES).0.is_none());
        assert!(translated(&whole, &Tunnels::default(), SOURCES).0.is_none());
        let mut damaged = whole.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert!(translated(&damaged, &known, SOURCES).0.is_none(), "its checksum is wrong");
        let echo = if family == 4 { 8 } else { 128 };
        let no_error = error(family, [echo, 0, 0, 0, 0, 0, 0, 0], &quote(family, 4));
        assert!(translated(&no_error, &known, SOURCES).0.is_none());
        // Sent by another than whom the error goes to; of another protocol; a later fragment.
        let (source_at, protocol_at) = if family == 4 { (15, 9) } else { (23, 6) };
        for (at, octet) in [(source_at, 99), (protocol_at, 17)] {
            let mut quote = quote(family, 4);
            quote[at] = octet;
            let packet = error(family, too_big(family, 1400), &quote);
            assert!(translated(&packet, &known, SOURCES).0.is_none(), "octet {at}");
        }
    }
    let mut later = quote(4, 4);
    later[7] = 1;
    let packet = error(4, too_big(4, 1400), &later);
    assert!(translated(&packet, &numbered([tunnel(4, None)]), SOURCES).0.is_none());
}

#[test]
fn nobody_is_told_who_may_not_or_need_not_be() {
    let is_turned = |inner_family, change: &dyn Fn(&mut [u8]), sources| {
        let mut quote = quote(4, inner_family);
        change(&mut quote[24..]);
        let packet = error(4, too_big(4, 1400), &quote);
        let report = translated(&packet, &numbered([tunnel(4, None)]), sources).0.unwrap();
        assert_eq!(report.mtu, Some(1376), "it is known all the same");
        report.turned
    };
    let nothing = |_: &mut [u8]| {};
    for family in [4, 6] {
        assert!(is_turned(family, &nothing, SOURCES));
        assert!(!is_turned(family, &nothing, Sources::default()), "there is nobody to tell it");
        let other = if family == 4 {
            Sources { v4: None, ..SOURCES }
        } else {
            Sources { v6: None, ..SOURCES }
        };
        assert!(!is_turned(family, &nothing, other));
    }
    assert!(!is_turned(4, &|inner| inner[6] = 0, SOURCES), "it may be fragmented");
    let error = |inner: &mut [u8]| (inner[9], inner[20]) = (icmp::v4::PROTOCOL, 3);
    assert!(!is_turned(4, &error, SOURCES), "no error about an error");
    let error = |inner: &mut [u8]| (inner[6], inner[40]) = (icmp::v6::PROTOCOL, 1);
    assert!(!is_turned(6, &error, SOURCES), "no error about an error");
    assert!(!is_turned(4, &|inner| inner[12] = 224, SOURCES), "a group has sent nothing");
}

#[test]
fn does_not_tell_on_what_follows_the_quoted_packet() {
    let quoted = quote(4, 4);
    let mut padded = quoted.clone();
    padded.resize(128, 0);
    padded.extend([0x20, 0, 0, 0, 0, 4, 1, 1]);
    let mut header = too_big(4, 1400);
    header[5] = 128 / 4;
    let packet = error(4, header, &padded);
    let (report, left) = translated(&packet, &numbered([tunnel(4, None)]), SOURCES);
    assert!(report.unwrap().turned);
    assert_eq!(left[28..], padded[24..128]);
}

proptest! {
    #[test]
    fn no_error_stops_a_worker(
        row in 0..8_usize, kind: u8, code in 0..6_u8, mtu: u32, len in 0..200_usize,
        changes in prop::collection::vec((0..120_usize, any::<u8>()), 0..4),
    ) {
        let (outer, _, key, packet, _) = GOLDEN[row];
        let mut quote = octets(packet)[quote_at(outer)..].to_vec();
        for (at, octet) in changes {
            if let Some(place) = quote.get_mut(at) {
                *place = octet;
            }
        }
        quote.truncate(len);
        let [a, b, c, d] = mtu.to_be_bytes();
        let tunnels = numbered([tunnel(outer, key)]);
        for header in [[kind, code, 0, 0, a, b, c, d], [3, 4, 0, 0, a, b, c, d], [2, 0, 0, 0, a, b, c, d]] {
            let _told = translated(&error(outer, header, &quote), &tunnels, SOURCES);
        }
    }
}

#[test]
fn a_tunnel_that_is_narrower_already_learns_nothing() {
    let narrow = Tunnel::new(&Spec { mtu: 1300, ..spec(ends_over(4, None)) }).unwrap();
    let packet = error(4, too_big(4, 1400), &quote(4, 4));
    let report = translated(&packet, &numbered([narrow]), SOURCES).0;
    assert_eq!(report, Some(Report { tunnel: 1, mtu: None, turned: false }));
}

#[test]
fn an_error_about_a_packet_to_others_than_the_tunnels_tenant_is_believed_in_nothing() {
    for family in [4, 6] {
        let mut foreign = quote(family, 4);
        let inner = usize::from(tunnel(family, None).overhead());
        foreign[inner + 16] = 9;
        let packet = error(family, too_big(family, 1400), &foreign);
        let known = numbered([tunnel(family, None)]);
        let (report, left) = translated(&packet, &known, SOURCES);
        assert_eq!(report, Some(Report { tunnel: 1, mtu: None, turned: false }));
        assert_eq!(left, packet);
        // That it may be fragmented changes nothing.
        foreign[inner + 6] = 0;
        let packet = error(family, too_big(family, 1400), &foreign);
        assert_eq!(translated(&packet, &known, SOURCES).0, report);
    }
}
