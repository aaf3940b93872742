//! Tunnels: over which a tenant's packets reach its routers.

use std::net::IpAddr;
use std::sync::Arc;

pub use shm::message::{DontFragment, Probe, ProbeStyle, TunnelState};

use shm::message;

use crate::model::Origin;

/// Octets of a tunnel's name.
pub const TUNNEL_NAME_LEN_MAX: usize = 32;

/// Words that files and commands write for values.
pub const DONT_FRAGMENT: [(&str, DontFragment); 2] =
    [("honour", DontFragment::Honour), ("clear", DontFragment::Clear)];

/// See [`DONT_FRAGMENT`].
pub const PROBE_STYLES: [(&str, ProbeStyle); 2] =
    [("request", ProbeStyle::Request), ("reply", ProbeStyle::Reply)];

/// How a tunnel is probed where inside addresses are all that is said.
pub const PROBE_STYLE: ProbeStyle = ProbeStyle::Request;

/// Milliseconds between two probes where it is not said: a tunnel that ends is left within 3 s.
pub const PROBE_INTERVAL_MS: u64 = 1000;

/// How tunnels stand, in words.
pub const TUNNEL_STATES: [(&str, TunnelState); 4] = [
    ("unprobed", TunnelState::Unprobed),
    ("up", TunnelState::Up),
    ("degraded", TunnelState::Degraded),
    ("down", TunnelState::Down),
];

/// A GRE tunnel of a tenant: as it is asked for, and as the book has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// What people call it; unique among those of all tenants.
    pub name: Arc<str>,
    /// What the dataplane calls it. The book gives it, and never twice; 0 in what is asked for.
    pub id: u32,
    /// Our end.
    pub local: IpAddr,
    /// The other end, of the same family.
    pub remote: IpAddr,
    /// The key, when it has one.
    pub key: Option<u32>,
    /// Whether checksums are sent.
    pub checksum: bool,
    /// The largest inner packet; 0 for what the port leaves.
    pub mtu: u16,
    /// What is done where a packet may not be fragmented.
    pub dont_fragment: DontFragment,
    /// Those with the lowest are used, as long as one of them is not down.
    pub priority: u16,
    /// Its share among those.
    pub weight: u16,
    /// How it is probed, when it is.
    pub probe: Option<Probe>,
    /// Who has put it into the book.
    pub origin: Origin,
}

impl Tunnel {
    /// A tunnel with nothing but its ends.
    pub fn new(name: &str, local: IpAddr, remote: IpAddr) -> Self {
        Self {
            name: name.into(),
            id: 0,
            local,
            remote,
            key: None,
            checksum: false,
            mtu: 0,
            dont_fragment: DontFragment::Honour,
            priority: 0,
            weight: 1,
            probe: None,
            origin: Origin::Cli,
        }
    }

    /// Whether it says the same, whoever says it.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.name == other.name && self.message_of(0, 0) == other.message_of(0, 0)
    }

    /// As the dataplane is told, of a tenant with this id.
    pub fn message(&self, tenant: u32) -> message::Tunnel {
        self.message_of(self.id, tenant)
    }

    fn message_of(&self, id: u32, tenant: u32) -> message::Tunnel {
        message::Tunnel {
            id,
            tenant,
            local: self.local,
            remote: self.remote,
            key: self.key,
            checksum: self.checksum,
            mtu: self.mtu,
            dont_fragment: self.dont_fragment,
            priority: self.priority,
            weight: self.weight,
            probe: self.probe,
        }
    }

    /// What no other tunnel may have as well.
    pub(in crate::model) fn ends(&self) -> (IpAddr, IpAddr, Option<u32>) {
        (self.remote, self.local, self.key)
    }
}
