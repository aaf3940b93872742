//! A WireGuard client of a server in memory: [`Tunnel`] with keys, randomness and a place to collect what it
//! says.
#![expect(clippy::expect_used, reason = "the keys of tests are good")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand_chacha::rand_core::SeedableRng;
use wireguard::message::ClientId;
use wireguard::noise::{Identity, PeerKeys};
use wireguard::secret::Secret;
use wireguard::session::Role;
use wireguard::time::Instant;
use wireguard::tunnel::{Config, Event, Refused, SCRATCH_LEN, Tunnel, Turn};

use super::{packets, site, unix};
use crate::handshake::Random;

/// Octets of the largest inner packet, as the server's own.
const MTU: u16 = 1420;

/// What a client has done, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Sessions that began to send.
    pub sessions: usize,
    /// Those of them that the server asked for.
    pub answered: usize,
    /// Series of handshakes that nobody answered.
    pub given_up: usize,
    /// Datagrams that it refused.
    pub refused: usize,
}

/// One client.
#[derive(Debug)]
pub struct Client {
    /// Its number: keys and inner addresses follow from it.
    pub number: u32,
    /// Where it is now.
    pub address: SocketAddr,
    /// Datagrams that it wants sent, with their destination.
    pub outbox: Vec<(SocketAddr, Vec<u8>)>,
    /// Inner packets that it has got.
    pub inbox: Vec<Vec<u8>>,
    /// What has happened.
    pub tally: Tally,
    /// What it thought of the last datagram that it refused.
    pub refused: Option<Refused>,
    tunnel: Tunnel<128>,
    random: Random,
    scratch: Vec<u8>,
    life: u32,
    options: Options,
}

/// How a client behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The id that it stamps on its messages; none echoes the server's.
    pub client_id: Option<ClientId>,
    /// Interval of its persistent keepalive; zero for none.
    pub persistent: Duration,
}

impl Client {
    /// Client number `number` at `address`, which knows the server's address of the same family.
    pub fn new(number: u32, address: SocketAddr, options: Options, now: Instant) -> Self {
        Self {
            number,
            address,
            outbox: Vec::new(),
            inbox: Vec::new(),
            tally: Tally::default(),
            refused: None,
            tunnel: tunnel(number, (address, 0), options, now),
            random: Random::seed_from_u64(u64::from(number)),
            scratch: vec![0; SCRATCH_LEN],
            life: 0,
            options,
        }
    }

    /// Forgets everything but its keys, as a restart does.
    pub fn restart(&mut self, now: Instant) {
        self.life += 1;
        self.tunnel = tunnel(self.number, (self.address, self.life), self.options, now);
        self.outbox.clear();
    }

    /// Moves to another address. The server learns of it by what is sent from there.
    pub fn roam(&mut self, address: SocketAddr) {
        self.address = address;
        self.tunnel.set_endpoint(site::server(address.ip()));
    }

    /// Sends an inner packet, or lets it wait for a session. An empty one is a keepalive.
    pub fn send(&mut self, inner: &[u8], now: Instant) -> Result<(), Refused> {
        self.act(now, |tunnel, turn, mut emit| tunnel.send(inner, turn, &mut emit))
    }

    /// Takes a datagram.
    pub fn receive(&mut self, octets: &[u8], source: SocketAddr, now: Instant) {
        let verdict =
            self.act(now, |tunnel, turn, mut emit| tunnel.receive(octets, source, turn, &mut emit));
        if let Err(refused) = verdict {
            self.refused = Some(refused);
            self.tally.refused += 1;
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant) {
        self.act(now, |tunnel, turn, mut emit| tunnel.tick(turn, &mut emit));
    }

    /// When something is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.tunnel.deadline()
    }

    /// Whether it can send at once.
    pub fn is_connected(&self, now: Instant) -> bool {
        self.tunnel.current(now).is_some()
    }

    /// What it wants sent, as frames from the gateway.
    pub fn frames(&mut self) -> Vec<Vec<u8>> {
        let address = self.address;
        let outbox = std::mem::take(&mut self.outbox);
        outbox.iter().map(|(to, octets)| packets::datagram(address, *to, octets)).collect()
    }

    fn act<T>(
        &mut self,
        now: Instant,
        act: impl FnOnce(&mut Tunnel<128>, &mut Turn<'_, Random>, &mut dyn FnMut(Event<'_>)) -> T,
    ) -> T {
        let Self { tunnel, random, scratch, outbox, inbox, tally, .. } = self;
        let mut turn = Turn { now, unix: unix(now), rng: random, scratch, cookies: None };
        act(tunnel, &mut turn, &mut |event| match event {
            Event::Transmit { octets, to } => outbox.push((to, octets.to_vec())),
            Event::Deliver(packet) => inbox.push(packet.to_vec()),
            Event::Established(role) => {
                tally.sessions += 1;
                tally.answered += usize::from(role == Role::Responder);
            }
            Event::GaveUp => tally.given_up += 1,
            Event::Forgotten => {}
        })
    }
}

fn tunnel(
    number: u32,
    (address, life): (SocketAddr, u32),
    options: Options,
    now: Instant,
) -> Tunnel<128> {
    let identity = Identity::new(site::secret(number));
    let peer = PeerKeys::new(&identity, site::server_public(), Secret::zero()).expect("a good key");
    let config = Config {
        identity: Arc::new(identity),
        peer,
        endpoint: Some(site::server(address.ip())),
        client_id: options.client_id,
        persistent: options.persistent,
        // A client that comes again does not use the indices of its former life.
        index_base: (number << 16 | life << 8).wrapping_add(0x0100_0000),
        mtu: MTU,
    };
    Tunnel::new(config, now)
}
