//! What no honest sender sends, and floods of what each of them might: to a tenant's prefixes, or to the server itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wire::icmp::{self, Echo};
use wire::tcp::{self, Flags};

use super::dice::{Dice, Nets};
use super::floods::REFLECTORS;
use super::frame::{Checked, Draft, Path, Template, Way};
use super::scene::{Need, Scene};

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packet {
    /// A fragment that no divided packet has.
    Torn,
    /// The end of a packet that is longer than any.
    Oversized,
    /// TCP that is cut off, or without ports.
    Cut,
    /// TCP flags that exclude each other.
    Flags,
    /// From the address that it goes to.
    Land,
    /// From addresses that nobody has.
    Bogon,
    /// An answer of a misused service.
    Reflected,
    /// Datagrams from the prefix for spoofed sources.
    Spoofed,
    /// Datagrams of one length from one port.
    Alike,
    /// Datagrams from one source.
    Heavy,
    /// Datagrams from many sources to one destination.
    Light,
    /// Echo requests.
    Echo,
    Syn,
    Ack,
    Rst,
    SynAck,
}

/// Packets of one kind.
#[derive(Debug)]
pub(super) struct Transit {
    packet: Packet,
    templates: Vec<Template>,
    targets: Nets,
    /// Prefixes of spoofed sources, of which the first host of each is [`Packet::Heavy`].
    sources: Nets,
}

/// Ports that tenants serve.
const SERVICES: [u16; 4] = [80, 443, 22, 8443];

/// From which port, with how many octets of payload [`Packet::Alike`] comes.
const ALIKE: (u16, usize) = (4_321, 333);

/// Octets of payload of a datagram: small, middling, full.
const SIZES: [usize; 3] = [18, 512, 1_400];

/// Combinations of flags that no segment has (RFC 9293 3.10).
const IMPOSSIBLE: [Flags; 8] = [
    Flags(0),
    Flags::FIN,
    Flags(Flags::SYN.0 | Flags::FIN.0),
    Flags(Flags::SYN.0 | Flags::RST.0),
    Flags(Flags::FIN.0 | Flags::RST.0 | Flags::ACK.0),
    Flags(Flags::FIN.0 | Flags::PSH.0 | Flags::URG.0),
    Flags(Flags::SYN.0 | Flags::FIN.0 | Flags::RST.0 | Flags::PSH.0 | Flags::ACK.0),
    Flags(0xff),
];

/// Prefixes that are nobody's on the Internet (RFC 6890), and outside of those that spoofed sources are drawn from.
const BOGONS_V4: [([u8; 4], u8); 5] = [
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 168, 0, 0], 16),
];
const BOGONS_V6: [(Ipv6Addr, u8); 3] = [
    (Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0), 8),
    (Ipv6Addr::new(0x2001, 0x20, 0, 0, 0, 0, 0, 0), 28),
    (Ipv6Addr::new(0x4000, 0, 0, 0, 0, 0, 0, 0), 3),
];

const FRAGMENT: u8 = 44;

impl Transit {
    pub(super) fn new(packet: Packet, scene: &Scene) -> Result<Self, Need> {
        // Land attacks on the server's own addresses are lost before, as packets from itself; and nobody guards its own
        // TCP, which is its kernel's.
        let for_tenants = matches!(packet, Packet::Land | Packet::Syn | Packet::Ack);
        let has_tenant = scene.tenant_v4.is_some() || scene.tenant_v6.is_some();
        if for_tenants && !has_tenant {
            return Err(Need::Tenant);
        }
        let targets = if has_tenant { tenant(scene) } else { server(scene) };
        if targets.is_empty() {
            return Err(Need::Target);
        }
        let mut templates = Vec::new();
        for way in ways(scene, &targets) {
            templates.extend(made(packet, way)?);
        }
        let sources = Nets::of(Some(scene.spoofed_v4), Some(scene.spoofed_v6));
        Ok(Self { packet, templates, targets, sources })
    }

