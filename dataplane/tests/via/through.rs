//! Clients' datagrams through another data centre and back, in memory: two servers, and clients that all have one inner address.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use dataplane::fate::DropReason;
use dataplane::testing::packets::{self, Ip};
use dataplane::testing::rules::STRANGER;
use dataplane::testing::server::Place;
use dataplane::testing::site::{self, CENTRE_V4, EVERY_CLIENTS, Nat, OUTSIDE_V4};
use shm::message::{Item, NextHop};
use wire::ipv4;

use crate::world::{
    AROUND, ASKED, ASKS, EXIT_V4, OTHER_V4, ROOM, World, answer, centre, error, inside, machine,
    out, question, told, udp_of,
};
use crate::{CENTRE, NEAR};

const WORKERS: [usize; 3] = [1, 2, 5];

#[test]
fn clients_with_the_same_address_get_their_own_answers_whichever_workers_these_reach() {
    for workers in WORKERS {
        let clients = 12;
        let mut world = World::new(workers, clients);
        let asked: Vec<SocketAddr> = (0..clients).map(|client| world.asks(client)).collect();
        assert!(asked.iter().all(|from| from.ip() == EXIT_V4), "{asked:?}");
        assert_eq!(asked.iter().collect::<BTreeSet<_>>().len(), clients, "{asked:?}");
        for from in &asked {
            world.arrives(&answer(*from));
        }
        for client in 0..clients {
            assert_eq!(world.got(client), [told()], "client {client} of {workers} workers");
        }
        let [here, there] = world.totals();
        assert_eq!((here.via_out, here.via_in, here.via_mappings), (12, 12, 12), "{here}");
        assert_eq!((there.guests_out, there.guests_in, there.guests), (12, 12, 12), "{there}");
        assert_eq!((here.dropped_all(), there.dropped_all()), (0, 0), "{here}\n{there}");
        assert_eq!((here.flows, there.flows), (0, 12));
        world.end();
    }
}

#[test]
fn a_packet_goes_to_its_exit_unchanged_but_for_a_hop_and_says_nothing_of_its_client_but_a_handle() {
    let mut world = World::new(1, 2);
    let from = world.asks(0);
    let (header, packet) = inside(&world.crossed[0]);
    assert_eq!(packet, Ip { hop_limit: 63, ..out() }.udp(ASKS, ASKED, b"a question"));
    assert_eq!(world.crossed[0].len(), packet.len() + AROUND);
    let outer = ipv4::parse(&world.crossed[0]).unwrap();
    assert_eq!((outer.source, outer.destination), (OUTSIDE_V4, CENTRE_V4));
    assert!(outer.dont_fragment() && !header.back);
    world.arrives(&answer(from));
    let (back, packet) = inside(&world.crossed[1]);
    assert_eq!((back.handle, back.back), (header.handle, true));
    assert_eq!(
        packet,
        Ip { hop_limit: 63, ..Ip::new(STRANGER, EVERY_CLIENTS) }.udp(ASKED, ASKS, b"an answer")
    );
    world.asks(1);
    assert_ne!(inside(&world.crossed[2]).0.handle, header.handle);
    world.end();
}

/// RFC 4787 REQ-1 and REQ-2: what others know a client by is good for all whom it speaks to, wherever routes lead.
#[test]
fn an_address_and_port_keep_their_exit_whomever_they_send_to_and_wherever_routes_lead_meanwhile() {
    for hop in [NextHop::Direct, NextHop::Via { centre: CENTRE.into(), remote: None }] {
        let mut world = World::new(2, 2);
        let from = world.asks(0);
        let near = Ip::new(EVERY_CLIENTS, NEAR).udp(ASKS, ASKED, b"and you?");
        assert_eq!(udp_of(&world.sends_one(0, &near)).0, from, "also where routes lead straight");
        // The next packets find the route elsewhere, or another machine that is better for this client.
        world.lead(hop);
        world.here.change(vec![centre(&[machine(OTHER_V4), machine(CENTRE_V4)])]);
        world.asks(0);
        assert_eq!(world.asks(0), from);
        assert!(world.is_answered(0));
        world.end();
    }
}

#[test]
fn what_begins_when_the_route_has_moved_goes_the_new_way_and_what_has_ended_too() {
    let mut world = World::new(2, 1);
    world.asks(0);
    world.lead(NextHop::Direct);
    world.here.send(0, &out().udp(ASKS + 1, ASKED, b"a question"));
    let left = world.left_here();
    assert_eq!(udp_of(&left[0]).0.ip(), OUTSIDE_V4, "straight out");
    world.asks(0);
    world.silence();
    world.here.send(0, &question());
    assert_eq!(
        udp_of(&world.left_here()[0]).0.ip(),
        OUTSIDE_V4,
        "five minutes of silence have ended it"
    );
    let [here, _] = world.totals();
    assert_eq!(here.via_mappings, 0, "{here}");
    world.end();
}

/// RFC 4787 REQ-5 and REQ-6, at both servers.
#[test]
fn a_mapping_lives_for_minutes_of_silence_and_as_long_as_its_client_sends() {
    let mut world = World::new(2, 1);
    let from = world.asks(0);
    // What has no mapping any more goes straight out from now on.
    world.lead(NextHop::Direct);
    for _ in 0..3 {
        world.says_nothing_for(Duration::from_secs(280));
        assert_eq!(world.asks(0), from);
    }
    world.end();
}

