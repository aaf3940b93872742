//! Datagrams in pieces, both ways, in any order, and wherever the pieces land (RFC 4787 REQ-14).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use dataplane::fate::DropReason;
use dataplane::testing::packets::{self, Ip};
use dataplane::testing::rules::STRANGER;
use dataplane::testing::server::Place;
use dataplane::testing::site::{EVERY_CLIENTS, OUTSIDE_V4};
use dataplane::testing::transit;
use wire::{ipv4, udp};

use crate::world::{ASKED, ASKS, World, out};

/// Octets of the datagram's payload, and of its pieces but the last one.
const LEN: usize = 3000;
const PIECE: usize = 1200;

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|place| u8::try_from(place % 251).unwrap()).collect()
}

/// A datagram in three pieces.
fn pieces(ip: Ip, (from, to): (u16, u16), identification: u16) -> Vec<Vec<u8>> {
    cut(ip, &ip.udp(from, to, &content(LEN)), PIECE, identification)
}

/// A whole packet in pieces with so many octets in each but the last one.
fn cut(ip: Ip, whole: &[u8], len: usize, identification: u16) -> Vec<Vec<u8>> {
    let payload = &whole[ipv4::HEADER_LEN..];
    (0..payload.len())
        .step_by(len)
        .map(|at| {
            let end = payload.len().min(at + len);
            let mut piece = ip.packet(udp::PROTOCOL, &payload[at..end]);
            let offset = u16::try_from(at).unwrap();
            transit::fragment(&mut piece, identification, offset, end < payload.len());
            piece
        })
        .collect()
}

/// The datagram that pieces are of, with its ends; its checksum is right over what both ends see.
fn joined(pieces: &[Vec<u8>]) -> Option<(SocketAddr, SocketAddr, Vec<u8>)> {
    let (mut payload, mut ends) = (Vec::new(), None);
    for piece in pieces {
        let ip = ipv4::parse(piece).unwrap();
        assert!(ends.is_none_or(|ends| ends == (ip.source, ip.destination)), "all alike");
        ends = Some((ip.source, ip.destination));
        let part = &piece[ip.payload_offset..];
        let end = ip.fragment_offset() + part.len();
        payload.resize(payload.len().max(end), 0);
        payload[ip.fragment_offset()..end].copy_from_slice(part);
    }
    let (source, destination) = ends?;
    udp::verify_v4(source, destination, &payload).ok()?;
    let ports = udp::parse(&payload).ok()?.ports;
    let (from, to): (IpAddr, IpAddr) = (source.into(), destination.into());
    let data = payload[udp::HEADER_LEN..].to_vec();
    Some(((from, ports.source).into(), (to, ports.destination).into(), data))
}

const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

#[test]
fn what_comes_back_in_pieces_finds_its_client_in_any_order_and_at_any_workers() {
    for workers in [1, 2, 16] {
        let mut world = World::new(workers, 3);
        for (number, order) in (0_u16..).zip(ORDERS.iter().cycle().take(24)) {
            let client = usize::from(number) % 3;
            let end = world.asks(client);
            let all = pieces(Ip::new(STRANGER, OUTSIDE_V4), (ASKED, end.port()), number);
            for (turn, place) in order.iter().enumerate() {
                // Each lands somewhere else, if there is somewhere else; or all are in one burst.
                let worker = if number < 12 { usize::from(number) + turn * 5 } else { 0 };
                world.lands(worker, &all[*place]);
                if number < 12 {
                    world.scene.settle();
                }
            }
            world.scene.settle();
            let got = world.got(client);
            assert_eq!(got.len(), 3, "{order:?} at {workers} workers: {}", world.totals());
            let (from, to, data) = joined(&got).unwrap();
            assert_eq!((from, to), ((STRANGER, ASKED).into(), (EVERY_CLIENTS, ASKS).into()));
            assert_eq!(data, content(LEN));
            assert_eq!(world.totals().held, 0);
        }
        assert_eq!(world.totals().dropped_all(), 0, "{}", world.totals());
        world.end();
    }
}

#[test]
fn what_clients_send_in_pieces_leaves_in_any_order() {
    for workers in [1, 2, 16] {
        let mut world = World::new(workers, 4);
        for (number, order) in (0_u16..).zip(ORDERS.iter().cycle().take(12)) {
            // All clients use the same numbers for their datagrams, from the same address.
            for client in 0..4 {
                let all = pieces(out(), (ASKS, ASKED), number);
                let mut left = Vec::new();
                for place in order {
                    left.extend(world.sends(client, &all[*place]));
                }
                assert_eq!(left.len(), 3, "{order:?}: {}", world.totals());
                let (from, to, data) = joined(&left).unwrap();
                assert_eq!((from.ip(), to), (OUTSIDE_V4.into(), (STRANGER, ASKED).into()));
                assert_eq!(data, content(LEN));
                let hops = left.iter().map(|piece| ipv4::parse(piece).unwrap().ttl);
                assert!(hops.eq([63; 3]), "one hop each");
                assert_eq!(from, world.asks(client));
            }
        }
        assert_eq!(world.totals().dropped_all(), 0, "{}", world.totals());
        world.end();
    }
}

