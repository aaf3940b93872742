//! Claims about TCP headers and options.

use super::*;
use core::net::Ipv4Addr;
use proptest::prelude::*;

/// A SYN from 192.0.2.1:4660 to 198.51.100.2:443 with MSS 1460, SACK permitted and window scale 7.
const GOLDEN: [u8; 32] = [
    0x12, 0x34, 0x01, 0xbb, 0xde, 0xad, 0xbe, 0xef, 0, 0, 0,
    0, // ports, sequence, acknowledgment
    0x80, 0x02, 0xff, 0xff, 0xd1, 0x4d, 0, 0, // offset, SYN, window, checksum, urgent
    2, 4, 0x05, 0xb4, 1, 1, 4, 2, 1, 3, 3, 7, // options
];
const FIELDS: Fields = Fields {
    source_port: 0x1234,
    destination_port: 443,
    sequence_number: 0xdead_beef,
    acknowledgment_number: 0,
    flags: Flags::SYN,
    window: 0xffff,
};

fn pseudo(len: usize) -> Sum {
    let (source, destination) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(198, 51, 100, 2));
    Sum::pseudo_v4(source, destination, PROTOCOL, u16::try_from(len).unwrap())
}

fn segment(options: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut octets = [vec![0; 20 + options.len()], payload.to_vec()].concat();
    let sum = pseudo(octets.len());
    emit(&mut octets, &FIELDS, options, sum).unwrap();
    octets
}

#[test]
fn a_golden_syn_goes_both_ways() {
    let located = parse(&GOLDEN).unwrap();
    let want = Located {
        source_port: 0x1234,
        destination_port: 443,
        sequence_number: 0xdead_beef,
        acknowledgment_number: 0,
        flags: Flags::SYN,
        window: 0xffff,
        checksum: 0xd14d,
        payload_offset: 32,
        payload_len: 0,
    };
    assert_eq!(located, want);
    assert_eq!(located.sequence_len(), 1);
    assert_eq!(verify(pseudo(32), &GOLDEN), Ok(()));
    let mut out = [0; 32];
    assert_eq!(emit(&mut out, &FIELDS, &GOLDEN[20..], pseudo(32)), Ok(32));
    assert_eq!(out, GOLDEN);
}

#[test]
fn walks_the_options_of_a_syn() {
    let located = parse(&GOLDEN).unwrap();
    let options: Vec<_> = located.options(&GOLDEN).map(Result::unwrap).collect();
    let want = [
        OptionField::MaximumSegmentSize(1460),
        OptionField::SackPermitted,
        OptionField::WindowScale(7),
    ];
    assert_eq!(options, want);
}

#[test]
fn walks_timestamps_sack_and_the_unknown_and_stops_at_the_end() {
    let octets = [
        &[8, 10, 0, 0, 0, 1, 0, 0, 0, 2][..],
        &[5, 10, 0, 0, 0, 3, 0, 0, 0, 4],
        &[254, 3, 9],
        &[0, 2, 4, 1, 1],
    ];
    let octets = octets.concat();
    let options: Vec<_> = Options::of(&octets).map(Result::unwrap).collect();
    let want = [
        OptionField::Timestamps { value: 1, echo: 2 },
        OptionField::Sack(&[0, 0, 0, 3, 0, 0, 0, 4]),
        OptionField::Other { kind: 254, data: &[9] },
    ];
    assert_eq!(options, want);
}

#[test]
fn refuses_options_of_impossible_length_and_then_ends() {
    let cases: [&[u8]; 7] =
        [&[2], &[2, 0], &[2, 1], &[2, 4, 5], &[2, 3, 5], &[3, 2], &[1, 8, 10, 0, 0]];
    for octets in cases {
        let mut options = Options::of(octets);
        assert_eq!(options.next(), Some(Err(Malformed::Options)), "{octets:?}");
        assert_eq!(options.next(), None);
    }
}

#[test]
fn refuses_impossible_header_lengths() {
    let mut octets = GOLDEN;
    octets[12] = 0x40;
    assert_eq!(parse(&octets), Err(Malformed::HeaderLength));
    octets[12] = 0x90;
    assert_eq!(parse(&octets), Err(Malformed::Truncated));
    for len in 0..32 {
        assert_eq!(parse(&GOLDEN[..len]), Err(Malformed::Truncated), "len {len}");
    }
}

#[test]
fn clamps_only_a_larger_mss() {
    let mut octets = GOLDEN;
    let located = parse(&octets).unwrap();
    assert_eq!(clamp_mss(&mut octets, &located, 1460), Ok(false));
    assert_eq!(octets, GOLDEN);
    assert_eq!(clamp_mss(&mut octets, &located, 1380), Ok(true));
    assert_eq!(octets[22..24], 1380_u16.to_be_bytes());
    assert_eq!(verify(pseudo(32), &octets), Ok(()));
}

#[test]
fn clamps_an_mss_at_an_odd_offset() {
    let mut octets = segment(&[1, 2, 4, 0x05, 0xb4, 1, 1, 0], b"x");
    let located = parse(&octets).unwrap();
    assert_eq!(clamp_mss(&mut octets, &located, 1200), Ok(true));
    assert_eq!(octets[23..25], 1200_u16.to_be_bytes());
    assert_eq!(verify(pseudo(29), &octets), Ok(()));
}

#[test]
fn leaves_a_segment_with_malformed_options_alone() {
    let mut octets = segment(&[3, 9, 2, 4], b"");
    let (before, located) = (octets.clone(), parse(&octets).unwrap());
    assert_eq!(clamp_mss(&mut octets, &located, 500), Err(Malformed::Options));
    assert_eq!(octets, before);
}

#[test]
fn refuses_to_emit_options_that_no_header_can_say() {
    let mut out = [0; 100];
    assert_eq!(emit(&mut out, &FIELDS, &[1; 3], Sum::ZERO), Err(NoRoom));
    assert_eq!(emit(&mut out, &FIELDS, &[1; 44], Sum::ZERO), Err(NoRoom));
    assert_eq!(emit(&mut out[..23], &FIELDS, &[1; 4], Sum::ZERO), Err(NoRoom));
}

proptest! {
    #[test]
    fn no_input_panics_or_locates_outside(octets in prop::collection::vec(any::<u8>(), 0..80), mss: u16) {
        let mut octets = octets;
        if let Ok(located) = parse(&octets) {
            prop_assert_eq!(located.payload_offset + located.payload_len, octets.len());
            let intact = verify(Sum::ZERO, &octets).is_ok();
            let clamped = clamp_mss(&mut octets, &located, mss);
            prop_assert!(!intact || clamped.is_err() || verify(Sum::ZERO, &octets).is_ok());
        }
    }

    #[test]
    fn what_is_emitted_verifies(options in 0_usize..=10, payload in prop::collection::vec(any::<u8>(), 0..50)) {
        let octets = segment(&vec![1; options * 4], &payload);
        prop_assert_eq!(verify(pseudo(octets.len()), &octets), Ok(()));
        prop_assert_eq!(parse(&octets).unwrap().payload_len, payload.len());
    }
}
