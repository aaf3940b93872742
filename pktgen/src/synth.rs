//! Synthetic packets from a pattern: addresses and ports fixed, in turn or at random, of any size, with the measuring
//! trailer where there is room for it.
//!
//! Each length has a template, whose checksums are kept as open sums without the fields that vary; a frame is a copy,
//! those fields, and their sums. A stream in which nothing varies is one prepared frame.

mod field;
mod template;

use std::net::IpAddr;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use wire::checksum::Sum;
use wire::ethernet::{self, Mac};
use wire::tcp::Flags;
use wire::{gre, icmp, tcp, udp};

pub use field::{Addresses, Order, Ports};

use crate::measure::{TRAILER_LEN, Trailer};
use crate::packet;
use crate::size::Sizes;
use field::Walk;
use template::Template;

/// What the packets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// UDP.
    Udp,
    /// TCP with these flags.
    Tcp(Flags),
    /// ICMP echo requests; the source port is the identifier, the sequence counts.
    Icmp,
    /// GRE with octets behind it.
    Gre {
        /// The `EtherType` that it names.
        ethertype: u16,
        /// The key (RFC 2890).
        key: Option<u32>,
    },
}

impl Protocol {
    /// Octets of its header.
    pub fn header_len(self) -> usize {
        match self {
            Self::Udp => udp::HEADER_LEN,
            Self::Tcp(_) => tcp::HEADER_LEN,
            Self::Icmp => icmp::HEADER_LEN,
            Self::Gre { ethertype, key } => gre_fields(ethertype, key).header_len(),
        }
    }

    /// Its number in the IP header of a family.
    pub const fn number(self, is_ipv4: bool) -> u8 {
        match self {
            Self::Udp => udp::PROTOCOL,
            Self::Tcp(_) => tcp::PROTOCOL,
            Self::Icmp if is_ipv4 => icmp::v4::PROTOCOL,
            Self::Icmp => icmp::v6::PROTOCOL,
            Self::Gre { .. } => gre::PROTOCOL,
        }
    }
}

const fn gre_fields(protocol: u16, key: Option<u32>) -> gre::Fields {
    gre::Fields { protocol, key, sequence: None, with_checksum: false }
}

/// The packets of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What they are.
    pub protocol: Protocol,
    /// Where from.
    pub source: Addresses,
    /// Where to, of the same family.
    pub destination: Addresses,
    /// From which port.
    pub source_port: Ports,
    /// To which port.
    pub destination_port: Ports,
    /// Lengths of the IP packets in turn, [`Plan::len_min`] at least.
    pub sizes: Sizes,
    /// Hops to live.
    pub ttl: u8,
    /// The class, 0..=63.
    pub dscp: u8,
    /// The tag.
    pub vlan: Option<u16>,
    /// Whether packets that are long enough carry the trailer.
    pub measure: bool,
}

impl Plan {
    /// Octets of IP and upper header.
    pub fn len_min(&self) -> usize {
        packet::ip_header_len(self.source.range.first) + self.protocol.header_len()
    }

    /// Whether a packet of this length carries the trailer.
    pub fn measures(&self, len: usize) -> bool {
        self.measure && len >= self.len_min() + TRAILER_LEN
    }

    /// Whether any of its packets is measured.
    pub fn is_measured(&self) -> bool {
        self.measures(self.sizes.max())
    }

    /// Octets of a frame around a packet of this length, without check sequence.
    pub const fn frame_len(&self, len: usize) -> usize {
        len + match self.vlan {
            Some(_) => ethernet::TAGGED_HEADER_LEN,
            None => ethernet::HEADER_LEN,
        }
    }

    /// Whether all frames are alike.
    fn is_constant(&self) -> bool {
        let varies = self.source.range.count > 1
            || self.destination.range.count > 1
            || self.source_port.count > 1
            || self.destination_port.count > 1
            || self.protocol == Protocol::Icmp;
        !varies && !self.is_measured() && self.sizes.min() == self.sizes.max()
    }
}

/// From which station to which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stations {
    /// Ours.
    pub source: Mac,
    /// The next hop's.
    pub to: Mac,
}

