//! A frame of one length, made once, without the fields that vary.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wire::checksum::Sum;
use wire::{ethernet, gre, icmp, ipv4, ipv6, tcp, udp};
use zerocopy::IntoBytes as _;

use super::{Plan, Protocol, Stations, gre_fields, same_family};
use crate::measure::TRAILER_LEN;

/// Where the upper checksum is, and how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checked {
    Nothing,
    At(usize),
    /// A sum of zero is written as 0xffff (RFC 768).
    Udp(usize),
}

/// A frame whose addresses, ports, checksums and trailer are zeros.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) octets: Vec<u8>,
    ip: usize,
    upper: usize,
    is_v4: bool,
    checked: Checked,
    /// Whether the pseudo header counts, so that addresses do.
    has_pseudo: bool,
    /// The IPv4 header's open sum.
    ip_sum: Sum,
    /// The upper checksum's open sum.
    pub(super) sum: Sum,
    /// Where to sum from for the trailer: an even number of octets behind the upper header's start, so one octet of
    /// payload before it may be included, which is zero.
    pub(super) trailer_at: Option<usize>,
}

impl Template {
    /// A packet of `len` octets; none when that is too short or too long, or families differ.
    pub(super) fn new(plan: &Plan, stations: Stations, len: usize) -> Option<Self> {
        let (source, to) = (plan.source.range.first, plan.destination.range.first);
        if len < plan.len_min() || !same_family(source, to) {
            return None;
        }
        let is_v4 = source.is_ipv4();
        let ethertype = if is_v4 { ipv4::ETHERTYPE } else { ipv6::ETHERTYPE };
        let ip = plan.frame_len(0);
        let mut octets = vec![0; plan.frame_len(len)];
        ethernet::emit(&mut octets, stations.to, stations.source, plan.vlan, ethertype).ok()?;
        let upper = ip + header(octets.get_mut(ip..)?, plan, source, len)?;
        let segment_len = u16::try_from(octets.len() - upper).ok()?;
        let checked = segment(octets.get_mut(upper..)?, plan.protocol, is_v4)?;
        let has_pseudo = !(is_v4 && plan.protocol == Protocol::Icmp);
        let number = plan.protocol.number(is_v4);
        let pseudo =
            Sum::pseudo_v6(Ipv6Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED, number, segment_len);
        let start = if has_pseudo { pseudo } else { Sum::ZERO };
        let trailer = octets.len().checked_sub(TRAILER_LEN).filter(|_| plan.measures(len));
        Some(Self {
            ip,
            upper,
            is_v4,
            checked,
            has_pseudo,
            ip_sum: Sum::of(octets.get(ip..upper)?),
            sum: start.plus(Sum::of(octets.get(upper..)?)),
            trailer_at: trailer.map(|at| at - (at - upper) % 2),
            octets,
        })
    }

    /// Octets of the packet.
    pub(super) const fn packet_len(&self) -> usize {
        self.octets.len() - self.ip
    }

    /// Writes the addresses and the IP header's checksum; gives what they add to the upper sum.
    #[inline]
    pub(super) fn address(&self, frame: &mut [u8], source: u128, to: u128) -> Sum {
        let Some(packet) = frame.get_mut(self.ip..) else { return Sum::ZERO };
        let sum = if self.is_v4 {
            let [source, to] = [source, to].map(low);
            let sum = Sum::of_v4(source).plus(Sum::of_v4(to));
            if let Ok(header) = ipv4::Header::of(packet) {
                header.source = source.octets();
                header.destination = to.octets();
                header.checksum = self.ip_sum.plus(sum).finish().into();
            }
            sum
        } else {
            let [source, to] = [source, to].map(Ipv6Addr::from_bits);
            if let Ok(header) = ipv6::Header::of(packet) {
                header.source = source.octets();
                header.destination = to.octets();
            }
            Sum::of_v6(source).plus(Sum::of_v6(to))
        };
        if self.has_pseudo { sum } else { Sum::ZERO }
    }

