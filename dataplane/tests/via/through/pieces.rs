//! Datagrams in pieces through another data centre, both ways, in any order, and wherever they land; and what is cut on the way.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use dataplane::fate::DropReason;
use dataplane::testing::packets::{self, Ip};
use dataplane::testing::rules::STRANGER;
use dataplane::testing::server::Place;
use dataplane::testing::site::{self, EVERY_CLIENTS};
use dataplane::testing::transit;
use wire::{icmp, ipv4, udp};

use crate::NEAR;
use crate::world::{ASKED, ASKS, EXIT_V4, World, out, udp_of};

const PIECE: usize = 1200;
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

fn content() -> Vec<u8> {
    (0..3000_usize).map(|place| u8::try_from(place % 251).unwrap()).collect()
}

/// A datagram in three pieces.
fn pieces(ip: Ip, (from, to): (u16, u16), identification: u16) -> Vec<Vec<u8>> {
    cut(&ip.udp(from, to, &content()), PIECE, identification)
}

/// A packet in pieces of at most so much payload.
fn cut(whole: &[u8], len: usize, identification: u16) -> Vec<Vec<u8>> {
    let ip = ipv4::parse(whole).unwrap();
    let payload = &whole[ip.payload_offset..];
    (0..payload.len())
        .step_by(len)
        .map(|at| {
            let end = payload.len().min(at + len);
            let mut piece =
                Ip::new(ip.source, ip.destination).packet(ip.protocol, &payload[at..end]);
            let offset = u16::try_from(at).unwrap();
            transit::fragment(&mut piece, identification, offset, end < payload.len());
            piece
        })
        .collect()
}

/// What pieces carry together, and between whom.
fn whole(pieces: &[Vec<u8>]) -> (Ipv4Addr, Ipv4Addr, Vec<u8>) {
    let (mut payload, mut ends) = (Vec::new(), None);
    for piece in pieces {
        let ip = ipv4::parse(piece).unwrap();
        let all = (ip.source, ip.destination, ip.identification);
        assert!(ends.is_none_or(|ends| ends == all), "all alike");
        ends = Some(all);
        let part = &piece[ip.payload_offset..];
        let end = ip.fragment_offset() + part.len();
        payload.resize(payload.len().max(end), 0);
        payload[ip.fragment_offset()..end].copy_from_slice(part);
    }
    let (source, destination, _) = ends.unwrap();
    (source, destination, payload)
}

/// The datagram that pieces are of, with its ends; its checksum is right over what both ends see.
fn joined(pieces: &[Vec<u8>]) -> (SocketAddr, SocketAddr, Vec<u8>) {
    let (source, destination, payload) = whole(pieces);
    udp::verify_v4(source, destination, &payload).unwrap();
    let ports = udp::parse(&payload).unwrap().ports;
    let (from, to): (IpAddr, IpAddr) = (source.into(), destination.into());
    let data = payload[udp::HEADER_LEN..].to_vec();
    ((from, ports.source).into(), (to, ports.destination).into(), data)
}

#[test]
fn what_clients_send_in_pieces_leaves_there_in_any_order() {
    for workers in [1, 2, 5] {
        let mut world = World::new(workers, 2);
        for (number, order) in (0_u16..).zip(ORDERS) {
            // Both use the same numbers for their datagrams, from the same address.
            for client in 0..2 {
                let all = pieces(out(), (ASKS, ASKED), number);
                let left: Vec<_> =
                    order.iter().flat_map(|place| world.sends(client, &all[*place])).collect();
                assert_eq!(left.len(), 3, "{order:?}: {}", world.totals()[1]);
                let (from, to, data) = joined(&left);
                assert_eq!((to, data), ((STRANGER, ASKED).into(), content()));
                assert_eq!(from, world.asks(client));
            }
        }
        assert_eq!(world.totals().map(|totals| totals.dropped_all()), [0, 0]);
        world.end();
    }
}

/// The wire between the data centres changes their order as well.
#[test]
fn pieces_that_overtake_each_other_between_the_data_centres_leave_as_well() {
    let mut world = World::new(2, 1);
    for (number, order) in (0_u16..).zip(ORDERS) {
        for piece in pieces(out(), (ASKS, ASKED), number) {
            world.here.send(0, &piece);
        }
        let crossing = world.left_here();
        for place in order {
            world.put(false, &crossing[place]);
        }
        let (_, to, data) = joined(&world.cross());
        assert_eq!((to, data), ((STRANGER, ASKED).into(), content()), "{order:?}");
    }
    world.end();
}

