//! Clients to the Internet by the server's address and back, in memory: whoever's answer it is, whichever worker it reaches,
//! whole or in pieces, and what everybody is told when it does not go.

#[cfg(test)]
#[path = "nat/answers.rs"]
mod answers;
#[cfg(test)]
#[path = "nat/fragments.rs"]
mod fragments;
#[cfg(test)]
#[path = "nat/reports.rs"]
mod reports;
#[cfg(test)]
#[path = "nat/prefixes.rs"]
mod prefixes;
#[cfg(test)]
#[path = "nat/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use dataplane::fate::DropReason;
use dataplane::testing::packets::{self, Ip};
use dataplane::testing::rules::STRANGER;
use dataplane::testing::server::{Place, WIRE};
use dataplane::testing::site::{self, EVERY_CLIENTS, Nat, OUTSIDE_V4};
use shm::message::Item;
use wire::tcp::{Fields, Flags, OptionField};
use wire::{arp, ethernet, icmp, ipv4};
use world::{ASKED, ASKS, World, answer, back, out, question, told, udp};

const WORKERS: [usize; 3] = [1, 2, 16];
const SECOND: Duration = Duration::from_secs(1);

fn segment(
    ip: Ip,
    ports: (u16, u16),
    flags: Flags,
    numbers: (u32, u32),
    options: &[u8],
) -> Vec<u8> {
    let fields = Fields {
        source_port: ports.0,
        destination_port: ports.1,
        sequence_number: numbers.0,
        acknowledgment_number: numbers.1,
        flags,
        window: 1000,
    };
    ip.tcp(&fields, options, &[])
}

#[test]
fn clients_with_the_same_address_get_their_own_answers_whichever_worker_these_reach() {
    for workers in WORKERS {
        let clients = 20;
        let mut world = World::new(workers, clients);
        let asked: Vec<SocketAddr> = (0..clients).map(|client| world.asks(client)).collect();
        assert!(asked.iter().all(|from| from.ip() == OUTSIDE_V4 && from.port() >= 1024));
        assert_eq!(asked.iter().collect::<BTreeSet<_>>().len(), clients, "{asked:?}");
        for (client, from) in asked.iter().enumerate() {
            world.arrives(client * 7, &answer(*from));
        }
        for client in 0..clients {
            assert_eq!(world.got(client), [told()], "client {client} of {workers} workers");
        }
        let totals = world.totals();
        assert_eq!((totals.flows_opened, totals.flows), (20, 20));
        assert_eq!((totals.translated_out, totals.translated_in), (20, 20));
        assert_eq!(totals.dropped_all(), 0, "{totals}");
        world.end();
    }
}

#[test]
fn an_answer_waits_for_a_session_with_its_own_client_and_no_other() {
    for workers in [1, 2] {
        let mut world = World::new(workers, 4);
        let asked: Vec<SocketAddr> = (0..4).map(|client| world.asks(client)).collect();
        // All sessions have ended, and no flow: whoever gets an answer is called first.
        world.scene.now = world.scene.now + SECOND * 200;
        for (client, from) in asked.iter().enumerate() {
            world.arrives(client, &answer(*from));
            assert_eq!(world.got(client), [told()], "client {client} of {workers} workers");
        }
        assert!((0..4).all(|client| world.got(client).is_empty()));
        world.end();
    }
}

#[test]
fn a_packet_loses_one_hop_each_way_and_nothing_else_changes_but_addresses() {
    let mut world = World::new(2, 1);
    let sent = world.sends_one(0, &question());
    let (from, ..) = udp(&sent);
    let ip = Ip { hop_limit: 63, ..Ip::new(OUTSIDE_V4, STRANGER) };
    assert_eq!(sent, ip.udp(from.port(), ASKED, b"a question"));
    assert!(world.is_answered(0));
    world.end();
}

