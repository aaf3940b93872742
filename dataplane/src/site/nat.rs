//! The addresses by which the Internet knows clients, and which worker has which of their ports.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

use flows::nptv6::Prefixes;
use ipnet::{IpNet, Ipv6Net};

use crate::config::{ConnectConfig, NatConfig};
use crate::packet::Address;

use super::OnLink;

/// The ports that are given to flows: all but the well-known ones (RFC 4787 4.2.1, RFC 6335 6).
const PORTS: RangeInclusive<u16> = 1024..=u16::MAX;

/// Clients as the Internet sees them.
#[derive(Clone, Debug)]
pub struct Nat {
    addresses: Vec<Address>,
    /// The same as numbers, which are compared at once.
    numbers: Vec<u32>,
    untranslated: Vec<OnLink>,
    pairs: Vec<Pair>,
    client_address: Option<Address>,
    workers: u16,
    ports_per_worker: u16,
}

impl Nat {
    /// For a server of so many workers.
    pub fn new(config: &NatConfig, workers: usize) -> Self {
        let mut addresses: Vec<Address> =
            config.addresses.iter().copied().map(Address::from).collect();
        addresses.sort_unstable_by_key(|address| address.bits());
        let v4 = addresses.iter().filter_map(|address| address.v4());
        let numbers = v4.map(Ipv4Addr::to_bits).collect();
        let workers = u16::try_from(workers.max(1)).unwrap_or(u16::MAX);
        let ports_per_worker = (PORTS.end() - PORTS.start() + 1) / workers;
        let client_address = config.client_address.map(Address::from);
        let untranslated = config.untranslated.iter().map(|net| OnLink::from(&IpNet::V6(*net)));
        // Which do not fit each other was refused with the configuration.
        let pairs =
            config.prefixes.iter().filter_map(|(inside, outside)| Pair::new(*inside, *outside));
        Self {
            addresses,
            numbers,
            untranslated: untranslated.collect(),
            pairs: pairs.collect(),
            client_address,
            workers,
            ports_per_worker,
        }
    }

    /// The addresses, in order.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Whether the Internet knows a client by this address.
    #[inline]
    pub fn holds(&self, address: Address) -> bool {
        match address.v4() {
            Some(address) => self.holds_v4(address.to_bits()),
            None => self.is_untranslated(address) || self.inward(address).is_some(),
        }
    }

    /// Most of what is asked about lies beyond all of them, and of the rest nobody can foresee where it lies.
    #[inline]
    fn holds_v4(&self, number: u32) -> bool {
        let (first, last) = (self.numbers.first(), self.numbers.last());
        let is_among =
            first.is_some_and(|first| *first <= number) && last.is_some_and(|last| number <= *last);
        is_among && self.numbers.binary_search(&number).is_ok()
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
            let nat = Nat::new(&config, workers);
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
            assert!(!nat.holds(std::net::Ipv4Addr::new(203, 0, 113, 2).into()));
        }
    }
}
