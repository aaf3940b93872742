//! Claims about IPv6 headers.

use super::*;
use proptest::prelude::*;

/// 2001:db8::1 to 2001:db8::2, UDP, class 0xb8, flow 0x12345, 4 octets of payload.
const GOLDEN: [u8; 44] = [
    0x6b, 0x81, 0x23, 0x45, 0, 4, 17, 64, // class, flow, length, next, hops
    0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, // source
    0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, // destination
    0xde, 0xad, 0xbe, 0xef,
];

fn golden_fields() -> Fields {
    Fields {
        source: "2001:db8::1".parse().unwrap(),
        destination: "2001:db8::2".parse().unwrap(),
        protocol: 17,
        hop_limit: 64,
        traffic_class: 0xb8,
        flow_label: 0x12345,
        payload_len: 4,
    }
}

/// A packet whose first next header is `first` and whose payload is `payload`.
fn packet(first: u8, payload: &[u8]) -> Vec<u8> {
    let fields = Fields { protocol: first, payload_len: payload.len(), ..golden_fields() };
    let mut octets = vec![0; 40];
    emit(&mut octets, &fields).unwrap();
    octets.extend(payload);
    octets
}

/// An options or routing header of `8 + 8 * length` octets, of routing type 4.
fn extension(next: u8, length: u8) -> Vec<u8> {
    let mut octets = vec![0; 8 + usize::from(length) * 8];
    octets[..4].copy_from_slice(&[next, length, 4, 1]);
    octets
}

#[test]
fn a_golden_header_goes_both_ways() {
    let located = parse(&GOLDEN).unwrap();
    let Fields { source, destination, protocol, hop_limit, traffic_class, flow_label, .. } =
        golden_fields();
    let want = Located {
        source,
        destination,
        protocol,
        hop_limit,
        traffic_class,
        flow_label,
        fragment: None,
        segments_left: 0,
        payload_offset: 40,
        payload_len: 4,
    };
    assert_eq!(located, want);
    let mut out = [0; 40];
    assert_eq!(emit(&mut out, &golden_fields()), Ok(40));
    assert_eq!(out, GOLDEN[..40]);
}

#[test]
fn trims_the_padding_of_the_link() {
    let padded = [&GOLDEN[..], &[0; 9]].concat();
    assert_eq!(parse(&padded), parse(&GOLDEN));
}

#[test]
fn refuses_every_truncation() {
    let octets = packet(0, &[extension(43, 0), extension(51, 2), extension(6, 1)].concat());
    for len in 0..octets.len() {
        assert_eq!(parse(&octets[..len]), Err(Malformed::Truncated), "len {len}");
    }
}

#[test]
fn refuses_another_version() {
    let mut octets = GOLDEN;
    octets[0] = 0x4b;
    assert_eq!(parse(&octets), Err(Malformed::Version));
}

#[test]
fn walks_every_known_extension_in_order() {
    let mut authentication = vec![44, 4, 0, 0];
    authentication.extend([0; 20]);
    let fragment = [60, 0, 0, 1, 0, 0, 0, 9];
    let tail = [extension(17, 0), vec![7; 8]].concat();
    let chain = [
        extension(60, 1),
        extension(43, 0),
        extension(51, 0),
        authentication,
        fragment.to_vec(),
        tail,
    ];
    let located = parse(&packet(0, &chain.concat())).unwrap();
    assert_eq!(located.protocol, 17);
    // The last options belong to what was divided.
    let fragment = Fragment { offset: 0, len: 16, more: true, identification: 9 };
    assert_eq!(located.fragment, Some(fragment));
    assert_eq!(located.segments_left, 1);
    assert_eq!((located.payload_offset, located.payload_len), (40 + 16 + 8 + 8 + 24 + 8 + 8, 8));
    assert!(located.is_fragment() && !located.is_later_fragment());
}

#[test]
fn stops_at_esp_and_at_no_next_header() {
    for stop in [50, 59] {
        let located = parse(&packet(60, &[extension(stop, 0), vec![0; 5]].concat())).unwrap();
        assert_eq!((located.protocol, located.payload_offset, located.payload_len), (stop, 48, 5));
    }
    assert_eq!(parse(&packet(59, &[])).unwrap().payload_len, 0);
}

#[test]
fn a_chain_may_end_with_the_packet() {
    let located = parse(&packet(0, &extension(59, 0))).unwrap();
    assert_eq!((located.protocol, located.payload_len), (59, 0));
}

#[test]
fn walks_eight_headers_and_refuses_nine() {
    let chain = |count: usize| {
        let mut octets = extension(60, 0).repeat(count - 1);
        octets.extend(extension(17, 0));
        packet(60, &octets)
    };
    assert_eq!(parse(&chain(8)).unwrap().payload_offset, 40 + 64);
    assert_eq!(parse(&chain(9)), Err(Malformed::ExtensionHeaders));
}

