//! A hostile neighbour from a string of octets: what the property test and the fuzz target both run.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use wireguard::message::ClientId;
use wireguard::secret::Secret;

use crate::counters::{self, Room};
use crate::header::{HEADER_WORDS, Header, Kind};
use crate::limits::{
    PROBE_INTERVAL_MIN_MS, PROGRAM_MAX, TENANT_PREFIXES_MAX, TUNNEL_MTU_MIN, TUNNEL_WEIGHT_MAX,
};
use crate::memory::{LINE_WORDS, Memory, index, private};
use crate::message::{
    COMMAND_WORDS, Centre, Check, Class, Command, DontFragment, EVENT_WORDS, Event, Fleet,
    Instruction, Item, Machine, Matter, Member, MemberState, Mode, NextHop, Past, Peer, Per, Probe,
    ProbeStyle, PublicKey, Reach, Rule, Scope, SynGuard, Tenant, Tunnel, Unit,
};
use crate::ring::{Consumer, Geometry, Producer};
use crate::transaction::digest::Digest;
use crate::transaction::{Reader, Received};

const SLOTS: u32 = 8;
const ITEMS_MAX: usize = 16;

/// Memory that ends the test when somebody reaches for a word that it does not have.
#[derive(Clone, Debug)]
pub struct Guarded(pub Arc<[AtomicU64]>);

impl Memory for Guarded {
    type Word = AtomicU64;

    fn words(&self) -> &[AtomicU64] {
        &self.0
    }

    fn load(&self, at: usize, order: Ordering) -> u64 {
        assert!(at < self.0.len(), "reads word {at} of {}", self.0.len());
        self.0.load(at, order)
    }

    fn store(&self, at: usize, value: u64, order: Ordering) {
        assert!(at < self.0.len(), "writes word {at} of {}", self.0.len());
        self.0.store(at, value, order);
    }

    fn run(&self, at: usize, len: usize) -> &[AtomicU64] {
        assert!(at + len <= self.0.len(), "reaches for {len} words at {at} of {}", self.0.len());
        self.0.run(at, len)
    }
}

/// The octets of the script that are left.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn next<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn word(&mut self) -> Option<u64> {
        self.next().map(u64::from_le_bytes)
    }
}

/// An item that is right.
fn item(which: u8) -> Item {
    let net = |last: u8| IpNet::from(Ipv4Net::from(Ipv4Addr::new(10, 0, 0, last)));
    let v6 = IpNet::from(Ipv6Net::from(Ipv6Addr::from([which; 16])));
    let remote = Ipv4Addr::new(192, 0, 2, which).into();
    match which % 14 {
        0 => Item::Route { prefix: net(which), next_hop: which.into() },
        1 => Item::RouteRemove(net(which)),
        2 => Item::NextHop {
            id: which.into(),
            hop: NextHop::Via { centre: 7, remote: Some(remote) },
        },
        3 => Item::PeerRemove(PublicKey([which; 32])),
        4 => Item::Fleet(Box::new(fleet(which))),
        5 => Item::Rule(Box::new(rule(which))),
        6 => Item::Tenant(Box::new(tenant((0..=which % 30).map(net).collect()))),
        7 => Item::Listed { rule: 1, prefixes: (0..=which % 70).map(net).collect() },
        8 => Item::Unlisted { rule: 1, prefixes: vec![net(which), v6] },
        9 => Item::Tunnel(Box::new(tunnel(which))),
        10 => Item::Ruleset(which.into()),
        11 => Item::RulesetText {
            tenant: which.into(),
            text: vec![which; 2 * usize::from(which)].into(),
        },
        12 => Item::Centre(Box::new(centre(which))),
        _ => Item::Peer(Box::new(Peer {
            public_key: PublicKey([which; 32]),
            preshared_key: Secret::zero(),
            client_id: ClientId::ZERO,
            endpoint: Some((remote, 51820).into()),
            persistent_keepalive: None,
            allowed_ips: (0..which % 12).map(net).collect(),
        })),
    }
}