    #[inline]
    pub(super) fn build(&self, dice: &mut Dice, out: &mut [u8]) -> usize {
        let Some(mut draft) = dice.pick(&self.templates).and_then(|frame| frame.copy(out)) else {
            return 0;
        };
        let target = self.target(draft.is_v6(), dice);
        match self.packet {
            Packet::Land => draft.source(target),
            Packet::Bogon => draft.source(bogon(draft.is_v6(), dice)),
            Packet::Heavy => self.heavy(&mut draft),
            Packet::Torn
            | Packet::Oversized
            | Packet::Cut
            | Packet::Flags
            | Packet::Reflected
            | Packet::Spoofed
            | Packet::Alike
            | Packet::Light
            | Packet::Echo
            | Packet::Syn
            | Packet::Ack
            | Packet::Rst
            | Packet::SynAck => draft.spoof(dice),
        }
        if self.packet != Packet::Light {
            draft.destination(target);
        }
        self.vary(&mut draft, dice);
        draft.finish()
    }

    fn heavy(&self, draft: &mut Draft<'_>) {
        let (v4, v6) = (self.sources.first_v4(), self.sources.first_v6());
        let source = if draft.is_v6() { v6.map(IpAddr::V6) } else { v4.map(IpAddr::V4) };
        if let Some(source) = source {
            draft.source(source);
        }
    }

    /// An address that is attacked.
    fn target(&self, is_v6: bool, dice: &mut Dice) -> IpAddr {
        if is_v6 { dice.v6(&self.targets).into() } else { dice.v4(&self.targets).into() }
    }

    /// Ports, numbers and flags.
    fn vary(&self, draft: &mut Draft<'_>, dice: &mut Dice) {
        match self.packet {
            Packet::Torn | Packet::Oversized | Packet::Echo | Packet::Cut => {}
            Packet::Reflected | Packet::Alike => draft.word(2, dice.port()),
            Packet::Bogon | Packet::Spoofed | Packet::Heavy | Packet::Light => {
                draft.word(0, dice.port());
                draft.word(2, dice.port());
            }
            Packet::Flags => {
                from_client(draft, dice);
                let flags = dice.pick(&IMPOSSIBLE).map_or(0, |flags| flags.0);
                draft.word(12, 5 << 12 | u16::from(flags));
            }
            Packet::Land | Packet::Syn | Packet::Ack | Packet::Rst => from_client(draft, dice),
            // Servers answer SYNs that bore somebody else's address.
            Packet::SynAck => {
                draft.word(0, dice.pick(&SERVICES).copied().unwrap_or(0));
                draft.word(2, dice.port());
                draft.word(4, dice.word());
                draft.word(6, dice.word());
            }
        }
    }
}

/// From any port of a client to one that is served, at any place of the stream.
fn from_client(draft: &mut Draft<'_>, dice: &mut Dice) {
    draft.word(0, dice.port());
    draft.word(2, dice.pick(&SERVICES).copied().unwrap_or(0));
    draft.word(4, dice.word());
    draft.word(6, dice.word());
}

fn tenant(scene: &Scene) -> Nets {
    Nets::of(scene.tenant_v4, scene.tenant_v6)
}

fn server(scene: &Scene) -> Nets {
    Nets::of(scene.target_v4.map(|at| (at, 32)), scene.target_v6.map(|at| (at, 128)))
}

/// From the attacker's own address to the first host of each prefix.
fn ways(scene: &Scene, targets: &Nets) -> Vec<Way> {
    let v4 = targets.first_v4().map(|to| Path::V4(scene.own_v4, to));
    let v6 = targets.first_v6().map(|to| Path::V6(scene.own_v6, to));
    let way = |path| Way { link: scene.link, path, tos: 0 };
    v4.into_iter().chain(v6).map(way).collect()
}

fn made(packet: Packet, way: Way) -> Result<Vec<Template>, Need> {
    match packet {
        Packet::Torn => torn(way),
        Packet::Oversized => oversized(way).map(|one| vec![one]),
        Packet::Cut => cut(way),
        Packet::Reflected => {
            let answer = |&(port, head, len): &(u16, &[u8], usize)| {
                let mut payload = head.to_vec();
                payload.resize(len, b'A');
                Template::udp(way, (port, SERVICES[0]), &payload)
            };
            REFLECTORS.iter().map(answer).collect()
        }
        Packet::Bogon | Packet::Spoofed | Packet::Heavy | Packet::Light => {
            SIZES.iter().map(|len| Template::udp(way, ALIKE_PORTS, &vec![0; *len])).collect()
        }
        Packet::Alike => Template::udp(way, ALIKE_PORTS, &[0x41; ALIKE.1]).map(|one| vec![one]),
        Packet::Echo => echo(way).map(|one| vec![one]),
        Packet::Land | Packet::Syn => Template::syn(way, SERVICES[0]).map(|one| vec![one]),
        Packet::Flags => Template::tcp(way, Flags::SYN, 0).map(|one| vec![one]),
        Packet::Ack => {
            let flags = Flags::ACK | Flags::PSH;
            Ok(vec![Template::tcp(way, Flags::ACK, 0)?, Template::tcp(way, flags, 512)?])
        }
        Packet::Rst => {
            let both = Flags::RST | Flags::ACK;
            Ok(vec![Template::tcp(way, Flags::RST, 0)?, Template::tcp(way, both, 0)?])
        }
        Packet::SynAck => Template::tcp(way, Flags::SYN | Flags::ACK, 0).map(|one| vec![one]),
    }
}

