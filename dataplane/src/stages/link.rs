//! Both ends of the way at the link: `answer` neighbours' questions when frames come in, `address` outer
//! packets to the next station when they leave.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wire::{arp, ethernet, ipv4, ipv6, nd};
use wireguard::time::Instant;

use crate::burst::{Burst, Kinds};
use crate::fate::{DropReason, Fate, Waiting};
use crate::frame::{Entry, Frame, Kind};
use crate::neighbours::{Heard, Known, LinkAddress, Name, Neighbours};
use crate::packet::{Address, Ip};
use crate::site::{Face, ROUTER, Site};
use crate::stages::parse;

/// Answers ARP and neighbour solicitations for our addresses, learns from answers, and gives the kernel
/// the answers that it may wait for as well.
pub fn answer(burst: &mut Burst<'_>, neighbours: &mut Neighbours, site: &Site, now: Instant) {
    if !burst.has_any(Kinds::of([Kind::Arp, Kind::Discovery])) {
        return;
    }
    burst.pass(|frame| match (frame.note.kind, frame.note.entry) {
        (Kind::Arp, Entry::Wire(port)) => Err(arp_from_wire(frame, neighbours, site, port, now)),
        (Kind::Arp, _) => Err(arp_from_local(frame, site)),
        (Kind::Discovery, Entry::Wire(port)) => {
            discovery_from_wire(frame, neighbours, site, port, now)
        }
        (Kind::Discovery, _) => Err(discovery_from_local(frame, site)),
        _ => Ok(()),
    });
}

const BROKEN: Fate = Fate::Drop(DropReason::ParseNeighbourMessage);

fn arp_from_wire(
    frame: &mut Frame<'_>,
    neighbours: &mut Neighbours,
    site: &Site,
    port: u8,
    now: Instant,
) -> Fate {
    let Ok(message) = arp::parse(frame.data()) else { return BROKEN };
    let Some(face) = site.face(port) else { return BROKEN };
    let asked = message.operation == arp::Operation::Request;
    let ours = face.stands_for(message.target.into());
    let sender = Name { port, address: message.sender.into() };
    if is_neighbour(sender.address, face) {
        let heard = Heard { link: message.sender_mac, moves: true, asks_us: asked && ours };
        note(neighbours, sender, heard, ours || !asked, now);
    }
    if asked && ours {
        return reply_arp(frame, &message, face.link, face).unwrap_or(BROKEN);
    }
    // An answer that the kernel may wait for, or a question for an address that only it has.
    for_kernel_too(frame, face, port)
}

/// Whether an address can be a neighbour's on this port; strangers' addresses fill no table.
fn is_neighbour(address: Address, face: &Face) -> bool {
    !address.is_unspecified() && face.is_on_link(address) && !face.stands_for(address)
}

/// Learns from a message. What was said to us the other workers shall hear too; what was said to others
/// only refreshes what is known here.
fn note(neighbours: &mut Neighbours, name: Name, heard: Heard, to_us: bool, now: Instant) {
    if to_us {
        neighbours.tell(name, heard, now);
    } else {
        neighbours.learn(name, heard, now);
    }
}

/// A learned answer goes to the kernel as well, when it has a face on this port.
fn for_kernel_too(frame: &mut Frame<'_>, face: &Face, port: u8) -> Fate {
    if face.kernel { parse::to_kernel(frame, face, port) } else { Fate::Consumed }
}

/// Turns a request into its answer, in place, back to the asker.
fn reply_arp(
    frame: &mut Frame<'_>,
    request: &arp::Message,
    link: LinkAddress,
    face: &Face,
) -> Result<Fate, Fate> {
    frame.set_len(arp::LEN)?;
    arp::emit(frame.data_mut(), &request.reply(link)).map_err(|_| BROKEN)?;
    push_header(frame, face.vlan, request.sender_mac, link, arp::ETHERTYPE)?;
    Ok(back(frame.note.entry))
}

/// An answer leaves where the question came in.
const fn back(entry: Entry) -> Fate {
    if let Entry::Wire(port) = entry { Fate::Transmit(port) } else { Fate::Local }
}

/// On the interface for inner packets we are the router: every address but the kernel's own is behind us.
fn arp_from_local(frame: &mut Frame<'_>, site: &Site) -> Fate {
    let Ok(message) = arp::parse(frame.data()) else { return BROKEN };
    // A probe or announcement asks for the asker's own address (RFC 5227 2): not ours to claim.
    let own = message.sender.is_unspecified() || message.sender == message.target;
    if message.operation != arp::Operation::Request || own || is_local(site, message.target.into())
    {
        return Fate::Consumed;
    }
    reply_arp(frame, &message, ROUTER, &bare()).unwrap_or(BROKEN)
}

