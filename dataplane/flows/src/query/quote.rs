//! ICMP errors: which flow the packet belonged to that they quote (RFC 5508 4.2).

use wire::{icmp, ipv4, ipv6, tcp, udp};

use super::{Kind, Query, known_ports, words_of};
use crate::refusal::Refusal;

const DESTINATION_UNREACHABLE: u8 = 3;
const TIME_EXCEEDED: u8 = 11;
const PARAMETER_PROBLEM: u8 = 12;
/// Types of ICMPv6 below are errors (RFC 4443 2.1).
const FIRST_INFORMATIONAL: u8 = 128;

/// Whether a message is an ICMP error.
#[inline]
pub(crate) fn is_error(protocol: u8, message: &[u8]) -> bool {
    match protocol {
        icmp::v4::PROTOCOL => {
            let errors = [DESTINATION_UNREACHABLE, TIME_EXCEEDED, PARAMETER_PROBLEM];
            message.first().is_some_and(|kind| errors.contains(kind))
        }
        icmp::v6::PROTOCOL => message.first().is_some_and(|kind| *kind < FIRST_INFORMATIONAL),
        _ => false,
    }
}

/// The quoted packet, as far as it is there.
pub(crate) struct Quoted {
    /// Source and destination.
    pub(crate) addresses: [[u32; 4]; 2],
    pub(crate) protocol: u8,
    /// Where its upper protocol's header begins in the message.
    pub(crate) upper_at: usize,
    /// Where it ends in the message.
    pub(crate) end: usize,
}

/// Where the quoted packet begins in the message.
pub(crate) const QUOTE_AT: usize = icmp::HEADER_LEN;

/// Reads the quoted packet; none when it is a later fragment or not one of this family.
pub(crate) fn quoted(message: &[u8], v6: bool) -> Option<Quoted> {
    let quote = message.get(QUOTE_AT..)?;
    if v6 {
        let ip = ipv6::parse_quoted(quote).ok().filter(|ip| !ip.is_later_fragment())?;
        return Some(Quoted {
            addresses: [words_of(ip.source.into()), words_of(ip.destination.into())],
            protocol: ip.protocol,
            upper_at: QUOTE_AT + ip.payload_offset,
            end: QUOTE_AT + ip.total_len(),
        });
    }
    let ip = ipv4::parse_quoted(quote).ok().filter(|ip| !ip.is_later_fragment())?;
    Some(Quoted {
        addresses: [words_of(ip.source.into()), words_of(ip.destination.into())],
        protocol: ip.protocol,
        upper_at: QUOTE_AT + ip.payload_offset,
        end: QUOTE_AT + ip.total_len(),
    })
}

/// Makes the query ask for the flow of the quoted packet, which went where the error comes from: its key is that of a packet
/// in the opposite direction.
#[cold]
pub(super) fn read(query: &mut Query, message: &[u8]) -> Result<(), Refusal> {
    if query.datagram != 0 {
        return Err(Refusal::Icmp);
    }
    verify(query, message)?;
    let quoted = quoted(message, query.v6).ok_or(Refusal::ErrorUnmatched)?;
    let [_, outer_destination] = query.addresses;
    let [source, destination] = quoted.addresses;
    // An error goes to who has sent what it is about.
    if source != outer_destination {
        return Err(Refusal::ErrorUnmatched);
    }
    let upper = message.get(quoted.upper_at..quoted.end).unwrap_or_default();
    let ports = quoted_ports(upper, quoted.protocol).ok_or(Refusal::ErrorUnmatched)?;
    query.ports = known_ports(quoted.protocol, query.realm, ports);
    query.addresses = [destination, source];
    query.protocol = quoted.protocol;
    query.kind = Kind::Error;
    Ok(())
}

fn verify(query: &Query, message: &[u8]) -> Result<(), Refusal> {
    let read = if query.v6 {
        let [source, destination] = query.addresses.map(super::v6_of);
        icmp::v6::parse(source, destination, message)
    } else {
        icmp::v4::parse(message)
    };
    read.map(|_| ()).map_err(|_| Refusal::ErrorChecksum)
}

/// Source and destination port of a packet in the opposite direction. Eight octets at least are quoted (RFC 792).
fn quoted_ports(upper: &[u8], protocol: u8) -> Option<[u16; 2]> {
    let (words, _) = upper.first_chunk::<8>()?.as_chunks::<2>();
    let [first, second, third, _] = words else { return None };
    match protocol {
        tcp::PROTOCOL | udp::PROTOCOL => Some([*second, *first].map(u16::from_be_bytes)),
        // An echo or its reply: no error is sent about an error.
        icmp::v4::PROTOCOL if matches!(first, [0 | 8, 0]) => Some([u16::from_be_bytes(*third); 2]),
        icmp::v6::PROTOCOL if matches!(first, [128 | 129, 0]) => {
            Some([u16::from_be_bytes(*third); 2])
        }
        _ => None,
    }
}
