//! What attackers know of the server of a lane.

use dataplane::limits::BURST_LEN_MAX;
use dataplane::port::Batch;
use pktgen::attack::{Client, Counters, Fleet, Link, ROOM, Scene};
use pktgen::measure::Trailer;
use wireguard::secret::Secret;
use wireguard::time::Instant;

use super::callers::Callers;
use crate::Failure;
use crate::load::lane::Lane;
use crate::load::way::Way;
use crate::service::client::{
    self, GATEWAY_LINK, LISTEN_PORT, LOCAL, PORT_LINK, SERVER, inner_address, outer_address,
};
use crate::service::server::{End, unix};

/// Sources that are invented are of these; no client is.
const SPOOFED: ([u8; 4], u8) = ([11, 64, 0, 0], 10);
const OWN: [u8; 4] = [203, 0, 113, 7];
const UNROUTED: [u8; 4] = [203, 0, 113, 1];
/// Counters of the client's session that it does not come to by itself.
const COUNTERS_FROM: u64 = 1 << 40;
/// The client whose key is known.
const HOSTILE: u32 = 0;

/// A scene with messages that the server has taken, and with a client's keys.
pub(crate) fn before(lane: &mut Lane) -> Result<Scene, Failure> {
    lane.rest();
    lane.renew()?;
    let link = Link { server: PORT_LINK, station: GATEWAY_LINK, vlan: None };
    let mut scene = Scene::new(link, lane.keys.public(), LISTEN_PORT, 1);
    scene.target_v4 = Some(SERVER);
    scene.spoofed_v4 = (SPOOFED.0.into(), SPOOFED.1);
    scene.own_v4 = OWN.into();
    let permutation = lane.server.worker.state().owner.permutation.clone();
    scene.fleet = Some(Fleet { permutation, server: 0, workers: 1 });
    capture_data(lane, &mut scene)?;
    capture_initiation(lane, &mut scene)?;
    let client = lane.clients.by_number(HOSTILE).ok_or("there is no client")?;
    let [key, _] = client.keys();
    scene.client = Some(Client {
        secret: lane.keys.secret(HOSTILE).ok_or("there is no key")?.clone(),
        preshared: Secret::zero(),
        index: client.index(),
        key: Secret::new(*key.octets()),
        counters: Counters::from(COUNTERS_FROM),
        outer: outer_address(HOSTILE),
        mtu: 1500,
        unix: unix(lane.server.now()),
        inner: inner_address(HOSTILE),
        local: Some(LOCAL),
        silent: None,
        absent: None,
        unrouted: UNROUTED.into(),
    });
    Ok(scene)
}

/// A burst of data messages.
fn capture_data(lane: &mut Lane, scene: &mut Scene) -> Result<(), Failure> {
    let mut packets = Batch::new();
    for sequence in 0..BURST_LEN_MAX as u64 {
        let mut packet = lane.pool.allocate().ok_or("the pool is empty")?;
        let trailer = Trailer { stream: 0, sequence, planned: Instant(0) };
        lane.make(Way::Clients, &mut packet, 64, trailer)?;
        scene.captured.keep(packet.frame());
        packets.push(packet);
    }
    lane.server.end(End::Wire).transmit(&mut packets);
    lane.server.turn();
    lane.clear();
    Ok(())
}

/// A caller's initiation, which it follows up.
fn capture_initiation(lane: &mut Lane, scene: &mut Scene) -> Result<(), Failure> {
    let mut callers = Callers::new(lane, 1, 0.0)?;
    let mut frame = [0; ROOM];
    while callers.counts().1 == 0 {
        let now = lane.server.now();
        let len = callers.next_frame(&mut frame, now).ok_or("a caller was not answered")?;
        let octets = frame.get(..len).ok_or("a frame is too long")?;
        scene.captured.keep(octets);
        let mut packet = lane.pool.allocate().ok_or("the pool is empty")?;
        client::write(&mut packet, |room| {
            room.get_mut(..len)?.copy_from_slice(octets);
            Some(len)
        })?;
        let mut packets = Batch::new();
        packets.push(packet);
        lane.server.end(End::Wire).transmit(&mut packets);
        lane.server.turn();
        lane.server.shake(BURST_LEN_MAX);
        lane.server.turn();
        lane.server.end(End::Wire).receive(&mut packets);
        packets.iter().for_each(|packet| callers.hear(packet.frame(), now));
    }
    Ok(())
}