fn is_local(site: &Site, address: IpAddr) -> bool {
    site.local.as_ref().is_some_and(|local| local.addresses.iter().any(|net| net.addr() == address))
}

/// The interface for inner packets has no tag and no addresses of ours.
fn bare() -> Face {
    Face::new(ROUTER, None, 0, (&[], &[]), false)
}

fn discovery_from_wire(
    frame: &mut Frame<'_>,
    neighbours: &mut Neighbours,
    site: &Site,
    port: u8,
    now: Instant,
) -> Result<(), Fate> {
    let face = site.face(port).ok_or(BROKEN)?;
    let (source, message) = discovery(frame)?;
    let (address, link, asked, moves) = match message {
        nd::Message::Solicitation { target, source_link } => {
            (source, source_link, Some(target), true)
        }
        nd::Message::Advertisement { target, target_link, is_override, .. } => {
            (target, target_link, None, is_override)
        }
    };
    let ours = asked.is_some_and(|target| face.owns(target.into()));
    if let Some(link) = link
        && is_neighbour(address.into(), face)
    {
        let name = Name { port, address: address.into() };
        note(neighbours, name, Heard { link, moves, asks_us: ours }, ours || asked.is_none(), now);
    }
    match asked {
        Some(target) if ours => {
            Err(reply_discovery(frame, (source, target, link), face.link, face)?)
        }
        // The kernel's own link-local address, perhaps, or an answer that it waits for.
        Some(_) | None => Err(for_kernel_too(frame, face, port)),
    }
}

/// Reads a neighbour discovery message and who sent it.
fn discovery(frame: &Frame<'_>) -> Result<(Ipv6Addr, nd::Message), Fate> {
    let ip = ipv6::parse(frame.data()).map_err(|_| BROKEN)?;
    let payload = frame.data().get(ip.payload_offset..).unwrap_or_default();
    let message = nd::parse(&ip, payload).map_err(|_| BROKEN)?;
    Ok((ip.source, message))
}

/// Turns a solicitation from `asker` into the advertisement that answers it (RFC 4861 7.2.4).
fn reply_discovery(
    frame: &mut Frame<'_>,
    (asker, target, asker_link): (Ipv6Addr, Ipv6Addr, Option<LinkAddress>),
    link: LinkAddress,
    face: &Face,
) -> Result<Fate, Fate> {
    let (to, message) = nd::Message::answer(asker, target, link, false);
    let station = if to.is_multicast() {
        nd::multicast_mac(to)
    } else {
        // Without the option the asker's frame still tells where it stands.
        asker_link.or_else(|| frame.sender()).ok_or(BROKEN)?
    };
    write_discovery(frame, target, to, &message)?;
    push_header(frame, face.vlan, station, link, ipv6::ETHERTYPE)?;
    Ok(back(frame.note.entry))
}

/// Makes the frame a whole IPv6 packet with the message.
fn write_discovery(
    frame: &mut Frame<'_>,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    message: &nd::Message,
) -> Result<(), Fate> {
    frame.set_len(ipv6::HEADER_LEN + nd::LEN_MAX)?;
    let body = frame.data_mut().get_mut(ipv6::HEADER_LEN..).unwrap_or_default();
    let payload_len = nd::emit(body, source, destination, message).map_err(|_| BROKEN)?;
    let fields = ipv6::Fields {
        source,
        destination,
        protocol: wire::icmp::v6::PROTOCOL,
        hop_limit: nd::HOP_LIMIT,
        traffic_class: 0,
        flow_label: 0,
        payload_len,
    };
    ipv6::emit(frame.data_mut(), &fields).map_err(|_| BROKEN)?;
    frame.set_len(ipv6::HEADER_LEN + payload_len)
}

fn discovery_from_local(frame: &mut Frame<'_>, site: &Site) -> Fate {
    let Ok((asker, nd::Message::Solicitation { target, source_link })) = discovery(frame) else {
        return Fate::Consumed;
    };
    // Duplicate address detection asks for the asker's own address; link-local ones are the kernel's.
    if asker.is_unspecified() || target.is_unicast_link_local() || is_local(site, target.into()) {
        return Fate::Consumed;
    }
    reply_discovery(frame, (asker, target, source_link), ROUTER, &bare())
        .unwrap_or_else(|fate| fate)
}

