//! A frame made once, and copies of it with a few fields changed and every checksum mended (RFC 1624).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wire::checksum::{Delta, Sum};
use wire::{NoRoom, arp, ethernet, ipv4, ipv6, tcp, udp};

use super::dice::Dice;
use super::scene::{Link, Need, Scene};

/// Largest IP packet of a frame here.
const MTU: usize = 1500;

/// Source and destination, of one family.
#[derive(Clone, Copy, Debug)]
pub(super) enum Path {
    V4(Ipv4Addr, Ipv4Addr),
    V6(Ipv6Addr, Ipv6Addr),
}

impl Path {
    fn pseudo(self, protocol: u8, len: usize) -> Sum {
        let len = u16::try_from(len).unwrap_or(u16::MAX);
        match self {
            Self::V4(from, to) => Sum::pseudo_v4(from, to, protocol, len),
            Self::V6(from, to) => Sum::pseudo_v6(from, to, protocol, len),
        }
    }
}

/// From where to where a frame travels, on the link and beyond.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) link: Link,
    pub(super) path: Path,
    /// DSCP and ECN.
    pub(super) tos: u8,
}

impl Way {
    /// From the attacker's own address, in each family that the server has.
    pub(super) fn all(scene: &Scene) -> Result<Vec<Self>, Need> {
        let ways: Vec<_> = Self::v4(scene).into_iter().chain(Self::v6(scene)).collect();
        if ways.is_empty() { Err(Need::Target) } else { Ok(ways) }
    }

    pub(super) fn v4(scene: &Scene) -> Result<Self, Need> {
        let path = Path::V4(scene.own_v4, scene.target_v4.ok_or(Need::TargetV4)?);
        Ok(Self { link: scene.link, path, tos: 0 })
    }

    pub(super) fn v6(scene: &Scene) -> Result<Self, Need> {
        let path = Path::V6(scene.own_v6, scene.target_v6.ok_or(Need::TargetV6)?);
        Ok(Self { link: scene.link, path, tos: 0 })
    }

    /// The link header and an IP header before `len` octets of payload.
    fn headers(&self, protocol: u8, len: usize) -> Result<Vec<u8>, NoRoom> {
        let mut ip = [0; ipv6::HEADER_LEN];
        let (ip_len, ethertype) = match self.path {
            Path::V4(source, destination) => {
                let fields = ipv4::Fields {
                    source,
                    destination,
                    protocol,
                    ttl: 64,
                    tos: self.tos,
                    identification: 0,
                    dont_fragment: true,
                    payload_len: len,
                };
                (ipv4::emit(&mut ip, &fields)?, ipv4::ETHERTYPE)
            }
            Path::V6(source, destination) => {
                let fields = ipv6::Fields {
                    source,
                    destination,
                    protocol,
                    hop_limit: 64,
                    traffic_class: self.tos,
                    flow_label: 0,
                    payload_len: len,
                };
                (ipv6::emit(&mut ip, &fields)?, ipv6::ETHERTYPE)
            }
        };
        if ip_len + len > MTU {
            return Err(NoRoom);
        }
        let mut octets = link_header(&self.link, self.link.server, ethertype)?;
        octets.extend(ip.get(..ip_len).unwrap_or_default());
        Ok(octets)
    }
}

fn link_header(link: &Link, to: ethernet::Mac, ethertype: u16) -> Result<Vec<u8>, NoRoom> {
    let mut octets = vec![0; ethernet::TAGGED_HEADER_LEN];
    let len = ethernet::emit(&mut octets, to, link.station, link.vlan, ethertype)?;
    octets.truncate(len);
    Ok(octets)
}

/// Which checksum the upper protocol has, and where in its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checked {
    Nothing,
    Udp,
    Tcp,
    /// Of ICMPv6: that of IPv4 covers no address.
    Icmp,
}

/// Where things are in a frame, octets from its start.
#[derive(Clone, Copy, Debug)]
struct Outline {
    len: usize,
    ip: usize,
    upper: usize,
    is_v6: bool,
    checked: Checked,
}

impl Outline {
    const fn checksum(&self) -> usize {
        let offset = match self.checked {
            Checked::Icmp => 2,
            Checked::Udp => 6,
            Checked::Tcp | Checked::Nothing => 16,
        };
        self.upper + offset
    }
}

/// A whole frame, made once.
#[derive(Debug)]
pub(super) struct Template {
    octets: Vec<u8>,
    outline: Outline,
}