    /// Writes the two words that vary; gives what they add to the upper sum.
    #[inline]
    pub(super) fn words(&self, frame: &mut [u8], (first, second): (u16, u16)) -> Sum {
        let at = if matches!(self.checked, Checked::At(2)) { 4 } else { 0 };
        let place = frame.get_mut(self.upper + at..).and_then(<[u8]>::first_chunk_mut::<4>);
        if let Some(place) = place {
            let ([a, b], [c, d]) = (first.to_be_bytes(), second.to_be_bytes());
            *place = [a, b, c, d];
        }
        Sum::ZERO.plus_word(first).plus_word(second)
    }

    /// Writes the upper checksum.
    #[inline]
    pub(super) fn settle(&self, frame: &mut [u8], sum: Sum) {
        let (at, sum) = match (self.checked, sum.finish()) {
            (Checked::Nothing, _) => return,
            (Checked::Udp(at), 0) => (at, 0xffff),
            (Checked::Udp(at) | Checked::At(at), sum) => (at, sum),
        };
        if let Some(place) = frame.get_mut(self.upper + at..).and_then(<[u8]>::first_chunk_mut) {
            *place = sum.to_be_bytes();
        }
    }
}

fn low(bits: u128) -> Ipv4Addr {
    let [.., a, b, c, d] = bits.to_be_bytes();
    Ipv4Addr::new(a, b, c, d)
}

/// Writes an IP header without addresses and checksum; gives its length.
fn header(packet: &mut [u8], plan: &Plan, family: IpAddr, len: usize) -> Option<usize> {
    let tos = plan.dscp << 2;
    match family {
        IpAddr::V4(_) => {
            let fields = ipv4::Fields {
                source: Ipv4Addr::UNSPECIFIED,
                destination: Ipv4Addr::UNSPECIFIED,
                protocol: plan.protocol.number(true),
                ttl: plan.ttl,
                tos,
                identification: 0,
                dont_fragment: true,
                payload_len: len - ipv4::HEADER_LEN,
            };
            let written = ipv4::emit(packet, &fields).ok()?;
            ipv4::Header::of(packet).ok()?.checksum = 0.into();
            Some(written)
        }
        IpAddr::V6(_) => {
            let fields = ipv6::Fields {
                source: Ipv6Addr::UNSPECIFIED,
                destination: Ipv6Addr::UNSPECIFIED,
                protocol: plan.protocol.number(false),
                hop_limit: plan.ttl,
                traffic_class: tos,
                flow_label: 0,
                payload_len: len - ipv6::HEADER_LEN,
            };
            ipv6::emit(packet, &fields).ok()
        }
    }
}

/// Writes the upper header without ports and checksum.
fn segment(segment: &mut [u8], protocol: Protocol, is_v4: bool) -> Option<Checked> {
    match protocol {
        Protocol::Udp => {
            udp::emit_without_checksum(segment, udp::Ports { source: 0, destination: 0 }).ok()?;
            Some(Checked::Udp(6))
        }
        Protocol::Tcp(flags) => {
            let fields = tcp::Fields {
                source_port: 0,
                destination_port: 0,
                sequence_number: 0,
                acknowledgment_number: 0,
                flags,
                window: 64_240,
            };
            tcp::emit(segment, &fields, &[], Sum::ZERO).ok()?;
            segment.get_mut(16..18)?.fill(0);
            Some(Checked::At(16))
        }
        Protocol::Icmp => {
            let kind = if is_v4 { 8 } else { 128 };
            let header = icmp::Header { kind, code: 0, checksum: 0.into(), rest: [0; 4] };
            segment.get_mut(..icmp::HEADER_LEN)?.copy_from_slice(header.as_bytes());
            Some(Checked::At(2))
        }
        Protocol::Gre { ethertype, key } => {
            gre::emit(segment, &gre_fields(ethertype, key)).ok()?;
            Some(Checked::Nothing)
        }
    }
}
