//! The responder in memory: frames in, frames out, and every one of them counted once.

mod gre;
mod origin;

use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;
use wire::udp::Ports;
use wire::{icmp, tcp};

use super::*;

pub(super) const OURS: Mac = [2, 0, 0, 0, 0, 1];
pub(super) const THEIRS: Mac = [2, 0, 0, 0, 0, 9];
const SECOND: Duration = Duration::from_secs(1);

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn row(first: &str, count: u32) -> Range {
    Range { first: ip(first), count }
}

/// A tunnel of each outer family; the second has all that GRE offers.
pub(super) fn tunnels() -> Vec<super::gre::Plan> {
    let plain = super::gre::Plan {
        local: ip("198.51.100.2"),
        remote: ip("192.0.2.1"),
        key: None,
        checksum: false,
        sequence: false,
        inner: vec![row("203.0.113.0", 16), row("2001:db8:4::", 16)],
        keepalive: Duration::ZERO,
        hop: ip("192.0.2.1"),
        faults: super::gre::Faults::default(),
    };
    let full = super::gre::Plan {
        local: ip("2001:db8:2::2"),
        remote: ip("2001:db8::1"),
        key: Some(7),
        checksum: true,
        sequence: true,
        inner: vec![row("203.0.113.16", 16), row("2001:db8:6::", 16)],
        hop: ip("2001:db8::1"),
        ..plain.clone()
    };
    vec![plain, full]
}

pub(super) fn plan() -> Plan {
    Plan {
        seed: 5,
        vlan: None,
        addresses: vec![row("198.51.100.10", 4), row("2001:db8:f::10", 4)],
        tunnels: tunnels(),
        origin: super::origin::Plan { ports: vec![80], connections_max: 64, buffer: 16_384 },
    }
}

/// The responder and what it has sent.
pub(super) struct Site {
    pub(super) responder: Responder,
    pub(super) now: Instant,
}

impl Site {
    pub(super) fn new(plan: Plan) -> Self {
        let now = Instant(1_000_000_000);
        Self { responder: Responder::new(plan, OURS, now), now }
    }

    /// A frame comes; what is sent because of it.
    pub(super) fn receive_frame(&mut self, frame: &[u8]) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        self.responder.receive(frame, self.now, None, &mut |frame| {
            sent.push(frame.to_vec());
            true
        });
        self.balanced();
        sent
    }

    /// A packet comes; the packets that are sent because of it, all to where it came from.
    pub(super) fn receive(&mut self, packet: &[u8]) -> Vec<Vec<u8>> {
        self.receive_frame(&framed(packet)).iter().map(|frame| unframed(frame)).collect()
    }

    /// Time passes; the frames that are sent because of it.
    pub(super) fn pass(&mut self, time: Duration) -> Vec<Vec<u8>> {
        self.now = self.now + time;
        let mut sent = Vec::new();
        self.responder.turn(self.now, &mut |frame| {
            sent.push(frame.to_vec());
            true
        });
        self.balanced();
        sent
    }

    pub(super) fn balanced(&self) {
        assert_eq!(self.responder.tally().unaccounted(), 0, "{:?}", self.responder.tally());
        assert_eq!(self.responder.origin().unaccounted(), 0, "{:?}", self.responder.origin());
    }
}

pub(super) fn framed(packet: &[u8]) -> Vec<u8> {
    let ethertype = if packet[0] >> 4 == 6 { ipv6::ETHERTYPE } else { ipv4::ETHERTYPE };
    let mut frame = [&[0; ethernet::HEADER_LEN], packet].concat();
    ethernet::emit(&mut frame, OURS, THEIRS, None, ethertype).unwrap();
    frame
}

pub(super) fn unframed(frame: &[u8]) -> Vec<u8> {
    let header = ethernet::parse(frame).unwrap();
    assert_eq!((header.source, header.destination), (OURS, THEIRS));
    frame[header.payload_offset..].to_vec()
}

pub(super) fn ping(from: &str, to: &str) -> Vec<u8> {
    let mut packet = vec![b'p'; packet::overhead(ip(to)) + 56];
    packet::emit_echo(&mut packet, ip(from), ip(to), icmp::Echo { identifier: 1, sequence: 2 })
        .unwrap();
    packet
}

pub(super) fn datagram(from: &str, to: &str, port: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = [&vec![0; packet::overhead(ip(to))], payload].concat();
    packet::emit_udp(&mut packet, (ip(from), 4000).into(), (ip(to), port).into()).unwrap();
    packet
}

fn trailer(sequence: u64) -> Vec<u8> {
    let mut payload = vec![0; 40];
    assert!(Trailer { stream: 3, sequence, planned: Instant(999_000_000) }.write(&mut payload));
    payload
}

