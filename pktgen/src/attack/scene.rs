//! What an attacker knows: the way to the server, its key, and what he has captured or been given.

use std::cell::Cell;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use wire::ethernet::Mac;
use wireguard::index::Permutation;
use wireguard::message::{self, Kind};
use wireguard::secret::Secret;

use crate::packet;

/// The last link before the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The server's station.
    pub server: Mac,
    /// The station that the frames come from: a router, usually.
    pub station: Mac,
    /// The tag that the server expects.
    pub vlan: Option<u16>,
}

/// Everything that attacks are made of. Only the link and one target are needed by all; an attack that lacks
/// something says so when it is built.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The last link before the server.
    pub link: Link,
    /// The server's outer IPv4 address.
    pub target_v4: Option<Ipv4Addr>,
    /// The server's outer IPv6 address; the /64 around it is taken for its link.
    pub target_v6: Option<Ipv6Addr>,
    /// A tenant's IPv4 prefix behind the server, and its length.
    pub tenant_v4: Option<(Ipv4Addr, u8)>,
    /// The same of IPv6.
    pub tenant_v6: Option<(Ipv6Addr, u8)>,
    /// The server's UDP port.
    pub listen_port: u16,
    /// The server's public key, which every client of it knows.
    pub server_public: [u8; 32],
    /// The attacker's own IPv4 address, where answers reach him.
    pub own_v4: Ipv4Addr,
    /// The attacker's own IPv6 address.
    pub own_v6: Ipv6Addr,
    /// The attacker's own UDP port.
    pub own_port: u16,
    /// The prefix that spoofed IPv4 sources and foreign destinations are drawn from, and its length. None of
    /// the server's addresses lies in it.
    pub spoofed_v4: (Ipv4Addr, u8),
    /// The same for IPv6.
    pub spoofed_v6: (Ipv6Addr, u8),
    /// What he has seen on the wire.
    pub captured: Captured,
    /// A session of a registered client, for attacks from within.
    pub client: Option<Client>,
    /// How the server makes receiver indices. No outsider knows it; with it, attacks on indices hit exactly.
    pub fleet: Option<Fleet>,
    /// The same seed gives the same frames.
    pub seed: u64,
}

impl Scene {
    /// A scene without targets, with the addresses set aside for benchmarks (RFC 2544 C.2.2, RFC 5180 8).
    pub const fn new(link: Link, server_public: [u8; 32], listen_port: u16, seed: u64) -> Self {
        Self {
            link,
            target_v4: None,
            target_v6: None,
            tenant_v4: None,
            tenant_v6: None,
            listen_port,
            server_public,
            own_v4: Ipv4Addr::new(198, 18, 0, 1),
            own_v6: Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 1),
            own_port: 40_000,
            spoofed_v4: (Ipv4Addr::new(198, 18, 0, 0), 15),
            spoofed_v6: (Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0), 48),
            captured: Captured { datagrams: Vec::new(), initiation: None, dead_index: None },
            client: None,
            fleet: None,
            seed,
        }
    }
}

impl Scene {
    /// The same before a server with these endpoints.
    pub fn before(link: Link, public: [u8; 32], servers: &[SocketAddr], seed: u64) -> Self {
        let port = servers.first().map_or(0, SocketAddr::port);
        let mut scene = Self::new(link, public, port, seed);
        for server in servers {
            match server {
                SocketAddr::V4(server) => scene.target_v4 = Some(*server.ip()),
                SocketAddr::V6(server) => scene.target_v6 = Some(*server.ip()),
            }
        }
        scene
    }
}

/// Data messages that are kept for attacks that replay.
const DATAGRAMS_MAX: usize = 64;

/// Messages seen on the wire, from their first octet on.
#[derive(Clone, Debug, Default)]
pub struct Captured {
    /// Data messages of a live session that the server has taken.
    pub datagrams: Vec<Vec<u8>>,
    /// An initiation of a registered client that the server has taken.
    pub initiation: Option<Vec<u8>>,
    /// A receiver index that this server once gave out and that has ended.
    pub dead_index: Option<u32>,
}

impl Captured {
    /// Keeps what a frame carries, if it is one of the first messages of a kind that attacks replay.
    pub fn keep(&mut self, frame: &[u8]) {
        if self.datagrams.len() >= DATAGRAMS_MAX && self.initiation.is_some() {
            return;
        }
        let Some(located) = packet::in_frame(frame) else { return };
        match message::kind(located.payload) {
            Ok(Kind::Data) if self.datagrams.len() < DATAGRAMS_MAX => {
                self.datagrams.push(located.payload.to_vec());
            }
            Ok(Kind::Initiation) if self.initiation.is_none() => {
                self.initiation = Some(located.payload.to_vec());
            }
            Ok(Kind::Data | Kind::Initiation | Kind::Response | Kind::CookieReply) | Err(_) => {}
        }
    }
}

