//! Tunnels: both families outside and inside, all fields, keepalives both ways, and what is refused.

use std::time::Duration;

use wire::gre::{self, Fields};

use super::super::gre::{Faults, Plan};
use super::{Site, THEIRS, framed, ip, ping, plan, tunnels, unframed};
use crate::packet;
use crate::responder::{arp, ethernet, ipv4, ipv6};

/// What the server sends to the tunnel's local end, made from the header functions alone.
pub(super) fn through(plan: &Plan, sequence: u32, inner: &[u8]) -> Vec<u8> {
    let protocol = if inner[0] >> 4 == 6 { ipv6::ETHERTYPE } else { ipv4::ETHERTYPE };
    let sequence = plan.sequence.then_some(sequence);
    let fields = Fields { protocol, key: plan.key, sequence, with_checksum: plan.checksum };
    carried(plan, &fields, inner)
}

fn carried(plan: &Plan, fields: &Fields, inner: &[u8]) -> Vec<u8> {
    let ip_len = packet::ip_header_len(plan.local);
    let mut outer = [&vec![0; ip_len + fields.header_len()], inner].concat();
    gre::emit(&mut outer[ip_len..], fields).unwrap();
    packet::emit_ip(&mut outer, (plan.remote, plan.local), gre::PROTOCOL, 64).unwrap();
    outer
}

/// The server's keepalive: its answer inside.
pub(super) fn keepalive(plan: &Plan) -> Vec<u8> {
    let back = Plan { local: plan.remote, remote: plan.local, ..plan.clone() };
    let none = Fields { protocol: 0, key: plan.key, sequence: None, with_checksum: false };
    through(plan, 0, &carried(&back, &none, &[]))
}

/// The header and the inner packet of what the responder sends to the server.
fn opened(plan: &Plan, outer: &[u8]) -> (gre::Located, Vec<u8>) {
    let located = packet::read(outer).unwrap();
    assert_eq!((located.source, located.destination), (plan.local, plan.remote));
    assert_eq!(located.protocol, gre::PROTOCOL);
    let header = gre::parse(located.payload).unwrap();
    (header, located.payload[header.payload_offset..].to_vec())
}

#[test]
fn answers_come_back_through_the_tunnel_with_its_key_checksum_and_numbers() {
    let mut site = Site::new(plan());
    let inner = [
        [("192.0.2.77", "203.0.113.3"), ("2001:db8::77", "2001:db8:4::3")],
        [("192.0.2.77", "203.0.113.19"), ("2001:db8::77", "2001:db8:6::3")],
    ];
    for (tunnel, families) in tunnels().iter().zip(inner) {
        for (number, (from, to)) in (0..).zip(families) {
            let answers = site.receive(&through(tunnel, number, &ping(from, to)));
            let (header, inner) = opened(tunnel, &answers[0]);
            assert_eq!(header.key, tunnel.key);
            assert_eq!(header.checksum.is_some(), tunnel.checksum);
            assert_eq!(header.sequence, tunnel.sequence.then_some(number));
            let back = packet::read(&inner).unwrap();
            assert_eq!((back.source, back.destination), (ip(to), ip(from)));
        }
    }
    assert_eq!(site.responder.tally().echoes, 4);
    assert!(site.responder.tunnels().all(|tunnel| tunnel.tally.packets_received == 2));
    assert!(site.responder.tunnels().all(|tunnel| tunnel.tally.packets_sent == 2));
}

#[test]
fn what_fits_no_tunnel_is_refused_under_its_name() {
    let mut site = Site::new(plan());
    let [plain, full] = &tunnels()[..] else { panic!() };
    let inner = ping("192.0.2.77", "203.0.113.19");
    let mut refused = |packet: Vec<u8>| assert!(site.receive(&packet).is_empty());
    refused(through(&Plan { key: Some(8), ..full.clone() }, 0, &inner));
    refused(through(&Plan { key: None, ..full.clone() }, 0, &inner));
    refused(through(&Plan { remote: ip("192.0.2.2"), ..plain.clone() }, 0, &inner));
    let mut broken = through(full, 0, &inner);
    *broken.last_mut().unwrap() ^= 1;
    refused(broken);
    refused(through(plain, 0, &inner));
    refused(through(plain, 0, &inner[..30]));
    let fields = Fields { protocol: 0x86dd, key: None, sequence: None, with_checksum: false };
    refused(carried(plain, &fields, &ping("192.0.2.77", "203.0.113.1")));
    let tally = site.responder.tally();
    assert_eq!((tally.gre_key, tally.gre_unknown, tally.gre_malformed), (2, 1, 1));
    assert_eq!((tally.misdelivered, tally.gre_inner), (1, 2));
}

