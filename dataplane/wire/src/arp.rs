//! ARP for IPv4 over Ethernet (RFC 826).

use crate::ethernet::{Mac, is_multicast};
use crate::{Malformed, NoRoom};
use core::net::Ipv4Addr;
use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The ethertype of ARP.
pub const ETHERTYPE: u16 = 0x0806;
/// Octets of a message.
pub const LEN: usize = 28;

const HARDWARE_ETHERNET: u16 = 1;
const PROTOCOL_IPV4: u16 = 0x0800;
const REQUEST: u16 = 1;
const REPLY: u16 = 2;

/// The message as it stands on the wire, for Ethernet and IPv4.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// 1 for Ethernet.
    pub hardware_type: U16,
    /// 0x0800 for IPv4.
    pub protocol_type: U16,
    /// 6.
    pub hardware_len: u8,
    /// 4.
    pub protocol_len: u8,
    /// 1 asks, 2 answers.
    pub operation: U16,
    /// Link-layer address of the sender.
    pub sender_hardware: Mac,
    /// IPv4 address of the sender; zero in a probe (RFC 5227).
    pub sender_protocol: [u8; 4],
    /// Link-layer address of the target; meaningless in a request.
    pub target_hardware: Mac,
    /// IPv4 address of the target.
    pub target_protocol: [u8; 4],
}
const _: () = assert!(size_of::<Header>() == LEN);

/// What a message wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Who has the target address?
    Request,
    /// The sender has its address.
    Reply,
}

/// A checked message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Request or reply.
    pub operation: Operation,
    /// Link-layer address of the sender, never a group.
    pub sender_mac: Mac,
    /// IPv4 address of the sender; unspecified in a probe.
    pub sender: Ipv4Addr,
    /// Link-layer address of the target; meaningless in a request.
    pub target_mac: Mac,
    /// IPv4 address of the target.
    pub target: Ipv4Addr,
}

impl Message {
    /// The question who has `target`, to be broadcast.
    #[inline]
    pub fn request(sender_mac: Mac, sender: Ipv4Addr, target: Ipv4Addr) -> Self {
        Self { operation: Operation::Request, sender_mac, sender, target_mac: [0; 6], target }
    }

    /// The answer to a request for an address that `mac` has, to be sent to the request's sender.
    #[inline]
    #[must_use]
    pub fn reply(&self, mac: Mac) -> Self {
        Self {
            operation: Operation::Reply,
            sender_mac: mac,
            sender: self.target,
            target_mac: self.sender_mac,
            target: self.sender,
        }
    }
}

/// Reads the payload of an Ethernet frame; padding behind the message is ignored.
///
/// Errors: `Truncated`; `Kind` for other hardware, protocols and operations; `Address` for a sender that
/// claims a broadcast or multicast link-layer address, which must not be believed (RFC 1812 3.3.2).
#[inline]
pub fn parse(octets: &[u8]) -> Result<Message, Malformed> {
    let (header, _) = Header::ref_from_prefix(octets).map_err(|_| Malformed::Truncated)?;
    let format = (header.hardware_type.get(), header.protocol_type.get());
    let lengths = (header.hardware_len, header.protocol_len);
    if format != (HARDWARE_ETHERNET, PROTOCOL_IPV4) || lengths != (6, 4) {
        return Err(Malformed::Kind);
    }
    let operation = match header.operation.get() {
        REQUEST => Operation::Request,
        REPLY => Operation::Reply,
        _ => return Err(Malformed::Kind),
    };
    if is_multicast(header.sender_hardware) {
        return Err(Malformed::Address);
    }
    Ok(Message {
        operation,
        sender_mac: header.sender_hardware,
        sender: header.sender_protocol.into(),
        target_mac: header.target_hardware,
        target: header.target_protocol.into(),
    })
}

/// Writes the message and returns its length, 28.
#[inline]
pub fn emit(out: &mut [u8], message: &Message) -> Result<usize, NoRoom> {
    let operation = match message.operation {
        Operation::Request => REQUEST,
        Operation::Reply => REPLY,
    };
    let header = Header {
        hardware_type: HARDWARE_ETHERNET.into(),
        protocol_type: PROTOCOL_IPV4.into(),
        hardware_len: 6,
        protocol_len: 4,
        operation: operation.into(),
        sender_hardware: message.sender_mac,
        sender_protocol: message.sender.octets(),
        target_hardware: message.target_mac,
        target_protocol: message.target.octets(),
    };
    header.write_to_prefix(out).map_err(|_| NoRoom)?;
    Ok(LEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST_OCTETS: [u8; 28] = [
        0, 1, 8, 0, 6, 4, 0, 1, // Ethernet, IPv4, request
        2, 0, 0, 0, 0, 1, 192, 0, 2, 1, // sender
        0, 0, 0, 0, 0, 0, 192, 0, 2, 2, // target
    ];
    const ASKER: Mac = [2, 0, 0, 0, 0, 1];
    const OURS: Mac = [2, 0, 0, 0, 0, 2];

    fn question() -> Message {
        Message::request(ASKER, Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2))
    }

    #[test]
    fn a_golden_request_goes_both_ways() {
        assert_eq!(parse(&REQUEST_OCTETS), Ok(question()));
        let mut out = [0xff; 28];
        assert_eq!(emit(&mut out, &question()), Ok(28));
        assert_eq!(out, REQUEST_OCTETS);
    }

    #[test]
    fn a_golden_reply_goes_both_ways_behind_padding() {
        let mut out = [0; 46];
        let reply = question().reply(OURS);
        emit(&mut out, &reply).unwrap();
        assert_eq!(
            out[6..28],
            [0, 2, 2, 0, 0, 0, 0, 2, 192, 0, 2, 2, 2, 0, 0, 0, 0, 1, 192, 0, 2, 1]
        );
        assert_eq!(parse(&out), Ok(reply));
    }

    #[test]
    fn refuses_other_hardware_protocols_and_operations() {
        for (at, value) in [(1, 6), (2, 9), (4, 8), (5, 16), (7, 3)] {
            let mut octets = REQUEST_OCTETS;
            octets[at] = value;
            assert_eq!(parse(&octets), Err(Malformed::Kind), "octet {at}");
        }
    }

    #[test]
    fn does_not_believe_a_sender_with_a_group_address() {
        let mut octets = REQUEST_OCTETS;
        octets[8..14].fill(0xff);
        assert_eq!(parse(&octets), Err(Malformed::Address));
    }

    #[test]
    fn refuses_every_truncation() {
        for len in 0..28 {
            assert_eq!(parse(&REQUEST_OCTETS[..len]), Err(Malformed::Truncated));
            assert_eq!(emit(&mut vec![0; len], &question()), Err(NoRoom));
        }
    }
}