impl Template {
    /// A UDP datagram with right checksums.
    pub(super) fn udp(way: Way, ports: (u16, u16), payload: &[u8]) -> Result<Self, Need> {
        let mut datagram = vec![0; udp::HEADER_LEN];
        datagram.extend(payload);
        let ports = udp::Ports { source: ports.0, destination: ports.1 };
        match way.path {
            Path::V4(from, to) => udp::emit_v4(&mut datagram, ports, from, to),
            Path::V6(from, to) => udp::emit_v6(&mut datagram, ports, from, to),
        }
        .map_err(|_| Need::Short)?;
        Self::packet(way, udp::PROTOCOL, Checked::Udp, &datagram)
    }

    /// A TCP SYN with a maximum segment size, as clients send them.
    pub(super) fn syn(way: Way, port: u16) -> Result<Self, Need> {
        const MSS: [u8; 4] = [2, 4, 0x05, 0xb4];
        let mut segment = [0; tcp::HEADER_LEN + MSS.len()];
        let fields = tcp::Fields {
            source_port: 1024,
            destination_port: port,
            sequence_number: 0,
            acknowledgment_number: 0,
            flags: tcp::Flags::SYN,
            window: 64_240,
        };
        let pseudo = way.path.pseudo(tcp::PROTOCOL, segment.len());
        tcp::emit(&mut segment, &fields, &MSS, pseudo).map_err(|_| Need::Short)?;
        Self::packet(way, tcp::PROTOCOL, Checked::Tcp, &segment)
    }

    /// A TCP segment without options, with so many octets of payload.
    pub(super) fn tcp(way: Way, flags: tcp::Flags, len: usize) -> Result<Self, Need> {
        let mut segment = vec![0; tcp::HEADER_LEN + len];
        let fields = tcp::Fields {
            source_port: 1024,
            destination_port: 80,
            sequence_number: 0,
            acknowledgment_number: 1,
            flags,
            window: 64_240,
        };
        let pseudo = way.path.pseudo(tcp::PROTOCOL, segment.len());
        tcp::emit(&mut segment, &fields, &[], pseudo).map_err(|_| Need::Short)?;
        Self::packet(way, tcp::PROTOCOL, Checked::Tcp, &segment)
    }

    /// Any IP packet; `upper` is all that follows its header.
    pub(super) fn packet(
        way: Way,
        protocol: u8,
        checked: Checked,
        upper: &[u8],
    ) -> Result<Self, Need> {
        let mut octets = way.headers(protocol, upper.len()).map_err(|_| Need::Short)?;
        let is_v6 = matches!(way.path, Path::V6(..));
        let ip_len = if is_v6 { ipv6::HEADER_LEN } else { ipv4::HEADER_LEN };
        let (start, ip) = (octets.len(), octets.len() - ip_len);
        octets.extend(upper);
        let outline = Outline { len: octets.len(), ip, upper: start, is_v6, checked };
        Ok(Self { octets, outline })
    }

    /// The broadcast question who has `target`.
    pub(super) fn arp(link: &Link, from: Ipv4Addr, target: Ipv4Addr) -> Result<Self, Need> {
        let short = |_| Need::Short;
        let mut octets = link_header(link, ethernet::BROADCAST, arp::ETHERTYPE).map_err(short)?;
        let ip = octets.len();
        let mut message = [0; arp::LEN];
        arp::emit(&mut message, &arp::Message::request(link.station, from, target))
            .map_err(short)?;
        octets.extend(message);
        let (len, checked) = (octets.len(), Checked::Nothing);
        Ok(Self { octets, outline: Outline { len, ip, upper: ip, is_v6: false, checked } })
    }

    /// Changes the frame itself.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Draft<'_>)) {
        let Self { octets, outline } = self;
        let mut draft = Draft { out: octets, outline: *outline, delta: Delta::NONE };
        change(&mut draft);
        draft.finish();
    }

    /// A copy at the start of `out`, to be changed; none when it does not fit.
    #[inline]
    pub(super) fn copy<'a>(&self, out: &'a mut [u8]) -> Option<Draft<'a>> {
        out.get_mut(..self.octets.len())?.copy_from_slice(&self.octets);
        Some(Draft { out, outline: self.outline, delta: Delta::NONE })
    }
}

/// A copy of a template. Offsets of its functions lie within the template; what does not is left as it is.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    out: &'a mut [u8],
    outline: Outline,
    /// What the changes so far make to the upper checksum.
    delta: Delta,
}