#[test]
fn what_comes_back_in_pieces_finds_its_client_in_any_order_and_at_any_workers() {
    for workers in [1, 2, 5] {
        let mut world = World::new(workers, 3);
        for (number, order) in (0_u16..).zip(ORDERS.iter().cycle().take(12)) {
            let client = usize::from(number) % 3;
            let end = world.asks(client);
            let all = pieces(Ip::new(STRANGER, EXIT_V4), (ASKED, end.port()), number);
            for place in order {
                world.arrives(&all[*place]);
            }
            let got = world.got(client);
            assert_eq!(got.len(), 3, "{order:?} at {workers} workers: {}", world.totals()[0]);
            let (from, to, data) = joined(&got);
            assert_eq!((from, to), ((STRANGER, ASKED).into(), (EVERY_CLIENTS, ASKS).into()));
            assert_eq!(data, content());
        }
        assert_eq!(world.totals().map(|totals| totals.dropped_all()), [0, 0]);
        world.end();
    }
}

#[test]
fn pieces_that_come_back_in_any_order_between_the_data_centres_find_their_client() {
    let mut world = World::new(2, 1);
    let end = world.asks(0);
    for (number, order) in (0_u16..).zip(ORDERS) {
        for piece in pieces(Ip::new(STRANGER, EXIT_V4), (ASKED, end.port()), number) {
            world.put(false, &piece);
        }
        let crossing = world.left_there();
        for place in order {
            world.put(true, &crossing[place]);
        }
        assert_eq!(joined(&world.got(0)).2, content(), "{order:?}");
    }
    world.end();
}

#[test]
fn pieces_whose_first_never_comes_are_lost_in_time_and_by_name_at_both() {
    let mut world = World::new(2, 1);
    let end = world.asks(0);
    for piece in pieces(out(), (ASKS, ASKED), 7) {
        world.here.send(0, &piece);
    }
    let over = world.left_here();
    for piece in pieces(Ip::new(STRANGER, EXIT_V4), (ASKED, end.port()), 8) {
        world.put(false, &piece);
    }
    let back = world.left_there();
    world.put(false, &over[1]);
    world.put(true, &back[1]);
    assert_eq!(world.totals().map(|totals| totals.held), [1, 1]);
    world.wait(Duration::from_secs(3));
    let lost = world.totals().map(|totals| totals.dropped(DropReason::EgressNatFragment));
    assert_eq!(lost, [1, 1]);
    assert!(world.is_answered(0));
    world.end();
}

/// An answer that may be fragmented and is too long for its client is cut by the exit, with what goes around it in mind.
#[test]
fn an_answer_that_is_too_long_and_may_be_fragmented_comes_in_pieces() {
    for workers in [1, 2] {
        let mut world = World::new(workers, 2);
        for client in 0..2 {
            let end = world.asks(client);
            world.crossed.clear();
            let mut long = Ip::new(STRANGER, EXIT_V4).udp(ASKED, end.port(), &[7; 1472]);
            transit::fragment(&mut long, 9, 0, false);
            world.arrives(&long);
            assert!(world.crossed.iter().all(|packet| packet.len() <= 1500));
            let got = world.got(client);
            assert_eq!(got.len(), 2, "{}", world.totals()[1]);
            assert!(got.iter().all(|piece| piece.len() <= 1420));
            let (_, to, data) = joined(&got);
            assert_eq!((to, data), ((EVERY_CLIENTS, ASKS).into(), vec![7; 1472]));
        }
        world.end();
    }
}

/// Pieces themselves are cut that are too long, first and later ones.
#[test]
fn pieces_of_an_answer_that_are_too_long_come_in_smaller_ones() {
    let mut world = World::new(2, 1);
    let end = world.asks(0);
    let ip = Ip::new(STRANGER, EXIT_V4);
    for piece in cut(&ip.udp(ASKED, end.port(), &content()), 1480, 5) {
        world.arrives(&piece);
    }
    let got = world.got(0);
    assert_eq!(got.len(), 5, "{}", world.totals()[1]);
    assert!(got.iter().all(|piece| piece.len() <= 1420));
    assert_eq!(joined(&got).2, content());
    world.end();
}