#[test]
fn a_mapping_that_is_here_stays_when_the_route_moves_to_another_data_centre() {
    let mut world = World::new(2, 1);
    world.lead(NextHop::Direct);
    world.here.send(0, &question());
    let (from, ..) = udp_of(&world.left_here()[0]);
    world.lead(NextHop::Via { centre: CENTRE.into(), remote: None });
    let other = Ip::new(EVERY_CLIENTS, EXIT_V4).udp(ASKS, ASKED, b"another, there");
    for packet in [question(), other] {
        world.here.send(0, &packet);
        assert_eq!(udp_of(&world.left_here()[0]).0, from);
    }
    world.here.send(0, &out().udp(ASKS + 1, ASKED, b"a question"));
    assert_eq!(world.cross().len(), 1, "a new one goes there");
    world.end();
}

/// A client has one machine there by its number, and all machines have clients.
#[test]
fn clients_are_shared_out_among_the_machines_of_a_data_centre() {
    let mut world = World::with((1, 24), ROOM, &[machine(CENTRE_V4), machine(OTHER_V4)]);
    let mut counts = [0, 0];
    for client in 0..24 {
        for port in [ASKS, ASKS + 1] {
            world.here.send(client, &out().udp(port, ASKED, b"a question"));
        }
        let to: BTreeSet<_> = world
            .left_here()
            .iter()
            .map(|packet| ipv4::parse(packet).unwrap().destination)
            .collect();
        assert_eq!(to.len(), 1, "one machine for all that a client sends");
        counts[usize::from(to.contains(&OTHER_V4))] += 1;
    }
    assert!(counts[0] > 4 && counts[1] > 4, "{counts:?}");
    world.end();
}

#[test]
fn clients_of_one_data_centre_reach_each_other_by_their_addresses_at_another() {
    for workers in WORKERS {
        let mut world = World::new(workers, 2);
        let ends = [world.asks(0), world.asks(1)];
        let to = |end: SocketAddr, data: &[u8]| {
            Ip::new(EVERY_CLIENTS, EXIT_V4).udp(ASKS, end.port(), data)
        };
        // The first knocks where nobody has spoken to it yet, and opens its own filter so.
        assert!(world.sends(0, &to(ends[1], b"knock")).is_empty());
        assert_eq!(world.totals()[1].dropped(DropReason::EgressNatFiltered), 1);
        for (from, data) in [(1, b"who is it?"), (0, b"only me...")] {
            assert!(world.sends(from, &to(ends[1 - from], data)).is_empty());
            let got = world.got(1 - from);
            let wanted = Ip { hop_limit: 61, ..Ip::new(EXIT_V4, EVERY_CLIENTS) };
            assert_eq!(got, [wanted.udp(ends[from].port(), ASKS, data)], "{workers} workers");
        }
        world.end();
    }
}

#[test]
fn an_exit_that_was_started_again_serves_clients_that_go_on_as_before() {
    let mut world = World::new(2, 3);
    let former: Vec<_> = (0..3).map(|client| world.asks(client)).collect();
    world.restart(ROOM);
    for from in &former {
        assert!(world.arrives(&answer(*from)).is_empty());
    }
    assert_eq!(world.totals()[1].dropped(DropReason::EgressNatUnknown), 3);
    assert!((0..3).all(|client| world.got(client).is_empty() && world.is_answered(client)));
    world.end();
}

#[test]
fn nobody_gets_the_answers_of_a_client_that_is_removed() {
    let mut world = World::new(1, 2);
    let from = world.asks(0);
    world.here.change(vec![Item::PeerRemove(site::peer(0).public_key)]);
    world.arrives(&answer(from));
    assert_eq!(world.totals()[0].dropped(DropReason::EgressViaUnknown), 1);
    assert_eq!(world.got(0), Vec::<Vec<u8>>::new());
    world.end();
}

#[test]
fn a_guest_that_has_all_it_may_have_takes_nothing_from_others() {
    let few = Nat { flows_per_client: 4, ..ROOM };
    let mut world = World::new(2, 3);
    world.restart(few);
    let ask = |port| out().udp(port, ASKED, b"a question");
    let left: usize = (1..=9).map(|port| world.sends(0, &ask(port)).len()).sum();
    assert_eq!(left, 4);
    let got = world.got(0);
    assert_eq!(got.len(), 5, "each is told");
    let (outline, message, _) = error(&got[0]);
    assert_eq!((outline.destination, message.kind, message.code), (EVERY_CLIENTS.into(), 3, 13));
    assert!(world.is_answered(1) && world.is_answered(2));
    world.end();
}

#[test]
fn a_client_that_maps_more_than_one_may_takes_nothing_from_others() {
    let mut world = World::with((1, 2), Nat { flows_per_client: 4, ..ROOM }, &[machine(CENTRE_V4)]);
    let left: usize = (1..=9).map(|port| world.sends(0, &out().udp(port, ASKED, b"?")).len()).sum();
    assert_eq!((left, world.totals()[0].dropped(DropReason::EgressViaFull)), (4, 5));
    assert!(world.is_answered(1));
    world.end();
}

/// What the kernel of this machine sends goes the same way.
#[test]
fn what_this_machine_sends_is_answered_too() {
    let mut world = World::new(2, 1);
    let packet = Ip::new(site::LOCAL_V4, STRANGER).udp(ASKS, ASKED, b"a question");
    world.here.put(Place::Local { worker: 1 }, &packets::from_local(&packet));
    world.here.settle();
    let left = world.cross();
    let (from, ..) = udp_of(&left[0]);
    world.arrives(&answer(from));
    let strays = world.here.strays();
    let local = strays.iter().find(|(place, _)| matches!(place, Place::Local { .. })).unwrap();
    let (_, to, data) = packets::datagram_in(&local.1).unwrap();
    assert_eq!((to, data), ((site::LOCAL_V4, ASKS).into(), &b"an answer"[..]));
    world.end();
}
