//! A packet's octets in our buffer, with room before and after, and what the stages have found out about it.

use std::net::{IpAddr, SocketAddr};

use shm::message::Class;
use wire::Malformed;
use wireguard::message::ClientId;

use crate::fate::{DropReason, Fate};
use crate::fleet::Passage;
use crate::neighbours::LinkAddress;
use crate::packet::{Address, Ip};
use crate::stages::dos::Sender;
use crate::stages::route::NextHop;

/// Where a frame came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// From the network, by this port: an Ethernet frame.
    Wire(u8),
    /// From the kernel's face of this port: an Ethernet frame without tag, to go out as it is.
    Kernel(u8),
    /// From the kernel's interface for inner packets: an Ethernet frame.
    Local,
    /// From the network by this port, by way of another worker that has looked at it: a sealed message, with its headers
    /// before it and its slot in the note.
    Sealed(u8),
    /// From a client by way of another worker: an opened, checked inner packet.
    Client,
    /// From `Local` by way of another worker: an inner packet.
    Handed,
    /// A piece of a datagram from the network, by this port, that its tenant lets pass and that has waited for the others:
    /// an IP packet.
    Piece(u8),
    /// To an address by which the Internet knows clients, by way of another worker: an IP packet; what is to be told about it
    /// leaves by this port.
    Reply(u8),
    /// A whole frame of another worker that has no queue of this port.
    Relay(u8),
    /// Made here; the note is complete.
    Own,
}

impl Entry {
    /// The entry as a packet's tag between workers; `verified` goes with it.
    #[inline]
    pub fn tag(self, verified: bool) -> u64 {
        let (number, port) = match self {
            Self::Wire(port) => (1, port),
            Self::Kernel(port) => (2, port),
            Self::Local => (3, 0),
            Self::Client => (4, 0),
            Self::Handed => (5, 0),
            Self::Relay(port) => (6, port),
            Self::Sealed(port) => (7, port),
            Self::Piece(port) => (8, port),
            Self::Reply(port) => (9, port),
            Self::Own => (0, 0),
        };
        number | u64::from(port) << 8 | u64::from(verified) << 16
    }

    /// Reads a tag; whatever is in it, the frame is parsed again.
    #[inline]
    pub fn from_tag(tag: u64) -> (Self, bool) {
        let [number, port, verified, ..] = tag.to_le_bytes();
        let entry = match number {
            1 => Self::Wire(port),
            2 => Self::Kernel(port),
            3 => Self::Local,
            4 => Self::Client,
            6 => Self::Relay(port),
            7 => Self::Sealed(port),
            8 => Self::Piece(port),
            9 => Self::Reply(port),
            _ => Self::Handed,
        };
        (entry, verified != 0)
    }
}

/// What a frame is, as far as the stages know. A stage acts on its own kinds and passes the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Not looked at yet.
    Unknown,
    /// A WireGuard data message, from its first octet.
    Sealed,
    /// One of a session that is no more, though its client may think so.
    Orphan,
    /// Any other WireGuard message, from its first octet.
    Handshake,
    /// An ARP message.
    Arp,
    /// An ICMPv6 neighbour solicitation or advertisement, from its IPv6 header.
    Discovery,
    /// For the kernel, from the network: from its IP header.
    Host,
    /// To a tenant's prefix: from its IP header.
    Transit,
    /// To an address by which the Internet knows clients, or to the CONNECT port: from its IP header.
    Reply,
    /// In GRE in UDP for an exit, or back from one: from its IP header.
    Via,
    /// GRE to one of our addresses, or an ICMP error about GRE of ours: from its IP header.
    Tunnelled,
    /// An inner IP packet.
    Inner,
    /// A whole WireGuard message that shall go to `note.endpoint`.
    Datagram,
    /// An outer IP packet that shall go to `note.endpoint.remote`.
    Outer,
    /// An ICMP error about a WireGuard message of this fleet, from its IP header.
    Report,
    /// A whole IP packet that shall go to the server `note.passage` names; of a frame made here only the message.
    Foreign,
    /// A question for the link address of `note.endpoint.remote`, to be written.
    Question,
}

/// Both ends of a WireGuard path as this server sees it: answers leave from where questions came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The peer's address.
    pub remote: Address,
    /// Our address that the peer talks to.
    pub local: Address,
    /// The peer's UDP port.
    pub remote_port: u16,
    /// The port (device) by which it is reached.
    pub port: u8,
}

impl Endpoint {
    /// No endpoint at all; never transmitted to.
    pub const NONE: Self =
        Self { remote: Address::UNSPECIFIED, local: Address::UNSPECIFIED, remote_port: 0, port: 0 };