/// A registered client that turns hostile, with a live session.
#[derive(Clone)]
pub struct Client {
    /// Its static private key.
    pub secret: Secret,
    /// Its preshared key; zeros for none.
    pub preshared: Secret,
    /// The server's index of the session.
    pub index: u32,
    /// The session's key towards the server.
    pub key: Secret,
    /// The counters that it has not used yet.
    pub counters: Counters,
    /// Where it sends from.
    pub outer: SocketAddr,
    /// Largest outer packet of its path, octets.
    pub mtu: u16,
    /// Unix time that its next initiation may bear; each further one is about 17 ms later.
    pub unix: Duration,
    /// Its inner address.
    pub inner: Ipv4Addr,
    /// An inner address of the server's kernel.
    pub local: Option<Ipv4Addr>,
    /// The inner address of a peer without an endpoint, which has never called.
    pub silent: Option<Ipv4Addr>,
    /// The inner address of a peer with an endpoint where nobody answers.
    pub absent: Option<Ipv4Addr>,
    /// An inner destination without a route.
    pub unrouted: Ipv4Addr,
}

/// Counters of one session, each for one message, whichever of several attacks sends it: a server takes a second one of
/// the same counter for a replay.
#[derive(Clone, Debug)]
pub struct Counters(Rc<Cell<u64>>);

impl Counters {
    /// From this one on.
    pub fn from(first: u64) -> Self {
        Self(Rc::new(Cell::new(first)))
    }

    /// The next one, which is used now.
    #[inline]
    pub(super) fn take(&self) -> u64 {
        self.0.replace(self.0.get().wrapping_add(1))
    }

    /// The next one.
    pub(super) fn peek(&self) -> u64 {
        self.0.get()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("index", &self.index)
            .field("outer", &self.outer)
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

/// How a server makes receiver indices.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// The keyed permutation.
    pub permutation: Permutation,
    /// The server's number.
    pub server: u16,
    /// How many workers it has.
    pub workers: u16,
}

impl Fleet {
    /// Whether the permutation can name this server, its workers, and slots that nobody has.
    pub(super) fn is_sound(&self) -> bool {
        let layout = self.permutation.layout();
        u32::from(self.server) < layout.server_count()
            && (1..=layout.worker_count()).contains(&self.workers.into())
            && layout.slot_count() >= 2
    }
}

/// What a scene lacks for an attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// `target_v4` or `target_v6`.
    Target,
    /// `target_v4`.
    TargetV4,
    /// `target_v6`.
    TargetV6,
    /// `tenant_v4` or `tenant_v6`.
    Tenant,
    /// Messages that fit a frame.
    Short,
    /// `captured.datagrams`.
    Datagrams,
    /// `captured.initiation`.
    Initiation,
    /// `captured.datagrams` or `captured.initiation`.
    Capture,
    /// `captured.dead_index` or `fleet`.
    DeadIndex,
    /// `fleet`, with a server and workers that the permutation can name.
    Fleet,
    /// Index bits for more servers or workers than there are.
    SpareIndices,
    /// `client`.
    Client,
    /// A client that is not the server's own key.
    Key,
    /// `client.outer` and `target_v4` of IPv4, whose headers leave room for 20 octets more.
    OuterV4,
    /// `client.local`.
    Local,
    /// `client.silent`.
    Silent,
    /// `client.absent`.
    Absent,
}

impl Need {
    /// Whether clients that shake hands and send bring it about; all else the profile has to say.
    pub const fn follows_from_the_run(self) -> bool {
        match self {
            Self::Datagrams
            | Self::Initiation
            | Self::Capture
            | Self::DeadIndex
            | Self::Client
            | Self::OuterV4 => true,
            Self::Target
            | Self::TargetV4
            | Self::TargetV6
            | Self::Tenant
            | Self::Short
            | Self::Fleet
            | Self::SpareIndices
            | Self::Key
            | Self::Local
            | Self::Silent
            | Self::Absent => false,
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Target => "an address of the server",
            Self::TargetV4 => "the server's IPv4 address",
            Self::TargetV6 => "the server's IPv6 address",
            Self::Tenant => "a tenant's prefix, as server.tenants",
            Self::Short => "messages that fit a frame of 1500 octets",
            Self::Datagrams => "captured data messages",
            Self::Initiation => "a captured initiation",
            Self::Capture => "captured data messages or a captured initiation",
            Self::DeadIndex => "an index of an ended session, or the fleet's permutation",
            Self::Fleet => "the fleet's permutation of indices",
            Self::SpareIndices => "a permutation with room for other servers and workers",
            Self::Client => "a client's live session",
            Self::Key => {
                "the server's key, as server.public_key or --server KEY: the one given is nobody's"
            }
            Self::OuterV4 => "a client's live session over IPv4",
            Self::Local => "an inner address of the server's kernel",
            Self::Silent => "the inner address of a peer that has never called",
            Self::Absent => "the inner address of a peer whose endpoint does not answer",
        })
    }
}
