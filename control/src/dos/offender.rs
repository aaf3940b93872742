//! What somebody who is heavy in the traffic becomes: the name of a rule, and what it says.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use shm::message::{Heavy, Instruction, Pattern};

use super::Sighting;
use crate::model::dos::{Class, Limit, ListKind, Matter, Per, Reach, Unit};
use crate::model::{Book, Detect};

/// Protocols that expressions name (IANA).
const ICMP: u8 = 1;
const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// Somebody who is heavier than allowed, or was and still is half as heavy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offender {
    /// The name of the rule.
    pub(super) name: Arc<str>,
    /// Whether it is heavier than allowed now.
    pub(super) is_over: bool,
    /// What was seen of it.
    pub(super) sighting: Sighting,
    /// Whose packets the rule judges.
    pub(super) reach: Reach,
}

impl Offender {
    /// What a sighting is by the settings; nothing when it is not heavy enough.
    pub(super) fn of(sighting: &Sighting, detect: &Detect, book: &Book) -> Option<Self> {
        let Sighting { packets, octets, what, .. } = *sighting;
        let weight = match what {
            Heavy::Source(_) => {
                weight(packets, detect.source_packets).max(weight(octets, detect.source_octets))
            }
            Heavy::Destination { .. } => weight(packets, detect.destination_packets),
            Heavy::Pattern(_) => weight(packets, detect.pattern_packets),
        };
        let is_over = weight? == Weight::Over;
        let tenant = match what {
            Heavy::Source(_) => None,
            Heavy::Destination { tenant, .. } | Heavy::Pattern(Pattern { tenant, .. }) => tenant,
        };
        let reach = match (what, tenant) {
            (Heavy::Source(_), _) => Reach::All,
            (_, None) => Reach::Own,
            // One whose tenant is gone meanwhile is nobody's.
            (_, Some(id)) => Reach::Tenant(Arc::clone(&book.tenant(id)?.name)),
        };
        let name = match what {
            Heavy::Source(prefix) => source_name(prefix),
            // The limit is each destination's own, so one rule does for all of an owner.
            Heavy::Destination { .. } => format!("auto-destination-{}", reach.text()),
            Heavy::Pattern(pattern) => pattern_name(&pattern),
        };
        Some(Self { name: name.into(), is_over, sighting: *sighting, reach })
    }

    /// Whether it is many sources, each of which may be light: its rate is that of all of them together, and is no reason
    /// to begin a rule. The least that one site has is a /64.
    pub(super) fn is_network(&self) -> bool {
        match self.sighting.what {
            Heavy::Source(IpNet::V4(prefix)) => prefix.prefix_len() < 32,
            Heavy::Source(IpNet::V6(prefix)) => prefix.prefix_len() < 64,
            Heavy::Destination { .. } | Heavy::Pattern(_) => false,
        }
    }

    /// What its rule says.
    pub(super) fn matter(
        &self,
        detect: &Detect,
        compile: &dyn Fn(&str) -> Result<Vec<Instruction>, String>,
    ) -> Result<Matter, String> {
        match &self.sighting.what {
            Heavy::Source(prefix) => Ok(Matter::List(ListKind::Block, vec![*prefix].into())),
            Heavy::Destination { .. } => {
                let per = Per::Destination { v4_len: 32, v6_len: 128 };
                let per_second = detect.destination_packets.unwrap_or(1);
                let burst = Limit::burst_of(per_second, Unit::Packets);
                let (class, unit) = (Class::Any, Unit::Packets);
                Ok(Matter::Limit(Limit { per, class, unit, per_second, burst }))
            }
            Heavy::Pattern(pattern) => {
                let expression = expression(pattern);
                let program = compile(&expression)?.into();
                Ok(Matter::Signature { expression: expression.into(), program })
            }
        }
    }

    /// What it is in words.
    pub(super) fn why(&self) -> String {
        match &self.sighting.what {
            Heavy::Source(prefix) => format!("source {prefix}"),
            Heavy::Destination { address, .. } => format!("destination {address}"),
            Heavy::Pattern(pattern) => format!("packets that look alike: {}", expression(pattern)),
        }
    }
}

