//! Rulesets as tenants write them, and as someone would who means harm. A rule is a function of its tenant and its place, so
//! none has to be kept for packets to be drawn from it.

use firewall::rules::{Condition, Field, Rule, Ruleset, Values, Verdict};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::packets::Packet;

/// What rules are like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// What a tenant serves: a destination, a protocol, ports. Everything else is dropped.
    Services,
    /// All five fields, prefixes of many lengths, verdicts by turns.
    Mixed,
    /// Each rule but the last holds all packets that are sent in three fields or four, and misses them in one; prefixes and
    /// ranges overlap in every way.
    Crossing,
}

/// A rule of both contestants: `struct rule` of peers/acl.c.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub(crate) struct Five {
    pub(super) source: u32,
    pub(super) destination: u32,
    source_len: u32,
    destination_len: u32,
    pub(super) source_port: [u16; 2],
    pub(super) destination_port: [u16; 2],
    pub(super) protocol: u8,
    protocol_mask: u8,
}

pub(crate) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;

/// Ports that only the last rule of `Services` and `Mixed` has.
const LAST_PORTS: [u16; 2] = [50_000, u16::MAX];
const ANY_PORT: [u16; 2] = [0, u16::MAX];

/// Bits of an address that differ among packets for `Crossing`, and as many ports.
const BLOCK_BITS: u32 = 4;
const BLOCK: u16 = 1 << BLOCK_BITS;
const CROSSED_SOURCE: u32 = 0xc0a8_5a50;
const CROSSED_SOURCE_PORT: u16 = 30_000;
const CROSSED_DESTINATION_PORT: u16 = 31_008;

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Services, Self::Mixed, Self::Crossing];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Services => "services",
            Self::Mixed => "mixed",
            Self::Crossing => "crossing",
        }
    }

    /// One of the `count` rules of a tenant.
    pub(crate) fn rule(self, tenant: u32, (place, count): (u32, u32)) -> Five {
        let seed = u64::from(tenant) << 32 | u64::from(place);
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        match (self, place + 1 == count) {
            (Self::Services, false) => services(tenant, &mut random),
            (Self::Mixed, false) => mixed(tenant, &mut random),
            (Self::Crossing, false) => crossing(tenant, &mut random),
            (Self::Services | Self::Mixed, true) => {
                Five::new((0, 0), (net(tenant), 16), (ANY_PORT, LAST_PORTS), UDP)
            }
            (Self::Crossing, true) => {
                let (source, destination) = (CROSSED_SOURCE, crossed_destination(tenant));
                let len = 32 - BLOCK_BITS;
                let lower = [CROSSED_DESTINATION_PORT, CROSSED_DESTINATION_PORT + BLOCK / 2 - 1];
                let ports = (block(CROSSED_SOURCE_PORT), lower);
                Five::new((source, len), (destination, len), ports, UDP)
            }
        }
    }

    /// What the firewall reads.
    pub(crate) fn ruleset(self, rules: &[Five]) -> Ruleset {
        let verdict = |place: usize| match self {
            Self::Mixed | Self::Crossing if !place.is_multiple_of(2) => Verdict::Drop,
            Self::Services | Self::Mixed | Self::Crossing => Verdict::Accept,
        };
        let rule = |(place, five): (usize, &Five)| Rule {
            conditions: five.conditions(),
            limit: None,
            counter: false,
            verdict: Some(verdict(place)),
            comment: None,
        };
        Ruleset { policy: Verdict::Drop, rules: rules.iter().enumerate().map(rule).collect() }
    }
}

/// The /16 that is a tenant's.
pub(crate) const fn net(tenant: u32) -> u32 {
    0x0b00_0000 + (tenant << 16)
}

const fn crossed_destination(tenant: u32) -> u32 {
    net(tenant) | 0x5a50
}

const fn block(first: u16) -> [u16; 2] {
    [first, first + BLOCK - 1]
}

fn one_of<T: Copy + Default>(choices: &[T], random: &mut ChaCha8Rng) -> T {
    choices.get(random.next_u32() as usize % choices.len().max(1)).copied().unwrap_or_default()
}

/// A number below `end`.
#[expect(clippy::cast_possible_truncation, reason = "the remainder is below 2^16")]
pub(super) fn below(end: u16, random: &mut ChaCha8Rng) -> u16 {
    (random.next_u32() % u32::from(end.max(1))) as u16
}

/// Half of them are one port.
fn ports(random: &mut ChaCha8Rng) -> [u16; 2] {
    let first = 1 + below(49_000 - 1, random);
    let more = below(1_000, random);
    if random.next_u32() & 1 == 0 { [first, first] } else { [first, first + more] }
}

