//! IPv6 through another data centre, whatever it carries, and the way between data centres by IPv6.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use dataplane::fate::DropReason;
use dataplane::testing::packets::{self, Ip};
use dataplane::testing::rules::STRANGER_V6;
use dataplane::testing::site::{CENTRE_V4, OUTSIDE_V4, inner_v6};
use dataplane::testing::via::sealed;
use shm::message::Item;
use wire::icmp::{self, v6};
use wire::ipv6;
use wire::tcp::{self, Flags, OptionField};

use crate::world::{ASKED, ASKS, CENTRE_V6, EXIT_V6, ROOM, World, inside, machine, udp_of};

const ROUTER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x99, 0, 0, 0, 0, 3);

fn out(client: usize) -> Ip {
    Ip::new(inner_v6(u32::try_from(client).unwrap()), STRANGER_V6)
}

/// By which address and port a client asks the stranger.
fn asks(world: &mut World, client: usize) -> SocketAddr {
    let left = world.sends_one(client, &out(client).udp(ASKS, ASKED, b"a question"));
    udp_of(&left).0
}

fn is_answered(world: &mut World, client: usize) -> bool {
    let from = asks(world, client);
    world.arrives(&Ip::new(STRANGER_V6, from.ip()).udp(ASKED, ASKS, b"an answer"));
    let told = Ip { hop_limit: 62, ..Ip::new(STRANGER_V6, out(client).source) };
    world.got(client) == [told.udp(ASKED, ASKS, b"an answer")]
}

fn is_outside(address: IpAddr) -> bool {
    let IpAddr::V6(address) = address else { return false };
    address.segments()[..3] == EXIT_V6.segments()[..3]
}

#[test]
fn each_client_is_known_by_an_address_of_the_exits_and_gets_its_own_answers() {
    for workers in [1, 2, 5] {
        let mut world = World::new(workers, 8);
        let known: Vec<_> = (1..8).map(|client| asks(&mut world, client)).collect();
        assert!(known.iter().all(|from| is_outside(from.ip()) && from.port() == ASKS), "{known:?}");
        assert!((1..8).all(|client| is_answered(&mut world, client)), "{workers} workers");
        assert_eq!(world.totals().map(|totals| totals.dropped_all()), [0, 0]);
        world.end();
    }
}

/// A connection of IPv6 goes the same way, unless another server spliced it: nothing of it is touched but addresses and the MSS.
#[test]
fn connections_go_as_they_are() {
    let mut world = World::new(2, 2);
    let fields = tcp::Fields {
        source_port: ASKS,
        destination_port: 80,
        sequence_number: 7,
        acknowledgment_number: 0,
        flags: Flags::SYN,
        window: 1000,
    };
    let left = world.sends_one(1, &out(1).tcp(&fields, &[2, 4, 0x23, 0], &[]));
    let outline = packets::outline(&left).unwrap();
    let syn = &left[outline.payload_offset..];
    let located = tcp::parse(syn).unwrap();
    assert!(is_outside(outline.source) && located.sequence_number == 7);
    let mss = located.options(syn).flatten().next();
    assert_eq!(mss, Some(OptionField::MaximumSegmentSize(1420 - 60)));
    let answer = tcp::Fields {
        source_port: 80,
        destination_port: ASKS,
        acknowledgment_number: 8,
        flags: Flags::SYN | Flags::ACK,
        ..fields
    };
    world.arrives(&Ip::new(STRANGER_V6, outline.source).tcp(&answer, &[], &[]));
    let got = world.got(1);
    assert_eq!(packets::outline(&got[0]).unwrap().destination, out(1).source);
    assert_eq!(world.totals()[0].connects_opening, 0);
    world.end();
}

