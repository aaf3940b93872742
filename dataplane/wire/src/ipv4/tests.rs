//! Claims about IPv4 headers.

use super::*;
use proptest::prelude::*;

/// 192.0.2.1 to 198.51.100.2, UDP, TTL 64, DF, 4 octets of payload.
const GOLDEN: [u8; 24] = [
    0x45, 0xb8, 0x00, 0x18, 0x12, 0x34, 0x40, 0x00, 0x40, 0x11, 0x3b, 0xb2, 192, 0, 2, 1, 198, 51,
    100, 2, 0xde, 0xad, 0xbe, 0xef,
];

fn golden_fields() -> Fields {
    Fields {
        source: Ipv4Addr::new(192, 0, 2, 1),
        destination: Ipv4Addr::new(198, 51, 100, 2),
        protocol: 17,
        ttl: 64,
        tos: 0xb8,
        identification: 0x1234,
        dont_fragment: true,
        payload_len: 4,
    }
}

/// `GOLDEN` with octets replaced and the checksum made right again.
fn with(changes: &[(usize, u8)]) -> Vec<u8> {
    let mut octets = GOLDEN.to_vec();
    for (at, value) in changes {
        octets[*at] = *value;
    }
    mend(&mut octets);
    octets
}

fn mend(octets: &mut [u8]) {
    let header_len = usize::from(octets[0] & 0x0f) * 4;
    octets[10..12].fill(0);
    let end = header_len.clamp(20, octets.len());
    let checksum = Sum::of(&octets[..end]).finish();
    octets[10..12].copy_from_slice(&checksum.to_be_bytes());
}

#[test]
fn a_golden_header_goes_both_ways() {
    let located = parse(&GOLDEN).unwrap();
    let Fields { source, destination, protocol, ttl, tos, identification, .. } = golden_fields();
    let want = Located {
        source,
        destination,
        protocol,
        ttl,
        tos,
        identification,
        flags_fragment_offset: 0x4000,
        payload_offset: 20,
        payload_len: 4,
    };
    assert_eq!(located, want);
    assert!(located.dont_fragment() && !located.is_fragment() && !located.has_options());
    let mut out = [0; 20];
    assert_eq!(emit(&mut out, &golden_fields()), Ok(20));
    assert_eq!(out, GOLDEN[..20]);
}

#[test]
fn trims_the_padding_of_the_link() {
    let mut padded = GOLDEN.to_vec();
    padded.resize(46, 0);
    assert_eq!(parse(&padded), parse(&GOLDEN));
}

#[test]
fn refuses_every_truncation() {
    for len in 0..GOLDEN.len() {
        assert_eq!(parse(&GOLDEN[..len]), Err(Malformed::Truncated), "len {len}");
    }
}

#[test]
fn refuses_each_lying_field() {
    assert_eq!(parse(&with(&[(0, 0x65)])), Err(Malformed::Version));
    assert_eq!(parse(&with(&[(0, 0x44)])), Err(Malformed::HeaderLength));
    assert_eq!(parse(&with(&[(0, 0x47)])), Err(Malformed::TotalLength));
    assert_eq!(parse(&with(&[(3, 19)])), Err(Malformed::TotalLength));
    assert_eq!(parse(&with(&[(3, 25)])), Err(Malformed::Truncated));
}

#[test]
fn refuses_any_single_flipped_bit_unless_told_that_the_nic_looked() {
    for bit in 0..160 {
        let mut octets = GOLDEN;
        octets[bit / 8] ^= 1 << (bit % 8);
        assert!(parse(&octets).is_err(), "bit {bit}");
    }
    let mut octets = GOLDEN;
    octets[11] ^= 1;
    assert!(parse_unverified(&octets).is_ok());
}

#[test]
fn options_belong_to_the_header_and_its_checksum() {
    let mut octets = with(&[(0, 0x46), (3, 28)]);
    octets.splice(20..20, [1, 1, 1, 0]);
    mend(&mut octets);
    let located = parse(&octets).unwrap();
    assert_eq!((located.payload_offset, located.payload_len), (24, 4));
    assert!(located.has_options());
    octets[22] = 0;
    assert_eq!(parse(&octets), Err(Malformed::Checksum));
}