/// So is what does not fit the way to the exit.
#[test]
fn what_does_not_fit_the_way_to_its_exit_and_may_be_fragmented_goes_in_pieces() {
    let mut world = World::new(2, 1);
    let mut long = Ip::new(site::LOCAL_V4, STRANGER).udp(ASKS, ASKED, &[7; 1461 - 28]);
    transit::fragment(&mut long, 9, 0, false);
    world.here.put(Place::Local { worker: 1 }, &packets::from_local(&long));
    world.here.settle();
    let left = world.cross();
    assert_eq!(left.len(), 2, "{}", world.totals()[0]);
    assert!(world.crossed.iter().all(|packet| packet.len() <= 1500));
    assert_eq!(joined(&left).2, [7; 1461 - 28]);
    // One octet less goes as a whole.
    let fits = Ip::new(site::LOCAL_V4, STRANGER).udp(ASKS, ASKED, &[7; 1460 - 28]);
    world.here.put(Place::Local { worker: 1 }, &packets::from_local(&fits));
    world.here.settle();
    assert_eq!(udp_of(&world.cross()[0]).2, [7; 1460 - 28]);
    assert_eq!(world.crossed.last().unwrap().len(), 1500);
    world.end();
}

/// An echo of a size that takes pieces, and its answer, which its sender's link cuts at other places.
#[test]
fn a_long_echo_goes_and_comes_in_pieces() {
    for workers in [1, 2] {
        let mut world = World::new(workers, 2);
        for (client, number) in (0..2).zip(8..) {
            let request = out().echo(1, &content());
            let left: Vec<_> = cut(&request, 1392, 7)
                .iter()
                .flat_map(|piece| world.sends(client, piece))
                .collect();
            assert_eq!(left.len(), 3, "{}", world.totals()[1]);
            let (from, to, mut message) = whole(&left);
            assert_eq!((from, to), (EXIT_V4, STRANGER));
            assert_eq!(message.len(), icmp::HEADER_LEN + content().len());
            icmp::v4::answer_echo(&mut message).unwrap();
            let answer = Ip::new(STRANGER, EXIT_V4).packet(icmp::v4::PROTOCOL, &message);
            // In one burst, as a kernel sends them.
            for piece in cut(&answer, 1480, number) {
                let place = Place::Wire { port: 0, worker: client % workers };
                world.there.put(place, &packets::from_gateway(&piece));
            }
            world.there.settle();
            world.cross();
            let got = world.got(client);
            assert_eq!(got.len(), 5, "{}\n{}", world.totals()[0], world.totals()[1]);
            let (from, to, answered) = whole(&got);
            assert_eq!((from, to), (STRANGER, EVERY_CLIENTS));
            let mut asked = request[ipv4::HEADER_LEN..].to_vec();
            icmp::v4::answer_echo(&mut asked).unwrap();
            assert_eq!(answered, asked);
        }
        assert_eq!(world.totals().map(|totals| totals.dropped_all()), [0, 0]);
        world.end();
    }
}

/// The same by a way straight out: what may be a guest's is cut before it is translated, and comes with what need not be cut.
#[test]
fn a_long_echo_straight_out_comes_back_in_one_burst() {
    for (workers, from) in [(1, 0), (2, 0), (2, 1), (3, 2)] {
        let mut world = World::new(workers, 2);
        for (client, number) in (0..2).zip(8..) {
            let request = Ip::new(EVERY_CLIENTS, NEAR).echo(1, &content());
            for piece in cut(&request, 1392, 7) {
                world.here.send(client, &piece);
            }
            let left = world.left_here();
            assert_eq!(left.len(), 3, "{}", world.totals()[0]);
            let (known, _, mut message) = whole(&left);
            icmp::v4::answer_echo(&mut message).unwrap();
            let answer = Ip::new(NEAR, known).packet(icmp::v4::PROTOCOL, &message);
            for piece in cut(&answer, 1480, number) {
                let place = Place::Wire { port: 0, worker: from };
                world.here.put(place, &packets::from_gateway(&piece));
            }
            world.here.settle();
            let got = world.got(client);
            assert_eq!(got.len(), 5, "{workers} {from}: {}", world.totals()[0]);
            assert_eq!(whole(&got).2.len(), icmp::HEADER_LEN + content().len());
        }
        assert_eq!(world.totals().map(|totals| totals.dropped_all()), [0, 0]);
        world.end();
    }
}
