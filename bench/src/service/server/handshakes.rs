//! The handshakes of clients with the server, through its worker's rings and its handshake thread.

use std::sync::Arc;
use std::time::Duration;

use dataplane::handshake::Random;
use dataplane::port::Batch;
use dpdk::Mbuf;
use wireguard::noise::{Identity, PeerKeys};
use wireguard::secret::Secret;
use wireguard::time::Instant;
use wireguard::tunnel::{self, Event, SCRATCH_LEN, Tunnel, Turn};

use super::{Keys, START, Server, UNIX};
use crate::Failure;
use crate::service::client::{self, Client, Clients, LISTEN_PORT, MESSAGE_AT, SERVER};

impl Server {
    /// Every client's handshake, through the worker's ring and the handshake thread's work.
    pub(crate) fn connect(&mut self, keys: &mut Keys) -> Result<Clients, Failure> {
        let count = keys.clients.len();
        self.connect_first(count, keys)
    }

    /// The handshakes of so many clients, anew if they have been here.
    pub(crate) fn connect_first(
        &mut self,
        count: usize,
        keys: &mut Keys,
    ) -> Result<Clients, Failure> {
        let server = keys.public();
        let secrets: Vec<Secret> = keys.clients.iter().take(count).cloned().collect();
        let mut all = Vec::with_capacity(secrets.len());
        for (number, secret) in (0..).zip(secrets) {
            all.push(self.handshake(number, secret, server, &mut keys.random)?);
        }
        Ok(Clients::new(all))
    }

    fn handshake(
        &mut self,
        number: u32,
        secret: Secret,
        server: [u8; 32],
        random: &mut Random,
    ) -> Result<Client, Failure> {
        let mut tunnel = tunnel(number, secret, server, self.now)?;
        let mut scratch = vec![0; SCRATCH_LEN];
        let unix = unix(self.now);
        let mut turn =
            Turn { now: self.now, unix, rng: random, scratch: &mut scratch, cookies: None };
        let mut out = Vec::new();
        tunnel
            .send(&[], &mut turn, &mut |event| transmitted(event, &mut out))
            .map_err(|refused| format!("no initiation: {refused:?}"))?;
        let response = self.exchange(number, &out)?.ok_or("an initiation was not answered")?;
        tunnel
            .receive(&response, (SERVER, LISTEN_PORT).into(), &mut turn, &mut |event| {
                transmitted(event, &mut out);
            })
            .map_err(|refused| format!("a response was refused: {refused:?}"))?;
        // The keepalive confirms the session: from now on the server may send on it.
        self.exchange(number, &out)?;
        let session = tunnel.current(self.now).ok_or("no session after the handshake")?;
        let index = session.remote_index();
        let client = Client::new(number, session.send_key(), index, session.sent_count());
        Ok(client.hearing(session.receive_key()))
    }

    /// Brings a message of a client's to the worker; gives the message that comes back, if one does.
    fn exchange(&mut self, number: u32, message: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        let mut packet = self.pool.allocate().ok_or("the pool is empty")?;
        client::carry(&mut packet, number, message)?;
        let mut packets = Batch::<Mbuf>::new();
        packets.push(packet);
        self.wire.transmit(&mut packets);
        self.turn();
        self.handshaker.turn(self.now, 16);
        self.turn();
        self.wire.receive(&mut packets);
        Ok(packets.pop().and_then(|packet| packet.frame().get(MESSAGE_AT..).map(<[u8]>::to_vec)))
    }

    /// Lets the handshake thread do so many jobs; gives how many there were.
    pub(crate) fn shake(&mut self, jobs: usize) -> usize {
        self.handshaker.turn(self.now, jobs)
    }

    /// Says how long the handshake thread has worked.
    pub(crate) fn spend(&mut self, time: Duration) {
        self.handshaker.spend(time, self.now);
    }
}

/// The Unix time of a moment.
pub(crate) fn unix(now: Instant) -> Duration {
    UNIX + now.since(START)
}

/// The number of the client that has given the server such an index.
pub(crate) const fn client_of(index: u32) -> u32 {
    index >> INDEX_BITS
}

/// Bits of a client's indices that tell its sessions apart.
const INDEX_BITS: u32 = 8;

pub(crate) fn tunnel(
    number: u32,
    secret: Secret,
    server: [u8; 32],
    now: Instant,
) -> Result<Tunnel<16>, Failure> {
    let identity = Arc::new(Identity::new(secret));
    let peer =
        PeerKeys::new(&identity, server, Secret::zero()).map_err(|_| "a weak key was drawn")?;
    let config = tunnel::Config {
        identity,
        peer,
        endpoint: Some((SERVER, LISTEN_PORT).into()),
        client_id: None,
        persistent: Duration::ZERO,
        index_base: number << INDEX_BITS,
        mtu: 1420,
    };
    Ok(Tunnel::new(config, now))
}

/// Keeps the message that a tunnel wants sent.
fn transmitted(event: Event<'_>, out: &mut Vec<u8>) {
    if let Event::Transmit { octets, .. } = event {
        out.clear();
        out.extend_from_slice(octets);
    }
}
