//! Claims about fragments that are made here, each read by the parser and joined by a naive receiver.

use super::*;
use proptest::prelude::*;

/// An IPv4 packet with options, flags and offset as given, and a payload in which every octet tells its place.
fn packet(options: &[u8], flags_fragment_offset: u16, payload_len: usize) -> Vec<u8> {
    let total_len = HEADER_LEN + options.len() + payload_len;
    let mut octets = vec![0; HEADER_LEN];
    octets[0] = 0x40 | u8::try_from((HEADER_LEN + options.len()) / 4).unwrap();
    octets[2..4].copy_from_slice(&u16::try_from(total_len).unwrap().to_be_bytes());
    octets[4..6].copy_from_slice(&[0x12, 0x34]);
    octets[6..8].copy_from_slice(&flags_fragment_offset.to_be_bytes());
    (octets[1], octets[8], octets[9]) = (0xb8, 64, 17);
    octets[12..20].copy_from_slice(&[192, 0, 2, 1, 198, 51, 100, 2]);
    octets.extend(options);
    let checksum = Sum::of(&octets).finish();
    octets[10..12].copy_from_slice(&checksum.to_be_bytes());
    octets.extend((0..payload_len).map(|at| u8::try_from(at % 251).unwrap()));
    octets
}

/// The fragments in octets, each in a buffer that it fills.
fn split(packet: &[u8], mtu: usize) -> Vec<Vec<u8>> {
    let pieces = pieces(packet, mtu).unwrap();
    pieces
        .map(|piece| {
            let mut out = vec![0xee; piece.len()];
            assert_eq!(emit(&mut out, packet, &piece), Ok(piece.len()));
            assert_eq!(emit(&mut out.clone()[1..], packet, &piece), Err(NoRoom));
            out
        })
        .collect()
}

/// What a receiver joins, from the place of the first fragment on, and whether more follows.
fn joined(fragments: &[Vec<u8>]) -> (Vec<u8>, bool) {
    let mut payload = Vec::new();
    let first = parse(&fragments[0]).unwrap().fragment_offset();
    let mut more = true;
    for octets in fragments {
        let located = parse(octets).unwrap();
        assert!(more, "nothing follows the last fragment");
        assert_eq!(located.fragment_offset(), first + payload.len());
        payload.extend(&octets[located.payload_offset..]);
        more = located.has_more_fragments();
    }
    (payload, more)
}

/// A packet of 28 octets of payload under an MTU of 44: options NOP, router alert (copied), timestamp (not).
const GOLDEN: [u8; 60] = [
    0x48, 0xb8, 0x00, 0x3c, 0x12, 0x34, 0x40, 0x00, 0x40, 0x11, 0x2e, 0xb1, 192, 0, 2, 1, 198, 51,
    100, 2, 1, 0x94, 4, 0, 0, 68, 4, 5, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
    14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27,
];
const GOLDEN_FIRST: [u8; 40] = [
    0x48, 0xb8, 0x00, 0x28, 0x12, 0x34, 0x20, 0x00, 0x40, 0x11, 0x4e, 0xc5, 192, 0, 2, 1, 198, 51,
    100, 2, 1, 0x94, 4, 0, 0, 68, 4, 5, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7,
];
const GOLDEN_LAST: [u8; 44] = [
    0x46, 0xb8, 0x00, 0x2c, 0x12, 0x34, 0x00, 0x01, 0x40, 0x11, 0xe6, 0x98, 192, 0, 2, 1, 198, 51,
    100, 2, 0x94, 4, 0, 0, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
    26, 27,
];

#[test]
fn a_golden_packet_is_split_with_the_options_where_they_belong() {
    assert_eq!(split(&GOLDEN, 44), [GOLDEN_FIRST.to_vec(), GOLDEN_LAST.to_vec()]);
}

#[test]
fn every_mtu_gives_fragments_that_fit_and_add_up() {
    for options in [&[][..], &[0x94, 4, 0, 0], &[68, 4, 5, 0], &[1; 40]] {
        let packet = packet(options, 0, 9_000 - 60);
        for mtu in 68..=9_000 {
            let fragments = split(&packet, mtu);
            assert_eq!(joined(&fragments), (packet[20 + options.len()..].to_vec(), false));
            assert!(fragments.iter().all(|octets| octets.len() <= mtu), "mtu {mtu}");
            // Eight octets more would not have fitted.
            let full = &fragments[..fragments.len() - 1];
            assert!(full.iter().all(|octets| octets.len() + 8 > mtu), "mtu {mtu}");
        }
    }
}

#[test]
fn a_packet_that_fits_is_its_only_fragment_and_may_be_fragmented_on_the_way() {
    let fits = packet(&[], 0x4000, 100);
    assert_eq!(split(&fits, 120), [packet(&[], 0, 100)]);
    let empty = packet(&[], 0x4000, 0);
    assert_eq!(split(&empty, 20), [packet(&[], 0, 0)]);
}

