//! The site that tests share: addresses of a server, its gateway, its clients, and the configuration of it.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use shm::message::{self, PublicKey};
use wireguard::message::ClientId;
use wireguard::noise;
use wireguard::secret::Secret;

use crate::neighbours::LinkAddress;

/// The server's outer addresses.
pub const SERVER_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The same in IPv6.
pub const SERVER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
/// The address by which the Internet knows the server's clients.
pub const OUTSIDE_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);
/// The prefix of 48 bits under which the Internet knows clients' inner IPv6 addresses.
pub const OUTSIDE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xd, 0, 0, 0, 0, 0);
/// The prefix of 48 bits of clients' addresses that the Internet knows as they are.
pub const UNTRANSLATED: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xe, 0, 0, 0, 0, 0);
/// The TCP port at which other data centres ask for connections.
pub const CONNECT_PORT: u16 = 4443;
/// What all data centres have in common.
pub const CENTRES_KEY: [u8; 32] = [0xce; 32];
/// A machine of another data centre.
pub const CENTRE_V4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
/// The inner address that every client may have.
pub const EVERY_CLIENTS: Ipv4Addr = Ipv4Addr::new(172, 16, 0, 2);
/// The router of the server's link.
pub const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);
/// The same in IPv6.
pub const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xfe);
/// The router's link address.
pub const GATEWAY: LinkAddress = [2, 0, 0, 0, 0, 0xfe];
/// The server's UDP port.
pub const LISTEN_PORT: u16 = 51820;
/// The server's inner addresses, which its kernel has.
pub const LOCAL_V4: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 1);
/// The same in IPv6.
pub const LOCAL_V6: Ipv6Addr = Ipv6Addr::new(0xfd07, 0, 0, 0, 0, 0, 0, 1);
/// An address behind the server's kernel.
pub const BEHIND_V4: Ipv4Addr = Ipv4Addr::new(10, 8, 0, 9);
/// The same in IPv6.
pub const BEHIND_V6: Ipv6Addr = Ipv6Addr::new(0xfd08, 0, 0, 0, 0, 0, 0, 9);
/// The octets of the server's private key.
pub const SERVER_SECRET: [u8; 32] = [0x5e; 32];

/// The link address of the server's port `port`.
pub const fn port_link(port: u8) -> LinkAddress {
    [2, 0, 0, 0, 1, port]
}

/// The link address of the kernel's interface for inner packets.
pub const KERNEL: LinkAddress = [2, 0, 0, 0, 2, 0];

/// The server's public key.
pub fn server_public() -> [u8; 32] {
    noise::public(&Secret::new(SERVER_SECRET))
}

/// The private key of client number `number`.
pub fn secret(number: u32) -> Secret {
    let mut octets = [0xc1; 32];
    if let Some(place) = octets.first_chunk_mut() {
        *place = number.to_be_bytes();
    }
    Secret::new(octets)
}

/// The inner IPv4 address of client number `number`.
pub fn inner_v4(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 7, 1, 1).to_bits() + number)
}

/// The inner IPv6 address of client number `number`.
pub fn inner_v6(number: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(Ipv6Addr::new(0xfd07, 0, 0, 1, 0, 0, 0, 1).to_bits() + u128::from(number))
}

/// The inner address of client number `number` in the family of `like`.
pub fn inner(number: u32, like: IpAddr) -> IpAddr {
    if like.is_ipv4() { inner_v4(number).into() } else { inner_v6(number).into() }
}

/// The outer address from which client number `number` calls first: beyond the gateway.
pub fn outer_v4(number: u32) -> SocketAddr {
    (Ipv4Addr::from_bits(Ipv4Addr::new(198, 51, 100, 10).to_bits() + number), 40_000).into()
}

/// The same in IPv6.
pub fn outer_v6(number: u32) -> SocketAddr {
    let base = Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 0x10).to_bits();
    (Ipv6Addr::from_bits(base + u128::from(number)), 40_000).into()
}

/// The server's outer address and port in the family of `like`.
pub fn server(like: IpAddr) -> SocketAddr {
    if like.is_ipv4() { (SERVER_V4, LISTEN_PORT).into() } else { (SERVER_V6, LISTEN_PORT).into() }
}

/// What of a peer's configuration differs between tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peer {
    /// Where the server reaches it before it has spoken.
    pub endpoint: Option<SocketAddr>,
    /// Seconds between unasked keepalives of the server; zero for none.
    pub persistent_keepalive: u16,
    /// The id that the server uses before the client has shown one.
    pub client_id: [u8; 3],
}

/// A configuration for [`super::server::Server`].
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many workers.
    pub workers: usize,
    /// How many handshake threads.
    pub handshake_threads: usize,
    /// The tag of the port's traffic.
    pub vlan: Option<u16>,
    /// Whether the kernel has a face of the port.
    pub kernel: bool,
    /// Routers of the port's link.
    pub gateways: Vec<IpAddr>,
    /// The peers, by number.
    pub peers: Vec<Peer>,
    /// Room for peers; for those above and no more without it.
    pub peers_max: Option<u32>,
    /// Room for routes; as much as usual without it.
    pub routes_max: Option<u32>,
    /// The server's number in the fleet of [`super::fleet`], if it is of it.
    pub fleet: Option<u8>,
    /// How clients' IPv4 is translated, if it is.
    pub nat: Option<Nat>,
    /// Whether their IPv6 reaches the Internet: that in [`UNTRANSLATED`], and that in `fd07::/48` under [`OUTSIDE_V6`].
    pub nat_v6: bool,
}

