//! The whole stage: `parse::locate` and `dos::admit` over bursts of what clients and what attackers send.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use arrayvec::ArrayVec;
use dataplane::burst::{self, Burst};
use dataplane::fate::{DropReason, Fate};
use dataplane::frame::{Entry, Note};
use dataplane::packet::Address;
use dataplane::pipeline::State;
use dataplane::stages::dos::{self, lists::SetId};
use dataplane::stages::parse::{self, Home};
use dataplane::testing::START;
use dataplane::testing::memory::{Buffer, Buffers};
use dataplane::testing::packets::{self, Ip};
use dataplane::testing::rules::segment;
use dataplane::testing::server::{Options, Server};
use dataplane::testing::site::{self, Plan as Site};
use dpdk::clock::cycles;
use ipnet::IpNet;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use shm::limits::LISTED_PER_ITEM_MAX;
use shm::message::{Class, Instruction, Item, Matter, Mode, Per, Reach, Rule, Unit};
use wire::tcp::Flags;
use wireguard::message::DATA;
use wireguard::time::Instant;

use super::lists::{Family, net};
use super::{BURST, Plan, WARM_UP};
use crate::Failure;
use crate::sample::per_packet;
use crate::service::server::ROUND;

/// What a burst is made of, and what the server knows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Way {
    /// Nothing is asked: frames are lent and dropped.
    Bare,
    /// Sealed data of 1,000 clients, without rules.
    Clean,
    /// The same with the list alone, the signatures alone, the limits alone, and all of them.
    Listed,
    Compared,
    Counted,
    Ruled,
    /// UDP to our kernel from 1,000 listed sources.
    BlockedHot,
    /// The same from sources at random out of all listed prefixes.
    BlockedRandom,
    /// UDP that a signature matches.
    Signed,
    /// UDP from sources at random, each of which takes from its bucket, beyond what all together may.
    Limited,
    /// TCP with flags of no connection.
    Insane,
}

impl Way {
    pub(super) const ALL: [Self; 11] = [
        Self::Bare,
        Self::Clean,
        Self::Listed,
        Self::Compared,
        Self::Counted,
        Self::Ruled,
        Self::BlockedHot,
        Self::BlockedRandom,
        Self::Signed,
        Self::Limited,
        Self::Insane,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Bare => "lent and dropped, nothing asked",
            Self::Clean => "data of clients, no rules",
            Self::Listed => "data of clients, the list",
            Self::Compared => "data of clients, the signatures",
            Self::Counted => "data of clients, a limit per source",
            Self::Ruled => "data of clients, all rules",
            Self::BlockedHot => "UDP of 1,000 listed sources, dropped",
            Self::BlockedRandom => "UDP of random listed sources, dropped",
            Self::Signed => "UDP that a signature drops",
            Self::Limited => "UDP of random sources, bucket and budget, dropped",
            Self::Insane => "TCP flags that cannot be, dropped",
        }
    }

    /// Which of the judge's workers looks at it.
    const fn worker(self) -> usize {
        match self {
            Self::Bare | Self::Clean | Self::Insane => 0,
            Self::Listed => 1,
            Self::Compared => 2,
            Self::Counted => 3,
            Self::Ruled | Self::BlockedHot | Self::BlockedRandom | Self::Signed | Self::Limited => {
                4
            }
        }
    }

    const fn wanted(self) -> Fate {
        match self {
            Self::Bare => Fate::Drop(DropReason::Stopped),
            Self::Clean | Self::Listed | Self::Compared | Self::Counted | Self::Ruled => {
                Fate::Undecided
            }
            Self::BlockedHot | Self::BlockedRandom => Fate::Drop(DropReason::DosBlocked),
            Self::Signed => Fate::Drop(DropReason::DosSignature),
            Self::Limited => Fate::Drop(DropReason::DosBudget),
            Self::Insane => Fate::Drop(DropReason::DosFlags),
        }
    }
}

/// Blocks in cycles per packet, of the way from lending to fates, and of `dos::admit` in it.
#[derive(Debug)]
pub(super) struct Timed {
    pub(super) way: Way,
    pub(super) whole: Vec<f64>,
    pub(super) admit: Vec<f64>,
}

/// The figures of the stage.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) prefixes: usize,
    pub(super) signatures: u16,
    pub(super) ways: Vec<Timed>,
}

