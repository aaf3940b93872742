//! Peers, each with a session whose keys were drawn: nobody shakes hands.

use std::net::IpAddr;

use dataplane::keeper::Keeper;
use dataplane::limits::BURST_LEN_MAX;
use dataplane::port::Batch;
use dataplane::testing::roll;
use dpdk::{Mbuf, mbuf};
use shm::message::{Peer, PublicKey};
use wireguard::message::ClientId;
use wireguard::secret::Secret;

use super::field::{Field, Source, Way};
use super::{LEN, config};
use crate::service::client::{Checksum, Client, Clients, inner_address};
use crate::service::server::{self, End, Keys, Rings, Server};
use crate::service::stages::sessions;
use crate::{Failure, allocator};

/// A server with so many peers.
pub(super) fn field(rings: Rings, count: u32) -> Result<Field, Failure> {
    let before = allocator::octets();
    let mut keeper = keeper(count)?;
    let mut state = keeper.state(0);
    let clients = sessions(&mut state, &keeper, &mut Keys::draw(0), count)?;
    let mut server = Server::on(rings, &mut keeper, state)?;
    let octets = allocator::octets() - before - clients.capacity() * size_of::<Client>();
    let mut clients = Clients::new(clients);
    confirm(&mut server, &mut clients)?;
    Ok(Field { server, source: Box::new(clients), octets })
}

/// Every client speaks first: until then the server may not send on a session that it has answered.
fn confirm(server: &mut Server, clients: &mut Clients) -> Result<(), Failure> {
    let count = u32::try_from(clients.len())?;
    for first in (0..count).step_by(BURST_LEN_MAX) {
        let mut packets = Batch::new();
        for number in (first..count).take(BURST_LEN_MAX) {
            let mut packet = server.pool.allocate().ok_or("the pool is empty")?;
            let client = clients.by_number_mut(number).ok_or("there is no such client")?;
            client.seal(&mut packet, LEN, Checksum::None)?;
            packets.push(packet);
        }
        let sent = packets.len();
        server.carry(&mut packets, (End::Wire, End::Local));
        if packets.len() != sent {
            return Err(format!("a session was not confirmed\n{}", server.totals()).into());
        }
        mbuf::free_bulk(&mut packets);
    }
    Ok(())
}

fn keeper(count: u32) -> Result<Keeper, Failure> {
    server::keeper(&config(count, 1)?, roll::snapshot((0..count).map(peer)))
}

/// Octets that will do as a key: nobody shakes hands.
pub(crate) fn peer(number: u32) -> Peer {
    let mut key = [0x5a; 32];
    if let Some(place) = key.first_chunk_mut() {
        *place = number.to_be_bytes();
    }
    Peer {
        public_key: PublicKey(key),
        preshared_key: Secret::zero(),
        allowed_ips: vec![IpAddr::from(inner_address(number)).into()],
        endpoint: None,
        persistent_keepalive: None,
        client_id: ClientId::ZERO,
    }
}

impl Source for Clients {
    fn next(&mut self, way: Way, packet: &mut Mbuf) -> Result<(), Failure> {
        let client = Self::next(self).ok_or("there is no client")?;
        if way == Way::Seal {
            client.address(packet, LEN)
        } else {
            client.seal(packet, LEN, Checksum::None)
        }
    }
}
