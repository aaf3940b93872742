//! Frames whose outer headers are wrong: no key, no session, no secret needed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wire::{icmp, tcp, udp};

use super::dice::Dice;
use super::frame::{Checked, Draft, Part, Path, Template, Way};
use super::scene::{Link, Need, Scene};

/// What is wrong with the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Cut,
    Station,
    Tag,
    Neighbour,
    Version,
    HeaderLength,
    TotalLength,
    HeaderChecksum,
    Extensions,
    Source,
    Destination,
    Fragment,
    UdpLength,
    UdpChecksum,
    /// Nothing is: it is merely the kernel's.
    Kernels,
}

/// Those that break IPv4, IPv6 or UDP headers.
pub(super) const MALFORMED: [Change; 7] = [
    Change::Version,
    Change::HeaderLength,
    Change::TotalLength,
    Change::HeaderChecksum,
    Change::Extensions,
    Change::UdpLength,
    Change::UdpChecksum,
];

const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;
const HOP_BY_HOP: u8 = 0;
/// A port that only the kernel could serve.
const SSH: u16 = 22;
/// One more than anybody walks.
const MANY: usize = 9;

/// One of the changes, done to good frames.
#[derive(Debug)]
pub(super) struct Outer {
    change: Change,
    templates: Vec<Template>,
    link: Link,
    /// Sources that no packet may come from.
    martians: Vec<IpAddr>,
}

impl Outer {
    pub(super) fn new(change: Change, scene: &Scene) -> Result<Self, Need> {
        let templates = match change {
            Change::Neighbour => {
                let target = scene.target_v4.ok_or(Need::TargetV4)?;
                vec![Template::arp(&scene.link, scene.own_v4, target)?]
            }
            Change::Version
            | Change::HeaderLength
            | Change::TotalLength
            | Change::HeaderChecksum => vec![datagram(Way::v4(scene)?, scene)?],
            Change::Extensions => extended(Way::v6(scene)?, scene)?,
            Change::Fragment => each(scene, |way| fragment(way, udp::PROTOCOL))?,
            Change::Kernels => each(scene, |way| Template::syn(way, SSH))?,
            Change::Tag => tagged(scene)?,
            Change::Cut
            | Change::Station
            | Change::Source
            | Change::Destination
            | Change::UdpLength
            | Change::UdpChecksum => each(scene, |way| datagram(way, scene))?,
        };
        Ok(Self { change, templates, link: scene.link, martians: martians(scene) })
    }

    /// Fragments of any protocol that is usually filtered.
    pub(super) fn fragments(scene: &Scene) -> Result<Self, Need> {
        let mut templates = Vec::new();
        for protocol in [udp::PROTOCOL, tcp::PROTOCOL, icmp::v4::PROTOCOL] {
            templates.extend(each(scene, |way| fragment(way, protocol))?);
        }
        let martians = Vec::new();
        Ok(Self { change: Change::Fragment, templates, link: scene.link, martians })
    }

    #[inline]
    pub(super) fn build(&self, dice: &mut Dice, out: &mut [u8]) -> usize {
        let Some(mut draft) = dice.pick(&self.templates).and_then(|frame| frame.copy(out)) else {
            return 0;
        };
        if self.change != Change::Neighbour {
            draft.spoof(dice);
        }
        match self.change {
            Change::Cut => return 1 + usize::from(dice.below(13)),
            Change::Station => self.divert(&mut draft, dice),
            Change::Tag => self.retag(&mut draft, dice),
            Change::Neighbour => confuse(&mut draft, dice),
            Change::Version => {
                let version = (5 + dice.below(15)) & 0xf;
                draft.header_word(0, |word| word & 0x0fff | version << 12);
            }
            Change::HeaderLength => {
                let words = dice.below(5);
                draft.header_word(0, |word| word & 0xf0ff | words << 8);
            }
            Change::TotalLength => {
                let len =
                    if dice.octet() & 1 == 0 { dice.below(20) } else { 2_000 + dice.below(60_000) };
                draft.header_word(2, |_| len);
            }
            // One bit is a difference that no second zero hides.
            Change::HeaderChecksum => {
                let bit = 1 << dice.below(16);
                draft.spoil(Part::Ip, 10, |checksum| checksum ^ bit);
            }
            Change::Source => {
                if let Some(martian) = self.martian(draft.is_v6(), dice) {
                    draft.source(martian);
                }
            }
            Change::Destination => {
                let address =
                    if draft.is_v6() { dice.source_v6().into() } else { dice.source_v4().into() };
                draft.destination(address);
            }
            Change::Fragment => tear(&mut draft, dice),
            Change::UdpLength => {
                let difference = 1 + dice.below(0xfffe);
                draft.spoil(Part::Upper, 4, |len| len ^ difference);
            }
            Change::UdpChecksum => {
                let bit = 1 << dice.below(16);
                draft.spoil(Part::Upper, 6, |checksum| garbled(checksum, bit));
            }
            Change::Extensions | Change::Kernels => {}
        }
        draft.finish()
    }
}

impl Outer {
    /// To a station that is not the server's.
    fn divert(&self, draft: &mut Draft<'_>, dice: &mut Dice) {
        let mut station = [0; 6];
        dice.fill(&mut station);
        // Locally administered, and no group.
        station[0] = station[0] & 0xfc | 0x02;
        if station == self.link.server {
            station[5] ^= 1;
        }
        let (words, _) = station.as_chunks::<2>();
        for (number, octets) in words.iter().enumerate() {
            draft.spoil(Part::Link, 2 * number, |_| u16::from_be_bytes(*octets));
        }
    }

