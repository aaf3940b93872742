//! Stage 0, parse: checks the outer headers once and says what a frame is.

mod report;
mod usual;

use std::net::Ipv4Addr;

use wire::{Malformed, arp, ecn, ethernet, icmp, ipv4, ipv6, tcp, udp};
use wireguard::message;
use wireguard::prefetch::prefetch;

use crate::fate::{DropReason, Fate};
use crate::fleet::{Fleet, Membership, View};
use crate::frame::{Endpoint, Entry, Frame, Kind};
use crate::packet::{Address, Ip, broken, is_no_source};
use crate::site::{Face, Site};
use crate::stages::dos::Rules;
use crate::stages::steer;

/// What this server is and knows, by which a frame is told from others.
#[derive(Clone, Copy, Debug)]
pub struct Home<'a> {
    /// The server.
    pub site: &'a Site,
    /// The other servers.
    pub fleet: &'a Fleet,
    /// Whose prefixes it protects, and by which tunnels it reaches them.
    pub rules: &'a Rules,
    /// Whether `WireGuard`'s port is nothing else's.
    has_plain_port: bool,
}

impl<'a> Home<'a> {
    /// What this server is and knows.
    pub fn new(site: &'a Site, fleet: &'a Fleet, rules: &'a Rules) -> Self {
        let port = site.listen_port;
        let is_connects = site.connect.as_ref().is_some_and(|connect| connect.port == port);
        Self { site, fleet, rules, has_plain_port: port != wire::fleet::PORT && !is_connects }
    }
}

/// Finds out what the frame is and moves its start there; frames that are the kernel's or the network's
/// leave here.
#[inline]
pub fn locate(frame: &mut Frame<'_>, home: &Home<'_>) -> Result<(), Fate> {
    let site = home.site;
    match frame.note.entry {
        Entry::Wire(port) => from_wire(frame, home, port),
        Entry::Kernel(port) => Err(to_wire(frame, site, port)),
        Entry::Local => from_local(frame),
        Entry::Sealed(port) => sealed(frame, port),
        Entry::Client | Entry::Handed => inner(frame),
        Entry::Piece(port) => piece(frame, port),
        Entry::Reply(port) => {
            inner(frame)?;
            frame.note.endpoint = Endpoint { port, ..Endpoint::NONE };
            frame.note.bare = true;
            frame.note.kind = Kind::Reply;
            Ok(())
        }
        Entry::Relay(port) => Err(Fate::Transmit(port)),
        Entry::Own => Ok(()),
    }
}

const fn drop(reason: DropReason) -> Fate {
    Fate::Drop(reason)
}

#[inline]
fn from_wire(frame: &mut Frame<'_>, home: &Home<'_>, port: u8) -> Result<(), Fate> {
    let face = home.site.face(port).ok_or(drop(DropReason::ParseForeignStation))?;
    let link = link_header(frame)?;
    if link.destination != face.link && !ethernet::is_multicast(link.destination) {
        return Err(drop(DropReason::ParseForeignStation));
    }
    if link.vlan_id != face.vlan {
        return Err(drop(DropReason::ParseVlan));
    }
    frame.pull(link.payload_offset)?;
    match link.ethertype {
        ipv4::ETHERTYPE if !face.terminates && usual::message4(frame, home, port) => Ok(()),
        ipv6::ETHERTYPE if !face.terminates && usual::message6(frame, home, port) => Ok(()),
        ipv4::ETHERTYPE => outer(frame, home, (face, port), 4),
        ipv6::ETHERTYPE => outer(frame, home, (face, port), 6),
        arp::ETHERTYPE => {
            frame.note.kind = Kind::Arp;
            Ok(())
        }
        _ => Err(to_kernel(frame, face, port)),
    }
}

#[inline]
fn link_header(frame: &Frame<'_>) -> Result<ethernet::Located, Fate> {
    ethernet::parse(frame.data()).map_err(|malformed| {
        drop(if malformed == Malformed::Truncated {
            DropReason::ParseTruncated
        } else {
            DropReason::ParseVlan
        })
    })
}

