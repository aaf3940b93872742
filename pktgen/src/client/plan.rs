//! What the swarm is told: who the clients are, where, whom they call, and what they send.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use rand_chacha::rand_core::Rng;
use wire::ethernet::{self, Mac};
use wireguard::message::{ClientId, DATA_LEN_MIN, padded_len};
use wireguard::time::Instant;

use super::lend::Hostile;
use super::template;
use crate::link::{HEAD_LEN_MAX, Range, Setup};
use crate::measure::TRAILER_LEN;
use crate::pace::{Pacer, Pattern, Rate};
use crate::packet;
use crate::size::Sizes;

/// Clients of one swarm at most: the upper three octets of a receiver index name them.
pub const CLIENTS_MAX: u32 = 1 << 24;
/// The longest inner packet, octets: what fits an outer IPv4 MTU of 1500.
pub const INNER_LEN_MAX: usize = 1440;

/// A family of inner addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// What the clients send inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// UDP to the echo port: comes back, so the round trip is measured.
    Echo,
    /// ICMP echo requests: come back as well.
    Ping,
    /// UDP to the discard port: measured where it arrives, which is known only between clients.
    OneWay,
    /// TCP segments with running sequence numbers, no connection behind them: measured where they arrive.
    Tcp,
}

impl Kind {
    /// Whether what is sent comes back.
    pub const fn returns(self) -> bool {
        matches!(self, Self::Echo | Self::Ping)
    }
}

/// Whom they send to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// An inner address behind the server.
    Host(IpAddr),
    /// Addresses behind the server, packet by packet.
    Hosts(Range),
    /// The next client, the last to the first.
    Clients,
}

/// Ports in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The first.
    pub first: u16,
    /// The last, not below the first.
    pub last: u16,
}

impl Ports {
    /// How many.
    pub fn count(self) -> u32 {
        u32::from(self.last.saturating_sub(self.first)) + 1
    }

    /// Port number `number` of the row, which starts again at its end.
    pub fn at(self, number: u32) -> u16 {
        let offset = u16::try_from(number % self.count()).unwrap_or(0);
        self.first.saturating_add(offset)
    }
}

/// How addresses and ports of a row follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// One after the other; ports go on when the addresses begin again.
    #[default]
    Incremental,
    /// As the seed has it.
    Random,
}

/// Which addresses and ports a packet takes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spread {
    /// Ports that the packets go to; the kind's own if none.
    pub ports: Option<Ports>,
    /// Ports that the packets come from; one for each client if none.
    pub source_ports: Option<Ports>,
    /// Of addresses and ports.
    pub order: Order,
}

/// When the packets of the plan are sealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sealing {
    /// As they leave.
    #[default]
    Live,
    /// Before the traffic begins, into so many octets of memory.
    Prepared(u64),
}

/// The traffic of all clients together.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// What.
    pub kind: Kind,
    /// The control bits of TCP segments; none for SYN on a client's first and PSH with ACK on all others.
    pub flags: Option<u8>,
    /// Whom to.
    pub target: Target,
    /// To and from which ports.
    pub spread: Spread,
    /// When it is sealed.
    pub sealing: Sealing,
    /// From which of the client's inner addresses.
    pub family: Family,
    /// Lengths of the inner packets, [`Traffic::inner_len_min`]..=[`INNER_LEN_MAX`].
    pub sizes: Sizes,
    /// Of all clients together.
    pub rate: Rate,
    /// How it is spread.
    pub pattern: Pattern,
    /// Whether the packets arrive where nobody of this run sees them.
    pub is_measured_elsewhere: bool,
}

impl Traffic {
    /// Octets of the shortest inner packet that has room for the trailer.
    pub const fn inner_len_min(kind: Kind, family: Family) -> usize {
        let any = match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        packet::ip_header_len(any) + template::header_len(kind) + TRAILER_LEN
    }
}

/// What changes when a client moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RoamKind {
    /// The port, as a NAT does that forgets a binding.
    Port,
    /// The address.
    Address,
}

/// When clients do something, counted from the begin of the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoamTime {
    /// All of them, one after the other within `spread`, first `after` the traffic begins and then `every` so often;
    /// once if that is zero.
    Waves {
        /// Time before the first.
        after: Duration,
        /// From the first client to the last.
        spread: Duration,
        /// From wave to wave; more than `spread`, or zero.
        every: Duration,
    },
    /// Each at random, this long apart on average.
    Random(Duration),
}

/// How clients move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roam {
    /// What changes.
    pub kind: RoamKind,
    /// When.
    pub time: RoamTime,
}

impl RoamTime {
    /// The plan, from the moment that traffic begins.
    pub(super) fn pacer(self, clients: u32, now: Instant) -> Pacer {
        let per = |time: Duration| {
            Rate::Packets(f64::from(clients) / time.as_secs_f64().max(f64::MIN_POSITIVE))
        };
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        match self {
            Self::Random(mean) => Pacer::new(per(mean), Pattern::Poisson, now),
            Self::Waves { after, spread, every } if every.is_zero() => {
                Pacer::new(per(spread), Pattern::Constant, now + after)
            }
            Self::Waves { after, spread, every } => {
                let off = nanos(every.saturating_sub(spread));
                Pacer::new(per(spread), Pattern::OnOff { on: nanos(spread), off }, now + after)
            }
        }
    }