fn services(tenant: u32, random: &mut ChaCha8Rng) -> Five {
    let destination = net(tenant) | u32::from(below(u16::MAX, random));
    let len = one_of(&[32, 32, 32, 28, 24], random);
    let protocol = one_of(&[TCP, UDP], random);
    Five::new((0, 0), (destination, len), (ANY_PORT, ports(random)), protocol)
}

fn mixed(tenant: u32, random: &mut ChaCha8Rng) -> Five {
    let source = (random.next_u32(), one_of(&[0, 8, 16, 24, 32], random));
    let len = 16 + u32::from(below(17, random));
    let destination = (net(tenant) | u32::from(below(u16::MAX, random)), len);
    let source_port = one_of(&[ANY_PORT, ANY_PORT, ANY_PORT, [1_024, u16::MAX]], random);
    let protocol = one_of(&[TCP, TCP, TCP, TCP, UDP, UDP, UDP, 0], random);
    Five::new(source, destination, (source_port, ports(random)), protocol)
}

fn crossing(tenant: u32, random: &mut ChaCha8Rng) -> Five {
    let missed = below(4, random);
    let mut source = (CROSSED_SOURCE, u32::from(below(29, random)));
    let mut destination = (crossed_destination(tenant), u32::from(below(29, random)));
    let around = |first: u16, random: &mut ChaCha8Rng| {
        [below(first, random), first + BLOCK + below(30_000, random)]
    };
    let mut source_port = around(CROSSED_SOURCE_PORT, random);
    let mut destination_port = around(CROSSED_DESTINATION_PORT, random);
    match missed {
        0 => source = beside(source, random),
        1 => destination = beside(destination, random),
        2 => source_port = off(source_port, CROSSED_SOURCE_PORT, random),
        _ => destination_port = off(destination_port, CROSSED_DESTINATION_PORT, random),
    }
    Five::new(source, destination, (source_port, destination_port), one_of(&[UDP, 0], random))
}

/// The prefix with its last bit turned, so that it does not hold the address.
fn beside((address, _): (u32, u32), random: &mut ChaCha8Rng) -> (u32, u32) {
    let len = 1 + u32::from(below(28, random));
    (address ^ 1 << (32 - len), len)
}

/// What of the range is on one side of the block.
fn off(range: [u16; 2], first: u16, random: &mut ChaCha8Rng) -> [u16; 2] {
    let [low, high] = range;
    if random.next_u32() & 1 == 0 { [low, first - 1] } else { [first + BLOCK, high] }
}

const fn mask(len: u32) -> u32 {
    if len == 0 { 0 } else { u32::MAX << (32 - len) }
}

/// An address and the length of its prefix.
type Prefix = (u32, u32);

impl Five {
    /// Protocol 0 is any.
    const fn new(
        (source, source_len): Prefix,
        (destination, destination_len): Prefix,
        (source_port, destination_port): ([u16; 2], [u16; 2]),
        protocol: u8,
    ) -> Self {
        Self {
            source: source & mask(source_len),
            destination: destination & mask(destination_len),
            source_len,
            destination_len,
            source_port,
            destination_port,
            protocol,
            protocol_mask: if protocol == 0 { 0 } else { u8::MAX },
        }
    }

    /// The bits of source and destination that the rule leaves open.
    pub(super) const fn open(&self) -> (u32, u32) {
        (!mask(self.source_len), !mask(self.destination_len))
    }

    /// The meaning, which both contestants are held against.
    pub(super) fn holds(&self, packet: &Packet) -> bool {
        let (source, destination) = self.open();
        let within = |[low, high]: [u16; 2], port| (low..=high).contains(&port);
        packet.source & !source == self.source
            && packet.destination & !destination == self.destination
            && within(self.source_port, packet.source_port)
            && within(self.destination_port, packet.destination_port)
            && (self.protocol == 0 || self.protocol == packet.protocol)
    }

    fn conditions(&self) -> Vec<Condition> {
        let (source, destination) = self.open();
        let [source_field, destination_field] = match self.protocol {
            TCP => [Field::TcpSport, Field::TcpDport],
            UDP => [Field::UdpSport, Field::UdpDport],
            _ => [Field::ThSport, Field::ThDport],
        };
        let address = |field, first: u32, open: u32| {
            (open != u32::MAX).then(|| condition(field, first.into(), (first | open).into()))
        };
        let port = |field, [low, high]: [u16; 2], is_needed: bool| {
            (is_needed || [low, high] != ANY_PORT)
                .then(|| condition(field, low.into(), high.into()))
        };
        let found = [
            address(Field::IpSaddr, self.source, source),
            address(Field::IpDaddr, self.destination, destination),
            port(source_field, self.source_port, false),
            // The protocol is said by a condition on ports alone.
            port(destination_field, self.destination_port, true),
        ];
        found.into_iter().flatten().collect()
    }
}

fn condition(field: Field, low: u128, high: u128) -> Condition {
    let values = Values::Ranges(Box::new([(low, high)]));
    Condition { field, negated: false, values }
}
