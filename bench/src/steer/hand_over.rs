//! Hand-over between two workers of one server, both on the one core: a packet that came in where it does not belong, beside the
//! same packet that came in where it does.

use std::sync::Arc;

use dataplane::counters::{Counters, Totals};
use dataplane::device;
use dataplane::exchange::Install;
use dataplane::frame::Endpoint;
use dataplane::keeper::Keeper;
use dataplane::limits::HAND_OVER_LEN;
use dataplane::pipeline::State;
use dataplane::port::{Batch, Queue};
use dpdk::{Eal, Pool, ring};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use wireguard::aead::Key;
use wireguard::index::Place;
use wireguard::message::ClientId;
use wireguard::noise;
use wireguard::secret::Secret;
use wireguard::session::{Indices, Role};

use super::servers::{OWNER, START, Server, done, keeper, peer};
use crate::Failure;
use crate::service::client::{self, Checksum, Client, Clients, SERVER};
use crate::turns::{Round, timed};

/// Workers of the server, and clients; those with odd numbers are the second worker's.
const WORKERS: usize = 2;
const CLIENTS: u32 = 32;
/// Octets of the inner packets.
const TEXT_LEN: usize = 64;

/// Two workers, the rings between them, and the second one's clients.
pub(super) struct HandOver {
    first: Server,
    second: Server,
    clients: Clients,
    counters: Vec<Arc<Counters>>,
    pool: Pool,
    /// A ring by itself.
    ring: (device::HandOver, device::HandOver),
}

type Way = (&'static str, fn(&mut HandOver, usize, &mut u64) -> Result<(u64, u64), Failure>);

impl HandOver {
    pub(super) const WAYS: [Way; 4] = [
        ("hand-over ring, sent and received", Self::through_ring),
        ("empty turn of the first worker, shared by the burst", Self::idle),
        ("both workers' turns, opened by the second, handed over", Self::handed),
        ("the second worker's turn, opened, not handed over", Self::direct),
    ];

    pub(super) fn start(eal: &Eal, pool: &Pool) -> Result<Self, Failure> {
        let peers = (0..CLIENTS).map(peer).collect();
        let mut keeper = keeper(OWNER, WORKERS, CLIENTS, peers)?;
        let (one, mut two) = (keeper.state(0), keeper.state(1));
        let clients = clients(&keeper, &mut two)?;
        let (there, here) = channel(eal, "onetotwo")?;
        let (back, home) = channel(eal, "twotoone")?;
        let counters = keeper.counters().to_vec();
        let rings = (vec![home], vec![None, Some(there)]);
        let first = Server::start(eal, pool, "one", (&mut keeper, one), rings)?;
        let rings = (vec![here], vec![Some(back), None]);
        let second = Server::start(eal, pool, "two", (&mut keeper, two), rings)?;
        let clients = Clients::new(clients);
        Ok(Self {
            first,
            second,
            clients,
            counters,
            pool: pool.clone(),
            ring: channel(eal, "alone")?,
        })
    }

    /// Sealed data of the second worker's clients.
    fn round(&mut self, burst: usize) -> Result<Round, Failure> {
        let mut bursts = Round::new();
        while !bursts.is_full() {
            let mut packets = Batch::new();
            if self.pool.allocate_bulk(&mut packets, burst) != burst {
                return Err("the pool is empty".into());
            }
            for packet in &mut packets {
                let client = self.clients.next().ok_or("there is no client")?;
                client.seal(packet, TEXT_LEN, Checksum::None)?;
            }
            bursts.push(packets);
        }
        Ok(bursts)
    }

    fn through_ring(&mut self, burst: usize, allocations: &mut u64) -> Result<(u64, u64), Failure> {
        let mut bursts = self.round(burst)?;
        let (sender, receiver) = &mut self.ring;
        let mut taken = 0;
        for packets in &mut bursts {
            taken += timed(allocations, || {
                sender.transmit(packets);
                receiver.receive(packets);
            });
        }
        // They were sealed for the second worker, whose window must not fall behind.
        done(&mut bursts, burst, taken)
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is one of the ways")]
    fn idle(&mut self, _: usize, allocations: &mut u64) -> Result<(u64, u64), Failure> {
        Ok((timed(allocations, || self.first.turn()), 1))
    }

    fn handed(&mut self, burst: usize, allocations: &mut u64) -> Result<(u64, u64), Failure> {
        let mut bursts = self.round(burst)?;
        let mut taken = 0;
        for packets in &mut bursts {
            self.first.wire.transmit(packets);
            taken += timed(allocations, || {
                self.first.turn();
                self.second.turn();
            });
            self.second.local.receive(packets);
        }
        done(&mut bursts, burst, taken)
    }

    fn direct(&mut self, burst: usize, allocations: &mut u64) -> Result<(u64, u64), Failure> {
        let mut bursts = self.round(burst)?;
        let mut taken = 0;
        for packets in &mut bursts {
            self.second.wire.transmit(packets);
            taken += timed(allocations, || self.second.turn());
            self.second.local.receive(packets);
        }
        done(&mut bursts, burst, taken)
    }

    /// The books of the whole run.
    pub(super) fn totals(&self) -> Totals {
        Totals::of(self.counters.iter().map(Arc::as_ref))
    }
}

/// Both ends of a ring as workers have them.
fn channel(eal: &Eal, name: &str) -> Result<(device::HandOver, device::HandOver), Failure> {
    let (sender, receiver) = ring::channel(eal, name, HAND_OVER_LEN)?;
    Ok((device::HandOver::Sender(sender), device::HandOver::Receiver(receiver)))
}

/// Sessions with the second worker's clients, installed as a handshake thread would.
fn clients(keeper: &Keeper, state: &mut State) -> Result<Vec<Client>, Failure> {
    let (exchange, mut random) = (keeper.exchange(), ChaCha8Rng::seed_from_u64(12));
    let mut client = |local: u32| {
        let slot = exchange.take_slot(1, 0).ok_or("no free slot")?;
        let place = Place { server: OWNER.into(), worker: 1, slot };
        let index = state.owner.permutation.index(place);
        let mut secret = [0; 32];
        random.fill_bytes(&mut secret);
        let key = || Key::new(Secret::new(secret));
        let number = local * 2 + 1;
        let install = Install {
            peer: local,
            slot,
            indices: Indices { local: index, remote: number },
            role: Role::Responder,
            keys: noise::Keys { send: key(), receive: key() },
            reply: None,
            endpoint: Endpoint::new(client::outer_address(number), SERVER.into(), 0),
            client_id: ClientId::ZERO,
        };
        state.sessions.install(install, START);
        Ok(Client::new(number, &key(), index, 0))
    };
    (0..CLIENTS / 2).map(&mut client).collect()
}