    /// Whether this many were all.
    pub(super) fn ends(self, planned: u64, clients: u32) -> bool {
        let once = matches!(self, Self::Waves { every: Duration::ZERO, .. });
        once && planned >= clients.into()
    }

    /// Whose turn is number `turn`.
    pub(super) fn who(self, turn: u32, clients: u32, rng: &mut impl Rng) -> u32 {
        match self {
            Self::Waves { .. } => turn % clients.max(1),
            Self::Random(_) => rng.next_u32() % clients.max(1),
        }
    }
}

/// What stands in the reserved octets of the clients' messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientIds {
    /// Zeros, as stock clients send.
    Omitted,
    /// This plus the client's number.
    From(u32),
}

/// Over which outer family clients call, where both are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Families {
    /// Each client has one: they take the rows in turn.
    #[default]
    Alternate,
    /// Each client has both: it calls over IPv6, and so much later over IPv4 as well; the first answer wins
    /// (RFC 8305 5).
    Race(Duration),
}

/// A swarm.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Keys, jitter and gaps follow from it.
    pub seed: u64,
    /// How many clients, 1..=[`CLIENTS_MAX`].
    pub clients: u32,
    /// The 802.1Q tag of the outer link.
    pub vlan: Option<u16>,
    /// Outer addresses, one row per family that is used.
    pub outer: Vec<Range>,
    /// Which row a client takes.
    pub families: Families,
    /// The lowest outer port.
    pub first_port: u16,
    /// The server, one endpoint per row of `outer`, in its order.
    pub servers: Vec<SocketAddr>,
    /// The neighbours that packets go to, as `servers`.
    pub hops: Vec<IpAddr>,
    /// Addresses on the link that we answer for beside the clients' own: the router behind which the server
    /// believes them to be.
    pub routers: Vec<IpAddr>,
    /// The server's public key.
    pub server_public: [u8; 32],
    /// Whether each client has a pre-shared key.
    pub preshared: bool,
    /// The first client's inner IPv4 address; the others follow.
    pub inner_v4: Ipv4Addr,
    /// The first client's inner IPv6 address.
    pub inner_v6: Ipv6Addr,
    /// The reserved octets.
    pub client_ids: ClientIds,
    /// The persistent keepalive, zero for none.
    pub keepalive: Duration,
    /// First handshakes per second.
    pub connects_per_sec: f64,
    /// Inner packets are not padded past this length.
    pub mtu: u16,
    /// Moves, if any.
    pub roam: Option<Roam>,
    /// Handshakes beside those that the protocol asks for, if any.
    pub reconnect: Option<RoamTime>,
    /// Traffic, if any.
    pub traffic: Option<Traffic>,
    /// Whether one client more connects and then turns hostile, and what it knows.
    pub hostile: Option<Hostile>,
}

impl Plan {
    /// The clients and the one that turns hostile.
    pub const fn members(&self) -> u32 {
        self.clients + self.hostile.is_some() as u32
    }

    /// The inner address of a client.
    #[inline]
    pub fn inner(&self, number: u32, family: Family) -> IpAddr {
        match family {
            Family::V4 => Ipv4Addr::from_bits(self.inner_v4.to_bits().wrapping_add(number)).into(),
            Family::V6 => {
                Ipv6Addr::from_bits(self.inner_v6.to_bits().wrapping_add(number.into())).into()
            }
        }
    }

    /// The server's endpoint that a client calls first.
    pub fn server(&self, number: u32) -> Option<SocketAddr> {
        match self.families {
            Families::Alternate => {
                let families = u32::try_from(self.servers.len()).unwrap_or(1).max(1);
                self.servers.get((number % families) as usize).copied()
            }
            Families::Race(_) => self.server_of(Family::V6).or_else(|| self.server_of(Family::V4)),
        }
    }

    /// The server's endpoint of an outer family.
    pub fn server_of(&self, family: Family) -> Option<SocketAddr> {
        let is_ipv4 = family == Family::V4;
        self.servers.iter().find(|server| server.is_ipv4() == is_ipv4).copied()
    }

    /// The id that a client sends, if it sends one.
    pub fn client_id(&self, number: u32) -> Option<ClientId> {
        match self.client_ids {
            ClientIds::Omitted => None,
            ClientIds::From(first) => {
                let [_, a, b, c] = first.wrapping_add(number).to_be_bytes();
                Some(ClientId([a, b, c]))
            }
        }
    }

    /// Octets of the outer frame around an inner packet of this length, without check sequence.
    pub fn frame_len(&self, inner_len: usize) -> usize {
        let tagged = self.vlan.map_or(ethernet::HEADER_LEN, |_| ethernet::TAGGED_HEADER_LEN);
        let outer = self.outer.first().map_or(0, |range| packet::overhead(range.first));
        tagged + outer + DATA_LEN_MIN + padded_len(inner_len, usize::from(self.mtu))
    }

    /// The same, whichever outer family.
    pub(super) fn frame_len_max(&self, inner_len: usize) -> usize {
        HEAD_LEN_MAX + DATA_LEN_MIN + padded_len(inner_len, usize::from(self.mtu))
    }

    /// The outer link of these clients.
    pub fn link(&self, mac: Mac) -> Setup {
        // Questions are asked from the first address of a family, which a router's is if there is one.
        let routers = self.routers.iter().map(|&first| Range { first, count: 1 });
        let addresses = routers.chain(self.outer.iter().copied()).collect();
        Setup { mac, vlan: self.vlan, addresses, hops: self.hops.clone() }
    }
}
