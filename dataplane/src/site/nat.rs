//! The addresses by which the Internet knows clients, and which worker has which of their ports.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

use flows::nptv6::Prefixes;
use ipnet::{IpNet, Ipv6Net};

use crate::config::{Config, ConnectConfig, NatConfig};
use crate::packet::Address;

use super::OnLink;

/// The ports that are given to flows: all but the well-known ones (RFC 4787 4.2.1, RFC 6335 6).
const PORTS: RangeInclusive<u16> = 1024..=u16::MAX;

/// Clients as the Internet sees them.
#[derive(Clone, Debug)]
pub struct Nat {
    addresses: Vec<Address>,
    held: Held,
    untranslated: Vec<OnLink>,
    pairs: Vec<Pair>,
    outside: Vec<IpNet>,
    client_address: Option<Address>,
    terminated: Vec<Address>,
    workers: u16,
    ports_per_worker: u16,
}

impl Nat {
    /// For a server with these workers and ports.
    pub fn new(nat: &NatConfig, config: &Config) -> Self {
        let terminating = config.ports.iter().filter(|port| port.terminates);
        let terminated = terminating.flat_map(|port| &port.addresses);
        let terminated = terminated.map(|net| Address::from(net.addr())).collect();
        Self { terminated, ..Self::of_workers(nat, config.workers.len()) }
    }

    fn of_workers(config: &NatConfig, workers: usize) -> Self {
        let mut addresses: Vec<Address> =
            config.addresses.iter().copied().map(Address::from).collect();
        addresses.sort_unstable_by_key(|address| address.bits());
        let held = Held::new(addresses.iter().filter_map(|address| address.v4()));
        let workers = u16::try_from(workers.max(1)).unwrap_or(u16::MAX);
        let ports_per_worker = (PORTS.end() - PORTS.start() + 1) / workers;
        let client_address = config.client_address.map(Address::from);
        let untranslated = config.untranslated.iter().map(|net| OnLink::from(&IpNet::V6(*net)));
        // Which do not fit each other was refused with the configuration.
        let pairs =
            config.prefixes.iter().filter_map(|(inside, outside)| Pair::new(*inside, *outside));
        Self {
            addresses,
            held,
            untranslated: untranslated.collect(),
            pairs: pairs.collect(),
            outside: outside(config),
            client_address,
            terminated: Vec::new(),
            workers,
            ports_per_worker,
        }
    }

    /// The addresses, in order.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The addresses by which this machine's kernel knows clients whose connections it terminates.
    pub fn terminated(&self) -> &[Address] {
        &self.terminated
    }

    /// Whether the kernel knows a client by this address.
    #[inline]
    pub fn terminates_at(&self, address: Address) -> bool {
        self.terminated.contains(&address)
    }

    /// Whether the Internet knows a client by this address.
    #[inline]
    pub fn holds(&self, address: Address) -> bool {
        match address.v4() {
            Some(address) => self.held.has(address),
            None => self.is_untranslated(address) || self.inward(address).is_some(),
        }
    }

    /// Whether the Internet knows a client by an address in there, so that what is sent to it cannot be for anybody else.
    pub fn overlaps(&self, net: &IpNet) -> bool {
        self.outside.iter().any(|own| own.contains(net) || net.contains(own))
    }

    /// Whether it is a client's IPv6 address that the Internet knows as it is.
    #[inline]
    pub fn is_untranslated(&self, address: Address) -> bool {
        self.untranslated.iter().any(|net| address.masked(net.mask) == net.network)
    }

    /// What translates an IPv6 address of a client's, if that is known by another.
    #[inline]
    pub fn outward(&self, address: Address) -> Option<&Prefixes> {
        let holds = |pair: &&Pair| address.masked(pair.inside.mask) == pair.inside.network;
        self.pairs.iter().find(holds).map(|pair| &pair.prefixes)
    }

    /// What translates such another address back.
    #[inline]
    pub fn inward(&self, address: Address) -> Option<&Prefixes> {
        let holds = |pair: &&Pair| address.masked(pair.outside.mask) == pair.outside.network;
        self.pairs.iter().find(holds).map(|pair| &pair.prefixes)
    }

    /// Whether IPv6 goes out at all.
    #[inline]
    pub fn has_v6(&self) -> bool {
        !self.untranslated.is_empty() || !self.pairs.is_empty()
    }

    /// How many workers share the ports.
    #[inline]
    pub fn workers(&self) -> u32 {
        self.workers.into()
    }

    /// The inner address that every client may have.
    pub fn every_clients(&self) -> Option<Address> {
        self.client_address
    }

    /// The ports of a worker, on all addresses.
    pub fn ports(&self, worker: u8) -> RangeInclusive<u16> {
        let first = PORTS.start() + u16::from(worker) * self.ports_per_worker;
        first..=first + (self.ports_per_worker - 1)
    }

    /// The worker at which all pieces of a datagram meet, wherever they have come in.
    pub fn meeting(&self, datagram: u64) -> u8 {
        u8::try_from(datagram % u64::from(self.workers)).unwrap_or(0)
    }

    /// Whose a port is; none for ports that nobody has.
    #[inline]
    pub fn worker(&self, port: u16) -> Option<u8> {
        let worker = port.checked_sub(*PORTS.start())? / self.ports_per_worker;
        // What is left over when ports are shared out evenly is nobody's.
        u8::try_from(worker).ok().filter(|_| worker < self.workers)
    }
}

