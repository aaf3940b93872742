//! ICMP for IPv4 (RFC 792, RFC 1191, RFC 1812 4.3).

use super::{Echo, HEADER_LEN, Header, Located};
use crate::checksum::{Delta, Sum};
use crate::{Malformed, NoRoom, ipv4};
use core::net::Ipv4Addr;
use zerocopy::FromBytes;

/// The protocol number of ICMP.
pub const PROTOCOL: u8 = 1;
/// Octets of the offending packet that an error may quote: with both headers it stays within 576 (RFC 1812 4.3.2.3).
pub const QUOTE_LEN_MAX: usize = 576 - ipv4::HEADER_LEN - HEADER_LEN;

const ECHO_REPLY: u8 = 0;
const DESTINATION_UNREACHABLE: u8 = 3;
const ECHO_REQUEST: u8 = 8;
const TIME_EXCEEDED: u8 = 11;
const PARAMETER_PROBLEM: u8 = 12;
const FRAGMENTATION_NEEDED_CODE: u8 = 4;

/// What was wrong with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// No route.
    NetworkUnreachable,
    /// The next hop does not answer.
    HostUnreachable,
    /// Nobody speaks this protocol here.
    ProtocolUnreachable,
    /// Nobody listens on this port.
    PortUnreachable,
    /// Too long for the next link, and "don't fragment" is set.
    FragmentationNeeded {
        /// Octets of the longest packet that fits (RFC 1191 4); 0 from routers that do not say.
        mtu: u16,
    },
    /// A filter refuses it (RFC 1812 5.2.7.1).
    Prohibited,
    /// No hop left.
    TimeExceeded,
    /// Not all fragments came in time.
    ReassemblyTimeExceeded,
    /// A field of the header cannot be.
    ParameterProblem {
        /// Offset of the octet in question.
        pointer: u8,
    },
}

impl Error {
    /// Type, code and rest of the header.
    #[inline]
    fn header(self) -> (u8, u8, [u8; 4]) {
        match self {
            Self::NetworkUnreachable => (DESTINATION_UNREACHABLE, 0, [0; 4]),
            Self::HostUnreachable => (DESTINATION_UNREACHABLE, 1, [0; 4]),
            Self::ProtocolUnreachable => (DESTINATION_UNREACHABLE, 2, [0; 4]),
            Self::PortUnreachable => (DESTINATION_UNREACHABLE, 3, [0; 4]),
            Self::FragmentationNeeded { mtu } => {
                let [high, low] = mtu.to_be_bytes();
                (DESTINATION_UNREACHABLE, FRAGMENTATION_NEEDED_CODE, [0, 0, high, low])
            }
            Self::Prohibited => (DESTINATION_UNREACHABLE, 13, [0; 4]),
            Self::TimeExceeded => (TIME_EXCEEDED, 0, [0; 4]),
            Self::ReassemblyTimeExceeded => (TIME_EXCEEDED, 1, [0; 4]),
            Self::ParameterProblem { pointer } => (PARAMETER_PROBLEM, 0, [pointer, 0, 0, 0]),
        }
    }
}

/// Reads a whole message and verifies its checksum.
///
/// Errors: `Truncated`, `Checksum`.
#[inline]
pub fn parse(octets: &[u8]) -> Result<Located, Malformed> {
    super::parse(octets, Sum::ZERO)
}

impl Located {
    /// Of an ICMPv4 echo request.
    #[inline]
    pub fn echo_request_v4(&self) -> Option<Echo> {
        (self.kind == ECHO_REQUEST && self.code == 0).then(|| Echo::of(self.rest))
    }

    /// Of an ICMPv4 echo reply.
    #[inline]
    pub fn echo_reply_v4(&self) -> Option<Echo> {
        (self.kind == ECHO_REPLY && self.code == 0).then(|| Echo::of(self.rest))
    }

    /// Whether an ICMPv4 message reports an error and quotes a packet in its body (for `ipv4::parse_quoted`).
    #[inline]
    pub fn is_error_v4(&self) -> bool {
        matches!(self.kind, DESTINATION_UNREACHABLE | TIME_EXCEEDED | PARAMETER_PROBLEM)
    }

    /// The MTU of an ICMPv4 "fragmentation needed" (RFC 1191 4).
    #[inline]
    pub fn mtu_v4(&self) -> Option<u16> {
        let [_, _, high, low] = self.rest;
        let is_it = self.kind == DESTINATION_UNREACHABLE && self.code == FRAGMENTATION_NEEDED_CODE;
        is_it.then_some(u16::from_be_bytes([high, low]))
    }
}