#[test]
fn a_fragment_is_split_further_where_it_lies() {
    for (flags_fragment_offset, payload_len) in [(0x2064, 1_000), (0x0064, 1_001)] {
        let packet = packet(&[0x94, 4, 0, 0], flags_fragment_offset, payload_len);
        let fragments = split(&packet, 300);
        assert_eq!(parse(&fragments[0]).unwrap().fragment_offset(), 800);
        let more = flags_fragment_offset & 0x2000 != 0;
        assert_eq!(joined(&fragments), (packet[24..].to_vec(), more));
    }
}

#[test]
fn fragments_bear_the_name_that_they_are_given() {
    let packet = packet(&[], 0x4000, 100);
    for piece in pieces(&packet, 68).unwrap().identified(0xbeef) {
        let mut out = [0; 68];
        let len = emit(&mut out, &packet, &piece).unwrap();
        assert_eq!(parse(&out[..len]).unwrap().identification, 0xbeef);
    }
}

#[test]
fn refuses_an_mtu_that_leaves_no_eight_octets() {
    let packet = packet(&[1; 40], 0, 100);
    assert_eq!(pieces(&packet, 67).unwrap_err(), Unsplit::NoRoom);
    assert_eq!(split(&packet, 68).len(), 1 + 92_usize.div_ceil(48));
}

#[test]
fn refuses_what_is_no_packet_and_options_that_lie() {
    let broken = |options: &[u8]| pieces(&packet(options, 0, 100), 68).unwrap_err();
    assert_eq!(broken(&[0x94, 5, 0, 0]), Unsplit::Malformed(Malformed::Options));
    assert_eq!(broken(&[0x94, 1, 0, 0]), Unsplit::Malformed(Malformed::Options));
    assert_eq!(broken(&[1, 1, 1, 0x94]), Unsplit::Malformed(Malformed::Options));
    let mut spoiled = packet(&[], 0, 100);
    spoiled[8] -= 1;
    assert_eq!(pieces(&spoiled, 68).unwrap_err(), Unsplit::Malformed(Malformed::Checksum));
    assert_eq!(pieces(&spoiled[..60], 68).unwrap_err(), Unsplit::Malformed(Malformed::Truncated));
}

#[test]
fn a_piece_of_another_packet_is_not_written() {
    let long = packet(&[], 0, 100);
    let last = pieces(&long, 68).unwrap().last().unwrap();
    assert_eq!(emit(&mut [0; 200], &packet(&[], 0, 20), &last), Err(NoRoom));
    assert_eq!(emit(&mut [0; 200], &[], &last), Err(NoRoom));
}

proptest! {
    #[test]
    fn a_receiver_joins_what_was_split(
        options in prop::collection::vec(prop_oneof![
            Just(vec![1]),
            (any::<u8>(), 0_usize..8).prop_map(|(kind, len)| {
                let mut option = vec![kind.max(2), u8::try_from(len + 2).unwrap()];
                option.resize(len + 2, 7);
                option
            }),
        ], 0..4),
        eights in 0_u16..1_000, more: bool, dont: bool, len in 0_usize..4_000, mtu in 68_usize..4_000,
    ) {
        let mut options = options.concat();
        options.resize(options.len().next_multiple_of(4), 0);
        let flags = u16::from(dont) << 14 | u16::from(more) << 13;
        let len = if more { len / 8 * 8 + 8 } else { len };
        let packet = packet(&options, flags | eights, len);
        let fragments = split(&packet, mtu);
        prop_assert_eq!(joined(&fragments), (packet[20 + options.len()..].to_vec(), more));
        for octets in &fragments {
            let located = parse(octets).unwrap();
            prop_assert!(octets.len() <= mtu && located.total_len() == octets.len());
            prop_assert!(!located.dont_fragment());
            prop_assert_eq!((located.tos, located.ttl, located.protocol), (0xb8, 64, 17));
        }
        prop_assert_eq!(parse(&fragments[0]).unwrap().fragment_offset(), usize::from(eights) * 8);
    }

    #[test]
    fn no_input_panics(octets in prop::collection::vec(any::<u8>(), 0..120), mtu in 0_usize..200) {
        let mut octets = octets;
        if octets.len() >= 60 {
            octets[0] = 0x40 | octets[0] & 0x0f;
            octets[2..4].copy_from_slice(&[0, 60]);
            octets[10..12].fill(0);
            let end = usize::from(octets[0] & 0x0f).max(5) * 4;
            let checksum = Sum::of(&octets[..end]).finish();
            octets[10..12].copy_from_slice(&checksum.to_be_bytes());
        }
        if let Ok(pieces) = pieces(&octets, mtu) {
            let mut out = [0; 200];
            prop_assert!(pieces.map(|piece| emit(&mut out, &octets, &piece)).all(|len| len.is_ok()));
        }
    }
}