/// An IP packet from the network.
#[inline]
fn outer(
    frame: &mut Frame<'_>,
    &Home { site, fleet, rules, .. }: &Home<'_>,
    (face, port): (&Face, u8),
    version: u8,
) -> Result<(), Fate> {
    if frame.data().first().is_some_and(|octet| octet >> 4 != version) {
        return Err(drop(DropReason::ParseIpVersion));
    }
    let source = frame.read_ip().map_err(broken)?;
    let ip = &frame.note.ip;
    if ip.protocol == icmp::v6::PROTOCOL && is_discovery(frame.data(), ip) {
        frame.set_len(ip.len.into())?;
        frame.note.kind = Kind::Discovery;
        return Ok(());
    }
    if face.terminates {
        return from_terminating(frame, site, (source, port));
    }
    let ours = site.owns(ip.destination);
    let mut tenant = 0;
    if !ours && !is_group(ip.destination, face) && !is_kernels(ip.destination, face) {
        tenant = rules.tenants.of(ip.destination);
        if tenant == 0 {
            return reply(frame, site, (source, port));
        }
    }
    if is_no_source(source) || site.owns(source) {
        return Err(drop(DropReason::ParseIpSource));
    }
    if tenant != 0 {
        // The filter begins with it when the whole burst is parsed.
        prefetch(rules.policy(tenant));
        frame.note.tenant = tenant;
        whole(frame, (source, port), Kind::Transit);
        return Ok(());
    }
    if ours && !rules.tunnels.is_empty() && is_tunnelled(frame) {
        whole(frame, (source, port), Kind::Tunnelled);
        return Ok(());
    }
    if ours && is_connect(frame, site) {
        return answer(frame, (source, port));
    }
    if !ours || ip.protocol != udp::PROTOCOL {
        whole(frame, (source, port), Kind::Host);
        let _is_report = ours && report::is_about_us(frame, site, fleet);
        return Ok(());
    }
    if ip.fragment {
        return Err(drop(DropReason::ParseFragment));
    }
    frame.set_len(ip.len.into())?;
    let ports = ports(frame)?;
    if ports.destination == wire::fleet::PORT && is_centres(site, fleet, source) {
        whole(frame, (source, port), Kind::Via);
        return Ok(());
    }
    if ports.destination == wire::fleet::PORT && !matches!(fleet.membership, Membership::Alone) {
        let view = fleet.view().ok_or(drop(DropReason::SteerUntold))?;
        let receiver = frame.note.ip.destination;
        return carried(frame, (site, view, fleet), (source, receiver));
    }
    if ports.destination != site.listen_port {
        whole(frame, (source, port), Kind::Host);
        return Ok(());
    }
    datagram(frame, source, (ports.source, port))
}

/// Whether it is to the port at which other data centres ask for connections, and how far we are.
#[inline]
fn is_connect(frame: &Frame<'_>, site: &Site) -> bool {
    let ip = &frame.note.ip;
    let Some(connect) = &site.connect else { return false };
    let ports = || frame.data().get(usize::from(ip.payload_offset)..)?.first_chunk::<4>();
    matches!(ip.protocol, tcp::PROTOCOL | udp::PROTOCOL)
        && !ip.fragment
        && ports().is_some_and(|[.., high, low]| u16::from_be_bytes([*high, *low]) == connect.port)
}

/// Whether a datagram to the port of GRE in UDP is for data centres to judge, or from one, and not from a server of this fleet.
fn is_centres(site: &Site, fleet: &Fleet, source: Address) -> bool {
    let Some(connect) = &site.connect else { return false };
    match &fleet.membership {
        Membership::Alone => true,
        Membership::Untold => connect.lets_in(source),
        Membership::Told(view) => connect.lets_in(source) && view.member_at(source).is_none(),
    }
}

/// Whether it is from a data centre to the address by which this server sends to others: an answer, in GRE in UDP.
#[inline]
fn is_via(frame: &Frame<'_>, site: &Site, source: Address) -> bool {
    let ip = &frame.note.ip;
    let ports = || frame.data().get(usize::from(ip.payload_offset)..)?.first_chunk::<4>();
    ip.protocol == udp::PROTOCOL
        && !ip.fragment
        && ports()
            .is_some_and(|[.., high, low]| u16::from_be_bytes([*high, *low]) == wire::fleet::PORT)
        && site.connect.as_ref().is_some_and(|connect| connect.lets_in(source))
}

