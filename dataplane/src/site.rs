//! What this server is: its ports as the network sees them, its addresses, its workers. Read-only.

mod nat;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::config::Config;
use crate::frame::Endpoint;
use crate::limits::{FLEET_OVERHEAD, OVERHEAD};
use crate::neighbours::LinkAddress;
use crate::packet::Address;

pub use nat::{ConnectPort, Nat};

/// The router's link address on the interface for inner packets: locally administered, and the same on
/// every server, so that the kernel's neighbour entries survive a restart.
pub const ROUTER: LinkAddress = [0x02, 0x6d, 0x69, 0x6c, 0x6c, 0x01];

/// Source of ICMPv4 errors when `[local]` names no address (RFC 7600 4.8: the IPv4 dummy address).
const DUMMY: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 8);

/// One port as the network sees it.
#[derive(Clone, Debug)]
pub struct Face {
    /// Its link address.
    pub link: LinkAddress,
    /// The tag of our traffic.
    pub vlan: Option<u16>,
    /// Largest IP packet.
    pub mtu: usize,
    /// Our addresses with their on-link prefixes.
    pub addresses: Vec<IpNet>,
    /// Whether the kernel has a face of it.
    pub kernel: bool,
    /// Whether only our own kernel is there, which terminates clients' connections.
    pub terminates: bool,
    /// `addresses` as they are compared.
    own: Vec<Address>,
    /// Clients' addresses on this link, for which the server answers.
    clients: Vec<Address>,
    /// By which all hosts of the link are named.
    broadcasts: Vec<Address>,
    on_link: Vec<OnLink>,
    /// Routers towards everything else.
    gateway4: Option<Address>,
    gateway6: Option<Address>,
}

/// A prefix whose hosts are reached without a router.
#[derive(Clone, Copy, Debug)]
struct OnLink {
    mask: Address,
    network: Address,
}

impl From<&IpNet> for OnLink {
    fn from(net: &IpNet) -> Self {
        let len = net.prefix_len() + if net.addr().is_ipv4() { 96 } else { 0 };
        let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0).into();
        Self { mask, network: Address::from(net.addr()).masked(mask) }
    }
}

impl Face {
    /// A port with its addresses and the routers on its link, of which the first of each family is used.
    pub fn new(
        link: LinkAddress,
        vlan: Option<u16>,
        mtu: usize,
        (addresses, gateways): (&[IpNet], &[IpAddr]),
        kernel: bool,
    ) -> Self {
        let gateways = || gateways.iter().copied().map(Address::from);
        Self {
            link,
            vlan,
            mtu,
            addresses: addresses.to_vec(),
            kernel,
            terminates: false,
            own: addresses.iter().map(|net| net.addr().into()).collect(),
            clients: Vec::new(),
            broadcasts: broadcasts(addresses),
            on_link: addresses.iter().map(OnLink::from).collect(),
            gateway4: gateways().find(|gateway| gateway.is_v4()),
            gateway6: gateways().find(|gateway| !gateway.is_v4()),
        }
    }

    /// Who on this link takes a packet to `address`: the host itself or a gateway of its family.
    #[inline]
    pub fn next_hop(&self, address: Address) -> Option<Address> {
        if self.is_on_link(address) { Some(address) } else { self.gateway(address) }
    }

    /// The gateway towards everything else of an address's family.
    #[inline]
    const fn gateway(&self, address: Address) -> Option<Address> {
        if address.is_v4() { self.gateway4 } else { self.gateway6 }
    }

    /// Whether an address is on this port's link.
    #[inline]
    pub fn is_on_link(&self, address: Address) -> bool {
        let holds = |net: &OnLink| address.masked(net.mask) == net.network;
        address.is_link_local() || self.on_link.iter().any(holds)
    }

    /// Our address from which a packet to `address` leaves: on its link if we have one there.
    pub fn source_for(&self, address: Address) -> Option<IpAddr> {
        let address = IpAddr::from(address);
        let family =
            || self.addresses.iter().filter(|net| net.addr().is_ipv4() == address.is_ipv4());
        family().find(|net| net.contains(&address)).or_else(|| family().next()).map(IpNet::addr)
    }

    /// One of our addresses by which the kernel at the other end knows a client, for a connection to this address of its.
    pub fn end_at(&self, kernels: Address, random: u64) -> Option<IpAddr> {
        let family = || self.addresses.iter().filter(|net| net.addr().is_ipv4() == kernels.is_v4());
        let count = family().count() as u64;
        let chosen = usize::try_from(random.checked_rem(count)?).ok()?;
        family().nth(chosen).map(IpNet::addr)
    }

