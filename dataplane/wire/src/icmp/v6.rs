//! ICMP for IPv6 (RFC 4443).

use super::{Echo, HEADER_LEN, Header, Located};
use crate::checksum::{Delta, Sum};
use crate::{Malformed, NoRoom, ipv6};
use core::net::Ipv6Addr;
use zerocopy::FromBytes;

/// The protocol number of ICMPv6.
pub const PROTOCOL: u8 = 58;
/// Octets of the offending packet that an error may quote: with both headers it stays within 1280 (RFC 4443 2.4(c)).
pub const QUOTE_LEN_MAX: usize = 1280 - ipv6::HEADER_LEN - HEADER_LEN;

const DESTINATION_UNREACHABLE: u8 = 1;
const PACKET_TOO_BIG: u8 = 2;
const TIME_EXCEEDED: u8 = 3;
const PARAMETER_PROBLEM: u8 = 4;
/// Types below are errors (RFC 4443 2.1).
const FIRST_INFORMATIONAL: u8 = 128;
const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;
const REDIRECT: u8 = 137;

/// What was wrong with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// No route.
    NoRoute,
    /// A filter refuses it.
    Prohibited,
    /// The next hop does not answer.
    AddressUnreachable,
    /// Nobody listens on this port.
    PortUnreachable,
    /// The source address fails an ingress or egress filter.
    SourceRefused,
    /// Too long for the next link.
    PacketTooBig {
        /// Octets of the longest packet that fits.
        mtu: u32,
    },
    /// No hop left.
    TimeExceeded,
    /// Not all fragments came in time.
    ReassemblyTimeExceeded,
    /// A field of a header cannot be.
    ErroneousHeader {
        /// Offset of the octet in question.
        pointer: u32,
    },
    /// Nobody speaks this protocol or knows this extension header here.
    UnknownNextHeader {
        /// Offset of the octet in question.
        pointer: u32,
    },
    /// An option that asks to be reported when it is unknown.
    UnknownOption {
        /// Offset of the octet in question.
        pointer: u32,
    },
}

impl Error {
    /// Type, code and rest of the header.
    #[inline]
    fn header(self) -> (u8, u8, [u8; 4]) {
        match self {
            Self::NoRoute => (DESTINATION_UNREACHABLE, 0, [0; 4]),
            Self::Prohibited => (DESTINATION_UNREACHABLE, 1, [0; 4]),
            Self::AddressUnreachable => (DESTINATION_UNREACHABLE, 3, [0; 4]),
            Self::PortUnreachable => (DESTINATION_UNREACHABLE, 4, [0; 4]),
            Self::SourceRefused => (DESTINATION_UNREACHABLE, 5, [0; 4]),
            Self::PacketTooBig { mtu } => (PACKET_TOO_BIG, 0, mtu.to_be_bytes()),
            Self::TimeExceeded => (TIME_EXCEEDED, 0, [0; 4]),
            Self::ReassemblyTimeExceeded => (TIME_EXCEEDED, 1, [0; 4]),
            Self::ErroneousHeader { pointer } => (PARAMETER_PROBLEM, 0, pointer.to_be_bytes()),
            Self::UnknownNextHeader { pointer } => (PARAMETER_PROBLEM, 1, pointer.to_be_bytes()),
            Self::UnknownOption { pointer } => (PARAMETER_PROBLEM, 2, pointer.to_be_bytes()),
        }
    }

    /// Whether it may be sent about packets to multicast addresses (RFC 4443 2.4(e.3)).
    #[inline]
    fn concerns_multicast(self) -> bool {
        matches!(self, Self::PacketTooBig { .. } | Self::UnknownOption { .. })
    }
}

/// Reads a whole message and verifies its checksum; the addresses are those of its IPv6 header.
///
/// Errors: `Truncated`, `Checksum`, `TotalLength` for more than 65,535 octets.
#[inline]
pub fn parse(source: Ipv6Addr, destination: Ipv6Addr, octets: &[u8]) -> Result<Located, Malformed> {
    let pseudo = pseudo(source, destination, octets.len()).ok_or(Malformed::TotalLength)?;
    super::parse(octets, pseudo)
}

impl Located {
    /// Of an ICMPv6 echo request.
    #[inline]
    pub fn echo_request_v6(&self) -> Option<Echo> {
        (self.kind == ECHO_REQUEST && self.code == 0).then(|| Echo::of(self.rest))
    }

    /// Of an ICMPv6 echo reply.
    #[inline]
    pub fn echo_reply_v6(&self) -> Option<Echo> {
        (self.kind == ECHO_REPLY && self.code == 0).then(|| Echo::of(self.rest))
    }

    /// Whether an ICMPv6 message reports an error and quotes a packet in its body (for `ipv6::parse_quoted`).
    #[inline]
    pub fn is_error_v6(&self) -> bool {
        self.kind < FIRST_INFORMATIONAL
    }