#[test]
fn numbers_that_are_missing_or_late_are_counted_also_around_their_end() {
    let mut site = Site::new(plan());
    for sequence in [u32::MAX - 1, u32::MAX, 2, 1, 3] {
        site.receive(&through(&tunnels()[1], sequence, &ping("192.0.2.77", "203.0.113.19")));
    }
    let tally = site.responder.tunnels().nth(1).unwrap().tally;
    assert_eq!((tally.sequence_gaps, tally.sequence_late), (2, 1));
}

#[test]
fn the_servers_keepalive_goes_back_as_it_lies_inside() {
    let mut site = Site::new(plan());
    for (index, tunnel) in tunnels().iter().enumerate() {
        let answers = site.receive(&keepalive(tunnel));
        let (header, inner) = opened(tunnel, &answers[0]);
        assert_eq!((header.protocol, inner.len(), header.key), (0, 0, tunnel.key));
        let tally = site.responder.tunnels().nth(index).unwrap().tally;
        assert_eq!((tally.keepalives_received, tally.packets_sent), (1, 0), "not into the tunnel");
    }
    assert_eq!(site.responder.tally().keepalive_answers_sent, 2);
}

/// A site whose tunnels ask every second, and whose neighbours are known.
fn asking(faults: Faults) -> (Site, Vec<Plan>) {
    let mut plan = plan();
    for tunnel in &mut plan.tunnels {
        tunnel.keepalive = Duration::from_secs(1);
        tunnel.faults = faults;
    }
    let tunnels = plan.tunnels.clone();
    let mut site = Site::new(plan);
    let questions = site.pass(Duration::ZERO);
    assert_eq!(questions.len(), 2, "nothing but questions while nobody is known");
    for tunnel in &tunnels {
        let addresses = vec![crate::link::Range { first: tunnel.remote, count: 1 }];
        let setup = crate::link::Setup { mac: THEIRS, vlan: None, addresses, hops: vec![] };
        let mut server = crate::link::Link::new(setup);
        for question in &questions {
            let mut answers = Vec::new();
            server.receive(question, &mut |frame| answers.push(frame.to_vec()));
            for answer in &answers {
                site.receive_frame(answer);
            }
        }
    }
    (site, tunnels)
}

/// The packets among frames.
fn packets(frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let is_packet = |frame: &&Vec<u8>| ethernet::parse(frame).unwrap().ethertype != arp::ETHERTYPE;
    frames.iter().filter(is_packet).map(|frame| unframed(frame)).collect()
}

#[test]
fn keepalives_of_ours_carry_their_answer_and_are_counted_answered_or_lost() {
    let (mut site, tunnels) = asking(Faults::default());
    for round in 0..3 {
        let asked = packets(&site.pass(Duration::from_secs(1)));
        assert_eq!(asked.len(), 2);
        for (tunnel, outer) in tunnels.iter().zip(&asked) {
            let (header, answer) = opened(tunnel, outer);
            assert_eq!(header.key, tunnel.key);
            // The server does nothing but forward what is inside; the last one it loses.
            if round < 2 {
                site.now = site.now + Duration::from_millis(3);
                assert!(site.receive(&answer).is_empty());
            }
        }
    }
    let asked = packets(&site.pass(Duration::from_secs(1)));
    let (_, late) = opened(&tunnels[0], &asked[0]);
    site.receive(&late);
    site.receive(&late);
    site.responder.end();
    assert!(site.pass(Duration::from_secs(5)).is_empty());
    let [one, two] = [0, 1].map(|index| site.responder.tunnels().nth(index).unwrap().tally);
    assert_eq!((one.keepalives_sent, one.keepalives_answered, one.keepalives_lost), (4, 3, 1));
    assert_eq!((two.keepalives_sent, two.keepalives_answered, two.keepalives_lost), (4, 2, 1));
    assert_eq!((one.answers_unasked, one.answer_max_ns), (1, 3_000_000));
    assert_eq!(site.responder.tally().keepalive_answers_received, 6);
}

#[test]
fn faults_are_made_as_asked() {
    let all = Faults { key: true, source: true, silent: true };
    let (mut site, tunnels) = asking(all);
    for outer in packets(&site.pass(Duration::from_secs(1))) {
        let located = packet::read(&outer).unwrap();
        let tunnel = tunnels.iter().find(|t| t.remote == located.destination).unwrap();
        assert_ne!(located.source, tunnel.local);
        assert_ne!(gre::parse(located.payload).unwrap().key, tunnel.key);
    }
    assert!(site.receive(&keepalive(&tunnels[0])).is_empty(), "silent");
    assert_eq!(site.responder.tally().keepalives_received, 1);
    let answers = site.receive(&through(&tunnels[0], 0, &ping("192.0.2.77", "203.0.113.3")));
    let located = packet::read(&answers[0]).unwrap();
    assert_eq!(located.source, ip("198.51.100.3"));
    assert_eq!(gre::parse(located.payload).unwrap().key, Some(1));
    assert_eq!(framed(&answers[0]).len(), answers[0].len() + 14);
}