    /// Whether the station of an address on this link is this server: one of its own, or one of its clients.
    pub fn stands_for(&self, address: Address) -> bool {
        self.owns(address) || self.clients.contains(&address)
    }

    /// Whether an address is this port's own.
    #[inline]
    pub fn owns(&self, address: Address) -> bool {
        self.own.contains(&address)
    }

    /// Whether an address names all hosts of the link.
    #[inline]
    pub fn is_broadcast(&self, address: Address) -> bool {
        self.broadcasts.contains(&address)
    }
}

/// The limited broadcast and those of the prefixes (RFC 919 7).
fn broadcasts(addresses: &[IpNet]) -> Vec<Address> {
    let directed = addresses.iter().filter(|net| net.addr().is_ipv4()).map(IpNet::broadcast);
    directed.chain([Ipv4Addr::BROADCAST.into()]).map(Address::from).collect()
}

/// The kernel's interface for inner packets.
#[derive(Clone, Debug)]
pub struct Local {
    /// The kernel's link address on it.
    pub kernel: LinkAddress,
    /// Inner addresses and prefixes behind it.
    pub addresses: Vec<IpNet>,
}

/// The server.
#[derive(Clone, Debug)]
pub struct Site {
    /// Its ports, by number.
    pub faces: Vec<Face>,
    /// Where inner packets reach the kernel.
    pub local: Option<Local>,
    /// The UDP port of WireGuard.
    pub listen_port: u16,
    /// How many workers there are.
    pub workers: usize,
    /// Largest inner packet that fits every path to a client.
    pub inner_mtu: usize,
    /// Source of inner ICMPv4 errors.
    pub router4: Ipv4Addr,
    /// Source of inner ICMPv6 errors.
    pub router6: Ipv6Addr,
    /// Clients' IPv4 as the Internet sees it.
    pub nat: Option<Nat>,
    /// Where other data centres ask for connections.
    pub connect: Option<ConnectPort>,
    /// The addresses of all ports.
    own: Vec<Address>,
}

impl Site {
    /// The server that a configuration describes, with the link addresses that its devices have.
    pub fn new(config: &Config, links: &[LinkAddress], kernel: Option<LinkAddress>) -> Self {
        let nat = config.nat.as_ref().map(|nat| Nat::new(nat, config));
        let clients = nat.iter().flat_map(Nat::addresses).copied();
        let mut faces: Vec<Face> = config
            .ports
            .iter()
            .zip(links)
            .map(|(port, link)| {
                let network = (port.addresses.as_slice(), port.gateways.as_slice());
                // The kernel has the device's own address.
                let link = if port.terminates { ROUTER } else { *link };
                let face =
                    Face::new(link, port.vlan, port.mtu.into(), network, port.kernel.is_some());
                Face { terminates: port.terminates, ..face }
            })
            .collect();
        for face in &mut faces {
            face.clients = clients.clone().filter(|address| face.is_on_link(*address)).collect();
        }
        let inner: Vec<IpNet> =
            config.local.iter().flat_map(|local| local.addresses.clone()).collect();
        let outer = || faces.iter().flat_map(|face| face.addresses.iter());
        let router6 = inner.iter().chain(outer()).find_map(|net| match net {
            IpNet::V6(net) => Some(net.addr()),
            IpNet::V4(_) => None,
        });
        let router4 = inner.iter().find_map(|net| match net {
            IpNet::V4(net) => Some(net.addr()),
            IpNet::V6(_) => None,
        });
        Self {
            local: config
                .local
                .as_ref()
                .zip(kernel)
                .map(|(local, kernel)| Local { kernel, addresses: local.addresses.clone() }),
            listen_port: config.listen_port,
            workers: config.workers.len(),
            inner_mtu: inner_mtu(config),
            router4: router4.unwrap_or(DUMMY),
            router6: router6.unwrap_or(Ipv6Addr::UNSPECIFIED),
            own: faces.iter().flat_map(|face| face.own.iter().copied()).collect(),
            faces,
            nat,
            connect: config.connect.as_ref().map(ConnectPort::new),
        }
    }

    /// A port by number.
    #[inline]
    pub fn face(&self, port: u8) -> Option<&Face> {
        self.faces.get(usize::from(port))
    }

    /// Whether the Internet knows clients by this address.
    #[inline]
    pub fn is_clients(&self, address: Address) -> bool {
        self.nat.as_ref().is_some_and(|nat| nat.holds(address))
    }

    /// Whether this machine's kernel, which terminates their connections, knows clients by this address.
    #[inline]
    pub fn terminates_at(&self, address: Address) -> bool {
        self.nat.as_ref().is_some_and(|nat| nat.terminates_at(address))
    }