/// Translation in a [`Plan`].
#[derive(Clone, Copy, Debug)]
pub struct Nat {
    /// Room for flows at each worker.
    pub flows: u32,
    /// How many one client may have.
    pub flows_per_client: u32,
    /// Room for connections that are being opened.
    pub setups: u32,
}

impl Plan {
    /// One worker, one handshake thread, a kernel's face, gateways of both families, and so many peers that
    /// call by themselves.
    pub fn new(peers: usize) -> Self {
        let peers = vec![Peer::default(); peers];
        let gateways = vec![GATEWAY_V4.into(), GATEWAY_V6.into()];
        Self {
            workers: 1,
            handshake_threads: 1,
            vlan: None,
            kernel: true,
            gateways,
            peers,
            peers_max: None,
            routes_max: None,
            fleet: None,
            nat: None,
            nat_v6: false,
        }
    }

    /// The configuration file.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let workers: Vec<_> = (0..self.workers).collect();
        writeln!(text, "private_key = \"{}\"", STANDARD.encode(SERVER_SECRET))?;
        writeln!(text, "listen_port = {LISTEN_PORT}\nworkers = {workers:?}")?;
        writeln!(text, "handshake_threads = {}", self.handshake_threads)?;
        // Small, so that many servers fit into one test.
        writeln!(text, "capacity.buckets = 4096\ncapacity.flows = 4096")?;
        if let Some(peers) = self.peers_max {
            writeln!(text, "capacity.peers = {peers}")?;
        }
        if let Some(routes) = self.routes_max {
            writeln!(text, "capacity.routes = {routes}")?;
        }
        if let Some(server) = self.fleet {
            let key = STANDARD.encode(super::fleet::KEY);
            writeln!(text, "[fleet]\nserver = {server}\nkey = \"{key}\"")?;
        }
        if let Some(Nat { flows, flows_per_client, setups }) = self.nat {
            writeln!(text, "[nat]\naddresses = [\"{OUTSIDE_V4}\"]")?;
            writeln!(text, "client_address = \"{EVERY_CLIENTS}\"")?;
            writeln!(text, "flows = {flows}\nflows_per_client = {flows_per_client}")?;
            writeln!(text, "setups = {setups}")?;
        }
        if self.nat.is_none() && self.nat_v6 {
            writeln!(text, "[nat]")?;
        }
        if self.nat_v6 {
            let prefixes = format!("{{ inside = \"fd07::/48\", outside = \"{OUTSIDE_V6}/48\" }}");
            writeln!(text, "untranslated = [\"{UNTRANSLATED}/48\"]")?;
            writeln!(text, "prefixes = [{prefixes}]")?;
        }
        if self.nat.is_some() {
            writeln!(text, "[connect]\nport = {CONNECT_PORT}\nfrom = [\"{CENTRE_V4}/32\"]")?;
            writeln!(text, "key = \"{}\"", STANDARD.encode(CENTRES_KEY))?;
        }
        writeln!(text, "[[port]]\nname = \"wan\"\ndevice = \"memory0\"")?;
        writeln!(text, "addresses = [\"{SERVER_V4}/24\", \"{SERVER_V6}/64\"]")?;
        let gateways: Vec<_> = self.gateways.iter().map(ToString::to_string).collect();
        writeln!(text, "gateways = {gateways:?}")?;
        if let Some(vlan) = self.vlan {
            writeln!(text, "vlan = {vlan}")?;
        }
        if self.kernel {
            writeln!(text, "kernel = \"wan0\"")?;
        }
        writeln!(text, "[local]\ninterface = \"inner0\"")?;
        writeln!(
            text,
            "addresses = [\"{LOCAL_V4}/32\", \"10.8.0.0/24\", \"{LOCAL_V6}/128\", \"fd08::/64\"]"
        )?;
        (0..).zip(&self.peers).try_for_each(|(number, peer)| peer.write(number, text))
    }
}

/// What control would tell of client number `number`.
pub fn peer(number: u32) -> message::Peer {
    message::Peer {
        public_key: PublicKey(noise::public(&secret(number))),
        preshared_key: Secret::zero(),
        client_id: ClientId::ZERO,
        endpoint: None,
        persistent_keepalive: None,
        allowed_ips: vec![
            IpAddr::from(inner_v4(number)).into(),
            IpAddr::from(inner_v6(number)).into(),
        ],
    }
}

impl Peer {
    fn write(&self, number: u32, text: &mut String) -> std::fmt::Result {
        let public = noise::public(&secret(number));
        writeln!(text, "[[peer]]\nname = \"client {number}\"")?;
        writeln!(text, "public_key = \"{}\"", STANDARD.encode(public))?;
        writeln!(
            text,
            "allowed_ips = [\"{}/32\", \"{}/128\"]",
            inner_v4(number),
            inner_v6(number)
        )?;
        if let Some(endpoint) = self.endpoint {
            writeln!(text, "endpoint = \"{endpoint}\"")?;
        }
        if self.persistent_keepalive != 0 {
            writeln!(text, "persistent_keepalive = {}", self.persistent_keepalive)?;
        }
        if self.client_id != [0; 3] {
            writeln!(text, "client_id = \"{}\"", STANDARD.encode(self.client_id))?;
        }
        Ok(())
    }
}
