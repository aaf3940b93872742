//! Data messages: forged and repeated ones of strangers, and well sealed ones of a hostile client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use wire::ecn::Ecn;
use wire::{icmp, ipv4};
use wireguard::aead::{self, Job, Key, TAG_LEN};
use wireguard::index::Place;
use wireguard::message::{ClientId, DATA_HEADER_LEN, DATA_LEN_MIN, DataHeader, padded_len};
use zerocopy::IntoBytes;

use super::dice::Dice;
use super::frame::{Path, Template, Way};
use super::scene::{Client, Counters, Fleet, Need, Scene};

/// A data message that its sender could not seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forgery {
    /// To any index, as one who knows nothing has to.
    AnyIndex,
    ForeignServer,
    ForeignWorker,
    UnknownIndex,
    /// With a counter past the last that a session may use.
    Exhausted,
    /// A captured message.
    Again,
    /// To a live session, with a tag of chance.
    Tag,
    /// The same in all lengths.
    TagOfAnyLength,
}

/// Forged data messages.
#[derive(Debug)]
pub(super) struct Forged {
    forgery: Forgery,
    templates: Vec<Template>,
    fleet: Option<Fleet>,
    index: u32,
    counter: u64,
}

/// How far a forged counter lies before the session's own, so that it is new and stays so.
const AHEAD: u64 = 1 << 40;

impl Forged {
    pub(super) fn new(forgery: Forgery, scene: &Scene) -> Result<Self, Need> {
        let client = scene.client.as_ref();
        if scene.fleet.as_ref().is_some_and(|fleet| !fleet.is_sound()) {
            return Err(Need::Fleet);
        }
        let index = match forgery {
            Forgery::Exhausted | Forgery::Tag | Forgery::TagOfAnyLength => {
                client.ok_or(Need::Client)?.index
            }
            Forgery::UnknownIndex if scene.fleet.is_none() => {
                scene.captured.dead_index.ok_or(Need::DeadIndex)?
            }
            Forgery::ForeignWorker if scene.fleet.is_none() => return Err(Need::Fleet),
            Forgery::ForeignServer | Forgery::ForeignWorker if !has_others(forgery, scene) => {
                return Err(Need::SpareIndices);
            }
            Forgery::Again if scene.captured.datagrams.is_empty() => return Err(Need::Datagrams),
            Forgery::AnyIndex
            | Forgery::ForeignServer
            | Forgery::ForeignWorker
            | Forgery::UnknownIndex
            | Forgery::Again => 0,
        };
        let payloads = match forgery {
            Forgery::Again => scene.captured.datagrams.clone(),
            Forgery::TagOfAnyLength => [0, 16, 128, 560, 1_280, 1_408].map(blank).to_vec(),
            Forgery::AnyIndex
            | Forgery::ForeignServer
            | Forgery::ForeignWorker
            | Forgery::UnknownIndex
            | Forgery::Exhausted
            | Forgery::Tag => vec![blank(0)],
        };
        let ports = (scene.own_port, scene.listen_port);
        let mut templates = Vec::new();
        for way in Way::all(scene)? {
            for payload in &payloads {
                templates.push(Template::udp(way, ports, payload)?);
            }
        }
        let counter = client.map_or(0, |client| client.counters.peek()).saturating_add(AHEAD);
        Ok(Self { forgery, templates, fleet: scene.fleet.clone(), index, counter })
    }

    #[inline]
    pub(super) fn build(&mut self, dice: &mut Dice, out: &mut [u8]) -> usize {
        let Some(mut draft) = dice.pick(&self.templates).and_then(|frame| frame.copy(out)) else {
            return 0;
        };
        draft.spoof_with_port(dice);
        if self.forgery == Forgery::Again {
            return draft.finish();
        }
        let index = self.aim(dice);
        let counter = if self.forgery == Forgery::Exhausted {
            u64::MAX - u64::from(dice.below(1 << 13))
        } else {
            self.counter = self.counter.wrapping_add(1);
            self.counter
        };
        let len = draft.payload_len();
        draft.payload(|octets| {
            let octets = octets.get_mut(..len).unwrap_or_default();
            put_header(octets, index, counter);
            if let Some((_, tag)) = octets.split_last_chunk_mut::<TAG_LEN>() {
                dice.fill(tag);
            }
        });
        draft.finish()
    }

    /// The index of the next message.
    fn aim(&self, dice: &mut Dice) -> u32 {
        match (self.forgery, &self.fleet) {
            (Forgery::AnyIndex, _) | (Forgery::ForeignServer, None) => dice.index(),
            (Forgery::ForeignServer, Some(fleet)) => aim(fleet, Aim::Server, dice),
            (Forgery::ForeignWorker, Some(fleet)) => aim(fleet, Aim::Worker, dice),
            (Forgery::UnknownIndex, Some(fleet)) => aim(fleet, Aim::Slot, dice),
            (
                Forgery::ForeignWorker
                | Forgery::UnknownIndex
                | Forgery::Exhausted
                | Forgery::Again
                | Forgery::Tag
                | Forgery::TagOfAnyLength,
                _,
            ) => self.index,
        }
    }
}

