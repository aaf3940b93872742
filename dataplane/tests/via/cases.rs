//! Cases that break a splice, as far as they are the server's: 39 to 41. The number stands in the name of each test.

use std::net::IpAddr;

use dataplane::testing::packets;
use dataplane::testing::packets::Ip;
use dataplane::testing::rules::STRANGER;
use dataplane::testing::scene::Scene;
use dataplane::testing::server::Place;
use dataplane::testing::site::{self, EVERY_CLIENTS, Plan};
use shm::message::Item;
use wire::tcp::{self, Flags};

use super::{Segment, answer, plan, segment, segments_out, stage_of, syn};

const SYN_ACK: Flags = Flags(Flags::SYN.0 | Flags::ACK.0);
const WORKERS: usize = 4;

/// What the client has got of TCP since the last look.
fn got(scene: &mut Scene) -> Vec<Segment> {
    let packets = std::mem::take(&mut scene.clients[0].inbox);
    let read = |packet: &Vec<u8>| segment((packets::outline(packet)?, packet.as_slice()));
    packets.iter().filter_map(read).collect()
}

/// A connection of the client's, spliced at a server of several workers; answers reach the one that is said. Gives the request.
fn spliced(scene: &mut Scene, port: u16, worker: usize) -> Segment {
    scene.send(0, &syn(port, STRANGER));
    let mut sent = segments_out(scene);
    assert_eq!(sent.len(), 1, "{sent:?}");
    let request = sent.remove(0);
    lands(scene, worker, &answer(&request, 5000, SYN_ACK, b"HTTP/1.1 200 OK\r\n\r\n"));
    let told = got(scene);
    assert!(matches!(&told[..], [one] if one.flags == SYN_ACK), "{told:?}");
    says(scene, port, Flags::ACK, b"");
    segments_out(scene);
    request
}

/// Lets a packet come from the network to the queue of a worker.
fn lands(scene: &mut Scene, worker: usize, packet: &[u8]) {
    scene.put(Place::Wire { port: 0, worker }, &packets::from_gateway(packet));
    scene.settle();
}

/// The client says something behind its SYN; the next hop's numbers are those behind its head.
fn says(scene: &mut Scene, port: u16, flags: Flags, text: &[u8]) {
    let fields = tcp::Fields {
        source_port: port,
        destination_port: 80,
        sequence_number: 1001,
        acknowledgment_number: 5020,
        flags,
        window: 1000,
    };
    scene.send(0, &Ip::new(EVERY_CLIENTS, STRANGER).tcp(&fields, &[], text));
}

fn stage() -> Scene {
    stage_of(&Plan { workers: WORKERS, ..plan() })
}

/// Ports are dealt out to workers, so that whoever gets a reply knows whose it is.
#[test]
fn case_39_replies_find_their_connection_from_whichever_worker_they_reach() {
    let mut scene = stage();
    for worker in 0..WORKERS {
        let port = u16::try_from(worker).unwrap() + 1;
        let request = spliced(&mut scene, port, worker);
        for other in 0..WORKERS {
            lands(&mut scene, other, &answer(&request, 5020, Flags::ACK, b"data"));
            let told = got(&mut scene);
            assert!(matches!(&told[..], [one] if one.len == 4 && one.to.1 == port), "{told:?}");
        }
    }
    assert_eq!(scene.server.totals().unaccounted(), 0);
}

#[test]
fn case_40_a_connection_stays_where_it_is_when_its_client_roams() {
    let mut scene = stage();
    let request = spliced(&mut scene, 1, 0);
    for number in 7..12 {
        scene.clients[0].roam(site::outer_v4(number));
        says(&mut scene, 1, Flags::ACK, b"data");
        let sent = segments_out(&mut scene);
        assert!(
            matches!(&sent[..], [one] if (one.from, one.len) == (request.from, 4)),
            "by the same port: {sent:?}"
        );
        lands(&mut scene, 1, &answer(&request, 5020, Flags::ACK, b"data"));
        assert_eq!(got(&mut scene).len(), 1);
    }
}

/// Flows are the workers': what tells them where to go may begin anew, and go elsewhere.
#[test]
fn case_41_a_connection_outlives_control_and_its_route() {
    let mut scene = stage();
    let request = spliced(&mut scene, 1, 0);
    for worker in 0..WORKERS {
        let regions = scene.server.open_border();
        scene.settle();
        drop(regions.attach());
        scene.change(vec![Item::Route { prefix: IpAddr::from(STRANGER).into(), next_hop: 4 }]);
        says(&mut scene, 1, Flags::ACK, b"data");
        let sent = segments_out(&mut scene);
        assert!(matches!(&sent[..], [one] if one.to == request.to && one.len == 4), "{sent:?}");
        lands(&mut scene, worker, &answer(&request, 5020, Flags::ACK, b"data"));
        assert_eq!(got(&mut scene).len(), 1);
    }
}
