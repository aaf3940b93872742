//! Rules as they are written: a policy, and rules in order, each with conditions and what is done.

use std::time::Duration;

use crate::facts::Family;

/// Rules of one tenant.
pub const RULES_MAX: usize = 16_384;

/// Rules of one tenant that can let a packet go on to the next one (without a verdict, or with a limit): each costs a
/// search of its own.
pub const PASSING_MAX: usize = 64;

/// Conditions of one rule: more than there are fields to look at.
pub const CONDITIONS_MAX: usize = 32;

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It goes on.
    Accept,
    /// It does not.
    Drop,
}

/// All rules of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruleset {
    /// What becomes of packets that no rule decides.
    pub policy: Verdict,
    /// The rules; the first that matches and has a verdict decides.
    pub rules: Vec<Rule>,
}

/// A rule: all conditions must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What must hold, in the order in which it was written.
    pub conditions: Vec<Condition>,
    /// A limit; the rule matches only packets within it, or with `over` only those beyond it.
    pub limit: Option<Limit>,
    /// Whether what it matches is counted.
    pub counter: bool,
    /// What it decides; with none the next rules are asked.
    pub verdict: Option<Verdict>,
    /// What people have noted.
    pub comment: Option<Box<str>>,
}

impl Rule {
    /// Whether a packet that meets the conditions may go on to the next rule.
    pub const fn is_passing(&self) -> bool {
        self.verdict.is_none() || self.limit.is_some()
    }
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Packets.
    Packets,
    /// Octets from the IP header on.
    Octets,
}

/// The time that a limit's rate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Period {
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A week.
    Week,
}

impl Period {
    /// How long it is.
    pub const fn time(self) -> Duration {
        Duration::from_secs(match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
            Self::Day => 86_400,
            Self::Week => 604_800,
        })
    }
}

/// A limit, by token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limit {
    /// Whether it is what is beyond the rate that matches.
    pub over: bool,
    /// How much per period; at least 1.
    pub rate: u64,
    /// The period.
    pub per: Period,
    /// Of what.
    pub unit: Unit,
    /// How much at once; at least 1.
    pub burst: u64,
}

/// The highest rate of a limit, per second.
pub const RATE_MAX: u64 = 1_000_000_000_000;

/// The time in which all of a limit's burst must have come back, as long as its bucket can count.
pub const DEPTH_MAX: Duration = Duration::from_hours(4);

impl Limit {
    /// How much comes back within [`DEPTH_MAX`], and so the most that its burst may be.
    pub fn burst_max(&self) -> u64 {
        let back = u128::from(self.rate) * u128::from(DEPTH_MAX.as_secs());
        u64::try_from(back / u128::from(self.per.time().as_secs())).unwrap_or(u64::MAX)
    }

    /// The highest rate in its period.
    pub const fn rate_max(&self) -> u64 {
        RATE_MAX * self.per.time().as_secs()
    }
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// What is looked at.
    pub field: Field,
    /// Whether the field must be none of the values.
    pub negated: bool,
    /// The values.
    pub values: Values,
}

/// What a field is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    /// Ranges with both ends, in order, neither overlapping nor adjacent. IPv4 addresses in the low 32 bits.
    Ranges(Box<[(u128, u128)]>),
    /// A named set of prefixes of both families, for addresses.
    Set(Box<str>),
    /// For control bits: those of the mask must be these.
    Bits {
        /// Which bits are looked at.
        mask: u8,
        /// How they must be.
        value: u8,
    },
}