#[test]
fn echoes_and_errors_find_their_client() {
    let mut world = World::new(2, 2);
    let echo = world.sends_one(1, &out(1).echo(3, b"hallo"));
    let known = packets::outline(&echo).unwrap().source;
    let IpAddr::V6(address) = known else { panic!("{known}") };
    let mut octets = vec![0; icmp::HEADER_LEN + echo.len()];
    let error = v6::Error::PacketTooBig { mtu: 1300 };
    v6::emit_error(&mut octets, error, ROUTER, address, &echo).unwrap();
    world.arrives(&Ip::new(ROUTER, known).packet(v6::PROTOCOL, &octets));
    let got = world.got(1);
    let outline = packets::outline(&got[0]).unwrap();
    let (IpAddr::V6(from), IpAddr::V6(to)) = (outline.source, outline.destination) else {
        panic!()
    };
    assert_eq!((from, IpAddr::from(to)), (ROUTER, out(1).source));
    let message = &got[0][outline.payload_offset..];
    v6::parse(from, to, message).unwrap();
    let quoted = ipv6::parse_quoted(&message[icmp::HEADER_LEN..]).unwrap();
    assert_eq!(IpAddr::from(quoted.source), out(1).source, "as it had sent it");
    assert!(is_answered(&mut world, 1));
    world.end();
}

#[test]
fn an_address_that_is_another_clients_there_is_refused() {
    let mut world = World::new(2, 2);
    // The exit has a client with this address itself.
    assert!(world.sends(0, &out(0).udp(ASKS, ASKED, b"a question")).is_empty());
    assert_eq!(world.totals()[1].dropped(DropReason::EgressViaAddress), 1);
    asks(&mut world, 1);
    let (header, packet) = inside(world.crossed.last().unwrap());
    let ends = (OUTSIDE_V4.into(), CENTRE_V4.into());
    world.put(false, &sealed(ends, (false, header.handle ^ 1), &packet));
    assert!(world.cross().is_empty());
    assert_eq!(
        world.totals()[1].dropped(DropReason::EgressViaAddress),
        2,
        "and so has the first guest"
    );
    world.silence();
    world.put(false, &sealed(ends, (false, header.handle ^ 1), &packet));
    assert_eq!(world.cross().len(), 1, "until it has been silent for a while");
    world.end();
}

#[test]
fn what_comes_to_an_address_that_nobody_has_is_lost_by_name() {
    for workers in [1, 2] {
        let mut world = World::new(workers, 2);
        let known = asks(&mut world, 1).ip();
        let IpAddr::V6(address) = known else { panic!("{known}") };
        let next = Ipv6Addr::from_bits(address.to_bits() + 1);
        for _ in 0..workers {
            world.arrives(&Ip::new(STRANGER_V6, next).udp(ASKED, ASKS, b"who is there?"));
        }
        assert_eq!(world.totals()[1].dropped(DropReason::EgressNatUnknown), workers as u64);
        assert!(is_answered(&mut world, 1));
        world.end();
    }
}

#[test]
fn clients_reach_each_other_by_their_outer_addresses() {
    for workers in [1, 2] {
        let mut world = World::new(workers, 3);
        let known = [1, 2].map(|client| asks(&mut world, client).ip());
        let prefix = format!("{EXIT_V6}/48").parse().unwrap();
        world.here.change(vec![Item::Route { prefix, next_hop: 3 }]);
        for (from, to) in [(1, 2), (2, 1)] {
            let ip = Ip::new(out(from).source, known[to - 1]);
            assert!(world.sends(from, &ip.udp(ASKS, ASKS, b"hallo")).is_empty());
            let wanted = Ip { hop_limit: 60, ..Ip::new(known[from - 1], out(to).source) };
            let got = world.got(to);
            let [_, there] = world.totals();
            assert_eq!(got, [wanted.udp(ASKS, ASKS, b"hallo")], "{workers} workers: {there}");
        }
        world.end();
    }
}

/// The machine of the other data centre has an address of IPv6 alone.
#[test]
fn the_way_between_data_centres_may_be_of_ipv6() {
    let mut world = World::with((2, 2), ROOM, &[machine(CENTRE_V6)]);
    assert!(world.is_answered(1) && is_answered(&mut world, 1));
    assert_eq!(packets::outline(&world.crossed[0]).unwrap().destination, CENTRE_V6);
    let whole = world.crossed[0].len();
    let (_, packet) = inside(&world.crossed[0]);
    assert_eq!(whole, packet.len() + 60);
    world.end();
}