/// A centre, some with more machines than one message holds.
fn centre(which: u8) -> Centre {
    let machine = |last: u8| {
        let address = Ipv4Addr::new(192, 0, 2, last).into();
        Machine { address, port: 443, weight: which.into() }
    };
    Centre {
        number: u16::from(which) + 1,
        is_here: which < 100,
        relay: u16::from(which % 3),
        machines: (0..which % 40).map(machine).collect(),
    }
}

/// A tunnel, some with a key and some with a probe.
fn tunnel(which: u8) -> Tunnel {
    let (local, remote) =
        (Ipv4Addr::new(192, 0, 2, 1).into(), Ipv4Addr::new(192, 0, 2, which).into());
    let interval = Duration::from_millis(PROBE_INTERVAL_MIN_MS + u64::from(which));
    Tunnel {
        id: which.into(),
        tenant: 1,
        local,
        remote,
        key: which.is_multiple_of(2).then_some(which.into()),
        checksum: which.is_multiple_of(4),
        mtu: TUNNEL_MTU_MIN + u16::from(which),
        dont_fragment: DontFragment::Honour,
        priority: which.into(),
        weight: u16::from(which % 8) + 1,
        probe: which.is_multiple_of(3).then_some(Probe {
            style: ProbeStyle::Reply,
            local,
            remote,
            interval,
        }),
    }
}

/// A fleet that takes several messages.
fn fleet(which: u8) -> Fleet {
    let member = |server: u8| Member {
        server,
        weight: u16::from(which) + 1,
        state: MemberState::Active,
        v4: Some(Ipv4Addr::new(192, 0, 2, server)),
        v6: None,
    };
    let weights = |servers: u8| (0..servers).map(|server| (server, 100)).collect();
    Fleet {
        generation: which.into(),
        members: (0..which % 12).map(member).collect(),
        past: (0..which % 3)
            .map(|at| Past { generation: at.into(), weights: weights(which % 50) })
            .collect(),
    }
}

/// A rule, which takes several messages when it is a signature.
fn rule(which: u8) -> Rule {
    let (per_second, burst) = (1000, 100);
    let (per, class) = (Per::Source { v4_len: 32, v6_len: 64 }, Class::Syn);
    let matter = match which / 13 % 5 {
        0 => Matter::Block,
        4 => Matter::Set,
        1 => Matter::Check(Check::Land),
        2 => Matter::Limit { per, class, unit: Unit::Packets, per_second, burst },
        _ => Matter::Signature(vec![
            Instruction { code: 6, jt: 0, jf: 0, k: 1 };
            1 + usize::from(which)
        ]),
    };
    let reach = if which % 20 < 10 { Reach::All } else { Reach::Tenant(which.into()) };
    let expires = (which % 30 < 10).then(|| Duration::from_secs(which.into()));
    Rule { id: u32::from(which) + 1, mode: Mode::Enforce, reach, expires, matter }
}

fn tenant(prefixes: Vec<IpNet>) -> Tenant {
    let (id, mode, syn) = (3, Mode::Monitor, SynGuard::CookieReset);
    Tenant { id, mode, syn, syn_above: 100, flows: true, out_of_state: 9, prefixes }
}

struct Sides {
    commands: Guarded,
    events: Guarded,
    page: Guarded,
    reader: Reader<Guarded>,
    writer: Producer<Guarded, EVENT_WORDS>,
    viewer: counters::Reader<Guarded>,
    listener: Consumer<Guarded, EVENT_WORDS>,
}

/// Lets a neighbour do to all regions what `script` says, while both sides go on. Ends the process when a
/// side reaches outside of its memory, gives out what was not checked, or gathers without bound.
pub fn hostile(script: &[u8]) {
    check_header(script);
    let Some(mut sides) = Sides::new() else { return };
    let mut script = Script(script);
    while let Some([act]) = script.next() {
        if sides.act(act, &mut script).is_none() {
            return;
        }
    }
}

fn check_header(octets: &[u8]) {
    let mut script = Script(octets);
    let words = std::array::from_fn(|_| script.word().unwrap_or(0));
    let len = octets.len() as u64;
    if let Ok(header) = Header::check(&words, Kind::Commands, len, 0) {
        assert!(header.len == len && header.uid == 0);
    }
}

