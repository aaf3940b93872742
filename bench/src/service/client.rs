//! The clients' end of the wire: fresh frames, whole, straight into packet buffers.

use std::net::{Ipv4Addr, SocketAddr};

use dataplane::neighbours::LinkAddress;
use dataplane::site::ROUTER;
use dpdk::Mbuf;
use wire::{arp, ethernet, ipv4, udp};
use wireguard::aead::{self, Job, Key, TAG_LEN};
use wireguard::message::{ClientId, DATA_HEADER_LEN, DataHeader};
use zerocopy::{FromBytes, IntoBytes};

use crate::Failure;

/// The server's outer address and WireGuard port.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub(crate) const LISTEN_PORT: u16 = 51820;
/// The router by which all clients are reached, as on any network but a laboratory's.
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);
/// The inner address behind the kernel's interface.
pub(crate) const LOCAL: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 1);
/// Link addresses of the server's port, of the gateway and of the kernel.
pub(crate) const PORT_LINK: LinkAddress = [2, 0, 0, 0, 0, 1];
pub(crate) const GATEWAY_LINK: LinkAddress = [2, 0, 0, 0, 0, 2];
pub(crate) const KERNEL_LINK: LinkAddress = [2, 0, 0, 0, 0, 3];

/// Where the parts of a sealed frame begin.
pub(crate) const IP_AT: usize = ethernet::HEADER_LEN;
const UDP_AT: usize = IP_AT + ipv4::HEADER_LEN;
pub(crate) const MESSAGE_AT: usize = UDP_AT + udp::HEADER_LEN;
pub(crate) const TEXT_AT: usize = MESSAGE_AT + DATA_HEADER_LEN;

/// Whether outer UDP datagrams bear a checksum. Without one the octets are not read for it, which is what
/// a worker does behind a card that has verified it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checksum {
    None,
    Full,
}

/// A client with a session.
#[derive(Debug)]
pub(crate) struct Client {
    number: u32,
    /// Seals what the server opens.
    key: Key,
    /// Opens what the server seals, where somebody looks.
    answers: Key,
    /// The index that the server gave.
    index: u32,
    counter: u64,
}

impl Client {
    pub(crate) fn new(number: u32, key: &Key, index: u32, counter: u64) -> Self {
        let mut own = Key::zero();
        own.copy_from(key);
        Self { number, key: own, answers: Key::zero(), index, counter }
    }

    /// The same with the key of what the server sends.
    pub(crate) const fn hearing(mut self, answers: &Key) -> Self {
        self.answers.copy_from(answers);
        self
    }

    /// The keys of what it sends and of what it gets.
    pub(crate) const fn keys(&self) -> [&Key; 2] {
        [&self.key, &self.answers]
    }

    /// The index that the server gave.
    pub(crate) const fn index(&self) -> u32 {
        self.index
    }

    /// Makes `packet` a frame from the network with a fresh sealed packet of `len` octets to the kernel.
    pub(crate) fn seal(
        &mut self,
        packet: &mut Mbuf,
        len: usize,
        checksum: Checksum,
    ) -> Result<(), Failure> {
        let from = inner_address(self.number);
        self.seal_as(packet, (len, checksum), |inner| emit_inner(inner, from, LOCAL))
    }

    /// The same with an inner packet that `emit` writes.
    pub(crate) fn seal_as(
        &mut self,
        packet: &mut Mbuf,
        (len, checksum): (usize, Checksum),
        emit: impl FnOnce(&mut [u8]) -> Option<()>,
    ) -> Result<(), Failure> {
        write(packet, |octets| {
            let text = octets.get_mut(TEXT_AT..)?;
            emit(text.get_mut(..len)?)?;
            aead::seal(&mut [Job::new(&self.key, self.counter, text, len)?]);
            let header = DataHeader::new(ClientId::ZERO, self.index, self.counter);
            self.counter += 1;
            octets.get_mut(MESSAGE_AT..TEXT_AT)?.copy_from_slice(header.as_bytes());
            emit_outer(octets, self.number, DATA_HEADER_LEN + len + TAG_LEN, checksum)
        })
    }

    /// Makes `packet` a frame of the kernel's with a packet of `len` octets for this client.
    pub(crate) fn address(&self, packet: &mut Mbuf, len: usize) -> Result<(), Failure> {
        write(packet, |octets| {
            emit_inner(octets.get_mut(IP_AT..IP_AT + len)?, LOCAL, inner_address(self.number))?;
            ethernet::emit(octets, ROUTER, KERNEL_LINK, None, ipv4::ETHERTYPE).ok()?;
            Some(IP_AT + len)
        })
    }
}

/// All clients. Whoever measures takes one after the other.
#[derive(Debug)]
pub(crate) struct Clients {
    all: Vec<Client>,
    turn: usize,
}

/// As many as stay in the core's cache are taken in turn, so that their counters stay alike; more are taken so that no
/// prefetcher follows: a prime many apart.
const IN_TURN: usize = 64;
const STRIDE: usize = 48_271;

