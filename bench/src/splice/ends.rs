//! Both ends of connections: who begins them, whom they lead to, and what each says.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

use connect::head::{Ask, Host, Target, write_request};
use dataplane::site::ROUTER;
use dataplane::testing::packets::{self, Ip};
use wire::tcp::{self, Fields, Flags};

use crate::Failure;
use crate::service::client::{GATEWAY_LINK, KERNEL_LINK, LOCAL, PORT_LINK, SERVER};
use crate::service::server::End;

/// The port at which data centres ask each other.
pub(super) const ASKED: u16 = 4443;
/// Another data centre's machine, which an ingress asks: like all others at an address that somebody may have. Nothing leaves memory.
pub(super) const CENTRE: Ipv4Addr = Ipv4Addr::new(11, 17, 0, 1);
/// The first of the addresses from which an exit is asked; each has this many ports.
const ASKER: Ipv4Addr = Ipv4Addr::new(11, 17, 0, 2);
const PORTS: u32 = 50_000;
const FIRST_PORT: u16 = 2_000;
/// Origins: each connection goes to one of its own.
const ORIGIN: Ipv4Addr = Ipv4Addr::new(11, 18, 0, 1);
const ORIGIN_PORT: u16 = 443;

/// What the server is for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A client's SYN leads to a request to a data centre.
    Ingress,
    /// A data centre's request leads to an origin.
    Exit,
}

/// What segments of one end bear.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Numbers {
    pub(super) sequence: u32,
    pub(super) acknowledgment: u32,
}

/// Everybody's kind of SYN.
pub(super) const OPTIONS: &[u8] = &[2, 4, 5, 100, 4, 2, 1, 1, 1, 3, 3, 7];

/// The origin of a connection.
pub(super) fn origin(number: u32) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from_bits(ORIGIN.to_bits() + number), ORIGIN_PORT)
}

/// The request for a connection to it.
pub(super) fn request(number: u32) -> Result<Vec<u8>, Failure> {
    let origin = origin(number);
    let host = Host::Address(IpAddr::V4(*origin.ip()));
    let target = Target { host, port: origin.port() };
    let ask = Ask { target, keepalive_secs: 15, hops: Some(1), site: None };
    let mut octets = vec![0; 256];
    let len = write_request(&mut octets, &ask).map_err(|_| "a request has no room")?;
    octets.truncate(len);
    Ok(octets)
}

impl Role {
    /// Whom a connection has at its near side, and whom he thinks that he talks to.
    pub(super) fn near(self, number: u32) -> [SocketAddrV4; 2] {
        let port = u16::try_from(number % PORTS).unwrap_or(0) + FIRST_PORT;
        match self {
            Self::Ingress => [SocketAddrV4::new(LOCAL, port), origin(number)],
            Self::Exit => {
                let asker = Ipv4Addr::from_bits(ASKER.to_bits() + number / PORTS);
                [SocketAddrV4::new(asker, port), SocketAddrV4::new(SERVER, ASKED)]
            }
        }
    }

    /// Which connection has this at its near side.
    pub(super) fn number(self, near: SocketAddrV4) -> u32 {
        let port = u32::from(near.port() - FIRST_PORT);
        match self {
            Self::Ingress => port,
            Self::Exit => (near.ip().to_bits() - ASKER.to_bits()) * PORTS + port,
        }
    }

    /// Whom it has at its far side.
    pub(super) fn far(self, number: u32) -> SocketAddrV4 {
        match self {
            Self::Ingress => SocketAddrV4::new(CENTRE, ASKED),
            Self::Exit => origin(number),
        }
    }

    /// Where packets of the near side come in.
    pub(super) const fn near_end(self) -> End {
        match self {
            Self::Ingress => End::Local,
            Self::Exit => End::Wire,
        }
    }
}

/// A frame with a segment that comes in by an end.
pub(super) fn frame(
    end: End,
    [from, to]: [SocketAddrV4; 2],
    (flags, numbers): (Flags, Numbers),
    payload: &[u8],
) -> Vec<u8> {
    let fields = Fields {
        source_port: from.port(),
        destination_port: to.port(),
        sequence_number: numbers.sequence,
        acknowledgment_number: numbers.acknowledgment,
        flags,
        window: 500,
    };
    let options = if flags.has(Flags::SYN) { OPTIONS } else { &[] };
    let packet = Ip::new(*from.ip(), *to.ip()).tcp(&fields, options, payload);
    match end {
        End::Local => packets::frame(ROUTER, KERNEL_LINK, None, &packet),
        End::Wire | End::Kernel => packets::frame(PORT_LINK, GATEWAY_LINK, None, &packet),
    }
}

/// A segment that has come out.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) from: SocketAddrV4,
    pub(super) to: SocketAddrV4,
    pub(super) flags: Flags,
    pub(super) numbers: Numbers,
    pub(super) payload: Vec<u8>,
}

impl Segment {
    /// Reads a packet from its IP header on.
    pub(super) fn of(packet: &[u8]) -> Option<Self> {
        let ip = wire::ipv4::parse(packet).ok()?;
        let segment = packet.get(ip.payload_offset..ip.total_len())?;
        let located = tcp::parse(segment).ok()?;
        Some(Self {
            from: SocketAddrV4::new(ip.source, located.source_port),
            to: SocketAddrV4::new(ip.destination, located.destination_port),
            flags: located.flags,
            numbers: Numbers {
                sequence: located.sequence_number,
                acknowledgment: located.acknowledgment_number,
            },
            payload: segment.get(located.payload_offset..)?.to_vec(),
        })
    }

    /// The number behind it.
    pub(super) fn end(&self) -> u32 {
        let len = u32::try_from(self.payload.len()).unwrap_or(0);
        let syn = u32::from(self.flags.has(Flags::SYN));
        self.numbers.sequence.wrapping_add(len).wrapping_add(syn)
    }
}
