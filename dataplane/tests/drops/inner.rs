//! Sealed packets that do not open, and inner packets that go nowhere.
#![expect(clippy::wildcard_enum_match_arm, reason = "the root of the test sorts the reasons")]

use std::net::Ipv4Addr;
use std::time::Duration;

use dataplane::counters::Totals;
use dataplane::fate::DropReason as Why;
use dataplane::testing::packets::{self, Ip};
use dataplane::testing::scene::Scene;
use dataplane::testing::server::{LOCAL, WIRE};
use dataplane::testing::site;
use shm::message::{Item, NextHop, PublicKey};
use wire::ecn::Ecn;
use wireguard::index::Place;
use wireguard::message::{ClientId, DATA_LEN_MIN, DataHeader};
use wireguard::noise;
use zerocopy::IntoBytes;

use super::{ABSENT, SILENT};

/// Longer than any session lives.
const PAST: Duration = Duration::from_secs(181);

pub(super) fn provoke(reason: Why, scene: &mut Scene) -> Totals {
    let before = scene.server.totals();
    match reason {
        Why::SteerForeignServer => forge(scene, Place { server: 1, worker: 0, slot: 0 }),
        Why::SteerForeignWorker => forge(scene, Place { server: 0, worker: 9, slot: 0 }),
        Why::WireguardUnknownIndex => forge(scene, Place { server: 0, worker: 0, slot: 200 }),
        Why::WireguardExpired => {
            let frame = sealed(scene);
            scene.now = scene.now + PAST;
            scene.put(WIRE, &frame);
        }
        Why::WireguardReplay => {
            let frame = sealed(scene);
            scene.put(WIRE, &frame);
            scene.put(WIRE, &frame);
        }
        Why::WireguardTag => {
            let mut payload = payload(scene);
            *payload.last_mut().unwrap() ^= 1;
            let frame = packets::datagram(
                site::outer_v4(0),
                site::server(site::SERVER_V4.into()),
                &payload,
            );
            scene.put(WIRE, &frame);
        }
        Why::WireguardEcn => {
            let payload = payload(scene);
            let to = site::server(site::SERVER_V4.into());
            let frame = packets::datagram_with(site::outer_v4(0), to, Ecn::Ce.bits(), &payload);
            scene.put(WIRE, &frame);
        }
        Why::WireguardInner => scene.send(0, &[0xff; 32]),
        Why::WireguardSource => {
            scene.send(0, &Ip::new(site::inner_v4(1), site::LOCAL_V4).echo(1, b""));
        }
        Why::RouteNone => scene.send(0, &to([203, 0, 113, 1].into()).error(b"none")),
        Why::RouteRejected => {
            let prefix = "203.0.113.0/24".parse().unwrap();
            let route = Item::Route { prefix, next_hop: 1 };
            let hop = Item::NextHop { id: 1, hop: NextHop::Reject };
            scene.change(vec![route, hop]);
            scene.send(0, &to([203, 0, 113, 1].into()).error(b"none"));
        }
        Why::RouteHopLimit => {
            scene.send(0, &Ip { hop_limit: 1, ..to(site::inner_v4(1)) }.error(b"none"));
        }
        Why::RouteDestination => scene.send(0, &to([224, 0, 0, 5].into()).echo(1, b"")),
        Why::EgressNoLocal => scene.send(0, &to(site::LOCAL_V4).echo(1, b"")),
        Why::EgressTooBig => {
            local(scene, &Ip::new(site::LOCAL_V4, site::inner_v4(0)).error(&[0; 1452]));
        }
        Why::EgressLoop => local(scene, &Ip::new(site::LOCAL_V4, site::BEHIND_V4).echo(1, b"")),
        Why::SealNoPeer => {
            local(scene, &Ip::new(site::LOCAL_V4, site::inner_v4(ABSENT)).echo(1, b""));
            scene.settle();
            let key = PublicKey(noise::public(&site::secret(ABSENT)));
            scene.change(vec![Item::PeerRemove(key)]);
        }
        Why::SealNoEndpoint => {
            local(scene, &Ip::new(site::LOCAL_V4, site::inner_v4(SILENT)).echo(1, b""));
        }
        other => panic!("{other:?} is provoked elsewhere"),
    }
    scene.settle();
    before
}

/// From client 0.
fn to(destination: Ipv4Addr) -> Ip {
    Ip::new(site::inner_v4(0), destination)
}

fn local(scene: &mut Scene, packet: &[u8]) {
    scene.put(LOCAL, &packets::from_local(packet));
}

/// A good sealed packet of client 0, as a frame.
fn sealed(scene: &mut Scene) -> Vec<u8> {
    scene.withhold(0, &to(site::LOCAL_V4).echo(1, b"sealed")).pop().unwrap()
}

fn payload(scene: &mut Scene) -> Vec<u8> {
    packets::datagram_in(&sealed(scene)).unwrap().2.to_vec()
}

/// A data message with an index for this place that nobody has sealed.
fn forge(scene: &mut Scene, place: Place) {
    let index = scene.server.workers[0].state().owner.permutation.index(place);
    let mut message = DataHeader::new(ClientId::ZERO, index, 0).as_bytes().to_vec();
    message.resize(DATA_LEN_MIN, 0);
    scene.put(
        WIRE,
        &packets::datagram(site::outer_v4(9), site::server(site::SERVER_V4.into()), &message),
    );
}
