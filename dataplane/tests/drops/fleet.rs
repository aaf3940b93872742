//! Packets of and for other servers of the fleet.
#![expect(clippy::wildcard_enum_match_arm, reason = "the root of the test sorts the reasons")]

use dataplane::counters::Totals;
use dataplane::fate::DropReason as Why;
use dataplane::limits::ICMP_ERRORS_BURST;
use dataplane::testing::fleet::{self, DIRECT, SERVER};
use dataplane::testing::packets::{self, Ip};
use dataplane::testing::scene::Scene;
use dataplane::testing::server::WIRE;
use dataplane::testing::site;
use shm::message::{Item, MemberState};
use wire::fleet::{Header, Step};
use wireguard::index::Place;
use wireguard::message::{ClientId, DATA_LEN_MIN, DataHeader};
use zerocopy::IntoBytes;

/// A server that is there and takes nothing new, one that was there, and one that never was.
const OTHER: u8 = 2;
const DEAD: u8 = 3;

/// The number of the membership.
const GENERATION: u16 = 7;

/// This server has every client.
pub(super) fn found(scene: &mut Scene) {
    let draining = MemberState::Draining { deadline: None };
    let members = vec![
        fleet::member(SERVER, MemberState::Active),
        fleet::member(OTHER, draining),
        fleet::member(DEAD, MemberState::Down),
    ];
    scene.change(vec![fleet::told(GENERATION, members)]);
}

pub(super) fn provoke(reason: Why, scene: &mut Scene) -> Totals {
    if reason == Why::SteerUntold {
        scene.change(vec![Item::FleetRemove]);
    }
    let before = scene.server.totals();
    let late = Header { generation: GENERATION - 1, step: Step::First, ..DIRECT };
    match reason {
        Why::SteerUntold => client(scene, &sealed(OTHER, DATA_LEN_MIN)),
        Why::SteerDeadSession => client(scene, &sealed(DEAD, DATA_LEN_MIN)),
        Why::SteerMisdirected => other(scene, &DIRECT, &packet(OTHER), |_| ()),
        Why::SteerHops => other(scene, &Header { hops: 15, ..late }, &packet(DEAD), |_| ()),
        Why::SteerGeneration => {
            other(scene, &Header { generation: 20_000, ..late }, &packet(DEAD), |_| ());
        }
        Why::SteerOutsider => other(scene, &DIRECT, &packet(SERVER), |header| header.proof ^= 1),
        Why::SteerHeader => {
            let datagram = Ip::new(fleet::address(OTHER), fleet::address(SERVER)).udp(
                50_000,
                wire::fleet::PORT,
                b"no header",
            );
            scene.put(WIRE, &packets::from_gateway(&datagram));
        }
        _ => {
            for _ in 0..=ICMP_ERRORS_BURST {
                client(scene, &sealed(OTHER, 1460));
            }
        }
    }
    scene.settle();
    before
}

/// A sealed message for a server, with a client id, that nobody can open.
fn sealed(server: u8, len: usize) -> Vec<u8> {
    let place = Place { server: server.into(), worker: 0, slot: 0 };
    let index = fleet::permutation().index(place);
    let mut message = DataHeader::new(ClientId([1, 2, 3]), index, 0).as_bytes().to_vec();
    message.resize(len, 0);
    message
}

fn client(scene: &mut Scene, message: &[u8]) {
    let to = site::server(site::SERVER_V4.into());
    scene.put(WIRE, &packets::datagram(site::outer_v4(0), to, message));
}

fn packet(server: u8) -> Vec<u8> {
    let (from, to) = (site::outer_v4(0), site::server(site::SERVER_V4.into()));
    Ip::new(from.ip(), to.ip()).udp(from.port(), to.port(), &sealed(server, DATA_LEN_MIN))
}

fn other(scene: &mut Scene, header: &Header, carried: &[u8], spoil: impl FnOnce(&mut Header)) {
    let packet = fleet::passed_on((OTHER, SERVER), header, carried, spoil);
    scene.put(WIRE, &packets::from_gateway(&packet));
}
