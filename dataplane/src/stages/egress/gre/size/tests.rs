//! Claims about sizes, over all those that an Ethernet with jumbo frames has.

use proptest::prelude::*;
use wire::checksum::Sum;

use super::super::tests::{ends_over, numbered, tunnel, with};
use super::super::{Decapped, decap, encap};
use super::*;
use crate::stages::egress::tunnels::tests::spec;
use crate::stages::egress::tunnels::{Ends, Spec};
use crate::testing::packets::Ip;

const MSS_1460: [u8; 4] = [2, 4, 5, 180];

fn ip(family: u8) -> Ip {
    if family == 4 {
        Ip::new([198, 51, 100, 9], [203, 0, 113, 100])
    } else {
        let address = |text: &str| text.parse::<std::net::IpAddr>().unwrap();
        Ip::new(address("2001:db8:9::9"), address("2001:db8:100::1"))
    }
}

fn segment(family: u8, flags: Flags, options: &[u8]) -> Vec<u8> {
    let fields = tcp::Fields {
        source_port: 4000,
        destination_port: 443,
        sequence_number: 1,
        acknowledgment_number: 0,
        flags,
        window: 65_535,
    };
    ip(family).tcp(&fields, options, b"")
}

fn clamped(packet: &[u8], mtu: u16) -> Vec<u8> {
    with(packet, |frame| {
        clamp(frame, mtu);
        frame.data().to_vec()
    })
}

#[test]
fn asks_for_segments_that_fit_in_both_families_and_both_directions() {
    for (family, mss) in [(4, 1436_u16), (6, 1416)] {
        for flags in [Flags::SYN, Flags::SYN | Flags::ACK, Flags::SYN | Flags::ECE | Flags::CWR] {
            for padding in 0..4 {
                // The option may stand at an odd place.
                let [high, low] = mss.to_be_bytes();
                let options =
                    |mss: [u8; 4]| [&[1; 4][..padding], &mss, &[1; 4][padding..]].concat();
                let lowered = segment(family, flags, &options([2, 4, high, low]));
                let before = segment(family, flags, &options(MSS_1460));
                assert_eq!(clamped(&before, 1476), lowered, "IPv{family}, behind {padding}");
                assert_eq!(clamped(&lowered, 1476), lowered, "what fits stays");
            }
        }
    }
}

#[test]
fn leaves_all_else_as_it_is() {
    for family in [4, 6] {
        for packet in [
            segment(family, Flags::ACK, &MSS_1460),
            segment(family, Flags::RST | Flags::ACK, &MSS_1460),
            segment(family, Flags::SYN, &[]),
            segment(family, Flags::SYN, &[2, 0, 5, 180]),
            segment(family, Flags::SYN, &[2, 40, 5, 180]),
            ip(family).packet(tcp::PROTOCOL, &[2; 13]),
            ip(family).packet(tcp::PROTOCOL, &[2; 19]),
            ip(family).udp(1, 2, &segment(family, Flags::SYN, &MSS_1460)),
        ] {
            assert_eq!(clamped(&packet, 576), packet);
        }
    }
}

/// The packet as a part of a longer one, from this place on.
fn fragment_v4(mut packet: Vec<u8>, offset: u16) -> Vec<u8> {
    packet[6..8].copy_from_slice(&(0x2000 | (offset / 8)).to_be_bytes());
    packet[10..12].fill(0);
    let checksum = Sum::of(&packet[..20]).finish();
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet
}

fn fragment_v6(packet: &[u8], offset: u16) -> Vec<u8> {
    let [high, low] = (offset | 1).to_be_bytes();
    let header = [tcp::PROTOCOL, 0, high, low, 0, 0, 0, 9];
    ip(6).packet(44, &[&header, &packet[40..]].concat())
}

#[test]
fn asks_in_a_first_fragment_and_leaves_later_ones() {
    for (mss, offset) in [(1436, 0), (1460, 8)] {
        let mss = u16::to_be_bytes(mss);
        let of = |mss: [u8; 2]| segment(4, Flags::SYN, &[2, 4, mss[0], mss[1]]);
        let before = fragment_v4(of([5, 180]), offset);
        let after = clamped(&before, 1476);
        assert_eq!(after, fragment_v4(of(mss), offset), "IPv4 at {offset}");
    }
    for (mss, offset) in [(1416, 0), (1460, 8)] {
        let mss = u16::to_be_bytes(mss);
        let of = |mss: [u8; 2]| segment(6, Flags::SYN, &[2, 4, mss[0], mss[1]]);
        let before = fragment_v6(&of([5, 180]), offset);
        assert_eq!(clamped(&before, 1476), fragment_v6(&of(mss), offset), "IPv6 at {offset}");
    }
}

