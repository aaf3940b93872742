//! Floods as they are met on the Internet: no single fault, but sources, ports and sizes of every kind.

use wire::{gre, ipv4, udp};

use super::dice::Dice;
use super::frame::{Checked, Template, Way};
use super::scene::{Need, Scene};

/// What the flood is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flood {
    Syn,
    Udp,
    Reflection,
    Gre,
}

/// One flood.
#[derive(Debug)]
pub(super) struct Packets {
    flood: Flood,
    templates: Vec<Template>,
    listen_port: u16,
}

/// Ports that are open more often than others.
const SERVICES: [u16; 5] = [22, 80, 179, 443, 8080];

/// Octets of payload of a spoofed datagram: small, middling, full.
const SIZES: [usize; 3] = [18, 512, 1_400];

/// Services that answer with more than they were asked, from which port, how their answers begin, and how
/// long they usually are.
pub(super) const REFLECTORS: [(u16, &[u8], usize); 10] = [
    (19, b" !\"#$%&'()*+,-./0123456789", 1_024),
    (53, &[0xaa, 0xaa, 0x81, 0x80, 0, 1, 0, 20], 1_200),
    (111, &[0xbb, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0], 436),
    (123, &[0xd7, 0, 3, 0x2a, 0, 6, 0, 0x48], 440),
    (161, &[0x30, 0x82, 4, 0, 2, 1, 1, 4, 6], 1_024),
    (389, &[0x30, 0x84, 0, 0, 5, 0x78, 2, 1, 7, 0x64], 1_400),
    (1_900, b"HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\n", 320),
    (3_702, b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>", 700),
    (5_353, &[0, 0, 0x84, 0, 0, 0, 0, 4], 600),
    (11_211, &[0, 0, 0, 0, 0, 1, 0, 0, b'V', b'A', b'L', b'U', b'E'], 1_400),
];

impl Packets {
    pub(super) fn new(flood: Flood, scene: &Scene) -> Result<Self, Need> {
        let mut templates = Vec::new();
        for way in Way::all(scene)? {
            match flood {
                Flood::Syn => templates.push(Template::syn(way, SERVICES[0])?),
                Flood::Udp => {
                    for len in SIZES {
                        let ports = (scene.own_port, scene.listen_port);
                        templates.push(Template::udp(way, ports, &vec![0; len])?);
                    }
                }
                Flood::Reflection => {
                    for (port, head, len) in REFLECTORS {
                        let mut payload = head.to_vec();
                        payload.resize(len, b'A');
                        templates.push(Template::udp(way, (port, scene.listen_port), &payload)?);
                    }
                }
                Flood::Gre => templates.push(tunnelled(way, scene)?),
            }
        }
        Ok(Self { flood, templates, listen_port: scene.listen_port })
    }

    #[inline]
    pub(super) fn build(&self, dice: &mut Dice, out: &mut [u8]) -> usize {
        let Some(mut draft) = dice.pick(&self.templates).and_then(|frame| frame.copy(out)) else {
            return 0;
        };
        draft.spoof(dice);
        match self.flood {
            Flood::Syn => {
                draft.word(0, dice.port());
                let known = dice.pick(&SERVICES).copied().filter(|_| dice.octet() < 192);
                draft.word(2, known.unwrap_or_else(|| dice.port()));
                draft.word(4, dice.word());
                draft.word(6, dice.word());
            }
            Flood::Udp => {
                draft.word(0, dice.port());
                draft.word(2, dice.port());
            }
            // Reflectors answer the port that was forged: often the one that is to be hit.
            Flood::Reflection => {
                let hit = dice.octet() < 64;
                draft.word(2, if hit { self.listen_port } else { dice.port() });
            }
            Flood::Gre => {
                draft.word(4, dice.word());
                draft.word(6, dice.word());
            }
        }
        draft.finish()
    }
}

/// A packet in GRE with a key, as a tunnel's far end would send it.
fn tunnelled(way: Way, scene: &Scene) -> Result<Template, Need> {
    let fields = gre::Fields {
        protocol: ipv4::ETHERTYPE,
        key: Some(0),
        sequence: None,
        with_checksum: false,
    };
    let inner = ipv4::Fields {
        source: scene.own_v4,
        destination: scene.target_v4.unwrap_or(scene.own_v4),
        protocol: udp::PROTOCOL,
        ttl: 64,
        tos: 0,
        identification: 0,
        dont_fragment: true,
        payload_len: udp::HEADER_LEN,
    };
    let start = fields.header_len();
    let mut octets = vec![0; start + ipv4::HEADER_LEN + udp::HEADER_LEN];
    let (head, packet) = octets.split_at_mut_checked(start).ok_or(Need::Short)?;
    let ports = udp::Ports { source: scene.own_port, destination: scene.own_port };
    let datagram = packet.get_mut(ipv4::HEADER_LEN..).ok_or(Need::Short)?;
    udp::emit_v4(datagram, ports, inner.source, inner.destination).map_err(|_| Need::Short)?;
    ipv4::emit(packet, &inner).map_err(|_| Need::Short)?;
    gre::emit(head, &fields).map_err(|_| Need::Short)?;
    Template::packet(way, gre::PROTOCOL, Checked::Nothing, &octets)
}
