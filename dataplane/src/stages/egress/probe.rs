//! Probes of tunnels: an echo inside the tunnel, with a stamp that says which one it is and a seal that only this fleet
//! can make.
//!
//! In the style `Request` the other end answers an echo request of ours. In the style `Reply` it need not answer anything:
//! what we send is an echo reply already, from its inside address to ours, and it routes it back like any packet. Either
//! way the same comes back. A firewall on the way that keeps states drops replies nobody has asked for; a router that does
//! not answer pings routes all the same.

mod answers;

use std::fmt;

use wire::{NoRoom, icmp, ipv4, ipv6};
use wireguard::time::Instant;
use zerocopy::byteorder::network_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::fleet::sip::Sip;
use crate::packet::{Address, own};

pub use answers::{AllAnswers, Answers, Heard};

/// What is sent into the tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Style {
    /// An echo request, which the other end answers.
    Request,
    /// An echo reply, which the other end routes back.
    Reply,
}

/// The addresses inside a tunnel, of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inside {
    local: Address,
    remote: Address,
}

impl Inside {
    /// Ours and the other end's; `None` when they are of two families.
    pub fn new(local: Address, remote: Address) -> Option<Self> {
        (local.is_v4() == remote.is_v4()).then_some(Self { local, remote })
    }

    /// Our address, to which all answers come.
    #[inline]
    pub const fn local(&self) -> Address {
        self.local
    }

    /// The other end's address.
    #[inline]
    pub const fn remote(&self) -> Address {
        self.remote
    }
}

/// Which probe it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The server of the fleet that has sent it. With anycast the answer may come to any.
    pub server: u8,
    /// The tunnel, by control's id.
    pub tunnel: u32,
    /// Which of the tunnel's probes.
    pub sequence: u32,
    /// When it was sent, in microseconds of the sending server's clock.
    pub sent_us: u64,
}

impl Stamp {
    /// Of a probe that is sent now.
    pub const fn new(server: u8, tunnel: u32, sequence: u32, now: Instant) -> Self {
        Self { server, tunnel, sequence, sent_us: microseconds(now) }
    }
}

/// The clock as stamps have it.
pub(crate) const fn microseconds(now: Instant) -> u64 {
    now.0 / 1000
}

/// What makes and checks the seals of one fleet.
#[derive(Clone)]
pub struct Seal(Sip<2, 4>);

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(..)")
    }
}

impl Seal {
    /// With the fleet's key for it.
    pub fn new(key: [u8; 16]) -> Self {
        Self(Sip::new(key))
    }

    /// Over the stamp and both addresses, so that what was sent into one tunnel proves nothing of another.
    fn of(&self, stamp: &Stamp, inside: &Inside) -> u64 {
        let [local, remote] = [inside.local, inside.remote].map(halves);
        let which = u64::from(stamp.tunnel) << 32 | u64::from(stamp.sequence);
        let words =
            [local.0, local.1, remote.0, remote.1, which, stamp.sent_us, u64::from(stamp.server)];
        self.0.hash_words(words)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "both halves are kept")]
fn halves(address: Address) -> (u64, u64) {
    ((address.bits() >> 64) as u64, address.bits() as u64)
}

/// The data of the echo.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Payload {
    tunnel: U32,
    sequence: U32,
    sent_us: U64,
    server: u8,
    reserved: [u8; 7],
    seal: U64,
}

const PAYLOAD_LEN: usize = 32;
const _: () = assert!(size_of::<Payload>() == PAYLOAD_LEN);

/// Octets of the ICMP message.
const MESSAGE_LEN: usize = icmp::HEADER_LEN + PAYLOAD_LEN;

/// Octets of the longest probe, that of IPv6.
pub const LEN_MAX: usize = ipv6::HEADER_LEN + MESSAGE_LEN;

/// DSCP CS6, network control (RFC 4594 3.2): a probe tells whether the tunnel is there, not whether it is full.
const TOS: u8 = 48 << 2;

