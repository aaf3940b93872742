//! What is heavy in the traffic, as samples show it.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use zerocopy::transmute;

use super::address::Prefix;
use super::event::{EVENT_WORDS, Event, HEAVY, nanoseconds};
use super::{Malformed, reserved};
use crate::layout::{self, wire};

/// The octets of [`HeavyWire::what`].
const SOURCE: u8 = 1;
const DESTINATION: u8 = 2;
const PATTERN: u8 = 3;

/// Bits of [`HeavyWire::has`].
const HAS_TENANT: u8 = 1;
const HAS_SOURCE_PORT: u8 = 2;
const HAS_DESTINATION_PORT: u8 = 4;
const HAS_LEN: u8 = 8;
const HAS_FLAGS: u8 = 16;

wire! {
    /// Something heavy.
    struct HeavyWire {
        kind: u16,
        what: u8,
        has: u8,
        tenant: u32,
        at_ns: u64,
        packets: u64,
        octets: u64,
        dropped: u64,
        source_port: u16,
        destination_port: u16,
        len: u16,
        protocol: u8,
        tcp_flags: u8,
        /// The source; or the destination, in its full length.
        prefix: Prefix,
        rest: [u8; 46],
    }
}

/// The shape in this file, hashed.
pub(super) const SHAPE: u64 = layout::number(layout::EMPTY, HeavyWire::SHAPE);

/// What much of the traffic has in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Heavy {
    /// Where it comes from.
    Source(IpNet),
    /// Where it goes to.
    Destination {
        /// The address.
        address: IpAddr,
        /// Whose it is.
        tenant: Option<u32>,
    },
    /// How it looks.
    Pattern(Pattern),
}

/// How packets to a destination look; what is none differs among them, or is nothing that they have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    /// Whose the destination is.
    pub tenant: Option<u32>,
    /// Where they go to.
    pub destination: IpAddr,
    /// Their protocol, as the IP header numbers it.
    pub protocol: u8,
    /// From which port.
    pub source_port: Option<u16>,
    /// To which port.
    pub destination_port: Option<u16>,
    /// Their length, from the IP header on.
    pub len: Option<u16>,
    /// The flags of TCP.
    pub tcp_flags: Option<u8>,
}

/// The words of a [`Event::Heavy`]: packets, octets and dropped ones of what is heavy.
pub(super) fn encode(at: Duration, counts: [u64; 3], what: Heavy) -> [u64; EVENT_WORDS] {
    let [packets, octets, dropped] = counts;
    let at_ns = nanoseconds(at);
    transmute!(HeavyWire { at_ns, packets, octets, dropped, ..HeavyWire::new(what) })
}

impl HeavyWire {
    fn new(what: Heavy) -> Self {
        match what {
            Heavy::Source(net) => Self::about(SOURCE, net, None),
            Heavy::Destination { address, tenant } => {
                Self::about(DESTINATION, address.into(), tenant)
            }
            Heavy::Pattern(pattern) => {
                let wire = Self::about(PATTERN, pattern.destination.into(), pattern.tenant);
                let has = |bit: u8, is_there: bool| if is_there { bit } else { 0 };
                Self {
                    has: wire.has
                        | has(HAS_SOURCE_PORT, pattern.source_port.is_some())
                        | has(HAS_DESTINATION_PORT, pattern.destination_port.is_some())
                        | has(HAS_LEN, pattern.len.is_some())
                        | has(HAS_FLAGS, pattern.tcp_flags.is_some()),
                    source_port: pattern.source_port.unwrap_or(0),
                    destination_port: pattern.destination_port.unwrap_or(0),
                    len: pattern.len.unwrap_or(0),
                    protocol: pattern.protocol,
                    tcp_flags: pattern.tcp_flags.unwrap_or(0),
                    ..wire
                }
            }
        }
    }

    fn about(what: u8, net: IpNet, tenant: Option<u32>) -> Self {
        Self {
            kind: HEAVY,
            what,
            has: if tenant.is_some() { HAS_TENANT } else { 0 },
            tenant: tenant.unwrap_or(0),
            prefix: Prefix::from(net),
            ..transmute!([0_u64; EVENT_WORDS])
        }
    }

    /// The event; the caller compares what it does not name with zero.
    pub(super) fn read(&self) -> Result<Event, Malformed> {
        reserved(&self.rest)?;
        let has = |bit: u8| self.has & bit != 0;
        let tenant = has(HAS_TENANT).then_some(self.tenant);
        let net = self.prefix.required()?;
        let what = match self.what {
            SOURCE => Heavy::Source(net),
            DESTINATION => Heavy::Destination { address: net.addr(), tenant },
            PATTERN => Heavy::Pattern(Pattern {
                tenant,
                destination: net.addr(),
                protocol: self.protocol,
                source_port: has(HAS_SOURCE_PORT).then_some(self.source_port),
                destination_port: has(HAS_DESTINATION_PORT).then_some(self.destination_port),
                len: has(HAS_LEN).then_some(self.len),
                tcp_flags: has(HAS_FLAGS).then_some(self.tcp_flags),
            }),
            other => return Err(Malformed::Choice(other)),
        };
        let &Self { packets, octets, dropped, .. } = self;
        Ok(Event::Heavy { at: Duration::from_nanos(self.at_ns), packets, octets, dropped, what })
    }
}