const ALIKE_PORTS: (u16, u16) = (ALIKE.0, 8_080);

/// Octets of a fragment's payload that is no trick by itself.
const PART: usize = 40;
/// Where a fragment of so many octets ends beyond the largest payload of either family; in units of eight octets.
const BEYOND: u16 = 8_187;

/// A first fragment without the flags of TCP (RFC 1858 3), and one that lies over them (RFC 3128 2).
fn torn(way: Way) -> Result<Vec<Template>, Need> {
    let tiny = part(way, tcp::PROTOCOL, (0, true), 8)?;
    Ok(vec![tiny, part(way, tcp::PROTOCOL, (1, true), PART)?])
}

/// The last fragment of a ping that is longer than any packet.
fn oversized(way: Way) -> Result<Template, Need> {
    let ping = match way.path {
        Path::V4(..) => icmp::v4::PROTOCOL,
        Path::V6(..) => icmp::v6::PROTOCOL,
    };
    part(way, ping, (BEYOND, false), PART)
}

fn part(way: Way, protocol: u8, (offset, more): (u16, bool), len: usize) -> Result<Template, Need> {
    match way.path {
        Path::V4(..) => {
            let mut template = Template::packet(way, protocol, Checked::Nothing, &vec![0; len])?;
            template.change(|draft| {
                draft.header_word(4, |_| 0x6d72);
                draft.header_word(6, |_| u16::from(more) << 13 | offset);
            });
            Ok(template)
        }
        Path::V6(..) => {
            let [high, low] = (offset << 3 | u16::from(more)).to_be_bytes();
            let mut octets = vec![protocol, 0, high, low, 0, 0, 0x6d, 0x72];
            octets.resize(octets.len() + len, 0);
            Template::packet(way, FRAGMENT, Checked::Nothing, &octets)
        }
    }
}

/// Half a TCP header, one that says it is shorter than it can be, and one from and one to no port.
fn cut(way: Way) -> Result<Vec<Template>, Need> {
    let half = Template::packet(way, tcp::PROTOCOL, Checked::Nothing, &[1; tcp::HEADER_LEN / 2])?;
    let changed = |at: usize, word: u16| {
        let mut template = Template::tcp(way, Flags::ACK, 0)?;
        template.change(|draft| draft.word(at, word));
        Ok(template)
    };
    let short = changed(12, 4 << 12 | u16::from(Flags::ACK.0))?;
    Ok(vec![half, short, changed(0, 0)?, changed(2, 0)?])
}

/// An echo request.
fn echo(way: Way) -> Result<Template, Need> {
    let mut message = [0; icmp::HEADER_LEN + 56];
    let echo = Echo { identifier: 7, sequence: 1 };
    match way.path {
        Path::V4(..) => {
            icmp::v4::emit_echo_request(&mut message, echo).map_err(|_| Need::Short)?;
            Template::packet(way, icmp::v4::PROTOCOL, Checked::Nothing, &message)
        }
        Path::V6(from, to) => {
            icmp::v6::emit_echo_request(&mut message, echo, from, to).map_err(|_| Need::Short)?;
            Template::packet(way, icmp::v6::PROTOCOL, Checked::Icmp, &message)
        }
    }
}

fn bogon(is_v6: bool, dice: &mut Dice) -> IpAddr {
    if is_v6 {
        let net = dice.pick(&BOGONS_V6).copied();
        return dice.v6(&Nets::of(None, net)).into();
    }
    let net = dice.pick(&BOGONS_V4).map(|(first, len)| (Ipv4Addr::from(*first), *len));
    dice.v4(&Nets::of(net, None)).into()
}
