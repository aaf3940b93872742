//! Peers, each with a session whose keys were drawn: nobody shakes hands.

use std::net::IpAddr;

use dataplane::keeper::Keeper;
use dataplane::testing::roll;
use dpdk::Mbuf;
use shm::message::{Peer, PublicKey};
use wireguard::message::ClientId;
use wireguard::secret::Secret;

use super::field::{Field, Source, Way};
use super::{LEN, config};
use crate::service::client::{Checksum, Client, Clients, inner_address};
use crate::service::server::{self, Keys, Rings, Server};
use crate::service::stages::sessions;
use crate::{Failure, allocator};

/// A server with so many peers.
pub(super) fn field(rings: Rings, count: u32) -> Result<Field, Failure> {
    let before = allocator::octets();
    let mut keeper = keeper(count)?;
    let mut state = keeper.state(0);
    let clients = sessions(&mut state, &keeper, &mut Keys::draw(0), count)?;
    let server = Server::on(rings, &mut keeper, state)?;
    let octets = allocator::octets() - before - clients.capacity() * size_of::<Client>();
    Ok(Field { server, source: Box::new(Clients::new(clients)), octets })
}

fn keeper(count: u32) -> Result<Keeper, Failure> {
    server::keeper(&config(count, 1)?, roll::snapshot((0..count).map(peer)))
}

fn peer(number: u32) -> Peer {
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