/// A segment with a right checksum.
pub(super) fn segment(
    (from, to): (SocketAddr, SocketAddr),
    (flags, sequence_number, acknowledgment_number): (u8, u32, u32),
    payload: &[u8],
) -> Vec<u8> {
    let head = packet::ip_header_len(from.ip());
    let mut packet = [&vec![0; head + tcp::HEADER_LEN], payload].concat();
    let len = u16::try_from(packet.len() - head).unwrap();
    let pseudo = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            wire::checksum::Sum::pseudo_v4(from, to, tcp::PROTOCOL, len)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            wire::checksum::Sum::pseudo_v6(from, to, tcp::PROTOCOL, len)
        }
        _ => panic!("one family"),
    };
    let fields = tcp::Fields {
        source_port: from.port(),
        destination_port: to.port(),
        sequence_number,
        acknowledgment_number,
        flags: tcp::Flags(flags),
        window: 64_000,
    };
    tcp::emit(&mut packet[head..], &fields, &[], pseudo).unwrap();
    packet::emit_ip(&mut packet, (from.ip(), to.ip()), tcp::PROTOCOL, 64).unwrap();
    packet
}

#[test]
fn answers_pings_and_datagrams_on_every_address_of_its_own() {
    let mut site = Site::new(plan());
    for (from, to) in [("192.0.2.9", "198.51.100.13"), ("2001:db8::9", "2001:db8:f::13")] {
        for request in [ping(from, to), datagram(from, to, ECHO_PORT, b"echo me")] {
            let answers = site.receive(&request);
            let [answer] = &answers[..] else { panic!("{answers:?}") };
            let (asked, back) = (packet::read(&request).unwrap(), packet::read(answer).unwrap());
            assert_eq!((back.source, back.destination), (ip(to), ip(from)));
            assert_eq!(back.payload, asked.payload);
        }
    }
    assert!(site.receive(&ping("192.0.2.9", "198.51.100.14")).is_empty());
    assert_eq!((site.responder.tally().echoes, site.responder.tally().foreign), (4, 1));
}

#[test]
fn padding_of_short_frames_is_not_part_of_a_packet() {
    let mut site = Site::new(plan());
    let mut frame = framed(&datagram("192.0.2.9", "198.51.100.10", ECHO_PORT, b"x"));
    let len = frame.len();
    frame.resize(60, 0xaa);
    assert_eq!(site.receive_frame(&frame)[0].len(), len);
}

#[test]
fn one_way_traffic_is_followed_by_its_trailers() {
    let mut site = Site::new(plan());
    for sequence in [0, 1, 4, 3, 3] {
        let packet = datagram("192.0.2.9", "198.51.100.10", 9, &trailer(sequence));
        assert!(site.receive(&packet).is_empty());
    }
    let sums = site.responder.sums();
    assert_eq!((sums.received, sums.missing, sums.duplicates, sums.reordered), (4, 1, 1, 1));
    assert_eq!(site.responder.tally().measured, 5);
}

#[test]
fn one_way_traffic_of_the_same_run_reaches_its_meter_with_its_latency() {
    let mut site = Site::new(plan());
    let mut meter = Meter::new(4, false);
    let trailer = meter.send(3, Instant(999_000_000));
    let mut payload = [0; 24];
    assert!(trailer.write(&mut payload));
    let frame = framed(&datagram("192.0.2.9", "198.51.100.10", 9, &payload));
    site.responder.receive(&frame, site.now, Some(&mut meter), &mut |_| true);
    site.balanced();
    assert!(meter.sums().adds_up() && meter.sums().received == 1);
    assert!((990_000..=1_010_000).contains(&meter.latency.percentiles().max_ns));
    assert_eq!(site.responder.sums(), Sums::default());
}

#[test]
fn knows_which_frames_are_for_it_on_a_shared_device() {
    let (site, v4, v6) = (Site::new(plan()), "198.51.100.10", "2001:db8:f::10");
    for (from, to, owned) in [
        ("192.0.2.9", v4, true),
        ("2001:db8::9", v6, true),
        ("192.0.2.1", "198.51.100.2", true),
        ("192.0.2.9", "198.51.100.9", false),
        ("2001:db8::9", "2001:db8:f::9", false),
        ("192.0.2.9", "203.0.113.1", false),
    ] {
        assert_eq!(site.responder.owns(&framed(&ping(from, to))), owned, "{to}");
    }
    let asks = |address: &str| {
        let hops = vec![ip(address)];
        let mine = vec![row("192.0.2.9", 1), row("2001:db8::9", 1)];
        let mut link = Link::new(Setup { mac: THEIRS, vlan: None, addresses: mine, hops });
        let mut questions = Vec::new();
        link.resolve(Instant(0), &mut |frame| questions.push(frame.to_vec()));
        questions.remove(0)
    };
    for (address, owned) in
        [(v4, true), (v6, true), ("198.51.100.99", false), ("2001:db8:f::99", false)]
    {
        assert_eq!(site.responder.owns(&asks(address)), owned, "{address}");
    }
    assert!(!site.responder.owns(&[]) && !site.responder.owns(&[0; 14]));
}