#[test]
fn reads_fragments() {
    let mut octets = with(&[(3, 28), (6, 0x20), (7, 0x03)]);
    octets.extend([0; 4]);
    let located = parse(&octets).unwrap();
    assert!(located.is_fragment() && located.is_later_fragment() && located.has_more_fragments());
    assert_eq!(located.fragment_offset(), 24);
    let last = parse(&with(&[(6, 0x00), (7, 0x03)])).unwrap();
    assert!(last.is_fragment() && !last.has_more_fragments());
}

#[test]
fn refuses_fragments_that_fit_no_datagram() {
    // Not the last one, and 4 octets.
    assert_eq!(parse(&with(&[(6, 0x20), (7, 0)])), Err(Malformed::Fragment));
    // Ends at 65,528 + 4 octets of payload behind a 20-octet header: the "ping of death".
    assert_eq!(parse(&with(&[(6, 0x1f), (7, 0xff)])), Err(Malformed::Fragment));
}

#[test]
fn a_packet_without_hops_left_is_not_changed() {
    for ttl in [0, 1] {
        let mut octets = with(&[(8, ttl)]);
        let before = octets.clone();
        assert_eq!(Header::of(&mut octets).unwrap().decrement_ttl(), Err(Expired));
        assert_eq!(octets, before);
    }
}

#[test]
fn refuses_to_emit_what_no_length_field_can_say() {
    let mut out = [0; 20];
    let long = Fields { payload_len: 65_516, ..golden_fields() };
    assert_eq!(emit(&mut out, &long), Err(NoRoom));
    assert_eq!(emit(&mut out, &Fields { payload_len: 65_515, ..long }), Ok(20));
    assert_eq!(emit(&mut out[..19], &golden_fields()), Err(NoRoom));
}

#[test]
fn reads_a_quoted_packet_without_its_end() {
    let located = parse_quoted(&with(&[(2, 5), (3, 220)])).unwrap();
    assert_eq!((located.payload_offset, located.payload_len), (20, 4));
    assert_eq!(parse_quoted(&GOLDEN[..19]), Err(Malformed::Truncated));
    assert_eq!(parse_quoted(&with(&[(0, 0x47), (3, 60)])), Err(Malformed::Truncated));
    assert_eq!(parse_quoted(&with(&[(3, 19)])), Err(Malformed::TotalLength));
}

proptest! {
    #[test]
    fn changes_in_place_keep_the_checksum_right(
        source: [u8; 4], destination: [u8; 4], ttl in 2_u8.., tos: u8, identification: u16,
        new: [u8; 4], ecn in prop::sample::select(vec![Ecn::NotEct, Ecn::Ect0, Ecn::Ect1, Ecn::Ce]),
    ) {
        let fields = Fields {
            source: source.into(), destination: destination.into(), ttl, tos, identification, ..golden_fields()
        };
        let mut octets = GOLDEN;
        emit(&mut octets, &fields).unwrap();
        let header = Header::of(&mut octets).unwrap();
        prop_assert_eq!(header.decrement_ttl(), Ok(ttl - 1));
        header.set_ecn(ecn);
        header.set_identification(!identification);
        header.set_source(new.into());
        header.set_destination(new.into());
        let located = parse(&octets).unwrap();
        prop_assert_eq!((located.ttl, located.tos), (ttl - 1, ecn.within(tos)));
        prop_assert_eq!(located.identification, !identification);
        prop_assert_eq!((located.source, located.destination), (new.into(), new.into()));
    }

    #[test]
    fn no_input_panics_or_locates_outside(octets in prop::collection::vec(any::<u8>(), 0..80), fix: bool) {
        let mut octets = octets;
        if fix && octets.len() >= 20 {
            octets[0] = 0x40 | octets[0] & 0x0f;
            octets[2] = 0;
            mend(&mut octets);
        }
        if let Ok(located) = parse(&octets) {
            prop_assert!(located.payload_offset >= 20 && located.total_len() <= octets.len());
        }
    }
}