impl Sides {
    fn new() -> Option<Self> {
        let guarded = |words| Guarded(private(words));
        let (down, up) = (Geometry::new(SLOTS)?, Geometry::new(SLOTS)?);
        let (commands, events) = (guarded(down.words()), guarded(up.words()));
        let page = guarded(Room::new(4, 2)?.words());
        Some(Self {
            reader: Reader::new(Consumer::attach(commands.clone(), down).ok()?, ITEMS_MAX),
            writer: Producer::attach(events.clone(), up).ok()?,
            listener: Consumer::attach(events.clone(), up).ok()?,
            viewer: counters::Reader::new(page.clone()),
            commands,
            events,
            page,
        })
    }

    fn act(&mut self, act: u8, script: &mut Script<'_>) -> Option<()> {
        let region = match act / 16 % 3 {
            0 => self.commands.clone(),
            1 => self.events.clone(),
            _ => self.page.clone(),
        };
        match act % 16 {
            0 => {
                let at = script.next().map(u16::from_le_bytes)?;
                let at = usize::from(at) % region.0.len();
                region.store(at, script.word()?, Ordering::Relaxed);
            }
            // The words that matter most: indices, epochs, the shape of the page.
            1 => {
                let [at, by] = script.next()?;
                let at = HEADER_WORDS + usize::from(at) % (2 * LINE_WORDS);
                let sum =
                    region.load(at, Ordering::Relaxed).wrapping_add_signed(i64::from(by) - 128);
                region.store(at, sum, Ordering::Relaxed);
            }
            2 => {
                let [at, value] = script.next()?;
                let at = HEADER_WORDS + usize::from(at) % (2 * LINE_WORDS);
                region.store(at, value.into(), Ordering::Relaxed);
            }
            3 | 4 => self.publish(script)?,
            5 | 6 => self.transact(script)?,
            7..=9 => self.read(),
            10 => {
                let [kind] = script.next()?;
                if let Ok(pushed) = self.writer.push_batch(&[Event::Lost(kind.into()).encode()]) {
                    assert!(pushed <= 1);
                }
            }
            11 => self.listen(),
            12 => self.writer.restart(),
            13 => self.listener.restart(),
            14 => self.view(),
            _ => {
                let free = self.writer.free().unwrap_or(0);
                assert!(free <= SLOTS as usize);
            }
        }
        Some(())
    }

    /// Any content as a command: octets of the script that end with zeros.
    fn publish(&self, script: &mut Script<'_>) -> Option<()> {
        let [len] = script.next()?;
        let len = usize::from(len).min(COMMAND_WORDS);
        let mut message = [0; COMMAND_WORDS];
        message.iter_mut().take(len).for_each(|word| *word = script.word().unwrap_or(0));
        self.put(&message);
        Some(())
    }

    /// A transaction with the right count and digest over items that are nearly right.
    fn transact(&self, script: &mut Script<'_>) -> Option<()> {
        let [id, which, changes] = script.next()?;
        let mut messages = Vec::new();
        item(which).encode(&mut messages).ok()?;
        for _ in 0..changes % 4 {
            let [at, flip] = script.next()?;
            let (at, count) = (usize::from(at), messages.len());
            let message = messages.get_mut(at % count)?;
            let word = message.get_mut(at / 8 % COMMAND_WORDS)?;
            *word ^= u64::from(flip) << (at % 8 * 8);
        }
        let mut digest = Digest::new(id.into(), Scope::Delta);
        self.put(&Command::begin(id.into(), Scope::Delta));
        for message in &messages {
            digest.add(message);
            self.put(message);
        }
        self.put(&Command::commit(id.into(), digest.count(), digest.value()));
        Some(())
    }

    /// A command in its right place, whether there is room or not.
    fn put(&self, message: &[u64; COMMAND_WORDS]) {
        let head = self.commands.load(HEADER_WORDS, Ordering::Relaxed);
        let slots = HEADER_WORDS + 2 * LINE_WORDS;
        let at = slots + index(head % u64::from(SLOTS)) * (COMMAND_WORDS + 2);
        let epoch = self.commands.load(HEADER_WORDS + 1, Ordering::Relaxed);
        self.commands.store(at, !head, Ordering::Relaxed);
        self.commands.store(at + 1, epoch, Ordering::Relaxed);
        for (at, word) in (at + 2..).zip(message) {
            self.commands.store(at, *word, Ordering::Relaxed);
        }
        self.commands.store(HEADER_WORDS, head.wrapping_add(1), Ordering::Relaxed);
    }