/// Bursts of a block: sources are drawn anew for each.
const BURSTS: usize = 256;

/// Few sources, again and again.
const FEW: usize = 1_000;

/// Signatures, each of a source port of its own; and a port that one of them has.
const SIGNATURES: u16 = 100;
const SIGNED: u16 = 20_050;

struct Judge {
    /// Workers without rules, with the list, the signatures, the limits, and all of them.
    workers: Vec<State>,
    nets: Vec<IpNet>,
    listed: Vec<Ipv4Addr>,
    clients: Vec<Ipv4Addr>,
    notes: Box<[Note]>,
    buffers: Buffers,
    random: ChaCha8Rng,
    now: Instant,
}

/// Measures all ways in turns, with so many listed prefixes.
pub(super) fn measure(prefixes: usize, plan: &Plan) -> Result<Stage, Failure> {
    let mut judge = Judge::new(prefixes);
    let mut ways: Vec<Timed> =
        Way::ALL.map(|way| Timed { way, whole: Vec::new(), admit: Vec::new() }).into();
    for block in 0..WARM_UP + plan.blocks {
        for timed in &mut ways {
            let (mut whole, mut admit) = (0, 0);
            for _ in 0..BURSTS {
                let taken = judge.burst(timed.way)?;
                (whole, admit) = (whole + taken.0, admit + taken.1);
            }
            if block >= WARM_UP {
                let packets = (BURSTS * BURST) as u64;
                timed.whole.push(per_packet(whole, packets));
                timed.admit.push(per_packet(admit, packets));
            }
        }
    }
    Ok(Stage { prefixes, signatures: SIGNATURES, ways })
}

impl Judge {
    fn new(prefixes: usize) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        // Nothing comes from loopback.
        let drawn = std::iter::repeat_with(|| net(Family::V4, &mut random));
        let others = drawn.filter(|net| !IpAddr::is_loopback(&net.network()));
        let nets: Vec<IpNet> = others.take(prefixes).collect();
        let parts = [list(&nets), signatures(), limits()];
        let all = parts.concat();
        let told = std::iter::once(Vec::new()).chain(parts).chain([all]);
        let workers: Vec<State> = told.map(worker).collect();
        let lists = workers.get(1).map(|worker| Arc::clone(&worker.filter.rules().lists));
        let lists = lists.unwrap_or_default();
        let mut drawn = || Ipv4Addr::from_bits(0x0b00_0000 + random.next_u32() % 0x3000_0000);
        let is_listed = |address: &Ipv4Addr| lists.lookup(Address::from(*address)) != SetId::NONE;
        let clients = std::iter::repeat_with(&mut drawn).filter(|one| !is_listed(one));
        let clients: Vec<Ipv4Addr> = clients.take(FEW).collect();
        let listed = (0..FEW).map(|_| within(&nets, &mut random)).collect();
        let (notes, buffers) = (burst::notes(), Buffers::new(2 * BURST));
        Self { workers, nets, listed, clients, notes, buffers, random, now: START }
    }

    /// Lets one burst be judged; gives its cycles, and those of `dos::admit`.
    fn burst(&mut self, way: Way) -> Result<(u64, u64), Failure> {
        let mut packets = ArrayVec::<Buffer, BURST>::new();
        for _ in 0..BURST {
            let frame = self.frame(way);
            packets.push(self.buffers.packet(&frame).ok_or("the pool is empty")?);
        }
        let state = self.workers.get_mut(way.worker()).ok_or("no such worker")?;
        let State { site, counters, fleet, filter, .. } = state;
        let home = Home::new(site, fleet, filter.rules());

        let start = cycles();
        let mut burst = Burst::lend(&mut packets, &mut self.notes, Entry::Wire(0));
        let mut admit = 0;
        if way == Way::Bare {
            burst.pass(|_| Err(way.wanted()));
        } else {
            burst.pass(|frame| parse::locate(frame, &home));
            let located = cycles();
            dos::admit(&mut burst, filter, site, counters, self.now);
            admit = cycles() - located;
        }
        let outcomes = burst.finish();
        let taken = (cycles() - start, admit);

        // The budget of all together is used up by then.
        let warm = way == Way::Limited;
        match outcomes.iter().find(|outcome| outcome.fate != way.wanted()) {
            Some(other) if !warm => Err(format!("{}: {:?}", way.name(), other.fate).into()),
            Some(_) | None => Ok(taken),
        }
    }

    fn frame(&mut self, way: Way) -> Vec<u8> {
        let few = self.random.next_u32() as usize % FEW;
        let of = |all: &[Ipv4Addr]| all.get(few).copied().unwrap_or(Ipv4Addr::LOCALHOST);
        let ours = |source: Ipv4Addr| Ip::new(source, site::SERVER_V4);
        let packet = match way {
            Way::Bare | Way::Clean | Way::Listed | Way::Compared | Way::Counted | Way::Ruled => {
                let mut message = [0; 64];
                if let Some(kind) = message.first_mut() {
                    *kind = DATA;
                }
                let source = SocketAddr::new(IpAddr::V4(of(&self.clients)), 40_000);
                return packets::datagram(source, site::server(source.ip()), &message);
            }
            Way::BlockedHot => ours(of(&self.listed)).udp(4_000, 5_000, &[0; 18]),
            Way::BlockedRandom => {
                ours(within(&self.nets, &mut self.random)).udp(4_000, 5_000, &[0; 18])
            }
            Way::Signed => ours(of(&self.clients)).udp(SIGNED, 5_000, &[0; 18]),
            Way::Limited => {
                let source =
                    Ipv4Addr::from_bits(0x0b00_0000 + self.random.next_u32() % 0x3000_0000);
                ours(source).udp(4_000, 5_000, &[0; 18])
            }
            Way::Insane => segment(ours(of(&self.clients)), Flags::SYN | Flags::FIN),
        };
        packets::from_gateway(&packet)
    }
}