#[test]
fn pieces_go_from_client_to_client_as_well() {
    for workers in [1, 2, 16] {
        let mut world = World::new(workers, 2);
        let ends = [world.asks(0), world.asks(1)];
        let ip = Ip::new(EVERY_CLIENTS, OUTSIDE_V4);
        world.sends(0, &ip.udp(ASKS, ends[1].port(), b"knock"));
        for (number, order) in (0..).zip(ORDERS) {
            let all = pieces(ip, (ASKS, ends[0].port()), number);
            for place in order {
                assert!(world.sends(1, &all[place]).is_empty());
            }
            let got = world.got(0);
            assert_eq!(got.len(), 3, "{order:?} at {workers}: {}", world.totals());
            let (from, to, data) = joined(&got).unwrap();
            assert_eq!((from, to), (ends[1], (EVERY_CLIENTS, ASKS).into()));
            assert_eq!(data, content(LEN));
        }
        world.end();
    }
}

#[test]
fn pieces_whose_first_never_comes_are_lost_in_time_and_by_name() {
    let mut world = World::new(2, 1);
    let end = world.asks(0);
    let all = pieces(Ip::new(STRANGER, OUTSIDE_V4), (ASKED, end.port()), 7);
    world.arrives(0, &all[1]);
    world.arrives(1, &all[2]);
    world.sends(0, &pieces(out(), (ASKS, ASKED), 7)[1]);
    assert_eq!(world.totals().held, 3);
    world.scene.wait(Duration::from_secs(3));
    assert_eq!(world.totals().held, 0);
    assert_eq!(world.dropped(DropReason::EgressNatFragment), 3);
    assert!(world.is_answered(0));
    world.end();
}

#[test]
fn a_flood_of_pieces_is_bounded_and_harms_nothing_that_is_whole() {
    for workers in [1, 2] {
        let mut world = World::new(workers, 2);
        let ends = [world.asks(0), world.asks(1)];
        for number in 0..20_000_u16 {
            let piece = &pieces(Ip::new(STRANGER, OUTSIDE_V4), (ASKED, 1), number)[1];
            let worker = usize::from(number) % workers;
            world.scene.put(Place::Wire { port: 0, worker }, &packets::from_gateway(piece));
            if number % 500 == 499 {
                world.scene.settle();
            }
        }
        world.scene.settle();
        assert!(world.totals().held <= 256 * workers as u64, "{}", world.totals());
        assert!(
            (0..2).all(|client| world.is_answered(client) && world.asks(client) == ends[client])
        );
        world.scene.wait(Duration::from_secs(3));
        assert_eq!(world.totals().held, 0);
        world.end();
    }
}

#[test]
fn what_is_too_long_for_a_client_and_may_be_fragmented_comes_in_pieces() {
    for workers in [1, 2, 16] {
        let mut world = World::new(workers, 3);
        for client in 0..3 {
            let end = world.asks(client);
            let whole = Ip::new(STRANGER, OUTSIDE_V4).udp(ASKED, end.port(), &[7; 1472]);
            let mut may_be = whole.clone();
            transit::fragment(&mut may_be, 9, 0, false);
            world.arrives(client + 1, &may_be);
            let got = world.got(client);
            assert_eq!(got.len(), 2, "{}", world.totals());
            for piece in &got {
                let ip = ipv4::parse(piece).unwrap();
                assert!(ip.total_len() <= 1420 && ip.ttl == 63, "{ip:?}");
            }
            let (from, to, data) = joined(&got).unwrap();
            assert_eq!((from, to), ((STRANGER, ASKED).into(), (EVERY_CLIENTS, ASKS).into()));
            assert_eq!(data, [7; 1472]);
            // One that nobody has asked for is not taken to pieces.
            let before = world.totals().made;
            let mut stray = Ip::new(STRANGER, OUTSIDE_V4).udp(ASKED, end.port() ^ 1, &[7; 1472]);
            transit::fragment(&mut stray, 9, 0, false);
            world.arrives(client, &stray);
            assert_eq!(world.totals().made, before);
            assert!(world.left().is_empty());
        }
        world.end();
    }
}

#[test]
fn pieces_of_the_link_s_own_size_come_in_smaller_ones() {
    let mut world = World::new(2, 1);
    for (number, order) in (0_u16..).zip(ORDERS) {
        let end = world.asks(0);
        let ip = Ip::new(STRANGER, OUTSIDE_V4);
        let all = cut(ip, &ip.udp(ASKED, end.port(), &content(4000)), 1480, number);
        for place in order {
            world.lands(usize::from(number), &all[place]);
        }
        world.scene.settle();
        let got = world.got(0);
        assert!(got.iter().all(|piece| ipv4::parse(piece).unwrap().total_len() <= 1420));
        let (_, to, data) = joined(&got).unwrap();
        assert_eq!(to, (EVERY_CLIENTS, ASKS).into());
        assert_eq!(data, content(4000), "{order:?}");
    }
    assert_eq!(world.totals().dropped_all(), 0, "{}", world.totals());
    world.end();
}