    fn read(&mut self) {
        let Some(Received::Transaction(transaction)) = self.reader.poll(4) else { return };
        assert!(transaction.items.len() <= ITEMS_MAX && transaction.count <= ITEMS_MAX as u64);
        for item in &transaction.items {
            match item {
                Item::Route { prefix, .. } | Item::RouteRemove(prefix) => {
                    assert_eq!(*prefix, prefix.trunc());
                }
                Item::Peer(peer) => {
                    assert!(peer.allowed_ips.len() <= crate::limits::ADDRESSES_PER_PEER_MAX);
                    assert!(peer.allowed_ips.iter().all(|net| *net == net.trunc()));
                    assert!(peer.endpoint.is_none_or(|endpoint| endpoint.port() != 0));
                }
                Item::PeerRemove(key) => assert_ne!(key.0, [0; 32]),
                Item::Fleet(fleet) => {
                    assert!(fleet.members.len() <= crate::limits::MEMBERS_MAX);
                    assert!(fleet.past.len() <= crate::limits::PAST_MAX);
                    let runs = fleet.past.iter().map(|past| past.weights.len());
                    assert!(runs.max().unwrap_or(0) <= crate::limits::MEMBERS_MAX);
                }
                Item::Tenant(tenant) => {
                    assert!((1..=TENANT_PREFIXES_MAX).contains(&tenant.prefixes.len()));
                    assert!(tenant.prefixes.iter().all(|net| *net == net.trunc()));
                }
                Item::Rule(rule) => {
                    assert_ne!(rule.id, 0);
                    if let Matter::Signature(program) = &rule.matter {
                        assert!((1..=PROGRAM_MAX).contains(&program.len()));
                    }
                }
                Item::Listed { rule, prefixes } | Item::Unlisted { rule, prefixes } => {
                    assert!(*rule != 0 && (1..=33).contains(&prefixes.len()));
                    assert!(prefixes.iter().all(|net| *net == net.trunc()));
                }
                Item::RuleRemove(rule) => assert_ne!(*rule, 0),
                Item::Tunnel(tunnel) => {
                    assert_eq!(tunnel.local.is_ipv4(), tunnel.remote.is_ipv4());
                    assert!((1..=TUNNEL_WEIGHT_MAX).contains(&tunnel.weight));
                    assert!(tunnel.mtu == 0 || tunnel.mtu >= TUNNEL_MTU_MIN);
                    if let Some(probe) = &tunnel.probe {
                        assert_eq!(probe.local.is_ipv4(), probe.remote.is_ipv4());
                        assert!(probe.interval.as_millis() >= PROBE_INTERVAL_MIN_MS.into());
                    }
                }
                Item::Centre(centre) => {
                    assert!(centre.number != 0 && centre.machines.len() <= 8);
                    assert!(centre.machines.iter().all(|machine| machine.port != 0));
                }
                Item::Machines { centre, machines } => {
                    assert!(*centre != 0 && (1..=8).contains(&machines.len()));
                }
                Item::RulesetText { text, .. } => assert!((1..=168).contains(&text.len())),
                Item::NextHop { .. }
                | Item::NextHopRemove(_)
                | Item::FleetRemove
                | Item::TenantRemove(_)
                | Item::TunnelRemove(_)
                | Item::Ruleset(_)
                | Item::CentreRemove(_) => {}
            }
        }
    }

    fn listen(&mut self) {
        let mut count = 0;
        let taken = self.listener.take(3, |taken| {
            count += 1;
            if let Ok(event) = Event::decode(taken.message) {
                assert_eq!(event.encode(), *taken.message);
            }
        });
        assert!(count <= 3 && taken.is_ok_and(|taken| taken == count) || count == 0);
    }

    fn view(&mut self) {
        if let Ok(table) = self.viewer.read() {
            assert_eq!(table.values.len(), table.counters.len() * table.blocks.len());
        }
    }
}