/// The kernel that terminates clients' connections speaks to them, and to nobody else.
fn from_terminating(
    frame: &mut Frame<'_>,
    site: &Site,
    (source, port): (Address, u8),
) -> Result<(), Fate> {
    if !site.terminates_at(frame.note.ip.destination) {
        return Err(drop(DropReason::ParseForeignAddress));
    }
    if is_no_source(source) || site.owns(source) || site.is_clients(source) {
        return Err(drop(DropReason::ParseIpSource));
    }
    answer(frame, (source, port))
}

/// What is neither ours nor a tenant's may be for a client that the Internet knows by this address.
#[inline]
fn reply(frame: &mut Frame<'_>, site: &Site, (source, port): (Address, u8)) -> Result<(), Fate> {
    if !site.is_clients(frame.note.ip.destination) {
        return Err(drop(DropReason::ParseForeignAddress));
    }
    // What clients send to each other by these addresses never leaves the server.
    if is_no_source(source) || site.owns(source) || site.is_clients(source) {
        return Err(drop(DropReason::ParseIpSource));
    }
    if is_via(frame, site, source) {
        frame.set_len(frame.note.ip.len.into())?;
        ports(frame)?;
        whole(frame, (source, port), Kind::Via);
        return Ok(());
    }
    answer(frame, (source, port))
}

/// A packet that is to be translated before it is a client's.
#[inline]
fn answer(frame: &mut Frame<'_>, from: (Address, u8)) -> Result<(), Fate> {
    whole(frame, from, Kind::Reply);
    frame.note.bare = true;
    frame.set_len(frame.note.ip.len.into())
}

/// Whether it is GRE, or an ICMP error about GRE.
#[inline]
fn is_tunnelled(frame: &Frame<'_>) -> bool {
    match frame.note.ip.protocol {
        wire::gre::PROTOCOL => true,
        _ if frame.note.ip.fragment => false,
        // All that is said in the headers of what it quotes is read where it is undressed.
        icmp::v4::PROTOCOL => quotes_gre(frame, 9),
        icmp::v6::PROTOCOL => quotes_gre(frame, 6),
        _ => false,
    }
}

/// Whether an ICMP message quotes GRE, if it quotes a packet, by the protocol at `at` octets of that.
#[inline]
fn quotes_gre(frame: &Frame<'_>, at: usize) -> bool {
    let at = usize::from(frame.note.ip.payload_offset) + icmp::HEADER_LEN + at;
    frame.data().get(at) == Some(&wire::gre::PROTOCOL)
}

/// A packet that is neither opened nor made here, but judged as a whole first.
#[inline]
fn whole(frame: &mut Frame<'_>, (source, port): (Address, u8), kind: Kind) {
    frame.note.endpoint =
        Endpoint { remote: source, local: frame.note.ip.destination, remote_port: 0, port };
    frame.note.kind = kind;
}

/// A sealed message that another worker has looked at: only what its headers say is read again.
#[inline]
fn sealed(frame: &mut Frame<'_>, port: u8) -> Result<(), Fate> {
    let offset = frame.note.ip.payload_offset;
    let headers = usize::from(offset) + udp::HEADER_LEN;
    let len = headers + frame.len();
    frame.forget_link();
    let octets = frame.push(headers)?;
    let at = |from: usize| octets.get(from..).unwrap_or_default();
    let (remote, local, tos) = match octets.first().map(|octet| octet >> 4) {
        Some(4) => (v4(at(12)), v4(at(16)), octets.get(1).copied().unwrap_or(0)),
        _ => (v6(at(8)), v6(at(24)), class(octets)),
    };
    let source = at(offset.into()).first_chunk().copied().unwrap_or_default();
    let note = &mut *frame.note;
    let remote_port = u16::from_be_bytes(source);
    note.endpoint = Endpoint { remote, local, remote_port, port };
    note.tos = tos;
    note.ip = Ip {
        destination: local,
        protocol: udp::PROTOCOL,
        tos,
        hop_limit: 0,
        fragment: false,
        payload_offset: offset,
        len: u16::try_from(len).unwrap_or(u16::MAX),
    };
    note.kind = Kind::Sealed;
    frame.pull(headers)?;
    frame.note.client_id = message::take_client_id(frame.data_mut());
    Ok(())
}

#[inline]
fn v4(octets: &[u8]) -> Address {
    Ipv4Addr::from(octets.first_chunk::<4>().copied().unwrap_or_default()).into()
}