    /// The path from our address `local` by `port` to a peer.
    pub fn new(remote: SocketAddr, local: IpAddr, port: u8) -> Self {
        let remote_port = remote.port();
        Self { remote: remote.ip().into(), local: local.into(), remote_port, port }
    }

    /// The peer's address and port.
    pub fn remote_socket(&self) -> SocketAddr {
        SocketAddr::new(self.remote.into(), self.remote_port)
    }
}

/// What is known about a frame; written by one stage, read by later ones.
#[derive(Clone, Copy, Debug)]
pub struct Note {
    /// Where it came in.
    pub entry: Entry,
    /// What it is now.
    pub kind: Kind,
    /// The UDP checksum was verified, by the device or by another worker.
    pub verified: bool,
    /// The outer type-of-service octet as received.
    pub tos: u8,
    /// The IP packet that begins at the frame's start: the outer one, after it was opened the inner one.
    pub ip: Ip,
    /// The client id of the WireGuard message.
    pub client_id: ClientId,
    /// The outer addresses, received or to be used.
    pub endpoint: Endpoint,
    /// Session slot on this worker.
    pub slot: u32,
    /// Message counter.
    pub counter: u64,
    /// Where an inner packet goes.
    pub next_hop: NextHop,
    /// The packet is an error that we made of one that came from there.
    pub turned: bool,
    /// How another server has passed it on, or shall get it.
    pub passage: Option<Passage>,
    /// Who has sent a handshake message.
    pub sender: Sender,
    /// What it counts as where floods are judged.
    pub class: Class,
    /// An inner packet that has come over the network as it is, from `endpoint.remote`.
    pub bare: bool,
    /// Whose prefix it goes to: a number of the filter's, 0 for none.
    pub tenant: u16,
    /// The tunnel that it has come out of: a number, 0 for none.
    pub tunnel: u16,
    /// The client that an inner packet has come from, read by [`Note::client`]: a number that is kept small.
    pub client_number: u32,
}

/// The number of no client.
const NO_CLIENT: u32 = u32::MAX;

/// Where a tag has the octets before the UDP header (below 2^12: a bounded walk over extension headers), and the slot.
const HEADERS_SHIFT: u32 = 20;
const HEADERS_MASK: u16 = 0xfff;
const SLOT_SHIFT: u32 = 32;

impl Note {
    /// A note of a frame made here.
    pub const fn own(kind: Kind, endpoint: Endpoint, next_hop: NextHop) -> Self {
        Self { kind, endpoint, next_hop, ..Self::new(Entry::Own) }
    }

    /// The client that an inner packet has come from, by its number on the server.
    #[inline]
    pub const fn client(&self) -> Option<u32> {
        if self.client_number == NO_CLIENT { None } else { Some(self.client_number) }
    }

    /// The packet is a client's, or nobody's.
    #[inline]
    pub fn set_client(&mut self, client: Option<u32>) {
        self.client_number = client.unwrap_or(NO_CLIENT);
    }

    /// Begins a note anew in the place of an old one. What stages read only after they or others have written
    /// it is left as it is: addresses, slot, counter and sender.
    #[inline]
    pub const fn begin(&mut self, entry: Entry, verified: bool) {
        self.entry = entry;
        self.kind = Kind::Unknown;
        self.verified = verified;
        self.tos = 0;
        self.client_id = ClientId::ZERO;
        self.next_hop = NextHop::None;
        self.turned = false;
        self.passage = None;
        self.bare = false;
        self.class = Class::Any;
        self.tenant = 0;
        self.tunnel = 0;
        self.client_number = NO_CLIENT;
    }

    /// The note as the tag of a packet that waits for the other pieces of its datagram: how it comes back when it goes on.
    /// What came out of a seal comes back as from another worker, and what is the kernel's as the kernel's.
    #[inline]
    pub fn tag_to_wait(&self) -> u64 {
        let entry = match self.entry {
            Entry::Wire(port) if self.bare || self.tunnel != 0 => Entry::Piece(port),
            Entry::Wire(_) | Entry::Sealed(_) | Entry::Client => Entry::Client,
            Entry::Local
            | Entry::Handed
            | Entry::Kernel(_)
            | Entry::Relay(_)
            | Entry::Reply(_)
            | Entry::Own => Entry::Handed,
            piece @ Entry::Piece(_) => piece,
        };
        self.tag_as(entry)
    }

    /// The note as a packet's tag between workers: the entry, for sealed messages what was found out of them, for pieces the
    /// tunnel that they came out of, and for those that wait to be translated their client.
    #[inline]
    pub fn tag(&self) -> u64 {
        self.tag_as(self.entry)
    }