/// Writes an echo request before the data that stands at `message[8..]`.
#[inline]
pub fn emit_echo_request(message: &mut [u8], echo: Echo) -> Result<(), NoRoom> {
    super::emit(message, ECHO_REQUEST, 0, echo.rest(), Sum::ZERO)
}

/// Writes an echo reply before the data that stands at `message[8..]`.
#[inline]
pub fn emit_echo_reply(message: &mut [u8], echo: Echo) -> Result<(), NoRoom> {
    super::emit(message, ECHO_REPLY, 0, echo.rest(), Sum::ZERO)
}

/// Turns a parsed echo request into its reply where it lies; addresses are the caller's to swap.
#[inline]
pub fn answer_echo(message: &mut [u8]) -> Result<(), Malformed> {
    let (header, _) = Header::mut_from_prefix(message).map_err(|_| Malformed::Truncated)?;
    if header.kind != ECHO_REQUEST {
        return Err(Malformed::Kind);
    }
    header.kind = ECHO_REPLY;
    let delta = Delta::of_word(u16::from(ECHO_REQUEST) << 8, u16::from(ECHO_REPLY) << 8);
    header.checksum = delta.apply(header.checksum.get()).into();
    Ok(())
}

/// Writes an error about `offender`, which starts at its IP header, and returns the message's length: at most 556.
///
/// Ask `may_answer` first.
#[inline]
pub fn emit_error(out: &mut [u8], error: Error, offender: &[u8]) -> Result<usize, NoRoom> {
    let (kind, code, rest) = error.header();
    let message = super::quote(out, offender, QUOTE_LEN_MAX)?;
    super::emit(message, kind, code, rest, Sum::ZERO)?;
    Ok(message.len())
}

/// Whether an error about a packet may be sent (RFC 1122 3.2.2, RFC 1812 4.3.2.7).
///
/// `payload` is what follows the offender's header; `by_link_multicast` tells that the frame came to a link-layer
/// broadcast or multicast address. A broadcast address of a subnet looks like any other and is the caller's to know.
#[inline]
pub fn may_answer(offender: &ipv4::Located, payload: &[u8], by_link_multicast: bool) -> bool {
    !by_link_multicast
        && !offender.is_later_fragment()
        && is_one_host(offender.source)
        && !offender.destination.is_multicast()
        && !offender.destination.is_broadcast()
        && (offender.protocol != PROTOCOL || is_query(payload))
}

/// Whether a source address defines a single host: not this network, loopback, multicast, class E or broadcast.
#[inline]
fn is_one_host(address: Ipv4Addr) -> bool {
    !matches!(address.octets(), [0 | 127 | 224..=255, ..])
}