#[inline]
fn v6(octets: &[u8]) -> Address {
    u128::from_be_bytes(octets.first_chunk().copied().unwrap_or_default()).into()
}

/// The traffic class of an IPv6 header.
#[inline]
fn class(octets: &[u8]) -> u8 {
    let [first, second] = octets.first_chunk().copied().unwrap_or_default();
    first << 4 | second >> 4
}

/// The ports of a UDP datagram whose lengths are right.
#[inline]
fn ports(frame: &Frame<'_>) -> Result<udp::Ports, Fate> {
    let at = usize::from(frame.note.ip.payload_offset);
    let datagram = frame.data().get(at..).unwrap_or_default();
    let header = udp::parse(datagram).map_err(|_| drop(DropReason::ParseUdpLength))?;
    Ok(header.ports)
}

/// What another server has passed on: a packet as a client sent it, or an inner packet.
fn carried(
    frame: &mut Frame<'_>,
    (site, view, fleet): (&Site, &View, &Fleet),
    way: (Address, Address),
) -> Result<(), Fate> {
    let outer_tos = frame.note.ip.tos;
    steer::unwrap(frame, view, way)?;
    let is_inner = frame.note.passage.is_some_and(|passage| passage.inner);
    let misdirected = drop(DropReason::SteerMisdirected);
    let source = frame.read_ip().map_err(broken)?;
    frame.set_len(frame.note.ip.len.into())?;
    if is_inner {
        // Marked where it is routed: who hands it over needs it as it came.
        frame.note.tos = outer_tos;
        frame.note.kind = Kind::Inner;
        return Ok(());
    }
    // Where the client's packets come in here, answers to it leave.
    let port = site.port_of(frame.note.ip.destination).ok_or(misdirected)?;
    if is_no_source(source) || site.owns(source) {
        return Err(drop(DropReason::ParseIpSource));
    }
    if report::is_about_us(frame, site, fleet) {
        return Ok(());
    }
    let ip = &frame.note.ip;
    if ip.protocol != udp::PROTOCOL || ip.fragment {
        return Err(misdirected);
    }
    let udp::Ports { source: from, destination } = ports(frame)?;
    if destination != site.listen_port {
        return Err(misdirected);
    }
    // Where it came in, its checksum was verified.
    frame.note.verified = true;
    datagram(frame, source, (from, port))?;
    let tos = ecn::decap(outer_tos, frame.note.tos);
    frame.note.tos = tos.map_err(|_| drop(DropReason::WireguardEcn))?;
    Ok(())
}

/// A UDP datagram from `source` to WireGuard's port.
#[inline]
fn datagram(
    frame: &mut Frame<'_>,
    remote: Address,
    (remote_port, port): (u16, u8),
) -> Result<(), Fate> {
    let ip = &frame.note.ip;
    let payload = frame.data().get(usize::from(ip.payload_offset)..).unwrap_or_default();
    if !frame.note.verified {
        let intact = match (remote.v4(), ip.destination.v4()) {
            (Some(from), Some(to)) => udp::verify_v4(from, to, payload),
            _ => udp::verify_v6(remote.v6(), ip.destination.v6(), payload),
        };
        intact.map_err(|_| drop(DropReason::ParseUdpChecksum))?;
    }
    frame.note.endpoint = Endpoint { remote, local: ip.destination, remote_port, port };
    frame.note.tos = ip.tos;
    frame.pull(usize::from(ip.payload_offset) + udp::HEADER_LEN)?;
    frame.note.client_id = message::take_client_id(frame.data_mut());
    frame.note.kind = match message::kind(frame.data()) {
        Ok(message::Kind::Data) => Kind::Sealed,
        // What fits no message is refused where handshakes are judged.
        Ok(message::Kind::Initiation | message::Kind::Response | message::Kind::CookieReply)
        | Err(message::Malformed) => Kind::Handshake,
    };
    Ok(())
}

/// Whether an ICMPv6 packet is a neighbour solicitation or advertisement.
#[inline]
fn is_discovery(octets: &[u8], ip: &Ip) -> bool {
    let kind = octets.get(usize::from(ip.payload_offset)).copied();
    matches!(kind, Some(SOLICITATION | ADVERTISEMENT)) && !ip.fragment
}

/// Whether an address is a group that we may be in: multicast, or a broadcast of the port.
#[inline]
fn is_group(address: Address, face: &Face) -> bool {
    address.is_multicast() || face.is_broadcast(address)
}

