//! Segments as they come in and go out, apart from their frames.

use core::net::{IpAddr, SocketAddr};

use wire::Malformed;
use wire::tcp::{self, Flags};

/// The client number of legs that no client of ours is at the end of.
pub const NO_CLIENT: u32 = u32::MAX;

/// One of the two connections of a set-up: our end and the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Leg {
    /// The client that it belongs to, as clients may have the same inner address, or [`NO_CLIENT`].
    pub client: u32,
    /// The end that we speak for. Towards a client of ours this is the origin that it asked for.
    pub ours: SocketAddr,
    /// The other end.
    pub theirs: SocketAddr,
}

/// A segment that has come, its checksum verified.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'a> {
    /// Which connection it belongs to.
    pub leg: Leg,
    /// Its header.
    pub header: tcp::Located,
    /// The octets between header and payload.
    pub options: &'a [u8],
    /// Its payload.
    pub payload: &'a [u8],
}

impl<'a> Arrived<'a> {
    /// Reads the segment in an IP packet from `source` to `destination`.
    ///
    /// Errors: those of [`tcp::parse`].
    pub fn of(
        client: u32,
        source: IpAddr,
        destination: IpAddr,
        segment: &'a [u8],
    ) -> Result<Self, Malformed> {
        let header = tcp::parse(segment)?;
        let (head, payload) =
            segment.split_at_checked(header.payload_offset).ok_or(Malformed::Truncated)?;
        let leg = Leg {
            client,
            ours: SocketAddr::new(destination, header.destination_port),
            theirs: SocketAddr::new(source, header.source_port),
        };
        Ok(Self { leg, header, options: head.get(tcp::HEADER_LEN..).unwrap_or_default(), payload })
    }

    /// Whether it opens a connection: SYN and neither ACK nor RST.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.has(Flags::SYN) && !self.has(Flags::ACK) && !self.has(Flags::RST)
    }

    #[inline]
    pub(crate) fn has(&self, flags: Flags) -> bool {
        self.header.flags.has(flags)
    }

    /// The sequence number of its first octet of payload.
    #[inline]
    pub(crate) fn payload_start(&self) -> u32 {
        self.header.sequence_number.wrapping_add(u32::from(self.has(Flags::SYN)))
    }

    /// The sequence number behind its payload, a FIN not counted.
    #[inline]
    pub(crate) fn payload_end(&self) -> u32 {
        self.payload_start().wrapping_add(len(self.payload))
    }
}

/// A segment of ours: the caller makes the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// From `leg.ours` to `leg.theirs`.
    pub leg: Leg,
    /// The control bits.
    pub flags: Flags,
    /// Of the first octet of payload, or of the SYN.
    pub sequence_number: u32,
    /// What we expect next.
    pub acknowledgment_number: u32,
    /// Not scaled.
    pub window: u16,
    /// A multiple of four octets.
    pub options: &'a [u8],
    /// Behind the header.
    pub payload: &'a [u8],
}

/// A length as sequence numbers count.
#[inline]
pub(crate) fn len(octets: &[u8]) -> u32 {
    u32::try_from(octets.len()).unwrap_or(u32::MAX)
}

/// Whether sequence number `a` comes before `b` (RFC 9293 3.4): they are less than 2^31 apart.
#[inline]
pub(crate) const fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b)).cast_signed() < 0
}

/// Whether `number` lies in `first..=last`.
#[inline]
pub(crate) const fn within(number: u32, first: u32, last: u32) -> bool {
    number.wrapping_sub(first) <= last.wrapping_sub(first)
}
