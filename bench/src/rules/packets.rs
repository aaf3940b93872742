//! Packets that are looked up, as both contestants take them.

use firewall::facts::{Facts, Family};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use super::rulesets::{Five, Kind, TCP, UDP, below};

/// Which packets come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Traffic {
    /// Only the last rule holds them. In everything but what keeps them from it they are like what other rules ask for.
    Last,
    /// No rule holds them, so the policy decides; otherwise like those above.
    Policy,
    /// Half of them are drawn from a rule each, the others field by field from five rules.
    Random,
}

/// A packet with ports.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Packet {
    pub(crate) source: u32,
    pub(crate) destination: u32,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) protocol: u8,
}

/// What `rte_acl` looks at: `struct key` of peers/acl.c, in network order.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Key {
    protocol: u8,
    pad: [u8; 3],
    source: u32,
    destination: u32,
    source_port: u16,
    destination_port: u16,
}

impl Traffic {
    pub(super) const ALL: [Self; 3] = [Self::Last, Self::Policy, Self::Random];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Last => "last rule",
            Self::Policy => "policy",
            Self::Random => "random",
        }
    }

    /// A packet to a tenant with so many rules.
    pub(super) fn draw(
        self,
        (kind, tenant, count): (Kind, u32, u32),
        random: &mut ChaCha8Rng,
    ) -> Packet {
        let last = kind.rule(tenant, (count - 1, count));
        let any = |random: &mut ChaCha8Rng| kind.rule(tenant, (random.next_u32() % count, count));
        match (self, kind) {
            (Self::Random, _) if random.next_u32() & 1 == 0 => {
                let one = any(random);
                Packet::drawn([&one; 5], random)
            }
            (Self::Random, _) => {
                let five: [Five; 5] = std::array::from_fn(|_| any(random));
                Packet::drawn(five.each_ref(), random)
            }
            (Self::Last | Self::Policy, Kind::Services | Kind::Mixed) => {
                let four: [Five; 4] = std::array::from_fn(|_| any(random));
                let [source, destination, source_port, _] = four.each_ref();
                let packet =
                    Packet::drawn([source, destination, source_port, &last, &last], random);
                let protocol = if self == Self::Last { UDP } else { TCP };
                Packet { protocol, ..packet }
            }
            (Self::Last, Kind::Crossing) => Packet::drawn([&last; 5], random),
            (Self::Policy, Kind::Crossing) => {
                let packet = Packet::drawn([&last; 5], random);
                let [low, high] = last.destination_port;
                Packet { destination_port: packet.destination_port + (high - low + 1), ..packet }
            }
        }
    }

    /// Which of so many rules must be found, counted from 1, where that is known beforehand; 0 is none.
    pub(super) const fn wanted(self, count: u32) -> Option<u32> {
        match self {
            Self::Last => Some(count),
            Self::Policy => Some(0),
            Self::Random => None,
        }
    }
}

impl Packet {
    /// Source, destination, their ports, and the protocol, each from what a rule holds.
    pub(crate) fn drawn(rules: [&Five; 5], random: &mut ChaCha8Rng) -> Self {
        let [source, destination, source_port, destination_port, protocol] = rules;
        let port = |[low, high]: [u16; 2], random: &mut ChaCha8Rng| {
            low + below((high - low).saturating_add(1), random)
        };
        Self {
            source: source.source | random.next_u32() & source.open().0,
            destination: destination.destination | random.next_u32() & destination.open().1,
            source_port: port(source_port.source_port, random),
            destination_port: port(destination_port.destination_port, random),
            protocol: if protocol.protocol == 0 { TCP } else { protocol.protocol },
        }
    }

    pub(super) fn facts(&self) -> Facts {
        Facts {
            family: Family::V4,
            source: self.source.into(),
            destination: self.destination.into(),
            protocol: self.protocol,
            source_port: self.source_port,
            destination_port: self.destination_port,
            tcp_flags: if self.protocol == TCP { 2 } else { 0 },
            icmp: 0,
            length: 60,
            dscp: 0,
        }
    }

    pub(super) const fn key(&self) -> Key {
        Key {
            protocol: self.protocol,
            pad: [0; 3],
            source: self.source.to_be(),
            destination: self.destination.to_be(),
            source_port: self.source_port.to_be(),
            destination_port: self.destination_port.to_be(),
        }
    }
}
