//! What a table is made from: capacities, limits of one client, time-outs, and the egress addresses with this worker's ports.

use core::net::IpAddr;
use core::ops::RangeInclusive;
use core::time::Duration;

use crate::time::Span;

/// All that is said at the making of a table.
#[derive(Clone, Debug)]
pub struct Config<'a> {
    /// Flows at the same time: 160 octets each, with their places in the indices.
    pub flows: u32,
    /// Clients are numbered from 0 to below this: 20 octets each.
    pub clients: u32,
    /// Datagrams in pieces at the same time: 16 octets each.
    pub fragments: u32,
    /// What one client may have.
    pub limits: Limits,
    /// How long flows live.
    pub timeouts: Timeouts,
    /// Egress addresses. A client keeps one of each family.
    pub addresses: &'a [IpAddr],
    /// This worker's ports and ICMP identifiers at each of the addresses: 14 octets each, for each of three protocols.
    pub ports: RangeInclusive<u16>,
    /// Keys the hashes: secret and random.
    pub seed: u64,
}

/// What one client may have at the same time (RFC 6888 REQ-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Flows of all protocols.
    pub flows: u32,
    /// Ports of all protocols.
    pub ports: u32,
    /// TCP connections that are not established yet.
    pub setups: u32,
}

impl Default for Limits {
    /// A household: VPP and others give between 1,000 and 4,000 ports to a subscriber.
    fn default() -> Self {
        Self { flows: 8192, ports: 4096, setups: 512 }
    }
}

/// How long flows live without a packet from their client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// UDP (RFC 4787 REQ-5: at least 2 minutes, better 5).
    pub udp: Duration,
    /// ICMP queries (RFC 5508 REQ-2: at least 60 seconds).
    pub icmp: Duration,
    /// Established TCP connections (RFC 5382 REQ-5: at least 2 hours and 4 minutes).
    pub established: Duration,
    /// TCP connections that are being opened, closed or reset (RFC 5382 REQ-5, RFC 7857 2.1: at least 4 minutes).
    pub transitory: Duration,
    /// TCP connections that outside opens, until the client answers (RFC 5382 REQ-4: at least 6 seconds).
    pub incoming: Duration,
    /// How long a port rests after its last use (RFC 6888 REQ-8: 120 seconds).
    pub rest: Duration,
    /// How long later fragments follow the first. Reassembly waits 60 to 120 s at most (RFC 1122 3.3.2), but pieces of one
    /// datagram come together.
    pub fragments: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            udp: Duration::from_mins(5),
            icmp: Duration::from_mins(1),
            established: Duration::from_mins(124),
            transitory: Duration::from_mins(4),
            incoming: Duration::from_secs(6),
            rest: Duration::from_mins(2),
            fragments: Duration::from_secs(5),
        }
    }
}

/// What cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// No flows, or 2^30 and more.
    Flows,
    /// More clients than 2^31.
    Clients,
    /// Ports below 1024, which belong to services, or none at all.
    Ports,
    /// More addresses than 65,535, or one of them twice.
    Addresses,
    /// A time-out below what its RFC allows.
    Timeout,
}

impl core::fmt::Display for Wrong {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Flows => "the number of flows is none, or 2^30 and more",
            Self::Clients => "there are more than 2^31 clients",
            Self::Ports => "the ports for translation are none, or begin below 1024",
            Self::Addresses => "the egress addresses are too many, or one is named twice",
            Self::Timeout => "a time-out is below what its RFC allows",
        })
    }
}

impl core::error::Error for Wrong {}

impl Config<'_> {
    pub(crate) fn check(&self) -> Result<(), Wrong> {
        let named_twice = |(at, address): (usize, &IpAddr)| {
            self.addresses.iter().skip(at + 1).any(|other| other == address)
        };
        if self.flows == 0 || self.flows >= 1 << 30 {
            return Err(Wrong::Flows);
        }
        if self.clients > 1 << 31 {
            return Err(Wrong::Clients);
        }
        if self.ports.is_empty() || *self.ports.start() < 1024 {
            return Err(Wrong::Ports);
        }
        if self.addresses.len() >= usize::from(u16::MAX)
            || self.addresses.iter().enumerate().any(named_twice)
        {
            return Err(Wrong::Addresses);
        }
        self.timeouts.check()
    }
}

impl Timeouts {
    fn check(&self) -> Result<(), Wrong> {
        let least = [
            (self.udp, 120),
            (self.icmp, 60),
            (self.established, 7440),
            (self.transitory, 240),
            (self.incoming, 6),
        ];
        let too_short = |(span, least): &(Duration, u64)| *span < Duration::from_secs(*least);
        if least.iter().any(too_short) { Err(Wrong::Timeout) } else { Ok(()) }
    }
}

/// The time-outs as flows reckon.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spans {
    pub(crate) udp: Span,
    pub(crate) icmp: Span,
    pub(crate) established: Span,
    pub(crate) transitory: Span,
    pub(crate) incoming: Span,
    pub(crate) rest: Span,
    pub(crate) fragments: Span,
}

impl From<&Timeouts> for Spans {
    fn from(timeouts: &Timeouts) -> Self {
        Self {
            udp: Span::of(timeouts.udp),
            icmp: Span::of(timeouts.icmp),
            established: Span::of(timeouts.established),
            transitory: Span::of(timeouts.transitory),
            incoming: Span::of(timeouts.incoming),
            rest: Span::of(timeouts.rest),
            fragments: Span::of(timeouts.fragments),
        }
    }
}
