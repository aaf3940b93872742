//! Segments of our own, as packets that wait for the end of the turn.

use connect::{NO_CLIENT, Segment};
use wire::tcp;

use crate::frame::{Endpoint, Kind, Note};
use crate::limits::{OUTBOX_LEN, OUTBOX_PACKET_LEN};
use crate::packet::own;
use crate::site::Site;
use crate::stages::route::NextHop;

/// A packet that is complete, and where it goes.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    /// What the frame's note shall be.
    pub(super) note: Note,
    octets: Box<[u8; OUTBOX_PACKET_LEN]>,
    len: usize,
}

impl Packet {
    /// From its IP header on.
    pub(super) fn octets(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }
}

/// The packets of a turn: a ring whose places are made once.
#[derive(Debug)]
pub(super) struct Outbox {
    packets: Box<[Packet]>,
    first: usize,
    len: usize,
}

impl Default for Outbox {
    fn default() -> Self {
        let note = Note::own(Kind::Outer, Endpoint::NONE, NextHop::None);
        let packet = Packet { note, octets: Box::new([0; OUTBOX_PACKET_LEN]), len: 0 };
        Self { packets: vec![packet; OUTBOX_LEN].into_boxed_slice(), first: 0, len: 0 }
    }
}

impl Outbox {
    /// Makes a packet of a segment; `client` is where one to a client goes. Whether there was
    /// room: if not, the set-up's timers send it again.
    pub(super) fn push(&mut self, segment: &Segment<'_>, client: NextHop, site: &Site) -> bool {
        let count = self.packets.len().max(1);
        let at = (self.first + self.len) % count;
        let Some(packet) = self.packets.get_mut(at).filter(|_| self.len < count) else {
            return false;
        };
        let Some(note) = note(segment, client, site) else { return false };
        let Some(len) = write(&mut packet.octets[..], segment) else { return false };
        (packet.note, packet.len) = (note, len);
        self.len += 1;
        true
    }

    /// Whether none waits.
    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The packet that has waited longest.
    pub(super) fn pop(&mut self) -> Option<&Packet> {
        self.len = self.len.checked_sub(1)?;
        let at = self.first;
        self.first = (at + 1) % self.packets.len().max(1);
        self.packets.get(at)
    }
}

fn note(segment: &Segment<'_>, client: NextHop, site: &Site) -> Option<Note> {
    if segment.leg.client != NO_CLIENT {
        return Some(Note::own(Kind::Inner, Endpoint::NONE, client));
    }
    let remote = segment.leg.theirs.ip().into();
    let (port, _) = site.way_to(remote)?;
    let endpoint = Endpoint { remote, port, ..Endpoint::NONE };
    Some(Note::own(Kind::Outer, endpoint, NextHop::None))
}

/// Writes headers, options and payload; their length, or none when they do not fit.
fn write(octets: &mut [u8], segment: &Segment<'_>) -> Option<usize> {
    let (ours, theirs) = (segment.leg.ours, segment.leg.theirs);
    let ends = (ours.ip().into(), theirs.ip().into());
    let header_len = tcp::HEADER_LEN + segment.options.len();
    let payload_len = header_len + segment.payload.len();
    let len = u16::try_from(payload_len).ok()?;
    let ip_len = own::emit(octets, ends, (tcp::PROTOCOL, 0), payload_len).ok()?;
    let upper = octets.get_mut(ip_len..ip_len + payload_len)?;
    upper.get_mut(header_len..)?.copy_from_slice(segment.payload);
    let pseudo = own::pseudo(ends, tcp::PROTOCOL, len);
    let fields = tcp::Fields {
        source_port: ours.port(),
        destination_port: theirs.port(),
        sequence_number: segment.sequence_number,
        acknowledgment_number: segment.acknowledgment_number,
        flags: segment.flags,
        window: segment.window,
    };
    tcp::emit(upper, &fields, segment.options, pseudo).ok()?;
    Some(ip_len + payload_len)
}
