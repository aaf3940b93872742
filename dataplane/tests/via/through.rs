//! Clients' datagrams through another data centre and back, in memory: two servers, and clients that all have one inner address.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use dataplane::fate::DropReason;
use dataplane::testing::packets::Ip;
use dataplane::testing::rules::STRANGER;
use dataplane::testing::site::{CENTRE_V4, EVERY_CLIENTS, OUTSIDE_V4};
use shm::message::NextHop;
use wire::ipv4;

use crate::world::{ASKED, ASKS, AROUND, EXIT_V4, ROOM, World, answer, inside, out, question, told, udp_of};
use crate::{CENTRE, NEAR};

const WORKERS: [usize; 3] = [1, 2, 5];
const MINUTE: Duration = Duration::from_mins(1);

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
    assert_eq!(packet, Ip { hop_limit: 63, ..Ip::new(STRANGER, EVERY_CLIENTS) }.udp(ASKED, ASKS, b"an answer"));
    world.asks(1);
    assert_ne!(inside(&world.crossed[2]).0.handle, header.handle);
    world.end();
}
