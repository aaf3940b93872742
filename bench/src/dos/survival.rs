//! Survival: how much of good traffic gets through beside an attack that is so many times what one worker can do. The time of
//! every burst is measured on the whole way of packets; the time in which others arrive follows from it, so no generator
//! has to keep up. What finds the receive ring full is lost, good or not.

#![expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use arrayvec::ArrayVec;
use dataplane::burst::{self, Burst};
use dataplane::exchange::Install;
use dataplane::fate::Fate;
use dataplane::frame::{Endpoint, Entry, Note};
use dataplane::pipeline::{self, State};
use dataplane::testing::START;
use dataplane::testing::memory::{Buffer, Buffers};
use dataplane::testing::packets::{self, Ip};
use dataplane::testing::rules::{PROTECTED, segment, tenant};
use dataplane::testing::server::{Options, Server};
use dataplane::testing::site::{self, Plan as Site};
use dpdk::clock::cycles;
use ipnet::IpNet;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use shm::message::{Item, NextHop, SynGuard};
use wire::tcp::Flags;
use wireguard::aead::{self, Job, Key, TAG_LEN, TAILROOM};
use wireguard::index::Place;
use wireguard::message::{ClientId, DataHeader};
use wireguard::noise::Keys;
use wireguard::secret::Secret;
use wireguard::session::{Indices, Role};
use wireguard::time::Instant;
use zerocopy::IntoBytes;

use super::lists::{Family, net};
use super::stage::{list, within};
use super::{BURST, Plan};
use crate::Failure;
use crate::handshakes::letters;
use crate::sample::quantile;

/// What attacks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Attack {
    Blocked,
    Flags,
    Syn,
    Noise,
    Mac1,
    UnknownIndex,
    ForgedTag,
}

impl Attack {
    pub(super) const ALL: [Self; 7] = [
        Self::Blocked,
        Self::Flags,
        Self::Syn,
        Self::Noise,
        Self::Mac1,
        Self::UnknownIndex,
        Self::ForgedTag,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Blocked => "UDP of random listed sources",
            Self::Flags => "TCP flags that cannot be",
            Self::Syn => "SYNs of invented sources to a guarded tenant, answered",
            Self::Noise => "noise to the WireGuard port",
            Self::Mac1 => "initiations with a wrong first MAC",
            Self::UnknownIndex => "data for sessions that are not there",
            Self::ForgedTag => "data for a session that is there, forged",
        }
    }
}

/// How much work comes, in parts of what one worker can do in that time.
pub(super) const FACTORS: [f64; 6] = [0.5, 0.9, 1.0, 2.0, 5.0, 10.0];

/// The part of a worker's time that good traffic takes, the rest of the work is the attack: half of the good packets are
/// clients' data, half go to a tenant.
const GOOD: f64 = 0.05;

/// Good packets among those of a burst, about as many as there are beside attacks.
const FEW: usize = 3;

/// Places of the receive ring, as a network card has them.
const RING: usize = 1024;

/// Packets that are taken in one run.
const PACKETS: usize = 1 << 15;

/// What got through.
#[derive(Debug)]
pub(super) struct Curve {
    pub(super) attack: Attack,
    /// Cycles of one such packet, when nothing else comes.
    pub(super) alone: f64,
    /// Those of a good one beside it.
    pub(super) good: f64,
    /// Parts of the good traffic that got through, by [`FACTORS`].
    pub(super) goodput: Vec<f64>,
    /// Good packets that were dropped though they were taken from the ring; none may be.
    pub(super) mistaken: u64,
}

/// A worker with a session and a tenant, and what it takes to send it packets.
struct World {
    state: State,
    nets: Vec<IpNet>,
    key: Key,
    index: u32,
    counter: u64,
    notes: Box<[Note]>,
    buffers: Buffers,
    random: ChaCha8Rng,
    now: Instant,
}

/// Measures all attacks, with so many listed prefixes.
pub(super) fn measure(prefixes: usize, plan: &Plan) -> Result<Vec<Curve>, Failure> {
    let mut world = World::new(prefixes)?;
    let packets = if plan.quick { PACKETS / 16 } else { PACKETS };
    Attack::ALL.iter().map(|attack| world.curve(*attack, packets)).collect()
}