/// Writes the link header of every outer packet, or holds it until the neighbour is known.
pub fn address(burst: &mut Burst<'_>, neighbours: &mut Neighbours, site: &Site, now: Instant) {
    burst.pass(|frame| {
        if frame.note.kind == Kind::Question {
            return ask(frame, site);
        }
        if frame.note.kind != Kind::Outer {
            return Ok(());
        }
        let endpoint = frame.note.endpoint;
        let no_route = Fate::Drop(DropReason::LinkNoRoute);
        let face = site.face(endpoint.port).ok_or(no_route)?;
        if frame.note.turned
            && let Some(station) = frame.sender()
        {
            // An answer to somebody unproven goes where the question came from.
            let ethertype = ethertype_of(endpoint.remote);
            push_header(frame, face.vlan, station, face.link, ethertype)?;
            return Err(Fate::Transmit(endpoint.port));
        }
        let address = face.next_hop(endpoint.remote).ok_or(no_route)?;
        match neighbours.lookup(Name { port: endpoint.port, address }, now) {
            Known::At(station) => {
                let ethertype = ethertype_of(address);
                push_header(frame, face.vlan, station, face.link, ethertype)?;
                Err(Fate::Transmit(endpoint.port))
            }
            Known::Asked(id) => Err(Fate::Hold(Waiting::Neighbour(id))),
            Known::Full => Err(Fate::Drop(DropReason::LinkTableFull)),
        }
    });
}

const fn ethertype_of(address: Address) -> u16 {
    if address.is_v4() { ipv4::ETHERTYPE } else { ipv6::ETHERTYPE }
}

/// Puts an Ethernet header, with our tag if there is one, before the packet.
#[inline]
pub fn push_header(
    frame: &mut Frame<'_>,
    vlan: Option<u16>,
    to: LinkAddress,
    from: LinkAddress,
    ethertype: u16,
) -> Result<(), Fate> {
    let len = if vlan.is_some() { ethernet::TAGGED_HEADER_LEN } else { ethernet::HEADER_LEN };
    let out = frame.push(len)?;
    ethernet::emit(out, to, from, vlan, ethertype)
        .map_err(|_| Fate::Drop(DropReason::ParseTruncated))?;
    Ok(())
}

/// Writes the question for a neighbour, a whole frame, into an empty one.
fn ask(frame: &mut Frame<'_>, site: &Site) -> Result<(), Fate> {
    let port = frame.note.endpoint.port;
    let face = site.face(port).ok_or(BROKEN)?;
    match frame.note.endpoint.remote.into() {
        IpAddr::V4(target) => ask_arp(frame, face, target)?,
        IpAddr::V6(target) => ask_discovery(frame, face, target)?,
    }
    Err(Fate::Transmit(port))
}

fn ask_arp(frame: &mut Frame<'_>, face: &Face, target: Ipv4Addr) -> Result<(), Fate> {
    let from = match face.source_for(target.into()) {
        Some(IpAddr::V4(from)) => from,
        Some(IpAddr::V6(_)) | None => Ipv4Addr::UNSPECIFIED,
    };
    frame.set_len(arp::LEN)?;
    arp::emit(frame.data_mut(), &arp::Message::request(face.link, from, target))
        .map_err(|_| BROKEN)?;
    push_header(frame, face.vlan, ethernet::BROADCAST, face.link, arp::ETHERTYPE)
}

fn ask_discovery(frame: &mut Frame<'_>, face: &Face, target: Ipv6Addr) -> Result<(), Fate> {
    let from = match face.source_for(target.into()) {
        Some(IpAddr::V6(from)) => from,
        Some(IpAddr::V4(_)) | None => return Err(Fate::Drop(DropReason::LinkNoRoute)),
    };
    let group = nd::solicited_node(target);
    write_discovery(frame, from, group, &nd::Message::solicit(target, face.link))?;
    push_header(frame, face.vlan, nd::multicast_mac(group), face.link, ipv6::ETHERTYPE)
}

/// The link header of an inner packet for the kernel.
pub fn to_local(frame: &mut Frame<'_>, kernel: LinkAddress, ip: &Ip) -> Result<(), Fate> {
    push_header(frame, None, kernel, ROUTER, ethertype_of(ip.destination))
}