/// Writes the inner packet at the start of `out` and gives its octets, at most [`LEN_MAX`].
pub fn write(
    out: &mut [u8],
    style: Style,
    inside: &Inside,
    stamp: &Stamp,
    seal: &Seal,
) -> Result<usize, NoRoom> {
    let (source, destination) = match style {
        Style::Request => (inside.local, inside.remote),
        Style::Reply => (inside.remote, inside.local),
    };
    let header_len = own::header_len(destination);
    let packet = out.get_mut(..header_len + MESSAGE_LEN).ok_or(NoRoom)?;
    let (header, message) = packet.split_at_mut_checked(header_len).ok_or(NoRoom)?;
    let data = message.get_mut(icmp::HEADER_LEN..).ok_or(NoRoom)?;
    Payload::new(stamp, seal.of(stamp, inside)).write_to(data).map_err(|_| NoRoom)?;
    let (is_v4, echo) = (source.is_v4(), echo(stamp));
    let protocol = if is_v4 { icmp::v4::PROTOCOL } else { icmp::v6::PROTOCOL };
    own::emit(header, (source, destination), (protocol, TOS), message.len())?;
    let (from, to) = (source.v6(), destination.v6());
    match (style, is_v4) {
        (Style::Request, true) => icmp::v4::emit_echo_request(message, echo)?,
        (Style::Reply, true) => icmp::v4::emit_echo_reply(message, echo)?,
        (Style::Request, false) => icmp::v6::emit_echo_request(message, echo, from, to)?,
        (Style::Reply, false) => icmp::v6::emit_echo_reply(message, echo, from, to)?,
    }
    Ok(packet.len())
}

/// What firewalls on the way tell echoes apart by: servers of one anycast address and tunnels to one router must not
/// take each other's answers. The seal does not rely on it.
const fn echo(stamp: &Stamp) -> icmp::Echo {
    let [_, _, high, low] = stamp.tunnel.to_be_bytes();
    let [.., sequence_high, sequence_low] = stamp.sequence.to_be_bytes();
    icmp::Echo {
        identifier: u16::from_be_bytes([high ^ stamp.server, low]),
        sequence: u16::from_be_bytes([sequence_high, sequence_low]),
    }
}

/// Reads a packet that came out of a tunnel with these addresses inside; `None` when it is not the answer to a probe of
/// this fleet into that tunnel. Whether the tunnel that the stamp names is the one it came by is the caller's to ask.
pub fn read(packet: &[u8], inside: &Inside, seal: &Seal) -> Option<Stamp> {
    let data =
        if inside.local.is_v4() { answer_v4(packet, inside)? } else { answer_v6(packet, inside)? };
    let payload = Payload::ref_from_bytes(data).ok()?;
    let stamp = payload.stamp();
    // Comparing what would be written compares the seal and that nothing else stands there.
    let written = Payload::new(&stamp, seal.of(&stamp, inside));
    (written.as_bytes() == payload.as_bytes()).then_some(stamp)
}

/// The tunnel, by control's id, that a packet names if it is an answer; that it is one is still to be proven ([`read`]).
pub fn tunnel_of(packet: &[u8]) -> Option<u32> {
    let payload = packet.last_chunk::<PAYLOAD_LEN>()?;
    Some(Payload::ref_from_bytes(payload).ok()?.stamp().tunnel)
}

/// The data of an echo reply from the other end to us.
fn answer_v4<'a>(packet: &'a [u8], inside: &Inside) -> Option<&'a [u8]> {
    let ip = ipv4::parse(packet).ok()?;
    let ends = (ip.destination.into(), ip.source.into());
    if ends != (inside.local, inside.remote)
        || ip.protocol != icmp::v4::PROTOCOL
        || ip.is_fragment()
    {
        return None;
    }
    let message = packet.get(ip.payload_offset..ip.total_len())?;
    icmp::v4::parse(message).ok()?.echo_reply_v4()?;
    message.get(icmp::HEADER_LEN..)
}

/// The same in IPv6.
fn answer_v6<'a>(packet: &'a [u8], inside: &Inside) -> Option<&'a [u8]> {
    let ip = ipv6::parse(packet).ok()?;
    let ends = (ip.destination.into(), ip.source.into());
    if ends != (inside.local, inside.remote)
        || ip.protocol != icmp::v6::PROTOCOL
        || ip.is_fragment()
    {
        return None;
    }
    let message = packet.get(ip.payload_offset..ip.total_len())?;
    icmp::v6::parse(ip.source, ip.destination, message).ok()?.echo_reply_v6()?;
    message.get(icmp::HEADER_LEN..)
}

impl Payload {
    fn new(stamp: &Stamp, seal: u64) -> Self {
        let Stamp { server, tunnel, sequence, sent_us } = *stamp;
        Self {
            tunnel: tunnel.into(),
            sequence: sequence.into(),
            sent_us: sent_us.into(),
            server,
            reserved: [0; 7],
            seal: seal.into(),
        }
    }

    fn stamp(&self) -> Stamp {
        Stamp {
            server: self.server,
            tunnel: self.tunnel.get(),
            sequence: self.sequence.get(),
            sent_us: self.sent_us.get(),
        }
    }
}

#[cfg(test)]
mod tests;