    #[inline]
    fn tag_as(&self, entry: Entry) -> u64 {
        // What was verified here, by the device or by us, is not verified again.
        let tag = entry.tag(true);
        match entry {
            Entry::Sealed(_) => {
                let headers = self.ip.payload_offset & HEADERS_MASK;
                tag | u64::from(headers) << HEADERS_SHIFT | u64::from(self.slot) << SLOT_SHIFT
            }
            Entry::Piece(_) => tag | u64::from(self.tunnel) << SLOT_SHIFT,
            Entry::Handed => {
                tag | self.client().map_or(0, |number| u64::from(number) + 1) << SLOT_SHIFT
            }
            Entry::Wire(_)
            | Entry::Kernel(_)
            | Entry::Local
            | Entry::Client
            | Entry::Relay(_)
            | Entry::Reply(_)
            | Entry::Own => tag,
        }
    }

    /// Begins a note anew by the tag of a packet from another worker.
    #[inline]
    pub fn begin_handed(&mut self, tag: u64) {
        let (entry, verified) = Entry::from_tag(tag);
        self.begin(entry, verified);
        match entry {
            Entry::Sealed(_) => {
                let headers = u16::try_from(tag >> HEADERS_SHIFT & u64::from(HEADERS_MASK));
                self.ip.payload_offset = headers.unwrap_or_default();
                self.slot = u32::try_from(tag >> SLOT_SHIFT).unwrap_or(u32::MAX);
            }
            Entry::Piece(_) => self.tunnel = u16::try_from(tag >> SLOT_SHIFT).unwrap_or_default(),
            Entry::Handed => {
                let number = u32::try_from(tag >> SLOT_SHIFT).unwrap_or_default();
                self.set_client(number.checked_sub(1));
            }
            Entry::Wire(_)
            | Entry::Kernel(_)
            | Entry::Local
            | Entry::Client
            | Entry::Relay(_)
            | Entry::Reply(_)
            | Entry::Own => {}
        }
    }

    /// A note that knows only the entry.
    pub const fn new(entry: Entry) -> Self {
        Self {
            entry,
            kind: Kind::Unknown,
            verified: false,
            tos: 0,
            ip: Ip::NONE,
            client_id: ClientId::ZERO,
            endpoint: Endpoint::NONE,
            slot: 0,
            counter: 0,
            next_hop: NextHop::None,
            turned: false,
            passage: None,
            sender: Sender::Newcomer,
            class: Class::Any,
            bare: false,
            tenant: 0,
            tunnel: 0,
            client_number: NO_CLIENT,
        }
    }
}

/// A view of one buffer: `octets[start..end]` is the packet, the rest is room.
#[derive(Debug)]
pub struct Frame<'a> {
    octets: &'a mut [u8],
    start: u16,
    end: u16,
    /// Where the packet lay when it came.
    received: (u16, u16),
    /// What has been decided.
    pub fate: Fate,
    /// What has been found out.
    pub note: &'a mut Note,
}

impl<'a> Frame<'a> {
    /// A frame over a whole buffer whose packet lies at `start..start + len`; a range outside the buffer is
    /// cut to it. Of a buffer above 65,535 octets the rest is not used.
    #[inline]
    pub fn new(octets: &'a mut [u8], start: usize, len: usize, note: &'a mut Note) -> Self {
        let short = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
        let end = short(start.saturating_add(len).min(octets.len()));
        let start = short(start).min(end);
        Self { start, end, received: (start, end), octets, fate: Fate::Undecided, note }
    }

    /// The packet.
    #[inline]
    pub fn data(&self) -> &[u8] {
        self.octets.get(usize::from(self.start)..usize::from(self.end)).unwrap_or_default()
    }

    /// The packet, to be changed.
    #[inline]
    pub fn data_mut(&mut self) -> &mut [u8] {
        self.octets.get_mut(usize::from(self.start)..usize::from(self.end)).unwrap_or_default()
    }

    /// The packet and all the room behind it.
    #[inline]
    pub fn data_and_room(&mut self) -> &mut [u8] {
        self.octets.get_mut(usize::from(self.start)..).unwrap_or_default()
    }

    /// The packet with so many octets that were taken off its front; the packet alone when there were fewer.
    #[inline]
    pub fn data_and_before(&self, len: usize) -> &[u8] {
        let start = usize::from(self.start).saturating_sub(len);
        self.octets.get(start..usize::from(self.end)).unwrap_or_default()
    }

    /// Reads the IP header at the start into the note, as [`Ip::read`] does.
    #[inline]
    pub fn read_ip(&mut self) -> Result<Address, Malformed> {
        let packet = self.octets.get(usize::from(self.start)..usize::from(self.end));
        self.note.ip.read(packet.unwrap_or_default())
    }