    /// Whether an outer address is ours, on whichever port it stands.
    #[inline]
    pub fn owns(&self, address: Address) -> bool {
        self.own.contains(&address)
    }

    /// The port that has an address of ours; where several do, the first.
    pub fn port_of(&self, address: Address) -> Option<u8> {
        (0_u8..).zip(&self.faces).find(|(_, face)| face.owns(address)).map(|(port, _)| port)
    }

    /// The port by which an address is reached: the one on whose link it lies, else one with a gateway.
    #[inline]
    pub fn way_to(&self, address: Address) -> Option<(u8, &Face)> {
        let mut beyond = None;
        for (port, face) in (0_u8..).zip(&self.faces) {
            if face.is_on_link(address) {
                return Some((port, face));
            }
            if beyond.is_none() && face.gateway(address).is_some() {
                beyond = Some((port, face));
            }
        }
        beyond
    }

    /// The path to a configured endpoint: the port on whose link it lies, else one with a gateway.
    pub fn path_to(&self, remote: std::net::SocketAddr) -> Option<Endpoint> {
        let address = remote.ip().into();
        let (port, face) = self.way_to(address)?;
        Some(Endpoint::new(remote, face.source_for(address)?, port))
    }
}

/// An inner packet must fit the way to its client, and sealed as well as open the way from any server to another.
fn inner_mtu(config: &Config) -> usize {
    let port = usize::from(config.mtu());
    let sealed = match &config.fleet {
        None => port,
        Some(fleet) => port.min(usize::from(fleet.mtu) - FLEET_OVERHEAD),
    };
    sealed - OVERHEAD
}

/// The worker that owns a peer.
#[inline]
pub fn owner(number: u32, workers: usize) -> usize {
    number as usize % workers.max(1)
}

/// A peer's number on its own worker.
#[inline]
pub fn local_number(number: u32, workers: usize) -> u32 {
    number / u32::try_from(workers.max(1)).unwrap_or(1)
}

/// The handshake thread that keeps a peer. By the number on the worker, so that the peers of each worker
/// use all threads, and with them all of the worker's session slots, whatever the two counts are.
#[inline]
pub fn keeper_thread(number: u32, workers: usize, threads: usize) -> usize {
    local_number(number, workers) as usize % threads.max(1)
}

/// A peer's number in the configuration, from its number on a worker.
#[inline]
pub fn global_number(local: u32, worker: usize, workers: usize) -> u32 {
    local * u32::try_from(workers.max(1)).unwrap_or(1) + u32::try_from(worker).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_has_one_owner_and_one_number_there() {
        for workers in 1..=16 {
            for number in 0..100 {
                let worker = owner(number, workers);
                let local = local_number(number, workers);
                assert_eq!(global_number(local, worker, workers), number);
            }
        }
    }

    #[test]
    fn the_peers_of_every_worker_use_every_thread_evenly() {
        for (workers, threads) in [(1, 1), (2, 2), (4, 4), (4, 2), (16, 16), (3, 5)] {
            let mut counts = vec![0; workers * threads];
            for number in 0..u32::try_from(workers * threads * 10).unwrap() {
                let thread = keeper_thread(number, workers, threads);
                counts[owner(number, workers) * threads + thread] += 1;
            }
            assert!(counts.iter().all(|count| *count == 10), "{workers} workers: {counts:?}");
        }
    }

    #[test]
    fn an_endpoint_is_reached_on_its_link_else_by_a_gateway() {
        let face = |address: &str, gateways: &[&str]| {
            let addresses = [address.parse().unwrap()];
            let gateways: Vec<_> =
                gateways.iter().map(|gateway| gateway.parse().unwrap()).collect();
            Face::new([2, 0, 0, 0, 0, 1], None, 1500, (&addresses, &gateways), false)
        };
        let site = Site {
            faces: vec![face("192.0.2.1/24", &["192.0.2.254"]), face("198.51.100.1/24", &[])],
            local: None,
            listen_port: 51820,
            workers: 1,
            inner_mtu: 1420,
            router4: DUMMY,
            router6: Ipv6Addr::UNSPECIFIED,
            nat: None,
            connect: None,
            own: Vec::new(),
        };
        let path = |text: &str| site.path_to(text.parse().unwrap()).map(|path| path.port);
        assert_eq!(path("198.51.100.9:1"), Some(1));
        assert_eq!(path("203.0.113.9:1"), Some(0));
        assert_eq!(path("[2001:db8::1]:1"), None);
        let address = |text: &str| text.parse::<IpAddr>().unwrap().into();
        let next_hop = site.faces[0].next_hop(address("203.0.113.9"));
        assert_eq!(next_hop, Some(address("192.0.2.254")));
    }
}