/// The kernel's face of a port has a link-local address of its own choice.
fn is_kernels(address: Address, face: &Face) -> bool {
    face.kernel && address.is_link_local()
}

/// An ICMP error about a message to a client of ours: the kernel gets it as it came, where it has a face; one that came
/// by way of another server, where nothing of its link is left, has served its purpose.
pub fn reported(frame: &mut Frame<'_>, site: &Site) -> Fate {
    match (frame.note.entry, frame.note.passage) {
        (Entry::Wire(port), None) => match site.face(port) {
            Some(face) if face.kernel => to_kernel(frame, face, port),
            Some(_) | None => Fate::Consumed,
        },
        _ => Fate::Consumed,
    }
}

/// The same of a frame that came in by this port.
pub fn for_kernel(frame: &mut Frame<'_>, site: &Site, port: u8) -> Fate {
    match site.face(port) {
        Some(face) => to_kernel(frame, face, port),
        None => drop(DropReason::ParseForeignStation),
    }
}

/// The frame as it came, without our tag, for the kernel.
pub fn to_kernel(frame: &mut Frame<'_>, face: &Face, port: u8) -> Fate {
    if !face.kernel {
        return drop(DropReason::ParseNoKernel);
    }
    frame.rewind();
    if face.vlan.is_some() {
        let Some(addresses) = frame.data().first_chunk::<ADDRESSES_LEN>().copied() else {
            return drop(DropReason::ParseTruncated);
        };
        if let Err(refused) = frame.pull(TAG_LEN) {
            return refused;
        }
        if let Some(place) = frame.data_mut().first_chunk_mut() {
            *place = addresses;
        }
    }
    Fate::Kernel(port)
}

/// ICMPv6 types of neighbour discovery (RFC 4861 4.3 and 4.4).
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

/// Octets of the two link addresses, which stand before a tag.
const ADDRESSES_LEN: usize = 12;
const TAG_LEN: usize = ethernet::TAGGED_HEADER_LEN - ethernet::HEADER_LEN;

/// A frame of the kernel's goes out as it is, with our tag.
fn to_wire(frame: &mut Frame<'_>, site: &Site, port: u8) -> Fate {
    let Some(face) = site.face(port) else { return drop(DropReason::ParseForeignStation) };
    let header = match link_header(frame) {
        Ok(header) => header,
        Err(refused) => return refused,
    };
    if let Some(vlan) = face.vlan {
        let tagged = frame
            .pull(header.payload_offset)
            .and_then(|()| frame.push(ethernet::TAGGED_HEADER_LEN))
            .map(|out| {
                ethernet::emit(out, header.destination, header.source, Some(vlan), header.ethertype)
            });
        if !matches!(tagged, Ok(Ok(_))) {
            return drop(DropReason::ParseTruncated);
        }
    }
    Fate::Transmit(port)
}

/// A frame from the kernel's interface for inner packets.
#[inline]
fn from_local(frame: &mut Frame<'_>) -> Result<(), Fate> {
    let link = link_header(frame)?;
    frame.pull(link.payload_offset)?;
    match link.ethertype {
        arp::ETHERTYPE => {
            frame.note.kind = Kind::Arp;
            Ok(())
        }
        ipv4::ETHERTYPE | ipv6::ETHERTYPE => {
            inner(frame)?;
            let ip = &frame.note.ip;
            if ip.protocol == icmp::v6::PROTOCOL && is_discovery(frame.data(), ip) {
                frame.note.kind = Kind::Discovery;
            }
            Ok(())
        }
        _ => Err(drop(DropReason::ParseForeignStation)),
    }
}

/// A piece of a datagram from the network or out of a tunnel; nothing is left of its link.
fn piece(frame: &mut Frame<'_>, port: u8) -> Result<(), Fate> {
    frame.forget_link();
    frame.note.endpoint = Endpoint { port, ..Endpoint::NONE };
    frame.note.bare = frame.note.tunnel == 0;
    inner(frame)
}

/// An inner packet from its IP header on.
#[inline]
fn inner(frame: &mut Frame<'_>) -> Result<(), Fate> {
    frame.read_ip().map_err(broken)?;
    frame.set_len(frame.note.ip.len.into())?;
    frame.note.kind = Kind::Inner;
    Ok(())
}