    /// Octets of the packet.
    #[inline]
    pub fn len(&self) -> usize {
        // The end never lies before the start.
        usize::from(self.end.wrapping_sub(self.start))
    }

    /// Whether the packet has no octets.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the packet begins in its buffer.
    #[inline]
    pub fn start(&self) -> usize {
        self.start.into()
    }

    /// Takes `len` octets off the front.
    #[inline]
    pub fn pull(&mut self, len: usize) -> Result<(), Fate> {
        let truncated = Fate::Drop(DropReason::ParseTruncated);
        let start = u16::try_from(usize::from(self.start) + len).map_err(|_| truncated)?;
        if start > self.end {
            return Err(truncated);
        }
        self.start = start;
        Ok(())
    }

    /// Puts `len` octets in front and lends the packet from there on. The pools' headroom
    /// ([`crate::limits::HEADROOM`]) covers every header that we ever put in front, so this fails only
    /// for a buffer that is not from our pools.
    #[inline]
    pub fn push(&mut self, len: usize) -> Result<&mut [u8], Fate> {
        let start = u16::try_from(len).ok().and_then(|len| self.start.checked_sub(len));
        self.start = start.ok_or(Fate::Drop(DropReason::ParseSegmented))?;
        Ok(self.data_mut())
    }

    /// Sets the packet's length: shorter cuts the end, longer takes from the room behind.
    #[inline]
    pub fn set_len(&mut self, len: usize) -> Result<(), Fate> {
        let end = usize::from(self.start) + len;
        if end > self.octets.len() {
            return Err(Fate::Drop(DropReason::ParseSegmented));
        }
        self.end = u16::try_from(end).map_err(|_| Fate::Drop(DropReason::ParseSegmented))?;
        Ok(())
    }

    /// Takes the borders back to where they were when the packet came.
    pub fn rewind(&mut self) {
        (self.start, self.end) = self.received;
    }

    /// What was before the packet when it came is no link header.
    #[inline]
    pub fn forget_link(&mut self) {
        self.received = (self.start, self.start);
    }

    /// The link address from which the frame came, when it came with a link header.
    pub fn sender(&self) -> Option<LinkAddress> {
        let header = self.octets.get(usize::from(self.received.0)..usize::from(self.received.1))?;
        wire::ethernet::parse(header).ok().map(|header| header.source)
    }

    /// Octets of room behind the packet.
    #[inline]
    pub fn tailroom(&self) -> usize {
        self.octets.len() - usize::from(self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_survives_its_tag() {
        use Entry::{Client, Handed, Kernel, Local, Relay, Sealed, Wire};
        for entry in [Wire(0), Wire(15), Kernel(3), Local, Sealed(4), Client, Handed, Relay(2)] {
            for verified in [false, true] {
                assert_eq!(Entry::from_tag(entry.tag(verified)), (entry, verified));
            }
        }
    }

    #[test]
    fn a_sealed_message_takes_along_what_was_found_out_of_it() {
        let mut note = Note::new(Entry::Sealed(3));
        (note.slot, note.ip.payload_offset) = ((1 << 20) - 1, 4095);
        let mut handed = Note::new(Entry::Own);
        handed.begin_handed(note.tag());
        assert_eq!((handed.entry, handed.verified), (Entry::Sealed(3), true));
        assert_eq!((handed.slot, handed.ip.payload_offset), (note.slot, 4095));
    }

    #[test]
    fn moves_its_borders_within_the_buffer_only() {
        let mut buffer = [0_u8; 100];
        let mut note = Note::new(Entry::Own);
        let mut frame = Frame::new(&mut buffer, 40, 20, &mut note);
        assert_eq!((frame.len(), frame.tailroom()), (20, 40));
        assert!(frame.pull(21).is_err());
        frame.pull(20).unwrap();
        assert!(frame.is_empty());
        assert_eq!(frame.push(60).unwrap().len(), 60);
        assert!(frame.push(1).is_err());
        frame.set_len(100).unwrap();
        assert!(frame.set_len(101).is_err());
        assert_eq!(frame.data().len(), 100);
    }

    #[test]
    fn frames_and_notes_stay_small() {
        assert_eq!((size_of::<Frame<'_>>(), size_of::<Note>()), (40, 112));
    }

    #[test]
    fn cuts_a_lying_range_to_the_buffer() {
        let mut buffer = [0_u8; 10];
        assert_eq!(Frame::new(&mut buffer, 20, 5, &mut Note::new(Entry::Own)).len(), 0);
    }
}