    /// Under a tag that is not the server's.
    fn retag(&self, draft: &mut Draft<'_>, dice: &mut Dice) {
        let id = 1 + dice.below(IDS);
        let id = if Some(id) == self.link.vlan { id % IDS + 1 } else { id };
        draft.spoil(Part::Link, TAG, |_| id);
    }

    fn martian(&self, is_v6: bool, dice: &mut Dice) -> Option<IpAddr> {
        let first = usize::from(dice.octet());
        let alike = || self.martians.iter().filter(|address| address.is_ipv6() == is_v6);
        alike().nth(first % alike().count().max(1)).copied()
    }
}

/// VLAN ids in use: 1 to 4094.
const IDS: u16 = 4094;
/// Where the id stands in a tagged frame.
const TAG: usize = 14;

fn each(
    scene: &Scene,
    make: impl Fn(Way) -> Result<Template, Need>,
) -> Result<Vec<Template>, Need> {
    Way::all(scene)?.into_iter().map(make).collect()
}

/// To the server's port, but not a message.
fn datagram(way: Way, scene: &Scene) -> Result<Template, Need> {
    Template::udp(way, (scene.own_port, scene.listen_port), b"no message")
}

fn tagged(scene: &Scene) -> Result<Vec<Template>, Need> {
    let link = Link { vlan: Some(1), ..scene.link };
    each(scene, |way| datagram(Way { link, ..way }, scene))
}

/// Extension headers that the RFCs forbid or that are too many.
fn extended(way: Way, scene: &Scene) -> Result<Vec<Template>, Need> {
    let [high, low] = scene.listen_port.to_be_bytes();
    let datagram = [4, 0, high, low, 0, 8, 0, 0];
    let option = |next| [next, 0, 1, 4, 0, 0, 0, 0];
    // Source routing of type 0 (RFC 5095).
    let routing = [&[udp::PROTOCOL, 2, 0, 1, 0, 0, 0, 0][..], &[0; 16], &datagram].concat();
    // Hop-by-hop options behind another header (RFC 8200 4.1).
    let late = [option(HOP_BY_HOP), option(udp::PROTOCOL), datagram].concat();
    let mut long = option(DESTINATION_OPTIONS).repeat(MANY - 1);
    long.extend([option(udp::PROTOCOL), datagram].concat());
    [(ROUTING, routing), (DESTINATION_OPTIONS, late), (DESTINATION_OPTIONS, long)]
        .iter()
        .map(|(first, octets)| Template::packet(way, *first, Checked::Nothing, octets))
        .collect()
}

/// Octets of a fragment's payload: a multiple of 8.
const TORN: usize = 40;

fn fragment(way: Way, protocol: u8) -> Result<Template, Need> {
    match way.path {
        Path::V4(..) => Template::packet(way, protocol, Checked::Nothing, &[0; TORN]),
        Path::V6(..) => {
            let protocol =
                if protocol == icmp::v4::PROTOCOL { icmp::v6::PROTOCOL } else { protocol };
            let mut octets = [0; 8 + TORN];
            octets[0] = protocol;
            Template::packet(way, FRAGMENT, Checked::Nothing, &octets)
        }
    }
}

/// First, middle or last fragment of some datagram.
fn tear(draft: &mut Draft<'_>, dice: &mut Dice) {
    const OFFSETS: u16 = 8000;
    let offset = if dice.octet() < 64 { 0 } else { dice.below(OFFSETS) };
    let more = u16::from(offset == 0 || dice.octet() & 1 == 1);
    let identification = dice.word();
    if draft.is_v6() {
        draft.spoil(Part::Upper, 2, |_| offset << 3 | more);
        draft.spoil(Part::Upper, 6, |_| identification);
    } else {
        draft.header_word(4, |_| identification);
        draft.header_word(6, |_| more << 13 | offset);
    }
}

/// Breaks an ARP message in a way that padding to Ethernet's smallest frame does not hide.
fn confuse(draft: &mut Draft<'_>, dice: &mut Dice) {
    let number = 3 + dice.below(0xfff0);
    match dice.below(3) {
        // Another hardware, another operation, or a group that claims to have sent it.
        0 => draft.spoil(Part::Ip, 0, |_| number),
        1 => draft.spoil(Part::Ip, 6, |_| number),
        _ => draft.spoil(Part::Ip, 8, |word| word | 0x0100),
    }
}

/// A wrong checksum that is not zero: zero would mean that there is none (RFC 768).
const fn garbled(checksum: u16, bit: u16) -> u16 {
    match checksum ^ bit {
        0 => !checksum,
        wrong => wrong,
    }
}

fn martians(scene: &Scene) -> Vec<IpAddr> {
    let v4 = [[0, 1, 2, 3], [127, 0, 0, 1], [224, 0, 0, 1], [240, 0, 0, 1], [255; 4]];
    let v6 =
        [Ipv6Addr::UNSPECIFIED, Ipv6Addr::LOCALHOST, Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1)];
    let ours = scene.target_v4.map(IpAddr::V4).into_iter().chain(scene.target_v6.map(IpAddr::V6));
    let v4 = v4.into_iter().map(|octets| Ipv4Addr::from(octets).into());
    v4.chain(v6.into_iter().map(IpAddr::V6)).chain(ours).collect()
}