#[test]
fn connections_and_echoes_go_both_ways() {
    for workers in WORKERS {
        let mut world = World::new(workers, 3);
        for client in 0..3 {
            let syn = segment(out(), (ASKS, 80), Flags::SYN, (7, 0), &[]);
            let sent = world.sends_one(client, &syn);
            let (_, syn, _) = world::tcp(&sent);
            let ports = (80, syn.source_port);
            let both = Flags::SYN | Flags::ACK;
            world.arrives(client + 1, &segment(back(), ports, both, (9, 8), &[]));
            let got = world.got(client);
            let (outline, synack, _) = world::tcp(&got[0]);
            assert_eq!(outline.destination, EVERY_CLIENTS);
            assert_eq!((synack.destination_port, synack.flags), (ASKS, both));
            let echo = world.sends_one(client, &out().echo(3, b"hallo"));
            let outline = packets::outline(&echo).unwrap();
            let message = icmp::v4::parse(&echo[outline.payload_offset..]).unwrap();
            let request = message.echo_request_v4().unwrap();
            let mut octets = vec![0; icmp::HEADER_LEN];
            octets.extend(b"hallo");
            icmp::v4::emit_echo_reply(&mut octets, request).unwrap();
            world.arrives(client + 2, &back().packet(icmp::v4::PROTOCOL, &octets));
            let got = world.got(client);
            let message = icmp::v4::parse(&got[0][ipv4::HEADER_LEN..]).unwrap();
            assert_eq!(message.echo_reply_v4().unwrap().identifier, 0x6d6c, "as it had asked");
        }
        assert_eq!(world.totals().dropped_all(), 0, "{}", world.totals());
        world.end();
    }
}

#[test]
fn clients_of_one_and_of_two_workers_reach_each_other_by_their_outer_addresses() {
    for workers in WORKERS {
        let mut world = World::new(workers, 2);
        let ends = [world.asks(0), world.asks(1)];
        let to = |end: SocketAddr, data: &[u8]| {
            Ip::new(EVERY_CLIENTS, OUTSIDE_V4).udp(ASKS, end.port(), data)
        };
        // The first knocks where nobody has spoken to it yet, and opens its own filter so.
        assert!(world.sends(0, &to(ends[1], b"knock")).is_empty());
        assert_eq!(world.dropped(DropReason::EgressNatFiltered), 1);
        for (from, data) in [(1, b"who is it?"), (0, b"only me...")] {
            assert!(world.sends(from, &to(ends[1 - from], data)).is_empty());
            let got = world.got(1 - from);
            let wanted = Ip { hop_limit: 62, ..Ip::new(OUTSIDE_V4, EVERY_CLIENTS) };
            assert_eq!(got, [wanted.udp(ends[from].port(), ASKS, data)], "{workers} workers");
        }
        world.end();
    }
}

#[test]
fn a_client_reaches_this_machine_by_its_outer_address() {
    for workers in WORKERS {
        let mut world = World::new(workers, 2);
        let ask = |to: Ipv4Addr, port| {
            packets::from_local(&Ip::new(site::LOCAL_V4, to).udp(700, port, b"from the kernel"))
        };
        // Of each worker's kernel queue there is one; what it sends is that worker's.
        world.scene.put(Place::Local { worker: workers - 1 }, &ask(STRANGER, ASKED));
        world.scene.settle();
        let left = world.left();
        let (machine, ..) = udp(&left[0]);
        let (client, ..) = udp(&world.sends_one(0, &question()));
        world.scene.put(Place::Local { worker: workers - 1 }, &ask(OUTSIDE_V4, client.port()));
        world.scene.settle();
        world.scene.strays();
        let packet = Ip::new(EVERY_CLIENTS, OUTSIDE_V4).udp(ASKS, machine.port(), b"to the kernel");
        world.scene.send(0, &packet);
        let strays = world.scene.strays();
        let (place, frame) = &strays[0];
        assert!(matches!(place, Place::Local { .. }), "{place:?}");
        let (from, to, data) = packets::datagram_in(frame).unwrap();
        assert_eq!((from, data), (client, &b"to the kernel"[..]));
        assert_eq!(to, (site::LOCAL_V4, 700).into());
        world.end();
    }
}