impl Draft<'_> {
    pub(super) const fn is_v6(&self) -> bool {
        self.outline.is_v6
    }

    /// Octets of a UDP datagram's payload.
    pub(super) const fn payload_len(&self) -> usize {
        self.outline.len.saturating_sub(self.outline.upper + udp::HEADER_LEN)
    }

    /// Another source address of the same family.
    #[inline]
    pub(super) fn source(&mut self, address: IpAddr) {
        let Some(octets) = self.out.get_mut(self.outline.ip..) else { return };
        let delta = match (address, self.outline.is_v6) {
            (IpAddr::V4(address), false) => {
                ipv4::Header::of(octets).map(|header| header.set_source(address))
            }
            (IpAddr::V6(address), true) => ipv6::Header::of(octets).map(|header| {
                let old = std::mem::replace(&mut header.source, address.octets());
                Delta::of_v6(old.into(), address)
            }),
            (IpAddr::V4(_), true) | (IpAddr::V6(_), false) => return,
        };
        self.delta = self.delta.plus(delta.unwrap_or(Delta::NONE));
    }

    /// Another destination address of the same family.
    #[inline]
    pub(super) fn destination(&mut self, address: IpAddr) {
        let Some(octets) = self.out.get_mut(self.outline.ip..) else { return };
        let delta = match (address, self.outline.is_v6) {
            (IpAddr::V4(address), false) => {
                ipv4::Header::of(octets).map(|header| header.set_destination(address))
            }
            (IpAddr::V6(address), true) => ipv6::Header::of(octets).map(|header| {
                let old = std::mem::replace(&mut header.destination, address.octets());
                Delta::of_v6(old.into(), address)
            }),
            (IpAddr::V4(_), true) | (IpAddr::V6(_), false) => return,
        };
        self.delta = self.delta.plus(delta.unwrap_or(Delta::NONE));
    }

    /// A source address out of the prefix for spoofed ones.
    #[inline]
    pub(super) fn spoof(&mut self, dice: &mut Dice) {
        let address = if self.is_v6() { dice.source_v6().into() } else { dice.source_v4().into() };
        self.source(address);
    }

    /// A spoofed source and a random port.
    #[inline]
    pub(super) fn spoof_with_port(&mut self, dice: &mut Dice) {
        self.spoof(dice);
        self.word(0, dice.port());
    }

    /// A 16-bit word of the upper protocol, at an even offset from its start.
    #[inline]
    pub(super) fn word(&mut self, at: usize, word: u16) {
        if let Some(place) = at_word(self.out, self.outline.upper + at) {
            let old = std::mem::replace(place, word.to_be_bytes());
            self.delta = self.delta.plus(Delta::of_word(u16::from_be_bytes(old), word));
        }
    }

    /// A 16-bit word of the IPv4 header, whose checksum follows.
    #[inline]
    pub(super) fn header_word(&mut self, at: usize, change: impl FnOnce(u16) -> u16) {
        let Some(place) = at_word(self.out, self.outline.ip + at) else { return };
        let old = u16::from_be_bytes(*place);
        let new = change(old);
        *place = new.to_be_bytes();
        let Some(octets) = self.out.get_mut(self.outline.ip..) else { return };
        if let Ok(header) = ipv4::Header::of(octets) {
            header.checksum = Delta::of_word(old, new).apply(header.checksum.get()).into();
        }
    }

    /// A 16-bit word of the upper protocol or, before it, of the IP header; no checksum follows.
    #[inline]
    pub(super) fn spoil(&mut self, part: Part, at: usize, change: impl FnOnce(u16) -> u16) {
        let start = match part {
            Part::Link => 0,
            Part::Ip => self.outline.ip,
            Part::Upper => self.outline.upper,
        };
        if let Some(place) = at_word(self.out, start + at) {
            *place = change(u16::from_be_bytes(*place)).to_be_bytes();
        }
    }

    /// Lets `write` change the payload of a UDP datagram. It sees all the room behind the payload as well;
    /// the payload's length stays.
    #[inline]
    pub(super) fn payload(&mut self, write: impl FnOnce(&mut [u8])) {
        let start = self.outline.upper + udp::HEADER_LEN;
        let len = self.payload_len();
        let Some(octets) = self.out.get_mut(start..) else { return };
        let old = Sum::of(octets.get(..len).unwrap_or_default());
        write(octets);
        let new = Sum::of(octets.get(..len).unwrap_or_default());
        self.delta = self.delta.plus(Delta::between(old, new));
    }

    /// Settles the upper checksum; gives the frame's length.
    #[inline]
    pub(super) fn finish(self) -> usize {
        if self.outline.checked != Checked::Nothing
            && let Some(place) = at_word(self.out, self.outline.checksum())
        {
            let old = u16::from_be_bytes(*place);
            let is_udp = self.outline.checked == Checked::Udp;
            let new = if is_udp { self.delta.apply_udp(old) } else { self.delta.apply(old) };
            *place = new.to_be_bytes();
        }
        self.outline.len
    }
}

/// What an offset counts from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    Link,
    Ip,
    Upper,
}

#[inline]
fn at_word(octets: &mut [u8], at: usize) -> Option<&mut [u8; 2]> {
    octets.get_mut(at..)?.first_chunk_mut()
}