/// Whether an ICMP message is a known query; an error, or what may be one, must not be answered with an error.
#[inline]
fn is_query(message: &[u8]) -> bool {
    matches!(message, [ECHO_REPLY | ECHO_REQUEST | 9 | 10 | 13..=18, ..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipv4::Fields;

    const ECHO: Echo = Echo { identifier: 0x1234, sequence: 1 };
    const REQUEST: [u8; 12] = [8, 0, 0x06, 0xfa, 0x12, 0x34, 0, 1, b'p', b'i', b'n', b'g'];

    fn offender() -> ipv4::Located {
        let mut octets = [0; 28];
        let fields = Fields {
            source: Ipv4Addr::new(192, 0, 2, 1),
            destination: Ipv4Addr::new(198, 51, 100, 2),
            protocol: 17,
            ttl: 1,
            tos: 0,
            identification: 0,
            dont_fragment: true,
            payload_len: 8,
        };
        ipv4::emit(&mut octets, &fields).unwrap();
        ipv4::parse(&octets).unwrap()
    }

    #[test]
    fn a_golden_echo_request_goes_both_ways() {
        let located = parse(&REQUEST).unwrap();
        assert_eq!(located.echo_request_v4(), Some(ECHO));
        assert_eq!((located.echo_reply_v4(), located.is_error_v4()), (None, false));
        let mut out = *b"........ping";
        emit_echo_request(&mut out, ECHO).unwrap();
        assert_eq!(out, REQUEST);
    }

    #[test]
    fn answering_in_place_equals_a_fresh_reply() {
        let mut answer = REQUEST;
        answer_echo(&mut answer).unwrap();
        let mut fresh = *b"........ping";
        emit_echo_reply(&mut fresh, ECHO).unwrap();
        assert_eq!(answer, fresh);
        assert_eq!(parse(&answer).unwrap().echo_reply_v4(), Some(ECHO));
        assert_eq!(answer_echo(&mut answer), Err(Malformed::Kind));
    }

    #[test]
    fn refuses_truncation_and_a_wrong_checksum() {
        for len in 0..8 {
            assert_eq!(parse(&REQUEST[..len]), Err(Malformed::Truncated));
        }
        assert_eq!(parse(&REQUEST[..10]), Err(Malformed::Checksum));
    }

    #[test]
    fn a_golden_fragmentation_needed_goes_both_ways() {
        let mut out = [0xff; 600];
        let error = Error::FragmentationNeeded { mtu: 1420 };
        assert_eq!(emit_error(&mut out, error, &[0x45, 0, 0, 0]), Ok(12));
        assert_eq!(out[..12], [3, 4, 0xb2, 0x6f, 0, 0, 0x05, 0x8c, 0x45, 0, 0, 0]);
        let located = parse(&out[..12]).unwrap();
        assert_eq!(
            (located.mtu_v4(), located.is_error_v4(), located.body_len),
            (Some(1420), true, 4)
        );
    }

    #[test]
    fn every_error_has_its_type_and_code_and_verifies() {
        let cases = [
            (Error::NetworkUnreachable, 3, 0, 0),
            (Error::HostUnreachable, 3, 1, 0),
            (Error::ProtocolUnreachable, 3, 2, 0),
            (Error::PortUnreachable, 3, 3, 0),
            (Error::Prohibited, 3, 13, 0),
            (Error::TimeExceeded, 11, 0, 0),
            (Error::ReassemblyTimeExceeded, 11, 1, 0),
            (Error::ParameterProblem { pointer: 9 }, 12, 0, 9),
        ];
        for (error, kind, code, pointer) in cases {
            let mut out = [0; 40];
            let len = emit_error(&mut out, error, &[0x45; 28]).unwrap();
            let located = parse(&out[..len]).unwrap();
            assert_eq!((located.kind, located.code, located.rest[0]), (kind, code, pointer));
            assert!(located.is_error_v4() && located.mtu_v4().is_none());
        }
    }

    #[test]
    fn an_error_stays_within_576_octets() {
        let mut out = [0; 2000];
        let len = emit_error(&mut out, Error::TimeExceeded, &[7; 1500]).unwrap();
        assert_eq!(len + ipv4::HEADER_LEN, 576);
        assert_eq!(out[8..len], [7; 548]);
        assert_eq!(emit_error(&mut out[..555], Error::TimeExceeded, &[7; 1500]), Err(NoRoom));
    }

    #[test]
    fn answers_an_ordinary_packet() {
        assert!(may_answer(&offender(), &[0; 8], false));
    }

    #[test]
    fn does_not_answer_what_came_by_link_multicast_or_is_a_later_fragment() {
        assert!(!may_answer(&offender(), &[0; 8], true));
        let fragment =
            |flags_fragment_offset| ipv4::Located { flags_fragment_offset, ..offender() };
        assert!(!may_answer(&fragment(0x0001), &[0; 8], false));
        assert!(may_answer(&fragment(0x2000), &[0; 8], false));
    }

    #[test]
    fn answers_icmp_queries_but_no_icmp_errors() {
        let icmp = ipv4::Located { protocol: PROTOCOL, ..offender() };
        for kind in 0..=255 {
            let is_query = [0, 8, 9, 10, 13, 14, 15, 16, 17, 18].contains(&kind);
            assert_eq!(may_answer(&icmp, &[kind, 0], false), is_query, "type {kind}");
        }
        assert!(!may_answer(&icmp, &[], false));
    }

    #[test]
    fn does_not_answer_addresses_that_are_no_single_host() {
        for source in
            ["0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"]
        {
            let offender = ipv4::Located { source: source.parse().unwrap(), ..offender() };
            assert!(!may_answer(&offender, &[0; 8], false), "from {source}");
        }
        for destination in ["224.0.0.5", "239.255.255.250", "255.255.255.255"] {
            let offender =
                ipv4::Located { destination: destination.parse().unwrap(), ..offender() };
            assert!(!may_answer(&offender, &[0; 8], false), "to {destination}");
        }
    }
}