#[test]
fn what_the_device_does_not_take_is_counted_as_unsent() {
    let mut site = Site::new(plan());
    let frame = framed(&ping("192.0.2.9", "198.51.100.10"));
    site.responder.receive(&frame, site.now, None, &mut |_| false);
    let tally = *site.responder.tally();
    assert_eq!((tally.echoes, tally.frames_sent, tally.frames_unsent), (1, 0, 1));
    site.balanced();
}

/// One whole frame of every kind that means something here.
fn kinds() -> Vec<Vec<u8>> {
    let (here, there) = ("198.51.100.10", "192.0.2.9");
    let inner = ping(there, "203.0.113.1");
    let ends = ("192.0.2.9:5000".parse().unwrap(), "198.51.100.10:80".parse().unwrap());
    let ends6 = ("[2001:db8::9]:5000".parse().unwrap(), "[2001:db8:f::10]:7".parse().unwrap());
    vec![
        framed(&ping(there, here)),
        framed(&datagram(there, here, 9, &trailer(1))),
        framed(&datagram(there, here, ECHO_PORT, b"e")),
        framed(&gre::through(&tunnels()[0], 0, &inner)),
        framed(&gre::through(&tunnels()[1], 0, &ping("2001:db8::9", "2001:db8:6::1"))),
        framed(&gre::keepalive(&tunnels()[0])),
        framed(&gre::keepalive(&tunnels()[1])),
        framed(&segment(ends, (2, 100, 0), &[])),
        framed(&segment(ends, (0x18, 101, 1), b"GET / HTTP/1.1\r\n\r\n")),
        framed(&segment(ends6, (2, 100, 0), &[])),
        framed(&gre::through(
            &tunnels()[0],
            0,
            &segment((ends.0, "203.0.113.1:80".parse().unwrap()), (2, 1, 0), &[]),
        )),
    ]
}

#[test]
fn every_kind_of_frame_is_what_it_is_meant_to_be() {
    let mut site = Site::new(plan());
    for frame in kinds() {
        site.receive_frame(&frame);
    }
    let tally = site.responder.tally();
    assert_eq!((tally.foreign, tally.unreadable, tally.other, tally.gre_refused()), (0, 0, 0, 0));
    assert_eq!((tally.echoes, tally.segments_received, tally.keepalives_received), (4, 4, 2));
    assert_eq!(tally.measured, 1);
}

proptest! {
    #[test]
    fn arbitrary_octets_never_panic_and_are_counted_once(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..20),
    ) {
        let mut site = Site::new(plan());
        for mut frame in frames {
            site.receive_frame(&frame);
            if frame.len() > 14 {
                frame[..6].copy_from_slice(&OURS);
                let is_v6 = frame[14] & 1 == 1;
                frame[12..14].copy_from_slice(if is_v6 { &[0x86, 0xdd] } else { &[8, 0] });
                site.receive_frame(&frame);
            }
        }
        site.pass(SECOND);
    }

    #[test]
    fn damaged_frames_never_panic_and_are_counted_once(
        damages in prop::collection::vec(
            (0_usize..11, prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
             any::<prop::sample::Index>(), any::<bool>()),
            1..40,
        ),
    ) {
        let mut site = Site::new(plan());
        for (kind, octets, end, is_cut) in damages {
            let mut frame = kinds()[kind].clone();
            for (at, octet) in octets {
                let at = at.index(frame.len());
                frame[at] = octet;
            }
            if is_cut {
                frame.truncate(end.index(frame.len()));
            }
            site.receive_frame(&frame);
            site.pass(Duration::from_millis(100));
        }
    }

    #[test]
    fn any_segments_with_right_checksums_never_panic_and_leave_no_connection_uncounted(
        segments in prop::collection::vec(
            (prop::sample::select(vec![80_u16, 7, 81]), any::<u8>(), -3_i32..40, -3_i32..40,
             prop::collection::vec(any::<u8>(), 0..30), 0_u64..3_000), 1..60,
        ),
    ) {
        let mut site = Site::new(plan());
        let from: SocketAddr = "192.0.2.9:5000".parse().unwrap();
        let mut theirs = 0_u32;
        for (port, flags, sequence, acknowledged, payload, millis) in segments {
            let to = SocketAddr::new(ip("198.51.100.10"), port);
            let numbers =
                (flags, 100_u32.wrapping_add_signed(sequence), theirs.wrapping_add_signed(acknowledged));
            let answers = site.receive(&segment((from, to), numbers, &payload));
            if let Some(answer) = answers.last() {
                theirs = tcp::parse(&answer[20..]).unwrap().sequence_number;
            }
            site.pass(Duration::from_millis(millis));
        }
        site.pass(Duration::from_secs(200));
        site.pass(Duration::from_secs(200));
        prop_assert_eq!(site.responder.origin().live, 0, "nothing lives for ever");
    }
}

#[test]
fn ports_are_what_they_were() {
    let mut site = Site::new(plan());
    let answer = site.receive(&datagram("192.0.2.9", "198.51.100.10", ECHO_PORT, b"x")).remove(0);
    let ports = Ports { source: ECHO_PORT, destination: 4000 };
    assert_eq!(packet::read(&answer).unwrap().content, Content::Udp(ports));
}