/// The name of the rule of a source.
pub(super) fn source_name(prefix: IpNet) -> String {
    if prefix.prefix_len() == prefix.max_prefix_len() {
        format!("auto-source-{}", prefix.addr())
    } else {
        format!("auto-source-{prefix}")
    }
}

/// How something compares with what is allowed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// It is at least half of it, enough to keep a rule: who is now above it and now below has one rule all the time.
    Half,
    Over,
}

fn weight(rate: u64, allowed: Option<u64>) -> Option<Weight> {
    let allowed = allowed?;
    if rate >= allowed {
        return Some(Weight::Over);
    }
    (rate >= allowed.div_ceil(2)).then_some(Weight::Half)
}

fn pattern_name(pattern: &Pattern) -> String {
    let Pattern { destination, protocol, source_port, destination_port, len, tcp_flags, .. } =
        pattern;
    let protocol = match *protocol {
        ICMP => "icmp".to_owned(),
        TCP => "tcp".to_owned(),
        UDP => "udp".to_owned(),
        ICMPV6 => "icmp6".to_owned(),
        other => other.to_string(),
    };
    let mut name = format!("auto-pattern-{destination}-{protocol}");
    // Writing into a string does not fail.
    let mut add = |what: &str, number: Option<u16>| {
        if let Some(number) = number {
            let _ = write!(name, "-{what}-{number}");
        }
    };
    add("from", *source_port);
    add("to", *destination_port);
    add("len", *len);
    add("flags", tcp_flags.map(u16::from));
    name
}

/// A pattern as `tcpdump` would be asked for it, which an operator can read and try.
pub(crate) fn expression(pattern: &Pattern) -> String {
    let Pattern { destination, protocol, source_port, destination_port, len, tcp_flags, .. } =
        pattern;
    let is_v4 = matches!(destination, IpAddr::V4(_));
    let mut parts = vec![format!("dst host {destination}")];
    parts.push(match (*protocol, is_v4) {
        (TCP, _) => "tcp".to_owned(),
        (UDP, _) => "udp".to_owned(),
        (ICMP, true) => "icmp".to_owned(),
        (ICMPV6, false) => "icmp6".to_owned(),
        (other, true) => format!("ip proto {other}"),
        (other, false) => format!("ip6 proto {other}"),
    });
    parts.extend(source_port.map(|port| format!("src port {port}")));
    parts.extend(destination_port.map(|port| format!("dst port {port}")));
    // RFC 791 3.1: total length; RFC 8200 3: what follows the header of 40 octets.
    parts.extend(len.map(|len| {
        if is_v4 {
            format!("ip[2:2] = {len}")
        } else {
            format!("ip6[4:2] = {}", len.saturating_sub(40))
        }
    }));
    // RFC 9293 3.1: the flags are the 14th octet; `tcp[13]` is of IPv4 alone.
    parts.extend(tcp_flags.map(|flags| {
        if is_v4 { format!("tcp[13] = {flags}") } else { format!("ip6[53] = {flags}") }
    }));
    parts.join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::compile;

    #[test]
    fn patterns_are_expressions_that_compile_and_names_of_their_own() {
        let destinations = ["203.0.113.9", "2001:db8:7:1234:5678:9abc:def0:1111"];
        let mut names = std::collections::HashSet::new();
        for destination in destinations {
            for protocol in [ICMP, TCP, UDP, ICMPV6, 47] {
                let ports = matches!(protocol, TCP | UDP);
                for full in [false, true] {
                    let pattern = Pattern {
                        tenant: None,
                        destination: destination.parse().unwrap(),
                        protocol,
                        source_port: (full && ports).then_some(65535),
                        destination_port: (full && ports).then_some(53),
                        len: full.then_some(1500),
                        tcp_flags: (full && protocol == TCP).then_some(0x12),
                    };
                    let text = expression(&pattern);
                    assert!(compile(&text).is_ok(), "{text}: {:?}", compile(&text));
                    let name = pattern_name(&pattern);
                    assert!(name.len() <= crate::model::dos::RULE_NAME_LEN_MAX, "{name}");
                    assert!(names.insert(name), "{pattern:?}");
                }
            }
        }
    }
}