#[test]
fn walks_256_octets_and_refuses_more() {
    let exact = packet(60, &extension(17, 31));
    assert_eq!(parse(&exact).unwrap().payload_offset, 40 + 256);
    let over = packet(60, &extension(17, 32));
    assert_eq!(parse(&over), Err(Malformed::ExtensionHeaders));
}

#[test]
fn refuses_hop_by_hop_options_behind_another_header() {
    let octets = packet(60, &[extension(0, 0), extension(17, 0)].concat());
    assert_eq!(parse(&octets), Err(Malformed::ExtensionOrder));
}

#[test]
fn refuses_routing_type_0_whatever_is_left_of_it() {
    for segments_left in [0, 1] {
        let octets = packet(43, &[17, 0, 0, segments_left, 0, 0, 0, 0]);
        assert_eq!(parse(&octets), Err(Malformed::RoutingType0));
    }
}

#[test]
fn refuses_an_authentication_header_without_its_fixed_part() {
    let octets = packet(51, &[17, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(parse(&octets), Err(Malformed::HeaderLength));
}

#[test]
fn does_not_read_headers_in_a_later_fragment() {
    let octets = packet(44, &[[0, 0, 0, 8, 0, 0, 0, 1], [0xff; 8]].concat());
    let located = parse(&octets).unwrap();
    assert!(located.is_later_fragment());
    assert_eq!((located.protocol, located.payload_offset, located.payload_len), (0, 48, 8));
}

#[test]
fn an_atomic_fragment_is_whole() {
    let located = parse(&packet(44, &[17, 0, 0, 0, 0, 0, 0, 1, 5, 5, 5])).unwrap();
    assert!(located.fragment.is_some() && !located.is_fragment());
}

#[test]
fn refuses_fragments_that_fit_no_packet() {
    let ragged = packet(44, &[17, 0, 0, 1, 0, 0, 0, 1, 5, 5, 5]);
    assert_eq!(parse(&ragged), Err(Malformed::Fragment));
    let beyond = packet(44, &[17, 0, 0xff, 0xf8, 0, 0, 0, 1, 5, 5, 5, 5, 5, 5, 5, 5]);
    assert_eq!(parse(&beyond), Err(Malformed::Fragment));
    let twice = packet(44, &[44, 0, 0, 0, 0, 0, 0, 1, 17, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(parse(&twice), Err(Malformed::ExtensionHeaders));
}

#[test]
fn reads_a_quoted_packet_without_its_end() {
    let octets = packet(44, &[[17, 0, 0, 1, 0, 0, 0, 1], [5; 8]].concat());
    let located = parse_quoted(&octets[..53]).unwrap();
    assert_eq!((located.protocol, located.payload_offset, located.payload_len), (17, 48, 5));
    assert_eq!(parse_quoted(&octets[..47]), Err(Malformed::Truncated));
    assert_eq!(parse_quoted(&GOLDEN).unwrap(), parse(&GOLDEN).unwrap());
}

#[test]
fn changes_in_place_touch_nothing_else() {
    let mut octets = GOLDEN;
    let header = Header::of(&mut octets).unwrap();
    assert_eq!(header.decrement_hop_limit(), Ok(63));
    header.set_ecn(Ecn::Ce);
    let want = Located { hop_limit: 63, traffic_class: 0xbb, ..parse(&GOLDEN).unwrap() };
    assert_eq!(parse(&octets), Ok(want));
    octets[7] = 1;
    assert_eq!(Header::of(&mut octets).unwrap().decrement_hop_limit(), Err(Expired));
    assert_eq!(octets[7], 1);
}

#[test]
fn refuses_to_emit_what_no_length_field_can_say() {
    let mut out = [0; 40];
    let long = Fields { payload_len: 65_536, ..golden_fields() };
    assert_eq!(emit(&mut out, &long), Err(NoRoom));
    assert_eq!(emit(&mut out[..39], &golden_fields()), Err(NoRoom));
}

proptest! {
    #[test]
    fn no_chain_panics_or_locates_outside(
        first in prop::sample::select(vec![0_u8, 43, 44, 51, 60, 17]),
        payload in prop::collection::vec(prop_oneof![Just(0_u8), Just(60), Just(44), Just(51), any::<u8>()], 0..400),
    ) {
        let octets = packet(first, &payload);
        if let Ok(located) = parse(&octets) {
            prop_assert_eq!(located.total_len(), octets.len());
            prop_assert!(located.payload_offset <= 40 + EXTENSION_LEN_MAX);
        }
    }

    #[test]
    fn emit_and_parse_agree(class: u8, flow in 0_u32..1 << 20, hop_limit: u8, source: [u8; 16], destination: [u8; 16]) {
        let fields = Fields {
            source: source.into(), destination: destination.into(), hop_limit, traffic_class: class,
            flow_label: flow, ..golden_fields()
        };
        let mut octets = GOLDEN;
        emit(&mut octets, &fields).unwrap();
        let located = parse(&octets).unwrap();
        prop_assert_eq!((located.traffic_class, located.flow_label, located.hop_limit), (class, flow, hop_limit));
        prop_assert_eq!((located.source, located.destination), (fields.source, fields.destination));
    }
}