impl World {
    fn new(prefixes: usize) -> Result<Self, Failure> {
        let mut random = ChaCha8Rng::seed_from_u64(4);
        // No good packet comes from there.
        let is_ours =
            |net: &IpNet| net.contains(&client_address().ip()) || net.addr().is_loopback();
        let drawn = std::iter::repeat_with(|| net(Family::V4, &mut random));
        let nets: Vec<IpNet> = drawn.filter(|net| !is_ours(net)).take(prefixes).collect();
        let mut server = Server::with(&Site::new(1).text(), Options::default());
        let hop = Item::NextHop { id: 1, hop: NextHop::Local };
        let route = Item::Route { prefix: IpAddr::from(PROTECTED).into(), next_hop: 1 };
        server.change(vec![hop, route, tenant(SynGuard::CookieReset, false)], START);
        server.change(list(&nets), START);
        let mut state = server.keeper.state(0);
        let slot = server.exchange.take_slot(0, 0).ok_or("no free slot")?;
        let index = state.owner.permutation.index(Place { server: 0, worker: 0, slot });
        let keys = || Key::new(Secret::new([9; 32]));
        let install = Install {
            peer: 0,
            slot,
            indices: Indices { local: index, remote: 7 },
            role: Role::Responder,
            keys: Keys { send: keys(), receive: keys() },
            reply: None,
            endpoint: Endpoint::new(client_address(), site::SERVER_V4.into(), 0),
            client_id: ClientId::ZERO,
        };
        state.sessions.install(install, START);
        let (notes, buffers) = (burst::notes(), Buffers::new(2 * BURST));
        Ok(Self { state, nets, key: keys(), index, counter: 0, notes, buffers, random, now: START })
    }

    fn curve(&mut self, attack: Attack, packets: usize) -> Result<Curve, Failure> {
        let mut alone = Vec::new();
        for _ in 0..packets / BURST {
            let (taken, _) = self.burst(attack, &[false; BURST])?;
            alone.push(taken / BURST as f64);
        }
        let alone = quantile(alone, 0.1);
        let mut mixed = Vec::new();
        let few = std::array::from_fn::<_, BURST, _>(|place| place < FEW);
        for _ in 0..packets / BURST {
            let (taken, _) = self.burst(attack, &few)?;
            mixed.push((taken - alone * (BURST - FEW) as f64) / FEW as f64);
        }
        let good = quantile(mixed, 0.1);
        let (mut goodput, mut mistaken) = (Vec::new(), 0);
        for factor in FACTORS {
            let (part, lost) = self.run(attack, (alone, good), factor, packets)?;
            goodput.push(part);
            mistaken += lost;
        }
        Ok(Curve { attack, alone, good, goodput, mistaken })
    }

    /// One run in virtual time; gives the part of the good packets that got through, and how many of those that were taken
    /// were dropped.
    fn run(
        &mut self,
        attack: Attack,
        (alone, good): (f64, f64),
        factor: f64,
        packets: usize,
    ) -> Result<(f64, u64), Failure> {
        let (good_rate, bad_rate) = (GOOD / good, (factor - GOOD) / alone);
        let per_cycle = good_rate + bad_rate;
        let good_part = good_rate / per_cycle;
        let mut ring: VecDeque<bool> = VecDeque::with_capacity(RING);
        let (mut offered, mut through, mut mistaken, mut due) = (0_u64, 0_u64, 0_u64, 64.0);
        let mut taken_of_all = 0;
        while taken_of_all < packets {
            while due >= 1.0 {
                due -= 1.0;
                let is_good = f64::from(self.random.next_u32()) < good_part * f64::from(u32::MAX);
                offered += u64::from(is_good);
                if ring.len() < RING {
                    ring.push_back(is_good);
                }
            }
            let taken: Vec<bool> = ring.drain(..ring.len().min(BURST)).collect();
            if taken.is_empty() {
                // Nothing has come: time passes until something does.
                due += 1.0;
                continue;
            }
            taken_of_all += taken.len();
            let (time, dropped) = self.burst(attack, &taken)?;
            // A burst in which the core was taken away says nothing of the worker.
            let time = time.min(20.0 * alone * BURST as f64);
            let good = taken.iter().filter(|is_good| **is_good).count() as u64;
            through += good - dropped;
            mistaken += dropped;
            due += time * per_cycle;
        }
        // What waits in the ring is neither lost nor through.
        let waiting = ring.iter().filter(|is_good| **is_good).count() as u64;
        Ok((through as f64 / (offered - waiting).max(1) as f64, mistaken))
    }