impl Clients {
    pub(crate) const fn new(all: Vec<Client>) -> Self {
        Self { all, turn: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.all.len()
    }

    /// The next one.
    pub(crate) fn next(&mut self) -> Option<&mut Client> {
        let count = self.all.len().max(1);
        let place =
            if count <= IN_TURN { self.turn } else { self.turn.wrapping_mul(STRIDE) } % count;
        self.turn += 1;
        self.all.get_mut(place)
    }

    /// The one with this number.
    pub(crate) fn by_number(&self, number: u32) -> Option<&Client> {
        self.all.get(number as usize)
    }

    /// The same, to seal with.
    pub(crate) fn by_number_mut(&mut self, number: u32) -> Option<&mut Client> {
        self.all.get_mut(number as usize)
    }

    /// The keys, from the first.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> + Clone {
        self.all.iter().map(|client| &client.key)
    }
}

/// The inner address of a client.
pub(crate) fn inner_address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 128, 0, 0).to_bits() + number)
}

/// The outer address and port of a client.
pub(crate) fn outer_address(number: u32) -> SocketAddr {
    // As clients on the Internet have. Those set aside for benchmarks (RFC 2544 C.2.2) come from nobody there, which the filter counts
    // for each packet.
    (Ipv4Addr::from_bits(Ipv4Addr::new(11, 32, 0, 0).to_bits() + number), 40_000).into()
}

/// The counter of the data message in a sealed frame.
pub(crate) fn counter(packet: &Mbuf) -> Option<u64> {
    let (header, _) = DataHeader::ref_from_prefix(packet.frame().get(MESSAGE_AT..)?).ok()?;
    Some(header.counter.get())
}

/// Makes `packet` a frame from the network with a message of this client's.
pub(crate) fn carry(packet: &mut Mbuf, number: u32, message: &[u8]) -> Result<(), Failure> {
    write(packet, |octets| {
        octets.get_mut(MESSAGE_AT..MESSAGE_AT + message.len())?.copy_from_slice(message);
        emit_outer(octets, number, message.len(), Checksum::Full)
    })
}

/// Makes `packet` the gateway's question for the server's link address, from which the server learns the
/// gateway's own.
pub(crate) fn greet(packet: &mut Mbuf) -> Result<(), Failure> {
    write(packet, |octets| {
        let question = arp::Message::request(GATEWAY_LINK, GATEWAY, SERVER);
        arp::emit(octets.get_mut(IP_AT..)?, &question).ok()?;
        ethernet::emit(octets, ethernet::BROADCAST, GATEWAY_LINK, None, arp::ETHERTYPE).ok()?;
        Some(IP_AT + arp::LEN)
    })
}

/// Lets `emit` write a frame behind the headroom and say how long it is.
pub(crate) fn write(
    packet: &mut Mbuf,
    emit: impl FnOnce(&mut [u8]) -> Option<usize>,
) -> Result<(), Failure> {
    let start = packet.start();
    let len = packet
        .octets_mut()
        .get_mut(start..)
        .and_then(emit)
        .ok_or("the frame does not fit its buffer")?;
    packet.set_range(start, len).map_err(|_| "the frame does not fit its buffer")?;
    Ok(())
}

/// Headers before the message of `len` octets that stands at `MESSAGE_AT`; gives the frame's length.
pub(crate) fn emit_outer(
    octets: &mut [u8],
    number: u32,
    len: usize,
    checksum: Checksum,
) -> Option<usize> {
    let SocketAddr::V4(from) = outer_address(number) else { return None };
    let ports = udp::Ports { source: from.port(), destination: LISTEN_PORT };
    let datagram = octets.get_mut(UDP_AT..MESSAGE_AT + len)?;
    match checksum {
        Checksum::None => udp::emit_without_checksum(datagram, ports).ok()?,
        Checksum::Full => udp::emit_v4(datagram, ports, *from.ip(), SERVER).ok()?,
    }
    let fields = ip_fields(*from.ip(), SERVER, udp::HEADER_LEN + len);
    ipv4::emit(octets.get_mut(IP_AT..)?, &fields).ok()?;
    ethernet::emit(octets, PORT_LINK, GATEWAY_LINK, None, ipv4::ETHERTYPE).ok()?;
    Some(MESSAGE_AT + len)
}

/// A UDP packet that fills `octets`; whatever stands there is its payload.
pub(crate) fn emit_inner(octets: &mut [u8], source: Ipv4Addr, destination: Ipv4Addr) -> Option<()> {
    let len = octets.len().checked_sub(ipv4::HEADER_LEN)?;
    ipv4::emit(octets, &ip_fields(source, destination, len)).ok()?;
    let ports = udp::Ports { source: 5001, destination: 5001 };
    udp::emit_without_checksum(octets.get_mut(ipv4::HEADER_LEN..)?, ports).ok()
}

pub(crate) fn ip_fields(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    payload_len: usize,
) -> ipv4::Fields {
    ipv4::Fields {
        source,
        destination,
        protocol: udp::PROTOCOL,
        ttl: 64,
        tos: 0,
        identification: 0,
        dont_fragment: true,
        payload_len,
    }
}
