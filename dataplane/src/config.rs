//! The configuration file, read once at start into a checked [`Config`]; nothing later parses text.

mod check;
mod file;
mod key;
mod nat;
mod terminate;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use ipnet::{IpNet, Ipv6Net};
use wireguard::secret::Secret;

/// Everything the dataplane was told, checked as a whole.
#[derive(Debug)]
pub struct Config {
    /// The server's private key.
    pub private_key: Secret,
    /// The UDP port of WireGuard, on every port's addresses.
    pub listen_port: u16,
    /// The core of each worker.
    pub workers: Vec<usize>,
    /// How many handshake threads there are.
    pub handshake_threads: usize,
    /// Percent of a handshake thread's time from which on it is under load, and that strangers may have then.
    pub handshake_budget: u32,
    /// What an idle worker does.
    pub idle: Idle,
    /// Where packet memory comes from.
    pub memory: Memory,
    /// The network devices.
    pub ports: Vec<PortConfig>,
    /// The kernel's interface for inner packets.
    pub local: Option<LocalConfig>,
    /// The name by which control finds this dataplane.
    pub instance: String,
    /// Which server of a fleet this is.
    pub fleet: Option<FleetConfig>,
    /// How many peers there is room for.
    pub peers_max: u32,
    /// How many routes there is room for beside those to peers' own addresses.
    pub routes_max: u32,
    /// Buckets of a worker for limits of sources and destinations.
    pub buckets: u32,
    /// Flows to tenants that a worker follows.
    pub flows: u32,
    /// How clients reach the Internet.
    pub nat: Option<NatConfig>,
    /// How this server is the exit of other data centres.
    pub connect: Option<ConnectConfig>,
}

/// What a worker does when nothing comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Idle {
    /// Polls on: lowest latency, a core each.
    Busy,
    /// Polls with pauses that leave the core's other thread its share.
    Pause,
    /// Sleeps for tens of microseconds: for machines that do other work as well.
    Sleep,
}

/// Packet memory.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// In hugepages, or in ordinary pages.
    pub hugepages: bool,
    /// How much, in MiB; with hugepages none means as needed.
    pub megabytes: Option<u32>,
    /// Buffers of each worker's pool.
    pub buffers: u32,
}

/// One network device.
#[derive(Clone, Debug)]
pub struct PortConfig {
    /// Its name in logs.
    pub name: String,
    /// DPDK devargs or PCI address.
    pub device: String,
    /// Our addresses on it, each with its on-link prefix.
    pub addresses: Vec<IpNet>,
    /// Routers towards everything else, at most one per family.
    pub gateways: Vec<IpAddr>,
    /// The 802.1Q tag of our traffic.
    pub vlan: Option<u16>,
    /// Largest IP packet, octets.
    pub mtu: u16,
    /// Name of the kernel's interface for what the dataplane does not serve.
    pub kernel: Option<String>,
    /// Whether only our own kernel is on it, which terminates clients' connections.
    pub terminates: bool,
}

/// The kernel's interface for inner packets.
#[derive(Clone, Debug)]
pub struct LocalConfig {
    /// Its name.
    pub interface: String,
    /// Inner addresses and prefixes that are delivered to it.
    pub addresses: Vec<IpNet>,
}

/// What the servers of a fleet have in common, and what tells this one apart.
#[derive(Clone, Debug)]
pub struct FleetConfig {
    /// This server's number.
    pub server: u8,
    /// The fleet's key.
    pub key: Secret,
    /// Largest IP packet on the way between servers, octets.
    pub mtu: u16,
}

/// The translation of clients' IPv4.
#[derive(Clone, Debug)]
pub struct NatConfig {
    /// The addresses that the Internet sees: this server's alone, and nothing else's. Without any no IPv4 is translated.
    pub addresses: Vec<Ipv4Addr>,
    /// An inner address that every client may have, beside those of its own.
    pub client_address: Option<Ipv4Addr>,
    /// How many flows each worker has room for.
    pub flows: u32,
    /// How many of them one client may have.
    pub flows_per_client: u32,
    /// IPv6 prefixes of clients that the Internet knows as they are.
    pub untranslated: Vec<Ipv6Net>,
    /// IPv6 prefixes of clients, inside, and what the Internet knows in their stead, outside.
    pub prefixes: Vec<(Ipv6Net, Ipv6Net)>,
    /// How many connections each worker has room for that are being opened by CONNECT.
    pub setups: u32,
}

/// The exit of other data centres.
#[derive(Clone, Debug)]
pub struct ConnectConfig {
    /// The TCP port at which they ask, on all addresses of all ports.
    pub port: u16,
    /// Who may ask.
    pub from: Vec<IpNet>,
    /// Whether targets may lie in private networks.
    pub private_targets: bool,
    /// What all data centres have in common, to know each other by; without it the fleet's key is.
    pub key: Option<Secret>,
    /// Ports of targets that nobody may ask for.
    pub forbidden_ports: Vec<u16>,
}

/// What is wrong with a configuration, where, and what to do about it.
#[derive(Debug)]
pub struct Error {
    path: PathBuf,
    line: Option<usize>,
    what: String,
}

impl Error {
    fn new(path: &Path, line: Option<usize>, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path.display(), self.what),
            None => write!(f, "{}: {}", self.path.display(), self.what),
        }
    }
}

impl std::error::Error for Error {}

impl Config {
    /// Reads and checks a file. Key files are looked for beside it.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::new(
                path,
                None,
                format!("cannot be read ({error}); name a readable file with --config"),
            )
        })?;
        Self::parse(&text, path)
    }

    /// Checks a configuration text; `path` is named in errors, and key files are looked for beside it.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        check::checked(text, path)
    }

    /// The smallest MTU of all ports: what an outer packet to any client may have.
    pub fn mtu(&self) -> u16 {
        self.ports.iter().map(|port| port.mtu).min().unwrap_or(crate::limits::MTU_MIN)
    }
}

#[cfg(test)]
mod tests;