/// A packet of this length that says whether it may be fragmented.
fn sized(family: u8, len: usize, dont_fragment: bool) -> Vec<u8> {
    let headers = if family == 4 { 20 } else { 40 };
    let mut packet = ip(family).packet(253, &vec![0x5a; len - headers]);
    if family == 4 && !dont_fragment {
        packet[6] = 0;
        packet[10..12].fill(0);
        let checksum = Sum::of(&packet[..20]).finish();
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    }
    packet
}

/// Goes through the tunnel; gives the outer packet's length.
fn through(packet: &[u8], spec: &Spec) -> usize {
    let Ends { local, remote, key } = spec.ends;
    let far = Tunnel::new(&Spec { ends: Ends { local: remote, remote: local, key }, ..*spec });
    let outer = with(packet, |frame| {
        encap(frame, &far.unwrap(), 1, 2).unwrap();
        frame.data().to_vec()
    });
    let tunnels = numbered(Tunnel::new(spec));
    let site = super::super::tests::site();
    with(&outer, |frame| {
        assert!(matches!(decap(frame, &tunnels, &site), Ok(Decapped::Inner(1))));
        assert_eq!(frame.data(), packet);
    });
    outer.len()
}

#[test]
fn every_size_from_576_to_9000_goes_through_or_is_refused_or_split() {
    let cases = [(4, 4), (4, 6), (6, 4), (6, 6)];
    for ((outer, inner), port_mtu) in cases.into_iter().zip([1500, 1500, 9000, 9000]) {
        for clears_df in [false, true] {
            let spec =
                Spec { port_mtu, clears_df, checksum: true, ..spec(ends_over(outer, Some(1))) };
            let tunnel = Tunnel::new(&spec).unwrap();
            let mtu = usize::from(tunnel.mtu);
            let near = |len: &usize| len.abs_diff(mtu) < 9 || len.is_multiple_of(7) || *len < 600;
            for len in (576..=9000).filter(near) {
                for dont_fragment in [false, true] {
                    let packet = sized(inner, len, dont_fragment);
                    let size = with(&packet, |frame| fits(frame, &tunnel, tunnel.mtu));
                    let may_split = inner == 4 && (clears_df || !dont_fragment);
                    let want = match (len <= mtu, may_split) {
                        (true, _) => Size::Fits,
                        (false, true) => Size::Split(tunnel.mtu),
                        (false, false) => Size::Refuse(tunnel.mtu),
                    };
                    assert_eq!(size, want, "{inner} in {outer}, {len}, {dont_fragment}");
                    if size == Size::Fits {
                        let overhead = usize::from(tunnel.overhead());
                        assert_eq!(through(&packet, &spec), len + overhead);
                        assert!(len + overhead <= usize::from(port_mtu));
                    }
                }
            }
        }
    }
}

#[test]
fn a_learned_size_counts_but_ipv6_never_below_1280() {
    let tunnel = tunnel(4, None);
    let of = |family, len, mtu| with(&sized(family, len, true), |frame| fits(frame, &tunnel, mtu));
    assert_eq!((of(4, 1000, 1000), of(4, 1001, 1000)), (Size::Fits, Size::Refuse(1000)));
    assert_eq!((of(6, 1280, 1000), of(6, 1281, 1000)), (Size::Fits, Size::Refuse(1280)));
    assert_eq!((of(6, 1400, 1400), of(6, 1401, 1400)), (Size::Fits, Size::Refuse(1400)));
}

proptest! {
    #[test]
    fn no_segment_stops_a_worker(
        family in prop::sample::select(vec![4_u8, 6]), mtu: u16,
        payload in prop::collection::vec(any::<u8>(), 0..70),
    ) {
        let packet = ip(family).packet(tcp::PROTOCOL, &payload);
        prop_assert_eq!(clamped(&packet, mtu).len(), packet.len());
    }
}