/// IPv4 addresses by which the Internet knows clients. Every packet from there is asked about more than once, and where among
/// them it lies nobody can foresee, so that a search would go wrong at half of its steps.
#[derive(Clone, Debug)]
struct Held {
    /// In order.
    numbers: Vec<u32>,
    first: u32,
    /// A bit for each number from the first to the last; none when they lie too far apart.
    bits: Vec<u64>,
}

/// Words of bits at most: what one server has lies closer together than 65,536 addresses, or is few.
const HELD_WORDS_MAX: usize = 1024;

impl Held {
    /// Of these, in order.
    fn new(addresses: impl Iterator<Item = Ipv4Addr>) -> Self {
        let numbers: Vec<u32> = addresses.map(Ipv4Addr::to_bits).collect();
        let first = numbers.first().copied().unwrap_or_default();
        let words = numbers.last().map_or(0, |last| (last - first) as usize / 64 + 1);
        let mut bits = vec![0; if words <= HELD_WORDS_MAX { words } else { 0 }];
        for offset in numbers.iter().map(|number| number - first) {
            if let Some(word) = bits.get_mut(offset as usize / 64) {
                *word |= 1 << (offset % 64);
            }
        }
        Self { numbers, first, bits }
    }

    #[inline]
    fn has(&self, address: Ipv4Addr) -> bool {
        let number = address.to_bits();
        let offset = number.wrapping_sub(self.first);
        match self.bits.get(offset as usize / 64) {
            Some(word) => word >> (offset % 64) & 1 != 0,
            None => self.bits.is_empty() && self.numbers.binary_search(&number).is_ok(),
        }
    }
}

/// All by which the Internet knows clients.
fn outside(config: &NatConfig) -> Vec<IpNet> {
    let addresses = config.addresses.iter().map(|address| IpNet::from(IpAddr::from(*address)));
    let prefixes = config.prefixes.iter().map(|(_, outside)| outside);
    addresses.chain(config.untranslated.iter().chain(prefixes).copied().map(IpNet::V6)).collect()
}

/// Prefixes of clients, inside, that the Internet knows as others, outside.
#[derive(Clone, Copy, Debug)]
struct Pair {
    inside: OnLink,
    outside: OnLink,
    prefixes: Prefixes,
}

impl Pair {
    fn new(inside: Ipv6Net, outside: Ipv6Net) -> Option<Self> {
        let [own, other] = [inside, outside].map(|net| (net.addr(), net.prefix_len()));
        let prefixes = Prefixes::new(own, other).ok()?;
        let [inside, outside] = [inside, outside].map(|net| OnLink::from(&IpNet::V6(net)));
        Some(Self { inside, outside, prefixes })
    }
}

/// The port at which this server is the exit of other data centres.
#[derive(Clone, Debug)]
pub struct ConnectPort {
    /// Its number, on all addresses of all ports.
    pub port: u16,
    from: Vec<IpNet>,
}

impl ConnectPort {
    /// As it is configured.
    pub fn new(config: &ConnectConfig) -> Self {
        Self { port: config.port, from: config.from.clone() }
    }

    /// Whether who sends from there may ask.
    pub fn lets_in(&self, source: Address) -> bool {
        let source = IpAddr::from(source);
        self.from.iter().any(|net| net.contains(&source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_its_addresses_and_no_others_close_together_and_far_apart() {
        let [low, high] = [0xc000_0201_u32, 0xffff_fffe];
        for gaps in [vec![0], vec![0, 1, 63, 64, 65, 1000], vec![0, 1 << 16], vec![0, 5, 1 << 24]] {
            for first in [low, high - gaps[gaps.len() - 1]] {
                let numbers: Vec<u32> = gaps.iter().map(|gap| first + gap).collect();
                let held = Held::new(numbers.iter().copied().map(Ipv4Addr::from_bits));
                let near = numbers.iter().flat_map(|number| [number - 1, *number, number + 1]);
                for number in near.chain([0, 1, 63, 64, u32::MAX]) {
                    let wanted = numbers.contains(&number);
                    assert_eq!(held.has(number.into()), wanted, "{number:x} of {numbers:x?}");
                }
            }
        }
        assert!(!Held::new(std::iter::empty()).has(Ipv4Addr::UNSPECIFIED));
    }

    #[test]
    fn every_port_has_one_worker_and_every_worker_as_many_ports() {
        for workers in 1..=16 {
            let config = NatConfig {
                addresses: vec!["203.0.113.9".parse().unwrap(), "203.0.113.1".parse().unwrap()],
                client_address: None,
                flows: 1,
                flows_per_client: 1,
                untranslated: Vec::new(),
                prefixes: Vec::new(),
                setups: 1,
            };
            let nat = Nat::of_workers(&config, workers);
            let mut count = 0;
            for worker in 0..u8::try_from(workers).unwrap() {
                let ports = nat.ports(worker);
                count += ports.len();
                assert!(ports.clone().all(|port| nat.worker(port) == Some(worker)), "{workers}");
                assert_eq!(ports.len(), 64512 / workers);
            }
            assert!(count <= 64512 && count > 64512 - workers);
            assert_eq!(nat.worker(1023), None);
            let owned = (0..=u16::MAX).filter(|port| nat.worker(*port).is_some()).count();
            assert_eq!(owned, count);
            assert!(config.addresses.iter().all(|address| nat.holds((*address).into())));
            assert!(!nat.holds(Ipv4Addr::new(203, 0, 113, 2).into()));
            let overlaps = ["203.0.113.0/30", "203.0.113.9/32", "203.0.113.2/31", "::/0"]
                .map(|net| nat.overlaps(&net.parse().unwrap()));
            assert_eq!(overlaps, [true, true, false, false]);
        }
    }
}