/// What a condition looks at, by the words of nft.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// `ip saddr`.
    IpSaddr,
    /// `ip daddr`.
    IpDaddr,
    /// `ip6 saddr`.
    Ip6Saddr,
    /// `ip6 daddr`.
    Ip6Daddr,
    /// `meta nfproto`: 2 for IPv4 and 10 for IPv6, as in nft.
    Nfproto,
    /// `ip protocol`.
    IpProtocol,
    /// `ip6 nexthdr`: here the upper protocol, behind any extension headers.
    Ip6Nexthdr,
    /// `meta l4proto`.
    L4proto,
    /// `tcp sport`.
    TcpSport,
    /// `tcp dport`.
    TcpDport,
    /// `udp sport`.
    UdpSport,
    /// `udp dport`.
    UdpDport,
    /// `th sport`: of every protocol with ports.
    ThSport,
    /// `th dport`.
    ThDport,
    /// `tcp flags`.
    TcpFlags,
    /// `icmp type`.
    IcmpType,
    /// `icmp code`.
    IcmpCode,
    /// `icmpv6 type`.
    Icmpv6Type,
    /// `icmpv6 code`.
    Icmpv6Code,
    /// `meta length`: octets from the IP header on.
    Length,
    /// `ip length`: the same, of IPv4.
    IpLength,
    /// `ip dscp`.
    IpDscp,
    /// `ip6 dscp`.
    Ip6Dscp,
}

/// TCP, UDP, DCCP, SCTP and UDP-Lite: protocols whose header begins with two ports.
pub const WITH_PORTS: [u8; 5] = [6, 17, 33, 132, 136];

const TCP: &[u8] = &[6];
const UDP: &[u8] = &[17];
const ICMP: &[u8] = &[1];
const ICMPV6: &[u8] = &[58];

impl Field {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::IpSaddr,
        Self::IpDaddr,
        Self::Ip6Saddr,
        Self::Ip6Daddr,
        Self::Nfproto,
        Self::IpProtocol,
        Self::Ip6Nexthdr,
        Self::L4proto,
        Self::TcpSport,
        Self::TcpDport,
        Self::UdpSport,
        Self::UdpDport,
        Self::ThSport,
        Self::ThDport,
        Self::TcpFlags,
        Self::IcmpType,
        Self::IcmpCode,
        Self::Icmpv6Type,
        Self::Icmpv6Code,
        Self::Length,
        Self::IpLength,
        Self::IpDscp,
        Self::Ip6Dscp,
    ];

    /// The family that a packet must be of to have this field; none when both have it.
    pub const fn family(self) -> Option<Family> {
        match self {
            Self::IpSaddr
            | Self::IpDaddr
            | Self::IpProtocol
            | Self::IpLength
            | Self::IpDscp
            | Self::IcmpType
            | Self::IcmpCode => Some(Family::V4),
            Self::Ip6Saddr
            | Self::Ip6Daddr
            | Self::Ip6Nexthdr
            | Self::Ip6Dscp
            | Self::Icmpv6Type
            | Self::Icmpv6Code => Some(Family::V6),
            Self::Nfproto
            | Self::L4proto
            | Self::TcpSport
            | Self::TcpDport
            | Self::UdpSport
            | Self::UdpDport
            | Self::ThSport
            | Self::ThDport
            | Self::TcpFlags
            | Self::Length => None,
        }
    }

    /// The protocols that a packet must be of to have this field; none when all have it. A negated condition asks for them
    /// as well.
    pub const fn protocols(self) -> Option<&'static [u8]> {
        match self {
            Self::TcpSport | Self::TcpDport | Self::TcpFlags => Some(TCP),
            Self::UdpSport | Self::UdpDport => Some(UDP),
            Self::ThSport | Self::ThDport => Some(&WITH_PORTS),
            Self::IcmpType | Self::IcmpCode => Some(ICMP),
            Self::Icmpv6Type | Self::Icmpv6Code => Some(ICMPV6),
            Self::IpSaddr
            | Self::IpDaddr
            | Self::Ip6Saddr
            | Self::Ip6Daddr
            | Self::Nfproto
            | Self::IpProtocol
            | Self::Ip6Nexthdr
            | Self::L4proto
            | Self::Length
            | Self::IpLength
            | Self::IpDscp
            | Self::Ip6Dscp => None,
        }
    }
}
