//! Golden packets of every variant, made by Scapy 2.8.0: it shares no code with what is tested here.

use super::*;

/// To 198.51.100.9, with DSCP 46, ECT(0) and "don't fragment".
const INNER_V4: &str = "45ba001c000040003ffdd389cb007164c63364096d696c6c72616365";
/// The same over IPv6.
const INNER_V6: &str = "6ba000000008fd3f20010db801000000000000000000000120010db80009000000000000000000096d696c6c72616365";

/// Families of the outer and the inner packet, key, whether there is a checksum, and the headers that are put before it.
type Sent = (u8, u8, Option<u32>, bool, &'static str);
/// The same with a sequence number, and the headers that are taken off.
type Received = (u8, u8, Option<u32>, bool, Option<u32>, &'static str);

#[rustfmt::skip]
const SENT: &[Sent] = &[
    (4, 4, None, false, "45ba003400004000402f4daac0000201c633640200000800"),
    (4, 4, None, true, "45ba003800004000402f4da6c0000201c633640280000800c8620000"),
    (4, 4, Some(0x00ab_cdef), false, "45ba003800004000402f4da6c0000201c63364022000080000abcdef"),
    (4, 4, Some(0x00ab_cdef), true, "45ba003c00004000402f4da2c0000201c6336402a0000800d9c7000000abcdef"),
    (4, 6, None, false, "45ba004800004000402f4d96c0000201c6336402000086dd"),
    (4, 6, None, true, "45ba004c00004000402f4d92c0000201c6336402800086dd84170000"),
    (4, 6, Some(0x00ab_cdef), false, "45ba004c00004000402f4d92c0000201c6336402200086dd00abcdef"),
    (4, 6, Some(0x00ab_cdef), true, "45ba005000004000402f4d8ec0000201c6336402a00086dd957c000000abcdef"),
    (6, 4, None, false, "6ba5cafe00202f4020010db800000000000000000000000120010db800070000000000000000000200000800"),
    (6, 4, None, true, "6ba5cafe00242f4020010db800000000000000000000000120010db800070000000000000000000280000800c8620000"),
    (6, 4, Some(0x00ab_cdef), false, "6ba5cafe00242f4020010db800000000000000000000000120010db80007000000000000000000022000080000abcdef"),
    (6, 4, Some(0x00ab_cdef), true, "6ba5cafe00282f4020010db800000000000000000000000120010db8000700000000000000000002a0000800d9c7000000abcdef"),
    (6, 6, None, false, "6ba5cafe00342f4020010db800000000000000000000000120010db8000700000000000000000002000086dd"),
    (6, 6, None, true, "6ba5cafe00382f4020010db800000000000000000000000120010db8000700000000000000000002800086dd84170000"),
    (6, 6, Some(0x00ab_cdef), false, "6ba5cafe00382f4020010db800000000000000000000000120010db8000700000000000000000002200086dd00abcdef"),
    (6, 6, Some(0x00ab_cdef), true, "6ba5cafe003c2f4020010db800000000000000000000000120010db8000700000000000000000002a00086dd957c000000abcdef"),
];

#[rustfmt::skip]
const RECEIVED: &[Received] = &[
    (4, 4, None, false, None, "45ba003400004000402f4daac6336402c000020100000800"),
    (4, 4, None, false, Some(0x0102_0304), "45ba003800004000402f4da6c6336402c00002011000080001020304"),
    (4, 4, None, true, None, "45ba003800004000402f4da6c6336402c000020180000800c8620000"),
    (4, 4, None, true, Some(0x0102_0304), "45ba003c00004000402f4da2c6336402c000020190000800b45c000001020304"),
    (4, 4, Some(0x00ab_cdef), false, None, "45ba003800004000402f4da6c6336402c00002012000080000abcdef"),
    (4, 4, Some(0x00ab_cdef), false, Some(0x0102_0304), "45ba003c00004000402f4da2c6336402c00002013000080000abcdef01020304"),
    (4, 4, Some(0x00ab_cdef), true, None, "45ba003c00004000402f4da2c6336402c0000201a0000800d9c7000000abcdef"),
    (4, 4, Some(0x00ab_cdef), true, Some(0x0102_0304), "45ba004000004000402f4d9ec6336402c0000201b0000800c5c1000000abcdef01020304"),
    (4, 6, None, false, None, "45ba004800004000402f4d96c6336402c0000201000086dd"),
    (4, 6, None, false, Some(0x0102_0304), "45ba004c00004000402f4d92c6336402c0000201100086dd01020304"),
    (4, 6, None, true, None, "45ba004c00004000402f4d92c6336402c0000201800086dd84170000"),
    (4, 6, None, true, Some(0x0102_0304), "45ba005000004000402f4d8ec6336402c0000201900086dd7011000001020304"),
    (4, 6, Some(0x00ab_cdef), false, None, "45ba004c00004000402f4d92c6336402c0000201200086dd00abcdef"),
    (4, 6, Some(0x00ab_cdef), false, Some(0x0102_0304), "45ba005000004000402f4d8ec6336402c0000201300086dd00abcdef01020304"),
    (4, 6, Some(0x00ab_cdef), true, None, "45ba005000004000402f4d8ec6336402c0000201a00086dd957c000000abcdef"),
    (4, 6, Some(0x00ab_cdef), true, Some(0x0102_0304), "45ba005400004000402f4d8ac6336402c0000201b00086dd8176000000abcdef01020304"),
    (6, 4, None, false, None, "6ba0000000202f4020010db800070000000000000000000220010db800000000000000000000000100000800"),
    (6, 4, None, false, Some(0x0102_0304), "6ba0000000242f4020010db800070000000000000000000220010db80000000000000000000000011000080001020304"),
    (6, 4, None, true, None, "6ba0000000242f4020010db800070000000000000000000220010db800000000000000000000000180000800c8620000"),
    (6, 4, None, true, Some(0x0102_0304), "6ba0000000282f4020010db800070000000000000000000220010db800000000000000000000000190000800b45c000001020304"),
    (6, 4, Some(0x00ab_cdef), false, None, "6ba0000000242f4020010db800070000000000000000000220010db80000000000000000000000012000080000abcdef"),
    (6, 4, Some(0x00ab_cdef), false, Some(0x0102_0304), "6ba0000000282f4020010db800070000000000000000000220010db80000000000000000000000013000080000abcdef01020304"),
    (6, 4, Some(0x00ab_cdef), true, None, "6ba0000000282f4020010db800070000000000000000000220010db8000000000000000000000001a0000800d9c7000000abcdef"),
    (6, 4, Some(0x00ab_cdef), true, Some(0x0102_0304), "6ba00000002c2f4020010db800070000000000000000000220010db8000000000000000000000001b0000800c5c1000000abcdef01020304"),
    (6, 6, None, false, None, "6ba0000000342f4020010db800070000000000000000000220010db8000000000000000000000001000086dd"),
    (6, 6, None, false, Some(0x0102_0304), "6ba0000000382f4020010db800070000000000000000000220010db8000000000000000000000001100086dd01020304"),
    (6, 6, None, true, None, "6ba0000000382f4020010db800070000000000000000000220010db8000000000000000000000001800086dd84170000"),
    (6, 6, None, true, Some(0x0102_0304), "6ba00000003c2f4020010db800070000000000000000000220010db8000000000000000000000001900086dd7011000001020304"),
    (6, 6, Some(0x00ab_cdef), false, None, "6ba0000000382f4020010db800070000000000000000000220010db8000000000000000000000001200086dd00abcdef"),
    (6, 6, Some(0x00ab_cdef), false, Some(0x0102_0304), "6ba00000003c2f4020010db800070000000000000000000220010db8000000000000000000000001300086dd00abcdef01020304"),
    (6, 6, Some(0x00ab_cdef), true, None, "6ba00000003c2f4020010db800070000000000000000000220010db8000000000000000000000001a00086dd957c000000abcdef"),
    (6, 6, Some(0x00ab_cdef), true, Some(0x0102_0304), "6ba0000000402f4020010db800070000000000000000000220010db8000000000000000000000001b00086dd8176000000abcdef01020304"),
];

fn inner_of(family: u8) -> Vec<u8> {
    octets(if family == 4 { INNER_V4 } else { INNER_V6 })
}

fn inner_source(family: u8) -> Address {
    let text = if family == 4 { "203.0.113.100" } else { "2001:db8:100::1" };
    text.parse::<IpAddr>().unwrap().into()
}

/// A hash whose low 20 bits stand in the golden flow labels.
const HASH: u32 = 0xabc5_cafe;

#[test]
fn puts_golden_headers_before_a_packet() {
    for (outer, inner, key, checksum, headers) in SENT {
        let spec = Spec { checksum: *checksum, ..spec(ends_over(*outer, *key)) };
        let tunnel = Tunnel::new(&spec).unwrap();
        with(&inner_of(*inner), |frame| {
            encap(frame, &tunnel, HASH, 0x1234).unwrap();
            let want = [octets(headers), inner_of(*inner)].concat();
            assert_eq!(frame.data(), want, "{outer} around {inner}, {key:?}, {checksum}");
            let Ends { local, remote, .. } = spec.ends;
            let endpoint = Endpoint { remote, local, remote_port: 0, port: 2 };
            assert_eq!((frame.note.endpoint, frame.note.kind), (endpoint, Kind::Outer));
            assert!(!frame.note.turned, "it goes to the router, not back");
        });
    }
}

#[test]
fn names_a_packet_that_may_be_fragmented() {
    let spec = Spec { clears_df: true, ..spec(ends_over(4, None)) };
    let tunnel = Tunnel::new(&spec).unwrap();
    with(&inner_of(4), |frame| {
        encap(frame, &tunnel, HASH, 0x1234).unwrap();
        let headers = octets("45ba003412340000402f7b76c0000201c633640200000800");
        assert_eq!(frame.data()[..24], headers);
    });
}

#[test]
fn takes_golden_headers_off_a_packet() {
    for (outer, inner, key, checksum, sequence, headers) in RECEIVED {
        let case = format!("{outer} around {inner}, {key:?}, {checksum}, {sequence:?}");
        // Whether we send checksums says nothing about whether they do.
        let tunnels = numbered([tunnel(*outer, Some(1)), tunnel(*outer, *key)]);
        let packet = [octets(headers), inner_of(*inner)].concat();
        let site = site();
        with(&packet, |frame| {
            assert_eq!(decap(frame, &tunnels, &site), Ok(Decapped::Inner(2)), "{case}");
            assert_eq!(frame.data(), inner_of(*inner), "{case}");
            let note = &frame.note;
            assert_eq!(note.ip.source_in(frame.data()), Some(inner_source(*inner)), "{case}");
            assert_eq!((note.kind, note.ip.protocol, note.ip.tos), (Kind::Inner, 253, 0xba));
        });
    }
}

#[test]
fn takes_off_the_encapsulation_limit_that_linux_sends() {
    let headers = "60000000003c3c4020010db800070000000000000000000220010db80000000000000000000000012f00040104\
                   010100000086dd";
    let packet = [octets(headers), inner_of(6)].concat();
    let (fate, left) = taken_off(&packet, &numbered([tunnel(6, None)]));
    assert_eq!((fate, left), (Ok(Decapped::Inner(1)), inner_of(6)));
}

/// Families, key, the whole packet, and at which octet the answer begins in it.
#[rustfmt::skip]
const KEEPALIVES: &[(u8, Option<u32>, &str, usize)] = &[
    (4, None, "45c000300a0b0000ff2fc49cc6336402c00002010000080045c000180a0c0000ff2fc4b3c0000201c633640200000000", 24),
    (4, Some(77), "45c000380a0b0000ff2fc494c6336402c0000201200008000000004d45c0001c0a0c0000ff2fc4afc0000201c6336402200000000000004d", 28),
    (6, None, "6c00000000302fff20010db800070000000000000000000220010db8000000000000000000000001000086dd6c00000000042fff20010db800000000000000000000000120010db800070000000000000000000200000000", 44),
    (6, Some(77), "6c00000000382fff20010db800070000000000000000000220010db8000000000000000000000001200086dd0000004d6c00000000082fff20010db800000000000000000000000120010db8000700000000000000000002200000000000004d", 48),
];

#[test]
fn sends_a_golden_keepalives_inner_packet_back_as_it_is() {
    let site = site();
    for (family, key, packet, at) in KEEPALIVES {
        let packet = octets(packet);
        let tunnels = numbered([tunnel(*family, *key)]);
        with(&packet, |frame| {
            assert_eq!(decap(frame, &tunnels, &site), Ok(Decapped::Keepalive(1)));
            assert_eq!(frame.data(), &packet[*at..], "{family}, {key:?}");
            let Ends { local, remote, .. } = ends_over(*family, None);
            let endpoint = Endpoint { remote, local, remote_port: 0, port: 2 };
            assert_eq!((frame.note.endpoint, frame.note.kind), (endpoint, Kind::Outer));
            assert!(!frame.note.turned, "it goes to the router as any packet");
        });
    }
}

#[test]
fn what_only_looks_like_a_keepalive_is_no_answer() {
    let (router, server) = ([198, 51, 100, 2], SERVER_V4);
    let of = |to: [u8; 4], protocol, payload: &[u8]| {
        let inner = packets::Ip::new(server, to).packet(protocol, payload);
        fate_of(&[&ETHERTYPE_V4, &inner[..]].concat())
    };
    assert_eq!(of(router, gre::PROTOCOL, &[0; 4]), Ok(Decapped::Keepalive(1)));
    // Its source is ours, so that it gets no further than to the question whose it is.
    let refused = Ok(Decapped::Inner(1));
    assert_eq!(of([198, 51, 100, 3], gre::PROTOCOL, &[0; 4]), refused);
    assert_eq!(of(router, gre::PROTOCOL, &ETHERTYPE_V4), refused);
    assert_eq!(of(router, gre::PROTOCOL, &[0; 3]), refused);
    assert_eq!(of(router, 17, &[0; 4]), refused);
}