pub(super) fn within(nets: &[IpNet], random: &mut ChaCha8Rng) -> Ipv4Addr {
    match nets.get(random.next_u32() as usize % nets.len().max(1)) {
        Some(IpNet::V4(net)) => Ipv4Addr::from_bits(
            net.network().to_bits() | random.next_u32() & net.hostmask().to_bits(),
        ),
        Some(IpNet::V6(_)) | None => Ipv4Addr::LOCALHOST,
    }
}

/// A worker that has been told this.
fn worker(items: Vec<Item>) -> State {
    let mut server = Server::with(&Site::new(1).text(), Options::default());
    server.change(items, START);
    let mut state = server.keeper.state(0);
    state.filter.expect(ROUND);
    state
}

fn rule(id: u32, matter: Matter) -> Item {
    let (mode, reach) = (Mode::Enforce, Reach::All);
    Item::Rule(Box::new(Rule { id, mode, reach, expires: None, matter }))
}

pub(super) fn list(nets: &[IpNet]) -> Vec<Item> {
    let parts = nets.chunks(LISTED_PER_ITEM_MAX);
    let parts = parts.map(|part| Item::Listed { rule: 1, prefixes: part.to_vec() });
    std::iter::once(rule(1, Matter::Block)).chain(parts).collect()
}

fn signatures() -> Vec<Item> {
    (0..SIGNATURES).map(|at| rule(u32::from(at) + 10, signature(20_000 + at))).collect()
}

/// A limit per source that nobody exceeds, and a budget of UDP that does not concern clients' data.
fn limits() -> Vec<Item> {
    let limit = |per, class, per_second, burst| Matter::Limit {
        per,
        class,
        unit: Unit::Packets,
        per_second,
        burst,
    };
    let per_source = Per::Source { v4_len: 32, v6_len: 64 };
    vec![
        rule(2, limit(per_source, Class::Any, 1_000_000, 1_000_000)),
        rule(3, limit(Per::Whole, Class::Udp, 1, 1)),
    ]
}

/// `ip and udp and src port PORT`.
fn signature(port: u16) -> Matter {
    let op = |code, k| Instruction { code, jt: 0, jf: 0, k };
    let unless = |k, jf| Instruction { code: 0x15, jt: 0, jf, k };
    Matter::Signature(vec![
        op(0x30, 9),
        unless(17, 4),
        op(0xb1, 0),
        op(0x48, 0),
        unless(port.into(), 1),
        op(0x06, u32::MAX),
        op(0x06, 0),
    ])
}
