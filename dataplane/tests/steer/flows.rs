//! Flows through a server's translation live on its addresses: an id that has some stays with it, whatever becomes of the fleet.

use std::net::SocketAddr;

use dataplane::testing::packets::{self, Ip};
use dataplane::testing::rules::STRANGER;
use dataplane::testing::server::WIRE;
use dataplane::testing::site::{EVERY_CLIENTS, OUTSIDE_V4};
use shm::message::MemberState;
use wire::tcp::{self, Flags};

use crate::link::{Link, Peers, SERVERS};
use crate::{SECOND, with_id};

/// Servers that translate, and a client with a session at its owner, which is to be emptied from now on; gives the owner.
fn emptied(workers: usize) -> (Link, usize) {
    let peers = Peers { count: 1, translated: true, ..Peers::default() };
    let mut link = Link::with(peers, workers);
    link.tell(&[MemberState::Active; SERVERS]);
    link.join(with_id(), false);
    let owner = link.owner(0);
    link.landing = vec![(owner + 1) % SERVERS];
    assert!(link.reaches(0, owner));
    let mut states = [MemberState::Active; SERVERS];
    states[owner] = MemberState::Draining { deadline: None };
    link.tell(&states);
    (link, owner)
}

/// By which address and port the client asks a stranger, at this server.
fn asks(link: &mut Link, server: usize) -> SocketAddr {
    drop(link.strays(server));
    link.send(0, &Ip::new(EVERY_CLIENTS, STRANGER).udp(5000, 53, b"a question"));
    let strays = link.strays(server);
    let (from, ..) =
        strays.iter().find_map(|(_, frame)| packets::datagram_in(frame)).expect("it has left");
    assert_eq!(from.ip(), OUTSIDE_V4);
    from
}

/// Whether what the stranger answers comes to the client.
fn is_answered(link: &mut Link, server: usize, to: SocketAddr) -> bool {
    link.clients[0].inbox.clear();
    let answer = Ip::new(STRANGER, to.ip()).udp(53, to.port(), b"an answer");
    link.servers[server].put(WIRE, &packets::from_gateway(&answer));
    link.settle();
    link.clients[0].inbox.pop().is_some()
}

#[test]
fn an_id_with_a_live_flow_stays_with_its_server_and_moves_when_that_is_over() {
    for workers in [1, 2] {
        let (mut link, owner) = emptied(workers);
        let heir = link.owner(0);
        let outside = asks(&mut link, owner);
        // Of the session nothing is left after three minutes; of the flow something is for five.
        link.wait(SECOND * 200);
        link.clients[0].restart(link.now);
        assert!(link.reaches(0, owner), "its flow is there still");
        assert!(is_answered(&mut link, owner, outside));
        assert_eq!(link.totals(heir).sessions, 0);
        link.wait(SECOND * 310);
        assert_eq!(link.totals(owner).flows, 0);
        link.clients[0].restart(link.now);
        assert!(link.reaches(0, heir), "nothing is left of it at its old owner");
        link.close();
    }
}

/// A segment of the client's connection to a stranger, there and back.
fn segments(link: &mut Link, server: usize, flags: [Flags; 2], sequences: [u32; 2]) {
    drop(link.strays(server));
    let [there, back] = sequences;
    let fields = |(source_port, destination_port), flags, sequence_number, acked| tcp::Fields {
        source_port,
        destination_port,
        sequence_number,
        acknowledgment_number: acked,
        flags,
        window: 1000,
    };
    let out = fields((5000, 80), flags[0], there, back);
    link.send(0, &Ip::new(EVERY_CLIENTS, STRANGER).tcp(&out, &[], &[]));
    let strays = link.strays(server);
    let sent = strays.iter().find_map(|(_, frame)| {
        let (outline, packet) = packets::packet_in(frame)?;
        let upper = packet.get(outline.payload_offset..outline.len)?;
        (outline.source == OUTSIDE_V4).then(|| tcp::parse(upper).ok())?
    });
    let sent = sent.expect("it has left");
    let taken = u32::from(flags[0].0 & (Flags::SYN.0 | Flags::FIN.0) != 0);
    let answer = fields((80, sent.source_port), flags[1], back, there + taken);
    let answer = Ip::new(STRANGER, OUTSIDE_V4).tcp(&answer, &[], &[]);
    link.servers[server].put(WIRE, &packets::from_gateway(&answer));
    link.settle();
}

#[test]
fn a_server_that_is_emptied_is_empty_minutes_after_its_last_connection_and_not_hours() {
    let (mut link, owner) = emptied(1);
    let heir = link.owner(0);
    let both = |one: Flags, other: Flags| Flags(one.0 | other.0);
    let (ack, fin) = (Flags::ACK, both(Flags::FIN, Flags::ACK));
    segments(&mut link, owner, [Flags::SYN, both(Flags::SYN, Flags::ACK)], [100, 900]);
    segments(&mut link, owner, [ack, ack], [101, 901]);
    link.wait(SECOND * 20);
    segments(&mut link, owner, [fin, fin], [101, 901]);
    segments(&mut link, owner, [ack, ack], [102, 902]);
    // What is closed rests for four minutes (RFC 5382 REQ-5), in which its client stays; more than its session needs.
    link.wait(SECOND * 200);
    assert_eq!(link.totals(owner).flows, 1);
    link.clients[0].restart(link.now);
    assert!(link.reaches(0, owner), "its flow is there still");
    link.wait(SECOND * 250);
    assert_eq!(link.totals(owner).flows, 0);
    link.clients[0].restart(link.now);
    assert!(link.reaches(0, heir), "nothing is left of it at its old owner");
    link.close();
}

#[test]
fn an_id_without_a_flow_moves_when_its_session_is_over() {
    let (mut link, owner) = emptied(1);
    let heir = link.owner(0);
    assert_ne!(heir, owner);
    link.wait(SECOND * 200);
    link.clients[0].restart(link.now);
    assert!(link.reaches(0, heir));
    link.close();
}

#[test]
fn flows_do_not_take_an_id_back_that_was_given_up() {
    let (mut link, owner) = emptied(1);
    asks(&mut link, owner);
    let mut states = [MemberState::Active; SERVERS];
    let deadline = dataplane::testing::unix(link.now) + SECOND * 5;
    states[owner] = MemberState::Draining { deadline: Some(deadline) };
    // The keeper's turns, with which time goes by.
    let _regions = link.servers[owner].open_border();
    link.tell(&states);
    link.wait(SECOND * 6);
    let heir = link.owner(0);
    link.landing[0] = heir;
    link.clients[0].restart(link.now);
    assert!(link.reaches(0, heir));
    // The operator has changed his mind, and the flow still lives.
    link.tell(&[MemberState::Active; SERVERS]);
    assert_eq!(link.owner(0), owner);
    link.wait(SECOND * 10);
    assert_eq!(link.totals(owner).flows, 1);
    link.clients[0].restart(link.now);
    assert!(link.reaches(0, heir), "its session is there");
    link.close();
}