#[test]
fn what_the_kernel_sends_is_translated_and_answered() {
    for workers in WORKERS {
        let mut world = World::new(workers, 1);
        let packet = Ip::new(site::LOCAL_V4, STRANGER).udp(ASKS, ASKED, b"a question");
        world.scene.put(Place::Local { worker: 0 }, &packets::from_local(&packet));
        world.scene.settle();
        let left = world.left();
        let (from, to, _) = udp(&left[0]);
        assert_eq!((from.ip(), to.ip()), (OUTSIDE_V4.into(), STRANGER.into()));
        for worker in 0..workers {
            world.arrives(worker, &answer(from));
            let strays = world.scene.strays();
            let (place, frame) = &strays[0];
            assert!(matches!(place, Place::Local { .. }));
            let (_, to, data) = packets::datagram_in(frame).unwrap();
            assert_eq!((to, data), ((site::LOCAL_V4, ASKS).into(), &b"an answer"[..]));
        }
        world.end();
    }
}

#[test]
fn segments_are_made_to_fit_the_tunnel_both_ways() {
    let mut world = World::new(2, 1);
    let mss = |packet: &[u8]| {
        let (_, located, segment) = world::tcp(packet);
        located.options(segment).find_map(|option| match option {
            Ok(OptionField::MaximumSegmentSize(mss)) => Some(mss),
            _ => None,
        })
    };
    let option = [2, 4, 0x05, 0xb4];
    let sent = world.sends_one(0, &segment(out(), (ASKS, 80), Flags::SYN, (7, 0), &option));
    assert_eq!(mss(&sent), Some(1380));
    let ports = (80, world::tcp(&sent).1.source_port);
    let both = Flags::SYN | Flags::ACK;
    world.arrives(0, &segment(back(), ports, both, (9, 8), &option));
    assert_eq!(mss(&world.got(0)[0]), Some(1380));
    let small = [2, 4, 0x02, 0x18];
    let sent = world.sends_one(0, &segment(out(), (ASKS + 1, 80), Flags::SYN, (7, 0), &small));
    assert_eq!(mss(&sent), Some(536), "what fits already is left");
    world.end();
}

#[test]
fn flows_end_when_nothing_more_is_heard_of_them() {
    for workers in WORKERS {
        let mut world = World::new(workers, 4);
        for client in 0..4 {
            world.asks(client);
            world.sends_one(client, &out().echo(1, b"hallo"));
            world.sends_one(client, &segment(out(), (1, 80), Flags::SYN, (7, 0), &[]));
        }
        assert_eq!(world.totals().flows, 12);
        // Past the longest of their times: five minutes of UDP (RFC 4787 REQ-5). A round of the sweep is seconds.
        world.scene.now = world.scene.now + SECOND * 300;
        for _ in 0..100 {
            world.scene.now = world.scene.now + SECOND / 10;
            world.scene.settle();
        }
        assert_eq!(world.totals().flows, 0);
        world.end();
    }
}

#[test]
fn a_mapping_that_its_client_uses_lives_on_and_one_that_only_others_use_does_not() {
    let mut world = World::new(1, 2);
    let ends = [world.asks(0), world.asks(1)];
    for minute in 0..8 {
        world.scene.wait(SECOND * 60);
        assert_eq!(world.asks(0), ends[0], "minute {minute}");
        world.arrives(0, &answer(ends[1]));
    }
    world.got(1);
    world.arrives(0, &answer(ends[0]));
    world.arrives(0, &answer(ends[1]));
    assert_eq!(world.got(0), [told()]);
    assert_eq!(world.got(1), Vec::<Vec<u8>>::new(), "RFC 4787 REQ-6");
    world.end();
}

#[test]
fn the_station_of_the_address_is_ours() {
    let mut world = World::new(2, 1);
    let request = packets::arp_request((site::GATEWAY, site::GATEWAY_V4), OUTSIDE_V4);
    world.scene.put(WIRE, &request);
    world.scene.settle();
    let strays = world.scene.strays();
    let reply = arp::parse(&strays[0].1[ethernet::HEADER_LEN..]).unwrap();
    assert_eq!(reply.operation, arp::Operation::Reply);
    assert_eq!((reply.sender_mac, reply.sender), (site::port_link(0), OUTSIDE_V4));
    let other = Ipv4Addr::from_bits(OUTSIDE_V4.to_bits() + 1);
    world.scene.put(WIRE, &packets::arp_request((site::GATEWAY, site::GATEWAY_V4), other));
    world.scene.settle();
    assert!(world.left().is_empty(), "nobody else's");
    world.end();
}