/// Makes the frames of a stream.
#[derive(Debug)]
pub struct Synth {
    plan: Plan,
    templates: Vec<Template>,
    /// The template of each packet in turn.
    turn: Vec<usize>,
    source: Walk<u128>,
    destination: Walk<u128>,
    source_port: Walk<u16>,
    destination_port: Walk<u16>,
    random: ChaCha20Rng,
    number: usize,
    sequence: u16,
    prepared: Option<Box<[u8]>>,
}

impl Synth {
    /// A stream of this plan. The same seed gives the same frames; different streams should have different ones. None
    /// when addresses are of different families, or a size is too short or too long for the headers.
    pub fn new(plan: Plan, stations: Stations, seed: u64) -> Option<Self> {
        let mut templates: Vec<Template> = Vec::new();
        let mut turn = Vec::new();
        for number in 0..plan.sizes.count() {
            let len = plan.sizes.of(number as u64);
            let known = templates.iter().position(|template| template.packet_len() == len);
            let index = known.unwrap_or(templates.len());
            if known.is_none() {
                templates.push(Template::new(&plan, stations, len)?);
            }
            turn.push(index);
        }
        let mut synth = Self {
            source: Walk::addresses(plan.source),
            destination: Walk::addresses(plan.destination),
            source_port: Walk::ports(plan.source_port),
            destination_port: Walk::ports(plan.destination_port),
            random: ChaCha20Rng::seed_from_u64(seed),
            templates,
            turn,
            number: 0,
            sequence: 0,
            prepared: None,
            plan,
        };
        if synth.plan.is_constant() {
            let mut frame = vec![0; synth.plan.frame_len(synth.plan.sizes.max())];
            synth.build(None, &mut frame);
            synth.prepared = Some(frame.into_boxed_slice());
        }
        Some(synth)
    }

    /// The plan.
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The frame that all of them are, if nothing varies.
    #[inline]
    pub fn prepared(&self) -> Option<&[u8]> {
        self.prepared.as_deref()
    }

    /// Whether the next frame has room for a trailer.
    #[inline]
    pub fn measures_next(&self) -> bool {
        self.template().is_some_and(|template| template.trailer_at.is_some())
    }

    #[inline]
    fn template(&self) -> Option<&Template> {
        self.templates.get(*self.turn.get(self.number)?)
    }

    /// Writes the next frame, without check sequence, to the start of `out`, and gives its length in octets; 0 when it
    /// does not fit. The trailer is left out where there is no room for it.
    #[inline]
    pub fn build(&mut self, trailer: Option<Trailer>, out: &mut [u8]) -> usize {
        let words = self.words();
        let (source, to) =
            (self.source.next(&mut self.random), self.destination.next(&mut self.random));
        let Some(template) = self.template() else { return 0 };
        let Some(frame) = out.get_mut(..template.octets.len()) else { return 0 };
        frame.copy_from_slice(&template.octets);
        let mut sum = template.sum.plus(template.address(frame, source, to));
        if let Some(words) = words {
            sum = sum.plus(template.words(frame, words));
        }
        if let Some((trailer, at)) = trailer.zip(template.trailer_at) {
            trailer.write(frame);
            sum = sum.plus(Sum::of(frame.get(at..).unwrap_or_default()));
        }
        template.settle(frame, sum);
        let len = frame.len();
        self.number = if self.number + 1 == self.turn.len() { 0 } else { self.number + 1 };
        len
    }

    /// The two words of the upper header that vary: ports, or identifier and sequence.
    #[inline]
    fn words(&mut self) -> Option<(u16, u16)> {
        match self.plan.protocol {
            Protocol::Udp | Protocol::Tcp(_) => {
                let source = self.source_port.next(&mut self.random);
                Some((source, self.destination_port.next(&mut self.random)))
            }
            Protocol::Icmp => {
                let sequence = self.sequence;
                self.sequence = sequence.wrapping_add(1);
                Some((self.source_port.next(&mut self.random), sequence))
            }
            Protocol::Gre { .. } => None,
        }
    }
}

/// The trailer of a frame that has come back: whole, with right checksums, whatever its addresses became.
pub fn returned(frame: &[u8]) -> Option<Trailer> {
    Trailer::read(packet::in_frame(frame)?.payload)
}

/// Whether both are of one family.
pub(crate) const fn same_family(one: IpAddr, other: IpAddr) -> bool {
    one.is_ipv4() == other.is_ipv4()
}

#[cfg(test)]
mod tests;