/// Whether the index has room for servers or workers that there are not.
fn has_others(forgery: Forgery, scene: &Scene) -> bool {
    scene.fleet.as_ref().is_none_or(|fleet| {
        let layout = fleet.permutation.layout();
        if forgery == Forgery::ForeignWorker {
            u32::from(fleet.workers) < layout.worker_count()
        } else {
            layout.server_count() > 1
        }
    })
}

/// Which part of an index is wrong.
#[derive(Clone, Copy)]
enum Aim {
    Server,
    Worker,
    Slot,
}

/// An index of the fleet's of which one part is wrong. The fleet is sound and has room for it.
fn aim(fleet: &Fleet, aim: Aim, dice: &mut Dice) -> u32 {
    let layout = fleet.permutation.layout();
    let half = |number: u32| u16::try_from(number).unwrap_or(0);
    let slots = u32::try_from(layout.slot_count() - 1).unwrap_or(u32::MAX);
    let slot = dice.index() & slots;
    let worker = dice.below(fleet.workers);
    fleet.permutation.index(match aim {
        Aim::Server => {
            let count = layout.server_count();
            let step = 1 + dice.index() % (count - 1);
            Place { server: half((u32::from(fleet.server) + step) % count), worker: 0, slot }
        }
        Aim::Worker => {
            let first = u32::from(fleet.workers);
            let worker = half(first + dice.index() % (layout.worker_count() - first));
            Place { server: fleet.server, worker, slot }
        }
        // Slots are given out from the first on; nobody has half of them.
        Aim::Slot => Place { server: fleet.server, worker, slot: slot | (slots / 2 + 1) },
    })
}

/// A data message of this many octets of text, all zero.
fn blank(text_len: usize) -> Vec<u8> {
    vec![0; DATA_LEN_MIN + text_len]
}

#[inline]
fn put_header(message: &mut [u8], index: u32, counter: u64) {
    let header = DataHeader::new(ClientId::ZERO, index, counter);
    if let Some(place) = message.get_mut(..DATA_HEADER_LEN) {
        place.copy_from_slice(header.as_bytes());
    }
}

/// What a hostile client sends through its own session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trick {
    /// Text that is no IP packet.
    NoPacket,
    /// Another's source address.
    Source,
    /// A congestion mark outside that the inside cannot take.
    Congestion,
    Unrouted,
    HopLimit,
    Multicast,
    TooBig,
    /// To the server's kernel.
    Local,
    /// To a peer without an endpoint.
    Silent,
    /// To a peer that does not answer.
    Absent,
    /// To itself, while it moves through addresses beyond every router.
    Astray,
    /// To itself, while it moves through very many addresses of the server's link.
    Crowd,
    /// To itself, while it moves through a few of them where nobody is.
    Ghosts,
}

/// Well sealed messages of a hostile client.
#[derive(Debug)]
pub(super) struct Sealed {
    trick: Trick,
    template: Template,
    key: Key,
    index: u32,
    counters: Counters,
    text: Vec<u8>,
    /// The address of the server's link that comes next.
    host: u64,
    target_v6: Ipv6Addr,
}

/// Hosts of a link that [`Trick::Ghosts`] claims to be; each may have a few packets waiting for it.
const GHOSTS: u64 = 64;

impl Sealed {
    pub(super) fn new(trick: Trick, scene: &Scene) -> Result<Self, Need> {
        let client = scene.client.as_ref().ok_or(Need::Client)?;
        let text = text(trick, client)?;
        let roams = matches!(trick, Trick::Astray | Trick::Crowd | Trick::Ghosts);
        let mut way = if roams { Way::v6(scene)? } else { way_of(client, scene)? };
        if trick == Trick::TooBig && matches!(way.path, Path::V6(..)) {
            return Err(Need::OuterV4);
        }
        if trick == Trick::Congestion {
            way.tos = Ecn::Ce.bits();
        }
        let ports = (client.outer.port(), scene.listen_port);
        let template = Template::udp(way, ports, &blank(text.len()))?;
        Ok(Self {
            trick,
            template,
            key: Key::new(client.key.clone()),
            index: client.index,
            counters: client.counters.clone(),
            text,
            host: 0,
            target_v6: scene.target_v6.unwrap_or(Ipv6Addr::UNSPECIFIED),
        })
    }