#[test]
fn a_flood_of_strangers_opens_nothing_and_harms_no_flow() {
    for workers in WORKERS {
        let mut world = World::new(workers, 3);
        let ends: Vec<_> = (0..3).map(|client| world.asks(client)).collect();
        let before = world.totals();
        for number in 0..6_000_u32 {
            let stranger = Ipv4Addr::from_bits(STRANGER.to_bits() ^ (1 + number));
            let port = u16::try_from(number * 11 % 65_536).unwrap();
            let ip = Ip::new(stranger, OUTSIDE_V4);
            let packet = match number % 4 {
                0 => ip.udp(ASKED, port.max(1), b"flood"),
                1 => segment(ip, (80, port.max(1)), Flags::SYN, (1, 0), &[]),
                2 => ip.echo(1, b"flood"),
                _ => ip.udp(ASKED, ends[number as usize % 3].port(), b"flood"),
            };
            let worker = number as usize % workers;
            world.scene.put(Place::Wire { port: 0, worker }, &packets::from_gateway(&packet));
            if number % 500 == 499 {
                world.scene.settle();
            }
        }
        world.scene.settle();
        let totals = world.totals();
        assert_eq!(totals.flows, before.flows);
        assert_eq!(totals.flows_opened, before.flows_opened);
        for (client, end) in ends.iter().enumerate() {
            assert_eq!(world.got(client), Vec::<Vec<u8>>::new(), "not for them");
            world.arrives(client, &answer(*end));
            assert_eq!(world.got(client), [told()]);
            assert!(world.is_answered(client));
        }
        world.end();
    }
}

#[test]
fn who_has_all_the_flows_that_one_may_have_keeps_nobody_else_from_one() {
    let mut world = World::with(2, 4, Nat { flows: 64, flows_per_client: 8, setups: 64 });
    for port in 1..=20 {
        world.sends(0, &out().udp(port, ASKED, b"mine"));
    }
    assert_eq!(world.got(0).len(), 12, "it hears of each");
    assert_eq!(world.totals().flows, 8);
    assert!((1..4).all(|client| world.is_answered(client)));
    world.end();
}

#[test]
fn one_mapping_serves_all_whom_a_client_asks_from_one_port() {
    let mut world = World::new(2, 1);
    let ends: BTreeSet<_> = (0..10)
        .map(|number| {
            let other = Ipv4Addr::from_bits(STRANGER.to_bits() - number);
            let packet = Ip::new(EVERY_CLIENTS, other).udp(ASKS, ASKED, b"a question");
            udp(&world.sends_one(0, &packet)).0
        })
        .collect();
    assert_eq!(ends.len(), 1, "RFC 4787 REQ-1: {ends:?}");
    let from: IpAddr = STRANGER.into();
    let end = *ends.first().unwrap();
    world.arrives(0, &Ip::new(from, end.ip()).udp(999, end.port(), b"from another port"));
    assert_eq!(world.got(0).len(), 1, "RFC 4787 REQ-8: filtered by address alone");
    world.end();
}

#[test]
fn who_gets_the_number_of_a_client_that_is_gone_does_not_get_its_answers() {
    for workers in [1, 2] {
        let mut world = World::new(workers, 2);
        let ends = [world.asks(0), world.asks(1)];
        world.scene.change(vec![Item::PeerRemove(site::peer(0).public_key)]);
        assert_eq!(world.totals().flows, 1);
        world.arrives(0, &answer(ends[0]));
        world.arrives(1, &answer(ends[1]));
        assert_eq!(world.dropped(DropReason::EgressNatUnknown), 1);
        assert_eq!(world.got(1), [told()]);
        world.end();
    }
}