    /// The MTU of an ICMPv6 "packet too big"; its code is ignored (RFC 4443 3.2).
    #[inline]
    pub fn mtu_v6(&self) -> Option<u32> {
        (self.kind == PACKET_TOO_BIG).then_some(u32::from_be_bytes(self.rest))
    }
}

/// Writes an echo request before the data that stands at `message[8..]`.
#[inline]
pub fn emit_echo_request(
    message: &mut [u8],
    echo: Echo,
    source: Ipv6Addr,
    destination: Ipv6Addr,
) -> Result<(), NoRoom> {
    let pseudo = pseudo(source, destination, message.len()).ok_or(NoRoom)?;
    super::emit(message, ECHO_REQUEST, 0, echo.rest(), pseudo)
}

/// Writes an echo reply before the data that stands at `message[8..]`.
#[inline]
pub fn emit_echo_reply(
    message: &mut [u8],
    echo: Echo,
    source: Ipv6Addr,
    destination: Ipv6Addr,
) -> Result<(), NoRoom> {
    let pseudo = pseudo(source, destination, message.len()).ok_or(NoRoom)?;
    super::emit(message, ECHO_REPLY, 0, echo.rest(), pseudo)
}

/// Turns a parsed echo request into its reply where it lies. The checksum holds when the caller swaps the addresses.
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

/// Writes an error about `offender`, which starts at its IPv6 header, and returns the message's length: at most 1240.
///
/// `source` and `destination` are those of the packet that will carry the error. Ask `may_answer` first.
#[inline]
pub fn emit_error(
    out: &mut [u8],
    error: Error,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    offender: &[u8],
) -> Result<usize, NoRoom> {
    let (kind, code, rest) = error.header();
    let message = super::quote(out, offender, QUOTE_LEN_MAX)?;
    let pseudo = pseudo(source, destination, message.len()).ok_or(NoRoom)?;
    super::emit(message, kind, code, rest, pseudo)?;
    Ok(message.len())
}

/// Whether `error` about a packet may be sent (RFC 4443 2.4(e)).
///
/// `payload` is what follows the offender's headers; `by_link_multicast` tells that the frame came to a link-layer
/// multicast or broadcast address. Later fragments are answered only with "packet too big", which their sender
/// needs for path MTU discovery; whether they belong to an ICMPv6 error cannot be seen, so not even that for ICMPv6.
#[inline]
pub fn may_answer(
    error: Error,
    offender: &ipv6::Located,
    payload: &[u8],
    by_link_multicast: bool,
) -> bool {
    let to_many = by_link_multicast || offender.destination.is_multicast();
    let is_answerable = if offender.is_later_fragment() {
        matches!(error, Error::PacketTooBig { .. }) && offender.protocol != PROTOCOL
    } else {
        offender.protocol != PROTOCOL || is_informational(payload)
    };
    is_answerable
        && (!to_many || error.concerns_multicast())
        && !offender.source.is_unspecified()
        && !offender.source.is_multicast()
        && !offender.source.is_loopback()
}

/// Whether an ICMPv6 message is neither an error nor a redirect.
#[inline]
fn is_informational(message: &[u8]) -> bool {
    matches!(message, &[kind, ..] if kind >= FIRST_INFORMATIONAL && kind != REDIRECT)
}