    /// One burst; gives its cycles, and how many good packets were dropped.
    fn burst(&mut self, attack: Attack, is_good: &[bool]) -> Result<(f64, u64), Failure> {
        let mut all = ArrayVec::<Buffer, BURST>::new();
        for is_good in is_good {
            let frame = if *is_good { self.good()? } else { self.bad(attack) };
            all.push(self.buffers.packet(&frame).ok_or("the pool is empty")?);
        }
        let start = cycles();
        let mut burst = Burst::lend(&mut all, &mut self.notes, Entry::Wire(0));
        pipeline::walk(&mut burst, &mut self.state, self.now);
        let outcomes = burst.finish();
        let taken = (cycles() - start) as f64;
        let fates = outcomes.iter().zip(is_good).filter(|(_, is_good)| **is_good);
        let dropped = fates.filter(|(outcome, _)| outcome.fate != Fate::Local).count();
        Ok((taken, dropped as u64))
    }

    /// Data of a client, or a datagram to the tenant.
    fn good(&mut self) -> Result<Vec<u8>, Failure> {
        if self.random.next_u32() & 1 == 0 {
            let ip = Ip::new(client_address().ip(), IpAddr::from(PROTECTED));
            return Ok(packets::from_gateway(&ip.udp(4_000, 5_000, &[0; 36])));
        }
        let inner = Ip::new(site::inner_v4(0), site::LOCAL_V4).udp(1, 2, &[0; 36]);
        let (key, counter) = (&self.key, self.counter);
        self.counter += 1;
        let mut text = [inner.as_slice(), &[0; TAILROOM]].concat();
        let job = Job::new(key, counter, &mut text, inner.len()).ok_or("no room for the tag")?;
        aead::seal(&mut [job]);
        text.truncate(inner.len() + TAG_LEN);
        Ok(self.message(counter, &text))
    }

    fn message(&self, counter: u64, text: &[u8]) -> Vec<u8> {
        let header = DataHeader::new(ClientId::ZERO, self.index, counter);
        let message = [header.as_bytes(), text].concat();
        packets::datagram(client_address(), server(), &message)
    }

    fn bad(&mut self, attack: Attack) -> Vec<u8> {
        let stranger = Ipv4Addr::from_bits(0x0b00_0000 + self.random.next_u32() % 0x3000_0000);
        let ours = |source: Ipv4Addr| Ip::new(source, site::SERVER_V4);
        let datagram =
            |octets: &[u8]| packets::datagram((stranger, 4_000).into(), server(), octets);
        match attack {
            Attack::Blocked => {
                let listed = within(&self.nets, &mut self.random);
                packets::from_gateway(&ours(listed).udp(4_000, 5_000, &[0; 18]))
            }
            Attack::Flags => {
                packets::from_gateway(&segment(ours(stranger), Flags::SYN | Flags::FIN))
            }
            Attack::Syn => {
                packets::from_gateway(&segment(Ip::new(stranger, PROTECTED), Flags::SYN))
            }
            Attack::Noise => datagram(&[0xee; 40]),
            Attack::Mac1 => {
                let mut letter = letters::garbage(&mut self.random);
                letters::spoil_mac1(&mut letter);
                datagram(&letter)
            }
            Attack::UnknownIndex => {
                let header = DataHeader::new(ClientId::ZERO, self.random.next_u32(), 1);
                datagram(&[header.as_bytes(), &[0; 64]].concat())
            }
            Attack::ForgedTag => self.message(self.counter + 1, &[0; 80]),
        }
    }
}

fn client_address() -> SocketAddr {
    site::outer_v4(0)
}

fn server() -> SocketAddr {
    (site::SERVER_V4, site::LISTEN_PORT).into()
}
