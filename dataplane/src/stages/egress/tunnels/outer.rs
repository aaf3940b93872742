//! The outer headers of a tunnel's packets, made once: of most fields each packet bears the same.

use wire::checksum::Sum;
use wire::{gre, ipv4, ipv6};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Ends;
use crate::packet::own;

/// IPv4 and GRE.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct V4 {
    ip: ipv4::Header,
    gre: gre::Header,
}

/// IPv6 and GRE.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct V6 {
    ip: ipv6::Header,
    gre: gre::Header,
}

/// The headers but for what each packet has of its own.
#[derive(Clone, Copy, Debug)]
pub(in crate::stages::egress) struct Outer {
    base: Base,
    /// Whether the GRE checksum follows.
    checksum: bool,
    /// Behind it, as it stands on the wire.
    key: Option<[u8; 4]>,
    len: u16,
}

/// The part that every packet of a family has.
#[derive(Clone, Copy, Debug)]
enum Base {
    /// With the sum of the IPv4 header, in which the fields of each packet's own are 0.
    V4(V4, Sum),
    V6(V6),
}

/// What the headers of one packet have of its own.
#[derive(Clone, Copy, Debug)]
pub(in crate::stages::egress) struct Own {
    /// DSCP and ECN.
    pub(in crate::stages::egress) tos: u8,
    /// Of the inner packet.
    pub(in crate::stages::egress) ethertype: u16,
    /// By which routers choose among equal ways; 20 bits count.
    pub(in crate::stages::egress) flow_label: u32,
    /// The name of an IPv4 packet that may be fragmented.
    pub(in crate::stages::egress) identification: u16,
}

impl Outer {
    /// The headers between two ends of one family.
    pub(super) fn new(ends: &Ends, checksum: bool, clears_df: bool) -> Option<Self> {
        let fields =
            gre::Fields { protocol: 0, key: ends.key, sequence: None, with_checksum: checksum };
        let mut octets = [0; gre::HEADER_LEN_MAX];
        gre::emit(&mut octets, &fields).ok()?;
        let (gre, _) = gre::Header::read_from_prefix(&octets).ok()?;
        let (base, len) = match (ends.local.v4(), ends.remote.v4()) {
            (Some(_), Some(_)) => (v4(ends, gre, clears_df)?, ipv4::HEADER_LEN),
            (None, None) => (v6(ends, gre)?, ipv6::HEADER_LEN),
            (Some(_), None) | (None, Some(_)) => return None,
        };
        let len = u16::try_from(len + fields.header_len()).ok()?;
        Some(Self { base, checksum, key: ends.key.map(u32::to_be_bytes), len })
    }

    /// Octets of all headers.
    #[inline]
    pub(in crate::stages::egress) const fn len(&self) -> u16 {
        self.len
    }

    /// Writes the headers before the inner packet that stands at `packet[self.len()..]`; none when it is too long for a
    /// length field.
    #[inline]
    pub(in crate::stages::egress) fn emit(&self, packet: &mut [u8], own: &Own) -> Option<()> {
        let gre_at = match &self.base {
            Base::V4(headers, sum) => emit_v4(packet, (headers, *sum), own)?,
            Base::V6(headers) => emit_v6(packet, headers, own)?,
        };
        if self.checksum || self.key.is_some() {
            self.emit_fields(packet.get_mut(gre_at..)?)?;
        }
        Some(())
    }

    /// Writes what follows the fixed part of the GRE header; the checksum is over all of `packet`, in which it stands as
    /// 0 meanwhile (RFC 2784 2.3).
    #[inline]
    fn emit_fields(&self, packet: &mut [u8]) -> Option<()> {
        let fields = packet.get_mut(gre::HEADER_LEN..)?;
        let key_at = if self.checksum { FIELD_LEN } else { 0 };
        if let Some(key) = self.key {
            *fields.get_mut(key_at..)?.first_chunk_mut()? = key;
        }
        if self.checksum {
            *fields.first_chunk_mut()? = [0; FIELD_LEN];
            let [high, low] = Sum::of(packet).finish().to_be_bytes();
            *packet.get_mut(gre::HEADER_LEN..)?.first_chunk_mut()? = [high, low];
        }
        Some(())
    }
}

/// Octets of each optional field (RFC 2890 2).
const FIELD_LEN: usize = 4;

// The headers are copied to where they go and changed there: changed first and copied then, they would be read in other
// widths than they were written in, for which the core waits.

#[inline]
fn emit_v4(packet: &mut [u8], (headers, sum): (&V4, Sum), own: &Own) -> Option<usize> {
    let len = u16::try_from(packet.len()).ok()?;
    let sum = sum.plus_word(own.tos.into()).plus_word(len).plus_word(own.identification);
    let (out, _) = V4::mut_from_prefix(packet).ok()?;
    *out = *headers;
    out.ip.tos = own.tos;
    out.ip.total_length = len.into();
    out.ip.identification = own.identification.into();
    out.ip.checksum = sum.finish().into();
    out.gre.protocol = own.ethertype.into();
    Some(ipv4::HEADER_LEN)
}

#[inline]
fn emit_v6(packet: &mut [u8], headers: &V6, own: &Own) -> Option<usize> {
    let payload_len = u16::try_from(packet.len().checked_sub(ipv6::HEADER_LEN)?).ok()?;
    let class = u32::from(own.tos) << 20;
    let (out, _) = V6::mut_from_prefix(packet).ok()?;
    *out = *headers;
    out.ip.version_class_flow = (6 << 28 | class | own.flow_label & 0x000f_ffff).into();
    out.ip.payload_length = payload_len.into();
    out.gre.protocol = own.ethertype.into();
    Some(ipv6::HEADER_LEN)
}

fn v4(ends: &Ends, gre: gre::Header, clears_df: bool) -> Option<Base> {
    let fields = ipv4::Fields {
        source: ends.local.v4()?,
        destination: ends.remote.v4()?,
        protocol: gre::PROTOCOL,
        ttl: own::HOP_LIMIT,
        tos: 0,
        identification: 0,
        dont_fragment: !clears_df,
        payload_len: 0,
    };
    let mut octets = [0; ipv4::HEADER_LEN];
    ipv4::emit(&mut octets, &fields).ok()?;
    let mut ip = ipv4::Header::read_from_bytes(&octets).ok()?;
    (ip.total_length, ip.checksum) = (0.into(), 0.into());
    let sum = Sum::of(ip.as_bytes());
    Some(Base::V4(V4 { ip, gre }, sum))
}

fn v6(ends: &Ends, gre: gre::Header) -> Option<Base> {
    let fields = ipv6::Fields {
        source: ends.local.v6(),
        destination: ends.remote.v6(),
        protocol: gre::PROTOCOL,
        hop_limit: own::HOP_LIMIT,
        traffic_class: 0,
        flow_label: 0,
        payload_len: 0,
    };
    let mut octets = [0; ipv6::HEADER_LEN];
    ipv6::emit(&mut octets, &fields).ok()?;
    Some(Base::V6(V6 { ip: ipv6::Header::read_from_bytes(&octets).ok()?, gre }))
}