/// The pseudo header's sum; `None` when no length field can say `len`.
#[inline]
pub(crate) fn pseudo(source: Ipv6Addr, destination: Ipv6Addr, len: usize) -> Option<Sum> {
    let len = u16::try_from(len).ok()?;
    Some(Sum::pseudo_v6(source, destination, PROTOCOL, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ECHO: Echo = Echo { identifier: 0x1234, sequence: 1 };
    /// From 2001:db8::1 to 2001:db8::2.
    const REQUEST: [u8; 12] = [128, 0, 0x33, 0x3e, 0x12, 0x34, 0, 1, b'p', b'i', b'n', b'g'];
    const TOO_BIG: Error = Error::PacketTooBig { mtu: 1280 };

    fn ours() -> Ipv6Addr {
        "2001:db8::2".parse().unwrap()
    }

    fn theirs() -> Ipv6Addr {
        "2001:db8::1".parse().unwrap()
    }

    fn offender() -> ipv6::Located {
        let mut octets = [0; 48];
        let fields = ipv6::Fields {
            source: theirs(),
            destination: ours(),
            protocol: 17,
            hop_limit: 1,
            traffic_class: 0,
            flow_label: 0,
            payload_len: 8,
        };
        ipv6::emit(&mut octets, &fields).unwrap();
        ipv6::parse(&octets).unwrap()
    }

    #[test]
    fn a_golden_echo_request_goes_both_ways() {
        let located = parse(theirs(), ours(), &REQUEST).unwrap();
        assert_eq!(located.echo_request_v6(), Some(ECHO));
        let mut out = *b"........ping";
        emit_echo_request(&mut out, ECHO, theirs(), ours()).unwrap();
        assert_eq!(out, REQUEST);
    }

    #[test]
    fn answering_in_place_equals_a_fresh_reply() {
        let mut answer = REQUEST;
        answer_echo(&mut answer).unwrap();
        let mut fresh = *b"........ping";
        emit_echo_reply(&mut fresh, ECHO, ours(), theirs()).unwrap();
        assert_eq!(answer, fresh);
        assert_eq!(parse(ours(), theirs(), &answer).unwrap().echo_reply_v6(), Some(ECHO));
        assert_eq!(answer_echo(&mut answer), Err(Malformed::Kind));
    }

    #[test]
    fn refuses_truncation_and_a_checksum_of_other_addresses() {
        for len in 0..8 {
            assert_eq!(parse(theirs(), ours(), &REQUEST[..len]), Err(Malformed::Truncated));
        }
        assert_eq!(parse(theirs(), theirs(), &REQUEST), Err(Malformed::Checksum));
    }

    #[test]
    fn every_error_has_its_type_and_code_and_verifies() {
        let cases = [
            (Error::NoRoute, 1, 0, 0),
            (Error::Prohibited, 1, 1, 0),
            (Error::AddressUnreachable, 1, 3, 0),
            (Error::PortUnreachable, 1, 4, 0),
            (Error::SourceRefused, 1, 5, 0),
            (TOO_BIG, 2, 0, 1280),
            (Error::TimeExceeded, 3, 0, 0),
            (Error::ReassemblyTimeExceeded, 3, 1, 0),
            (Error::ErroneousHeader { pointer: 4 }, 4, 0, 4),
            (Error::UnknownNextHeader { pointer: 6 }, 4, 1, 6),
            (Error::UnknownOption { pointer: 42 }, 4, 2, 42),
        ];
        for (error, kind, code, rest) in cases {
            let mut out = [0; 60];
            let len = emit_error(&mut out, error, ours(), theirs(), &[0x60; 48]).unwrap();
            let located = parse(ours(), theirs(), &out[..len]).unwrap();
            assert_eq!((located.kind, located.code), (kind, code));
            assert_eq!(u32::from_be_bytes(located.rest), rest);
            assert_eq!(located.mtu_v6().is_some(), error == TOO_BIG);
            assert!(located.is_error_v6());
        }
    }

    #[test]
    fn an_error_stays_within_1280_octets() {
        let mut out = [0; 2000];
        let len = emit_error(&mut out, TOO_BIG, ours(), theirs(), &[7; 1500]).unwrap();
        assert_eq!(len + ipv6::HEADER_LEN, 1280);
        let short = &mut out[..1239];
        assert_eq!(emit_error(short, TOO_BIG, ours(), theirs(), &[7; 1500]), Err(NoRoom));
    }

    #[test]
    fn answers_an_ordinary_packet() {
        assert!(may_answer(Error::TimeExceeded, &offender(), &[0; 8], false));
    }

    #[test]
    fn answers_no_icmp_error_and_no_redirect() {
        let icmp = ipv6::Located { protocol: PROTOCOL, ..offender() };
        for kind in 0..=255 {
            let want = kind >= 128 && kind != 137;
            assert_eq!(may_answer(TOO_BIG, &icmp, &[kind, 0], false), want, "type {kind}");
        }
        assert!(!may_answer(TOO_BIG, &icmp, &[], false));
    }

    #[test]
    fn tells_senders_to_many_only_what_rfc_4443_excepts() {
        let group = ipv6::Located { destination: "ff0e::1".parse().unwrap(), ..offender() };
        let excepted = [TOO_BIG, Error::UnknownOption { pointer: 0 }];
        for error in [Error::NoRoute, Error::TimeExceeded, TOO_BIG, excepted[1]] {
            let want = excepted.contains(&error);
            assert_eq!(may_answer(error, &group, &[0; 8], false), want, "{error:?}");
            assert_eq!(may_answer(error, &offender(), &[0; 8], true), want, "{error:?}");
        }
    }

    #[test]
    fn does_not_answer_sources_that_are_no_single_node() {
        for source in ["::", "::1", "ff02::1"] {
            let offender = ipv6::Located { source: source.parse().unwrap(), ..offender() };
            assert!(!may_answer(TOO_BIG, &offender, &[0; 8], false), "from {source}");
        }
    }

    #[test]
    fn answers_later_fragments_only_with_too_big_and_never_those_of_icmp() {
        let fragment = ipv6::Fragment { offset: 8, len: 8, more: false, identification: 1 };
        let later = ipv6::Located { fragment: Some(fragment), ..offender() };
        assert!(!may_answer(Error::NoRoute, &later, &[0; 8], false));
        assert!(may_answer(TOO_BIG, &later, &[0; 8], false));
        let icmp = ipv6::Located { protocol: PROTOCOL, ..later };
        assert!(!may_answer(TOO_BIG, &icmp, &[128; 8], false));
    }
}
