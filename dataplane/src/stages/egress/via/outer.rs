//! The headers around a client's packet on its way to its exit, and around an answer on the way back.

use wire::exit::{self, Header};
use wire::{ecn, udp};

use super::Seal;
use crate::fate::{DropReason, Fate};
use crate::frame::{Endpoint, Frame, Kind};
use crate::packet::{Address, own};
use crate::stages::steer::entropy;

/// Where a packet goes: to this address by this port, from this address of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Of the other data centre's machine.
    pub remote: Address,
    /// Ours.
    pub local: Address,
    /// Ours.
    pub port: u8,
}

const fn drop(reason: DropReason) -> Fate {
    Fate::Drop(reason)
}

const HEADER: Fate = drop(DropReason::EgressViaHeader);

/// Octets that the headers take on the way to this address.
#[inline]
pub const fn overhead(remote: Address) -> usize {
    own::header_len(remote) + exit::HEADER_LEN
}

/// What stands before the packet in a datagram that begins at its IP header. Nothing of it is proven.
#[inline]
pub fn peek(frame: &Frame<'_>) -> Result<Header, Fate> {
    let at = usize::from(frame.note.ip.payload_offset) + udp::HEADER_LEN;
    let payload = frame.data().get(at..).ok_or(HEADER)?;
    exit::parse(payload).map(|(header, _)| header).map_err(|_| HEADER)
}

/// The source of the packet in such a datagram, if that is one of IPv6. It is not proven either.
pub fn inner_v6_source(frame: &Frame<'_>) -> Option<Address> {
    let at = usize::from(frame.note.ip.payload_offset) + exit::HEADER_LEN;
    let packet = frame.data().get(at..)?;
    let source =
        packet.get(8..24).filter(|_| packet.first().is_some_and(|octet| octet >> 4 == 6))?;
    Some(u128::from_be_bytes(source.try_into().ok()?).into())
}

/// Moves the frame's start from the outer IP header to the packet, which was sent by a data centre of ours and is whole. Gives
/// the outer type of service, of which the packet bears nothing yet.
#[inline]
pub fn open(frame: &mut Frame<'_>, seal: &Seal) -> Result<u8, Fate> {
    let tos = frame.note.ip.tos;
    let Endpoint { remote, local, .. } = frame.note.endpoint;
    frame.pull(usize::from(frame.note.ip.payload_offset) + udp::HEADER_LEN)?;
    let (header, offset) = exit::parse(frame.data()).map_err(|_| HEADER)?;
    frame.pull(offset)?;
    if header.proof != seal.proof(header.key(), (remote, local), frame.data()) {
        return Err(drop(DropReason::EgressViaSource));
    }
    frame.read_ip().map_err(|_| HEADER)?;
    // Nothing was added on the way.
    if usize::from(frame.note.ip.len) != frame.len() {
        return Err(HEADER);
    }
    Ok(tos)
}

/// Puts the headers before a packet, which then leaves.
#[inline]
pub fn dress(
    frame: &mut Frame<'_>,
    seal: &Seal,
    end: &End,
    (back, handle): (bool, u32),
) -> Result<(), Fate> {
    let too_big = drop(DropReason::EgressTooBig);
    let End { remote, local, port } = *end;
    // The DSCP of what is in it, and its ECN in normal mode (RFC 6040 4.1).
    let tos = ecn::encap(frame.note.ip.tos, frame.note.ip.tos);
    let source_port = entropy(frame);
    let header = Header { back, handle, proof: 0 };
    let proof = seal.proof(header.key(), (local, remote), frame.data());
    let out = frame.push(exit::HEADER_LEN)?;
    exit::emit(out, source_port, &Header { proof, ..header }).map_err(|_| too_big)?;
    let len = frame.len();
    let out = frame.push(own::header_len(remote))?;
    own::emit(out, (local, remote), (udp::PROTOCOL, tos), len).map_err(|_| too_big)?;
    frame.note.endpoint = Endpoint { remote, local, remote_port: 0, port };
    frame.note.kind = Kind::Outer;
    frame.note.turned = false;
    Ok(())
}