    #[inline]
    pub(super) fn build(&mut self, dice: &mut Dice, out: &mut [u8]) -> usize {
        let Some(mut draft) = self.template.copy(out) else { return 0 };
        match self.trick {
            Trick::Astray => draft.spoof(dice),
            Trick::Crowd => draft.source(self.next_host(u64::MAX)),
            Trick::Ghosts => draft.source(self.next_host(GHOSTS)),
            Trick::NoPacket
            | Trick::Source
            | Trick::Congestion
            | Trick::Unrouted
            | Trick::HopLimit
            | Trick::Multicast
            | Trick::TooBig
            | Trick::Local
            | Trick::Silent
            | Trick::Absent => {}
        }
        let mut sealed = false;
        draft.payload(|octets| sealed = self.seal(octets));
        if sealed { draft.finish() } else { 0 }
    }

    /// Writes the next message; false when the room for it is too small.
    fn seal(&mut self, octets: &mut [u8]) -> bool {
        let counter = self.counters.take();
        put_header(octets, self.index, counter);
        let Some(room) = octets.get_mut(DATA_HEADER_LEN..) else { return false };
        let Some(place) = room.get_mut(..self.text.len()) else { return false };
        place.copy_from_slice(&self.text);
        let Some(job) = Job::new(&self.key, counter, room, self.text.len()) else {
            return false;
        };
        aead::seal(&mut [job]);
        true
    }

    /// The next of so many made-up hosts of the server's link.
    fn next_host(&mut self, count: u64) -> IpAddr {
        const FIRST: u64 = 0x00ff_6d72_0000_0000;
        const PREFIX: u128 = (u64::MAX as u128) << 64;
        self.host = (self.host + 1) % count;
        let net = self.target_v6.to_bits() & PREFIX;
        Ipv6Addr::from_bits(net | u128::from(FIRST + self.host)).into()
    }
}

/// From the client's own address to the server's of the same family.
fn way_of(client: &Client, scene: &Scene) -> Result<Way, Need> {
    let path = match client.outer {
        SocketAddr::V4(from) => Path::V4(*from.ip(), scene.target_v4.ok_or(Need::TargetV4)?),
        SocketAddr::V6(from) => Path::V6(*from.ip(), scene.target_v6.ok_or(Need::TargetV6)?),
    };
    Ok(Way { link: scene.link, path, tos: 0 })
}

/// Octets around an inner packet over IPv4: IP, UDP, data header and tag.
const OVERHEAD_V4: usize = 20 + 8 + DATA_HEADER_LEN + TAG_LEN;

/// The inner packet, padded as senders do.
fn text(trick: Trick, client: &Client) -> Result<Vec<u8>, Need> {
    let (own, itself) = (client.inner, client.inner);
    // The server counts with IPv6 outside, which takes 20 octets more: what just fits IPv4 is too big.
    let largest = usize::from(client.mtu).saturating_sub(OVERHEAD_V4);
    let small = 64;
    let (source, destination, hops, len) = match trick {
        Trick::NoPacket => return Ok(vec![0xff; 32]),
        Trick::Source => (client.unrouted, itself, 64, small),
        Trick::Congestion | Trick::Astray | Trick::Crowd | Trick::Ghosts => {
            (own, itself, 64, small)
        }
        Trick::Unrouted => (own, client.unrouted, 64, small),
        Trick::HopLimit => (own, itself, 1, small),
        Trick::Multicast => (own, Ipv4Addr::new(224, 0, 0, 5), 64, small),
        Trick::TooBig => (own, itself, 64, largest),
        Trick::Local => (own, client.local.ok_or(Need::Local)?, 64, small),
        Trick::Silent => (own, client.silent.ok_or(Need::Silent)?, 64, small),
        Trick::Absent => (own, client.absent.ok_or(Need::Absent)?, 64, small),
    };
    let mut packet = error(source, destination, hops, len).ok_or(Need::Short)?;
    packet.resize(padded_len(packet.len(), largest), 0);
    Ok(packet)
}

/// An ICMP error of `len` octets, which no router may answer with another (RFC 1122 3.2.2): so it is lost
/// under its name, whatever limit errors have.
fn error(source: Ipv4Addr, destination: Ipv4Addr, ttl: u8, len: usize) -> Option<Vec<u8>> {
    let payload_len = len.checked_sub(ipv4::HEADER_LEN)?;
    let mut packet = vec![0; len];
    let (header, message) = packet.split_at_mut_checked(ipv4::HEADER_LEN)?;
    let fields = ipv4::Fields {
        source,
        destination,
        protocol: icmp::v4::PROTOCOL,
        ttl,
        tos: 0,
        identification: 0,
        dont_fragment: true,
        payload_len,
    };
    ipv4::emit(header, &fields).ok()?;
    let quoted = vec![0; payload_len.checked_sub(icmp::HEADER_LEN)?];
    icmp::v4::emit_error(message, icmp::v4::Error::NetworkUnreachable, &quoted).ok()?;
    Some(packet)
}
